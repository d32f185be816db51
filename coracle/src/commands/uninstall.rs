//! `coracle uninstall`: takes Coracle away and leaves the applications running. Does I/O through the
//! cluster's client.
//!
//! The order is what makes it safe: first the controller ends, so that nobody prunes; then the finalizers
//! go, so that nothing hangs; only then are the objects deleted, with their definitions.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use reconciler::api::FINALIZER;
use serde_json::json;

use crate::cli::Global;
use crate::connect::{Cluster, connect, is_unknown_kind};
use crate::error::{Error, Kind};
use crate::objects::ObjectKind;
use crate::standing::{self, Hold};
use crate::ui::Ui;

use super::install::PART_OF;

/// How long the controller's pod may take to end: its grace period and some more.
const POD_END: Duration = Duration::from_secs(90);
/// How long the API server may take to delete the objects of a definition.
const DEFINITION_END: Duration = Duration::from_secs(60);

/// Arguments of `uninstall`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What Kustomizations applied stays as it is: Deployments, volumes, Secrets, everything. The namespace stays as\n\
well, since it holds Secrets that are yours.")]
pub struct Args {
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Leave GitRepositories, Kustomizations and their definitions, for Flux or another Coracle to go on with
    #[arg(long)]
    keep_objects: bool,
    /// Delete the namespace as well, with everything in it
    #[arg(long)]
    delete_namespace: bool,
    /// Go on although a controller seems to run outside of this cluster
    #[arg(long)]
    force: bool,
}

/// One thing to do, on one object.
#[derive(Clone, Debug)]
struct Step {
    act: Act,
    kind: &'static str,
    namespace: Option<String>,
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Delete,
    RemoveFinalizer,
}

/// What is installed, in the order in which it goes. `true`: it is in Coracle's namespace.
const INSTALLED: [(&str, &str, &str, bool); 11] = [
    (
        "ClusterRoleBinding",
        "rbac.authorization.k8s.io",
        "coracle-apply",
        false,
    ),
    (
        "ClusterRoleBinding",
        "rbac.authorization.k8s.io",
        "coracle-controller",
        false,
    ),
    (
        "ClusterRoleBinding",
        "rbac.authorization.k8s.io",
        "coracle-watch",
        false,
    ),
    (
        "ClusterRole",
        "rbac.authorization.k8s.io",
        "coracle-controller",
        false,
    ),
    ("ClusterRole", "rbac.authorization.k8s.io", "coracle-watch", false),
    ("ClusterRole", "rbac.authorization.k8s.io", "coracle-view", false),
    ("ClusterRole", "rbac.authorization.k8s.io", "coracle-edit", false),
    (
        "RoleBinding",
        "rbac.authorization.k8s.io",
        "coracle-controller",
        true,
    ),
    ("Role", "rbac.authorization.k8s.io", "coracle-controller", true),
    ("Service", "", "coracle", true),
    ("ServiceAccount", "", "coracle", true),
];

/// Takes Coracle away.
///
/// # Errors
/// The cluster refuses, a controller still runs, or the person says no.
pub async fn run(args: &Args, global: &Global, ui: &mut Ui) -> Result<(), Error> {
    let cluster = connect(global).await?;
    let steps = plan(args, global, &cluster).await?;
    if steps.is_empty() {
        return ui.line(format_args!(
            "Coracle is not installed in namespace {}.",
            global.namespace
        ));
    }
    if args.dry_run {
        say_intentions(&steps, ui)?;
        return ui.progress("Nothing was changed.");
    }
    if !args.yes {
        require_a_person(ui)?;
        say_intentions(&steps, ui)?;
        if !ui.confirm(&format!("Take Coracle out of {}?", cluster.address))? {
            return Err(Error::new(Kind::Negative, "nothing was changed"));
        }
    }
    let pods = controller_pods(&cluster, &global.namespace).await?;
    if !args.force {
        refuse_other_controllers(&cluster, &global.namespace, &pods).await?;
    }
    for step in steps.iter().filter(|step| step.kind == "Deployment") {
        step.carry_out(&cluster, ui).await?;
    }
    await_end(&cluster, &global.namespace, ui).await?;
    if !args.force {
        refuse_other_controllers(&cluster, &global.namespace, &pods).await?;
    }
    for step in steps.iter().filter(|step| step.kind != "Deployment") {
        step.carry_out(&cluster, ui).await?;
    }
    for step in steps
        .iter()
        .filter(|step| step.kind == "CustomResourceDefinition")
    {
        step.await_end(&cluster).await?;
    }
    ui.line("Coracle is gone; what it applied runs on.")
}

