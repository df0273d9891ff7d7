//! Who serves an accepted session: the process that holds its socket after fork and exec.
//!
//! inetd, xinetd and systemd accept and hand the socket to a child; a forking server keeps it in
//! the child; busybox telnetd serves by itself. The kernel reports forks and execs of acceptors
//! and their descendants; which of them holds the socket is looked up a few times after the
//! accept, since a child holds copies of everything until it closes or replaces them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{Attribution, Owner, Session, table::Table};
use crate::{
    clock::BootTime,
    probe::record::{SocketKey, Task},
};

/// When holders are looked up, after the accept.
const CHECKS: [Duration; 3] = [
    Duration::from_millis(20),
    Duration::from_millis(250),
    Duration::from_secs(1),
];
/// Most checks done at once, so that a flood of sessions does not keep the pipeline from records.
const CHECKS_AT_ONCE: usize = 64;

/// A look at who holds a session's socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The session's socket.
    pub key: SocketKey,
    /// Its inode number, 0 when not known.
    pub inode: u64,
    /// Processes that may hold it: the acceptor first, then what it made since the accept. None
    /// when no hook told who accepted: then anybody may.
    pub candidates: Vec<Arc<Task>>,
}

/// Descendants of acceptors, and the checks that are planned.
#[derive(Debug)]
pub(super) struct Handlers {
    processes: Table<u32, Process>,
    planned: BTreeSet<Planned>,
}

#[derive(Debug)]
struct Process {
    task: Arc<Task>,
    parent: Option<u32>,
    forked: BootTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Planned {
    due: BootTime,
    address: u64,
    cookie: Option<u64>,
    accepted: BootTime,
    step: usize,
}

impl Handlers {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            processes: Table::new(capacity),
            planned: BTreeSet::new(),
        }
    }

    /// A tracked process made a child.
    pub(super) fn fork(&mut self, child: &Task, time: BootTime) {
        let process = Process {
            parent: child.parent,
            forked: time,
            task: Arc::new(child.clone()),
        };
        self.processes.insert(process.task.pid, process);
    }

    /// A tracked process runs another program.
    pub(super) fn exec(&mut self, task: &Arc<Task>) {
        if let Some(process) = self.processes.get_mut(&task.pid) {
            process.task = Arc::clone(task);
        }
    }

    /// A tracked process ended.
    pub(super) fn exit(&mut self, pid: u32) {
        self.processes.remove(&pid);
    }

    /// Plans the checks of a session accepted at `time`.
    pub(super) fn plan(&mut self, key: SocketKey, time: BootTime) {
        self.plan_step(key, time, 0);
    }

    fn plan_step(&mut self, key: SocketKey, accepted: BootTime, step: usize) {
        if let Some(&delay) = CHECKS.get(step) {
            self.planned.insert(Planned {
                due: accepted.plus(delay),
                address: key.address,
                cookie: key.cookie,
                accepted,
                step,
            });
        }
    }

    /// When the next check is due.
    pub(super) fn deadline(&self) -> Option<BootTime> {
        self.planned.first().map(|planned| planned.due)
    }

    /// The sockets whose check is due, with the time of the accept; each is planned again until
    /// its last check.
    pub(super) fn due(&mut self, now: BootTime) -> Vec<(SocketKey, BootTime)> {
        let mut due = Vec::new();
        while due.len() < CHECKS_AT_ONCE
            && let Some(planned) = self.planned.first().copied()
            && planned.due <= now
        {
            self.planned.remove(&planned);
            let key = SocketKey {
                address: planned.address,
                cookie: planned.cookie,
            };
            self.plan_step(key, planned.accepted, planned.step + 1);
            due.push((key, planned.accepted));
        }
        due
    }

    /// The check of a session, unless its handler was seen in the kernel.
    pub(super) fn check(&self, session: &Session, accepted: BootTime) -> Option<Check> {
        if let Some(handler) = &session.owners.handler
            && handler.source == Attribution::Exec
        {
            return None;
        }
        let acceptor = session.owners.acceptor.as_ref();
        Some(Check {
            key: session.key,
            inode: session.inode.unwrap_or_default(),
            candidates: acceptor.map_or_else(Vec::new, |acceptor| {
                self.candidates(&acceptor.task, accepted)
            }),
        })
    }

    fn candidates(&self, acceptor: &Arc<Task>, accepted: BootTime) -> Vec<Arc<Task>> {
        let descendants = self
            .processes
            .values()
            .filter(|process| process.forked >= accepted)
            .filter(|process| self.descends(process, acceptor.pid))
            .map(|process| Arc::clone(&process.task));
        std::iter::once(Arc::clone(acceptor))
            .chain(descendants)
            .collect()
    }

    fn descends(&self, process: &Process, ancestor: u32) -> bool {
        let mut parent = process.parent;
        // A chain is never longer than the table, and real ones are short.
        for _ in 0..16 {
            match parent {
                Some(pid) if pid == ancestor => return true,
                Some(pid) => {
                    parent = self.processes.get(&pid).and_then(|process| process.parent);
                }
                None => return false,
            }
        }
        false
    }
}

