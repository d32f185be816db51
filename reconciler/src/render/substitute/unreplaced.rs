//! Why a refused value still holds `${...}`: variables are replaced only where the Kustomization asks for it. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::SUBSTITUTE_KEY;

/// What to add to the words by which an object was refused, when they are about a value in which a variable stands.
/// `replaces` says whether the Kustomization has any variables.
#[must_use]
pub fn hint(object: &Value, words: &str, replaces: bool) -> Option<String> {
    let mut names = BTreeSet::new();
    collect(object, "", &without_indices(words), words, &mut names);
    if names.is_empty() {
        return None;
    }
    let shown: Vec<String> = names.iter().map(|name| format!("`${{{name}}}`")).collect();
    let (shown, names) = (shown.join(", "), names.into_iter().collect::<Vec<_>>().join(", "));
    let opted_out = ["annotations", "labels"]
        .iter()
        .any(|place| object["metadata"][place][SUBSTITUTE_KEY] == "disabled");
    Some(match (opted_out, replaces) {
        (true, _) => format!("{shown} was not replaced: the object carries {SUBSTITUTE_KEY}: disabled"),
        (false, false) => format!(
            "{shown} was not replaced: the Kustomization has no variables; set {names} in spec.postBuild.substitute"
        ),
        // Git says `$${...}`, so it is meant.
        (false, true) => return None,
    })
}

/// Names of the variables in values that the words quote, or whose place they name.
fn collect(value: &Value, place: &str, places: &str, words: &str, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                collect(value, &format!("{place}.{key}"), places, words, names);
            }
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| collect(item, place, places, words, names)),
        Value::String(text) if is_meant(text, place, places, words) => names.extend(variables(text)),
        _ => {}
    }
}

/// Whether a variable stands in a value that the words are about.
fn is_meant(text: &str, place: &str, places: &str, words: &str) -> bool {
    text.contains("${") && (words.contains(text) || places.contains(place.trim_start_matches('.')))
}

fn variables(text: &str) -> impl Iterator<Item = String> + '_ {
    let name = |rest: &str| {
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        rest[..end].to_owned()
    };
    text.split("${").skip(1).map(name).filter(|name| !name.is_empty())
}

/// The API server names places with indices or keys of a list in brackets, which places of an object here have not.
fn without_indices(words: &str) -> String {
    let mut depth = 0_usize;
    words
        .chars()
        .filter(|c| match c {
            '[' => {
                depth += 1;
                false
            }
            ']' => {
                depth = depth.saturating_sub(1);
                false
            }
            _ => depth == 0,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refused_value_with_a_variable_in_it_names_the_variable_and_where_to_set_it() {
        let object = json!({
            "metadata": {"name": "web"},
            "spec": {"replicas": "${replicas}", "hosts": [{"name": "${host}.example.org"}], "note": "${HOME} is fine"},
        });
        let remedy = |words| hint(&object, words, false);
        assert_eq!(
            remedy(".spec.replicas: expected numeric (int or float), got string").unwrap(),
            "`${replicas}` was not replaced: the Kustomization has no variables; set replicas in spec.postBuild.substitute"
        );
        assert!(
            remedy("spec.hosts[0].name: Invalid value: must be a name")
                .unwrap()
                .contains("set host in")
        );
        assert!(
            remedy("Invalid value: \"${host}.example.org\"")
                .unwrap()
                .contains("set host in")
        );
        assert_eq!(
            remedy("metadata.name: Required value"),
            None,
            "it is about something else"
        );
        assert_eq!(hint(&object, ".spec.replicas: expected numeric", true), None);
    }

    #[test]
    fn an_object_that_opted_out_is_told_so() {
        let object = json!({
            "metadata": {"annotations": {"kustomize.toolkit.fluxcd.io/substitute": "disabled"}},
            "spec": {"replicas": "${replicas}"},
        });
        assert_eq!(
            hint(&object, ".spec.replicas: expected numeric", true).unwrap(),
            "`${replicas}` was not replaced: the object carries kustomize.toolkit.fluxcd.io/substitute: disabled"
        );
    }
}
