//! Harness of the live tests: a private network namespace, real telnetds and telnet
//! clients in it, and the real agent watching them.
//!
//! Every test goes through [`lab::live`], which refuses to pass silently where it cannot
//! run. Truth about a session (ports, inodes, holders, process facts) is read from `/proc`
//! by the harness itself, never taken from the agent.

pub mod agent;
pub mod check;
pub mod community_id;
pub mod debugger;
pub mod house;
pub mod journal;
pub mod kernel;
pub mod lab;
pub mod load;
pub mod net;
pub mod peer;
pub mod process;
pub mod search;
pub mod syslogd;
pub mod tools;
pub mod wait;
pub mod witness;
