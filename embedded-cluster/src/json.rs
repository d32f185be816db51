//! JSON bodies, with note taken of fields that occur twice.
//!
//! In: bytes. Out: a value and the paths of what was given twice (the last one holds). No I/O.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::json_syntax;

/// Reads a body, or says in Go's words what is wrong. Bytes that are no UTF-8 are replaced, as Go does.
pub(crate) fn parse(bytes: &[u8]) -> Result<(Value, Vec<String>), String> {
    let mut twice = Vec::new();
    let text = String::from_utf8_lossy(bytes);
    match read(&text, &mut twice, None) {
        Ok(value) => Ok((value, twice)),
        Err(_) => Err(json_syntax::problem(bytes)),
    }
}

/// The paths of all fields in the order in which the text has them.
pub(crate) fn order(bytes: &[u8]) -> Vec<String> {
    let mut every = Vec::new();
    let text = String::from_utf8_lossy(bytes);
    // What was read before is read again: nothing is refused.
    let _ = read(&text, &mut Vec::new(), Some(&mut every));
    every
}

fn read(text: &str, twice: &mut Vec<String>, every: Option<&mut Vec<String>>) -> serde_json::Result<Value> {
    let mut path = String::new();
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Reader {
        path: &mut path,
        twice,
        every,
    }
    .deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

struct Reader<'a> {
    path: &'a mut String,
    twice: &'a mut Vec<String>,
    every: Option<&'a mut Vec<String>>,
}

impl Reader<'_> {
    fn below(&mut self) -> Reader<'_> {
        Reader {
            path: self.path,
            twice: self.twice,
            every: self.every.as_deref_mut(),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        let length = self.path.len();
        loop {
            self.path.push_str(&format!("[{}]", items.len()));
            let item = access.next_element_seed(self.below())?;
            self.path.truncate(length);
            match item {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            let length = self.path.len();
            if length > 0 {
                self.path.push('.');
            }
            self.path.push_str(&name);
            if let Some(every) = &mut self.every {
                every.push(self.path.clone());
            }
            let value = access.next_value_seed(self.below())?;
            if fields.insert(name, value).is_some() {
                self.twice.push(self.path.clone());
            }
            self.path.truncate(length);
        }
        Ok(Value::Object(fields))
    }
}
