//! Which session a process belongs to.
//!
//! A child of an acceptor is taken to serve the session that was accepted first and has nobody
//! yet: a server forks in the order in which it accepts. That is an assumption until it is known
//! who holds the socket, so what such processes do is kept, and told once they are confirmed.

mod family;
mod login;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use self::family::{Family, Input};
use super::{Activity, Fact, Program, Session, table::Table};
use crate::{
    clock::BootTime,
    probe::record::{Exec, Exit, Fork, SocketKey, Task},
};

/// How long the end of a session waits for its processes to end, which a hang-up of their
/// terminal makes most do at once.
const GRACE: Duration = Duration::from_millis(500);
/// Most sessions of one acceptor that wait for a process.
const MAX_UNSERVED: usize = 4_096;

/// Processes of sessions, by session.
#[derive(Debug)]
pub(super) struct Trees {
    members: Table<u32, SocketKey>,
    families: Table<SocketKey, Box<Family>>,
    /// By acceptor: its sessions that no child was made for yet, in the order of the accepts.
    unserved: HashMap<u32, VecDeque<SocketKey>>,
    /// Sessions whose socket is closed and that wait for their processes, by deadline.
    closing: VecDeque<(BootTime, SocketKey)>,
}

/// Something that the processes of a session did, and what is known of them then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) key: SocketKey,
    pub(super) time: BootTime,
    pub(super) activity: Activity,
    pub(super) what: What,
}

/// What processes did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Program(Program),
    Fact(Fact),
}

/// The end of a session's socket.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) session: Session,
    pub(super) fact: Fact,
    pub(super) time: BootTime,
}

impl Trees {
    /// Of at most so many processes and sessions.
    pub(super) fn new(processes: usize, sessions: usize) -> Self {
        Self {
            members: Table::new(processes),
            families: Table::new(sessions),
            unserved: HashMap::new(),
            closing: VecDeque::new(),
        }
    }

    /// `acceptor` has a session. Returns the ends of sessions that nobody follows any longer: of one
    /// that gave way, and of one whose socket had the same address, where sockets have no cookies.
    pub(super) fn accept(
        &mut self,
        key: SocketKey,
        acceptor: &Arc<Task>,
        time: BootTime,
    ) -> Vec<End> {
        let before = self.families.remove(&key);
        if let Some(family) = &before {
            self.is_served_by(family.acceptor().pid, key);
            self.closing.retain(|(_, closing)| *closing != key);
            self.release(key, family);
        }
        let queue = self.unserved.entry(acceptor.pid).or_default();
        if queue.len() >= MAX_UNSERVED {
            queue.pop_front();
        }
        queue.push_back(key);
        let family = Box::new(Family::new(key, acceptor, time));
        let evicted = self.families.insert(key, family);
        let over = before.into_iter().chain(evicted);
        over.filter_map(|mut family| family.take_end()).collect()
    }

    /// A tracked process made a child. Tells whether it is to be followed: a session with too many
    /// processes must not take the room of those of others.
    pub(super) fn fork(&mut self, fork: &Fork, time: BootTime) -> bool {
        let child = &fork.child;
        let Some(parent) = child.parent else {
            return true;
        };
        let Some(key) = self.first_unserved(parent).or_else(|| self.of(parent)) else {
            return true;
        };
        let mut is_followed = true;
        if let Some(family) = self.families.get_mut(&key) {
            is_followed = !family.is_full();
            // A fork alone says nothing: there are no steps.
            let steps = family.take(time, Input::Fork(Arc::new(child.clone())), fork.left_out);
            debug_assert!(steps.is_empty(), "a fork is no step");
        }
        if is_followed {
            self.members.insert(child.pid, key);
        }
        is_followed
    }

    /// A tracked process runs another program, `stdin` the session on its standard input.
    pub(super) fn exec(
        &mut self,
        exec: &Exec,
        task: &Arc<Task>,
        stdin: Option<SocketKey>,
        time: BootTime,
    ) -> Vec<Step> {
        let mut steps = Vec::new();
        if let Some(key) = stdin {
            if let Some(family) = self.families.get_mut(&key) {
                family.hand_on(task);
            }
            steps = self.confirm(key, task);
        }
        if let Some(family) = self.family_of(task.pid) {
            steps.extend(family.take(time, Input::exec(exec, task), exec.left_out));
        }
        steps
    }

    /// A tracked process ended. Also returns the end of a session that has waited for it.
    pub(super) fn exit(&mut self, exit: &Exit, time: BootTime) -> (Vec<Step>, Option<End>) {
        let pid = exit.task.pid;
        self.unserved.remove(&pid);
        let Some(key) = self.members.remove(&pid) else {
            return (Vec::new(), None);
        };
        let Some(family) = self.families.get_mut(&key) else {
            return (Vec::new(), None);
        };
        let steps = family.take(time, Input::Exit(pid, exit.status), exit.left_out);
        let end = family.is_deserted().then(|| family.take_end()).flatten();
        self.forget_if_over(key);
        (steps, end)
    }

