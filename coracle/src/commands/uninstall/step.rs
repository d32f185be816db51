//! One thing that `uninstall` does to one object. Does I/O through the cluster's client.

use std::time::Duration;

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use reconciler::api::FINALIZER;
use serde_json::json;

use crate::connect::Cluster;
use crate::error::{Error, Kind};
use crate::objects::ObjectKind;
use crate::ui::Ui;

/// How long the API server may take to delete the objects of a definition.
const DEFINITION_END: Duration = Duration::from_secs(60);

/// One thing to do, on one object.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) act: Act,
    pub(super) kind: &'static str,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Delete,
    RemoveFinalizer,
    /// The deletion of its definition takes it along: nothing more is done, and nothing said of it.
    GoWithDefinition,
}

impl Step {
    /// What it does: "delete ...".
    pub(super) fn display(&self) -> String {
        let name = self.object();
        match self.act {
            Act::Delete => format!("delete {name}"),
            Act::RemoveFinalizer => format!("remove the finalizer of {name}"),
            Act::GoWithDefinition => format!("delete {name} with its definition"),
        }
    }

    /// What it did: "deleted ...".
    fn done(&self) -> String {
        let name = self.object();
        match self.act {
            Act::Delete => format!("deleted {name}"),
            Act::RemoveFinalizer => format!("removed the finalizer of {name}"),
            Act::GoWithDefinition => format!("deleted {name} with its definition"),
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
        cluster.api(group, self.kind, self.namespace.as_deref())
    }

    /// Does it and says so. What went by itself meanwhile is no deed.
    pub(super) async fn carry_out(&self, cluster: &Cluster, ui: &mut Ui) -> Result<(), Error> {
        let api = self.api(cluster);
        let outcome = match self.act {
            Act::Delete => api
                .delete(&self.name, &DeleteParams::background())
                .await
                .map(drop),
            Act::RemoveFinalizer => remove_finalizer(&api, &self.name).await,
            Act::GoWithDefinition => return Ok(()),
        };
        match outcome {
            Ok(()) => ui.line(self.done()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(cluster.explain(&self.display(), error)),
        }
    }

    /// A definition goes after its objects, which the API server deletes one by one.
    pub(super) async fn await_end(&self, cluster: &Cluster) -> Result<(), Error> {
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
