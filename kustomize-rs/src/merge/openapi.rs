//! What a build knows of kinds beyond Kubernetes' own: the schema that a kustomization file names (`openapi`). In: the
//! text of an OpenAPI document, and the kinds that are met; out: which lists are merged by which keys, and which kinds
//! live outside of namespaces. Pure.
//!
//! kustomize keeps all of it in one table that is filled as the build goes, so that what is known depends on what was
//! asked before. The steps here are the same ones, without the table being global.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::Value;

use super::Result;
use super::schema::{self, Field};
use crate::error::Error;
use crate::yaml::{self, Node, Schema};

/// How far references may lead.
const MAX_REFERENCES: usize = 32;

/// The schemas of one build.
#[derive(Debug, Default)]
pub(crate) struct Schemas(RefCell<State>);

#[derive(Debug, Default)]
struct State {
    /// Whether a kustomization file has chosen a schema; the first one that does wins.
    chosen: bool,
    custom: Option<(Rc<str>, PathBuf)>,
    /// Whether what was chosen is part of the definitions.
    ready: bool,
    /// Whether Kubernetes' own schema is to be added too, because a kind was looked for before the choice.
    builtin_is_wanted: bool,
    builtin_is_known: bool,
    definitions: Rc<Definitions>,
}

impl Schemas {
    /// Chooses the document of `openapi.path`.
    pub(crate) fn choose_document(&self, text: &str, path: &Path) {
        let mut state = self.0.borrow_mut();
        state.chosen = true;
        state.custom = Some((text.into(), path.to_path_buf()));
        state.ready = false;
    }

    /// Chooses Kubernetes' own schema by its version.
    pub(crate) fn choose_builtin(&self) {
        let mut state = self.0.borrow_mut();
        state.chosen = true;
        state.custom = None;
        state.ready = false;
    }

    pub(crate) fn has_document(&self) -> bool {
        self.0.borrow().custom.is_some()
    }

    pub(crate) fn is_chosen(&self) -> bool {
        self.0.borrow().chosen
    }

    /// Tells whether a kind is known to live outside of namespaces by the document that was chosen.
    pub(crate) fn is_cluster_scoped(&self, api_version: &str, kind: &str) -> Result<bool> {
        if schema::is_known(api_version, kind) {
            return Ok(false);
        }
        let state = self.0.borrow();
        if !state.ready && state.custom.is_none() {
            drop(state);
            let mut state = self.0.borrow_mut();
            state.builtin_is_wanted = !state.builtin_is_known;
            return Ok(false);
        }
        drop(state);
        Ok(self.definitions()?.is_cluster_scoped(api_version, kind))
    }

    /// Everything that is known now.
    pub(crate) fn definitions(&self) -> Result<Rc<Definitions>> {
        let mut state = self.0.borrow_mut();
        if !state.ready {
            state.ready = true;
            let mut definitions = Definitions::clone(&state.definitions);
            match &state.custom {
                Some((text, path)) => definitions.add(text, path)?,
                None => {
                    definitions.sources.push(Source::Builtin);
                    state.builtin_is_known = true;
                }
            }
            if std::mem::take(&mut state.builtin_is_wanted) && !state.builtin_is_known {
                definitions.sources.push(Source::Builtin);
                state.builtin_is_known = true;
            }
            state.definitions = Rc::new(definitions);
        }
        Ok(Rc::clone(&state.definitions))
    }
}

/// Definitions of objects; where two have one name, the later one counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Definitions {
    sources: Vec<Source>,
    /// The kinds that documents have paths for, and whether those name a namespace.
    namespaced: HashMap<(String, String), bool>,
}

#[derive(Debug, Clone)]
enum Source {
    Builtin,
    Document(Rc<Value>),
}

