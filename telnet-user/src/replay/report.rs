//! What a replay came to, as a table.

use std::fmt;

use crate::rules::{Numbers, Rule};

/// Columns of the table before the name of the rule.
const COLUMNS: [&str; 7] = [
    "matched",
    "excepted",
    "duplicate",
    "alerted",
    "suppressed",
    "capped",
    "unsearched",
];

/// The numbers of every rule, for a person.
///
/// `matched` is the sum of the others but for `unsearched`, which counts events that match but
/// that no run searches: without a time, or too late. `suppressed` joined an alert (alert
/// suppression), `capped` made none because the run had its most alerts.
#[derive(Clone, Debug)]
pub struct Report<'r> {
    /// What became of the matches of each rule.
    pub rules: Vec<(&'r Rule, Numbers)>,
    /// Events that are older than one before them.
    pub disordered: u64,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for column in COLUMNS {
            write!(f, "{column:>10}  ")?;
        }
        write!(f, "rule")?;
        for (rule, numbers) in &self.rules {
            writeln!(f)?;
            for count in [
                numbers.matched,
                numbers.excepted,
                numbers.duplicates,
                numbers.alerted,
                numbers.suppressed,
                numbers.dropped,
                numbers.unsearched,
            ] {
                write!(f, "{count:>10}  ")?;
            }
            write!(f, "{}", rule.name)?;
        }
        for (rule, numbers) in &self.rules {
            if numbers.overflowed > 0 {
                write!(
                    f,
                    "\n{}: {} of the capped ones had no room to wait for their run",
                    rule.name, numbers.overflowed
                )?;
            }
            if numbers.evicted > 0 {
                write!(
                    f,
                    "\n{}: {} alerts took in no more events before their time, for want of room",
                    rule.name, numbers.evicted
                )?;
            }
        }
        let lost = |(_, numbers): &&(&Rule, Numbers)| numbers.overflowed + numbers.unsearched > 0;
        if self.disordered > 0 && self.rules.iter().any(|rule| lost(&rule)) {
            write!(
                f,
                "\n{} events are older than one before them: sorted by time, more of the capped or \
                 unsearched ones may alert",
                self.disordered
            )?;
        }
        Ok(())
    }
}
