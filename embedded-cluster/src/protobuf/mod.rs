//! Bodies in protobuf, which typed clients such as kubectl's prefer, as the JSON that everything else reads.
//!
//! In: the bytes of a body. Out: the same object in JSON, as Go's encoder would write it. No I/O.
//!
//! ```text
//! "k8s\0" Unknown{typeMeta{apiVersion, kind}, raw} --kind--> message --fields of raw--> JSON
//! ```
//!
//! The body is bounded by the server, its depth here. Fields that are not known are skipped, as upstream does:
//! protobuf has no field validation.

mod messages;
mod values;
mod wire;

use std::fmt;

use serde_json::{Map, Value};

use messages::{Field, Many, Message, Type};
use wire::{BYTES, FIXED64, Tag, VARINT, Wire, WireError};

/// The media type.
pub(crate) const MEDIA: &str = "application/vnd.kubernetes.protobuf";
/// What bodies begin with.
const PREFIX: &[u8] = b"k8s\0";
/// Messages nested deeper than this are refused; only schemas of CRDs nest at will.
const MAX_DEPTH: usize = 128;

/// Why a body cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Undecodable {
    /// The envelope is none, so that nothing is known of what it holds.
    Envelope(String),
    /// The envelope says what it holds, and that cannot be read.
    Content {
        api_version: String,
        kind: String,
        why: String,
    },
}

/// The object in a body. An envelope that names no kind holds the expected one; of a kind that is not built in
/// only the name is known.
pub(crate) fn to_json(body: &[u8], expected: (&str, &str)) -> Result<Value, Undecodable> {
    let envelope = Envelope::read(body).map_err(Undecodable::Envelope)?;
    let named = (envelope.api_version.as_str(), envelope.kind.as_str());
    let (api_version, kind) = if named.1.is_empty() { expected } else { named };
    let mut fields = Map::new();
    if let Some(message) = messages::of_kind(api_version, kind) {
        read(Wire::new(envelope.raw), message, &mut fields, MAX_DEPTH).map_err(|error| {
            Undecodable::Content {
                api_version: api_version.into(),
                kind: kind.into(),
                why: error.to_string(),
            }
        })?;
    }
    fields.insert("apiVersion".into(), api_version.into());
    fields.insert("kind".into(), kind.into());
    Ok(Value::Object(fields))
}

/// `runtime.Unknown`
#[derive(Debug, Default)]
struct Envelope<'a> {
    api_version: String,
    kind: String,
    raw: &'a [u8],
}

impl<'a> Envelope<'a> {
    fn read(body: &'a [u8]) -> Result<Self, String> {
        if body.is_empty() {
            return Err("empty data".into());
        }
        let Some(bytes) = body.strip_prefix(PREFIX) else {
            return Err(format!(
                "provided data does not appear to be a protobuf message, expected prefix {}",
                "[107 56 115 0]"
            ));
        };
        if bytes.is_empty() {
            return Err("empty body".into());
        }
        Self::fields(bytes).map_err(|error| error.to_string())
    }

    fn fields(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut found = Self::default();
        let mut wire = Wire::new(bytes);
        while let Some(tag) = wire.tag("Unknown")? {
            match tag.number {
                1 => found.type_meta(Wire::new(part(&mut wire, tag, "TypeMeta")?))?,
                2 => found.raw = part(&mut wire, tag, "Raw")?,
                3 => drop(part(&mut wire, tag, "ContentEncoding")?),
                4 => drop(part(&mut wire, tag, "ContentType")?),
                _ => wire.skip(tag)?,
            }
        }
        Ok(found)
    }

    fn type_meta(&mut self, mut wire: Wire<'_>) -> Result<(), WireError> {
        while let Some(tag) = wire.tag("TypeMeta")? {
            match tag.number {
                1 => self.api_version = text(part(&mut wire, tag, "APIVersion")?),
                2 => self.kind = text(part(&mut wire, tag, "Kind")?),
                _ => wire.skip(tag)?,
            }
        }
        Ok(())
    }
}

/// The bytes of a field that has a length.
fn part<'a>(wire: &mut Wire<'a>, tag: Tag, field: impl fmt::Display) -> Result<&'a [u8], WireError> {
    expect(tag, BYTES, field)?;
    wire.bytes()
}

fn expect(tag: Tag, wanted: u8, field: impl fmt::Display) -> Result<(), WireError> {
    if tag.wire == wanted {
        return Ok(());
    }
    Err(WireError::WrongType {
        wire: tag.wire,
        field: field.to_string(),
    })
}

