//! The encoding below all messages: numbered fields of four shapes.
//!
//! In: bytes. Out: fields, one after the other, or what is wrong in the words of gogo/protobuf, whose generated
//! code reads the bodies upstream. No I/O; nothing is copied, and nothing is read beyond its end.

use std::fmt;

/// Groups nested deeper than this are refused.
const MAX_GROUPS: usize = 100;

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    /// A number or a length reaches beyond the end.
    #[error("unexpected EOF")]
    End,
    /// A number of more than 64 bits.
    #[error("proto: integer overflow")]
    Overflow,
    /// A length of 2^63 or more.
    #[error("proto: negative length found during unmarshaling")]
    NegativeLength,
    /// There are six shapes.
    #[error("proto: illegal wireType {0}")]
    IllegalType(u8),
    /// A group ends that did not begin, among fields that are skipped.
    #[error("proto: unexpected end of group")]
    UnexpectedEndOfGroup,
    /// A group ends that did not begin.
    #[error("proto: {0}: wiretype end group for non-group")]
    EndOfGroup(String),
    /// Fields are numbered from 1 on.
    #[error("proto: {message}: illegal tag {number} (wire type {wire})")]
    IllegalTag { message: String, number: i32, wire: u64 },
    /// The field is there in another shape than its type has.
    #[error("proto: wrong wireType = {wire} for field {field}")]
    WrongType { wire: u8, field: String },
    /// Our own bound.
    #[error("proto: messages are nested too deeply")]
    TooDeep,
    /// The bytes of a value hold none of its type.
    #[error("{0}")]
    Value(String),
}

/// The shapes of fields.
pub(crate) const VARINT: u8 = 0;
pub(crate) const FIXED64: u8 = 1;
pub(crate) const BYTES: u8 = 2;
const START_GROUP: u8 = 3;
const END_GROUP: u8 = 4;
const FIXED32: u8 = 5;

/// What is left of a message.
#[derive(Clone, Debug)]
pub(crate) struct Wire<'a>(&'a [u8]);

/// The number and shape of the field that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) number: i32,
    pub(crate) wire: u8,
}

impl<'a> Wire<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next field's tag; nothing at the end. `message` is named in what is wrong.
    pub(crate) fn tag(&mut self, message: impl fmt::Display) -> Result<Option<Tag>, WireError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let (wire, number) = (tag & 7, (tag >> 3) as i32);
        if wire == u64::from(END_GROUP) {
            return Err(WireError::EndOfGroup(message.to_string()));
        }
        if number <= 0 {
            return Err(WireError::IllegalTag {
                message: message.to_string(),
                number,
                wire,
            });
        }
        Ok(Some(Tag {
            number,
            wire: wire as u8,
        }))
    }

    /// A number.
    pub(crate) fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(WireError::End)?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Ok(value);
            }
        }
        Err(WireError::Overflow)
    }

    /// A text, a message, or anything else of a given length.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.varint()?;
        if i64::try_from(length).is_err() {
            return Err(WireError::NegativeLength);
        }
        self.take(usize::try_from(length).map_err(|_| WireError::End)?)
    }

    /// A floating-point number.
    pub(crate) fn double(&mut self) -> Result<f64, WireError> {
        let bytes = self.take(8)?.try_into().map_err(|_| WireError::End)?;
        Ok(f64::from_le_bytes(bytes))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(WireError::End)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Goes over a field that is not known, whatever it holds.
    pub(crate) fn skip(&mut self, tag: Tag) -> Result<(), WireError> {
        let mut open = 0;
        let mut wire = tag.wire;
        loop {
            match wire {
                VARINT => drop(self.varint()?),
                FIXED64 => drop(self.take(8)?),
                BYTES => drop(self.bytes()?),
                START_GROUP if open == MAX_GROUPS => return Err(WireError::TooDeep),
                START_GROUP => open += 1,
                END_GROUP if open == 0 => return Err(WireError::UnexpectedEndOfGroup),
                END_GROUP => open -= 1,
                FIXED32 => drop(self.take(4)?),
                other => return Err(WireError::IllegalType(other)),
            }
            if open == 0 {
                return Ok(());
            }
            wire = (self.varint()? & 7) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_field_is_skipped_whatever_its_shape() {
        let fields: [&[u8]; 5] = [
            &[0x98, 0x06, 0x80, 0x01],
            &[0x99, 0x06, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0x9a, 0x06, 2, 0xff, 0xff],
            &[0x9b, 0x06, 0x0b, 0x08, 0x01, 0x0c, 0x9c, 0x06],
            &[0x9d, 0x06, 1, 2, 3, 4],
        ];
        for field in fields {
            let mut wire = Wire::new(field);
            let tag = wire.tag("Any").unwrap().unwrap();
            assert_eq!(tag.number, 99);
            wire.skip(tag).unwrap();
            assert!(wire.is_empty(), "{field:?}");
        }
    }

    #[test]
    fn what_is_no_message_is_refused_and_never_read_beyond_its_end() {
        let refused = |bytes: &[u8]| {
            let mut wire = Wire::new(bytes);
            loop {
                match wire
                    .tag("Any")
                    .and_then(|tag| tag.map(|tag| wire.skip(tag)).transpose())
                {
                    Ok(Some(())) => {}
                    Ok(None) => return "none".to_owned(),
                    Err(error) => return error.to_string(),
                }
            }
        };
        assert_eq!(refused(&[0x0a, 0x7f]), "unexpected EOF");
        assert_eq!(refused(&[0x80]), "unexpected EOF");
        assert_eq!(refused(&[0xff; 11]), "proto: integer overflow");
        assert_eq!(
            refused(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            "proto: negative length found during unmarshaling"
        );
        assert_eq!(refused(&[0x0f]), "proto: illegal wireType 7");
        assert_eq!(refused(&[0x0c]), "proto: Any: wiretype end group for non-group");
        assert_eq!(refused(&[0x00]), "proto: Any: illegal tag 0 (wire type 0)");
        assert_eq!(refused(&[0x0b; 200]), "proto: messages are nested too deeply");
    }
}
