//! What keeps one container from being ready.

use jiff::SignedDuration;
use serde_json::Value;

use super::{
    LOG_LINE_LIMIT, LogTail, Outlook, Patience, Reason, Why, entries, event_messages, one_line, text,
};

/// A pod and what is known about it.
pub(super) struct PodView<'a> {
    pub(super) pod: &'a Value,
    pub(super) age: SignedDuration,
    pub(super) events: &'a [Value],
    pub(super) logs: &'a [LogTail],
}

/// One container: its spec and its status.
struct Container<'a> {
    name: &'a str,
    init: bool,
    spec: &'a Value,
    status: &'a Value,
}

/// Troubles of a pod's containers. The first init container that has any hides all that come after it.
pub(super) fn troubles(view: &PodView<'_>, patience: &Patience) -> Vec<Why> {
    let init = containers(view.pod, "initContainers", "initContainerStatuses", true);
    if let Some(why) = init
        .iter()
        .find_map(|container| trouble(view, container, patience))
    {
        return vec![why];
    }
    let main = containers(view.pod, "containers", "containerStatuses", false);
    main.iter()
        .filter_map(|container| trouble(view, container, patience))
        .collect()
}

fn containers<'a>(pod: &'a Value, specs: &str, statuses: &str, init: bool) -> Vec<Container<'a>> {
    let specs = entries(&pod["spec"], specs);
    entries(&pod["status"], statuses)
        .iter()
        .map(|status| {
            let name = text(status, "name");
            let spec = specs
                .iter()
                .find(|spec| text(spec, "name") == name)
                .unwrap_or(&Value::Null);
            Container {
                name,
                init,
                spec,
                status,
            }
        })
        .collect()
}

fn trouble(view: &PodView<'_>, container: &Container<'_>, patience: &Patience) -> Option<Why> {
    let state = &container.status["state"];
    let waiting = &state["waiting"];
    let why = match text(waiting, "reason") {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => Some(image_pull(view, container, patience)),
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "PreCreateHookError"
        | "PreStartHookError"
        | "PostStartHookError" => Some(cannot_start(text(waiting, "message"))),
        "CrashLoopBackOff" => Some(crash(
            view,
            container,
            &container.status["lastState"]["terminated"],
            patience,
        )),
        _ if state["terminated"].is_object() => {
            let failed = state["terminated"]["exitCode"].as_i64() != Some(0);
            failed.then(|| crash(view, container, &state["terminated"], patience))
        }
        _ if state["running"].is_object() => unready(view, container, patience),
        _ => None,
    }?;
    let restarts = container.status["restartCount"].as_i64().unwrap_or_default();
    Some(Why {
        container: Some(container.name.to_owned()),
        init: container.init,
        restarts,
        ..why
    })
}

fn image_pull(view: &PodView<'_>, container: &Container<'_>, patience: &Patience) -> Why {
    let waiting = &container.status["state"]["waiting"];
    let reason = text(waiting, "reason");
    let image = text(container.spec, "image");
    let mut words = registry_words(text(waiting, "message"), image);
    if words.is_empty() {
        // Kubelets before 1.31 tell the cause in an event only.
        let uid = text(&view.pod["metadata"], "uid");
        let quoted = format!("\"{image}\"");
        let events = event_messages(view.events, uid, &["Failed"]);
        let about = events
            .iter()
            .find(|message| message.starts_with("Failed to pull") && message.contains(&quoted));
        words = about
            .map(|message| registry_words(message, image))
            .unwrap_or_default();
    }
    let final_answer = matches!(reason, "InvalidImageName" | "ErrImageNeverPull")
        || (is_refusal(&words) && (reason == "ImagePullBackOff" || view.age > patience.settling));
    let outlook = if final_answer {
        Outlook::Hopeless
    } else {
        Outlook::MayRecover
    };
    let image = (!image.is_empty()).then(|| image.to_owned());
    Why {
        image,
        ..Why::new(Reason::ImagePull, outlook)
    }
    .saying(&words)
}

