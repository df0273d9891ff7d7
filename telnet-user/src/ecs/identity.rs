//! Identities: of an event, of a session, and of a flow as other sensors compute it.

use std::{
    fmt::{self, Write as _},
    net::{IpAddr, SocketAddr},
};

use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use crate::{
    clock::BootTime,
    flood::{Flood, Source},
    probe::record::SocketKey,
    session::{Direction, Listener, Session},
};

/// Where the identity of a socket is unique: one boot of one kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    boot: &'a str,
}

/// Identities of an event and of what it is about; 32 lower-case hex digits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ids {
    /// The session or the listener.
    pub(super) object: String,
    /// What happened to it.
    pub(super) event: String,
}

impl<'a> Scope<'a> {
    pub(super) const fn new(boot: &'a str) -> Self {
        Self { boot }
    }

    /// Identities of a session and of what happened to it at `time`.
    pub(super) fn session(self, session: &Session, fact: &str, time: BootTime) -> Ids {
        let socket = Socket {
            key: session.key,
            start: session.attempted.or(session.opened),
            // What has no start and was not there before is one event alone: a handshake that
            // failed.
            only: (!session.preexisting).then_some(time),
            netns: session.netns,
            local: session.local,
            remote: Some(session.remote),
            is_outbound: session.direction == Direction::Egress,
        };
        self.ids(&socket, fact)
    }

    /// Identities of a listening socket and of what happened to it at `time`.
    pub(super) fn listener(self, listener: &Listener, fact: &str, time: BootTime) -> Ids {
        let socket = Socket {
            key: listener.key,
            start: listener.opened,
            only: (!listener.preexisting).then_some(time),
            netns: listener.netns,
            local: listener.local,
            remote: None,
            is_outbound: false,
        };
        self.ids(&socket, fact)
    }

    /// Identities of a flood and of this summary of it.
    pub(super) fn flood(self, flood: &Flood) -> Ids {
        let source = Whose(flood);
        self.ids(&source, &flood.number.to_string())
    }

    /// SHA-256 over `BOOT|SOCKET` for the object and `BOOT|SOCKET|FACT` for the event, each cut
    /// to 128 bits: far beyond any number of events, and half the size in every index.
    fn ids(self, socket: &impl fmt::Display, fact: &str) -> Ids {
        let mut text = Hashed(Sha256::new());
        // Hashing never fails.
        let written = write!(text, "{}|{socket}", self.boot);
        debug_assert!(written.is_ok(), "hashing is infallible");
        let object = hex(&text.0.clone().finalize());
        text.0.update([b'|']);
        text.0.update(fact);
        let event = hex(&text.0.finalize());
        Ids { object, event }
    }
}

/// What names a session or a listening socket in one boot. The cookie where there is one: unlike
/// anything else it is the same from the first record to the last and for an agent started later. Who
/// connects may do so again with the same socket, by connect(2) to `AF_UNSPEC` in between, so whom to
/// belongs to it. The local port does not: it is chosen after the attempt was seen.
struct Socket {
    key: SocketKey,
    start: Option<BootTime>,
    only: Option<BootTime>,
    netns: Option<u32>,
    local: SocketAddr,
    remote: Option<SocketAddr>,
    is_outbound: bool,
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(cookie) = self.key.cookie {
            write!(f, "cookie|{cookie}")?;
            return match self.remote.filter(|_| self.is_outbound) {
                Some(remote) => write!(f, "|{}|{}", remote.ip(), remote.port()),
                None => Ok(()),
            };
        }
        write!(f, "socket|{:x}", self.key.address)?;
        if let Some(start) = self.start {
            return write!(f, "|{}", start.as_nanos());
        }
        write!(f, "|{}|{}", self.netns.unwrap_or(0), self.local)?;
        if let Some(remote) = self.remote {
            write!(f, "|{remote}")?;
        }
        match self.only {
            Some(time) => write!(f, "|{}", time.as_nanos()),
            None => Ok(()),
        }
    }
}

/// What names a flood in one boot: its source and when it began.
struct Whose<'a>(&'a Flood);

impl fmt::Display for Whose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Source {
            direction,
            netns,
            ip,
            outcome,
        } = self.0.source;
        write!(f, "flood|{direction:?}|{outcome:?}|{}|", netns.unwrap_or(0))?;
        if let Some(ip) = ip {
            write!(f, "{ip}")?;
        }
        write!(f, "|{}", self.0.start.as_nanos())
    }
}

/// Formats into a hash, without a text in between.
struct Hashed(Sha256);

impl fmt::Write for Hashed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text);
        Ok(())
    }
}

/// The first 16 bytes in lower-case hex.
fn hex(bytes: &[u8]) -> String {
    let digit = |bits| bits + if bits < 10 { b'0' } else { b'a' - 10 };
    let mut text = [0; 32];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[byte >> 4, byte & 0xf].map(digit));
    }
    str::from_utf8(&text).unwrap_or_default().to_owned()
}

/// Community ID v1 of a TCP flow with seed 0: the same from both ends. Absent when the ends are
/// of different families.
pub(super) fn community_id(source: SocketAddr, destination: SocketAddr) -> Option<String> {
    const TCP: u8 = 6;
    const PADDING: u8 = 0;
    if source.is_ipv4() != destination.is_ipv4() {
        return None;
    }
    let (low, high) = if (source.ip(), source.port()) <= (destination.ip(), destination.port()) {
        (source, destination)
    } else {
        (destination, source)
    };
    let mut hash = Sha1::new();
    hash.update([0, 0]);
    for end in [low, high] {
        match end.ip() {
            IpAddr::V4(ip) => hash.update(ip.octets()),
            IpAddr::V6(ip) => hash.update(ip.octets()),
        }
    }
    hash.update([TCP, PADDING]);
    hash.update(low.port().to_be_bytes());
    hash.update(high.port().to_be_bytes());
    let mut text = String::with_capacity(30);
    text.push_str("1:");
    base64(&hash.finalize(), &mut text);
    Some(text)
}

/// Appends RFC 4648 base64, padded.
fn base64(bytes: &[u8], out: &mut String) {
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .chain(std::iter::repeat(&0))
            .take(3)
            .fold(0_u32, |group, byte| group << 8 | u32::from(*byte));
        for place in 0..4_usize {
            // n bytes make n + 1 digits.
            let digit = if place <= chunk.len() {
                digit(group >> (18 - 6 * place) & 0x3f)
            } else {
                '='
            };
            out.push(digit);
        }
    }
}

/// The base64 digit of a 6-bit value.
fn digit(value: u32) -> char {
    let code = match value {
        0..26 => u32::from('A') + value,
        26..52 => u32::from('a') + value - 26,
        52..62 => u32::from('0') + value - 52,
        62 => u32::from('+'),
        _ => u32::from('/'),
    };
    char::from_u32(code).unwrap_or('=')
}
