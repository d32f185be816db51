//! Reads typed fields out of a [`Node`], as Go's `encoding/json` would after go-yaml v2: keys in any case,
//! unknown ones refused with a suggestion, null the same as missing. Pure.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, suggest};
use crate::yaml::{Content, Node, Resolved, Schema, Style, Tag, resolve};

/// Where a node stands, for messages.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) file: &'a Path,
    /// Whether unknown fields are errors; configurations of transformers pass them over.
    pub(crate) strict: bool,
}

/// The fields of one mapping, taken one by one.
pub(crate) struct Fields<'a> {
    source: Source<'a>,
    /// The field that the mapping stands in, empty at the top.
    name: String,
    entries: Vec<(String, &'a Node, &'a Node, bool)>,
    known: Vec<&'static str>,
}

type Result<T> = std::result::Result<T, Error>;

impl<'a> Source<'a> {
    pub(crate) fn error(&self, node: &Node, message: impl Into<String>) -> Error {
        Error::kustomization(message).at(self.file, Some(node.position))
    }

    /// Opens a mapping; a null counts as an empty one.
    pub(crate) fn fields(&self, node: &'a Node, name: &str) -> Result<Fields<'a>> {
        let mut entries: Vec<(String, &Node, &Node, bool)> = Vec::new();
        match &node.content {
            Content::Mapping(mapping) => {
                for (key, value) in &mapping.entries {
                    entries.push((self.key(key)?, key, value, false));
                }
            }
            _ if node.is_null() => {}
            _ => return Err(self.error(node, format!("{} must be a mapping", or_file(name)))),
        }
        Ok(Fields {
            source: *self,
            name: name.to_string(),
            entries,
            known: Vec::new(),
        })
    }

    fn key(&self, key: &Node) -> Result<String> {
        match typed(key) {
            Some(Resolved::Str | Resolved::Timestamp(_)) => Ok(key.as_text().unwrap_or_default().to_string()),
            Some(Resolved::Bool(b)) => Ok(b.to_string()),
            Some(Resolved::Int(int)) => Ok(int.to_string()),
            Some(Resolved::Uint(int)) => Ok(int.to_string()),
            Some(Resolved::Float(float)) => Ok(crate::yaml::number::yaml_float(float)),
            Some(Resolved::Null) | None => Err(self.error(key, "a key must be a string")),
        }
    }

    pub(crate) fn string(&self, node: &Node, name: &str) -> Result<String> {
        match typed(node) {
            Some(Resolved::Null) => Ok(String::new()),
            Some(Resolved::Str | Resolved::Timestamp(_)) => {
                Ok(node.as_text().unwrap_or_default().to_string())
            }
            // The configuration of a transformer is read less strictly.
            Some(Resolved::Bool(b)) if !self.strict => Ok(b.to_string()),
            Some(Resolved::Int(int)) if !self.strict => Ok(int.to_string()),
            Some(Resolved::Uint(int)) if !self.strict => Ok(int.to_string()),
            Some(Resolved::Float(float)) if !self.strict => Ok(crate::yaml::number::yaml_float(float)),
            Some(_) => {
                let text = node.as_text().unwrap_or_default();
                Err(self.error(node, format!("{name} must be a string; put {text} in quotes")))
            }
            None => Err(self.error(node, format!("{name} must be a string"))),
        }
    }

    pub(crate) fn items(&self, node: &'a Node, name: &str) -> Result<&'a [Node]> {
        match &node.content {
            Content::Sequence(items) => Ok(items),
            _ if node.is_null() => Ok(&[]),
            _ => Err(self.error(node, format!("{name} must be a list"))),
        }
    }

    fn string_map(&self, node: &'a Node, name: &str) -> Result<BTreeMap<String, String>> {
        let Content::Mapping(mapping) = &node.content else {
            return Err(self.error(node, format!("{name} must be a mapping of strings")));
        };
        let mut map = BTreeMap::new();
        for (key, value) in &mapping.entries {
            let key = self.key(key)?;
            let value = self.string(value, &format!("{name}.{key}"))?;
            map.insert(key, value);
        }
        Ok(map)
    }
}

/// The type of a scalar in a kustomization file; `None` for mappings and sequences.
fn typed(node: &Node) -> Option<Resolved> {
    let scalar = node.as_scalar()?;
    Some(match node.tag {
        Tag::Implicit if scalar.style == Style::Plain => resolve(Schema::GoYamlV2, &scalar.text),
        Tag::Implicit | Tag::Str | Tag::Other(_) | Tag::Binary => Resolved::Str,
        _ => resolve(Schema::GoYamlV2, &scalar.text),
    })
}

fn or_file(name: &str) -> &str {
    if name.is_empty() { "the file" } else { name }
}

impl<'a> Fields<'a> {
    pub(crate) fn source(&self) -> Source<'a> {
        self.source
    }

    /// The whole name of a field, for messages.
    pub(crate) fn name_of(&self, field: &str) -> String {
        if self.name.is_empty() {
            field.to_string()
        } else {
            format!("{}.{field}", self.name)
        }
    }

    /// Takes a field's node; null counts as missing. Go matches names in any case; of several, the one that sorts last
    /// wins, because the mapping has become JSON before, and of equal ones the last.
    pub(crate) fn node(&mut self, field: &'static str) -> Option<&'a Node> {
        self.known.push(field);
        let mut found: Option<(&str, &'a Node)> = None;
        for (key, _, value, used) in &mut self.entries {
            if key.eq_ignore_ascii_case(field) {
                *used = true;
                if found.is_none_or(|(last, _)| last <= key.as_str()) {
                    found = Some((key, *value));
                }
            }
        }
        found.map(|(_, node)| node).filter(|node| !node.is_null())
    }

    /// Whether a field stands there with a value, without taking it.
    pub(crate) fn string(&mut self, field: &'static str) -> Result<String> {
        let Some(node) = self.node(field) else {
            return Ok(String::new());
        };
        self.source.string(node, &self.name_of(field))
    }

    pub(crate) fn optional_string(&mut self, field: &'static str) -> Result<Option<String>> {
        let Some(node) = self.node(field) else {
            return Ok(None);
        };
        self.source.string(node, &self.name_of(field)).map(Some)
    }

    pub(crate) fn bool(&mut self, field: &'static str) -> Result<bool> {
        let Some(node) = self.node(field) else {
            return Ok(false);
        };
        match typed(node) {
            Some(Resolved::Bool(b)) => Ok(b),
            _ => Err(self
                .source
                .error(node, format!("{} must be true or false", self.name_of(field)))),
        }
    }

    pub(crate) fn int(&mut self, field: &'static str) -> Result<i64> {
        let Some(node) = self.node(field) else {
            return Ok(0);
        };
        match typed(node) {
            Some(Resolved::Int(int)) => Ok(int),
            Some(Resolved::Float(float)) if float.fract() == 0.0 && float.abs() < 1e15 => Ok(float as i64),
            _ => Err(self
                .source
                .error(node, format!("{} must be a whole number", self.name_of(field)))),
        }
    }

    pub(crate) fn strings(&mut self, field: &'static str) -> Result<Vec<String>> {
        let Some(node) = self.node(field) else {
            return Ok(Vec::new());
        };
        let name = self.name_of(field);
        let items = self.source.items(node, &name)?;
        items
            .iter()
            .enumerate()
            .map(|(i, item)| self.source.string(item, &format!("{name}[{i}]")))
            .collect()
    }

    /// A list of strings, each with its node.
    pub(crate) fn located_strings(&mut self, field: &'static str) -> Result<Vec<super::Located>> {
        let Some(node) = self.node(field) else {
            return Ok(Vec::new());
        };
        let name = self.name_of(field);
        let items = self.source.items(node, &name)?;
        let located = items.iter().enumerate().map(|(i, item)| {
            let text = self.source.string(item, &format!("{name}[{i}]"))?;
            Ok(super::Located {
                text,
                position: item.position,
            })
        });
        located.collect()
    }

    pub(crate) fn string_map(&mut self, field: &'static str) -> Result<Option<BTreeMap<String, String>>> {
        let Some(node) = self.node(field) else {
            return Ok(None);
        };
        self.source.string_map(node, &self.name_of(field)).map(Some)
    }

    /// A list whose items are mappings.
    pub(crate) fn list<T>(
        &mut self,
        field: &'static str,
        mut item: impl FnMut(&mut Fields<'a>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let Some(node) = self.node(field) else {
            return Ok(Vec::new());
        };
        let name = self.name_of(field);
        let items = self.source.items(node, &name)?;
        let read = items.iter().enumerate().map(|(i, node)| {
            let mut fields = self.source.fields(node, &format!("{name}[{i}]"))?;
            let value = item(&mut fields)?;
            fields.finish()?;
            Ok(value)
        });
        read.collect()
    }

    pub(crate) fn object<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Fields<'a>) -> Result<T>,
    ) -> Result<Option<T>> {
        let Some(node) = self.node(field) else {
            return Ok(None);
        };
        let mut fields = self.source.fields(node, &self.name_of(field))?;
        let value = read(&mut fields)?;
        fields.finish()?;
        Ok(Some(value))
    }

    /// Whether any field but these is a list or a mapping, be it empty.
    pub(crate) fn has_collection(&self, except: &[&str]) -> bool {
        let counts = |key: &str| !except.iter().any(|e| key.eq_ignore_ascii_case(e));
        self.entries
            .iter()
            .any(|(key, _, value, _)| value.as_scalar().is_none() && counts(key))
    }

    /// Refuses what nobody took.
    pub(crate) fn finish(self) -> Result<()> {
        if !self.source.strict {
            return Ok(());
        }
        let Some((key, node, _, _)) = self.entries.iter().find(|(_, _, _, used)| !used) else {
            return Ok(());
        };
        let mut message = format!("unknown field {:?}", self.name_of(key));
        if let Some(known) = suggest(key, self.known.iter().copied()) {
            message.push_str(&format!("; did you mean {known:?}?"));
        }
        Err(self.source.error(node, message))
    }
}
