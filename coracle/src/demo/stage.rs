//! Everything the story needs, started and taken down again. Does I/O: processes, files, servers.
//!
//! In: the project's directory. Out: a cluster and a controller (processes), a Git server, a work tree.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::processes::Role;
use super::repository::{Repository, RepositoryError};
use super::story::Props;
use super::world::{World, WorldError};
use crate::git_server::{Access, GitServer};

/// Branches that environments follow.
pub const ENVIRONMENTS: [&str; 4] = ["dev", "prerelease", "staging", "production"];
/// How often the controller looks at the repository by itself.
const POLL: &str = "2s";

/// Why the demonstration could not go on.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The project's files are not where they should be.
    #[error("there is no `clusters/demo` and `apps/shop` in {0} or above it")]
    NoProject(PathBuf),
    /// A file of the project is not as the story needs it.
    #[error("the story of the demo needs {what} in {file}")]
    Needs {
        /// The file, from the project's directory.
        file: &'static str,
        /// What has to be in it.
        what: &'static str,
    },
    /// A process or server could not be started.
    #[error("cannot start {what}")]
    Start {
        /// What was to be started.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A process ended although nobody asked it to.
    #[error("{what} ended: {why}")]
    Ended {
        /// Which process.
        what: &'static str,
        /// The last thing it said that went wrong.
        why: String,
    },
    /// A repository could not be worked on.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The cluster did not do what was expected.
    #[error(transparent)]
    World(#[from] WorldError),
    /// Something that the story tells is not so.
    #[error("{0}")]
    Untrue(String),
    /// The output cannot be written.
    #[error("cannot write the output")]
    Output(#[from] crate::error::Error),
}

/// Everything the story needs.
pub struct Stage {
    /// The cluster.
    pub world: World,
    /// The Git server.
    pub git: GitServer,
    /// The work tree that commits are made in.
    pub work: Repository,
    /// The repository that is served.
    pub served: Repository,
    /// Address of the cluster's API.
    pub api: String,
    /// The kubeconfig's path.
    pub kubeconfig: PathBuf,
    cluster: Role,
    controller: Role,
    directory: TempDir,
}

/// The directory that holds `clusters/demo` and `apps/shop`: this one, or one above it.
///
/// # Errors
/// There is none.
pub fn project(from: &Path) -> Result<PathBuf, DemoError> {
    let from = from.canonicalize().unwrap_or_else(|_| from.to_owned());
    from.ancestors()
        .find(|directory| directory.join("clusters/demo").is_dir() && directory.join("apps/shop").is_dir())
        .map(Path::to_owned)
        .ok_or(DemoError::NoProject(from))
}

impl Stage {
    /// Starts the cluster and the Git server, installs Coracle's definitions, and starts the controller.
    ///
    /// # Errors
    /// Something cannot be started.
    pub async fn set(project: &Path, manifests: &[Value]) -> Result<Self, DemoError> {
        let directory = tempfile::Builder::new()
            .prefix("coracle-demo-")
            .tempdir()
            .map_err(start("the demonstration"))?;
        let root = directory.path();

        let kubeconfig = root.join("kubeconfig");
        let arguments = [
            "embedded-cluster",
            "--kubeconfig-out",
            &kubeconfig.display().to_string(),
        ];
        let mut cluster = Role::start(&arguments.map(str::to_owned), &root.join("cluster.log"))
            .map_err(start("the cluster"))?;
        let Ok(api) = cluster.first_line().await else {
            return Err(ended("the cluster", &cluster));
        };

        let served = root.join("served");
        fs::create_dir(&served).map_err(start("the Git server"))?;
        let git = GitServer::start(&served, ([127, 0, 0, 1], 0).into(), Access::ReadAndPush)
            .await
            .map_err(start("the Git server"))?;
        let served = served.join("shop.git");
        Repository::create_bare(&served).await?;
        let work = seed(project, &root.join("work"), &git.url("shop")).await?;

        let config = fs::read_to_string(&kubeconfig).map_err(start("the cluster"))?;
        let world = World::reach(&config).await?;
        install(&world, project, manifests, &git.url("shop")).await?;

        let controller = start_controller(root, &kubeconfig).map_err(start("the controller"))?;
        Ok(Self {
            world,
            git,
            work,
            served: Repository::at(&served),
            api,
            kubeconfig,
            cluster,
            controller,
            directory,
        })
    }

    /// What the story is told with.
    #[must_use]
    pub fn props(&self) -> Props<'_> {
        Props {
            world: &self.world,
            work: &self.work,
        }
    }

    /// Says which process ended, if one did: that explains better what the story misses.
    pub fn ended(&mut self) -> Option<DemoError> {
        if self.cluster.has_ended() {
            return Some(ended("the cluster", &self.cluster));
        }
        self.controller
            .has_ended()
            .then(|| ended("the controller", &self.controller))
    }

    /// What the controller logged that went wrong, or its last lines.
    #[must_use]
    pub fn controller_log(&self) -> String {
        self.controller.complaints(20)
    }

    /// Where the work tree is, for people who want to commit.
    #[must_use]
    pub fn work_tree(&self) -> PathBuf {
        self.directory.path().join("work")
    }

    /// Ends everything, the controller first.
    pub async fn strike(self) {
        self.controller.end().await;
        self.cluster.end().await;
        drop(self.git);
        // What cannot be removed is in the system's directory for such files.
        let _ = self.directory.close();
    }
}

/// Makes a work tree of the project's files and pushes its branches.
///
/// # Errors
/// A file cannot be read, or `git` fails.
pub async fn seed(project: &Path, path: &Path, origin: &str) -> Result<Repository, DemoError> {
    let work = Repository::create(path, origin).await?;
    work.copy(&project.join("apps"), "apps")?;
    work.copy(&project.join("clusters"), "clusters")?;
    work.commit("Describe the shop and the cluster it runs on")
        .await?;
    work.push("main").await?;
    for environment in ENVIRONMENTS {
        work.branch(environment).await?;
        work.push(environment).await?;
    }
    Ok(work)
}

async fn install(world: &World, project: &Path, manifests: &[Value], url: &str) -> Result<(), DemoError> {
    // The controller is a process beside the cluster, not a pod in it.
    for manifest in manifests.iter().filter(|it| it["kind"] != "Deployment") {
        world.apply(manifest).await?;
    }
    for manifest in manifests
        .iter()
        .filter(|it| it["kind"] == "CustomResourceDefinition")
    {
        let name = manifest["metadata"]["name"].as_str().unwrap_or_default();
        let kind = "apiextensions.k8s.io/v1/CustomResourceDefinition";
        world
            .until(kind, "", name, &format!("{name} to be established"), |crd| {
                crate::objects::condition(&crd?.data, "Established")
                    .filter(|it| it["status"] == "True")
                    .map(drop)
            })
            .await?;
    }
    for object in root_objects(project, url)? {
        world.apply(&object).await?;
    }
    Ok(())
}

/// What points the cluster at its folder in Git: the key, the source and the root Kustomization.
///
/// # Errors
/// The key cannot be read.
pub fn root_objects(project: &Path, url: &str) -> Result<Vec<Value>, DemoError> {
    let key = project.join("clusters/demo/sops-demo.agekey");
    let key = fs::read_to_string(&key).map_err(|source| RepositoryError::File {
        path: key.clone(),
        source,
    })?;
    Ok(vec![
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": "sops-age", "namespace": "flux-system" },
            "stringData": { "demo.agekey": key },
        }),
        json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": { "name": "coracle", "namespace": "flux-system" },
            "spec": { "interval": POLL, "url": url, "ref": { "branch": "main" } },
        }),
        json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": { "name": "coracle", "namespace": "flux-system" },
            "spec": {
                "interval": "10m", "prune": true, "path": "./clusters/demo",
                "sourceRef": { "kind": "GitRepository", "name": "coracle" },
                "postBuild": { "substitute": { "git_url": url, "git_interval": POLL } },
            },
        }),
    ])
}

fn start_controller(root: &Path, kubeconfig: &Path) -> io::Result<Role> {
    let arguments = [
        "controller".to_owned(),
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--storage-path={}", root.join("data").display()),
        // Nobody asks for either in the story; a free port each.
        "--metrics-addr=127.0.0.1:0".to_owned(),
        "--storage-addr=127.0.0.1:0".to_owned(),
        // An image that cannot be pulled is told after a second, not after a minute.
        "--failure-grace=1s".to_owned(),
        "--log-encoding=console".to_owned(),
    ];
    Role::start(&arguments, &root.join("controller.log"))
}

fn start(what: &'static str) -> impl FnOnce(io::Error) -> DemoError {
    move |source| DemoError::Start { what, source }
}

fn ended(what: &'static str, role: &Role) -> DemoError {
    DemoError::Ended {
        what,
        why: role.complaints(1),
    }
}
