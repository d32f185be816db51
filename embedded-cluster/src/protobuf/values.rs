//! Messages that are no objects in JSON: times, quantities, bytes, and what CRDs leave open.
//!
//! In: the bytes of a message. Out: a JSON value, as the `MarshalJSON` of its Go type writes it. No I/O.

use base64::Engine as _;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::messages::{self, Type};
use super::wire::{VARINT, Wire, WireError};
use super::{expect, part, text};
use crate::clock;

const SCHEMA: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

/// Reads a value of this type, which has a length.
pub(super) fn read(bytes: &[u8], of: Type, depth: usize) -> Result<Value, WireError> {
    let wire = Wire::new(bytes);
    match of {
        Type::Bytes => Ok(base64::engine::general_purpose::STANDARD.encode(bytes).into()),
        Type::Quantity => quantity(wire),
        Type::IntOrString => int_or_string(wire),
        Type::Time | Type::MicroTime => time(wire, of == Type::MicroTime),
        Type::Raw => raw(wire),
        Type::SchemaOrBool => schema_or_bool(wire, depth),
        Type::SchemaOrArray => schema_or_array(wire, depth),
        Type::SchemaOrTexts => schema_or_texts(wire, depth),
        Type::Message(name) => object(bytes, name, depth),
        Type::Text | Type::Integer | Type::Boolean | Type::Double => Ok(text(bytes).into()),
    }
}

fn object(bytes: &[u8], name: &str, depth: usize) -> Result<Value, WireError> {
    let mut fields = Map::new();
    super::read(Wire::new(bytes), messages::message(name), &mut fields, depth)?;
    Ok(Value::Object(fields))
}

fn quantity(mut wire: Wire<'_>) -> Result<Value, WireError> {
    let mut found = String::new();
    while let Some(tag) = wire.tag("Quantity")? {
        match tag.number {
            1 => found = text(part(&mut wire, tag, "String_")?),
            _ => wire.skip(tag)?,
        }
    }
    Ok(found.into())
}

fn int_or_string(mut wire: Wire<'_>) -> Result<Value, WireError> {
    let (mut is_text, mut number, mut found) = (false, 0, String::new());
    while let Some(tag) = wire.tag("IntOrString")? {
        match tag.number {
            1 => {
                expect(tag, VARINT, "Type")?;
                is_text = wire.varint()? != 0;
            }
            2 => {
                expect(tag, VARINT, "IntVal")?;
                number = wire.varint()?.cast_signed();
            }
            3 => found = text(part(&mut wire, tag, "StrVal")?),
            _ => wire.skip(tag)?,
        }
    }
    Ok(if is_text { found.into() } else { number.into() })
}

/// Go keeps whole seconds of a Time, and whole microseconds of a MicroTime. No bytes are no time.
fn time(mut wire: Wire<'_>, with_micros: bool) -> Result<Value, WireError> {
    if wire.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanos) = (0, 0);
    while let Some(tag) = wire.tag("Timestamp")? {
        match tag.number {
            1 => {
                expect(tag, VARINT, "Seconds")?;
                seconds = wire.varint()?.cast_signed();
            }
            2 => {
                expect(tag, VARINT, "Nanos")?;
                nanos = wire.varint()?.cast_signed();
            }
            _ => wire.skip(tag)?,
        }
    }
    let out_of_range = || WireError::Value("Time.MarshalJSON: year outside of range [0,9999]".into());
    let moment = Timestamp::from_second(seconds).map_err(|_| out_of_range())?;
    let text = clock::seconds(moment);
    if !with_micros {
        return Ok(text.into());
    }
    let micros = nanos.clamp(0, 999_999_999) / 1000;
    Ok(format!("{}.{micros:06}Z", text.trim_end_matches('Z')).into())
}

/// JSON that is carried as bytes; none are null.
fn raw(mut wire: Wire<'_>) -> Result<Value, WireError> {
    let mut found = Value::Null;
    while let Some(tag) = wire.tag("RawExtension")? {
        match tag.number {
            1 => {
                let bytes = part(&mut wire, tag, "Raw")?;
                found = match bytes {
                    [] => Value::Null,
                    bytes => {
                        serde_json::from_slice(bytes).map_err(|error| WireError::Value(error.to_string()))?
                    }
                };
            }
            _ => wire.skip(tag)?,
        }
    }
    Ok(found)
}

fn schema_or_bool(mut wire: Wire<'_>, depth: usize) -> Result<Value, WireError> {
    let (mut allows, mut schema) = (false, None);
    while let Some(tag) = wire.tag("JSONSchemaPropsOrBool")? {
        match tag.number {
            1 => {
                expect(tag, VARINT, "Allows")?;
                allows = wire.varint()? != 0;
            }
            2 => schema = Some(object(part(&mut wire, tag, "Schema")?, SCHEMA, depth)?),
            _ => wire.skip(tag)?,
        }
    }
    Ok(schema.unwrap_or_else(|| allows.into()))
}

fn schema_or_array(mut wire: Wire<'_>, depth: usize) -> Result<Value, WireError> {
    let (mut schema, mut schemas) = (Value::Null, Vec::new());
    while let Some(tag) = wire.tag("JSONSchemaPropsOrArray")? {
        match tag.number {
            1 => schema = object(part(&mut wire, tag, "Schema")?, SCHEMA, depth)?,
            2 => schemas.push(object(part(&mut wire, tag, "JSONSchemas")?, SCHEMA, depth)?),
            _ => wire.skip(tag)?,
        }
    }
    Ok(if schemas.is_empty() {
        schema
    } else {
        Value::Array(schemas)
    })
}

fn schema_or_texts(mut wire: Wire<'_>, depth: usize) -> Result<Value, WireError> {
    let (mut schema, mut names) = (Value::Null, Vec::new());
    while let Some(tag) = wire.tag("JSONSchemaPropsOrStringArray")? {
        match tag.number {
            1 => schema = object(part(&mut wire, tag, "Schema")?, SCHEMA, depth)?,
            2 => names.push(text(part(&mut wire, tag, "Property")?).into()),
            _ => wire.skip(tag)?,
        }
    }
    Ok(if names.is_empty() {
        schema
    } else {
        Value::Array(names)
    })
}
