//! GET: one object, a list, a watch.
//!
//! In: selectors, limits, versions. Out: bytes or a stream. No I/O.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::selector::Selector;
use super::{Answer, Api, options, render};
use crate::answer::ApiError;
use crate::object;
use crate::request::{Request, Target};
use crate::resource::Kind;
use crate::store::{Key, Stored};
use crate::watch::{Start, Watch};

/// GET of one object or of its subresource.
pub(crate) fn get(api: &Api, kind: &Arc<Kind>, request: &Request) -> Result<Answer, ApiError> {
    let target = &request.target;
    match target.subresource.as_str() {
        "scale" => return super::scale::get(api, kind, request),
        "log" => return crate::workloads::log(api, request),
        "" | "status" | "ephemeralcontainers" | "resize" | "approval" => {}
        other => return Err(not_played(api, kind, target, other)),
    }
    let key = Key::new(&target.namespace, &target.name);
    let stored = api.store.lock().get(&kind.storage, &key).cloned();
    let stored = stored.ok_or_else(|| ApiError::not_found(kind.about(&target.name)))?;
    check_not_too_new(api, request)?;
    Ok(Answer::object(200, &stored, kind, request))
}

/// What a subresource is answered that only a container or an application could serve.
pub(super) fn not_played(api: &Api, kind: &Kind, target: &Target, subresource: &str) -> ApiError {
    let key = Key::new(&target.namespace, &target.name);
    if api.store.lock().get(&kind.storage, &key).is_none() {
        return ApiError::not_found(kind.about(&target.name));
    }
    let subresource = subresource.split('/').next().unwrap_or_default();
    let what = match subresource {
        "exec" => "there is nothing to run a command in",
        "attach" => "there is no process to attach to",
        "portforward" | "proxy" => "there is nothing to connect to",
        _ => "this is not served",
    };
    let message = format!(
        "cannot serve {}/{subresource} of {:?}: the embedded cluster plays pods and starts no containers, so that {what}",
        kind.plural, target.name
    );
    ApiError::new(501, "NotImplemented", message)
}

fn check_not_too_new(api: &Api, request: &Request) -> Result<(), ApiError> {
    let Some(wanted) = request.query.get("resourceVersion") else {
        return Ok(());
    };
    let wanted: u64 = wanted.parse().map_err(|_| invalid_version(wanted))?;
    let current = api.store.lock().revision;
    if wanted > current {
        return Err(too_large(wanted, current));
    }
    Ok(())
}

fn invalid_version(text: &str) -> ApiError {
    let parse = format!("strconv.ParseUint: parsing {text:?}: invalid syntax");
    ApiError::unclassified(format!("resourceVersion: Invalid value: {text:?}: {parse}"))
}

fn too_large(wanted: u64, current: u64) -> ApiError {
    let mut error = ApiError::new(
        504,
        "Timeout",
        format!("Too large resource version: {wanted}, current: {current}"),
    );
    let cause = crate::answer::Cause {
        reason: "ResourceVersionTooLarge",
        message: "Too large resource version".into(),
        field: String::new(),
    };
    error.details = Some(Box::new(crate::answer::Details {
        causes: vec![cause],
        retry_after_seconds: 1,
        ..Default::default()
    }));
    error
}

