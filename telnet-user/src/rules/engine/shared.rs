//! What all rules of an engine share.

use serde_json::Value;

use super::{Limits, Memory, lineage::FirstAlerts, room::Room};
use crate::alert::{Alert, Settings};

/// Takes what an engine makes, piece by piece: a run may make more than fits in memory at once.
pub trait Outbox {
    /// A new alert.
    fn alert(&mut self, alert: Alert);
    /// An earlier alert that took in further events (alert suppression), whole and under the
    /// same `kibana.alert.uuid`.
    fn update(&mut self, alert: Alert);
    /// Numbers of a window in which the cap was reached, or of all windows at the end.
    fn summary(&mut self, document: Value);
}

/// The state that rules share.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) settings: Settings,
    pub(crate) memory: Memory,
    waiting: Room,
    open: Room,
    first_alerts: FirstAlerts,
}

impl Common {
    pub(crate) fn new(settings: Settings, memory: Memory, limits: &Limits) -> Self {
        Self {
            settings,
            memory,
            waiting: Room::new(limits.kept_bytes),
            open: Room::new(limits.kept_bytes),
            first_alerts: FirstAlerts::default(),
        }
    }

    /// The state during one call that gives to `out`.
    pub(crate) fn share<'a>(&'a mut self, out: &'a mut dyn Outbox) -> Shared<'a> {
        Shared {
            settings: &self.settings,
            memory: &mut self.memory,
            waiting: &mut self.waiting,
            open: &mut self.open,
            first_alerts: &mut self.first_alerts,
            out,
        }
    }
}

/// [`Common`] during a call.
pub(crate) struct Shared<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) memory: &'a mut Memory,
    /// For events that wait for a later run.
    pub(crate) waiting: &'a mut Room,
    /// For the events of open alerts.
    pub(crate) open: &'a mut Room,
    pub(crate) first_alerts: &'a mut FirstAlerts,
    pub(crate) out: &'a mut dyn Outbox,
}
