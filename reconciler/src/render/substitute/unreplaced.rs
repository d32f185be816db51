//! Why a refused value still holds `${...}`: variables are replaced only where the Kustomization asks for it. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::SUBSTITUTE_KEY;

/// What to add to the words by which an object was refused, when they are about a value in which a variable stands.
/// `replaces` says whether the Kustomization replaces variables, `is_secret` whether a value may not be shown: no part
/// of such a one is.
#[must_use]
pub fn hint(object: &Value, words: &str, replaces: bool, is_secret: impl Fn(&str) -> bool) -> Option<String> {
    let mut texts = Vec::new();
    meant(object, &mut Vec::new(), words, &mut texts);
    texts.retain(|text| !is_secret(text));
    let names: BTreeSet<&str> = texts.into_iter().flat_map(variables).collect();
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

/// In the words of apimachinery's `resource.ParseQuantity`.
const NOT_A_QUANTITY: [&str; 2] = [
    "quantities must match the regular expression",
    "unable to parse quantity's suffix",
];

/// One step on the way from an object to a value in it.
#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Item(usize, &'a Value),
}

/// Values with variables in them that the words quote, or whose place they name.
fn meant<'a>(value: &'a Value, path: &mut Vec<Step<'a>>, words: &str, texts: &mut Vec<&'a str>) {
    let mut enter = |step, value| {
        path.push(step);
        meant(value, path, words, texts);
        path.pop();
    };
    match value {
        Value::Object(fields) => fields
            .iter()
            .for_each(|(key, value)| enter(Step::Key(key), value)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, item)| enter(Step::Item(index, item), item)),
        Value::String(text)
            if text.contains("${")
                && (words.contains(text) || names(words, path) || is_about_quantities(words, path)) =>
        {
            texts.push(text);
        }
        _ => {}
    }
}

fn variables(text: &str) -> impl Iterator<Item = &str> {
    let name = |rest: &'_ str| {
        rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(rest.len())
    };
    text.split("${")
        .skip(1)
        .map(move |rest| &rest[..name(rest)])
        .filter(|name| !name.is_empty())
}

/// Whether the words name just this place, as the API server writes places: `spec.hosts[0].name`,
/// `metadata.labels[app]`, `.spec.template.spec.containers[name="web"].image`.
fn names(words: &str, path: &[Step<'_>]) -> bool {
    let Some((Step::Key(first), rest)) = path.split_first() else {
        return false;
    };
    words.match_indices(first).any(|(at, _)| {
        let before = &words[..at];
        let before = before.strip_suffix('.').unwrap_or(before);
        let after = &words[at + first.len()..];
        let after = rest.iter().try_fold(after, |words, step| step.taken_off(words));
        !before.ends_with(goes_on) && after.is_some_and(ends)
    })
}

/// Whether the words refuse a quantity, of which the API server names no place, and this is the place of one.
fn is_about_quantities(words: &str, path: &[Step<'_>]) -> bool {
    let holds_quantities =
        |step: &Step<'_>| matches!(step, Step::Key("requests" | "limits" | "hard" | "sizeLimit"));
    NOT_A_QUANTITY.iter().any(|part| words.contains(part)) && path.iter().any(holds_quantities)
}

impl Step<'_> {
    /// The words after this step, if they go on with it.
    fn taken_off<'w>(&self, words: &'w str) -> Option<&'w str> {
        match self {
            Self::Key(key) => {
                let as_field = || words.strip_prefix('.')?.strip_prefix(key);
                let as_key = || words.strip_prefix('[')?.strip_prefix(key)?.strip_prefix(']');
                as_field().or_else(as_key)
            }
            Self::Item(index, item) => {
                let (which, after) = words.strip_prefix('[')?.split_once(']')?;
                let is_it = which == index.to_string() || which.split(',').all(|key| has(item, key));
                is_it.then_some(after)
            }
        }
    }
}

/// Whether an item of a list has this `key=value`.
fn has(item: &Value, key: &str) -> bool {
    let Some((name, value)) = key.split_once('=') else {
        return false;
    };
    let value: Option<Value> = serde_json::from_str(value).ok();
    value.is_some() && item.get(name) == value.as_ref()
}

/// Whether a place is not yet named to its end.
fn goes_on(c: char) -> bool {
    c.is_alphanumeric() || "_-/[]".contains(c)
}

