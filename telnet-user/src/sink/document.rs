//! Documents on their way out.

use jiff::Timestamp;
use serde_json::Value;

use crate::{alert::Alert, config::Stream};

/// A document on its way out: JSON text, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    kind: Kind,
    text: String,
    happened: Option<Timestamp>,
}

impl Document {
    /// A document of `kind` with this JSON text.
    pub const fn new(kind: Kind, text: String) -> Self {
        Self {
            kind,
            text,
            happened: None,
        }
    }

    /// A new alert.
    pub fn alert(alert: Alert) -> Self {
        Self {
            happened: alert.happened,
            ..Self::new(Kind::Alert, alert.text)
        }
    }

    /// Its JSON text, on one line.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The document as a tree.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// What it is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// When what a new alert is about happened; nothing for what was open before the agent.
    pub const fn happened(&self) -> Option<Timestamp> {
        self.happened
    }

    /// The stream it belongs to.
    pub const fn stream(&self) -> Stream {
        self.kind.stream()
    }
}

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What happened on this host.
    Event,
    /// A rule matched.
    Alert,
    /// An earlier alert that took in further events: whole, under the same id.
    Update,
    /// What became of a rule's matches, when not all of them were alerts.
    Summary,
    /// What the agent did and could not do.
    Health,
    /// What was decided on a session that a rule wants closed, and what came of it.
    Response,
}

impl Kind {
    /// The stream of such documents. Summaries go where the alerts go: without them a reader
    /// would not know that there were more matches than alerts. So do responses: who reads the
    /// alert has to know that its session was closed.
    pub const fn stream(self) -> Stream {
        match self {
            Self::Event => Stream::Events,
            Self::Alert | Self::Update | Self::Summary | Self::Response => Stream::Alerts,
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
            Self::Response => 6,
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
            6 => Some(Self::Response),
            _ => None,
        }
    }
}
