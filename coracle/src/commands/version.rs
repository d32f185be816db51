//! `coracle version`: this program's version, and that of the controller in the cluster. Does I/O through
//! the cluster's client.

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;

use crate::cli::Global;
use crate::connect::connect;
use crate::error::Error;
use crate::ui::Ui;

use super::uninstall;

/// Arguments of `version`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Do not ask the cluster
    #[arg(long)]
    client: bool,
}

/// Prints the versions.
///
/// # Errors
/// The cluster cannot be asked.
pub async fn run(args: &Args, global: &Global, ui: &mut Ui) -> Result<(), Error> {
    ui.line(format_args!("coracle: {}", env!("CARGO_PKG_VERSION")))?;
    if args.client {
        return Ok(());
    }
    let cluster = connect(global).await?;
    let deployment = Api::<Deployment>::namespaced(cluster.client.clone(), &global.namespace)
        .get_opt("coracle")
        .await
        .map_err(|error| cluster.explain("look for the controller", error))?;
    let image = deployment.and_then(|it| it.spec?.template.spec?.containers.into_iter().next()?.image);
    if let Some(image) = image {
        return ui.line(format_args!("controller: {image}"));
    }
    match uninstall::lease_holder(&cluster, &global.namespace).await? {
        Some((holder, _)) => ui.line(format_args!("controller: `{holder}`, outside of the cluster")),
        None => ui.line(format_args!("controller: none in namespace {}", global.namespace)),
    }
}
