//! Later alerts of a session name its first one, so that all of them are found from any.

use std::collections::{HashMap, VecDeque};

use crate::{
    alert::{self, AlertId, First},
    json::Node,
    rules::field,
};

/// Most sessions whose first alert is remembered.
const MAX_SESSIONS: usize = 16_384;

/// The first alert of each session.
#[derive(Debug, Default)]
pub(crate) struct FirstAlerts {
    /// Sessions by the hash of their id, which in a recorded event may be of any length.
    known: HashMap<String, First>,
    /// The same hashes by age.
    ages: VecDeque<String>,
}

impl FirstAlerts {
    /// The first alert of the session that `event` is of, when it is not the one that `rule` makes
    /// of it now.
    pub(crate) fn before(&mut self, event: Node<'_>, id: AlertId, rule: &str) -> Option<First> {
        let session = alert::sha256_hex(&field::text(event, "telnet.session.id")?);
        if let Some(first) = self.known.get(&session) {
            return Some(first.clone());
        }
        if self.ages.len() >= MAX_SESSIONS
            && let Some(oldest) = self.ages.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.ages.push_back(session.clone());
        let rule = rule.to_owned();
        self.known.insert(session, First { id, rule });
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(session: &str) -> Value {
        json!({"telnet": {"session": {"id": session}}})
    }

    fn id(number: u64) -> AlertId {
        AlertId::new("index", &number.to_string(), 1, "default", "rule")
    }

    fn before(alerts: &mut FirstAlerts, session: &str, number: u64) -> Option<AlertId> {
        let event = event(session);
        let first = alerts.before(Node::from(&event), id(number), "rule");
        first.map(|first| first.id)
    }

    #[test]
    fn later_alerts_of_a_session_get_its_first() {
        let mut alerts = FirstAlerts::default();
        assert_eq!(before(&mut alerts, "s", 1), None);
        assert_eq!(before(&mut alerts, "s", 2), Some(id(1)));
        assert_eq!(before(&mut alerts, "t", 3), None);
        assert_eq!(before(&mut alerts, "s", 4), Some(id(1)));
        let foreign = json!({"event": {"id": "x"}});
        for _ in 0..2 {
            assert_eq!(alerts.before(Node::from(&foreign), id(5), "rule"), None);
        }
    }

    #[test]
    fn the_oldest_session_gives_way() {
        let mut alerts = FirstAlerts::default();
        for number in 0..=MAX_SESSIONS {
            before(&mut alerts, &number.to_string(), 1);
        }
        assert_eq!(alerts.known.len(), MAX_SESSIONS);
        assert_eq!(before(&mut alerts, "1", 2), Some(id(1)));
        assert_eq!(before(&mut alerts, "0", 2), None);
    }

    #[test]
    fn a_long_id_takes_no_more_room_than_a_short_one() {
        let mut alerts = FirstAlerts::default();
        let long = "s".repeat(1 << 20);
        assert_eq!(before(&mut alerts, &long, 1), None);
        assert_eq!(before(&mut alerts, &long, 2), Some(id(1)));
        let kept = alerts.known.keys().chain(&alerts.ages);
        assert!(kept.map(String::capacity).all(|bytes| bytes <= 64));
    }
}
