//! What the agents of a test say of events that they cannot know.
//!
//! The kernel skips a run of the probe's program that would interrupt another run of it on the same
//! processor, and counts it. An agent tells that number as `missed`; what the event was nobody can
//! say, and a test that waits for it has shown nothing about the agent.

use std::cell::RefCell;

use crate::process::Capture;

thread_local! {
    /// Logs of the agents that this thread's test has started.
    static LOGS: RefCell<Vec<Capture>> = const { RefCell::new(Vec::new()) };
}

/// Forgets the agents of the test before.
pub(crate) fn clear() {
    LOGS.take();
}

pub(super) fn keep(log: &Capture) {
    LOGS.with_borrow_mut(|logs| logs.push(log.clone()));
}

/// Lines of this thread's agents that tell of skipped runs.
pub(crate) fn skipped_runs() -> Vec<String> {
    LOGS.with_borrow(|logs| {
        let told = logs.iter().filter_map(|log| last(&log.text()));
        told.collect()
    })
}

fn last(log: &str) -> Option<String> {
    let tells = |line: &&str| {
        let mut words = line.split(' ');
        let count = words.find_map(|word| word.strip_prefix("missed="));
        count.is_some_and(|count| count != "0")
    };
    log.lines().rfind(tells).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_count_tells_of_skipped_runs() {
        let line = "INFO records were lost: comparing ledger=seen=3 missed=1 lost=0";
        let log = format!("INFO monitoring\n{line}\nINFO seen=9 missed=0 lost=0\n");
        assert_eq!(last(&log), Some(line.to_owned()));
        assert_eq!(last("INFO seen=9 missed=0 lost=0"), None);
    }
}
