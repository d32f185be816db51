//! `coracle build`: prints what a Kustomization would apply. Does I/O: reads files, asks the cluster.

use crate::cli::Global;
use crate::error::Error;
use crate::preview::{self, inputs};
use crate::ui::{Ui, yaml};

/// Arguments of `build`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:\n  \
coracle build --path apps/shop/overlays/staging --age-key clusters/demo/sops-demo.agekey\n  \
coracle build shop-staging --kustomization clusters/demo/staging.yaml --offline --age-key clusters/demo/sops-demo.agekey\n  \
coracle build shop-staging")]
pub struct Args {
    /// The Kustomization [default: the one in --kustomization; without that, the plain folder --path]
    name: Option<String>,
    #[command(flatten)]
    inputs: inputs::InputArgs,
    /// Print the values of Secrets as well
    #[arg(long)]
    show_secrets: bool,
}

/// Prints the objects as YAML.
///
/// # Errors
/// The files are wrong, or something that they need cannot be found.
pub async fn run(args: &Args, global: &Global, ui: &mut Ui) -> Result<(), Error> {
    let inputs = args.inputs.gather(args.name.as_deref(), global).await?;
    let built = preview::build(&inputs)?;
    for (index, object) in built.objects.into_iter().enumerate() {
        let mut value = object.value;
        if !args.show_secrets {
            built.redactor.mask_object(&mut value);
        }
        if index > 0 {
            ui.line("---")?;
        }
        ui.text(&yaml(&value))?;
    }
    Ok(())
}