/// Whether a place ends before these words; a sentence may end there too.
fn ends(words: &str) -> bool {
    !words.strip_prefix('.').unwrap_or(words).starts_with(goes_on)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PUBLIC: fn(&str) -> bool = |_| false;

    #[test]
    fn a_refused_value_with_a_variable_in_it_names_the_variable_and_where_to_set_it() {
        let object = json!({
            "metadata": {"name": "web", "labels": {"app": "${app}"}},
            "spec": {"replicas": "${replicas}", "hosts": [{"name": "${host}.example.org"}], "note": "${HOME} is fine"},
        });
        let remedy = |words| hint(&object, words, false, PUBLIC);
        assert_eq!(
            remedy(".spec.replicas: expected numeric (int or float), got string").unwrap(),
            "`${replicas}` was not replaced: the Kustomization has no variables; set replicas in spec.postBuild.substitute"
        );
        for (words, name) in [
            ("spec.hosts[0].name: Invalid value: must be a name", "host"),
            ("Invalid value: \"${host}.example.org\"", "host"),
            ("metadata.labels[app]: Invalid value: must be short", "app"),
            ("there is a bad value at spec.replicas.", "replicas"),
        ] {
            let told = remedy(words).unwrap();
            assert!(told.contains(&format!("set {name} in")), "{words}: {told}");
        }
        assert_eq!(
            remedy("metadata.name: Required value"),
            None,
            "it is about something else"
        );
        assert_eq!(
            hint(&object, ".spec.replicas: expected numeric", true, PUBLIC),
            None
        );
    }

    #[test]
    fn a_value_beside_the_refused_one_is_not_meant() {
        let object = json!({"spec": {"containers": [{"name": "web", "env": [
            {"name": "PATH", "value": "${HOME}/bin"},
            {"name": "HOST", "value": "a", "valueFrom": {}},
        ]}]}});
        let remedy = |words| hint(&object, words, false, PUBLIC);
        for other in [
            "spec.containers[0].env[1].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
            "spec.containers[0].env[1].value: Invalid value",
            "spec.containers[0].env[0].valueFrom: Invalid value",
            "spec.containers[1].env[0].value: Invalid value",
            "spec.template.spec.containers[0].env[0].value: Invalid value",
            ".spec.containers[name=\"web\"].env[name=\"HOST\"].value: expected string",
            "spec.containers[0].env[0].value.more: Invalid value",
        ] {
            assert_eq!(remedy(other), None, "{other}");
        }
        for this in [
            "spec.containers[0].env[0].value: Invalid value",
            ".spec.containers[name=\"web\"].env[name=\"PATH\"].value: expected string",
        ] {
            assert!(remedy(this).unwrap().contains("set HOME in"), "{this}");
        }
    }

    #[test]
    fn a_quantity_is_found_though_no_place_is_named() {
        let object = json!({"spec": {"containers": [
            {"env": [{"value": "${HOME}/bin"}], "resources": {"requests": {"cpu": "${CPU}"}}},
        ]}});
        let words = "failed to convert new object (default/x; apps/v1, Kind=Deployment) to proper version: unable to \
                     convert unstructured object to apps/v1, Kind=Deployment: quantities must match the regular \
                     expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
        assert_eq!(
            hint(&object, words, false, PUBLIC).unwrap(),
            "`${CPU}` was not replaced: the Kustomization has no variables; set CPU in spec.postBuild.substitute"
        );
    }

    #[test]
    fn nothing_is_shown_of_a_value_that_is_secret() {
        let object = json!({"spec": {"password": "abc${def}", "replicas": "${replicas}"}});
        let words = "spec.password: Invalid value, and spec.replicas: Invalid value";
        let told = hint(&object, words, false, |text| text == "abc${def}").unwrap();
        assert!(!told.contains("def") && told.contains("replicas"), "{told}");
    }

    #[test]
    fn an_object_that_opted_out_is_told_so() {
        let object = json!({
            "metadata": {"annotations": {"kustomize.toolkit.fluxcd.io/substitute": "disabled"}},
            "spec": {"replicas": "${replicas}"},
        });
        assert_eq!(
            hint(&object, ".spec.replicas: expected numeric", true, PUBLIC).unwrap(),
            "`${replicas}` was not replaced: the object carries kustomize.toolkit.fluxcd.io/substitute: disabled"
        );
    }
}
