//! Compares what Flux and Coracle leave behind, and holds the differences to a closed list. Reads the list.

use std::collections::BTreeSet;

use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;
use serde_json::Value;
use tests::world::workspace;

use crate::holding::{all, folder};

/// A difference that is meant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    /// Its number in `docs/flux-differences.md`; without one it is no matter of behaviour.
    item: Option<u32>,
    /// Where it shows: `heading/flux/Kustomization/flux-system/app/...`, with `*` for anything.
    at: Vec<String>,
    /// Why.
    because: String,
    /// The scenarios in which it shows, when not in all.
    #[serde(rename = "in", default)]
    scenarios: Option<BTreeSet<String>>,
}

/// A place where the two differ.
struct Difference {
    at: String,
    flux: Option<Value>,
    coracle: Option<Value>,
}

/// Compares; whatever is not listed fails, and so does what is listed and not there. What is there is kept in a
/// snapshot, so that a listed difference does not grow unseen.
pub(crate) fn compare(scenario: &str, flux: &Value, coracle: &Value) {
    let mut found = Vec::new();
    differ(String::new(), Some(flux), Some(coracle), &mut found);
    let listed = listed();
    let here: Vec<&Listed> = listed
        .iter()
        .filter(|entry| {
            let scenarios = entry.scenarios.as_ref();
            scenarios.is_none_or(|scenarios| scenarios.contains(scenario))
        })
        .collect();
    let mut shown = String::new();
    let mut unlisted = Vec::new();
    let mut used = BTreeSet::new();
    for difference in &found {
        let entry = here
            .iter()
            .enumerate()
            .flat_map(|(entry, listed)| listed.at.iter().map(move |at| (entry, at)))
            .find(|(_, at)| glob(at).is_match(&difference.at));
        let text = difference.text();
        match entry {
            Some((entry, at)) => {
                used.insert((entry, at));
                let item = here[entry].item.map_or("-".to_owned(), |item| item.to_string());
                shown.push_str(&format!("[{item}] {text}"));
            }
            None => unlisted.push(text),
        }
    }
    let gone: Vec<String> = here
        .iter()
        .enumerate()
        .flat_map(|(entry, listed)| listed.at.iter().map(move |at| (entry, at)))
        .filter(|place| !used.contains(place))
        .map(|(entry, at)| format!("{at} ({})", here[entry].because))
        .collect();
    assert!(
        unlisted.is_empty() && gone.is_empty(),
        "{scenario}: what differs from Flux and is not in tests/flux/differences.yaml:\n{}\n\
         what is listed there and does not differ:\n{}\n",
        unlisted.join(""),
        gone.join("\n")
    );
    insta::with_settings!({ snapshot_path => folder("differences"), prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(scenario, shown);
    });
}

impl Difference {
    fn text(&self) -> String {
        let value = |value: &Option<Value>| value.as_ref().map_or("(none)".to_owned(), ToString::to_string);
        format!(
            "{}\n    Flux:    {}\n    Coracle: {}\n",
            self.at,
            value(&self.flux),
            value(&self.coracle)
        )
    }
}

/// Collects where two values differ, as deep as it goes.
fn differ(at: String, flux: Option<&Value>, coracle: Option<&Value>, found: &mut Vec<Difference>) {
    if flux == coracle {
        return;
    }
    if let (Some(Value::Object(a)), Some(Value::Object(b))) = (flux, coracle) {
        let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        for key in keys {
            let below = if at.is_empty() {
                key.clone()
            } else {
                format!("{at}/{key}")
            };
            differ(below, a.get(key), b.get(key), found);
        }
        return;
    }
    found.push(Difference {
        at,
        flux: flux.cloned(),
        coracle: coracle.cloned(),
    });
}

fn glob(pattern: &str) -> GlobMatcher {
    let escaped: String = pattern
        .chars()
        .flat_map(|c| match c {
            '[' | ']' | '{' | '}' | '?' | '\\' | '!' => vec!['\\', c],
            other => vec![other],
        })
        .collect();
    GlobBuilder::new(&escaped)
        .backslash_escape(true)
        .build()
        .unwrap()
        .compile_matcher()
}

fn listed() -> Vec<Listed> {
    let path = workspace("tests/flux/differences.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let value: Value = serde_saphyr::from_str(&text).unwrap();
    serde_json::from_value(value).unwrap()
}

/// The numbers of `docs/flux-differences.md`.
fn items() -> BTreeSet<u32> {
    let text = std::fs::read_to_string(workspace("docs/flux-differences.md")).unwrap();
    text.lines()
        .filter_map(|line| line.split_once(". **")?.0.parse().ok())
        .collect()
}

#[test]
fn every_difference_that_is_met_is_in_the_documentation() {
    let (documented, all) = (items(), all());
    assert!(documented.len() > 20, "the numbers are read: {documented:?}");
    for entry in listed() {
        if let Some(item) = entry.item {
            assert!(
                documented.contains(&item),
                "{}: there is no {item}",
                entry.because
            );
        }
        for scenario in entry.scenarios.iter().flatten() {
            assert!(
                all.contains(scenario),
                "{}: there is no scenario {scenario}",
                entry.because
            );
        }
    }
}