/// The handler among the candidates that hold the socket: a descendant before the acceptor, and
/// the topmost of several, since children of the handler may hold copies. `None` when nobody
/// holds it or when two unrelated descendants do.
pub(super) fn choose(candidates: &[Arc<Task>], holders: &[u32]) -> Option<Owner> {
    let (acceptor, descendants) = candidates.split_first()?;
    let holds = |task: &Task| holders.contains(&task.pid);
    let mut topmost = descendants
        .iter()
        .filter(|task| holds(task))
        .filter(|task| {
            !descendants
                .iter()
                .any(|other| task.parent == Some(other.pid) && holds(other))
        });
    let handler = match (topmost.next(), topmost.next()) {
        (Some(only), None) => only,
        (None, _) if holds(acceptor) => acceptor,
        (Some(_), Some(_)) | (None, _) => return None,
    };
    Some(Owner {
        task: Arc::clone(handler),
        source: Attribution::Held,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(pid: u32, parent: u32) -> Task {
        Task {
            pid,
            tid: pid,
            uid: 0,
            gid: 0,
            start: None,
            comm: "x".to_owned(),
            parent: Some(parent),
            cgroup: None,
            args: None,
        }
    }

    #[test]
    fn the_topmost_descendant_that_holds_the_socket_serves_it() {
        // 1 made 2, which made 3; 4 is another child of 1.
        let candidates: Vec<Arc<Task>> = [(1, 0), (2, 1), (3, 2), (4, 1)]
            .map(|(pid, parent)| Arc::new(task(pid, parent)))
            .into();
        for (holders, expected) in [
            (vec![1], Some(1)),
            (vec![2], Some(2)),
            (vec![1, 2], Some(2)),
            (vec![2, 3], Some(2)),
            (vec![3], Some(3)),
            (vec![2, 4], None),
            (vec![], None),
            (vec![99], None),
        ] {
            let chosen = choose(&candidates, &holders).map(|owner| owner.task.pid);
            assert_eq!(chosen, expected, "{holders:?}");
        }
    }

    #[test]
    fn checks_come_three_times_and_not_all_at_once() {
        let mut handlers = Handlers::new(16);
        let accepted = BootTime::from_nanos(0);
        for address in 0..100 {
            let key = SocketKey {
                address,
                cookie: None,
            };
            handlers.plan(key, accepted);
        }
        assert_eq!(handlers.due(BootTime::from_nanos(1)).len(), 0);
        let later = accepted.plus(Duration::from_millis(20));
        assert_eq!(handlers.deadline(), Some(later));
        assert_eq!(handlers.due(later).len(), CHECKS_AT_ONCE);
        assert_eq!(handlers.due(later).len(), 100 - CHECKS_AT_ONCE);
        let mut total = 100;
        let end = accepted.plus(Duration::from_secs(2));
        loop {
            let due = handlers.due(end).len();
            if due == 0 {
                break;
            }
            total += due;
        }
        assert_eq!(total, 300);
        assert_eq!(handlers.deadline(), None);
    }
}
