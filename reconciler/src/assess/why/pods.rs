//! What keeps one pod from being ready.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::containers::{self, PodView};
use super::{Facts, Outlook, Patience, Reason, Why, entries, event_messages, text};

/// Troubles of a pod; empty when it is ready or only young.
pub(super) fn troubles(pod: &Value, facts: &Facts<'_>, now: Timestamp, patience: &Patience) -> Vec<Why> {
    let status = &pod["status"];
    let mut whys = Vec::new();
    if let Some(condition) = condition(pod, "PodScheduled").filter(|condition| condition["status"] == "False")
    {
        // A node may be added or freed, and a gate lifted.
        whys.push(Why::new(Reason::Unschedulable, Outlook::MayRecover).saying(text(condition, "message")));
    }
    // A pod that failed as a whole; its containers tell less than its own message does.
    if status["phase"] == "Failed" && !text(status, "reason").is_empty() {
        let said = format!("{}: {}", text(status, "reason"), text(status, "message"));
        whys.push(Why::new(Reason::Evicted, Outlook::MayRecover).saying(said.trim_end_matches(": ")));
    }
    let view = PodView {
        pod,
        age: age(pod, now),
        events: facts.events,
        logs: facts.logs,
    };
    whys.extend(containers::troubles(&view, patience));
    if whys.is_empty() && status["phase"] == "Pending" {
        whys.extend(mount_trouble(pod, facts.events));
    }
    let name = text(&pod["metadata"], "name");
    for why in &mut whys {
        why.pod = Some(name.to_owned());
    }
    whys
}

fn mount_trouble(pod: &Value, events: &[Value]) -> Option<Why> {
    let uid = text(&pod["metadata"], "uid");
    // The newest event often is a summary ("timed out waiting for the condition"); the one that names the volume's
    // trouble says more.
    let messages = event_messages(
        events,
        uid,
        &["FailedMount", "FailedAttachVolume", "FailedMapVolume"],
    );
    let telling = messages
        .iter()
        .find(|message| message.contains("failed for volume"))
        .or(messages.first())?;
    Some(Why::new(Reason::Mount, Outlook::MayRecover).saying(telling))
}

/// How long the pod has been on its node, or in the cluster if it is on none.
fn age(pod: &Value, now: Timestamp) -> SignedDuration {
    let times = [&pod["status"]["startTime"], &pod["metadata"]["creationTimestamp"]];
    let since = times
        .into_iter()
        .find_map(|time| time.as_str()?.parse::<Timestamp>().ok());
    since.map_or(SignedDuration::ZERO, |since| now.duration_since(since))
}

fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a Value> {
    entries(&pod["status"], "conditions")
        .iter()
        .find(|condition| condition["type"] == kind)
}
