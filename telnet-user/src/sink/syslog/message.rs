//! One document as an RFC 5424 message.

use std::io;

use serde_json::Value;

use crate::{
    config,
    sink::{
        fields::{Severity, text},
        spool::Entry,
    },
};

/// What all messages of a sink begin with.
#[derive(Debug)]
pub(super) struct Header {
    facility: u8,
    /// HOSTNAME, APP-NAME and PROCID.
    names: String,
}

impl Header {
    pub(super) fn new(config: &config::Syslog, host: &str) -> Self {
        let host: String = host
            .chars()
            .filter(char::is_ascii_graphic)
            .take(255)
            .collect();
        let host = if host.is_empty() { "-" } else { &host };
        let (app, pid) = (&config.identifier, std::process::id());
        Self {
            facility: config.facility.number(),
            names: format!("{host} {app} {pid}"),
        }
    }

    /// The message, without framing. Its text is the document as JSON, without a byte order mark:
    /// readers of JSON do not expect one. There is no structured data, since its names would need
    /// an enterprise number.
    pub(super) fn message(&self, entry: &Entry) -> io::Result<Vec<u8>> {
        let document: Value = serde_json::from_slice(&entry.body)?;
        let severity = Severity::of(entry.kind, &document);
        let priority = self.facility * 8 + severity.number();
        let time = text(&document, "/@timestamp").map_or_else(|| "-".to_owned(), timestamp);
        let id = entry.kind.stream().name();
        let head = format!("<{priority}>1 {time} {} {id} - ", self.names);
        Ok([head.as_bytes(), &entry.body].concat())
    }
}

/// RFC 5424 has six digits of a second at most, documents have nine.
fn timestamp(text: &str) -> String {
    match text.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        Err(_) => "-".to_owned(),
    }
}
