//! What the server would make of an object: a dry run, and a look at what is live. Reads only.
//!
//! A dry run that answers 201 says that the object does not exist, which spares the look; of an object whose
//! live state is known from the last apply and an unbroken watch, the look is spared as well.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::APPLY_MANAGER;
use crate::assess::holds::held;
use crate::assess::reduce::Observed;
use crate::cluster::{Api, ApiError, Applied, ApplyOptions, Fingerprint, Kind, Seen, Status};
use crate::plan::{
    self, Action, Drift, ObjectId, Owner, Ownership, SkipReason, Wanted, drift, immutable_fields,
};

use super::Permit;

/// How much of a name is kept in that of a replacement, which fits a label value then.
const REPLACEMENT_NAME: usize = 51;

/// What is known of the live object without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    Nothing,
    /// It is as our last apply left it.
    AsWeLeftIt,
}

/// What would be done to an object.
#[derive(Clone, Debug)]
pub struct Preview {
    /// The action.
    pub action: Action,
    /// The live object's uid, if there is one.
    pub uid: Option<String>,
    /// Fields that differ, when they were compared.
    pub drift: Option<Drift>,
    /// The patch that takes fields over from `kubectl`, to be written before the apply.
    pub takeover: Option<Value>,
    /// Who holds each field that differs, in the order of `drift`; empty where nobody is named.
    pub managers: Vec<String>,
    /// The live object, reduced, when it was looked at.
    pub live: Option<Seen>,
}

impl Preview {
    /// An action on an object of which nothing else is known.
    #[must_use]
    pub fn of(action: Action, uid: Option<String>) -> Self {
        Self {
            action,
            uid,
            drift: None,
            takeover: None,
            managers: Vec::new(),
            live: None,
        }
    }
}

/// What an object cannot be previewed without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// Its kind: the server does not serve it, or no longer.
    Kind,
    /// Its namespace: there is none, or it is being deleted.
    Namespace,
    /// The role that it binds.
    Role,
}

/// The answer to a preview (rule 6).
#[derive(Debug)]
pub enum Previewed {
    /// It can be applied.
    Ok(Preview),
    /// It cannot.
    Rejected(Rejection),
    /// It cannot be known yet, for what is not there; that may come with this plan. With the server's words.
    Deferred(Absent, String),
    /// A webhook refuses dry runs: it is applied without a preview.
    Unverified(Preview),
    /// The live object is going away; it is created when it is gone (rule 4).
    Terminating {
        /// Its uid.
        uid: String,
    },
    /// The labels name another Kustomization; whether it really owns the object is for the fleet to say.
    OwnedBy(Owner, Preview),
}

/// Why an object was rejected.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// `Kind/namespace/name`.
    pub subject: String,
    /// `file:line`, when known.
    pub origin: Option<String>,
    /// What is wrong with it, as the sentence goes on after the object.
    pub message: String,
    /// Whether it may be accepted later without a change in Git.
    pub transient: bool,
}

impl Rejection {
    /// A rejection in the words of the API server, as Flux begins it.
    #[must_use]
    pub fn of_dry_run(wanted: &Wanted, words: &str) -> Self {
        Self {
            subject: wanted.subject(),
            origin: wanted.origin.clone(),
            message: format!("dry-run failed: {words}"),
            transient: false,
        }
    }
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.subject)?;
        if let Some(origin) = &self.origin {
            write!(f, " ({origin})")?;
        }
        write!(f, " {}", self.message)
    }
}

