//! `coracle uninstall`: takes Coracle away and leaves the applications running. Does I/O through the
//! cluster's client.
//!
//! The order is what makes it safe: first the controller ends and its leases are taken, so that nobody prunes, neither it
//! nor one that stands by; then the finalizers go, so that nothing hangs; only then are the objects deleted, with their
//! definitions.

mod leases;
mod others;
mod step;

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::core::PartialObjectMeta;
use reconciler::api::FINALIZER;

use crate::cli::Global;
use crate::connect::{Cluster, connect, is_unknown_kind};
use crate::error::{Error, Kind};
use crate::objects::ObjectKind;
use crate::standing::CONTROLLER_LABEL;
use crate::ui::{Styled, Ui, WARN};

use super::install::PART_OF;
use leases::Leases;
use others::Ended;
use step::{Act, Step};

/// How long the controller's pod may take to end: its grace period and some more.
const POD_END: Duration = Duration::from_secs(90);

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
    /// Go on although a controller seems to run elsewhere
    #[arg(long)]
    force: bool,
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

/// What is to be done.
struct Plan {
    /// Ends the controller.
    deployment: Vec<Step>,
    /// Finalizers and definitions, as far as they were seen: while the controller runs, there may be more.
    objects: Vec<Step>,
    /// The rest of what was installed.
    rest: Vec<Step>,
    /// Other namespaces in which Coracle is installed.
    others: Vec<String>,
}

impl Plan {
    fn steps(&self) -> impl Iterator<Item = &Step> {
        self.deployment.iter().chain(&self.objects).chain(&self.rest)
    }

    /// Whether GitRepositories and Kustomizations go, which a controller would take for a wish to prune.
    fn takes_objects(&self) -> bool {
        !self.objects.is_empty() || self.rest.iter().any(|step| step.kind == "Namespace")
    }
}

/// Takes Coracle away.
///
/// # Errors
/// The cluster refuses, a controller still runs, or the person says no.
pub async fn run(args: &Args, global: &Global, ui: &mut Ui) -> Result<(), Error> {
    let cluster = connect(global).await?;
    let home = global.namespace();
    let plan = plan(args, home, &cluster).await?;
    if plan.steps().next().is_none() {
        return ui.line(format_args!("Coracle is not installed in namespace {home}."));
    }
    let ended = Ended {
        cluster: &cluster,
        namespace: home,
        pods: controller_pods(&cluster, home).await?,
    };
    let guarded = !args.force && plan.takes_objects();
    if args.dry_run {
        say_intentions(&plan, &ended, ui).await?;
        if guarded {
            say_refusal(&plan, &ended, ui).await?;
        }
        return ui.progress("Nothing was changed.");
    }
    if !args.yes {
        require_a_person(ui)?;
        say_intentions(&plan, &ended, ui).await?;
        if !ui.confirm(&format!("Take Coracle out of {}?", cluster.address))? {
            return Err(Error::new(Kind::Negative, "nothing was changed"));
        }
    }
    let mut over = Vec::new();
    if guarded {
        others::refuse_installed(&plan.others)?;
        ended.refuse_holders().await?;
        over = ended.refuse_renewals(ui).await?;
    }
    for step in &plan.deployment {
        step.carry_out(&cluster, ui).await?;
    }
    await_end(&cluster, home, ui).await?;
    if guarded {
        ended.refuse_holders().await?;
    }
    let leases = match Leases::take(&ended, &over).await {
        // What nobody has to be kept from is left to whoever has it.
        Err(_) if !guarded => Leases::none(&ended),
        taken => taken?,
    };
    tokio::select! {
        done = delete(args, &plan, &cluster, ui) => done?,
        lost = leases.keep() => return Err(lost),
    }
    leases.delete(ui).await?;
    ui.line("Coracle is gone; what it applied runs on.")
}

/// Deletes the objects and the rest, now that nobody adds to them.
async fn delete(args: &Args, plan: &Plan, cluster: &Cluster, ui: &mut Ui) -> Result<(), Error> {
    let objects = objects(args, cluster).await?;
    for step in objects.iter().chain(&plan.rest) {
        step.carry_out(cluster, ui).await?;
    }
    let is_definition = |step: &&Step| step.kind == "CustomResourceDefinition";
    for definition in objects.iter().filter(is_definition) {
        definition.await_end(cluster).await?;
    }
    Ok(())
}

async fn say_intentions(plan: &Plan, ended: &Ended<'_>, ui: &mut Ui) -> Result<(), Error> {
    let leases = Leases::foreseen(ended).await?;
    plan.steps()
        .chain(&leases)
        .try_for_each(|step| ui.line(format_args!("would {}", step.display())))
}

/// Says what would stop it before any of that.
async fn say_refusal(plan: &Plan, ended: &Ended<'_>, ui: &mut Ui) -> Result<(), Error> {
    let refused = match others::refuse_installed(&plan.others) {
        Ok(()) => ended.refuse_holders().await,
        refused => refused,
    };
    let Err(refusal) = refused else { return Ok(()) };
    ui.progress(Styled::new(WARN, format!("It would be refused: {refusal}.")))?;
    refusal.hints().iter().try_for_each(|hint| ui.hint(hint))
}

