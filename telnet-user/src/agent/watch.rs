//! Rounds of the canary while the agent runs, and what a failed one says about the probe.

use std::{fmt, io, time::Duration};

use tokio::{
    sync::{
        mpsc::{Receiver, Sender, channel},
        oneshot,
    },
    time::sleep,
};
use tracing::{error, info, warn};

use crate::{
    canary::{Canary, Failure, Port},
    health::CanaryReport,
    probe::Ledger,
};

/// What the canary says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// No round has ended yet.
    Unknown,
    /// There is none.
    Absent {
        /// Why.
        reason: String,
    },
    /// The last session came out.
    Alive {
        /// From its opening to the output.
        took: Duration,
    },
    /// The last session did not come out as it should.
    Degraded {
        /// What was missing, and what the kernel's counters say of it.
        reason: String,
    },
}

impl State {
    /// The same as health documents tell it.
    pub fn report(&self) -> CanaryReport {
        let (status, took, reason) = match self {
            Self::Unknown => ("unknown", None, None),
            Self::Absent { reason } => ("absent", None, Some(reason.clone())),
            Self::Alive { took } => ("alive", Some(*took), None),
            Self::Degraded { reason } => ("degraded", None, Some(reason.clone())),
        };
        CanaryReport {
            status,
            took,
            reason,
        }
    }
}

/// One step of a round.
#[derive(Debug)]
pub enum Step {
    /// A round is about to start, and does when this is answered: a session that is opened before
    /// the counters are read is in none of their differences.
    Starting(oneshot::Sender<()>),
    /// A round has ended.
    Ended(Result<Duration, Failure>),
}

/// The rounds, and what came of them.
#[derive(Debug)]
pub struct Watch {
    steps: Receiver<Step>,
    /// Absent without a canary.
    port: Option<Port>,
    before: Ledger,
    state: State,
}

impl Watch {
    /// Starts rounds, the first one at once.
    pub fn start(canary: Canary) -> Self {
        let (sender, steps) = channel(1);
        let port = Some(canary.port());
        tokio::spawn(rounds(canary, sender));
        Self {
            steps,
            port,
            before: Ledger::default(),
            state: State::Unknown,
        }
    }

    /// Without a canary, because of `error`.
    pub fn absent(error: &io::Error) -> Self {
        let reason = error.to_string();
        warn!(
            reason,
            "no canary: if the probe goes blind, nothing says so"
        );
        let (_, steps) = channel(1);
        Self {
            steps,
            port: None,
            before: Ledger::default(),
            state: State::Absent { reason },
        }
    }

    /// What the last round said.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// From now on sessions are opened on `port`.
    pub fn set_port(&self, port: u16) {
        if let Some(present) = &self.port {
            present.set(port);
        }
    }

    /// The next step; never when there is no canary.
    pub async fn step(&mut self) -> Step {
        match self.steps.recv().await {
            Some(step) => step,
            None => std::future::pending().await,
        }
    }

    /// Takes in a step, with the ledger as it is now.
    pub fn take(&mut self, step: Step, now: &Ledger) {
        let state = match step {
            Step::Starting(go) => {
                self.before = *now;
                // Unheard at the agent's end, when the rounds have ended before.
                let _unheard = go.send(());
                return;
            }
            Step::Ended(Ok(took)) => State::Alive { took },
            Step::Ended(Err(failure)) => State::Degraded {
                reason: reason(&failure, &self.before, now),
            },
        };
        match (&self.state, &state) {
            (State::Degraded { .. }, State::Alive { .. }) => {
                info!("the canary session came out again");
            }
            (_, State::Alive { took }) if self.state == State::Unknown => {
                info!(?took, "the canary session came out");
            }
            (old, State::Degraded { reason }) if old != &state => error!(reason, "degraded"),
            _ => {}
        }
        self.state = state;
    }
}

