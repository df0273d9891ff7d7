//! Who serves an accepted session: the process that holds its socket after fork and exec.
//!
//! inetd, xinetd and systemd accept and hand the socket to a child; a forking server keeps it in
//! the child; busybox telnetd serves by itself. The kernel reports forks and execs of acceptors
//! and their descendants; which of them holds the socket is looked up a few times after the
//! accept, since a child holds copies of everything until it closes or replaces them. While it has
//! not come to exec, and its parent holds the socket too, it may be anybody's: a server that serves
//! many sessions forks a child for each, and each child has copies of the sockets of all others.

use std::{sync::Arc, time::Duration};

use super::{Attribution, Owner, Session, table::Table};
use crate::{
    clock::BootTime,
    probe::record::{SocketKey, Task},
};

/// A child that has not come to exec for this long is hardly going to: it serves by itself.
const EXEC_PATIENCE: Duration = Duration::from_secs(2);

/// A look at who holds a session's socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The session's socket.
    pub key: SocketKey,
    /// Its inode number, 0 when not known.
    pub inode: u64,
    /// Processes that may hold it: the acceptor first, then what it made since the accept. None
    /// when no hook told who accepted: then anybody may.
    pub candidates: Vec<Candidate>,
}

/// A process that may hold a session's socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The process.
    pub task: Arc<Task>,
    /// How far it has come.
    pub stage: Stage,
}

/// How far a process has come since it was forked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// What it holds may be copies.
    Forked,
    /// The same, but it had the time to close them: it serves by itself, or is slow.
    Late,
    /// It runs a program of its own, and holds what it is meant to.
    Program,
}

/// Descendants of acceptors.
#[derive(Debug)]
pub(super) struct Handlers {
    processes: Table<u32, Process>,
}

#[derive(Debug)]
struct Process {
    task: Arc<Task>,
    parent: Option<u32>,
    forked: BootTime,
    has_program: bool,
}

impl Process {
    fn stage(&self, now: BootTime) -> Stage {
        if self.has_program {
            Stage::Program
        } else if now.since(self.forked) >= EXEC_PATIENCE {
            Stage::Late
        } else {
            Stage::Forked
        }
    }
}

