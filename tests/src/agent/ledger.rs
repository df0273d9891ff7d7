//! The ledger that the agent writes to its log when it ends.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

/// Counters by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    counters: BTreeMap<String, u64>,
}

impl Ledger {
    /// The last ledger in a log: the line with `seen=` and `submitted=`. Other `key=value`
    /// pairs and terminal colours are passed over.
    pub fn parse(log: &str) -> Result<Self> {
        let line = log
            .lines()
            .map(without_escapes)
            .rfind(|line| line.contains("seen=") && line.contains("submitted="))
            .with_context(|| format!("no ledger in the log:\n{log}"))?;
        let pairs = line.split_whitespace().filter_map(|word| {
            let (key, value) = word.split_once('=')?;
            Some((
                key.to_owned(),
                value.trim_end_matches([',', ';']).parse().ok()?,
            ))
        });
        Ok(Self {
            counters: pairs.collect(),
        })
    }

    /// One counter.
    pub fn get(&self, name: &str) -> Result<u64> {
        self.counters
            .get(name)
            .copied()
            .with_context(|| format!("no {name} in {self:?}"))
    }

    /// Records that the kernel side could not hand over, for whatever reason.
    pub fn dropped(&self) -> u64 {
        let dropped = self
            .counters
            .iter()
            .filter(|(name, _)| name.starts_with("dropped"));
        dropped.map(|(_, count)| count).sum()
    }

    /// Fails unless nothing is missing: seen = filtered + submitted + dropped, and
    /// submitted = received. `lost` counts sequence numbers that never came, which are those of
    /// records that were dropped.
    pub fn must_add_up(&self) -> Result<()> {
        let (seen, filtered) = (self.get("seen")?, self.get("filtered")?);
        let submitted = self.get("submitted")?;
        ensure!(
            seen == filtered + submitted + self.dropped(),
            "seen is not filtered + submitted + dropped: {self:?}"
        );
        ensure!(
            submitted == self.get("received")?,
            "submitted is not received: {self:?}"
        );
        ensure!(
            self.get("lost")? <= self.dropped(),
            "more lost than dropped: {self:?}"
        );
        Ok(())
    }
}

/// The line without `ESC [ … letter` sequences.
fn without_escapes(line: &str) -> String {
    let mut text = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            text.push(c);
        } else if chars.next() == Some('[') {
            chars.by_ref().find(char::is_ascii_alphabetic);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ledger_is_read_through_colours() {
        let log = "2026-01-01 INFO ledger: seen=1 filtered=1 submitted=0\n\
            INFO \u{1b}[3mledger\u{1b}[0m: \u{1b}[3mseen\u{1b}[0m=10 filtered=4 submitted=5, \
            dropped_ring_full=1 received=5 lost=0 uptime=3.2s\n\
            bye\n";
        let ledger = Ledger::parse(log).unwrap();
        assert_eq!((ledger.get("seen").unwrap(), ledger.dropped()), (10, 1));
        ledger.must_add_up().unwrap();
        assert!(ledger.get("uptime").is_err());
    }

    #[test]
    fn a_ledger_with_a_gap_is_refused() {
        for log in [
            "seen=10 filtered=4 submitted=5 dropped_ring_full=0 received=5 lost=0",
            "seen=9 filtered=4 submitted=5 dropped_ring_full=0 received=4 lost=0",
            "seen=9 filtered=4 submitted=5 received=5",
        ] {
            assert!(Ledger::parse(log).unwrap().must_add_up().is_err(), "{log}");
        }
        assert!(Ledger::parse("nothing here").is_err());
    }
}
