//! Reads the API server's audit log. Does I/O.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use embedded_cluster::{RequestKey, Verb};
use jiff::Timestamp;
use serde_json::Value;

/// One request that was answered.
#[derive(Clone, Debug)]
pub struct Audited {
    /// What was asked for.
    pub request: RequestKey,
    /// When it came in.
    pub came: Timestamp,
    /// When it was answered.
    pub answered: Timestamp,
    /// Who asked, before any impersonation.
    pub user: String,
    /// What allowed it, in the words of RBAC.
    pub reason: String,
}

/// How much was logged until now.
pub(super) fn length(log: &Path) -> u64 {
    std::fs::metadata(log).map_or(0, |metadata| metadata.len())
}

/// What was logged from this offset on, in the order of completion.
pub(super) fn since(log: &Path, offset: u64) -> Vec<Audited> {
    let mut text = String::new();
    let mut file = std::fs::File::open(log).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.read_to_string(&mut text).unwrap();
    text.lines()
        // The last line may be half written.
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .map(|event| read(&event))
        .collect()
}

fn read(event: &Value) -> Audited {
    let text = |pointer: &str| {
        let value = event.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let about_objects = event.get("objectRef").is_some();
    let path = text("/requestURI");
    let impersonated = text("/impersonatedUser/username");
    // The server says of a namespace that it lies in itself.
    let is_namespace = text("/objectRef/resource") == "namespaces";
    let namespace = text("/objectRef/namespace");
    Audited {
        request: RequestKey {
            user_agent: text("/userAgent"),
            verb: about_objects.then(|| verb(&text("/verb"))).flatten(),
            group: text("/objectRef/apiGroup"),
            resource: if about_objects {
                text("/objectRef/resource")
            } else {
                path.clone()
            },
            subresource: text("/objectRef/subresource"),
            namespace: if is_namespace { String::new() } else { namespace },
            name: text("/objectRef/name"),
            dry_run: path.contains("dryRun="),
            impersonated: (!impersonated.is_empty()).then_some(impersonated),
            code: event["responseStatus"]["code"]
                .as_u64()
                .and_then(|code| u16::try_from(code).ok())
                .unwrap_or(0),
        },
        came: text("/requestReceivedTimestamp").parse().unwrap_or_default(),
        answered: text("/stageTimestamp").parse().unwrap_or_default(),
        user: text("/user/username"),
        reason: text("/annotations/authorization.k8s.io~1reason"),
    }
}

fn verb(name: &str) -> Option<Verb> {
    [
        Verb::Get,
        Verb::List,
        Verb::Watch,
        Verb::Create,
        Verb::Update,
        Verb::Patch,
        Verb::Delete,
        Verb::DeleteCollection,
    ]
    .into_iter()
    .find(|verb| verb.name() == name)
}
