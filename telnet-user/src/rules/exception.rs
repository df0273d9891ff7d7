//! Exceptions: what a rule must not alert on.

use jiff::Timestamp;

use super::condition::Condition;
use crate::json::Node;

/// One exception item: all of its entries must hold.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// Name of the item, for people.
    pub(crate) name: String,
    /// From then on the item does not count.
    pub(crate) expires: Option<Timestamp>,
    /// The entries.
    pub(crate) condition: Condition,
}

/// The exception items of a rule, from all of its lists.
#[derive(Clone, Debug, Default)]
pub struct Exceptions {
    items: Vec<Item>,
}

impl Exceptions {
    /// Adds items.
    pub(crate) fn extend(&mut self, items: impl IntoIterator<Item = Item>) {
        self.items.extend(items);
    }

    /// Whether one of them asks for a value of `field`.
    pub(super) fn ask_for(&self, field: &str) -> bool {
        let mut conditions = self.items.iter().map(|item| &item.condition);
        conditions.any(|condition| condition.asks_for(field))
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Name of the first item that covers `event` and has not expired at `now`.
    pub fn covering<'e>(&self, event: impl Into<Node<'e>>, now: Timestamp) -> Option<&str> {
        let event = event.into();
        let live = self
            .items
            .iter()
            .filter(|item| item.expires.is_none_or(|end| now < end));
        live.into_iter()
            .find(|item| item.condition.matches(event, now))
            .map(|item| item.name.as_str())
    }
}