/// GET of a collection.
pub(crate) fn list(api: &Api, kind: &Arc<Kind>, request: &Request) -> Result<Answer, ApiError> {
    let limit = options::whole_number(request, "limit")?.unwrap_or(0);
    options::check_list(request)?;
    let selector = selector(kind, request)?;
    let page = request.query.get("continue").map(Page::decode).transpose()?;
    let version = request.query.get("resourceVersion");
    if page.is_some() && version.is_some_and(|version| version != "0") {
        return Err(ApiError::bad_request(
            "specifying resource version is not allowed when using continue",
        ));
    }
    check_not_too_new(api, request)?;
    let exact = request.query.get("resourceVersionMatch") == Some("Exact");
    let exact: Option<u64> = version.filter(|_| exact).and_then(|version| version.parse().ok());
    let mut state = api.store.lock();
    let revision = page
        .as_ref()
        .map(|page| page.revision)
        .or(exact)
        .unwrap_or(state.revision);
    let compacted = state.table(&kind.storage).compacted;
    if exact.is_some_and(|exact| exact < compacted) {
        return Err(ApiError::expired(
            "The resourceVersion for the provided list is too old.",
        ));
    }
    let gone = page.as_ref().filter(|page| page.revision < compacted);
    if let Some(page) = gone.filter(|_| !mutated!(GoneMissing)) {
        let fresh = Page {
            revision: state.revision,
            after: page.after.clone(),
        };
        return Err(ApiError::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
        )
        .with_continue(fresh.encode()));
    }
    let after = page.map(|page| page.after);
    let objects = state.as_of(&kind.storage, &request.target.namespace, revision);
    let mut found = objects
        .into_iter()
        .filter(|(key, _)| after.as_ref().is_none_or(|after| key > after))
        .filter(|(_, stored)| selector.matches(&stored.value));
    let most = usize::try_from(limit)
        .ok()
        .filter(|limit| *limit > 0)
        .unwrap_or(usize::MAX);
    let items: Vec<(Key, Arc<Stored>)> = found.by_ref().take(most).collect();
    let skipped = if mutated!(PageLosesAnItem) {
        found.next()
    } else {
        None
    };
    let remaining = found.count();
    drop(state);
    let next = skipped
        .as_ref()
        .or(items.last())
        .filter(|_| remaining > 0)
        .map(|(key, _)| {
            Page {
                revision,
                after: key.clone(),
            }
            .encode()
        });
    let remaining = (remaining > 0 && selector.is_open()).then_some(remaining);
    let stored: Vec<&Stored> = items.iter().map(|(_, stored)| &**stored).collect();
    let meta = render::ListMeta {
        revision,
        next,
        remaining,
    };
    Ok(Answer::ok(render::list(kind, &stored, &meta, request.form)))
}

fn selector(kind: &Kind, request: &Request) -> Result<Selector, ApiError> {
    Selector::parse(
        kind,
        request.query.get("labelSelector"),
        request.query.get("fieldSelector"),
    )
}

/// Where the next page begins.
struct Page {
    revision: u64,
    after: Key,
}

impl Page {
    fn encode(&self) -> String {
        let token = json!({"v": "meta.k8s.io/v1", "rv": self.revision, "start": [&*self.after.namespace, &*self.after.name]});
        URL_SAFE_NO_PAD.encode(token.to_string())
    }

    fn decode(token: &str) -> Result<Self, ApiError> {
        let invalid = |why: &str| {
            ApiError::bad_request(format!(
                "invalid continue token: continue key is not valid: {why}"
            ))
        };
        let refused = || invalid("invalid character 'i' looking for beginning of value");
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|error| {
            let at = match error {
                base64::DecodeError::InvalidByte(at, _) => at,
                _ => token.len() / 4 * 4,
            };
            invalid(&format!("illegal base64 data at input byte {at}"))
        })?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|_| refused())?;
        let start = object::items(&value, &["start"]);
        let text = |at: usize| start.get(at).and_then(Value::as_str).unwrap_or_default();
        let revision = value.get("rv").and_then(Value::as_u64).ok_or_else(refused)?;
        Ok(Self {
            revision,
            after: Key::new(text(0), text(1)),
        })
    }
}

/// GET with `watch=true`.
pub(crate) fn watch(api: &Api, kind: &Arc<Kind>, request: &Request) -> Result<Answer, ApiError> {
    let selector = selector(kind, request)?;
    let version = request.query.get("resourceVersion").unwrap_or_default();
    let number: u64 = if version.is_empty() {
        0
    } else {
        version.parse().map_err(|_| invalid_version(version))?
    };
    let initial = match request.query.get("sendInitialEvents") {
        Some("true") => Some(true),
        Some(_) => Some(false),
        None => None,
    };
    options::check_list(request)?;
    let start = match (initial, number) {
        (Some(true), _) => Start::Everything { marked: true },
        (Some(false), 0) => Start::After(api.store.lock().revision),
        (_, 0) => Start::Everything { marked: false },
        (_, revision) => Start::After(revision),
    };
    let current = api.store.lock().revision;
    if number > current {
        return Err(too_large(number, current));
    }
    let seconds = request
        .query
        .get("timeoutSeconds")
        .and_then(|seconds| seconds.parse().ok());
    let name = if request.target.name.is_empty() {
        selector.name().map(String::from)
    } else {
        Some(request.target.name.clone())
    };
    Ok(Answer::Watch(Box::new(Watch::new(
        &api.store,
        Arc::clone(kind),
        crate::watch::Scope {
            namespace: request.target.namespace.clone(),
            name,
            selector,
        },
        start,
        crate::watch::Shape {
            form: request.form,
            bookmarks: request.query.flag("allowWatchBookmarks"),
        },
        seconds,
    ))))
}
