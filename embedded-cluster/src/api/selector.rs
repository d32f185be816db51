//! Label and field selectors.
//!
//! In: selector texts, objects. Out: matches. No I/O.

use serde_json::Value;

use crate::answer::ApiError;
use crate::object;
use crate::resource::Kind;
use crate::validate::names;

/// What a list, watch or deletion is limited to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<(String, bool, String)>,
}

#[derive(Clone, Debug)]
struct Requirement {
    key: String,
    rule: Rule,
}

#[derive(Clone, Debug)]
enum Rule {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Missing,
    Greater(i64),
    Less(i64),
}

impl Selector {
    pub(crate) fn parse(kind: &Kind, labels: Option<&str>, fields: Option<&str>) -> Result<Self, ApiError> {
        let labels = labels.map(parse_labels).transpose()?.unwrap_or_default();
        let fields = fields
            .map(|text| parse_fields(kind, text))
            .transpose()?
            .unwrap_or_default();
        Ok(Self { labels, fields })
    }

    pub(crate) fn is_open(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub(crate) fn matches(&self, value: &Value) -> bool {
        if self.is_open() {
            return true;
        }
        let labels = object::entries(value, &["metadata", "labels"]);
        let label = |key: &str| labels.get(key).and_then(Value::as_str);
        self.labels
            .iter()
            .all(|requirement| requirement.rule.holds(label(&requirement.key)))
            && self
                .fields
                .iter()
                .all(|(path, equal, wanted)| (field(value, path) == *wanted) == *equal)
    }

    /// The name, if a field selector asks for exactly one.
    pub(crate) fn name(&self) -> Option<&str> {
        let named = |(path, equal, _): &&(String, bool, String)| path == "metadata.name" && *equal;
        self.fields.iter().find(named).map(|(_, _, name)| name.as_str())
    }
}

/// The value of a field path as text; missing fields are empty.
fn field(value: &Value, path: &str) -> String {
    let names: Vec<&str> = path.split('.').filter(|name| !name.is_empty()).collect();
    match object::at(value, &names) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

impl Rule {
    fn holds(&self, label: Option<&str>) -> bool {
        let number = || label.and_then(|label| label.parse::<i64>().ok());
        match self {
            Self::In(values) => label.is_some_and(|label| values.iter().any(|value| value == label)),
            Self::NotIn(values) => label.is_none_or(|label| values.iter().all(|value| value != label)),
            Self::Exists => label.is_some(),
            Self::Missing => label.is_none(),
            Self::Greater(than) => number().is_some_and(|number| number > *than),
            Self::Less(than) => number().is_some_and(|number| number < *than),
        }
    }
}

fn parse_labels(text: &str) -> Result<Vec<Requirement>, ApiError> {
    split_outside_parens(text)
        .into_iter()
        .map(|part| requirement(part.trim()))
        .collect()
}

fn split_outside_parens(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_i32, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.extend(text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.extend(text.get(start..));
    parts.retain(|part| !part.trim().is_empty());
    parts
}

fn requirement(part: &str) -> Result<Requirement, ApiError> {
    let refused = || {
        let found = part.split_whitespace().nth(1).unwrap_or(part);
        ApiError::bad_request(format!(
            "unable to parse requirement: found '{found}', expected: in, notin, =, ==, !=, gt, lt"
        ))
    };
    let make = |key: &str, rule: Rule| {
        let key = key.trim();
        check(key, &rule)?;
        Ok(Requirement {
            key: key.into(),
            rule,
        })
    };
    if let Some(key) = part.strip_prefix('!') {
        return make(key, Rule::Missing);
    }
    for (sign, equal) in [("!=", false), ("==", true), ("=", true)] {
        if let Some((key, value)) = part.split_once(sign) {
            let values = vec![value.trim().to_owned()];
            return make(
                key,
                if equal {
                    Rule::In(values)
                } else {
                    Rule::NotIn(values)
                },
            );
        }
    }
    if let Some((key, value)) = part.split_once('>') {
        return make(key, Rule::Greater(value.trim().parse().map_err(|_| refused())?));
    }
    if let Some((key, value)) = part.split_once('<') {
        return make(key, Rule::Less(value.trim().parse().map_err(|_| refused())?));
    }
    let Some((head, values)) = part.split_once('(') else {
        let words: Vec<&str> = part.split_whitespace().collect();
        if let [_, "in" | "notin", found, ..] = words.as_slice() {
            return Err(ApiError::bad_request(format!(
                "unable to parse requirement: found '{found}' expected: '('"
            )));
        }
        return if part.contains(char::is_whitespace) {
            Err(refused())
        } else {
            make(part, Rule::Exists)
        };
    };
    let values: Vec<String> = values
        .trim_end_matches(')')
        .split(',')
        .map(|value| value.trim().into())
        .collect();
    let mut words = head.split_whitespace();
    match (words.next(), words.next()) {
        (Some(key), Some("in")) => make(key, Rule::In(values)),
        (Some(key), Some("notin")) => make(key, Rule::NotIn(values)),
        _ => Err(refused()),
    }
}

/// Keys and values have to be those of labels.
fn check(key: &str, rule: &Rule) -> Result<(), ApiError> {
    let refused = |field: &str, value: &str, why: &str| {
        ApiError::bad_request(format!(
            "unable to parse requirement: {field}: Invalid value: {value:?}: {why}"
        ))
    };
    if let Some(why) = names::qualified(key, "valid label key").first() {
        return Err(refused("<nil>", key, why));
    }
    let (Rule::In(values) | Rule::NotIn(values)) = rule else {
        return Ok(());
    };
    for (index, value) in values.iter().enumerate() {
        if let Some(why) = names::label_value(value).first() {
            return Err(refused(&format!("values[{index}][{key}]"), value, why));
        }
    }
    Ok(())
}

fn parse_fields(kind: &Kind, text: &str) -> Result<Vec<(String, bool, String)>, ApiError> {
    let mut out = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let found = [("!=", false), ("==", true), ("=", true)]
            .into_iter()
            .find_map(|(sign, equal)| part.split_once(sign).map(|(path, value)| (path, equal, value)));
        let Some((path, equal, value)) = found else {
            return Err(ApiError::bad_request(format!(
                "invalid selector: '{part}'; can't understand '{part}'"
            )));
        };
        if !is_selectable(kind, path)
            && kind
                .custom
                .as_ref()
                .is_some_and(|custom| !custom.selectable.is_empty())
        {
            return Err(ApiError::bad_request(format!(
                "field label not supported: {path}"
            )));
        }
        if !is_selectable(kind, path) {
            return Err(ApiError::bad_request(format!(
                "{path:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
            )));
        }
        out.push((path.into(), equal, value.into()));
    }
    Ok(out)
}

/// The name that a field selector asks for, or nothing.
pub(crate) fn selected_name(text: &str) -> &str {
    let name = |part| {
        let value = str::strip_prefix(part, "metadata.name=")?;
        Some(value.strip_prefix('=').unwrap_or(value))
    };
    text.split(',').find_map(name).unwrap_or_default()
}

fn is_selectable(kind: &Kind, path: &str) -> bool {
    if matches!(path, "metadata.name" | "metadata.namespace") {
        return true;
    }
    if let Some(custom) = &kind.custom {
        return custom
            .selectable
            .iter()
            .any(|known| known.trim_start_matches('.') == path);
    }
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "pods") => matches!(
            path,
            "spec.nodeName"
                | "spec.restartPolicy"
                | "spec.schedulerName"
                | "spec.serviceAccountName"
                | "spec.hostNetwork"
                | "status.phase"
                | "status.podIP"
                | "status.nominatedNodeName"
        ),
        ("" | "events.k8s.io", "events") => {
            path.starts_with("involvedObject.")
                || path.starts_with("regarding.")
                || matches!(
                    path,
                    "reason" | "reportingComponent" | "source" | "type" | "reportingController"
                )
        }
        ("", "secrets") => path == "type",
        ("", "services") => matches!(path, "spec.clusterIP" | "spec.type"),
        ("", "nodes") => path == "spec.unschedulable",
        ("", "namespaces") => path == "status.phase",
        ("", "replicationcontrollers") | ("apps", "replicasets") => path == "status.replicas",
        ("batch", "jobs") => path == "status.successful",
        ("certificates.k8s.io", "certificatesigningrequests") => path == "spec.signerName",
        _ => false,
    }
}
