//! Selectors of patches and replacements: regular expressions on identities, label selectors. Pure.

use regex::Regex;

use super::Result;
use crate::error::Error;
use crate::id::Gvk;
use crate::model::Selector;
use crate::resource::Resource;
use crate::yaml::Node;

/// A selector that is ready to be asked.
pub(crate) struct Matcher {
    group: Option<Regex>,
    version: Option<Regex>,
    kind: Option<Regex>,
    name: Option<Regex>,
    namespace: Option<Regex>,
    labels: Vec<Requirement>,
    annotations: Vec<Requirement>,
}

impl Matcher {
    pub(crate) fn new(selector: &Selector) -> Result<Self> {
        Ok(Self {
            group: pattern(&selector.gvk.group)?,
            version: pattern(&selector.gvk.version)?,
            kind: pattern(&selector.gvk.kind)?,
            name: pattern(&selector.name)?,
            namespace: pattern(&selector.namespace)?,
            labels: parse(&selector.label_selector)?,
            annotations: parse(&selector.annotation_selector)?,
        })
    }

    /// Whether a patch is meant for a resource: original or current name and namespace.
    pub(crate) fn selects(&self, resource: &Resource) -> bool {
        let original = resource.original_id();
        let current = &resource.id;
        let namespace = matches(self.namespace.as_ref(), original.effective_namespace())
            || matches(self.namespace.as_ref(), current.effective_namespace());
        let name = matches(self.name.as_ref(), &original.name) || matches(self.name.as_ref(), &current.name);
        namespace && name && self.selects_gvk(&current.gvk) && self.selects_metadata(resource)
    }

    pub(crate) fn selects_gvk(&self, gvk: &Gvk) -> bool {
        matches(self.kind.as_ref(), &gvk.kind)
            && matches(self.version.as_ref(), &gvk.version)
            && matches(self.group.as_ref(), &gvk.group)
    }

    pub(crate) fn selects_name(&self, name: &str) -> bool {
        matches(self.name.as_ref(), name)
    }

    pub(crate) fn selects_namespace(&self, namespace: &str) -> bool {
        matches(self.namespace.as_ref(), namespace)
    }

    pub(crate) fn selects_metadata(&self, resource: &Resource) -> bool {
        let holds = |requirements: &[Requirement], field: &str| {
            let map = resource.node.at(&["metadata", field]);
            requirements.iter().all(|r| r.holds(map))
        };
        holds(&self.labels, "labels") && holds(&self.annotations, "annotations")
    }
}

fn pattern(text: &str) -> Result<Option<Regex>> {
    if text.is_empty() {
        return Ok(None);
    }
    let regex = crate::regular::compile(&format!("^(?:{text})$"));
    regex
        .map(Some)
        .map_err(|e| Error::kustomization(format!("the selector {text:?} is no regular expression: {e}")))
}

fn matches(regex: Option<&Regex>, text: &str) -> bool {
    regex.is_none_or(|regex| regex.is_match(text))
}

/// One condition of a label selector.
#[derive(Debug, PartialEq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, PartialEq)]
enum Test {
    Exists,
    Missing,
    In(Vec<String>),
    NotIn(Vec<String>),
    Greater(i64),
    Less(i64),
}

impl Requirement {
    fn holds(&self, map: Option<&Node>) -> bool {
        let value = map
            .and_then(|m| m.get(&self.key))
            .map(|n| n.as_text().unwrap_or_default());
        match (&self.test, value) {
            (Test::Exists, value) => value.is_some(),
            (Test::Missing, value) => value.is_none(),
            (Test::In(values), Some(value)) => values.iter().any(|v| v == value),
            (Test::NotIn(values), Some(value)) => !values.iter().any(|v| v == value),
            (Test::NotIn(_), None) => true,
            (Test::Greater(than), Some(value)) => value.parse::<i64>().is_ok_and(|v| v > *than),
            (Test::Less(than), Some(value)) => value.parse::<i64>().is_ok_and(|v| v < *than),
            (_, None) => false,
        }
    }
}

/// Reads Kubernetes' selector syntax: `a=b,c!=d,e in (f,g),h,!i`.
fn parse(text: &str) -> Result<Vec<Requirement>> {
    let wrong = || Error::kustomization(format!("unable to parse the label selector {text:?}"));
    let mut requirements = Vec::new();
    for part in split_outside_parentheses(text) {
        let part = part.trim();
        if part.is_empty() {
            if text.trim().is_empty() {
                return Ok(requirements);
            }
            return Err(wrong());
        }
        requirements.push(parse_one(part).ok_or_else(wrong)?);
    }
    Ok(requirements)
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth) = (0, 0_i32);
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn parse_one(part: &str) -> Option<Requirement> {
    if let Some(key) = part.strip_prefix('!') {
        return Some(Requirement {
            key: key_of(key)?,
            test: Test::Missing,
        });
    }
    if let Some(open) = part.find('(') {
        let values = part[open + 1..].trim_end().strip_suffix(')')?;
        let values = values
            .split(',')
            .map(|v| value_of(v.trim()))
            .collect::<Option<Vec<_>>>()?;
        let (key, operator) = part[..open].trim_end().rsplit_once(char::is_whitespace)?;
        let test = match operator {
            "in" => Test::In(values),
            "notin" => Test::NotIn(values),
            _ => return None,
        };
        return Some(Requirement {
            key: key_of(key)?,
            test,
        });
    }
    let at = part.find(['=', '!', '>', '<']);
    let Some(at) = at else {
        return Some(Requirement {
            key: key_of(part)?,
            test: Test::Exists,
        });
    };
    let (key, rest) = part.split_at(at);
    let key = key_of(key)?;
    let test = if let Some(value) = rest.strip_prefix("!=") {
        Test::NotIn(vec![value_of(value.trim())?])
    } else if let Some(value) = rest.strip_prefix("==").or_else(|| rest.strip_prefix('=')) {
        Test::In(vec![value_of(value.trim())?])
    } else if let Some(value) = rest.strip_prefix('>') {
        Test::Greater(value.trim().parse().ok()?)
    } else if let Some(value) = rest.strip_prefix('<') {
        Test::Less(value.trim().parse().ok()?)
    } else {
        return None;
    };
    Some(Requirement { key, test })
}

/// A qualified name: letters, digits, `-`, `_`, `.`, with an optional DNS prefix.
fn key_of(key: &str) -> Option<String> {
    let key = key.trim();
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(p, n)| (Some(p), n));
    let prefix_ok = prefix.is_none_or(|p| {
        !p.is_empty()
            && p.len() <= 253
            && p.split('.').all(|label| {
                let ends = label.starts_with('-') || label.ends_with('-') || label.is_empty();
                !ends
                    && label
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            })
    });
    (prefix_ok && !name.is_empty() && is_label_text(name)).then(|| key.to_string())
}

fn value_of(value: &str) -> Option<String> {
    (value.is_empty() || is_label_text(value)).then(|| value.to_string())
}

fn is_label_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    text.len() <= 63
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}
