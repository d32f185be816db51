//! Secrets are planted everywhere and every failure that may quote them is provoked: none of them leaves the
//! controller, by a log line, an Event, a condition or a number.

use base64::Engine as _;
use embedded_cluster::Behaviour;
use reconciler::report::redact::MASK;
use serde_json::{Value, json};
use tests::world::{KUSTOMIZE_API, NAMESPACE, SOURCE_API, condition, workspace};

use crate::{Needs, Scene, deployment_of};

/// What is planted, and must not be found. The first two are in the fixture that `sops` encrypted.
const PLANTED: [&str; 10] = [
    "planted-password",
    "planted-token",
    "planted-Wrong-Password1",
    "planted-Right-Password2",
    "planted-Variable3",
    "planted-Broken4",
    "planted-Plain5",
    "planted-Url-Password7",
    "AGE-SECRET-KEY-1PLANTEDPLANTEDPLANTEDPLANTEDPLANTEDPLANTEDPLANTEDPLA",
    "planted-Rotated8",
];

fn fixture(path: &str) -> String {
    std::fs::read_to_string(workspace("reconciler/tests/fixtures/sops").join(path)).unwrap()
}

fn secret(name: &str, field: &str, key: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n  namespace: default\n{field}:\n  {key}: {value}\n"
    )
}

/// Everything that the controller wrote into the cluster about its own objects.
fn written(scene: &Scene) -> String {
    let cluster = &scene.world.cluster;
    let statuses = [(SOURCE_API, "GitRepository"), (KUSTOMIZE_API, "Kustomization")]
        .into_iter()
        .flat_map(|(api, kind)| {
            cluster
                .list(api, kind, NAMESPACE)
                .into_iter()
                .map(|object| object["status"].clone())
                .collect::<Vec<_>>()
        });
    let events = cluster.list("v1", "Event", "");
    statuses.chain(events).map(|value| format!("{value}\n")).collect()
}

/// Waits until `app` failed and an Event says so, in words that have something masked.
async fn until_masked(scene: &Scene, commit: &str, reason: &str) {
    let told = scene.until_failed_at("app", commit, reason).await;
    assert!(
        told.contains(MASK),
        "nothing is masked, so nothing is tested: {told}"
    );
}

async fn provoke(scene: &mut Scene) {
    scene.server.require(&format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode("git:planted-Right-Password2")
    ));
    let password = |password: &str| [("username", "git".to_owned()), ("password", password.to_owned())];
    let borrowed = |pairs: &[(&'static str, String)]| -> Vec<(&'static str, String)> { pairs.to_vec() };
    let put = |scene: &Scene, name: &str, pairs: &[(&'static str, String)]| {
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (*key, value.as_str())).collect();
        scene.world.secret(name, &pairs);
    };
    put(scene, "git", &borrowed(&password("planted-Wrong-Password1")));
    put(scene, "keys", &[("age.agekey", PLANTED[8].to_owned())]);
    put(scene, "variables", &[("kind", "planted-Variable3".to_owned())]);
    scene.upstream.write(
        "app/plain.yaml",
        secret("plain", "stringData", "password", "planted-Plain5"),
    );
    scene
        .upstream
        .write("app/settings.yaml", crate::config_map("settings", "one"));
    let first = scene
        .upstream
        .commit("app/sops.yaml", &fixture("encrypted/secret.yaml"));
    scene.world.git_repository_with(
        "app",
        &json!({"ref": {"branch": "main"}, "secretRef": {"name": "git"}}),
    );
    scene.world.kustomization(
        "app",
        "app",
        "./app",
        &json!({
            "targetNamespace": "default", "wait": true, "timeout": "20s",
            "decryption": {"provider": "sops", "secretRef": {"name": "keys"}},
            "postBuild": {"substituteFrom": [{"kind": "Secret", "name": "variables"}]},
        }),
    );
    scene.world.start().await;

    // Refused credentials, and an identity that is none.
    scene
        .world
        .until_told(SOURCE_API, "GitRepository", "app", "AuthenticationFailed")
        .await;
    put(scene, "git", &borrowed(&password("planted-Right-Password2")));
    scene.until_failed_at("app", &first, "BuildFailed").await;
    put(scene, "keys", &[("age.agekey", fixture("test-only-a.agekey"))]);
    scene.world.until_applied("app", &first).await;

    // The API server quotes what it refuses.
    let refused = scene.push_file("app/more.yaml", &crate::config_map("${kind}", "any"));
    until_masked(scene, &refused, "ReconciliationFailed").await;

    // A value that makes the YAML invalid.
    put(scene, "variables", &[("kind", "\"planted-Broken4".to_owned())]);
    let broken = scene.push_file("app/more.yaml", &crate::config_map("${kind}", "any"));
    scene.until_failed_at("app", &broken, "BuildFailed").await;

    // A value that was just replaced, and a log that prints all there is.
    put(scene, "variables", &[("kind", "planted-Rotated8".to_owned())]);
    // These two are known as part of a longer value, and not yet.
    let later = ["planted-Broken4", "planted-Url-Password7"];
    let known: Vec<&str> = PLANTED
        .into_iter()
        .filter(|planted| !later.contains(planted))
        .collect();
    let log = format!("cannot log in: {}\n", known.join(" "));
    scene
        .workloads()
        .when_image("web:1", Behaviour::Crash { exit_code: 1, log });
    scene
        .upstream
        .write("app/more.yaml", crate::config_map("kind", "${kind}"));
    let crash = scene.push_file("app/web.yaml", &deployment_of("web", "web:1"));
    until_masked(scene, &crash, "HealthCheckFailed").await;

    // A password in a URL, of a host that is not there and of one that is.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for (name, host) in [
        ("away", free.to_string()),
        (
            "here",
            scene.world.url()["http://".len()..].replace("/repo.git", ""),
        ),
    ] {
        let url = format!("http://someone:planted-Url-Password7@{host}/absent.git");
        scene.world.git_repository_with(name, &json!({"url": url}));
        scene
            .world
            .until(SOURCE_API, "GitRepository", NAMESPACE, name, "told", |object| {
                condition(object, "Ready").is_some_and(|ready| ready["status"] == "False")
            })
            .await;
        let message = condition(&scene.world.get_source(name), "Ready").unwrap()["message"].clone();
        let reason = condition(&scene.world.get_source(name), "Ready").unwrap()["reason"].clone();
        scene
            .world
            .until_event_says(
                "GitRepository",
                name,
                reason.as_str().unwrap(),
                message.as_str().unwrap(),
            )
            .await;
    }

    // Drift of a Secret is put back, and told by name only.
    let stolen: Value = json!({"stringData": {"password": "somebody-elses"}});
    scene
        .world
        .edit("v1", "Secret", "default", "plain", &stolen)
        .await;
}

fn assert_clean(what: &str, text: &str) {
    assert!(!text.is_empty(), "there is nothing in {what}");
    for planted in PLANTED {
        let encoded = base64::engine::general_purpose::STANDARD.encode(planted);
        for form in [planted, encoded.trim_end_matches('=')] {
            let found = text.lines().find(|line| line.contains(form));
            assert_eq!(found, None, "{what} shows {planted}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_planted_secret_leaves_by_logs_events_conditions_or_metrics() {
    let mut scene = Scene::with(Needs::Workloads).empty().await;
    scene.world.log_everything();
    provoke(&mut scene).await;
    assert_clean("a status or an Event", &written(&scene));
    assert_clean("a number", &scene.world.metrics_shown());
    scene.world.stop().await;
    assert_clean("a log line", &scene.world.log().text());
}
