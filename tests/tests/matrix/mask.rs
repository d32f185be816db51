//! What a server makes up, replaced by names, so that two servers' answers can be compared. No I/O.
//!
//! In: answers. Out: the same with `<uid 1>` for the first uid that was seen, and so on. A name says more than a gap:
//! where two answers held the same uid or resourceVersion, they still do. [`POINTERS`] and [`MESSAGES`] are all that
//! is replaced.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// What kind of thing a server makes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Made {
    Uid,
    Version,
    Time,
    Token,
    Address,
    Port,
}

impl Made {
    fn name(self) -> &'static str {
        match self {
            Self::Uid => "uid",
            Self::Version => "version",
            Self::Time => "time",
            Self::Token => "token",
            Self::Address => "address",
            Self::Port => "port",
        }
    }
}

/// Where objects are in an answer.
const OBJECTS: [&str; 5] = [
    "/body",
    "/body/items/*",
    "/body/events/*/object",
    "/body/rows/*/object",
    "/body/events/*/object/rows/*/object",
];

/// What is made up in an object.
const POINTERS: [(&str, Made); 20] = [
    ("/metadata/uid", Made::Uid),
    ("/metadata/ownerReferences/*/uid", Made::Uid),
    ("/details/uid", Made::Uid),
    ("/spec/claimRef/uid", Made::Uid),
    ("/metadata/resourceVersion", Made::Version),
    ("/metadata/continue", Made::Token),
    ("/metadata/creationTimestamp", Made::Time),
    ("/metadata/deletionTimestamp", Made::Time),
    ("/metadata/managedFields/*/time", Made::Time),
    ("/status/conditions/*/lastTransitionTime", Made::Time),
    ("/spec/clusterIP", Made::Address),
    ("/spec/clusterIPs/*", Made::Address),
    ("/spec/healthCheckNodePort", Made::Port),
    ("/spec/ports/*/nodePort", Made::Port),
    (
        "/spec/selector/matchLabels/batch.kubernetes.io~1controller-uid",
        Made::Uid,
    ),
    (
        "/spec/template/metadata/labels/batch.kubernetes.io~1controller-uid",
        Made::Uid,
    ),
    ("/spec/template/metadata/labels/controller-uid", Made::Uid),
    ("/metadata/labels/batch.kubernetes.io~1controller-uid", Made::Uid),
    ("/metadata/labels/controller-uid", Made::Uid),
    ("/status/startTime", Made::Time),
];

/// What is made up in the texts of errors.
static MESSAGES: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    [
        (
            r"resource version: \d+ \(\d+\)",
            "resource version: <version> (<version>)",
        ),
        (
            r"resource version: (\d+), current: \d+",
            "resource version: $1, current: <version>",
        ),
        (
            r"does not match the ResourceVersion in record \(\d+\)",
            "does not match the ResourceVersion in record (<version>)",
        ),
        // In an object that a message quotes, and quotes its quotes.
        (
            r#"resourceVersion(\\*)":(\\*)"\d+"#,
            r#"resourceVersion$1":$2"<version>"#,
        ),
        (r"kube-api-access-[a-z0-9]{5}", "kube-api-access-<suffix>"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<time>"),
    ]
    .map(|(pattern, with)| (Regex::new(pattern).unwrap(), with))
    .into()
});

/// Letters and digits of generated names.
const SUFFIX: &str = "bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH: usize = 5;
/// A longer prefix is cut.
const LONGEST_PREFIX: usize = 58;

/// The names that were given to what a server made up.
#[derive(Default)]
pub(crate) struct Masks {
    names: HashMap<(Made, String), String>,
    counts: HashMap<Made, usize>,
    suffixes: HashMap<String, String>,
}

impl Masks {
    /// An answer with everything that was made up replaced.
    pub(crate) fn mask(&mut self, mut answer: Value) -> Value {
        for object in OBJECTS {
            visit(&mut answer, object, &mut |found| self.object(found));
        }
        for cells in ["/body/rows/*/cells/*", "/body/events/*/object/rows/*/cells/*"] {
            visit(&mut answer, cells, &mut |cell| {
                if cell.as_str().is_some_and(is_age) {
                    *cell = "<age>".into();
                }
            });
        }
        self.everywhere(&mut answer);
        answer
    }

    fn object(&mut self, object: &mut Value) {
        self.generated(object);
        // The version of a list is that of the whole store, in which other cases write too.
        let is_many = object.get("items").is_some() || object.get("rows").is_some() || is_bookmark(object);
        if is_many && let Some(version) = object.pointer_mut("/metadata/resourceVersion") {
            *version = "<version>".into();
        }
        for (pointer, made) in POINTERS {
            visit(object, pointer, &mut |found| self.replace(found, made));
        }
        // Go tells conflicts in the order of a map, which is none.
        if let Some(Value::Array(causes)) = object.pointer_mut("/details/causes")
            && causes
                .iter()
                .any(|cause| cause["reason"] == "FieldManagerConflict")
        {
            causes.sort_by_key(|cause| (cause["message"].to_string(), cause["field"].to_string()));
        }
        // Their order depends on whether a second passed in between.
        if let Some(Value::Array(entries)) = object.pointer_mut("/metadata/managedFields") {
            entries.sort_by_key(|entry| {
                let text = |name: &str| {
                    entry
                        .get(name)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned()
                };
                (
                    text("manager"),
                    text("operation"),
                    text("apiVersion"),
                    text("subresource"),
                )
            });
        }
    }

