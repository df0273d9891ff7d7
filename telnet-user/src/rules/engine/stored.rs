//! Documents that are kept for a while.

use serde_json::Value;

use crate::json::Node;

/// A document as text: a tenth of the memory of the parsed one.
#[derive(Clone, Debug)]
pub(crate) struct Stored(Box<str>);

impl Stored {
    /// Keeps `document`.
    pub(crate) fn of(document: Node<'_>) -> Self {
        Self(document.to_text().into())
    }

    /// Length of the text in bytes.
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// The document again: what was written from a value reads back as that value.
    pub(crate) fn read(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}
