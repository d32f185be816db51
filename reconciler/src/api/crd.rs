//! The CustomResourceDefinitions of the two kinds, generated from their types. No I/O.
//!
//! Types in, objects out. What is said here and not in the types is what kube's derive and schemars
//! say differently from Flux's own definitions, so that an object means the same under both.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use super::{GitRepository, Kustomization};

/// The definitions that the controller needs, in the order in which they are installed.
///
/// Only `v1` is defined: Flux took the earlier versions out of its own definitions as well.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![GitRepository::crd(), Kustomization::crd()];
    for crd in &mut crds {
        crd.spec.names.list_kind = Some(format!("{}List", crd.spec.names.kind));
        for schema in root_schemas(crd) {
            schema.title = None;
            relax(schema);
        }
    }
    crds
}

fn root_schemas(crd: &mut CustomResourceDefinition) -> impl Iterator<Item = &mut JSONSchemaProps> {
    crd.spec
        .versions
        .iter_mut()
        .filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut())
}

/// Takes away how schemars says `Option`: a `null` that is not declared is dropped by the API server
/// before anybody sees it, which is what Flux's definitions ask for.
fn relax(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(values) = &mut schema.enum_ {
        values.retain(|value| !value.0.is_null());
    }
    for child in children(schema) {
        relax(child);
    }
}

fn children(schema: &mut JSONSchemaProps) -> impl Iterator<Item = &mut JSONSchemaProps> {
    let properties = schema.properties.iter_mut().flat_map(|map| map.values_mut());
    let items = schema.items.iter_mut().flat_map(|items| match items {
        JSONSchemaPropsOrArray::Schema(item) => std::slice::from_mut(item.as_mut()).iter_mut(),
        JSONSchemaPropsOrArray::Schemas(items) => items.iter_mut(),
    });
    let values = schema
        .additional_properties
        .iter_mut()
        .filter_map(|value| match value {
            JSONSchemaPropsOrBool::Schema(value) => Some(value.as_mut()),
            JSONSchemaPropsOrBool::Bool(_) => None,
        });
    properties.chain(items).chain(values)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::GoDuration;

    /// Flux's definitions without descriptions; `testdata/extract.py` says where they come from.
    const FLUX_CRDS: &str = include_str!("testdata/flux-crds.json");
    /// The samples of Flux's documents; `testdata/extract.py` says where they come from.
    const FLUX_SAMPLES: &str = include_str!("testdata/flux-samples.json");

    #[test]
    fn the_definitions_differ_from_those_of_flux_only_where_it_is_meant() {
        let flux: Value = serde_json::from_str(FLUX_CRDS).unwrap();
        for entry in flux["crds"].as_array().unwrap() {
            let name = &entry["crd"]["metadata"]["name"];
            let ours = crds()
                .iter()
                .map(|crd| serde_json::to_value(crd).unwrap())
                .find(|crd| crd["metadata"]["name"] == *name)
                .unwrap_or_else(|| panic!("{name} is not defined"));

            let mut found = BTreeSet::new();
            differences("", &without_descriptions(ours), &entry["crd"], &mut found);

            let root = "/spec/versions/0/schema/openAPIV3Schema";
            let mut meant = BTreeSet::from([
                // A note of Flux's generator, and a mark that its descriptions hold variables.
                "- /metadata/annotations".to_owned(),
                // The API server adds these to every definition by itself.
                format!("- {root}/properties/apiVersion"),
                format!("- {root}/properties/kind"),
                format!("- {root}/properties/metadata"),
                // An object that says nothing is refused when it is written, not when it is run.
                format!("+ {root}/required"),
            ]);
            meant.retain(|path| entry["crd"].pointer(&path[2..]).is_some() || path.starts_with('+'));
            assert_eq!(found, meant, "{name}");
        }
    }

    #[test]
    fn every_sample_of_the_documents_of_flux_is_read_without_loss() {
        let samples: Value = serde_json::from_str(FLUX_SAMPLES).unwrap();
        let samples = samples["samples"].as_array().unwrap();
        assert!(samples.len() > 40, "{} samples", samples.len());
        for sample in samples {
            let object = &sample["object"];
            let place = format!("{}:{}", sample["document"], sample["line"]);
            let read = match object["kind"].as_str() {
                Some("Kustomization") => round_trip::<Kustomization>(object, &place),
                _ => round_trip::<GitRepository>(object, &place),
            };
            assert_eq!(
                with_plain_durations(&read),
                with_plain_durations(object),
                "{place}"
            );
        }
    }

    fn round_trip<T: DeserializeOwned + Serialize>(object: &Value, place: &str) -> Value {
        let typed = T::deserialize(object).unwrap_or_else(|error| panic!("{place}: {error}"));
        serde_json::to_value(typed).unwrap()
    }

    /// Writes durations in one notation, and leaves out what says no more than its absence does.
    fn with_plain_durations(value: &Value) -> Value {
        match value {
            Value::String(text) => match text.parse::<GoDuration>() {
                Ok(duration) => json!(duration),
                Err(_) => value.clone(),
            },
            Value::Array(items) => items.iter().map(with_plain_durations).collect(),
            Value::Object(fields) => fields
                .iter()
                .filter(|(_, field)| **field != json!(false) && !field.is_null())
                .map(|(name, field)| (name.clone(), with_plain_durations(field)))
                .collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    fn without_descriptions(value: Value) -> Value {
        match value {
            Value::Array(items) => items.into_iter().map(without_descriptions).collect(),
            Value::Object(fields) => fields
                .into_iter()
                .filter(|(name, field)| !(name == "description" && field.is_string()))
                .map(|(name, field)| (name, without_descriptions(field)))
                .collect(),
            scalar => scalar,
        }
    }

    /// Collects `+ path` (only ours), `- path` (only theirs) and `! path` (different values).
    /// Lists of words are compared as sets: the order of an enum or of `required` means nothing.
    fn differences(path: &str, ours: &Value, theirs: &Value, found: &mut BTreeSet<String>) {
        match (ours, theirs) {
            (Value::Object(ours), Value::Object(theirs)) => {
                for name in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
                    let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
                    match (ours.get(name), theirs.get(name)) {
                        (Some(ours), Some(theirs)) => differences(&path, ours, theirs, found),
                        (Some(_), None) => drop(found.insert(format!("+ {path}"))),
                        _ => drop(found.insert(format!("- {path}"))),
                    }
                }
            }
            (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
                let words = |list: &[Value]| -> Option<BTreeSet<String>> {
                    list.iter().map(|item| item.as_str().map(str::to_owned)).collect()
                };
                if words(ours).is_some() && words(ours) == words(theirs) {
                    return;
                }
                for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                    differences(&format!("{path}/{index}"), ours, theirs, found);
                }
            }
            (Value::Number(ours), Value::Number(theirs)) if ours.as_f64() == theirs.as_f64() => {}
            (ours, theirs) if ours == theirs => {}
            _ => drop(found.insert(format!("! {path}"))),
        }
    }
}
