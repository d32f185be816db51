//! What is known about controllers, as lines and as one object. Pure.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Deployment, Hold, Pod, Seen, Standing, Verdict};
use crate::objects::age;

/// A line for each thing that was looked at: what it is, and how it stands.
#[must_use]
pub fn lines(standing: &Standing, now: Timestamp) -> Vec<(&'static str, String)> {
    let mut lines = vec![("installed", installed(standing))];
    if let Ok(Some(deployment)) = &standing.deployment {
        lines.extend(pods(deployment).into_iter().map(|pod| ("pod", pod)));
    }
    lines.push(("lease", known(&standing.hold, |hold| lease(hold.as_ref(), now))));
    lines.push((
        "flux",
        known(&standing.flux, |flux| match flux.as_slice() {
            [] => "none of its controllers runs".to_owned(),
            running => running
                .iter()
                .map(|it| format!("Deployment {} has replicas, {} ready", it.name, it.ready))
                .collect::<Vec<_>>()
                .join(", "),
        }),
    ));
    lines.push((
        "works",
        match standing.verdict() {
            Verdict::Works(who) => format!("yes: {who}"),
            Verdict::Idle { why, .. } => format!("no: {why}"),
            Verdict::Unknown(why) => format!("not known: {why}"),
        },
    ));
    lines
}

fn known<T>(seen: &Seen<T>, say: impl FnOnce(&T) -> String) -> String {
    match seen {
        Ok(seen) => say(seen),
        Err(why) => format!("not known: {why}"),
    }
}

fn installed(standing: &Standing) -> String {
    match (&standing.missing, &standing.deployment) {
        (Ok(missing), _) if !missing.is_empty() => format!("no: the cluster lacks {}", missing.join(" and ")),
        (_, Ok(Some(deployment))) => format!(
            "yes: Deployment {}/coracle with the image {}",
            standing.namespace, deployment.image
        ),
        (_, Ok(None)) => format!(
            "definitions only: there is no Deployment coracle in namespace {}",
            standing.namespace
        ),
        (_, Err(why)) => format!("not known: {why}"),
    }
}

fn pods(deployment: &Deployment) -> Vec<String> {
    let pods = match &deployment.pods {
        Ok(pods) => pods,
        Err(why) => return vec![format!("not known: {why}")],
    };
    if pods.is_empty() {
        let why = deployment.troubles.first().map(|trouble| trouble.text.as_str());
        let none = match deployment.replicas {
            0 => "none: the Deployment is scaled to no replicas",
            _ => why.unwrap_or("none yet"),
        };
        return vec![none.to_owned()];
    }
    pods.iter().map(|pod| state(pod, deployment)).collect()
}

fn state(pod: &Pod, deployment: &Deployment) -> String {
    let trouble = deployment
        .troubles
        .iter()
        .find(|trouble| trouble.pod.as_deref() == Some(&pod.name));
    let phase = pod.phase.to_lowercase();
    match trouble {
        // The sentence names the pod again.
        Some(trouble) => {
            let named = format!("pod {}: ", pod.name);
            let text = trouble.text.strip_prefix(&named).unwrap_or(&trouble.text);
            format!("{} is {phase}: {text}", pod.name)
        }
        None if pod.ready => format!("{} is {phase} and ready", pod.name),
        None => format!("{} is {phase}, not ready", pod.name),
    }
}

fn lease(hold: Option<&Hold>, now: Timestamp) -> String {
    match hold {
        None => "nobody holds it".to_owned(),
        Some(hold) => {
            let renewed = format!("renewed {} ago", age(hold.renewed, now));
            match hold.lasts {
                true => format!("held by {}, {renewed}", hold.holder),
                false => format!("nobody holds it; {} held it last, {renewed}", hold.holder),
            }
        }
    }
}

/// Everything as one object; what is not known is null.
#[must_use]
pub fn as_json(standing: &Standing) -> Value {
    let deployment = standing.deployment.as_ref().ok().and_then(Option::as_ref);
    let pods = deployment.and_then(|it| it.pods.as_ref().ok()).map(|pods| {
        pods.iter()
            .map(|pod| json!({ "name": pod.name, "phase": pod.phase, "ready": pod.ready }))
            .collect::<Vec<_>>()
    });
    let hold = standing.hold.as_ref().ok().and_then(Option::as_ref);
    let flux = standing.flux.as_ref().ok().map(|running| {
        running
            .iter()
            .map(|it| json!({ "name": it.name, "ready": it.ready }))
            .collect::<Vec<_>>()
    });
    let (works, who, why, remedy) = match standing.verdict() {
        Verdict::Works(who) => (Some(true), Some(who), None, None),
        Verdict::Idle { why, remedy } => (Some(false), None, Some(why), Some(remedy)),
        Verdict::Unknown(why) => (None, None, Some(why), None),
    };
    json!({
        "namespace": standing.namespace,
        "definitions": standing.has_definitions(),
        "image": deployment.map(|it| &it.image),
        "pods": pods,
        "troubles": deployment.map(|it| it.troubles.iter().map(|trouble| json!({
            "pod": trouble.pod, "reason": trouble.reason.as_str(), "message": trouble.text,
        })).collect::<Vec<_>>()),
        "lease": hold.map(|hold| json!({
            "holder": hold.holder,
            "held": hold.lasts,
            "renewed": hold.renewed.map(|time| time.to_string()),
        })),
        "flux": flux,
        "works": works, "who": who, "why": why, "remedy": remedy,
    })
}
