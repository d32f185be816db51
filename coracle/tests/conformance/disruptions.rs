//! What befalls a control plane while the controller works: each test has one of its own, since others would suffer.

use std::collections::BTreeMap;
use std::time::Duration;

use embedded_cluster::Verb;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tests::control_plane::{ControlPlane, Road, Setup};

use crate::admission::config_map;
use crate::installation::Installation;
use crate::team::{KUSTOMIZATION, Team};

/// Objects of a run that takes long enough to be caught in the middle.
const MANY: usize = 200;
/// Objects of a run whose requests are answered one at a time.
const FEW: usize = 40;
/// Nothing here waits for a controller of Kubernetes.
const ALONE: Setup = Setup {
    controllers: "",
    scheduler: false,
    flags: &[],
};

async fn installation(setup: Setup) -> Installation {
    Installation::on(ControlPlane::with(setup).await, "").await
}

impl Team {
    /// Has the Kustomization apply many ConfigMaps; gives the commit.
    async fn apply_many(&self, number: usize) -> String {
        let all: Vec<String> = (0..number)
            .map(|number| config_map(&format!("boat-{number}"), "coracle"))
            .collect();
        let commit = self.commit(&[("boats.yaml", &all.join("---\n"))]).await;
        self.kustomization(&json!({ "timeout": "1m" })).await;
        commit
    }

    /// Waits until a part of them is there.
    async fn until_in_the_middle(&self) {
        self.until("ConfigMap", &format!("boat-{}", MANY / 4), "to be there", |_| {
            true
        })
        .await;
    }

