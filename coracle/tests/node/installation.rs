//! One node with Coracle installed as a person installs it, a Git server in the cluster, and the project's own
//! `clusters/` and `apps/` in it. All tests share it: it takes half a minute to start.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coracle::demo::repository::Repository;
use coracle::demo::stage;
use coracle::demo::world::World;
use coracle::objects::Summary;
use serde_json::json;
use tests::node::Machine;
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::time::Instant;

/// How long anything may take; the slowest is the start of all databases at once on two cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(100);
/// The Git server, as `tests/node/cluster.yaml` has it: for this process, and for pods.
const GIT_ADDRESS: &str = "http://10.43.0.20";
const GIT_SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 43, 0, 20)), 80);
const GIT_NAME: &str = "http://git.git.svc.cluster.local";
/// Volumes that claims can be bound to: one for each environment that keeps its data.
const VOLUMES: usize = 3;

static INSTALLED: OnceCell<Installation> = OnceCell::const_new();

/// The node and what is on it.
pub(crate) struct Installation {
    machine: RwLock<Machine>,
    folder: PathBuf,
    kubeconfig: String,
}

/// The installation, for a test that others may run beside.
pub(crate) async fn shared() -> (&'static Installation, RwLockReadGuard<'static, Machine>) {
    let installation = installation().await;
    (installation, installation.machine.read().await)
}

/// The installation, for a test that nothing may run beside.
pub(crate) async fn alone() -> (&'static Installation, RwLockWriteGuard<'static, Machine>) {
    let installation = installation().await;
    (installation, installation.machine.write().await)
}

async fn installation() -> &'static Installation {
    static TRIED: AtomicBool = AtomicBool::new(false);
    INSTALLED
        .get_or_init(|| async {
            let is_second = TRIED.swap(true, Ordering::Relaxed);
            assert!(
                !is_second,
                "the node did not start: see the test that failed first"
            );
            Installation::new().await
        })
        .await
}

impl Installation {
    async fn new() -> Self {
        let machine = Machine::start().await;
        let installation = Self {
            folder: machine.folder().to_owned(),
            kubeconfig: machine.kubeconfig(),
            machine: RwLock::new(machine),
        };
        installation.furnish().await;
        installation.install().await;
        installation.kubectl("rollout status deployment/git --namespace git --timeout 90s");
        // The proxy follows a little later.
        let fetch = "service=git-upload-pack";
        until_served(GIT_SERVER, &format!("/shop.git/info/refs?{fetch}"), fetch).await;
        installation.point_at_git().await;
        installation
    }