impl Definitions {
    fn add(&mut self, text: &str, path: &Path) -> Result<()> {
        let node = yaml::load_v2(text).map_err(|e| Error::load(path, e))?;
        let document = yaml::to_value(&node, Schema::GoYamlV2)
            .map_err(|e| Error::syntax(e.message).at(path, Some(e.position)))?;
        if !document.is_object() {
            return Err(Error::syntax("expected an OpenAPI document").at(path, None));
        }
        self.add_paths(&document);
        self.sources.push(Source::Document(Rc::new(document)));
        Ok(())
    }

    fn add_paths(&mut self, document: &Value) {
        let paths = document.get("paths").and_then(Value::as_object);
        for (path, item) in paths.into_iter().flatten() {
            let Some(gvk) = item.pointer("/get/x-kubernetes-group-version-kind") else {
                continue;
            };
            let text = |key: &str| gvk.get(key).and_then(Value::as_str).unwrap_or_default();
            let api_version = match text("group") {
                "" => text("version").to_string(),
                group => format!("{group}/{}", text("version")),
            };
            let known = self.namespaced.entry((api_version, text("kind").to_string()));
            let namespaced = path.contains("namespaces/{namespace}");
            *known.or_default() |= namespaced;
        }
    }

    fn is_cluster_scoped(&self, api_version: &str, kind: &str) -> bool {
        let key = (api_version.to_string(), kind.to_string());
        self.namespaced.get(&key) == Some(&false)
    }

    /// The schema of the kind that a mapping says it is.
    pub(super) fn of_node(&self, node: &Node) -> Option<Field<'_>> {
        let text = |key: &str| {
            let text = node.get(key).filter(|n| !n.is_null()).and_then(Node::as_text);
            text.filter(|t| !t.is_empty())
        };
        let (api_version, kind) = (text("apiVersion")?, text("kind")?);
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let is_meant = |gvk: &Value| {
            let text = |key: &str| gvk.get(key).and_then(Value::as_str).unwrap_or_default();
            text("group") == group && text("version") == version && text("kind") == kind
        };
        self.sources.iter().rev().find_map(|source| match source {
            Source::Builtin => schema::of_kind(api_version, kind).map(|o| Field::builtin(self, o)),
            Source::Document(document) => {
                let definitions = document.get("definitions")?.as_object()?;
                let found = definitions.values().find(|definition| {
                    let gvks = definition.get("x-kubernetes-group-version-kind");
                    let gvks = gvks.and_then(Value::as_array);
                    gvks.is_some_and(|gvks| gvks.iter().any(is_meant))
                });
                found.map(|schema| Field::custom(self, schema))
            }
        })
    }

    /// The definition of a name.
    pub(super) fn named(&self, name: &str) -> Option<Field<'_>> {
        self.sources.iter().rev().find_map(|source| match source {
            Source::Builtin => schema::named(name).map(|o| Field::builtin(self, o)),
            Source::Document(document) => {
                let schema = document.get("definitions")?.get(name)?;
                Some(Field::custom(self, schema))
            }
        })
    }

    /// Follows references to what they stand for.
    pub(super) fn resolve<'s>(&'s self, schema: &'s Value) -> Option<Field<'s>> {
        let mut field = Field::custom(self, schema);
        for _ in 0..MAX_REFERENCES {
            let Some(reference) = field.reference() else {
                return Some(field);
            };
            field = self.named(reference.strip_prefix("#/definitions/")?)?;
        }
        None
    }
}

/// The schema of a field of an object.
pub(super) fn property<'s>(schema: &'s Value, name: &str) -> Option<&'s Value> {
    let property = schema.get("properties").and_then(|p| p.get(name));
    property.or_else(|| schema.get("additionalProperties").filter(|s| s.is_object()))
}

/// The schema of the items of a list.
pub(super) fn items(schema: &Value) -> Option<&Value> {
    let is_list = match schema.get("type")? {
        Value::String(one) => one == "array",
        Value::Array(several) => several.len() == 1 && several[0] == "array",
        _ => false,
    };
    schema.get("items").filter(|_| is_list)
}

/// The keys by which the items of a list are merged, if they are.
pub(super) fn merge_keys(schema: &Value) -> Option<Vec<&str>> {
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
