//! The ledgers that the agent writes to its log when it ends: what became of the kernel's events,
//! and of what was observed in them.

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
        Self::with(["seen=", "submitted="], log)
    }

    /// What became of the observations: the last such line in a log.
    pub fn of_observations(log: &str) -> Result<Self> {
        Self::with(["observed=", "told="], log)
    }

    fn with(words: [&str; 2], log: &str) -> Result<Self> {
        let line = log
            .lines()
            .map(without_escapes)
            .rfind(|line| words.iter().all(|word| line.contains(word)))
            .with_context(|| format!("no ledger with {words:?} in the log:\n{log}"))?;
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

impl Ledger {
    /// Observations that were shed, for whatever reason.
    pub fn shed(&self) -> Result<u64> {
        Ok(self.get("shed_source")? + self.get("shed_shared")?)
    }

    /// Fails unless each observation was told, said nothing or was shed, and those that were told
    /// after all are counted twice.
    pub fn must_account_for_all(&self) -> Result<()> {
        let given = self.get("observed")? + self.get("recalled")?;
        let taken = self.get("told")? + self.get("unsaid")? + self.shed()?;
        ensure!(
            given == taken,
            "not all observations are accounted for: {self:?}"
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

    #[test]
    fn observations_are_told_silent_or_shed() {
        let log =
            "INFO observations: observed=9 recalled=1 told=4 unsaid=1 shed_source=3 shed_shared=2";
        let observations = Ledger::of_observations(log).unwrap();
        observations.must_account_for_all().unwrap();
        assert_eq!(observations.shed().unwrap(), 5);
        let log = log.replace("recalled=1", "recalled=0");
        let observations = Ledger::of_observations(&log).unwrap();
        assert!(observations.must_account_for_all().is_err());
    }
}