fn say_intentions(steps: &[Step], ui: &mut Ui) -> Result<(), Error> {
    steps
        .iter()
        .try_for_each(|step| ui.line(format_args!("would {}", step.display())))
}

fn require_a_person(ui: &Ui) -> Result<(), Error> {
    if ui.is_interactive() {
        return Ok(());
    }
    Err(Error::new(Kind::Usage, "nobody is here to ask").hint("Say --yes, or look first with --dry-run."))
}

async fn plan(args: &Args, global: &Global, cluster: &Cluster) -> Result<Vec<Step>, Error> {
    let home = global.namespace.as_str();
    let mut steps = Vec::new();
    let mut installed = vec![("Deployment", "apps", "coracle", true)];
    installed.extend(INSTALLED);
    let mut rest = Vec::new();
    for (kind, group, name, namespaced) in installed {
        let namespace = namespaced.then(|| home.to_owned());
        if is_ours(cluster, kind, group, namespace.as_deref(), name).await? {
            let step = Step {
                act: Act::Delete,
                kind,
                namespace,
                name: name.to_owned(),
            };
            if kind == "Deployment" {
                steps.push(step);
            } else {
                rest.push(step);
            }
        }
    }
    if !args.keep_objects {
        steps.extend(objects(cluster).await?);
    }
    steps.extend(rest);
    if args.delete_namespace {
        steps.push(Step {
            act: Act::Delete,
            kind: "Namespace",
            namespace: None,
            name: home.to_owned(),
        });
    }
    Ok(steps)
}

/// Whether an object is there and was installed by Coracle.
async fn is_ours(
    cluster: &Cluster,
    kind: &str,
    group: &str,
    namespace: Option<&str>,
    name: &str,
) -> Result<bool, Error> {
    let found = api(cluster, kind, group, namespace)
        .get_metadata_opt(name)
        .await
        .map_err(|error| cluster.explain(&format!("look for {kind} {name}"), error))?;
    let labels = found
        .and_then(|object| object.metadata.labels)
        .unwrap_or_default();
    Ok(labels.get(PART_OF.0).is_some_and(|value| value == PART_OF.1))
}

/// Finalizers to take off, then the definitions, which take the objects with them.
async fn objects(cluster: &Cluster) -> Result<Vec<Step>, Error> {
    let mut finalizers = Vec::new();
    let mut definitions = Vec::new();
    for kind in ObjectKind::ALL {
        let resource = kind.resource();
        let definition = format!("{}.{}", resource.plural, resource.group);
        // Those of Flux belong to Flux.
        if !is_ours(
            cluster,
            "CustomResourceDefinition",
            "apiextensions.k8s.io",
            None,
            &definition,
        )
        .await?
        {
            continue;
        }
        let listed = match kind
            .api(cluster, None)
            .list_metadata(&ListParams::default())
            .await
        {
            Ok(listed) => listed,
            Err(kube::Error::Api(status)) if is_unknown_kind(&status) => continue,
            Err(error) => return Err(cluster.explain(&format!("list {} objects", kind.name()), error)),
        };
        for object in listed.items {
            if object
                .metadata
                .finalizers
                .is_some_and(|it| it.iter().any(|finalizer| finalizer == FINALIZER))
            {
                finalizers.push(Step {
                    act: Act::RemoveFinalizer,
                    kind: kind.name(),
                    namespace: object.metadata.namespace,
                    name: object.metadata.name.unwrap_or_default(),
                });
            }
        }
        definitions.push(Step {
            act: Act::Delete,
            kind: "CustomResourceDefinition",
            namespace: None,
            name: definition,
        });
    }
    finalizers.extend(definitions);
    Ok(finalizers)
}

fn api(cluster: &Cluster, kind: &str, group: &str, namespace: Option<&str>) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
    match namespace {
        Some(namespace) => Api::namespaced_with(cluster.client.clone(), namespace, &resource),
        None => Api::all_with(cluster.client.clone(), &resource),
    }
}

impl Step {
    /// What it does: "delete ...".
    fn display(&self) -> String {
        let name = self.object();
        match self.act {
            Act::Delete => format!("delete {name}"),
            Act::RemoveFinalizer => format!("remove the finalizer of {name}"),
        }
    }

    /// What it did: "deleted ...".
    fn done(&self) -> String {
        let name = self.object();
        match self.act {
            Act::Delete => format!("deleted {name}"),
            Act::RemoveFinalizer => format!("removed the finalizer of {name}"),
        }
    }

