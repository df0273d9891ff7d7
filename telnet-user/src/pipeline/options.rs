//! What the pipeline is told to do.

use crate::{canary::Mark, flood::Budget, session::tracker};

/// Which documents anybody takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emit {
    /// Alerts, and the records that say what a rule's cap held back.
    pub alerts: bool,
    /// Events.
    pub events: bool,
}

/// Which documents are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Making {
    /// Those that anybody takes.
    pub emit: Emit,
    /// An event of each connection attempt too.
    pub attempts: bool,
    /// How many connections of each source are told; absent for all.
    pub budget: Option<Budget>,
}

/// What is written, and how far userspace goes to find out who serves a session.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Which documents are made.
    pub making: Making,
    /// Tells the sessions of canaries, which become neither event nor alert.
    pub canary: Mark,
    /// Bounds of the session table.
    pub limits: tracker::Limits,
}
