//! The ends of the sessions: real telnetds, real telnet clients, and the helper binary for
//! behaviour that no telnet program shows on demand.

mod client;
mod telnetd;

pub use client::{Client, ClientKind, Session};
pub use telnetd::{Telnetd, TelnetdKind};
