//! Who serves a session: asked of the system at the right moments.

use std::{collections::HashMap, time::Duration};

use super::{Enrich, Now, Pipeline};
use crate::{clock::BootTime, session::Session};

/// Time between two looks for the holder of a socket; the wait itself is bounded by
/// [`crate::session::tracker::Limits::acceptor_wait`].
const LOOK_EVERY: Duration = Duration::from_millis(10);

impl<E: Enrich> Pipeline<E> {
    /// Finds out who serves the sessions accepted a moment ago.
    pub(super) fn check_handlers(&mut self, now: &Now) {
        let due = self.tracker.due(now.boot);
        if due.is_empty() {
            return;
        }
        // Made only if there is time for them: thousands of processes may be candidates.
        let checks = || self.tracker.checks(&due, now.boot);
        let Some(checked) = self.enrich.holders(&checks) else {
            self.tracker.put_off_looks(due.len());
            return;
        };
        let mut handed_on = Vec::new();
        for (check, holders) in checked {
            if holders.is_empty() {
                handed_on.extend(self.tracker.session(check.key).cloned());
            } else {
                self.tracker
                    .settle(&check, &holders, &mut self.observations);
            }
        }
        if handed_on.is_empty() {
            return;
        }
        // To a process that is no descendant of the acceptor, over a unix socket.
        let Some(owners) = self.enrich.find_owners(&handed_on) else {
            self.tracker.put_off_looks(handed_on.len());
            return;
        };
        for (session, owner) in handed_on.iter().zip(owners) {
            if let Some(owner) = owner {
                // It may be gone when the session's end is reported.
                self.enrich.learn(&owner.task);
                self.tracker.set_handler(session.key, owner);
            }
        }
    }

    fn awaiting(&self) -> impl Iterator<Item = &Session> {
        let canary = self.options.canary;
        let all = self.tracker.awaiting();
        all.filter(move |session| !canary.is_own(session))
    }

    /// When the oldest of the waiting sessions is due to be looked at.
    pub(super) fn first_look(&self) -> Option<BootTime> {
        let after = self.options.limits.look_after?;
        let session = self.awaiting().next()?;
        session.opened.map(|opened| opened.plus(after))
    }

    /// Who holds the socket of a waiting session at two looks in a row serves it. One look would
    /// name a child between fork and exec, which holds whatever its parent does.
    pub(super) fn look_for_holders(&mut self, now: &Now) {
        if self.next_look.is_none_or(|due| due > now.boot) {
            return;
        }
        let after = self.options.limits.look_after.unwrap_or_default();
        let is_due = |session: &&Session| {
            let opened = session.opened;
            opened.is_none_or(|opened| opened.plus(after) <= now.boot)
        };
        let waiting: Vec<Session> = self.awaiting().filter(is_due).cloned().collect();
        let again = now.boot.plus(LOOK_EVERY);
        self.next_look = self.first_look().map(|first| first.max(again));
        let Some(owners) = self.enrich.find_owners(&waiting) else {
            self.tracker.put_off_looks(waiting.len());
            return;
        };
        let mut seen = HashMap::with_capacity(waiting.len());
        for (session, owner) in waiting.iter().zip(owners) {
            let Some(owner) = owner else {
                continue;
            };
            if self.holders.get(&session.key) == Some(&owner.task.pid) {
                self.tracker
                    .attribute(session.key, owner, &mut self.observations);
            } else {
                seen.insert(session.key, owner.task.pid);
            }
        }
        self.holders = seen;
        self.next_look = self.first_look().map(|first| first.max(again));
    }
}
