//! A cluster goes from Flux to Coracle and back, and nothing in it changes.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tests::observe::ids;
use tests::world::{KUSTOMIZE_API, NAMESPACE, SOURCE_API, furniture};

use crate::holding::{folder, read};
use crate::player::{Contender, Stage};
use crate::recording::title;
use crate::scenario::{Flags, Scenario};

/// What tells that an object was written.
fn versions(objects: &[Value]) -> BTreeMap<String, Value> {
    let version = |object: &Value| {
        let metadata = &object["metadata"];
        json!({
            "uid": metadata["uid"], "generation": metadata["generation"],
            "resourceVersion": metadata["resourceVersion"], "managedFields": metadata["managedFields"],
        })
    };
    let versions = objects.iter().map(|object| (title(object), version(object)));
    versions.collect()
}

/// What a GitRepository or a Kustomization is to its owner: what nobody but its owner may change.
fn owned_by_people(stage: &Stage) -> BTreeMap<String, Value> {
    let kinds = [(SOURCE_API, "GitRepository"), (KUSTOMIZE_API, "Kustomization")];
    let objects = kinds
        .into_iter()
        .flat_map(|(api_version, kind)| stage.world.cluster.list(api_version, kind, NAMESPACE));
    let kept = objects.map(|object| {
        let metadata = &object["metadata"];
        let mut inventory = ids(&object);
        inventory.sort();
        let kept = json!({
            "uid": metadata["uid"], "generation": metadata["generation"], "spec": object["spec"],
            "inventory": inventory,
        });
        (title(&object), kept)
    });
    kept.collect()
}

impl Stage {
    /// Has the source and the Kustomization looked at by whoever reconciles now.
    async fn look_at_everything(&self, token: &str) {
        self.world.poll_and_wait("app", token).await;
        let kustomization = self.world.reconcile("app", token).await;
        assert!(tests::world::is_ready(&kustomization), "{kustomization:#}");
    }
}

/// Has one of the two apply everything, then the other one look at it, then the first one again.
async fn goes_to_the_other_and_back(first: Contender, other: Contender) {
    let scenario: Scenario = read(&folder("handover.yaml"));
    let mut stage = Stage::new().await;
    stage.start(first, &Flags::default()).await;
    stage.play(&scenario.steps).await;
    let before = versions(&stage.owned());
    let people = owned_by_people(&stage);
    assert_eq!(before.len(), 16, "{:#?}", before.keys());
    stage.stop().await;

    for contender in [other, first] {
        if contender == Contender::Coracle {
            // As `coracle install` does.
            stage.install(&furniture()).await;
        }
        stage.start(contender, &Flags::default()).await;
        stage.look_at_everything(&format!("{contender:?}")).await;
        assert_eq!(
            versions(&stage.owned()),
            before,
            "{contender:?} wrote to an object"
        );
        assert_eq!(owned_by_people(&stage), people, "{contender:?}");
        stage.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_goes_from_flux_to_coracle_and_back_changes_no_object() {
    goes_to_the_other_and_back(Contender::Flux, Contender::Coracle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_goes_from_coracle_to_flux_and_back_changes_no_object() {
    goes_to_the_other_and_back(Contender::Coracle, Contender::Flux).await;
}
