//! Kibana filters of a rule.

use jiff::Timestamp;

use super::condition::Condition;
use crate::json::Node;

/// One condition next to the query; all of a rule's filters must hold.
#[derive(Clone, Debug)]
pub struct Filter(pub(super) Condition);

impl Filter {
    /// Whether it asks for a value of `field`.
    pub(super) fn asks_for(&self, field: &str) -> bool {
        self.0.asks_for(field)
    }

    /// Whether `event` passes the filter at `now`.
    pub fn matches(&self, event: Node<'_>, now: Timestamp) -> bool {
        self.0.matches(event, now)
    }
}
