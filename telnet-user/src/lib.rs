//! The telnet-monitor agent.
//!
//! Data flows one way:
//!
//! ```text
//! kernel event -> probe (decode) -> session -> enrich -> ecs -> rules (kql) -> alert -> sink
//! ```
#![forbid(unsafe_code)]

pub mod agent;
pub mod alert;
pub mod canary;
pub mod cli;
pub mod clock;
pub mod config;
pub mod ecs;
pub mod enrich;
pub mod flood;
pub mod health;
pub mod input;
pub mod json;
pub mod kql;
pub mod lock;
pub mod pipeline;
pub mod probe;
pub mod replay;
pub mod response;
pub mod rules;
pub mod sandbox;
pub mod session;
pub mod sink;
pub mod source;
pub mod state;
