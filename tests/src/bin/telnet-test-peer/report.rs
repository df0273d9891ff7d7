//! What the peer tells the test.

use std::io::{self, Write as _};
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// Writes one line. Short enough for a pipe to take it whole, also from several processes.
pub(crate) fn line(value: &Value) -> Result<()> {
    let text = format!("{value}\n");
    io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .context("nobody reads stdout")
}

/// Something happened in this process.
pub(crate) fn event(name: &str, address: SocketAddr) -> Result<()> {
    line(&json!({"event": name, "pid": std::process::id(), "address": address.to_string()}))
}

/// Why the peer gives up. Standard error is all that is left when standard output is gone.
pub(crate) fn failure(error: &anyhow::Error) {
    drop(writeln!(io::stderr(), "{error:#}"));
}

/// Returns when the test closes standard input, or ends.
pub(crate) fn until_stdin_ends() -> Result<()> {
    io::copy(&mut io::stdin().lock(), &mut io::sink()).context("stdin")?;
    Ok(())
}