    fn replace(&mut self, found: &mut Value, made: Made) {
        let text = match found {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return,
        };
        // These mean something, or are masked.
        if matches!(text.as_str(), "" | "0" | "None") || text.starts_with('<') {
            return;
        }
        if made == Made::Time {
            *found = "<time>".into();
            return;
        }
        // A case that chooses its own finds it again.
        if made == Made::Uid && text.len() != 36 || text.starts_with("00000000-") {
            return;
        }
        let count = self.counts.entry(made).or_default();
        let name = self.names.entry((made, text)).or_insert_with(|| {
            *count += 1;
            format!("<{} {count}>", made.name())
        });
        *found = name.as_str().into();
    }

    /// A generated name is as long and of such letters as it has to be.
    fn generated(&mut self, object: &mut Value) {
        let text = |pointer: &str| {
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let (prefix, name) = (text("/metadata/generateName"), text("/metadata/name"));
        let prefix: String = prefix.chars().take(LONGEST_PREFIX).collect();
        let Some(suffix) = name.strip_prefix(&prefix).filter(|_| !prefix.is_empty()) else {
            return;
        };
        if suffix.len() == SUFFIX_LENGTH && suffix.chars().all(|letter| SUFFIX.contains(letter)) {
            self.suffixes.insert(name, format!("{prefix}<suffix>"));
        }
    }

    /// Uids and generated names are also told in messages and lists; both are like nothing else.
    fn everywhere(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                let unique = self.names.iter().filter(|((made, _), _)| *made == Made::Uid);
                for ((_, uid), name) in unique {
                    if text.contains(uid.as_str()) {
                        *text = text.replace(uid.as_str(), name);
                    }
                }
                let address = self.names.get(&(Made::Address, text.clone()));
                if let Some(name) = address {
                    *text = name.clone();
                }
                for (full, name) in &self.suffixes {
                    if text.contains(full.as_str()) {
                        *text = text.replace(full.as_str(), name);
                    }
                }
                for (pattern, with) in MESSAGES.iter() {
                    if pattern.is_match(text) && !text.starts_with('<') {
                        *text = pattern.replace_all(text, *with).into_owned();
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.everywhere(item)),
            Value::Object(fields) => {
                // Keys of managed fields hold uids too.
                *fields = std::mem::take(fields)
                    .into_iter()
                    .map(|(key, mut field)| {
                        let mut key = Value::String(key);
                        self.everywhere(&mut key);
                        self.everywhere(&mut field);
                        (key.as_str().unwrap_or_default().to_owned(), field)
                    })
                    .collect();
            }
            _ => {}
        }
    }
}

/// `12s`
fn is_age(cell: &str) -> bool {
    let seconds = cell.strip_suffix('s');
    seconds.is_some_and(|seconds| !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A bookmark has a version, and no name.
fn is_bookmark(object: &Value) -> bool {
    let at = |pointer: &str| object.pointer(pointer);
    at("/kind").is_some() && at("/metadata/resourceVersion").is_some() && at("/metadata/name").is_none()
}

/// Calls a function for each value at a pointer, in which `*` stands for every element.
fn visit(value: &mut Value, pointer: &str, act: &mut impl FnMut(&mut Value)) {
    let Some(rest) = pointer.strip_prefix('/') else {
        act(value);
        return;
    };
    let (step, rest) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    match (step, value) {
        ("*", Value::Array(items)) => items.iter_mut().for_each(|item| visit(item, rest, act)),
        (step, Value::Object(fields)) => {
            if let Some(field) = fields.get_mut(&step.replace("~1", "/")) {
                visit(field, rest, act);
            }
        }
        _ => {}
    }
}

#[test]
fn the_same_uid_gets_the_same_name_and_another_one_another() {
    let object = |uid: &str, version: &str| serde_json::json!({ "body": { "metadata": { "uid": uid, "resourceVersion": version } } });
    let (one, two) = (
        "7f6f9f0e-0000-4000-8000-000000000001",
        "7f6f9f0e-0000-4000-8000-000000000002",
    );
    let mut masks = Masks::default();
    assert_eq!(masks.mask(object(one, "5")), object("<uid 1>", "<version 1>"));
    assert_eq!(masks.mask(object(two, "5")), object("<uid 2>", "<version 1>"));
    assert_eq!(masks.mask(object(one, "6")), object("<uid 1>", "<version 2>"));
}
