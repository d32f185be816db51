//! Whether the live object differs from what an apply would make of it. Pure.
//!
//! Source: fluxcd/pkg `ssa/manager_diff.go` (`hasDrifted`): labels, annotations and everything but
//! metadata and status are compared between the live object and the answer to the dry run.

use serde_json::Value;

/// Fields that an apply would change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// JSON pointers of what differs, capped, in document order.
    pub paths: Vec<String>,
}

const MAX_PATHS: usize = 20;

/// Compares the live object with the answer to a dry-run apply; nothing when they agree.
#[must_use]
pub fn drift(live: &Value, previewed: &Value) -> Option<Drift> {
    let mut paths = Vec::new();
    let empty = Value::Object(serde_json::Map::new());
    for key in ["labels", "annotations"] {
        let pointer = format!("/metadata/{key}");
        let side = |object: &Value| object.pointer(&pointer).cloned().unwrap_or_else(|| empty.clone());
        compare(&side(live), &side(previewed), &pointer, &mut paths);
    }
    let sides = (live.as_object(), previewed.as_object());
    if let (Some(live), Some(previewed)) = sides {
        let keys: std::collections::BTreeSet<_> = live.keys().chain(previewed.keys()).collect();
        for key in keys
            .into_iter()
            .filter(|key| !matches!(key.as_str(), "metadata" | "status" | "apiVersion" | "kind"))
        {
            let null = Value::Null;
            compare(
                live.get(key).unwrap_or(&null),
                previewed.get(key).unwrap_or(&null),
                &format!("/{}", escape(key)),
                &mut paths,
            );
        }
    }
    (!paths.is_empty()).then_some(Drift { paths })
}

fn compare(live: &Value, wanted: &Value, at: &str, paths: &mut Vec<String>) {
    if paths.len() >= MAX_PATHS || live == wanted {
        return;
    }
    match (live, wanted) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let child = format!("{at}/{}", escape(key));
                match (a.get(key), b.get(key)) {
                    (Some(x), Some(y)) => compare(x, y, &child, paths),
                    _ => push(paths, child),
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (x, y)) in a.iter().zip(b).enumerate() {
                compare(x, y, &format!("{at}/{index}"), paths);
            }
        }
        _ => push(paths, at.to_owned()),
    }
}

fn push(paths: &mut Vec<String>, path: String) {
    if paths.len() < MAX_PATHS {
        paths.push(path);
    }
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_status_or_a_resource_version_is_no_drift() {
        let live = json!({"metadata": {"resourceVersion": "1", "generation": 3}, "spec": {"a": 1}, "status": {"x": 1}});
        let previewed = json!({"metadata": {"resourceVersion": "2"}, "spec": {"a": 1}});
        assert_eq!(drift(&live, &previewed), None);
    }

    #[test]
    fn every_field_that_differs_is_named() {
        let live = json!({"metadata": {"labels": {"a": "1"}}, "spec": {"list": [1, 2], "gone": true}});
        let previewed = json!({"metadata": {"labels": {"a": "2"}, "annotations": {"x/y": "z"}}, "spec": {"list": [1, 3]}});
        assert_eq!(
            drift(&live, &previewed).unwrap().paths,
            [
                "/metadata/labels/a",
                "/metadata/annotations/x~1y",
                "/spec/gone",
                "/spec/list/1"
            ]
        );
    }
}
