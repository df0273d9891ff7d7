//! Detection rules: rule files in, alerts out.
//!
//! A rule is read from TOML as in Elastic's detection-rules repository or from a
//! Kibana export, checked and compiled once, and run by the [`Engine`] over every
//! event. The engine gives the alerts that Kibana's scheduled runs would give,
//! only at once; [`Schedule`] is those scheduled runs, to compare with.

mod condition;
pub(crate) mod conform;
mod emitted;
mod engine;
mod exception;
pub(crate) mod field;
mod filter;
mod load;
mod mapping;
mod period;
mod rule;
mod shipped;
#[cfg(test)]
pub(crate) mod tests;
mod wildcard;

pub use self::engine::{
    Engine, Evaluation, Limits, Memory, Numbers, Outbox, Retention, Schedule, recorded_at,
};
pub use self::exception::Exceptions;
pub use self::filter::Filter;
pub use self::load::{LoadReport, Options, Source, load, load_with};
pub use self::period::{Interval, Offset, OffsetError};
pub use self::rule::{
    MissingFields, Origin, Reference, ResponseAction, Rule, Severity, SeverityMapping, Suppression,
    Technique, Threat,
};
pub use self::shipped::FILES as SHIPPED;
pub use crate::source::{Level, Position, Problem};
