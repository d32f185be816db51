//! Where two answers differ. No I/O.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

/// How much of a value is shown.
const SHOWN: usize = 600;

/// One difference.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    pub(crate) case: String,
    pub(crate) row: String,
    /// The row's request.
    pub(crate) request: String,
    /// Where in the answer.
    pub(crate) pointer: String,
    /// What upstream has there.
    pub(crate) upstream: Option<Value>,
    /// What the other one has.
    pub(crate) other: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<Value>| {
            value
                .as_ref()
                .map_or("nothing".to_owned(), |value| short(&value.to_string()))
        };
        writeln!(f, "{} / {}", self.case, self.row)?;
        writeln!(f, "  {}", self.request)?;
        writeln!(f, "  {}", self.pointer)?;
        writeln!(f, "  - upstream: {}", shown(&self.upstream))?;
        write!(f, "  + here:     {}", shown(&self.other))
    }
}

/// The beginning of a long text.
fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text.to_owned(),
    }
}

/// All places at which two values differ, with what is there.
pub(crate) fn differences(upstream: &Value, other: &Value) -> Vec<(String, Option<Value>, Option<Value>)> {
    let mut out = Vec::new();
    collect(Some(upstream), Some(other), &mut String::new(), &mut out);
    out
}

fn collect(
    upstream: Option<&Value>,
    other: Option<&Value>,
    pointer: &mut String,
    out: &mut Vec<(String, Option<Value>, Option<Value>)>,
) {
    if upstream == other {
        return;
    }
    let mut step = |name: &str, upstream: Option<&Value>, other: Option<&Value>| {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
        collect(upstream, other, pointer, out);
        pointer.truncate(length);
    };
    match (upstream, other) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                step(name, a.get(name), b.get(name));
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for index in 0..a.len().max(b.len()) {
                step(&index.to_string(), a.get(index), b.get(index));
            }
        }
        _ => out.push((pointer.clone(), upstream.cloned(), other.cloned())),
    }
}

/// Whether a pointer is one of a pattern, in which `*` stands for any one step, and a last `**` for all that follow.
pub(crate) fn fits(pattern: &str, pointer: &str) -> bool {
    let mut steps = pointer.split('/');
    for wanted in pattern.split('/') {
        if wanted == "**" {
            return true;
        }
        match steps.next() {
            Some(step) if wanted == "*" || wanted == step => {}
            _ => return false,
        }
    }
    steps.next().is_none()
}

#[test]
fn differences_are_told_by_pointer() {
    let (a, b) = (
        serde_json::json!({ "a": [1, 2], "b/c": 1 }),
        serde_json::json!({ "a": [1], "b/c": 2 }),
    );
    let found: Vec<String> = differences(&a, &b)
        .into_iter()
        .map(|(pointer, _, _)| pointer)
        .collect();
    assert_eq!(found, ["/a/1", "/b~1c"]);
    assert!(fits("/a/*", "/a/1") && fits("/**", "/a/1") && !fits("/a", "/a/1") && !fits("/a/*/b", "/a/1"));
}
