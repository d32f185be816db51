//! A schema that a kustomization file names (`openapi.path`), which takes the place of Kubernetes' own. In: the text
//! of an OpenAPI document; out: which lists are merged by which keys. Pure.

use std::path::Path;

use serde_json::Value;

use super::Result;
use crate::error::Error;
use crate::yaml::{self, Schema};

/// How far references may lead.
const MAX_REFERENCES: usize = 32;

/// The definitions of an OpenAPI document.
#[derive(Debug)]
pub(crate) struct OpenApi {
    document: Value,
}

impl OpenApi {
    pub(crate) fn read(text: &str, path: &Path) -> Result<Self> {
        let node = yaml::load_v2(text).map_err(|e| Error::load(path, e))?;
        let document = yaml::to_value(&node, Schema::GoYamlV2)
            .map_err(|e| Error::syntax(e.message).at(path, Some(e.position)))?;
        if !document.is_object() {
            return Err(Error::syntax("expected an OpenAPI document").at(path, None));
        }
        Ok(Self { document })
    }

    /// The schema of a kind.
    pub(super) fn of_kind(&self, api_version: &str, kind: &str) -> Option<&Value> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let definitions = self.document.get("definitions")?.as_object()?;
        let is_meant = |gvk: &Value| {
            let text = |key: &str| gvk.get(key).and_then(Value::as_str).unwrap_or_default();
            text("group") == group && text("version") == version && text("kind") == kind
        };
        definitions.values().find(|definition| {
            let gvks = definition
                .get("x-kubernetes-group-version-kind")
                .and_then(Value::as_array);
            gvks.is_some_and(|gvks| gvks.iter().any(is_meant))
        })
    }

    fn resolve<'s>(&'s self, mut schema: &'s Value) -> Option<&'s Value> {
        for _ in 0..MAX_REFERENCES {
            let Some(reference) = schema.get("$ref").and_then(Value::as_str) else {
                return Some(schema);
            };
            schema = self.document.pointer(reference.strip_prefix('#')?)?;
        }
        None
    }

    pub(super) fn field<'s>(&'s self, schema: &'s Value, name: &str) -> Option<&'s Value> {
        let property = schema.get("properties").and_then(|p| p.get(name));
        let schema = property.or_else(|| schema.get("additionalProperties").filter(|s| s.is_object()))?;
        self.resolve(schema)
    }

    pub(super) fn items<'s>(&'s self, schema: &'s Value) -> Option<&'s Value> {
        schema.get("items").and_then(|items| self.resolve(items))
    }

    /// The keys by which the items of a list are merged, if they are.
    pub(super) fn merge_keys<'s>(&self, schema: &'s Value) -> Option<Vec<&'s str>> {
        let strategy = schema.get("x-kubernetes-patch-strategy")?.as_str()?;
        if !strategy.split(',').any(|s| s == "merge") {
            return None;
        }
        let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
        let key = || schema.get("x-kubernetes-patch-merge-key").and_then(Value::as_str);
        Some(keys.map_or_else(
            || key().into_iter().collect(),
            |keys| keys.iter().filter_map(Value::as_str).collect(),
        ))
    }
}
