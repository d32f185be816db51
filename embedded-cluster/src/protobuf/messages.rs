//! The messages of built-in kinds, from the committed table (see `data/README.md` for its origin and licence).
//!
//! In: a text compiled into the program. Out: messages by name. No I/O.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::LazyLock;

/// The fields of a message.
#[derive(Debug)]
pub(crate) struct Message {
    /// What Go calls its type.
    pub(crate) name: &'static str,
    fields: Vec<Field>,
}

/// One field.
#[derive(Debug)]
pub(crate) struct Field {
    number: i32,
    /// Its name in JSON; none if the fields of its message stand beside the others there.
    pub(crate) name: &'static str,
    go_name: Option<&'static str>,
    /// Zero is told from nothing.
    pub(crate) optional: bool,
    pub(crate) many: Many,
    pub(crate) of: Type,
}

/// How often a field occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Many {
    One,
    List,
    /// With texts as keys.
    Map,
    /// With texts as keys, and lists as values.
    MapOfLists,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Text,
    Bytes,
    Integer,
    Boolean,
    Double,
    Quantity,
    IntOrString,
    Time,
    MicroTime,
    /// JSON in bytes.
    Raw,
    SchemaOrBool,
    SchemaOrArray,
    SchemaOrTexts,
    Message(&'static str),
}

impl Message {
    pub(crate) fn field(&self, number: i32) -> Option<&Field> {
        self.fields.iter().find(|field| field.number == number)
    }
}

/// What Go calls it.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = self.go_name {
            return f.write_str(name);
        }
        let mut letters = self.name.chars();
        if let Some(first) = letters.next() {
            f.write_char(first.to_ascii_uppercase())?;
        }
        f.write_str(letters.as_str())
    }
}

#[derive(Debug, Default)]
struct Table {
    messages: HashMap<&'static str, Message>,
    kinds: HashMap<(&'static str, &'static str), &'static str>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table::default();
    for line in include_str!("../../data/messages.txt").lines() {
        let mut words = line.split(' ');
        let first = words.next().unwrap_or_default();
        if first == "=" {
            if let (Some(version), Some(kind), Some(name)) = (words.next(), words.next(), words.next()) {
                table.kinds.insert((version, kind), name);
            }
            continue;
        }
        let message = Message {
            name: short(first),
            fields: words.filter_map(field).collect(),
        };
        table.messages.insert(first, message);
    }
    table
});

fn field(word: &'static str) -> Option<Field> {
    let mut parts = word.split(':');
    let number = parts.next()?.parse().ok()?;
    let name = parts.next()?;
    let of = parts.next()?;
    let (name, go_name) = match name.split_once('/') {
        Some((name, go_name)) => (name, Some(go_name)),
        None => (name, None),
    };
    let optional = of.starts_with('*');
    let of = of.trim_start_matches('*');
    let forms = [("{}[]", Many::MapOfLists), ("{}", Many::Map), ("[]", Many::List)];
    let (of, many) = forms
        .into_iter()
        .find_map(|(sign, many)| Some((of.strip_prefix(sign)?, many)))
        .unwrap_or((of, Many::One));
    Some(Field {
        number,
        name,
        go_name,
        optional,
        many,
        of: type_(of),
    })
}

fn type_(word: &'static str) -> Type {
    match word {
        "text" => Type::Text,
        "bytes" => Type::Bytes,
        "integer" => Type::Integer,
        "boolean" => Type::Boolean,
        "double" => Type::Double,
        "quantity" => Type::Quantity,
        "int-or-string" => Type::IntOrString,
        "time" => Type::Time,
        "micro-time" => Type::MicroTime,
        "raw" => Type::Raw,
        "schema-or-bool" => Type::SchemaOrBool,
        "schema-or-array" => Type::SchemaOrArray,
        "schema-or-texts" => Type::SchemaOrTexts,
        name => Type::Message(name),
    }
}

fn short(name: &'static str) -> &'static str {
    name.rsplit('.').next().unwrap_or(name)
}

/// A message without fields, which is what a type without any is.
static EMPTY: Message = Message {
    name: "",
    fields: Vec::new(),
};

/// The message of this name.
pub(crate) fn message(name: &str) -> &'static Message {
    TABLE.messages.get(name).unwrap_or(&EMPTY)
}

/// The message of a kind; nothing if no such kind is built in.
pub(crate) fn of_kind(api_version: &str, kind: &str) -> Option<&'static Message> {
    if kind == "DeleteOptions" {
        // Every group has it.
        return Some(message("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"));
    }
    TABLE.kinds.get(&(api_version, kind)).map(|name| message(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_that_a_field_names_is_known_or_has_no_fields() {
        let empty: std::collections::BTreeSet<&str> = TABLE
            .messages
            .values()
            .flat_map(|message| &message.fields)
            .filter_map(|field| match field.of {
                Type::Message(name) if !TABLE.messages.contains_key(name) => Some(short(name)),
                _ => None,
            })
            .collect();
        assert_eq!(
            empty.into_iter().collect::<Vec<_>>(),
            ["CustomResourceSubresourceStatus"],
            "only a struct without fields has none"
        );
    }

    #[test]
    fn every_kind_that_is_served_and_can_be_written_has_a_message() {
        for group in crate::resource::Registry::builtin().groups {
            for kind in group.versions.iter().flat_map(|version| &version.kinds) {
                assert!(
                    of_kind(&kind.api_version(), &kind.kind).is_some(),
                    "{}",
                    kind.kind
                );
            }
        }
    }
}