    /// Whether it is known who serves a session.
    pub(super) fn is_confirmed(&self, key: SocketKey) -> bool {
        self.families
            .get(&key)
            .is_some_and(|family| family.is_confirmed())
    }

    /// The session that a process is taken for as long as it is not known who serves that, and when it
    /// was accepted.
    pub(super) fn unconfirmed(&self, pid: u32) -> Option<(SocketKey, BootTime)> {
        let key = self.of(pid)?;
        let family = self.families.get(&key)?;
        (!family.is_confirmed()).then(|| (key, family.accepted()))
    }

    /// It is known who serves a session: what its processes did so far can be told.
    pub(super) fn confirm(&mut self, key: SocketKey, handler: &Arc<Task>) -> Vec<Step> {
        let Some(family) = self.families.get_mut(&key) else {
            return Vec::new();
        };
        let is_acceptor = family.acceptor().pid == handler.pid;
        let (steps, strangers) = family.confirm(handler);
        if !is_acceptor
            && let Some(other) = self.members.replace(handler.pid, key)
            && other != key
            && let Some(family) = self.families.get_mut(&other)
        {
            family.disown(handler.pid);
            self.forget_if_over(other);
        }
        for pid in strangers {
            self.members.remove(&pid);
        }
        if !is_acceptor {
            self.is_served(key);
        }
        steps
    }

    /// The socket of a session is closed. Returns its end unless that waits for its processes.
    pub(super) fn close(&mut self, mut end: End) -> Option<End> {
        let key = end.session.key;
        self.is_served(key);
        let Some(family) = self.families.get_mut(&key) else {
            return Some(end);
        };
        if family.is_deserted() || !family.is_confirmed() {
            let family = self.families.remove(&key);
            end.session.activity = family
                .map(|family| family.unconfirmed())
                .unwrap_or_default();
            return Some(end);
        }
        self.closing.push_back((end.time.plus(GRACE), key));
        family.close(end);
        None
    }

    /// The sessions whose processes were waited for long enough, and those who are left.
    pub(super) fn overdue(&mut self, now: BootTime) -> Vec<End> {
        let mut ends = Vec::new();
        while let Some(&(deadline, key)) = self.closing.front()
            && deadline <= now
        {
            self.closing.pop_front();
            let family = self.families.get_mut(&key);
            ends.extend(family.and_then(|family| family.take_end()));
            self.forget_if_over(key);
        }
        ends
    }

    /// When [`Self::overdue`] has something to say.
    pub(super) fn deadline(&self) -> Option<BootTime> {
        self.closing.front().map(|(deadline, _)| *deadline)
    }

    /// What the processes of a session have done, as far as it is known that they are its.
    pub(super) fn activity(&self, key: SocketKey) -> Option<&Activity> {
        Some(&self.families.get(&key)?.activity)
    }

    /// A session whose socket is closed and that has processes left.
    pub(super) fn closed_session(&self, key: SocketKey) -> Option<&Session> {
        self.families.get(&key)?.closed_session()
    }

    fn of(&self, pid: u32) -> Option<SocketKey> {
        self.members.get(&pid).copied()
    }

    fn family_of(&mut self, pid: u32) -> Option<&mut Family> {
        let key = self.of(pid)?;
        self.families.get_mut(&key).map(AsMut::as_mut)
    }

    fn first_unserved(&mut self, acceptor: u32) -> Option<SocketKey> {
        let queue = self.unserved.get_mut(&acceptor)?;
        let key = queue.pop_front();
        if queue.is_empty() {
            self.unserved.remove(&acceptor);
        }
        key
    }

    /// No child of the acceptor is taken for this session's any more.
    fn is_served(&mut self, key: SocketKey) {
        if let Some(family) = self.families.get(&key) {
            self.is_served_by(family.acceptor().pid, key);
        }
    }

    fn is_served_by(&mut self, acceptor: u32, key: SocketKey) {
        if let Some(queue) = self.unserved.get_mut(&acceptor) {
            queue.retain(|waiting| *waiting != key);
            if queue.is_empty() {
                self.unserved.remove(&acceptor);
            }
        }
    }

    fn forget_if_over(&mut self, key: SocketKey) {
        let family = self.families.get(&key);
        if family.is_some_and(|family| family.is_over())
            && let Some(family) = self.families.remove(&key)
        {
            self.release(key, &family);
        }
    }

    /// The processes of a family that is not there any more are nobody's.
    fn release(&mut self, key: SocketKey, family: &Family) {
        for pid in family.pids() {
            if self.of(pid) == Some(key) {
                self.members.remove(&pid);
            }
        }
    }

    /// How many processes and sessions gave way so far.
    pub(super) const fn evicted(&self) -> u64 {
        self.members.evicted() + self.families.evicted()
    }

    /// How many processes and sessions are followed now.
    #[cfg(test)]
    pub(super) fn followed(&self) -> (usize, usize) {
        (self.members.values().len(), self.families.values().len())
    }
}
