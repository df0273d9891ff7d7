//! Where documents go.

pub mod console;
mod pretty;

use serde_json::Value;

/// A document on its way out, by stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    /// What happened on this host.
    Event(Value),
    /// A rule matched.
    Alert(Value),
    /// What the agent did and could not do.
    Health(Value),
}

impl Document {
    /// The document itself.
    pub const fn value(&self) -> &Value {
        match self {
            Self::Event(value) | Self::Alert(value) | Self::Health(value) => value,
        }
    }
}