fn require_a_person(ui: &Ui) -> Result<(), Error> {
    if ui.is_interactive() {
        return Ok(());
    }
    Err(Error::new(Kind::Usage, "nobody is here to ask").hint("Say --yes, or look first with --dry-run."))
}

async fn plan(args: &Args, home: &str, cluster: &Cluster) -> Result<Plan, Error> {
    let others = match others::installed(cluster, home).await {
        Err(_) if args.force => Vec::new(),
        others => others?,
    };
    let deployment = installed(cluster, ("Deployment", "apps", "coracle", true), home).await?;
    let mut rest = Vec::new();
    for object in INSTALLED {
        // The others work by what all namespaces share.
        let is_shared = !object.3 && !others.is_empty() && !args.force;
        if !is_shared {
            rest.extend(installed(cluster, object, home).await?);
        }
    }
    if args.delete_namespace {
        rest.extend(namespace(cluster, home).await?);
    }
    Ok(Plan {
        deployment: deployment.into_iter().collect(),
        objects: objects(args, cluster).await?,
        rest,
        others,
    })
}

/// The deletion of something that is installed, if it is.
async fn installed(
    cluster: &Cluster,
    (kind, group, name, namespaced): (&'static str, &str, &str, bool),
    home: &str,
) -> Result<Option<Step>, Error> {
    let namespace = namespaced.then(|| home.to_owned());
    let ours = is_ours(cluster, kind, group, namespace.as_deref(), name).await?;
    Ok((ours == Some(true)).then(|| Step {
        act: Act::Delete,
        kind,
        namespace,
        name: name.to_owned(),
    }))
}

/// The deletion of the namespace. A name is easily mistyped, and everything would go with it.
async fn namespace(cluster: &Cluster, home: &str) -> Result<Option<Step>, Error> {
    if is_ours(cluster, "Namespace", "", None, home).await? == Some(false) {
        let other = format!("namespace {home} was not made by `coracle install`, and is not deleted");
        return Err(Error::new(Kind::Negative, other).hint(
            "-n names the namespace that Coracle is in. Without --delete-namespace, all but the namespace goes.",
        ));
    }
    installed(cluster, ("Namespace", "", home, false), home).await
}

/// Whether an object was installed by Coracle, if it is there.
async fn is_ours(
    cluster: &Cluster,
    kind: &str,
    group: &str,
    namespace: Option<&str>,
    name: &str,
) -> Result<Option<bool>, Error> {
    let found = cluster
        .api(group, kind, namespace)
        .get_metadata_opt(name)
        .await
        .map_err(|error| cluster.explain(&format!("look for {kind} {name}"), error))?;
    Ok(found.map(|object| {
        let labels = object.metadata.labels.unwrap_or_default();
        labels.get(PART_OF.0).is_some_and(|value| value == PART_OF.1)
    }))
}

/// Finalizers to take off, the objects, then the definitions, which take the objects with them.
async fn objects(args: &Args, cluster: &Cluster) -> Result<Vec<Step>, Error> {
    if args.keep_objects {
        return Ok(Vec::new());
    }
    let mut finalizers = Vec::new();
    let mut taken = Vec::new();
    let mut definitions = Vec::new();
    for kind in ObjectKind::ALL {
        let resource = kind.resource();
        let definition = format!("{}.{}", resource.plural, resource.group);
        // Those of Flux belong to Flux.
        let (kind_of_it, group) = ("CustomResourceDefinition", "apiextensions.k8s.io");
        if is_ours(cluster, kind_of_it, group, None, &definition).await? != Some(true) {
            continue;
        }
        let mut listed = match kind
            .api(cluster, None)
            .list_metadata(&ListParams::default())
            .await
        {
            Ok(listed) => listed,
            Err(kube::Error::Api(status)) if is_unknown_kind(&status) => continue,
            Err(error) => return Err(cluster.explain(&format!("list {} objects", kind.name()), error)),
        };
        let place = |it: &PartialObjectMeta<_>| (it.metadata.namespace.clone(), it.metadata.name.clone());
        listed.items.sort_by_key(place);
        for object in listed.items {
            let step = Step {
                act: Act::GoWithDefinition,
                kind: kind.name(),
                namespace: object.metadata.namespace,
                name: object.metadata.name.unwrap_or_default(),
            };
            if object
                .metadata
                .finalizers
                .is_some_and(|it| it.iter().any(|finalizer| finalizer == FINALIZER))
            {
                finalizers.push(Step {
                    act: Act::RemoveFinalizer,
                    ..step.clone()
                });
            }
            taken.push(step);
        }
        definitions.push(Step {
            act: Act::Delete,
            kind: "CustomResourceDefinition",
            namespace: None,
            name: definition,
        });
    }
    finalizers.extend(taken);
    finalizers.extend(definitions);
    Ok(finalizers)
}

async fn controller_pods(cluster: &Cluster, namespace: &str) -> Result<Vec<String>, Error> {
    let pods = Api::<Pod>::namespaced(cluster.client.clone(), namespace)
        .list_metadata(&ListParams::default().labels(CONTROLLER_LABEL))
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
