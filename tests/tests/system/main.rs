//! A whole Debian system with systemd, tested from inside: the agent's package and
//! service, telnetd behind every kind of super-server, and people who log in.
//!
//! Runs in the guest that `cargo xtask test vm` boots; it would rearrange any other machine.

#[cfg(test)]
mod agent;
#[cfg(test)]
mod forced_login;
#[cfg(test)]
mod guest;
#[cfg(test)]
mod latency;
#[cfg(test)]
mod logins;
#[cfg(test)]
mod package;
#[cfg(test)]
mod service;
#[cfg(test)]
mod visit;
