//! The telnet-monitor agent.
//!
//! Data flows one way:
//!
//! ```text
//! kernel event -> probe (decode) -> session -> enrich -> ecs -> rules (kql) -> alert -> sink
//! ```
#![forbid(unsafe_code)]

pub mod ecs;
pub mod enrich;
pub mod kql;
pub mod rules;
