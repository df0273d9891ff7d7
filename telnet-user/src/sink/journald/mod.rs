//! The systemd journal, by its native protocol.
//!
//! Each field of a document becomes a field of the entry, upper case and with underscores
//! (`source.ip` is `SOURCE_IP`), so that `journalctl SOURCE_IP=192.0.2.7` finds it. See
//! <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>.

use std::{
    fs::File,
    io::{self, IoSlice, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixDatagram,
    },
    time::Duration,
};

use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create},
    io::Errno,
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
};
use serde_json::Value;

use super::{
    courier::{DeliveryError, Receipt, Transport},
    fields::Severity,
    pretty,
    spool::{Batch, Entry, Limits},
};
use crate::config;

/// The journal cuts entries with more fields (`ENTRY_FIELD_COUNT_MAX`).
const MAX_FIELDS: usize = 1_000;
/// The message is the readable line, and the rule as its author wrote it is not what anybody
/// searches for.
const LEFT_OUT: [&str; 2] = ["MESSAGE", "KIBANA_ALERT_RULE_PARAMETERS"];
/// Longest name of a field.
const MAX_NAME: usize = 64;
/// One at a time: the journal answers each, so nothing that it has is ever sent again.
const LIMITS: Limits = Limits {
    documents: 1,
    bytes: 1,
};

/// The journal's socket.
#[derive(Debug)]
pub(super) struct Journal {
    config: config::Journald,
    socket: Option<UnixDatagram>,
}

impl Journal {
    pub(super) fn new(config: &config::Journald) -> Self {
        Self {
            config: config.clone(),
            socket: None,
        }
    }

    fn connect(&self) -> io::Result<UnixDatagram> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(&self.config.socket)?;
        // A journal that is stuck must not hold up the end of the agent.
        socket.set_write_timeout(Some(Duration::from_secs(5)))?;
        Ok(socket)
    }

    fn send(&mut self, entry: &Entry) -> io::Result<()> {
        let datagram = encode(entry, &self.config.identifier)?;
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.connect()?,
        };
        match socket.send(&datagram) {
            Err(error) if is_too_large(&error) => send_as_file(&socket, &datagram)?,
            outcome => drop(outcome?),
        }
        self.socket = Some(socket);
        Ok(())
    }
}

impl Transport for Journal {
    fn limits(&self) -> Limits {
        LIMITS
    }

    fn longest_wait(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn deliver(&mut self, batch: &Batch) -> Result<Receipt, DeliveryError> {
        for entry in &batch.entries {
            self.send(entry).map_err(|error| {
                DeliveryError::new(format!("{}: {error}", self.config.socket.display()))
            })?;
        }
        Ok(Receipt::Certain { rejected: 0 })
    }
}

fn is_too_large(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(code, Some(Errno::MSGSIZE | Errno::NOBUFS))
}

/// Hands over what does not fit into a datagram as a sealed file in memory.
fn send_as_file(socket: &UnixDatagram, datagram: &[u8]) -> io::Result<()> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory: OwnedFd = memfd_create("telnet-monitor-journal", flags)?;
    let mut file = File::from(memory);
    file.write_all(datagram)?;
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
    fcntl_add_seals(&file, seals)?;
    let descriptors = [file.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("no room for a file descriptor"));
    }
    sendmsg(
        socket,
        &[IoSlice::new(&[])],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// The entry for a document.
fn encode(entry: &Entry, identifier: &str) -> io::Result<Vec<u8>> {
    let value: Value = serde_json::from_slice(&entry.body)?;
    let severity = Severity::of(entry.kind, &value);
    let mut out = Fields::default();
    out.push("MESSAGE", &pretty::line(entry.kind, &value));
    out.push("PRIORITY", &severity.number().to_string());
    out.push("SYSLOG_IDENTIFIER", identifier);
    out.push("TELNET_MONITOR_STREAM", entry.kind.stream().name());
    out.walk("", &value);
    Ok(out.bytes)
}

/// Fields in the form of the protocol.
#[derive(Default)]
struct Fields {
    bytes: Vec<u8>,
    count: usize,
}

impl Fields {
    /// Appends every leaf below `value`; an array is the same field several times.
    fn walk(&mut self, name: &str, value: &Value) {
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    let name = join(name, key);
                    if !LEFT_OUT.contains(&name.as_str()) {
                        self.walk(&name, value);
                    }
                }
            }
            Value::Array(elements) => {
                for element in elements {
                    self.walk(name, element);
                }
            }
            Value::String(text) => self.push(name, text),
            Value::Number(number) => self.push(name, &number.to_string()),
            Value::Bool(flag) => self.push(name, &flag.to_string()),
            Value::Null => {}
        }
    }

    fn push(&mut self, name: &str, value: &str) {
        // The journal takes no longer names and no leading digit or underscore.
        let name = name.trim_start_matches(|c: char| c == '_' || c.is_ascii_digit());
        if name.is_empty() || name.len() > MAX_NAME || self.count >= MAX_FIELDS {
            return;
        }
        self.count += 1;
        self.bytes.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            let length = u64::try_from(value.len()).unwrap_or(u64::MAX);
            self.bytes.push(b'\n');
            self.bytes.extend_from_slice(&length.to_le_bytes());
        } else {
            self.bytes.push(b'=');
        }
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(b'\n');
    }
}

/// `source` and `ip` become `SOURCE_IP`. What is no letter or digit becomes an underscore.
fn join(name: &str, key: &str) -> String {
    let mut out = String::with_capacity(name.len() + key.len() + 1);
    out.push_str(name);
    if !name.is_empty() {
        out.push('_');
    }
    out.extend(key.chars().map(|c| match c {
        c if c.is_ascii_alphanumeric() => c.to_ascii_uppercase(),
        _ => '_',
    }));
    out
}

#[cfg(test)]
mod tests;
