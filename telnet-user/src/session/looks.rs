//! When to look for who holds a session's socket: a few times after the accept.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use crate::{clock::BootTime, probe::record::SocketKey};

/// When holders are looked up, after the accept.
const STEPS: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

/// A look for the holder of a session's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The session's socket.
    pub key: SocketKey,
    /// When the session was accepted.
    pub accepted: BootTime,
    step: usize,
}

impl Look {
    /// None follows.
    pub(super) const fn is_last(&self) -> bool {
        self.step + 1 == STEPS.len()
    }
}

/// The next look for each session, as far as one is planned.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// By the addresses of sockets, with when they are due.
    planned: HashMap<u64, (BootTime, Look)>,
    /// The same, in the order in which they are due.
    order: BTreeSet<(BootTime, u64)>,
}

impl Looks {
    /// Plans the looks of a session accepted at `time`, in the place of others for its socket.
    pub(super) fn plan(&mut self, key: SocketKey, time: BootTime) {
        let first = Look {
            key,
            accepted: time,
            step: 0,
        };
        self.put(first, time);
    }

    /// Plans looks from `now` on at a session accepted at `accepted`, unless one is planned already.
    pub(super) fn resume(&mut self, key: SocketKey, accepted: BootTime, now: BootTime) {
        if !self.planned.contains_key(&key.address) {
            let first = Look {
                key,
                accepted,
                step: 0,
            };
            self.put(first, now);
        }
    }

    /// Plans the look after one that is done, unless that was the last.
    pub(super) fn plan_next(&mut self, done: Look, now: BootTime) {
        let step = done.step + 1;
        self.put(Look { step, ..done }, now);
    }

    /// `last` is when the step before was done: looks that are late are still apart.
    fn put(&mut self, look: Look, last: BootTime) {
        self.forget(look.key);
        let Some(&delay) = STEPS.get(look.step) else {
            return;
        };
        let before = look.step.checked_sub(1).and_then(|step| STEPS.get(step));
        let pause = delay.saturating_sub(before.copied().unwrap_or_default());
        let due = look.accepted.plus(delay).max(last.plus(pause));
        self.planned.insert(look.key.address, (due, look));
        self.order.insert((due, look.key.address));
    }

    /// Forgets the look for a socket that is closed.
    pub(super) fn forget(&mut self, key: SocketKey) {
        if let Some((due, _)) = self.planned.remove(&key.address) {
            self.order.remove(&(due, key.address));
        }
    }

    /// When the next look is due.
    pub(super) fn deadline(&self) -> Option<BootTime> {
        self.order.first().map(|(due, _)| *due)
    }

    /// Takes out a look that is due.
    pub(super) fn take(&mut self, now: BootTime) -> Option<Look> {
        let (_, address) = *self.order.first().filter(|(due, _)| *due <= now)?;
        self.order.pop_first();
        let (_, look) = self.planned.remove(&address)?;
        Some(look)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: BootTime = BootTime::from_nanos(0);

    const fn key(address: u64) -> SocketKey {
        SocketKey {
            address,
            cookie: None,
        }
    }

    #[test]
    fn late_looks_are_apart() {
        let mut looks = Looks::default();
        looks.plan(key(1), START);
        let mut now = START.plus(Duration::from_mins(1));
        let mut pauses = Vec::new();
        for number in 1..=STEPS.len() {
            let look = looks.take(now).expect("a look");
            assert_eq!(looks.take(now), None, "look {number}");
            assert_eq!(look.is_last(), number == STEPS.len());
            looks.plan_next(look, now);
            if let Some(next) = looks.deadline() {
                pauses.push(next.since(now).as_millis());
                now = next;
            }
        }
        assert_eq!(pauses, [230, 750, 2_000]);
        assert_eq!(looks.deadline(), None);
    }

    #[test]
    fn one_look_is_planned_for_each_socket() {
        let mut looks = Looks::default();
        let later = START.plus(Duration::from_secs(1));
        for address in 0..100 {
            looks.plan(key(address), START);
            looks.plan(key(address), later);
        }
        assert_eq!((looks.planned.len(), looks.order.len()), (100, 100));
        let due = later.plus(Duration::from_millis(20));
        assert_eq!(looks.deadline(), Some(due));
        assert_eq!(looks.take(later), None);
        let look = looks.take(due).expect("a look");
        assert_eq!((look.key, look.accepted), (key(0), later));
        for address in 0..100 {
            looks.forget(key(address));
        }
        assert_eq!((looks.planned.len(), looks.order.len()), (0, 0));
    }
}
