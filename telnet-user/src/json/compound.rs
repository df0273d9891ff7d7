//! Lists and objects of [`Indexed`].

use serde::ser::{self, Error as _, Serialize};
use serde_json::Error;

use super::{
    indexed::{Entry, Indexed, Key, Kind, count, length},
    serializer::Serializer,
    writer::is_plain,
};

/// A list or an object that is being written.
pub(super) struct Compound<'o> {
    pub(super) out: &'o mut Indexed,
    /// Its entry.
    pub(super) at: usize,
    pub(super) close: char,
    pub(super) is_empty: bool,
    /// Of the member whose value comes next.
    pub(super) key: Key,
}

impl Compound<'_> {
    fn separate(&mut self) {
        if !std::mem::take(&mut self.is_empty) {
            self.out.text.push(',');
        }
    }

    fn push_value(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        value.serialize(Serializer {
            out: self.out,
            key: self.key,
        })
    }

    fn close(self) {
        self.out.text.push(self.close);
        let (end, next) = (length(&self.out.text), count(self.out.entries.len()));
        if let Some(entry) = self.out.entries.get_mut(self.at) {
            entry.whole.end = end;
            entry.next = next;
        }
    }
}

impl ser::SerializeSeq for Compound<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.separate();
        self.push_value(value)
    }

    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeTuple for Compound<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        ser::SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<(), Error> {
        ser::SerializeSeq::end(self)
    }
}

impl ser::SerializeTupleStruct for Compound<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        ser::SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<(), Error> {
        ser::SerializeSeq::end(self)
    }
}

impl ser::SerializeMap for Compound<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.separate();
        self.key = Key::Known("");
        self.push_value(key)?;
        // Written as a value is, which it is not.
        let Some(Entry {
            kind: Kind::Text,
            said,
            ..
        }) = self.out.entries.pop()
        else {
            return Err(Error::custom("a key that is no text"));
        };
        self.out.has_dotted_keys |= self.out.span(said).contains('.');
        self.out.text.push(':');
        self.key = Key::Written(said);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.push_value(value)
    }

    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeStruct for Compound<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.separate();
        debug_assert!(
            is_plain(key) && !key.contains('.'),
            "{key:?} cannot be written as it is"
        );
        let text = &mut self.out.text;
        text.reserve(key.len() + 3);
        text.push('"');
        text.push_str(key);
        text.push_str("\":");
        self.key = Key::Known(key);
        self.push_value(value)
    }

    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}
