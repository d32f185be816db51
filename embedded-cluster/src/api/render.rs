//! Objects and lists as bytes.
//!
//! In: stored objects. Out: JSON. No I/O. `managedFields` are written straight from their decoded form.

use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use serde_json::{Map, Value, json};

use super::table;
use crate::apply::FieldSet;
use crate::convert;
use crate::object;
use crate::request::Form;
use crate::resource::Kind;
use crate::store::Stored;

static NO_MAP: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);

/// An object as it is served under one version.
pub(crate) struct Rendered<'a> {
    pub(crate) stored: &'a Stored,
    pub(crate) kind: &'a Kind,
    /// Items of a list of a built-in kind do not say what they are.
    pub(crate) in_list: bool,
    pub(crate) form: Form,
}

impl Serialize for Rendered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Form::Table(form) = self.form {
            return table::table(self.kind, &[self.stored], None, form).serialize(serializer);
        }
        let value = convert::to_served(&self.stored.value, self.kind);
        let fields = value.as_object().unwrap_or(&NO_MAP);
        let mut out = serializer.serialize_map(None)?;
        let bare = self.in_list && self.kind.custom.is_none() && self.form == Form::Whole;
        if self.form == Form::Metadata {
            out.serialize_entry("apiVersion", "meta.k8s.io/v1")?;
            out.serialize_entry("kind", "PartialObjectMetadata")?;
        } else if !bare {
            out.serialize_entry("apiVersion", &self.kind.api_version())?;
            out.serialize_entry("kind", &self.kind.kind)?;
        }
        for (name, value) in fields {
            match name.as_str() {
                "apiVersion" | "kind" => {}
                "metadata" => out.serialize_entry(
                    "metadata",
                    &Metadata {
                        value,
                        stored: self.stored,
                    },
                )?,
                _ if self.form == Form::Metadata => {}
                _ => out.serialize_entry(name, value)?,
            }
        }
        out.end()
    }
}

struct Metadata<'a> {
    value: &'a Value,
    stored: &'a Stored,
}

impl Serialize for Metadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(None)?;
        for (name, value) in self.value.as_object().unwrap_or(&NO_MAP) {
            out.serialize_entry(name, value)?;
        }
        if !self.stored.managers.entries.is_empty() {
            out.serialize_entry("managedFields", &self.stored.managers)?;
        }
        out.end()
    }
}

impl Serialize for crate::apply::Managers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sorted = self.sorted();
        let mut out = serializer.serialize_seq(Some(sorted.len()))?;
        for entry in sorted {
            out.serialize_element(&entry)?;
        }
        out.end()
    }
}

impl Serialize for FieldSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write_set(self, false, serializer)
    }
}

struct Below<'a>(&'a FieldSet, bool);

impl Serialize for Below<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write_set(self.0, self.1, serializer)
    }
}

fn write_set<S: Serializer>(set: &FieldSet, is_member: bool, serializer: S) -> Result<S::Ok, S::Error> {
    let mut out = serializer.serialize_map(None)?;
    if is_member {
        out.serialize_entry(".", &*NO_MAP)?;
    }
    for member in &set.members {
        if set.child(member).is_none() {
            out.serialize_entry(&member.encoded(), &*NO_MAP)?;
        }
    }
    for (element, child) in &set.children {
        if !child.is_empty() {
            out.serialize_entry(&element.encoded(), &Below(child, set.has(element)))?;
        }
    }
    out.end()
}

/// The whole object as a value, `managedFields` included.
pub(crate) fn value(stored: &Stored, kind: &Kind) -> Value {
    let mut value = convert::to_served(&stored.value, kind).into_owned();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("apiVersion".into(), kind.api_version().into());
        fields.insert("kind".into(), kind.kind.as_str().into());
    }
    if !stored.managers.entries.is_empty() {
        object::meta_mut(&mut value).insert("managedFields".into(), stored.managers.encode());
    }
    value
}

/// What a list says besides its items.
pub(crate) struct ListMeta {
    pub(crate) revision: u64,
    pub(crate) next: Option<String>,
    pub(crate) remaining: Option<usize>,
}

impl ListMeta {
    fn body(&self) -> Value {
        let mut meta = json!({"resourceVersion": self.revision.to_string()});
        if let Some(next) = &self.next {
            object::put(&mut meta, &["continue"], next.as_str());
        }
        if let Some(remaining) = self.remaining {
            object::put(&mut meta, &["remainingItemCount"], remaining);
        }
        meta
    }
}

/// A list of objects.
pub(crate) fn list(kind: &Kind, items: &[&Stored], meta: &ListMeta, form: Form) -> Vec<u8> {
    if let Form::Table(form) = form {
        return bytes(&table::table(kind, items, Some(meta.body()), form));
    }
    let (version, name) = match form {
        Form::Metadata => (
            "meta.k8s.io/v1".to_owned(),
            "PartialObjectMetadataList".to_owned(),
        ),
        Form::Whole | Form::Table(_) => (kind.api_version(), format!("{}List", kind.kind)),
    };
    let mut out = Vec::with_capacity(256 + items.len() * 1024);
    out.extend_from_slice(b"{\"kind\":");
    out.extend(bytes(&name));
    out.extend_from_slice(b",\"apiVersion\":");
    out.extend(bytes(&version));
    out.extend_from_slice(b",\"metadata\":");
    let mut meta = meta.body();
    if kind.custom.is_some() && form == Form::Whole {
        object::put_default(&mut meta, &["continue"], "");
    }
    out.extend(bytes(&meta));
    if items.is_empty() && form == Form::Metadata {
        // As Go prints a list that was never begun.
        out.extend_from_slice(b",\"items\":null}");
        return out;
    }
    out.extend_from_slice(b",\"items\":[");
    for (index, stored) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        append(
            &mut out,
            &Rendered {
                stored,
                kind,
                in_list: true,
                form,
            },
        );
    }
    out.extend_from_slice(b"]}");
    out
}

/// Serialises what cannot fail to be serialised.
pub(crate) fn bytes<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    append(&mut out, value);
    out
}

fn append<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    let start = out.len();
    if serde_json::to_writer(&mut *out, value).is_err() {
        // Keys are texts and there is no I/O: this cannot happen; an empty object is still JSON.
        out.truncate(start);
        out.extend_from_slice(b"{}");
    }
}
