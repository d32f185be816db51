//! Compares the rules of health with Flux's own code: `fixtures/kstatus/cases.jsonl` is what
//! `fixtures/kstatus/main.go` wrote with `github.com/fluxcd/cli-utils` and `github.com/fluxcd/pkg/runtime`.
#![expect(clippy::unwrap_used, reason = "a broken fixture ends the test")]

use jiff::Timestamp;
use reconciler::assess::status::{Status, StatusKind, compute};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Case {
    object: Value,
    status: String,
    message: String,
}

fn cases() -> Vec<Case> {
    let text = include_str!("fixtures/kstatus/cases.jsonl");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Long after every object of the cases was created.
fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

#[test]
fn every_object_has_the_status_and_the_message_that_flux_gives_it() {
    let cases = cases();
    assert!(cases.len() > 500, "only {} cases", cases.len());
    let differences: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let ours = compute(&case.object, now());
            let same_words = ours.kind == StatusKind::Unknown || ours.message == case.message;
            let same = ours.kind.to_string() == case.status && same_words;
            (!same).then(|| {
                format!(
                    "{}\n  Flux: {} {:?}\n  ours: {ours:?}",
                    case.object, case.status, case.message
                )
            })
        })
        .collect();
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

#[test]
fn the_cases_cover_every_status() {
    let cases = cases();
    for status in ["Current", "InProgress", "Failed", "Terminating", "Unknown"] {
        assert!(
            cases.iter().any(|case| case.status == status),
            "no case is {status}"
        );
    }
}

/// The original asks the clock, so that its answer for a new pod cannot be in the file.
#[test]
fn a_pod_has_fifteen_seconds_to_be_scheduled() {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"},
        ]},
    });
    let after = |seconds: i64| compute(&pod, now() + jiff::SignedDuration::from_secs(seconds));
    let status = |kind, message: &'static str| Status {
        kind,
        message: message.into(),
    };
    assert_eq!(
        after(14),
        status(StatusKind::InProgress, "Pod has not been scheduled")
    );
    assert_eq!(
        after(16),
        status(StatusKind::Failed, "Pod could not be scheduled")
    );
}
