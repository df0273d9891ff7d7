//! Who serves a session, as userspace finds out.

use std::sync::Arc;

use super::{Tracker, is_same_socket};
use crate::{
    clock::BootTime,
    probe::record::SocketKey,
    session::{
        Observation, Owner,
        handlers::{self, Check},
    },
};

impl Tracker {
    /// Names the process that holds the socket of a waiting session, as userspace found it, and
    /// reports the session. Who accepted stays unknown: the socket may have been handed on.
    pub fn attribute(&mut self, key: SocketKey, holder: Owner, out: &mut Vec<Observation>) {
        if let Some(entry) = self.entry(key) {
            entry.session.owners.handler = Some(holder);
            let opened = entry.session.opened;
            if let Some(opened) = opened {
                self.handlers.plan(key, opened);
            }
            self.report(key, out);
        }
    }

    /// Takes in that so many looks for holders were left out.
    pub fn put_off_looks(&mut self, looks: usize) {
        let looks = u64::try_from(looks).unwrap_or(u64::MAX);
        self.counters.put_off_looks = self.counters.put_off_looks.saturating_add(looks);
    }

    /// Looks at holders of sockets that are due now; each is to be answered with
    /// [`Self::settle`].
    pub fn checks(&mut self, now: BootTime) -> Vec<Check> {
        let due = self.handlers.due(now);
        due.into_iter()
            // The last one is for those that were undecided.
            .filter(|due| !due.is_last || !self.trees.is_confirmed(due.key))
            .filter_map(|due| {
                let entry = self.sessions.get(&due.key.address)?;
                let is_same = is_same_socket(entry.session.key, due.key);
                let check = || self.handlers.check(&entry.session, due.accepted, now);
                is_same.then(check).flatten()
            })
            .collect()
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
