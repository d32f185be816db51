//! `coracle suspend`: stops reconciling objects. Does I/O through the cluster's client.

use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::cli::Global;
use crate::connect::{Cluster, connect};
use crate::error::{Error, Kind};
use crate::objects::{ObjectKind, Target, list};
use crate::ui::Ui;

use super::reconcile::FIELD_MANAGER;

/// The objects that `suspend` and `resume` are about.
#[derive(Debug, clap::Args)]
pub struct Selection {
    /// The object: a Kustomization's name, or a kind and a name; with --all the kind alone
    #[arg(value_name = "[KIND] NAME", num_args = 0..=3)]
    target: Vec<String>,
    /// All objects of the kind in the namespace
    #[arg(long)]
    all: bool,
}

impl Selection {
    /// The objects that are meant.
    ///
    /// # Errors
    /// The words name nothing, or the cluster refuses.
    pub(super) async fn targets(&self, cluster: &Cluster, namespace: &str) -> Result<Vec<Target>, Error> {
        if !self.all {
            let target = Target::parse(&self.target)?;
            let found = target.fetch(cluster, namespace).await;
            found.map_err(|error| self.perhaps_a_kind(error))?;
            return Ok(vec![target]);
        }
        let kind: ObjectKind = match self.target.as_slice() {
            [] => ObjectKind::Kustomization,
            [kind] => kind.parse()?,
            _ => return Err(Error::new(Kind::Usage, "--all takes a kind and no name")),
        };
        let objects = list(cluster, kind, Some(namespace)).await?;
        Ok(objects
            .into_iter()
            .map(|object| Target {
                kind,
                name: object.name,
            })
            .collect())
    }

    /// A kind without a name is read as a Kustomization's name.
    fn perhaps_a_kind(&self, error: Error) -> Error {
        match self.target.as_slice() {
            [word] if error.kind() == Kind::NotFound && word.parse::<ObjectKind>().is_ok() => {
                error.hint(format!(
                    "If the kind is meant: say `{word} NAME`, or `{word} --all` for all in the namespace."
                ))
            }
            _ => error,
        }
    }
}

/// Arguments of `suspend`.
#[derive(Debug, clap::Args)]
#[command(after_help = "What was applied stays as it is; drift is no longer corrected.")]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
}

/// Suspends the objects.
///
/// # Errors
/// An object does not exist, or the cluster refuses.
pub async fn run(args: &Args, global: &Global, ui: &mut Ui) -> Result<(), Error> {
    let cluster = connect(global).await?;
    for target in args.selection.targets(&cluster, global.namespace()).await? {
        set(&cluster, global.namespace(), &target, true).await?;
        ui.line(format_args!("{}: suspended", target.display()))?;
    }
    Ok(())
}

/// Writes `spec.suspend`.
pub(super) async fn set(
    cluster: &Cluster,
    namespace: &str,
    target: &Target,
    suspend: bool,
) -> Result<(), Error> {
    let patch = json!({ "spec": { "suspend": suspend } });
    target
        .kind
        .api(cluster, Some(namespace))
        .patch(
            &target.name,
            &PatchParams::apply(FIELD_MANAGER),
            &Patch::Merge(patch),
        )
        .await
        .map_err(|error| cluster.explain(&format!("change {}", target.display()), error))?;
    Ok(())
}
