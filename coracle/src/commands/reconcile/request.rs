//! A run that was asked for: whether what an object says is about it, and how it ended. Pure.

use reconciler::api::{PRUNE_CONFIRM, REQUESTED_AT};
use serde_json::Value;

use crate::error::{Error, Kind};
use crate::objects::{Summary, Target, condition, short_revisions};

/// What was asked for, and how the object stood then.
pub(super) struct Request<'a> {
    pub(super) target: &'a Target,
    pub(super) namespace: &'a str,
    /// The value of the annotation.
    pub(super) token: String,
    /// The revision that has to be tried.
    pub(super) revision: Option<&'a str>,
    pub(super) before: Summary,
}

impl Request<'_> {
    /// Whether the object says how the run ended that was asked for. What is stalled is not run again, so its last
    /// word on this generation counts.
    pub(super) fn is_over(&self, state: &Summary) -> bool {
        let generation = state.object["metadata"]["generation"].as_i64();
        let says = |type_: &str| {
            condition(&state.object, type_).filter(|it| it["observedGeneration"].as_i64() >= generation)
        };
        let stalled = says("Stalled").is_some_and(|stalled| stalled["status"] == "True");
        let ended = says("Ready").is_some_and(|ready| ready["status"] != "Unknown");
        stalled || (self.is_handled(state) && ended && !self.is_about_an_old_revision(state))
    }

    /// Whether a run began after this was asked for. Whoever asks meanwhile overwrites the annotation, and the run that
    /// answers them answers this as well.
    fn is_handled(&self, state: &Summary) -> bool {
        let handled = &state.object["status"]["lastHandledReconcileAt"];
        let asked_last = &state.object["metadata"]["annotations"][REQUESTED_AT];
        *handled == self.token || (handled.is_string() && handled == asked_last)
    }

    /// Whether it is the revision of before that was tried. A run that tries none, since something that it needs is
    /// missing, does not count as one.
    fn is_about_an_old_revision(&self, state: &Summary) -> bool {
        let Some(wanted) = self.revision else { return false };
        let tried = &state.object["status"]["lastAttemptedRevision"];
        let tries_none = ["ArtifactFailed", "DependencyNotReady", "AccessDenied"];
        !tries_none.contains(&state.reason.as_str())
            && tried != wanted
            && *tried == self.before.object["status"]["lastAttemptedRevision"]
    }

    /// What the object says about this run. The failure of an earlier one stands until its next end, and the failure
    /// of this one is said at the end.
    pub(super) fn progress(&self, state: &Summary) -> Option<String> {
        let running = |object: &Value| {
            let reconciling = condition(object, "Reconciling").filter(|it| it["reason"] == "Progressing")?;
            let message = reconciling["message"].as_str()?;
            (!message.is_empty()).then(|| message.to_owned())
        };
        let message = running(&state.object)?;
        let stood = running(&self.before.object).is_some_and(|before| before == message);
        let other = self.revision.is_some_and(|revision| !message.contains(revision));
        (!stood && !other).then(|| short_revisions(&message))
    }
}

