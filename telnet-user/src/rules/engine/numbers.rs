//! What became of every match of a rule.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::windows::{Windows, timestamp};
use crate::alert;
use crate::rules::field;
use crate::rules::rule::Rule;

/// Counts of one window, or of a whole run of the engine.
///
/// `matched - excepted - duplicates + deferred_in` equals
/// `alerted + suppressed + deferred_out + dropped`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Events that satisfied query and filters in the searched time.
    pub matched: u64,
    /// Of these, covered by an exception.
    pub excepted: u64,
    /// Of these, alerted before: same event, same rule.
    pub duplicates: u64,
    /// New alerts.
    pub alerted: u64,
    /// Events that joined an alert (alert suppression); not lost to the cap.
    pub suppressed: u64,
    /// Events taken over from the window before.
    pub deferred_in: u64,
    /// Events left to the next window because the cap was reached.
    pub deferred_out: u64,
    /// Events that no window could alert on any more: suppressed by the cap.
    pub dropped: u64,
    /// Of the dropped ones, those the bounded queue had no room for.
    pub overflowed: u64,
    /// Events that satisfied query and filters but lie outside every searched
    /// span, or have no time at all. Not part of `matched`.
    pub unsearched: u64,
    /// Alerts that took in no more events before their time, because there was no room to keep
    /// more of them open: what would have joined them makes new alerts.
    pub evicted: u64,
    /// Runs that left matches over because they had their most alerts.
    pub capped_runs: u64,
}

impl Numbers {
    /// Whether every match is accounted for.
    pub fn balanced(&self) -> bool {
        let into = self.matched + self.deferred_in;
        let out = self.excepted + self.duplicates + self.alerted + self.suppressed;
        into == out + self.deferred_out + self.dropped
    }

    /// Whether the cap was reached or something was not looked at.
    pub(crate) fn notable(&self) -> bool {
        self.deferred_in + self.deferred_out + self.dropped + self.unsearched + self.evicted > 0
    }

    /// Adds the next window. What one window defers is what the next takes over,
    /// so in a sum only the ends of the chain remain.
    pub(crate) fn add(&mut self, next: &Self) {
        self.matched += next.matched;
        self.excepted += next.excepted;
        self.duplicates += next.duplicates;
        self.alerted += next.alerted;
        self.suppressed += next.suppressed;
        self.deferred_out = next.deferred_out;
        self.dropped += next.dropped;
        self.overflowed += next.overflowed;
        self.unsearched += next.unsearched;
        self.evicted += next.evicted;
        self.capped_runs += next.capped_runs;
    }

    fn document(&self, budget: usize) -> Value {
        json!({
            "matched": self.matched,
            "excepted": self.excepted,
            "duplicates": self.duplicates,
            "alerted": self.alerted,
            "suppressed": self.suppressed,
            "deferred_in": self.deferred_in,
            "deferred_out": self.deferred_out,
            "dropped": self.dropped,
            "overflowed": self.overflowed,
            "unsearched": self.unsearched,
            "evicted": self.evicted,
            "capped_runs": self.capped_runs,
            "max_signals": budget,
        })
    }

    fn sentence(&self, rule: &Rule, budget: usize) -> String {
        format!(
            "{}: {} matched, {} alerted, {} deferred, {} suppressed by the cap of {} alerts a run",
            rule.name, self.matched, self.alerted, self.deferred_out, self.dropped, budget
        )
    }
}

/// Which part of the time a summary is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// One window.
    Window(i64),
    /// Everything since the engine started.
    Total,
}

/// The summary record of a rule that makes at most `budget` alerts a run.
///
/// An ECS document with `event.kind` `metric`; the counts are under
/// `telnet.detection`.
pub(crate) fn summary(
    rule: &Rule,
    budget: usize,
    windows: &Windows,
    scope: Scope,
    numbers: &Numbers,
    now: Timestamp,
) -> Value {
    let mut detection = numbers.document(budget);
    let mut event = json!({"kind": "metric", "category": ["network"], "type": ["info"]});
    match scope {
        Scope::Window(index) => {
            field::set(&mut event, "action", json!("rule_window_summary"));
            field::set(
                &mut event,
                "start",
                json!(alert::time(timestamp(windows.opens(index)))),
            );
            field::set(
                &mut event,
                "end",
                json!(alert::time(timestamp(windows.closes(index)))),
            );
            field::set(&mut detection, "scope", json!("window"));
            field::set(
                &mut detection,
                "run",
                json!(alert::time(timestamp(windows.run(index)))),
            );
        }
        Scope::Total => {
            field::set(&mut event, "action", json!("rule_total_summary"));
            field::set(&mut detection, "scope", json!("total"));
        }
    }
    json!({
        "@timestamp": alert::time(now),
        "message": numbers.sentence(rule, budget),
        "event": event,
        "rule": {"id": rule.rule_id, "uuid": rule.uuid, "name": rule.name},
        "telnet": {"detection": detection},
    })
}