/// What the registry said, without the layers that the kubelet and containerd wrap around it.
fn registry_words(message: &str, image: &str) -> String {
    let mut words = message;
    // `Back-off pulling image "x": ErrImagePull: rpc error: code = NotFound desc = failed to … "x": … x: not found`
    if let Some((_, cause)) = words.rsplit_once("desc = ") {
        words = cause;
    }
    for opening in [
        "Back-off pulling image ",
        "Failed to pull image ",
        "failed to pull and unpack image ",
        "failed to resolve reference ",
        "failed to resolve image ",
        "Error response from daemon",
        "ErrImagePull",
    ] {
        let Some(rest) = words.strip_prefix(opening) else {
            continue;
        };
        words = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').map_or("", |(_, rest)| rest),
            None => rest,
        };
        words = words.trim_start_matches([':', ' ']);
    }
    for name in [
        image,
        &format!("docker.io/library/{image}"),
        &format!("docker.io/{image}"),
    ] {
        words = words
            .strip_prefix(name)
            .map_or(words, |rest| rest.trim_start_matches([':', ' ']));
    }
    words.to_owned()
}

/// Whether the registry gave an answer that trying again does not change.
fn is_refusal(words: &str) -> bool {
    const REFUSALS: [&str; 10] = [
        "not found",
        "manifest unknown",
        "does not exist",
        "name unknown",
        "unauthorized",
        "authorization failed",
        "denied",
        "forbidden",
        "invalid reference",
        "no match",
    ];
    let words = words.to_ascii_lowercase();
    REFUSALS.iter().any(|refusal| words.contains(refusal))
}

fn cannot_start(message: &str) -> Why {
    // What is missing may be on its way from another Kustomization.
    Why::new(Reason::CannotStart, Outlook::MayRecover).saying(message)
}

fn crash(view: &PodView<'_>, container: &Container<'_>, ended: &Value, patience: &Patience) -> Why {
    let restarts = container.status["restartCount"].as_i64().unwrap_or_default();
    let backing_off = container.status["state"]["waiting"]["reason"] == "CrashLoopBackOff";
    let hopeless = restarts >= patience.restarts || (backing_off && view.age > patience.settling);
    let outlook = if hopeless {
        Outlook::Hopeless
    } else {
        Outlook::MayRecover
    };
    let exit_code = ended["exitCode"].as_i64();
    let limit = container.spec["resources"]["limits"]["memory"].as_str();
    match text(ended, "reason") {
        "OOMKilled" => Why {
            exit_code,
            memory_limit: limit.map(str::to_owned),
            last_log_line: last_line(view, container),
            ..Why::new(Reason::OutOfMemory, outlook)
        },
        // The process never ran, so there is no log.
        "StartError" | "ContainerCannotRun" => Why {
            exit_code,
            ..Why::new(Reason::CannotStart, outlook)
        }
        .saying(text(ended, "message")),
        _ => {
            let last_log_line = last_line(view, container);
            // A termination message repeats the log when it falls back to it.
            let said = if last_log_line.is_some() {
                ""
            } else {
                text(ended, "message")
            };
            Why {
                exit_code,
                last_log_line,
                ..Why::new(Reason::Crash, outlook)
            }
            .saying(said)
        }
    }
}

fn unready(view: &PodView<'_>, container: &Container<'_>, patience: &Patience) -> Option<Why> {
    let status = container.status;
    let settled = status["ready"] == true || (container.init && status["started"] == true);
    if settled {
        return None;
    }
    let ended = &status["lastState"]["terminated"];
    if ended["exitCode"].as_i64().is_some_and(|code| code != 0) {
        return Some(crash(view, container, ended, patience));
    }
    // An init container that runs is doing its work.
    if container.init {
        return None;
    }
    let uid = text(&view.pod["metadata"], "uid");
    let probes = event_messages(view.events, uid, &["Unhealthy", "ProbeWarning"]);
    let said = probes.first().copied().unwrap_or_default();
    Some(Why::new(Reason::NotReady, Outlook::MayRecover).saying(said))
}

fn last_line(view: &PodView<'_>, container: &Container<'_>) -> Option<String> {
    let pod = text(&view.pod["metadata"], "name");
    let tail = view
        .logs
        .iter()
        .find(|tail| tail.pod == pod && tail.container == container.name)?;
    let line = tail.text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(one_line(line, LOG_LINE_LIMIT))
}

/// What an exit code tells by convention: shells' own codes, and 128 plus a signal's number.
pub(super) fn meaning_of(code: i64) -> Option<&'static str> {
    Some(match code {
        126 => "the command cannot be executed",
        127 => "the command was not found",
        132 => "SIGILL",
        134 => "SIGABRT",
        135 => "SIGBUS",
        136 => "SIGFPE",
        137 => "SIGKILL",
        139 => "SIGSEGV",
        141 => "SIGPIPE",
        143 => "SIGTERM",
        _ => return None,
    })
}
