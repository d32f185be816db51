//! Applies many objects over HTTPS and prints how fast that went: `load [objects] [at once]`.

use std::time::Instant;

use embedded_cluster::{Cluster, Config};
use futures::{StreamExt, TryStreamExt};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

fn object(number: usize) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": format!("web-{number}"), "namespace": "default", "labels": {"app": "web", "team": "shop"}},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{
                    "name": "web", "image": "web:1", "ports": [{"containerPort": 80}],
                    "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                    "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
                }]},
            },
        },
    })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let argument = |n: usize| std::env::args().nth(n).and_then(|text| text.parse().ok());
    let (objects, at_once): (usize, usize) = (argument(1).unwrap_or(4000), argument(2).unwrap_or(8));
    let cluster = Cluster::start(Config::default()).await?;
    let kubeconfig = Kubeconfig::from_yaml(&cluster.kubeconfig())?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let client = kube::Client::try_from(config)?;
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"));
    let api: &Api<DynamicObject> = &Api::namespaced_with(client, "default", &resource);
    for round in ["create", "no-op", "dry run"] {
        let start = Instant::now();
        let params = &PatchParams::apply("load");
        let params = &if round == "dry run" {
            params.clone().dry_run()
        } else {
            params.clone()
        };
        futures::stream::iter(0..objects)
            .map(|number| async move {
                api.patch(&format!("web-{number}"), params, &Patch::Apply(object(number)))
                    .await
            })
            .buffer_unordered(at_once)
            .try_for_each(|_| async { Ok(()) })
            .await?;
        let seconds = start.elapsed().as_secs_f64();
        #[expect(clippy::print_stdout, reason = "this program exists to print this")]
        {
            println!(
                "{round}: {objects} in {seconds:.2} s, {:.0}/s",
                objects as f64 / seconds
            );
        }
    }
    Ok(())
}