pub(super) fn failure(target: &Target, namespace: &str, end: &Summary) -> Error {
    let failed = |message: &str| {
        let message = short_revisions(message);
        Error::new(
            Kind::Negative,
            format!("{} failed: {}: {message}", target.display(), end.reason),
        )
    };
    // The prune guard says in its message how to confirm: that is the remedy, and nothing else helps.
    if let Some((what, command)) = end.message.split_once(" If this is meant, run: ")
        && command.contains(PRUNE_CONFIRM)
    {
        return failed(what)
            .hint("Put the objects back into Git; or, if their removal is meant, confirm it:")
            .hint(command);
    }
    let stalled = condition(&end.object, "Stalled").is_some_and(|stalled| stalled["status"] == "True");
    let failed = failed(&end.message).hint(format!(
        "`coracle events --for {} -n {namespace}` shows what led to it.",
        target.display()
    ));
    match stalled {
        true => failed.hint("It is not tried again until the object changes."),
        false => failed.hint("It is tried again by itself."),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::objects::ObjectKind;

    fn state(status: &Value) -> Summary {
        let object = serde_json::from_value(json!({
            "metadata": { "name": "apps", "generation": 2 }, "spec": {}, "status": status
        }));
        Summary::new(ObjectKind::Kustomization, &object.unwrap())
    }

    fn ready(status: &str) -> Value {
        json!([{
            "type": "Ready", "status": status, "observedGeneration": 2,
            "reason": "HealthCheckFailed", "message": "web is not ready",
        }])
    }

    /// A request for this revision of an object that stood so.
    fn request<'a>(target: &'a Target, revision: Option<&'a str>, before: &Value) -> Request<'a> {
        Request {
            target,
            namespace: "flux-system",
            token: "t".to_owned(),
            revision,
            before: state(before),
        }
    }

    fn apps() -> Target {
        Target {
            kind: ObjectKind::Kustomization,
            name: "apps".to_owned(),
        }
    }

    #[test]
    fn a_run_is_over_when_the_request_is_handled_for_this_generation() {
        let (apps, before) = (apps(), json!({}));
        let over = |token: &str, conditions: Value| {
            request(&apps, None, &before).is_over(&state(
                &json!({ "lastHandledReconcileAt": token, "conditions": conditions }),
            ))
        };
        assert!(over("t", ready("True")));
        assert!(over("t", ready("False")));
        assert!(!over("t", ready("Unknown")));
        assert!(!over("earlier", ready("True")));

        let mut of_an_old_generation = ready("True");
        of_an_old_generation[0]["observedGeneration"] = json!(1);
        assert!(!over("t", of_an_old_generation));
    }

    #[test]
    fn a_run_is_over_when_the_request_of_somebody_who_asked_later_is_handled() {
        let (apps, before) = (apps(), json!({}));
        let over = |asked: &Value, handled: &Value| {
            let status = json!({ "lastHandledReconcileAt": handled, "conditions": ready("True") });
            let mut state = state(&status);
            state.object["metadata"]["annotations"] = json!({ REQUESTED_AT: asked });
            request(&apps, None, &before).is_over(&state)
        };
        assert!(over(&json!("later"), &json!("later")));
        assert!(over(&json!("later"), &json!("t")));
        assert!(!over(&json!("later"), &json!("earlier")));
        assert!(!over(&json!("t"), &json!("earlier")));
        assert!(!over(&Value::Null, &Value::Null), "somebody took it away");
    }

    #[test]
    fn what_is_stalled_is_not_waited_for() {
        let stalled = json!([{ "type": "Stalled", "status": "True", "observedGeneration": 2 }]);
        assert!(request(&apps(), None, &json!({})).is_over(&state(&json!({ "conditions": stalled }))));
    }

    #[test]
    fn the_end_of_a_run_of_the_old_revision_is_not_the_end() {
        let (apps, before) = (apps(), json!({ "lastAttemptedRevision": "main@sha1:old" }));
        let over = |attempted: &str, reason: &str| {
            let mut conditions = ready("False");
            conditions[0]["reason"] = json!(reason);
            request(&apps, Some("main@sha1:new"), &before).is_over(&state(&json!({
                "lastHandledReconcileAt": "t", "lastAttemptedRevision": attempted, "conditions": conditions,
            })))
        };
        assert!(!over("main@sha1:old", "HealthCheckFailed"));
        assert!(over("main@sha1:new", "HealthCheckFailed"));
        // Somebody pushed once more meanwhile.
        assert!(over("main@sha1:newer", "HealthCheckFailed"));
        assert!(over("main@sha1:old", "DependencyNotReady"));
    }

    #[test]
    fn only_what_is_said_about_this_run_is_progress() {
        let apps = apps();
        let says = |reason: &str, message: &str| json!({ "conditions": [{ "type": "Reconciling", "status": "True", "reason": reason, "message": message }] });
        let before = says("Progressing", "Running health checks for revision main@sha1:old");
        let progress =
            |status: &Value| request(&apps, Some("main@sha1:new"), &before).progress(&state(status));
        assert_eq!(progress(&before), None);
        assert_eq!(progress(&says("ProgressingWithRetry", "web is not ready")), None);
        assert_eq!(
            progress(&says("Progressing", "Detecting drift for revision main@sha1:old")),
            None
        );
        let of_this = "Detecting drift for revision main@sha1:new";
        assert_eq!(progress(&says("Progressing", of_this)).as_deref(), Some(of_this));
    }

    #[test]
    fn what_the_prune_guard_stopped_is_confirmed_by_an_annotation_and_not_tried_again() {
        let hash = "0123456789abcdef0123456789abcdef01234567";
        let command = format!(
            "kubectl annotate kustomization --namespace flux-system apps --overwrite coracle.dev/prune-confirm=main@sha1:{hash}"
        );
        let message = format!(
            "revision main@sha1:{hash} would delete 9 of 10 objects, among them Service/web; nothing was changed. If this is meant, run: {command}"
        );
        let mut conditions = ready("False");
        conditions[0]["reason"] = json!("PruneFailed");
        conditions[0]["message"] = json!(message);
        let error = failure(
            &apps(),
            "flux-system",
            &state(&json!({ "conditions": conditions })),
        );
        assert_eq!(
            error.to_string(),
            "kustomization/apps failed: PruneFailed: revision main@sha1:01234567 would delete 9 of 10 objects, among them Service/web; nothing was changed."
        );
        assert_eq!(
            error.hints(),
            [
                "Put the objects back into Git; or, if their removal is meant, confirm it:",
                &command
            ]
        );
    }

    #[test]
    fn a_failed_run_says_why_and_where_to_look() {
        let end = state(&json!({ "conditions": ready("False") }));
        let target = Target {
            kind: ObjectKind::Kustomization,
            name: "apps".to_owned(),
        };
        let error = failure(&target, "flux-system", &end);
        assert_eq!(
            error.to_string(),
            "kustomization/apps failed: HealthCheckFailed: web is not ready"
        );
        assert_eq!(
            error.hints(),
            [
                "`coracle events --for kustomization/apps -n flux-system` shows what led to it.",
                "It is tried again by itself."
            ]
        );
    }
}
