//! `crds`: field specs from the OpenAPI definitions of custom resources, as Go's openapi-gen writes them. In: the
//! text of such a file; out: configuration. Pure.

use std::path::Path;

use serde_json::{Map, Value};

use crate::config::{Config, NameReference};
use crate::error::Error;
use crate::fieldspec::{FieldSpec, FieldSpecs};
use crate::id::Gvk;
use crate::yaml::{self, Schema};

/// Definitions may refer to each other in a circle.
const MAX_DEPTH: usize = 64;

/// Reads one file of `crds`.
pub(crate) fn read(text: &str, path: &Path) -> Result<Config, Error> {
    let node = yaml::load_v2(text).map_err(|e| Error::load(path, e))?;
    let value = yaml::to_value(&node, Schema::GoYamlV2)
        .map_err(|e| Error::syntax(e.message).at(path, Some(e.position)))?;
    let Value::Object(definitions) = value else {
        return Err(
            Error::syntax("expected a mapping from type names to OpenAPI definitions").at(path, None),
        );
    };
    if let Some((name, _)) = definitions.iter().find(|(_, d)| !(d.is_object() || d.is_null())) {
        return Err(Error::syntax(format!("{name} must be an OpenAPI definition")).at(path, None));
    }
    let mut config = Config::default();
    for (name, definition) in &definitions {
        let is_kind = properties(definition).is_some_and(|p| {
            ["kind", "apiVersion", "metadata"]
                .iter()
                .all(|f| p.contains_key(*f))
        });
        if !is_kind {
            continue;
        }
        let kind = name.rsplit('.').next().unwrap_or_default().to_string();
        let reader = Reader {
            definitions: &definitions,
            gvk: Gvk {
                kind,
                ..Gvk::default()
            },
        };
        reader
            .read(name, &mut Vec::new(), &mut config)
            .map_err(|e| e.at(path, None))?;
    }
    Ok(config)
}

fn properties(definition: &Value) -> Option<&Map<String, Value>> {
    let schema = definition.get("Schema").or_else(|| definition.get("schema"))?;
    schema.get("properties")?.as_object()
}

struct Reader<'a> {
    definitions: &'a Map<String, Value>,
    gvk: Gvk,
}

impl Reader<'_> {
    fn read(&self, name: &str, path: &mut Vec<String>, config: &mut Config) -> Result<(), Error> {
        let Some(properties) = self.definitions.get(name).and_then(properties) else {
            return Ok(());
        };
        if path.len() > MAX_DEPTH {
            return Err(Error::kustomization(format!(
                "crds: the definition of {name} contains itself"
            )));
        }
        for (field, property) in properties {
            path.push(field.clone());
            let text = |key: &str| property.get(key).and_then(Value::as_str);
            let here = |more: &[&str]| {
                let path = path
                    .iter()
                    .map(String::as_str)
                    .chain(more.iter().copied())
                    .collect::<Vec<_>>()
                    .join("/");
                FieldSpec::new(self.gvk.clone(), &path, false)
            };
            if text("x-kubernetes-annotation").is_some() {
                config.common_annotations.merge([&here(&[])])?;
            }
            if text("x-kubernetes-label-selector").is_some() {
                config.common_labels.merge([&here(&[])])?;
            }
            if text("x-kubernetes-identity").is_some() {
                config.name_prefix.merge([&here(&[])])?;
            }
            let reference =
                text("x-kubernetes-object-ref-api-version").zip(text("x-kubernetes-object-ref-kind"));
            if let Some((version, kind)) = reference {
                let key = text("x-kubernetes-object-ref-name-key").unwrap_or("name");
                let target = Gvk {
                    group: String::new(),
                    version: version.into(),
                    kind: kind.into(),
                    ..Gvk::default()
                };
                let referrers = FieldSpecs::new(vec![here(&[key])]);
                let own = Config {
                    name_references: vec![NameReference { target, referrers }],
                    ..Config::default()
                };
                config.merge(&own)?;
            }
            if let Some(other) = text("$ref") {
                self.read(other, path, config)?;
            }
            path.pop();
        }
        Ok(())
    }
}