/// Upstream does not look whether a text is UTF-8, and JSON has to be.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Reads a message into an object; what is there already is written over or added to.
fn read(
    mut wire: Wire<'_>,
    message: &Message,
    into: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), WireError> {
    let depth = depth.checked_sub(1).ok_or(WireError::TooDeep)?;
    while let Some(tag) = wire.tag(message.name)? {
        match message.field(tag.number) {
            Some(field) => read_field(&mut wire, tag, field, into, depth)?,
            None => wire.skip(tag)?,
        }
    }
    Ok(())
}

fn read_field(
    wire: &mut Wire<'_>,
    tag: Tag,
    field: &Field,
    into: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), WireError> {
    match field.many {
        Many::One => read_one(wire, tag, field, into, depth),
        Many::List => {
            let list = into.entry(field.name).or_insert_with(|| Value::Array(Vec::new()));
            match list {
                Value::Array(items) => read_items(wire, tag, field, items, depth),
                _ => Ok(()),
            }
        }
        Many::Map | Many::MapOfLists => {
            let (key, value) = entry(part(wire, tag, field)?, field, depth)?;
            let map = into
                .entry(field.name)
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(entries) = map {
                entries.insert(key, value);
            }
            Ok(())
        }
    }
}

fn read_one(
    wire: &mut Wire<'_>,
    tag: Tag,
    field: &Field,
    into: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), WireError> {
    if let Type::Message(name) = field.of {
        let wire = Wire::new(part(wire, tag, field)?);
        let message = messages::message(name);
        if field.name.is_empty() {
            return read(wire, message, into, depth);
        }
        let place = into
            .entry(field.name)
            .or_insert_with(|| Value::Object(Map::new()));
        return match place {
            Value::Object(fields) => read(wire, message, fields, depth),
            _ => Ok(()),
        };
    }
    let value = value(wire, tag, field, depth)?;
    if !field.optional && is_zero(&value) {
        into.remove(field.name);
    } else {
        into.insert(field.name.into(), value);
    }
    Ok(())
}

/// One more element, or several numbers at once.
fn read_items(
    wire: &mut Wire<'_>,
    tag: Tag,
    field: &Field,
    items: &mut Vec<Value>,
    depth: usize,
) -> Result<(), WireError> {
    if field.of != Type::Integer || tag.wire != BYTES {
        items.push(value(wire, tag, field, depth)?);
        return Ok(());
    }
    let mut packed = Wire::new(wire.bytes()?);
    while !packed.is_empty() {
        items.push(packed.varint()?.cast_signed().into());
    }
    Ok(())
}

/// An entry of a map: a message of key and value.
fn entry(bytes: &[u8], field: &Field, depth: usize) -> Result<(String, Value), WireError> {
    let depth = depth.checked_sub(1).ok_or(WireError::TooDeep)?;
    let mut key = String::new();
    let mut found = match (field.many, field.of) {
        (Many::MapOfLists, _) => Value::Array(Vec::new()),
        (_, Type::Message(_)) => Value::Object(Map::new()),
        _ => "".into(),
    };
    let mut wire = Wire::new(bytes);
    while let Some(tag) = wire.tag(field)? {
        match (tag.number, field.many) {
            (1, _) => key = text(part(&mut wire, tag, "mapkey")?),
            (2, Many::MapOfLists) => found = list(part(&mut wire, tag, "mapvalue")?, field, depth)?,
            (2, _) => found = value(&mut wire, tag, field, depth)?,
            _ => wire.skip(tag)?,
        }
    }
    Ok((key, found))
}

/// A list that is the value of a map: a message whose first field is repeated.
fn list(bytes: &[u8], field: &Field, depth: usize) -> Result<Value, WireError> {
    let mut items = Vec::new();
    let mut wire = Wire::new(bytes);
    while let Some(tag) = wire.tag(field)? {
        match tag.number {
            1 => read_items(&mut wire, tag, field, &mut items, depth)?,
            _ => wire.skip(tag)?,
        }
    }
    Ok(Value::Array(items))
}

/// One value of the field's type.
fn value(wire: &mut Wire<'_>, tag: Tag, field: &Field, depth: usize) -> Result<Value, WireError> {
    let wanted = match field.of {
        Type::Integer | Type::Boolean => VARINT,
        Type::Double => FIXED64,
        _ => BYTES,
    };
    expect(tag, wanted, field)?;
    Ok(match field.of {
        Type::Integer => wire.varint()?.cast_signed().into(),
        Type::Boolean => (wire.varint()? != 0).into(),
        Type::Double => wire.double()?.into(),
        Type::Text => text(wire.bytes()?).into(),
        of => values::read(wire.bytes()?, of, depth)?,
    })
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(_) | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests;