impl Handlers {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            processes: Table::new(capacity),
        }
    }

    /// A tracked process made a child.
    pub(super) fn fork(&mut self, child: &Task, time: BootTime) {
        let process = Process {
            parent: child.parent,
            forked: time,
            has_program: false,
            task: Arc::new(child.clone()),
        };
        self.processes.insert(process.task.pid, process);
    }

    /// A tracked process runs another program.
    pub(super) fn exec(&mut self, task: &Arc<Task>) {
        if let Some(process) = self.processes.get_mut(&task.pid) {
            process.task = Arc::clone(task);
            process.has_program = true;
        }
    }

    /// A tracked process ended.
    pub(super) fn exit(&mut self, pid: u32) {
        self.processes.remove(&pid);
    }

    /// How many gave way so far.
    pub(super) const fn evicted(&self) -> u64 {
        self.processes.evicted()
    }

    /// Who may hold the socket of a session that was accepted then.
    pub(super) fn check(&self, session: &Session, accepted: BootTime, now: BootTime) -> Check {
        let acceptor = session.owners.acceptor.as_ref();
        Check {
            key: session.key,
            inode: session.inode.unwrap_or_default(),
            candidates: acceptor.map_or_else(Vec::new, |acceptor| {
                self.candidates(&acceptor.task, accepted, now)
            }),
        }
    }

    fn candidates(
        &self,
        acceptor: &Arc<Task>,
        accepted: BootTime,
        now: BootTime,
    ) -> Vec<Candidate> {
        let descendants = self
            .processes
            .values()
            .filter(|process| process.forked >= accepted)
            .filter(|process| self.descends(process, acceptor.pid))
            .map(|process| Candidate {
                task: Arc::clone(&process.task),
                stage: process.stage(now),
            });
        let acceptor = Candidate {
            task: Arc::clone(acceptor),
            stage: Stage::Program,
        };
        std::iter::once(acceptor).chain(descendants).collect()
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
/// holds it, when two unrelated descendants do, or when it is too early to tell.
pub(super) fn choose(candidates: &[Candidate], holders: &[u32]) -> Option<Owner> {
    let (acceptor, descendants) = candidates.split_first()?;
    let holds = |candidate: &Candidate| holders.contains(&candidate.task.pid);
    let is_shared = holds(acceptor);
    // How far those children of the acceptor have come that were not given the socket.
    let without = descendants
        .iter()
        .filter(|one| one.task.parent == Some(acceptor.task.pid) && !holds(one))
        .map(|child| child.stage)
        .max();
    // One that holds it beside its parent and has not come to exec may just have copies.
    let has_come_to_it = |one: &Candidate| match one.stage {
        Stage::Program => true,
        Stage::Late => without < Some(Stage::Program),
        Stage::Forked => false,
    };
    let serves = |one: &Candidate| holds(one) && (!is_shared || has_come_to_it(one));
    let is_child = |one: &Candidate, other: &Candidate| one.task.parent == Some(other.task.pid);
    let mut topmost = descendants.iter().filter(|one| serves(one)).filter(|one| {
        !descendants
            .iter()
            .any(|other| is_child(one, other) && serves(other))
    });
    // Nobody else holds it, or those who do just have copies.
    let may_serve_itself = !descendants.iter().any(&holds) || without >= Some(Stage::Late);
    let handler = match (topmost.next(), topmost.next()) {
        (Some(only), None) => only,
        (None, _) if is_shared && may_serve_itself => acceptor,
        (Some(_), Some(_)) | (None, _) => return None,
    };
    Some(Owner {
        task: Arc::clone(&handler.task),
        source: Attribution::Held,
    })
}

#[cfg(test)]
mod tests {
    use super::{Stage::*, *};

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

    fn candidate(pid: u32, parent: u32, stage: Stage) -> Candidate {
        Candidate {
            task: Arc::new(task(pid, parent)),
            stage,
        }
    }

    #[test]
    fn the_topmost_descendant_that_holds_the_socket_serves_it() {
        // 1 made 2, which made 3; 4 is another child of 1.
        let candidates =
            [(1, 0), (2, 1), (3, 2), (4, 1)].map(|(pid, parent)| candidate(pid, parent, Program));
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

    /// A server that serves its sessions by itself has forked 2 and 3, for two of them; 4 is a
    /// child of 2. Whoever has not come to exec has copies of everything.
    #[test]
    fn who_has_not_come_to_exec_says_nothing() {
        for (programs, late, holders, expected) in [
            // Too early.
            (&[][..], &[][..], &[1, 2, 3][..], None),
            (&[], &[], &[1, 2], None),
            // Its own child has come to exec, those of others have not.
            (&[2], &[], &[1, 3], Some(1)),
            (&[2], &[], &[1, 3, 4], Some(1)),
            (&[2], &[3], &[1, 3], Some(1)),
            (&[2], &[3, 4], &[1, 3, 4], Some(1)),
            (&[4], &[], &[1, 3], None),
            (&[2, 3], &[], &[1], Some(1)),
            (&[], &[], &[1], Some(1)),
            // It was given the socket, or has it for so long that it will hardly exec.
            (&[2], &[], &[1, 2, 3], Some(2)),
            (&[], &[2], &[1, 2, 3], Some(2)),
            (&[], &[2], &[1, 2], Some(2)),
            (&[2, 3], &[], &[1, 2, 3], None),
            (&[], &[2, 3], &[1, 2, 3], None),
            // The parent has closed its copy.
            (&[], &[], &[2], Some(2)),
            (&[], &[], &[2, 4], Some(2)),
            (&[3], &[2], &[2], Some(2)),
        ] {
            let candidates = [(1, 0), (2, 1), (3, 1), (4, 2)].map(|(pid, parent)| {
                let stage = match pid {
                    1 => Program,
                    _ if programs.contains(&pid) => Program,
                    _ if late.contains(&pid) => Late,
                    _ => Forked,
                };
                candidate(pid, parent, stage)
            });
            let chosen = choose(&candidates, holders).map(|owner| owner.task.pid);
            assert_eq!(chosen, expected, "{programs:?} {late:?} {holders:?}");
        }
    }
}