async fn rounds(mut canary: Canary, steps: Sender<Step>) {
    loop {
        let (go, begun) = oneshot::channel();
        if steps.send(Step::Starting(go)).await.is_err() || begun.await.is_err() {
            return;
        }
        let port = canary.port().get();
        let outcome = canary.round().await;
        if outcome.is_err() && canary.port().get() != port {
            // Its port was given up meanwhile, which says nothing.
            continue;
        }
        if steps.send(Step::Ended(outcome)).await.is_err() {
            return;
        }
        sleep(canary.pause()).await;
    }
}

/// What failed and where it was lost, as far as the counters before and after tell.
pub fn reason(failure: &Failure, before: &Ledger, after: &Ledger) -> String {
    match failure {
        Failure::Missing(_) => format!("{failure}: {}", Lost::between(before, after)),
        Failure::NotOpened(_) | Failure::WrongProcess { .. } => failure.to_string(),
    }
}

/// Where a session was lost on its way to the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    Unseen,
    Filtered,
    Dropped,
    Unread,
    Later,
}

impl Lost {
    const fn between(before: &Ledger, after: &Ledger) -> Self {
        if after.state_changes() == before.state_changes() {
            Self::Unseen
        } else if after.dropped_ring_full > before.dropped_ring_full {
            Self::Dropped
        } else if after.submitted == before.submitted {
            Self::Filtered
        } else if after.received < after.submitted {
            Self::Unread
        } else {
            Self::Later
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unseen => {
                "the kernel did not run the probe's program, which may have been unloaded; restart \
                 the agent"
            }
            Self::Filtered => {
                "the kernel's port filter rejects it, which may have been changed by others; \
                 restart the agent"
            }
            Self::Dropped => "the ring buffer is full; more is reported than the agent can take",
            Self::Unread => "the agent is behind with what the kernel reported",
            Self::Later => "it was reported by the kernel, and lost in the agent or still waiting",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canary::Namespace;

    fn ledger(seen: u64, submitted: u64, dropped_ring_full: u64, received: u64) -> Ledger {
        Ledger {
            seen,
            filtered: seen - submitted - dropped_ring_full,
            submitted,
            dropped_ring_full,
            received,
            ..Ledger::default()
        }
    }

    #[test]
    fn where_a_session_was_lost_is_told_by_the_counters() {
        let before = ledger(100, 50, 1, 50);
        for (after, expected) in [
            (ledger(100, 50, 1, 50), Lost::Unseen),
            // The other programs still run.
            (
                Ledger {
                    seen_calls: 2,
                    ..ledger(102, 52, 1, 52)
                },
                Lost::Unseen,
            ),
            (ledger(108, 50, 1, 50), Lost::Filtered),
            (ledger(108, 50, 9, 50), Lost::Dropped),
            (ledger(108, 58, 1, 50), Lost::Unread),
            (ledger(108, 58, 1, 58), Lost::Later),
        ] {
            assert_eq!(Lost::between(&before, &after), expected);
        }
    }

    #[tokio::test]
    async fn no_session_is_opened_before_the_counters_were_read() {
        let (sender, steps) = channel(1);
        let namespace = if rustix::process::geteuid().is_root() {
            Namespace::create().expect("a namespace")
        } else {
            eprintln!("skipped: only root may make a network namespace");
            return;
        };
        let (canary, _seen) = Canary::new(namespace, 23, false);
        tokio::spawn(rounds(canary, sender));
        let mut watch = Watch {
            steps,
            port: None,
            before: Ledger::default(),
            state: State::Unknown,
        };
        let step = watch.step().await;
        assert!(matches!(step, Step::Starting(_)), "{step:?}");
        // Nobody reads them, so there is no session either.
        drop(step);
        assert!(watch.steps.recv().await.is_none());
    }

    #[test]
    fn a_session_that_was_not_opened_says_nothing_of_the_probe() {
        let failure = Failure::NotOpened(io::Error::from_raw_os_error(24));
        let same = ledger(1, 1, 0, 1);
        let text = reason(&failure, &same, &same);
        assert!(text.contains("could not be opened") && !text.contains("unloaded"));
    }
}
