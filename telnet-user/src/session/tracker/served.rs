//! Who serves a session, as userspace finds out.

use std::sync::Arc;

use super::Tracker;
use crate::{
    clock::BootTime,
    probe::record::SocketKey,
    session::{
        Attribution, Observation, Owner, Session,
        handlers::{self, Check},
        looks::Look,
    },
};

/// Most looks done at once, so that a flood of sessions does not keep the pipeline from records.
const LOOKS_AT_ONCE: usize = 64;

impl Tracker {
    /// Names the process that holds the socket of a waiting session, as userspace found it, and
    /// reports the session. Who accepted stays unknown: the socket may have been handed on.
    pub fn attribute(&mut self, key: SocketKey, holder: Owner, out: &mut Vec<Observation>) {
        if let Some(entry) = self.entry(key) {
            entry.session.owners.handler = Some(holder);
            let opened = entry.session.opened;
            if let Some(opened) = opened {
                self.looks.plan(key, opened);
            }
            self.report(key, opened.unwrap_or_default(), out);
        }
    }

    /// Takes in that so many looks for holders were left out.
    pub fn put_off_looks(&mut self, looks: usize) {
        let looks = u64::try_from(looks).unwrap_or(u64::MAX);
        self.counters.put_off_looks = self.counters.put_off_looks.saturating_add(looks);
    }

    /// Plans looks for the holder of a session that was reported without acceptor, but may have
    /// one.
    pub(super) fn look_again(&mut self, key: SocketKey) {
        let may_have = |session: &&Session| session.owners.acceptor.is_none();
        if self.limits.look_after.is_some()
            && let Some(session) = self.session(key).filter(may_have)
            && let Some(opened) = session.opened
        {
            self.looks.plan(key, opened);
        }
    }

    /// Takes out the looks that are due, each to be made with [`Self::checks`]; those that follow
    /// them are planned.
    pub fn due(&mut self, now: BootTime) -> Vec<Look> {
        let mut due = Vec::new();
        while due.len() < LOOKS_AT_ONCE
            && let Some(look) = self.looks.take(now)
        {
            if self.is_undecided(&look) {
                self.looks.plan_next(look, now);
                due.push(look);
            }
        }
        due
    }

    /// Whether a look can say who serves its session: the kernel did not, and the last look is for
    /// those of which it is not known yet.
    fn is_undecided(&self, look: &Look) -> bool {
        let is_open = |session: &Session| {
            let handler = session.owners.handler.as_ref();
            handler.is_none_or(|handler| handler.source != Attribution::Exec)
        };
        self.session(look.key).is_some_and(is_open)
            && !(look.is_last() && self.trees.is_confirmed(look.key))
    }

    /// What to look at for each of these; each is to be answered with [`Self::settle`].
    pub fn checks(&self, looks: &[Look], now: BootTime) -> Vec<Check> {
        let check = |look: &Look| {
            let session = self.session(look.key)?;
            Some(self.handlers.check(session, look.accepted, now))
        };
        looks.iter().filter_map(check).collect()
    }

    /// Takes in who of a check's candidates holds the socket, and tells what that makes certain.
    pub fn settle(&mut self, check: &Check, holders: &[u32], out: &mut Vec<Observation>) {
        if let Some(handler) = handlers::choose(&check.candidates, holders) {
            let task = Arc::clone(&handler.task);
            self.set_handler(check.key, handler);
            self.confirm(check.key, &task, out);
        }
    }

    /// Names the process that serves a session.
    pub fn set_handler(&mut self, key: SocketKey, handler: Owner) {
        if let Some(entry) = self.entry(key) {
            entry.session.owners.handler = Some(handler);
        }
    }
}