/// Previews one object.
///
/// # Errors
/// The permit was revoked, or the server could not be asked at all.
pub async fn preview(
    api: &Api,
    permit: &Permit,
    kind: &Kind,
    wanted: &Wanted,
    us: &Owner,
    known: Known,
    force: bool,
) -> Result<Previewed, ApiError> {
    if let Some(reason) = plan::skip_reason(&wanted.value, None)
        && reason != SkipReason::Present
    {
        return Ok(Previewed::Ok(Preview::of(Action::Skipped, None)));
    }
    let options = ApplyOptions {
        dry_run: true,
        force: true,
        manager: APPLY_MANAGER,
        metadata_only: known == Known::AsWeLeftIt,
    };
    let answer = permit
        .race(api.apply(kind, &wanted.id, &wanted.value, options))
        .await?;
    match answer {
        Ok(Applied { created: true, .. }) => Ok(Previewed::Ok(Preview::of(Action::Created, None))),
        Ok(Applied { object, .. }) if known == Known::AsWeLeftIt => {
            Ok(Previewed::Ok(Preview::of(Action::Configured, uid_of(&object))))
        }
        Ok(Applied { object, .. }) => {
            let Some(live) = permit.race(api.get(kind, &wanted.id)).await?? else {
                return Ok(Previewed::Ok(Preview::of(Action::Created, None)));
            };
            Ok(compare(wanted, us, &live, &object))
        }
        Err(ApiError::Refused(status)) if status.is_unserved() => {
            Ok(Previewed::Deferred(Absent::Kind, status.message))
        }
        Err(ApiError::Refused(status)) if status.is_terminating_namespace() => {
            let words = terminating(api, permit, &wanted.id.namespace, &status).await?;
            Ok(Previewed::Deferred(Absent::Namespace, words))
        }
        Err(ApiError::Refused(status)) => {
            let live = match permit.race(api.get(kind, &wanted.id)).await? {
                Ok(live) => live,
                Err(error) if error.is_forbidden() => None,
                Err(error) => return Err(error),
            };
            let previewed = refused(wanted, us, live.as_ref(), &status, force);
            if !recreates(&previewed) {
                return Ok(previewed);
            }
            prove_replacement(api, permit, kind, wanted)
                .await
                .map(|rejected| rejected.unwrap_or(previewed))
        }
        Err(error) => Err(error),
    }
}

/// What the server says of a namespace that is being deleted, and what keeps it, if that may be known.
async fn terminating(
    api: &Api,
    permit: &Permit,
    namespace: &str,
    status: &Status,
) -> Result<String, ApiError> {
    let kind = Kind::fixed("v1", "Namespace", "namespaces", false);
    let id = ObjectId::new("", "Namespace", "", namespace);
    let live = permit.race(api.get(&kind, &id)).await?.ok().flatten();
    Ok(format!("{} ({})", status.message, held(&id, live.as_ref())))
}

fn recreates(previewed: &Previewed) -> bool {
    matches!(previewed, Previewed::Ok(preview) | Previewed::OwnedBy(_, preview) if preview.action == Action::Recreated)
}

/// Rule 18: nothing is deleted whose replacement would be refused. A dry run of its creation under another name
/// tells; gives the rejection, if it is one.
async fn prove_replacement(
    api: &Api,
    permit: &Permit,
    kind: &Kind,
    wanted: &Wanted,
) -> Result<Option<Previewed>, ApiError> {
    let kept = &wanted.id.name[..wanted.id.name.floor_char_boundary(REPLACEMENT_NAME)];
    let name = format!(
        "{}-replacement",
        kept.trim_end_matches(|c: char| !c.is_ascii_alphanumeric())
    );
    let mut object = wanted.value.clone();
    object["metadata"]["name"] = json!(name);
    let id = ObjectId {
        name,
        ..wanted.id.clone()
    };
    let options = ApplyOptions {
        dry_run: true,
        force: true,
        manager: APPLY_MANAGER,
        metadata_only: true,
    };
    match permit.race(api.apply(kind, &id, &object, options)).await? {
        Ok(_) => Ok(None),
        Err(ApiError::Refused(status)) => Ok(Some(Previewed::Rejected(Rejection {
            subject: wanted.subject(),
            origin: wanted.origin.clone(),
            message: format!(
                "would have to be deleted and created anew, and its replacement is refused: {}",
                status.message
            ),
            transient: is_transient(&status),
        }))),
        Err(error) => Err(error),
    }
}

fn is_transient(status: &Status) -> bool {
    matches!(status.code, 429 | 500 | 502 | 503 | 504)
}

