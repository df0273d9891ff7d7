//! The ends of the sessions: real telnetds, real telnet clients, and the helper binary for
//! behaviour that no telnet program shows on demand.

mod client;
mod script;
mod server;
mod telnetd;

pub use client::{Client, ClientKind, Session};
pub use script::{Handle, Scripted};
pub use server::{Served, Server, ServerKind};
pub use telnetd::{Telnetd, TelnetdKind};
