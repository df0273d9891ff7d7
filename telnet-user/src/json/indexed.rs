//! A document as text with an index of its values.

use serde::Serialize;
use serde_json::Value;

use super::Node;

/// A stretch of [`Indexed::text`], or of [`Indexed::plain`] where the text has escapes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) is_escaped: bool,
}

/// The key of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// Of a struct's field; of what is no member it is empty.
    Known(&'static str),
    /// Anywhere else.
    Written(Span),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Number,
    Text,
    Array,
    Object,
}

/// One value of a document. Those inside it follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its key, when it is a member of an object.
    pub(super) key: Key,
    /// All of it.
    pub(super) whole: Span,
    /// What a string says.
    pub(super) said: Span,
    pub(super) kind: Kind,
    /// The entry behind it and everything in it.
    pub(super) next: u32,
}

/// A document that was written from typed fields: compact JSON text, in which every value can be
/// found without parsing it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indexed {
    pub(super) text: String,
    /// Strings that have escapes in the text, without them.
    pub(super) plain: String,
    pub(super) entries: Vec<Entry>,
    /// Some key has a dot in it.
    pub(super) has_dotted_keys: bool,
}

impl Indexed {
    /// The document of `fields`.
    ///
    /// # Errors
    ///
    /// When they have no JSON form, such as a map with keys that are no text, or one of more than
    /// 4 GiB.
    pub fn of(fields: &impl Serialize) -> Result<Self, serde_json::Error> {
        /// What an event takes, so that it does not have to move while it grows.
        const TEXT: usize = 4 << 10;
        const VALUES: usize = 160;
        let mut document = Self {
            text: String::with_capacity(TEXT),
            plain: String::new(),
            entries: Vec::with_capacity(VALUES),
            has_dotted_keys: false,
        };
        document.write(fields)?;
        Ok(document)
    }

    /// Its JSON text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its JSON text alone.
    pub fn into_text(self) -> String {
        self.text
    }

    /// The document as a value.
    pub fn root(&self) -> Node<'_> {
        Node::from(self)
    }

    /// The document as a tree.
    pub fn to_value(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// The text of its members, when it is an object.
    pub fn members_text(&self) -> &str {
        let inner = self.text.strip_prefix('{');
        inner
            .and_then(|text| text.strip_suffix('}'))
            .unwrap_or_default()
    }

    /// Appends the members of `other`; both are objects, and no key is in both.
    pub fn extend(&mut self, other: &Self) {
        let members = other.members_text();
        if members.is_empty() || !self.text.ends_with('}') {
            return;
        }
        self.text.pop();
        if !self.text.ends_with('{') {
            self.text.push(',');
        }
        // Where the first member stands now, and where it stood: behind the brace.
        let text = length(&self.text).wrapping_sub(1);
        let plain = length(&self.plain);
        let entries = count(self.entries.len()).wrapping_sub(1);
        self.text.push_str(members);
        self.text.push('}');
        self.plain.push_str(&other.plain);
        self.has_dotted_keys |= other.has_dotted_keys;
        let moved = |span: Span| {
            let by = if span.is_escaped { plain } else { text };
            Span {
                start: span.start.wrapping_add(by),
                end: span.end.wrapping_add(by),
                ..span
            }
        };
        self.entries
            .extend(other.entries.iter().skip(1).map(|entry| Entry {
                key: match entry.key {
                    Key::Known(key) => Key::Known(key),
                    Key::Written(span) => Key::Written(moved(span)),
                },
                whole: moved(entry.whole),
                said: moved(entry.said),
                kind: entry.kind,
                next: entry.next.wrapping_add(entries),
            }));
        let (end, next) = (length(&self.text), count(self.entries.len()));
        if let Some(root) = self.entries.first_mut() {
            root.whole.end = end;
            root.next = next;
        }
    }

    pub(super) fn entry(&self, at: u32) -> Option<&Entry> {
        self.entries.get(usize::try_from(at).ok()?)
    }

    /// The member called `key` of the object at `at`.
    pub(super) fn member(&self, at: u32, key: &str) -> Option<u32> {
        let object = self.entry(at)?;
        if object.kind != Kind::Object {
            return None;
        }
        let mut at = at.saturating_add(1);
        while at < object.next {
            let entry = self.entry(at)?;
            if self.key(entry) == key {
                return Some(at);
            }
            at = entry.next;
        }
        None
    }

    pub(super) fn key(&self, entry: &Entry) -> &str {
        match entry.key {
            Key::Known(key) => key,
            Key::Written(span) => self.span(span),
        }
    }

    pub(super) fn span(&self, span: Span) -> &str {
        let text = if span.is_escaped {
            &self.plain
        } else {
            &self.text
        };
        let place = usize::try_from(span.start)
            .ok()
            .zip(usize::try_from(span.end).ok());
        place
            .and_then(|(start, end)| text.get(start..end))
            .unwrap_or_default()
    }
}

/// Bytes of a text that [`Indexed::write`] keeps below 4 GiB.
pub(super) fn length(text: &str) -> u32 {
    count(text.len())
}

/// As a position in the index, which has fewer entries than the text has bytes.
pub(super) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
