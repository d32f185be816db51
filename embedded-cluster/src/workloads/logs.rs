//! Pod logs.
//!
//! In: a pod, its behaviour, the query. Out: text. No I/O.

use serde_json::Value;

use super::behaviour::{self, Behaviour};
use super::pods::facts;
use crate::answer::ApiError;
use crate::api::{Answer, Api};
use crate::object;
use crate::request::Request;
use crate::store::Key;

/// GET of a pod's log.
pub(crate) fn log(api: &Api, request: &Request) -> Result<Answer, ApiError> {
    let target = &request.target;
    let key = Key::new(&target.namespace, &target.name);
    let pod = api.store.lock().get("/pods", &key).cloned();
    let about = crate::answer::About {
        group: "",
        plural: "pods",
        kind: "Pod",
        name: &target.name,
    };
    let pod = pod.ok_or_else(|| ApiError::not_found(about))?;
    let container = container(&pod.value, request.query.get("container"))?;
    let statuses = object::items(&pod.value, &["status", "containerStatuses"]).iter();
    let inits = object::items(&pod.value, &["status", "initContainerStatuses"]);
    let status = statuses
        .chain(inits)
        .find(|status| object::text(status, &["name"]) == container);
    check_started(&pod.value, container, status, request.query.flag("previous"))?;
    let behaviour = behaviour::of(&api.workloads.lock().rules, &facts(&pod.value));
    let text = match behaviour {
        Behaviour::Crash { log, .. } => log,
        Behaviour::OutOfMemory => "allocating\n".into(),
        _ => "started\n".into(),
    };
    Ok(Answer::Text(cut(&text, request)))
}

fn container<'a>(pod: &'a Value, wanted: Option<&str>) -> Result<&'a str, ApiError> {
    let names = |list: &str| -> Vec<&'a str> {
        object::items(pod, &["spec", list])
            .iter()
            .map(|container| object::text(container, &["name"]))
            .collect()
    };
    let (containers, inits) = (names("containers"), names("initContainers"));
    let pod_name = object::meta(pod, "name");
    match (wanted, containers.as_slice()) {
        (Some(wanted), all) => all
            .iter()
            .chain(&inits)
            .copied()
            .find(|name| *name == wanted)
            .ok_or_else(|| {
                ApiError::bad_request(format!("container {wanted} is not valid for pod {pod_name}"))
            }),
        (None, [one]) => Ok(one),
        (None, many) => {
            let default = object::text(
                pod,
                &[
                    "metadata",
                    "annotations",
                    "kubectl.kubernetes.io/default-container",
                ],
            );
            let chosen = many.iter().copied().find(|name| *name == default);
            chosen.ok_or_else(|| {
                let mut choice = format!(
                    "a container name must be specified for pod {pod_name}, choose one of: [{}]",
                    many.join(" ")
                );
                if !inits.is_empty() {
                    choice.push_str(&format!(" or one of the init containers: [{}]", inits.join(" ")));
                }
                ApiError::bad_request(choice)
            })
        }
    }
}

fn check_started(
    pod: &Value,
    container: &str,
    status: Option<&Value>,
    previous: bool,
) -> Result<(), ApiError> {
    let name = object::meta(pod, "name");
    let waiting = status.map_or("", |status| object::text(status, &["state", "waiting", "reason"]));
    let ended_before =
        status.is_some_and(|status| object::at(status, &["lastState", "terminated"]).is_some());
    if previous && !ended_before {
        return Err(ApiError::bad_request(format!(
            "previous terminated container {container:?} in pod {name:?} not found"
        )));
    }
    let why = match waiting {
        "ErrImagePull" | "ImagePullBackOff" => "trying and failing to pull image",
        "ContainerCreating" => "ContainerCreating",
        _ if status.is_none() => "pod is not scheduled yet",
        _ => return Ok(()),
    };
    Err(ApiError::bad_request(format!(
        "container {container:?} in pod {name:?} is waiting to start: {why}"
    )))
}

fn cut(text: &str, request: &Request) -> String {
    let number = |key: &str| {
        request
            .query
            .get(key)
            .and_then(|number| number.parse::<usize>().ok())
    };
    let lines: Vec<&str> = text.lines().collect();
    let first = number("tailLines").map_or(0, |tail| lines.len().saturating_sub(tail));
    let mut out = String::with_capacity(text.len());
    for line in lines.iter().skip(first) {
        out.push_str(line);
        out.push('\n');
    }
    if let Some(limit) = number("limitBytes") {
        let end = (0..=limit.min(out.len()))
            .rev()
            .find(|end| out.is_char_boundary(*end))
            .unwrap_or(0);
        out.truncate(end);
    }
    out
}
