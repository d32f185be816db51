//! Commands with `--watch`: what they print as it happens.

use embedded_cluster::{Fault, Match, Verb};
use serde_json::json;

use crate::terminal::{Terminal, ready, two_kustomizations};

/// Something that happened to the Kustomization `staging`, all of it within one second.
fn happens(terminal: &Terminal, name: &str, message: &str) {
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": { "name": name, "namespace": "flux-system" },
        "involvedObject": {
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "namespace": "flux-system", "name": "staging",
        },
        "type": "Normal", "reason": "Progressing", "message": message,
        "lastTimestamp": "2026-01-01T00:00:00Z",
    });
    terminal.cluster.apply(&event, "test").unwrap();
}

fn last_words(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().skip(4).collect();
    words.join(" ")
}

#[tokio::test]
async fn events_of_the_same_second_are_all_printed_and_once() {
    let terminal = two_kustomizations().await;
    happens(&terminal, "a.1", "the first");
    let mut watching = terminal.start("events --watch");
    assert!(watching.line().await.starts_with("LAST SEEN"));
    assert_eq!(last_words(&watching.line().await), "the first");
    // By its name, it comes before the one that was listed.
    happens(&terminal, "a.0", "the second");
    assert_eq!(last_words(&watching.line().await), "the second");
    happens(&terminal, "a.1", "the first again");
    assert_eq!(last_words(&watching.line().await), "the first again");
    happens(&terminal, "a.2", "the third");
    assert_eq!(last_words(&watching.line().await), "the third");
}

#[tokio::test]
async fn events_that_cannot_be_watched_are_an_error() {
    let terminal = two_kustomizations().await;
    let second = Match::default().verb(Verb::List).resource("", "events").nth(2);
    let words = "events is forbidden: User \"reader\" cannot list resource \"events\"";
    terminal.cluster.faults().add(second, Fault::forbidden(words));
    insta::assert_snapshot!(terminal.run("events --watch").await, @r#"
    LAST SEEN   TYPE      REASON                     OBJECT                                 MESSAGE
    error: cannot watch events: events is forbidden: User "reader" cannot list resource "events"
    hint: Ask for the role `coracle-view` to look, or `admin` to change.
    [4]
    "#);
}

#[tokio::test]
async fn an_object_that_is_not_there_is_not_waited_for() {
    let terminal = two_kustomizations().await;
    insta::assert_snapshot!(terminal.run("get ks stagin --watch").await, @r"
    error: there is no kustomization/stagin in namespace flux-system
    hint: Is `staging` meant?
    [3]
    ");
    insta::assert_snapshot!(terminal.run("get ks staging nope -A --watch").await, @r"
    error: there is no kustomization/nope in any namespace
    hint: `coracle get all -A` prints those that exist.
    [3]
    ");
}

#[tokio::test]
async fn an_object_is_followed() {
    let terminal = two_kustomizations().await;
    let mut watching = terminal.start("get ks staging --watch");
    assert!(watching.line().await.starts_with("NAME"));
    assert!(watching.line().await.starts_with("staging"));
}

#[tokio::test]
async fn of_an_object_that_is_followed_only_what_changes_in_the_table_is_printed() {
    let terminal = two_kustomizations().await;
    let mut watching = terminal.start("get ks staging -o wide --watch");
    assert!(watching.line().await.starts_with("NAME"));
    assert!(
        watching
            .line()
            .await
            .ends_with("image \"web:new\" cannot be pulled")
    );
    let asked = |at: &str| {
        let object = json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {
                "name": "staging", "namespace": "flux-system",
                "annotations": { "reconcile.fluxcd.io/requestedAt": at },
            },
        });
        terminal.cluster.apply(&object, "somebody").unwrap();
    };
    asked("once");
    asked("twice");
    terminal.kustomization(
        "staging",
        &json!({ "conditions": ready("False", "HealthCheckFailed", "the second") }),
    );
    assert!(watching.line().await.ends_with("the second"));
}

#[tokio::test]
async fn an_object_that_is_chosen_again_is_printed_again() {
    let terminal = two_kustomizations().await;
    let becomes = |status: &str| {
        let conditions = ready(status, "HealthCheckFailed", "the same");
        terminal.kustomization("staging", &json!({ "conditions": conditions }));
    };
    becomes("False");
    let mut watching = terminal.start("get ks staging --status-selector ready=false --watch");
    assert!(watching.line().await.starts_with("NAME"));
    let first = watching.line().await;
    becomes("True");
    becomes("False");
    assert_eq!(watching.line().await, first);
}