    /// Each of the objects is there, in the inventory, and was made once.
    async fn nothing_is_lost_or_doubled(&self, number: usize, installation: &Installation) {
        let there = self.list("ConfigMap").await.len();
        let kustomization = self.get(KUSTOMIZATION, self.name).await.unwrap();
        let entries = kustomization.data["status"]["inventory"]["entries"]
            .as_array()
            .unwrap()
            .len();
        assert_eq!((there, entries), (number, number));
        let mut made = BTreeMap::<String, usize>::new();
        for audited in installation.requests() {
            let request = audited.request;
            if request.resource == "configmaps" && request.writes() && request.code == 201 {
                *made.entry(request.name).or_default() += 1;
            }
        }
        made.retain(|_, times| *times > 1);
        assert_eq!(made, BTreeMap::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_is_killed_in_the_middle_of_a_run_loses_nothing_and_doubles_nothing() {
    let mut installation = installation(ALONE).await;
    installation.start();
    let team = Team::new(&installation, "killed").await;
    let commit = team.apply_many(MANY).await;
    team.until_in_the_middle().await;
    installation.control_plane.kill_apiserver();
    installation.control_plane.restart_apiserver().await;
    team.ready(&commit).await;
    team.nothing_is_lost_or_doubled(MANY, &installation).await;
    // Its watches were opened again.
    team.edit("ConfigMap", "boat-7", &json!({ "data": { "boat": "barge" } }))
        .await;
    team.until("ConfigMap", "boat-7", "to be corrected", |boat| {
        boat.data["data"]["boat"] == "coracle"
    })
    .await;
    installation.still_leads();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_that_answers_nothing_for_ten_seconds_delays_a_run_and_does_nothing_else() {
    let mut installation = installation(ALONE).await;
    installation.start();
    let team = Team::new(&installation, "frozen").await;
    let commit = team.apply_many(MANY).await;
    team.until_in_the_middle().await;
    installation.control_plane.stop_etcd();
    // No event ends it: this is what happens here.
    tokio::time::sleep(Duration::from_secs(10)).await;
    installation.control_plane.resume_etcd();
    team.ready(&commit).await;
    team.nothing_is_lost_or_doubled(MANY, &installation).await;
    installation.still_leads();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_whose_history_was_compacted_away_begins_anew_and_sees_what_it_missed() {
    // Without its cache the API server answers watches from etcd's history, as it does for what left the cache.
    let mut installation = installation(Setup {
        flags: &[("watch-cache", "false")],
        ..ALONE
    })
    .await;
    let token = installation.kubectl("create token coracle --namespace flux-system --duration 1h");
    let road = Road::to(&installation.control_plane).await;
    let kubeconfig = installation.control_plane.kubeconfig_of(token.trim());
    installation.start_with(&road.kubeconfig(&installation.control_plane, &kubeconfig));
    let team = Team::new(&installation, "history").await;
    let boats = [config_map("lost", "coracle"), config_map("changed", "coracle")].join("---\n");
    let commit = team.commit(&[("boats.yaml", &boats)]).await;
    team.kustomization(&json!({})).await;
    team.ready(&commit).await;

    let seen = team
        .get("ConfigMap", "changed")
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    road.close();
    team.delete("ConfigMap", "lost").await;
    team.edit("ConfigMap", "changed", &json!({ "data": { "boat": "barge" } }))
        .await;
    installation.control_plane.compact();
    let path = format!("/api/v1/namespaces/history/configmaps?watch=true&resourceVersion={seen}");
    let line = installation.kubectl(&format!("get --raw {path}"));
    assert!(
        line.contains(r#""type":"ERROR""#) && line.contains(r#""code":410"#),
        "{line}"
    );
    road.open();
    team.until("ConfigMap", "lost", "to be there again", |_| true)
        .await;
    team.until("ConfigMap", "changed", "to be corrected", |boat| {
        boat.data["data"]["boat"] == "coracle"
    })
    .await;
    installation.still_leads();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expires_is_named_and_the_next_one_in_its_file_is_taken_without_a_restart() {
    let mut installation = installation(ALONE).await;
    let uid = installation
        .kubectl("get serviceaccount coracle --namespace flux-system --output jsonpath={.metadata.uid}");
    let file = installation.folder().join("token");
    let issue = |installation: &Installation, seconds: i64| {
        let ends = Timestamp::now() + SignedDuration::from_secs(seconds);
        let token = installation
            .control_plane
            .token("flux-system", "coracle", &uid, ends);
        // As the kubelet does it: no reader ever sees a half.
        let new = file.with_extension("new");
        std::fs::write(&new, token).unwrap();
        std::fs::rename(&new, &file).unwrap();
    };
    // The API server takes a token for a minute longer than it lasts, and remembers for ten seconds whom it knew.
    issue(&installation, -55);
    installation.start_with(&installation.control_plane.kubeconfig_of_file(&file));
    let team = Team::new(&installation, "expired").await;
    let commit = team
        .commit(&[("boat.yaml", &config_map("boat", "coracle"))])
        .await;
    team.kustomization(&json!({})).await;
    team.ready(&commit).await;

    installation
        .until_unknown(&std::fs::read_to_string(&file).unwrap())
        .await;
    let commit = team.commit(&[("boat.yaml", &config_map("boat", "ferry"))]).await;
    installation
        .until_logged("the API server does not accept the credentials (401 Unauthorized)")
        .await;
    issue(&installation, 3600);
    team.ready(&commit).await;
    installation.still_leads();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_throttles_is_left_alone_for_as_long_as_it_says() {
    let mut installation = installation(Setup {
        flags: &[
            ("max-requests-inflight", "40"),
            ("max-mutating-requests-inflight", "20"),
        ],
        ..ALONE
    })
    .await;
    let team = Team::new(&installation, "throttled").await;
    for object in narrow() {
        team.apply(&object).await;
    }
    installation.start();
    let commit = team.apply_many(FEW).await;
    team.ready(&commit).await;
    team.nothing_is_lost_or_doubled(FEW, &installation).await;
    installation.still_leads();

    let requests = installation.requests();
    let (mut turned_away, mut early) = (0, Vec::new());
    for (index, refused) in requests.iter().enumerate() {
        let key = &refused.request;
        if key.code != 429 || key.verb == Some(Verb::Watch) {
            continue;
        }
        turned_away += 1;
        let same = |other: &&tests::control_plane::Audited| {
            let other = &other.request;
            (other.verb, &other.name, &other.resource, other.dry_run)
                == (key.verb, &key.name, &key.resource, key.dry_run)
        };
        let again = requests[index + 1..].iter().find(same);
        let waited = again.map(|again| again.came.duration_since(refused.answered));
        if waited.is_some_and(|waited| waited.as_millis() < 990) && !key.name.is_empty() {
            early.push(format!("{key} after {waited:?}"));
        }
    }
    assert!(turned_away > 0, "the server throttles nobody");
    assert_eq!(early, [] as [&str; 0]);
}

/// Has the API server answer one request of the controller at a time, and turn away who comes meanwhile.
fn narrow() -> [serde_json::Value; 2] {
    let api = "flowcontrol.apiserver.k8s.io/v1";
    let level = json!({
        "apiVersion": api, "kind": "PriorityLevelConfiguration", "metadata": { "name": "narrow" },
        "spec": { "type": "Limited", "limited": {
            "nominalConcurrencyShares": 1, "lendablePercent": 0, "borrowingLimitPercent": 0,
            "limitResponse": { "type": "Reject" },
        } },
    });
    let anything = json!({ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true });
    let flow = json!({
        "apiVersion": api, "kind": "FlowSchema", "metadata": { "name": "narrow" },
        "spec": {
            "priorityLevelConfiguration": { "name": "narrow" }, "matchingPrecedence": 50,
            "rules": [{
                "subjects": [{ "kind": "ServiceAccount", "serviceAccount": { "name": "coracle", "namespace": "flux-system" } }],
                "resourceRules": [anything],
                "nonResourceRules": [{ "verbs": ["*"], "nonResourceURLs": ["*"] }],
            }],
        },
    });
    [level, flow]
}
