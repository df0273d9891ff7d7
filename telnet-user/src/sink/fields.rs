//! What sinks need to know of a document.

use serde_json::Value;

use super::document::Kind;

/// How bad it is, in the words of syslog (RFC 5424 table 2), which journald shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    Critical,
    Error,
    Warning,
    Notice,
    Informational,
}

impl Severity {
    /// An alert's severity is its rule's; nothing else is worth waking anybody.
    pub(super) fn of(kind: Kind, document: &Value) -> Self {
        match kind {
            Kind::Alert | Kind::Update => match text(document, "/kibana/alert/severity") {
                Some("critical") => Self::Critical,
                Some("high") => Self::Error,
                Some("low") => Self::Notice,
                Some(_) | None => Self::Warning,
            },
            Kind::Summary | Kind::Response => Self::Notice,
            Kind::Event | Kind::Health => Self::Informational,
        }
    }

    /// Its number.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Critical => 2,
            Self::Error => 3,
            Self::Warning => 4,
            Self::Notice => 5,
            Self::Informational => 6,
        }
    }
}

/// The text at a JSON pointer.
pub(super) fn text<'a>(document: &'a Value, pointer: &str) -> Option<&'a str> {
    document.pointer(pointer)?.as_str()
}
