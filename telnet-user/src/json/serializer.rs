//! From typed fields to [`Indexed`].

use std::fmt::{self, Write as _};

use serde::ser::{self, Error as _, Serialize};
use serde_json::Error;

use super::compound::Compound;
use super::indexed::{Entry, Indexed, Key, Kind, Span, count, length};
use super::writer::{is_plain, push_text};

impl Indexed {
    /// Appends `value`.
    pub(super) fn write(&mut self, value: &impl Serialize) -> Result<(), Error> {
        value.serialize(Serializer {
            out: self,
            key: Key::Known(""),
        })?;
        if u32::try_from(self.text.len()).is_err() {
            return Err(Error::custom("a document of more than 4 GiB"));
        }
        Ok(())
    }

    /// Appends a string; what it says stands where the span tells.
    pub(super) fn push_said(&mut self, text: &str) -> Span {
        let start = length(&self.text).wrapping_add(1);
        if push_text(&mut self.text, text) {
            return Span {
                start,
                end: length(&self.text).wrapping_sub(1),
                is_escaped: false,
            };
        }
        let start = length(&self.plain);
        self.plain.push_str(text);
        Span {
            start,
            end: length(&self.plain),
            is_escaped: true,
        }
    }
}

/// Writes one value.
pub(super) struct Serializer<'o> {
    pub(super) out: &'o mut Indexed,
    /// Of the member whose value it is.
    pub(super) key: Key,
}

impl<'o> Serializer<'o> {
    /// Appends a value without others in it.
    fn leaf(self, kind: Kind, write: impl FnOnce(&mut Indexed) -> Span) {
        let at = self.out.entries.len();
        let start = length(&self.out.text);
        let said = write(self.out);
        let end = length(&self.out.text);
        self.out.entries.push(Entry {
            key: self.key,
            whole: Span {
                start,
                end,
                is_escaped: false,
            },
            said,
            kind,
            next: count(at.saturating_add(1)),
        });
    }

    fn shown(self, kind: Kind, value: impl fmt::Display) -> Result<(), Error> {
        let mut result = Ok(());
        self.leaf(kind, |out| {
            result = write!(out.text, "{value}");
            Span::default()
        });
        result.map_err(Error::custom)
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "what the methods that call it return"
    )]
    fn integer(self, value: impl itoa::Integer) -> Result<(), Error> {
        self.leaf(Kind::Number, |out| {
            out.text.push_str(itoa::Buffer::new().format(value));
            Span::default()
        });
        Ok(())
    }

    fn begin(self, kind: Kind) -> Compound<'o> {
        let at = self.out.entries.len();
        let start = length(&self.out.text);
        let (open, close) = if kind == Kind::Array {
            ('[', ']')
        } else {
            ('{', '}')
        };
        self.out.text.push(open);
        self.out.entries.push(Entry {
            key: self.key,
            whole: Span {
                start,
                ..Span::default()
            },
            said: Span::default(),
            kind,
            next: 0,
        });
        Compound {
            out: self.out,
            at,
            close,
            is_empty: true,
            key: Key::Known(""),
        }
    }
}

impl<'o> ser::Serializer for Serializer<'o> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Compound<'o>;
    type SerializeTuple = Compound<'o>;
    type SerializeTupleStruct = Compound<'o>;
    type SerializeTupleVariant = ser::Impossible<(), Error>;
    type SerializeMap = Compound<'o>;
    type SerializeStruct = Compound<'o>;
    type SerializeStructVariant = ser::Impossible<(), Error>;

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.shown(Kind::Bool(value), value)
    }

    fn serialize_i8(self, value: i8) -> Result<(), Error> {
        self.integer(value)
    }

    fn serialize_i16(self, value: i16) -> Result<(), Error> {
        self.integer(value)
    }

    fn serialize_i32(self, value: i32) -> Result<(), Error> {
        self.integer(value)
    }

    fn serialize_i64(self, value: i64) -> Result<(), Error> {
        self.integer(value)
    }

    fn serialize_u8(self, value: u8) -> Result<(), Error> {
        self.integer(value)
    }

    fn serialize_u16(self, value: u16) -> Result<(), Error> {
        self.integer(value)
    }

    fn serialize_u32(self, value: u32) -> Result<(), Error> {
        self.integer(value)
    }

    fn serialize_u64(self, value: u64) -> Result<(), Error> {
        self.integer(value)
    }

    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        // What is no number has no JSON form but null.
        match serde_json::Number::from_f64(value) {
            Some(number) => self.shown(Kind::Number, number),
            None => self.serialize_unit(),
        }
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.leaf(Kind::Text, |out| out.push_said(value));
        Ok(())
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), Error> {
        let mut result = Ok(());
        self.leaf(Kind::Text, |out| {
            let start = out.text.len();
            result = write!(out.text, "\"{value}\"");
            let inner = start.saturating_add(1)..out.text.len().saturating_sub(1);
            if out.text.get(inner.clone()).is_some_and(is_plain) {
                return Span {
                    start: count(inner.start),
                    end: count(inner.end),
                    is_escaped: false,
                };
            }
            out.text.truncate(start);
            out.push_said(&value.to_string())
        });
        result.map_err(Error::custom)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        self.collect_seq(value)
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.shown(Kind::Null, "null")
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<(), Error> {
        Err(Error::custom("variants with values are no ECS fields"))
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<Compound<'o>, Error> {
        Ok(self.begin(Kind::Array))
    }

    fn serialize_tuple(self, _length: usize) -> Result<Compound<'o>, Error> {
        Ok(self.begin(Kind::Array))
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _length: usize,
    ) -> Result<Compound<'o>, Error> {
        Ok(self.begin(Kind::Array))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        Err(Error::custom("variants with values are no ECS fields"))
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Compound<'o>, Error> {
        Ok(self.begin(Kind::Object))
    }

    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<Compound<'o>, Error> {
        Ok(self.begin(Kind::Object))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        Err(Error::custom("variants with values are no ECS fields"))
    }
}
