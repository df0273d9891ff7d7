//! Documents on their way out.

use serde_json::Value;

use crate::config::Stream;

/// A document on its way out, by what it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    /// What happened on this host.
    Event(Value),
    /// A rule matched.
    Alert(Value),
    /// An earlier alert that took in further events: whole, under the same id.
    Update(Value),
    /// What became of a rule's matches, when not all of them were alerts.
    Summary(Value),
    /// What the agent did and could not do.
    Health(Value),
}

impl Document {
    /// The document itself.
    pub const fn value(&self) -> &Value {
        match self {
            Self::Event(value)
            | Self::Alert(value)
            | Self::Update(value)
            | Self::Summary(value)
            | Self::Health(value) => value,
        }
    }

    /// What it is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Event(_) => Kind::Event,
            Self::Alert(_) => Kind::Alert,
            Self::Update(_) => Kind::Update,
            Self::Summary(_) => Kind::Summary,
            Self::Health(_) => Kind::Health,
        }
    }

    /// A document of `kind`.
    pub const fn new(kind: Kind, value: Value) -> Self {
        match kind {
            Kind::Event => Self::Event(value),
            Kind::Alert => Self::Alert(value),
            Kind::Update => Self::Update(value),
            Kind::Summary => Self::Summary(value),
            Kind::Health => Self::Health(value),
        }
    }

    /// The stream it belongs to.
    pub const fn stream(&self) -> Stream {
        self.kind().stream()
    }
}

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`Document::Event`].
    Event,
    /// [`Document::Alert`].
    Alert,
    /// [`Document::Update`].
    Update,
    /// [`Document::Summary`].
    Summary,
    /// [`Document::Health`].
    Health,
}

impl Kind {
    /// The stream of such documents. Summaries go where the alerts go: without them a reader
    /// would not know that there were more matches than alerts.
    pub const fn stream(self) -> Stream {
        match self {
            Self::Event => Stream::Events,
            Self::Alert | Self::Update | Self::Summary => Stream::Alerts,
            Self::Health => Stream::Health,
        }
    }

    /// Its code on disk.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Event => 1,
            Self::Alert => 2,
            Self::Update => 3,
            Self::Summary => 4,
            Self::Health => 5,
        }
    }

    /// The kind with this code.
    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Event),
            2 => Some(Self::Alert),
            3 => Some(Self::Update),
            4 => Some(Self::Summary),
            5 => Some(Self::Health),
            _ => None,
        }
    }
}
