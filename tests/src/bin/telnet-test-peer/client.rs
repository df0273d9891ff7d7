//! Clients that come in numbers.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context as _, Result};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;

use crate::report;

/// Connects, sends a line and ends at once.
pub(crate) fn once(server: SocketAddr, text: &str) -> Result<()> {
    let mut stream = TcpStream::connect(server).with_context(|| server.to_string())?;
    report::event("connected", stream.local_addr()?)?;
    writeln!(stream, "{text}")?;
    Ok(())
}

/// Opens `count` sessions and holds them until standard input ends.
pub(crate) fn many(server: SocketAddr, count: usize) -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        let stream = TcpStream::connect(server).with_context(|| server.to_string())?;
        report::event("connected", stream.local_addr()?)?;
        held.push(stream);
    }
    report::line(&json!({"event": "all connected"}))?;
    report::until_stdin_ends()
}
