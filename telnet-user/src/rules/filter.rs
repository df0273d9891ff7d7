//! Kibana filters of a rule.

use jiff::Timestamp;

use super::condition::Condition;
use crate::json::Node;

/// One condition next to the query; all of a rule's filters must hold.
#[derive(Clone, Debug)]
pub struct Filter(pub(super) Condition);

impl Filter {
    /// Whether `event` passes the filter at `now`.
    pub fn matches(&self, event: Node<'_>, now: Timestamp) -> bool {
        self.0.matches(event, now)
    }
}
