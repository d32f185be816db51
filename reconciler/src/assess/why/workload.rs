//! What a workload's own fields and events say.

use serde_json::Value;

use super::{Facts, Outlook, Reason, Why, entries, event_messages, owned, text};

/// Troubles that do not show in any pod.
pub(super) fn troubles(facts: &Facts<'_>) -> Vec<Why> {
    let workload = facts.workload;
    match text(workload, "kind") {
        "Deployment" => deployment(facts),
        "Job" => job_failure(workload)
            .or_else(|| refused_by_event(facts))
            .into_iter()
            .collect(),
        "PersistentVolumeClaim" => claim_trouble(workload, facts.events).into_iter().collect(),
        "StatefulSet" | "DaemonSet" => refused_by_event(facts).into_iter().collect(),
        "ReplicaSet" => refused_by_condition(workload).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn deployment(facts: &Facts<'_>) -> Vec<Why> {
    let sets = owned::replica_sets(facts);
    let refused =
        refused_by_condition(facts.workload).or_else(|| sets.first().copied().and_then(refused_by_condition));
    let paused = facts.workload["spec"]["paused"] == true;
    let pause = paused.then(|| Why::new(Reason::Paused, Outlook::Hopeless));
    refused.into_iter().chain(pause).collect()
}

fn refused_by_condition(object: &Value) -> Option<Why> {
    let failure = entries(&object["status"], "conditions")
        .iter()
        .find(|condition| condition["type"] == "ReplicaFailure" && condition["status"] == "True")?;
    Some(pods_refused(text(failure, "message")))
}

/// StatefulSets, DaemonSets and Jobs have no condition for it.
fn refused_by_event(facts: &Facts<'_>) -> Option<Why> {
    let uid = text(&facts.workload["metadata"], "uid");
    let messages = event_messages(facts.events, uid, &["FailedCreate"]);
    messages.first().map(|message| pods_refused(message))
}

fn pods_refused(message: &str) -> Why {
    // A quota may be raised and an account created by others; what the pod itself asks for stays refused.
    let by_its_spec = message.contains("violates PodSecurity") || message.contains("is invalid");
    let outlook = if by_its_spec {
        Outlook::Hopeless
    } else {
        Outlook::MayRecover
    };
    Why::new(Reason::PodsRefused, outlook).saying(message)
}

fn job_failure(job: &Value) -> Option<Why> {
    let failure = entries(&job["status"], "conditions")
        .iter()
        .find(|condition| condition["type"] == "Failed" && condition["status"] == "True")?;
    let said = format!("{}: {}", text(failure, "reason"), text(failure, "message"));
    Some(Why::new(Reason::JobFailed, Outlook::Hopeless).saying(said.trim_matches([':', ' '])))
}

/// Why a claim is not bound; `None` when it is.
pub(super) fn claim_trouble(claim: &Value, events: &[Value]) -> Option<Why> {
    let phase = text(&claim["status"], "phase");
    if claim["kind"] != "PersistentVolumeClaim" || phase == "Bound" {
        return None;
    }
    let metadata = &claim["metadata"];
    let reasons = [
        "ProvisioningFailed",
        "FailedBinding",
        "WaitForFirstConsumer",
        "ExternalProvisioning",
    ];
    let said = event_messages(events, text(metadata, "uid"), &reasons);
    let said = said.first().copied().unwrap_or("nothing has provisioned it yet");
    let name = text(metadata, "name");
    Some(Why::new(Reason::ClaimPending, Outlook::MayRecover).saying(&format!("{name:?}: {said}")))
}