fn compare(wanted: &Wanted, us: &Owner, live: &Value, previewed: &Value) -> Previewed {
    if let Some(settled) = settled_by_live(wanted, us, live) {
        return settled;
    }
    let drift = drift(live, previewed);
    let takeover = plan::takeover_patch(live, &wanted.value);
    let changed = drift.is_some() || takeover.is_some() || plan::owns_otherwise(live, previewed);
    let preview = Preview {
        action: if changed {
            Action::Configured
        } else {
            Action::Unchanged
        },
        uid: uid_of(live),
        managers: drift
            .iter()
            .flat_map(|drift| &drift.paths)
            .map(|path| plan::holder_of(live, path))
            .collect(),
        drift,
        takeover,
        live: Some(seen(live)),
    };
    match plan::owner_of(live, us) {
        Ownership::Other(owner) => Previewed::OwnedBy(owner, preview),
        Ownership::Nobody | Ownership::Ours => Previewed::Ok(preview),
    }
}

fn settled_by_live(wanted: &Wanted, us: &Owner, live: &Value) -> Option<Previewed> {
    if plan::skip_reason(&wanted.value, Some(live)).is_some() {
        // The watch of owned objects shows it only if it carries our labels.
        let ours = plan::owner_of(live, us) == Ownership::Ours;
        let live_seen = ours.then(|| seen(live));
        return Some(Previewed::Ok(Preview {
            live: live_seen,
            ..Preview::of(Action::Skipped, uid_of(live))
        }));
    }
    if live.pointer("/metadata/deletionTimestamp").is_some() {
        return Some(Previewed::Terminating {
            uid: uid_of(live).unwrap_or_default(),
        });
    }
    None
}

fn refused(wanted: &Wanted, us: &Owner, live: Option<&Value>, status: &Status, force: bool) -> Previewed {
    if let Some(settled) = live.and_then(|live| settled_by_live(wanted, us, live)) {
        return settled;
    }
    if status.is_missing_namespace() {
        return Previewed::Deferred(Absent::Namespace, status.message.clone());
    }
    if is_missing_role(status) {
        return Previewed::Deferred(Absent::Role, missing_role(wanted, status));
    }
    if refuses_dry_runs(status) {
        return Previewed::Unverified(Preview::of(
            if live.is_some() {
                Action::Configured
            } else {
                Action::Created
            },
            live.and_then(uid_of),
        ));
    }
    let body = json!({"code": status.code, "details": status.details});
    if let Some(live) = live
        && immutable_fields(&body).is_some()
        && crate::plan::may_recreate(&wanted.id, &wanted.value, force)
    {
        let preview = Preview::of(Action::Recreated, uid_of(live));
        return match plan::owner_of(live, us) {
            Ownership::Other(owner) => Previewed::OwnedBy(owner, preview),
            Ownership::Nobody | Ownership::Ours => Previewed::Ok(preview),
        };
    }
    let mut words = status.message.clone();
    if let Some(fields) = immutable_fields(&body) {
        words.push_str(&format!(
            " (the field {} cannot be changed in place: set spec.force, or annotate the object with \
             kustomize.toolkit.fluxcd.io/force: enabled, to delete and create it anew)",
            fields.0.join(", ")
        ));
    }
    Previewed::Rejected(Rejection {
        transient: matches!(status.code, 429 | 500 | 502 | 503 | 504),
        ..Rejection::of_dry_run(wanted, &words)
    })
}

/// A binding is refused under impersonation while the role that it refers to is not there. The API server then names
/// the role by the kind of the binding, which itself cannot be missing: an apply would create it.
fn is_missing_role(status: &Status) -> bool {
    let detail = |key| status.details.get(key).and_then(Value::as_str);
    status.code == 404
        && detail("group") == Some("rbac.authorization.k8s.io")
        && matches!(detail("kind"), Some("rolebindings" | "clusterrolebindings"))
}

fn missing_role(wanted: &Wanted, status: &Status) -> String {
    let reference = |key| wanted.value["roleRef"][key].as_str().unwrap_or_default();
    format!(
        "the {} {:?} that it refers to is not there ({status})",
        reference("kind"),
        reference("name")
    )
}

fn refuses_dry_runs(status: &Status) -> bool {
    status.code == 400 && status.message.contains("does not support dry run")
}

fn seen(live: &Value) -> Seen {
    Seen {
        observed: Observed::reduce(live, Timestamp::now()),
        fingerprint: Fingerprint::of(live),
        owner: None,
    }
}

fn uid_of(object: &Value) -> Option<String> {
    object
        .pointer("/metadata/uid")
        .and_then(Value::as_str)
        .map(ToOwned::to_owned)
}
