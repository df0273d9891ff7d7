//! Clients that come in numbers.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{report, socket};

/// Connects, sends a line and ends at once.
pub(crate) fn once(server: SocketAddr, text: &str) -> Result<()> {
    let mut stream = TcpStream::connect(server).with_context(|| server.to_string())?;
    report::event("connected", stream.local_addr()?)?;
    writeln!(stream, "{text}")?;
    Ok(())
}

/// Opens `count` sessions and holds them until standard input ends.
pub(crate) fn many(server: SocketAddr, count: usize) -> Result<()> {
    socket::hold_as_many_as_allowed()?;
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        let stream = TcpStream::connect(server).with_context(|| server.to_string())?;
        report::event("connected", stream.local_addr()?)?;
        held.push(stream);
    }
    report::line(&json!({"event": "all connected"}))?;
    report::until_stdin_ends()
}