    /// What a cluster has before Coracle comes.
    async fn furnish(&self) {
        let furniture = std::fs::read_to_string(project().join("tests/node/cluster.yaml")).unwrap();
        self.apply(&furniture).await;
        for number in 0..VOLUMES {
            let path = self.folder.join(format!("volumes/{number}"));
            std::fs::create_dir_all(&path).unwrap();
            let volume = json!({
                "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": format!("local-{number}") },
                "spec": {
                    "capacity": { "storage": "20Gi" }, "accessModes": ["ReadWriteOnce"],
                    "local": { "path": path },
                    "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [
                        { "key": "kubernetes.io/hostname", "operator": "In", "values": [tests::node::NAME] },
                    ] }] } },
                },
            });
            self.apply(&volume.to_string()).await;
        }
    }

    /// As the README says.
    async fn install(&self) {
        let image = concat!("coracle:", env!("CARGO_PKG_VERSION"));
        let manifests = self.coracle(&format!(
            "install --image {image} -- --failure-grace=5s --log-level=debug"
        ));
        self.apply(&manifests).await;
    }

    async fn point_at_git(&self) {
        let work = self.folder.join("shop");
        stage::seed(&project(), &work, &format!("{GIT_ADDRESS}/shop.git"))
            .await
            .unwrap();
        let world = self.world().await;
        for object in stage::root_objects(&project(), &format!("{GIT_NAME}/shop.git")).unwrap() {
            world.apply(&object).await.unwrap();
        }
    }

    /// A work tree of its own of the repository with the shop.
    pub(crate) async fn work(&self, name: &str) -> Repository {
        let path = self.folder.join(name);
        Repository::clone(&format!("{GIT_ADDRESS}/shop.git"), &path)
            .await
            .unwrap()
    }

    /// Puts files into a repository for faults, on a branch of this name, and gives the address that pods know.
    pub(crate) async fn publish(&self, branch: &str, manifests: &str) -> String {
        let path = self.folder.join(branch);
        let work = Repository::create(&path, &format!("{GIT_ADDRESS}/faults.git"))
            .await
            .unwrap();
        work.write("all.yaml", manifests).unwrap();
        work.commit("Add a fault").await.unwrap();
        work.branch(branch).await.unwrap();
        work.push(branch).await.unwrap();
        format!("{GIT_NAME}/faults.git")
    }

    /// The cluster as an administrator sees it. Its connections belong to the test that asks.
    pub(crate) async fn world(&self) -> World {
        World::reach(&self.kubeconfig).await.unwrap().patient(PATIENCE)
    }

    /// Waits until a Kustomization of `flux-system` is ready, and at this commit if one is given.
    pub(crate) async fn ready(&self, name: &str, commit: &str) {
        let ready =
            |state: &Summary| (state.ready == "True" && state.revision.ends_with(commit)).then_some(());
        let what = format!("{name} to be ready");
        let world = self.world().await;
        world.until_kustomization(name, &what, ready).await.unwrap();
    }

    /// Runs upstream's kubectl as an administrator and gives what it prints.
    pub(crate) fn kubectl(&self, line: &str) -> String {
        self.kubectl_with(&line.split(' ').collect::<Vec<_>>())
    }

    /// As [`Installation::kubectl`], for words that have spaces in them.
    pub(crate) fn kubectl_with(&self, words: &[&str]) -> String {
        let output = self.kubectl_command().args(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {words:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs kubectl, which has to be refused, and gives why.
    pub(crate) fn kubectl_refused(&self, line: &str) -> String {
        let output = self.kubectl_command().args(line.split(' ')).output().unwrap();
        assert!(!output.status.success(), "kubectl {line} was allowed");
        String::from_utf8(output.stderr).unwrap()
    }

    fn kubectl_command(&self) -> Command {
        tests::node::kubectl(&self.folder)
    }

    async fn apply(&self, manifests: &str) {
        let mut kubectl = self.kubectl_command();
        kubectl.args(["apply", "--server-side", "--filename", "-"]);
        let mut child = kubectl
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(manifests.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }

    fn coracle(&self, line: &str) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_coracle"))
            .args(line.split(' '))
            .env("KUBECONFIG", self.folder.join("admin.kubeconfig"))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Asks a Service over HTTP, as a machine of the cluster would, until it answers: the proxy follows a little later
    /// than a Deployment is said to be ready.
    pub(crate) async fn served(&self, namespace: &str, service: &str, path: &str) -> String {
        self.until_served(namespace, service, path, "").await
    }

    /// Asks a Service over HTTP until its answer contains this.
    pub(crate) async fn until_served(
        &self,
        namespace: &str,
        service: &str,
        path: &str,
        wanted: &str,
    ) -> String {
        until_served(self.address(namespace, service), path, wanted).await
    }

    fn address(&self, namespace: &str, service: &str) -> SocketAddr {
        let output = "jsonpath={.spec.clusterIP}:{.spec.ports[0].port}";
        let line = format!("get service {service} --namespace {namespace} --output {output}");
        self.kubectl(&line).parse().unwrap()
    }
}

async fn until_served(address: SocketAddr, path: &str, wanted: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let got = get(address, path);
        if let Ok(body) = &got
            && body.contains(wanted)
        {
            return body.clone();
        }
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} for `{wanted}`; last seen: {got:?}"
        );
        tokio::time::sleep(POLL).await;
    }
}

/// The number of the process that runs this program of an image.
pub(crate) fn process_of(program: &str) -> u32 {
    let runs = |process: &u32| {
        let running = std::fs::read_link(format!("/proc/{process}/exe"));
        running.is_ok_and(|running| running.as_os_str() == program)
    };
    let processes = std::fs::read_dir("/proc").unwrap();
    let numbers = processes.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    numbers.into_iter().find(runs).unwrap()
}

/// Kills the process that runs this program of an image; it gets no time to say goodbye.
pub(crate) fn kill(program: &str) {
    let process = process_of(program).to_string();
    let killed = Command::new("kill").args(["-KILL", &process]).status().unwrap();
    assert!(killed.success());
}

/// Asks once over HTTP.
fn get(address: SocketAddr, path: &str) -> Result<String, String> {
    let ask = || -> std::io::Result<String> {
        let patience = Duration::from_secs(5);
        let mut stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: shop\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().map_err(|error| format!("http://{address}{path}: {error}"))?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.split(' ').nth(1) == Some("200") => Ok(body.to_owned()),
        _ => Err(format!("http://{address}{path}: {answer}")),
    }
}

pub(crate) fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