    fn object(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} {namespace}/{}", self.kind, self.name),
            None => format!("{} {}", self.kind, self.name),
        }
    }

    fn api(&self, cluster: &Cluster) -> Api<DynamicObject> {
        let group = match self.kind {
            "Deployment" => "apps",
            "CustomResourceDefinition" => "apiextensions.k8s.io",
            "GitRepository" => return ObjectKind::GitRepository.api(cluster, self.namespace.as_deref()),
            "Kustomization" => return ObjectKind::Kustomization.api(cluster, self.namespace.as_deref()),
            kind if kind.contains("Role") => "rbac.authorization.k8s.io",
            _ => "",
        };
        api(cluster, self.kind, group, self.namespace.as_deref())
    }

    /// Does it and says so. What went by itself meanwhile is no deed.
    async fn carry_out(&self, cluster: &Cluster, ui: &mut Ui) -> Result<(), Error> {
        let api = self.api(cluster);
        let outcome = match self.act {
            Act::Delete => api
                .delete(&self.name, &DeleteParams::background())
                .await
                .map(drop),
            Act::RemoveFinalizer => remove_finalizer(&api, &self.name).await,
        };
        match outcome {
            Ok(()) => ui.line(self.done()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(cluster.explain(&self.display(), error)),
        }
    }
}

impl Step {
    /// A definition goes after its objects, which the API server deletes one by one.
    async fn await_end(&self, cluster: &Cluster) -> Result<(), Error> {
        let api = self.api(cluster);
        let deadline = tokio::time::Instant::now() + DEFINITION_END;
        loop {
            let found = api.get_metadata_opt(&self.name).await;
            match found.map_err(|error| cluster.explain(&self.display(), error))? {
                None => return Ok(()),
                Some(_) if tokio::time::Instant::now() > deadline => {
                    return Err(Error::new(
                        Kind::Timeout,
                        format!("{} {} does not go", self.kind, self.name),
                    )
                    .hint(
                        "Some object of it has a finalizer that is not Coracle's: remove that, and it goes.",
                    ));
                }
                Some(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

async fn remove_finalizer(api: &Api<DynamicObject>, name: &str) -> Result<(), kube::Error> {
    let object = api.get_metadata(name).await?;
    let mut finalizers = object.metadata.finalizers.unwrap_or_default();
    finalizers.retain(|finalizer| finalizer != FINALIZER);
    // The version makes this fail if somebody else changed the list meanwhile.
    let patch = json!({
        "metadata": { "finalizers": finalizers, "resourceVersion": object.metadata.resource_version }
    });
    api.patch_metadata(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .map(drop)
}

async fn controller_pods(cluster: &Cluster, namespace: &str) -> Result<Vec<String>, Error> {
    let pods = Api::<Pod>::namespaced(cluster.client.clone(), namespace)
        .list_metadata(&ListParams::default().labels("app.kubernetes.io/name=coracle"))
        .await
        .map_err(|error| cluster.explain("list the controller's pods", error))?;
    Ok(pods
        .items
        .into_iter()
        .filter_map(|pod| pod.metadata.name)
        .collect())
}

async fn await_end(cluster: &Cluster, namespace: &str, ui: &mut Ui) -> Result<(), Error> {
    let deadline = tokio::time::Instant::now() + POD_END;
    let mut told = false;
    while !controller_pods(cluster, namespace).await?.is_empty() {
        if tokio::time::Instant::now() > deadline {
            return Err(Error::new(Kind::Timeout, "the controller's pod does not end")
                .hint("Nothing but its Deployment was deleted yet: look at the pod, then run this again."));
        }
        if !std::mem::replace(&mut told, true) {
            ui.progress("waiting for the controller to end")?;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// A controller elsewhere would take the deletions for a wish to prune.
async fn refuse_other_controllers(cluster: &Cluster, namespace: &str, ended: &[String]) -> Result<(), Error> {
    let hold = standing::hold(cluster, namespace, Timestamp::now())
        .await?
        .map_err(|why| Error::new(Kind::Cluster, format!("cannot look who holds the lease: {why}")))?;
    let Some(Hold { holder, lease, .. }) = hold.filter(|hold| hold.lasts) else {
        return Ok(());
    };
    if ended.iter().any(|pod| holder.contains(pod.as_str())) {
        return Ok(());
    }
    let running = format!("a controller still runs: `{holder}` holds the lease {lease}");
    Err(Error::new(Kind::Negative, running)
        .hint("End it first; it would delete what it applied. --force goes on without it."))
}
