//! Which of a few known processes hold a socket, by their file descriptors.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
};

use crate::session::Check;

/// Most file descriptors of one process that are looked at.
const MAX_DESCRIPTORS: usize = 65_536;

/// For each check, the pids of its candidates that hold the socket. Each process is read once.
pub(super) fn holders(proc_root: &Path, checks: &[Check]) -> Vec<Vec<u32>> {
    let wanted: HashSet<u64> = checks.iter().map(|check| check.inode).collect();
    let mut read: HashMap<u32, HashSet<u64>> = HashMap::new();
    checks
        .iter()
        .map(|check| {
            let holds = |pid: u32, read: &mut HashMap<u32, HashSet<u64>>| {
                read.entry(pid)
                    .or_insert_with(|| sockets(proc_root, pid, &wanted))
                    .contains(&check.inode)
            };
            check
                .candidates
                .iter()
                .map(|candidate| candidate.task.pid)
                .filter(|&pid| holds(pid, &mut read))
                .collect()
        })
        .collect()
}

/// The wanted sockets among the file descriptors of a process; none when it is gone.
fn sockets(proc_root: &Path, pid: u32, wanted: &HashSet<u64>) -> HashSet<u64> {
    let Ok(descriptors) = fs::read_dir(proc_root.join(pid.to_string()).join("fd")) else {
        return HashSet::new();
    };
    descriptors
        .take(MAX_DESCRIPTORS)
        .filter_map(|descriptor| fs::read_link(descriptor.ok()?.path()).ok())
        .filter_map(|target| socket_inode(target.to_str()?))
        .filter(|inode| wanted.contains(inode))
        .collect()
}

/// The number in `socket:[NUMBER]`.
fn socket_inode(target: &str) -> Option<u64> {
    target
        .strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, sync::Arc};

    use super::*;
    use crate::{
        probe::record::{SocketKey, Task},
        session::{Candidate, Stage},
    };

    fn candidate(pid: u32) -> Candidate {
        let task = Arc::new(Task {
            pid,
            tid: pid,
            uid: 0,
            gid: 0,
            start: None,
            comm: "x".to_owned(),
            parent: None,
            cgroup: None,
            args: None,
        });
        Candidate {
            task,
            stage: Stage::Program,
        }
    }

    #[test]
    fn only_candidates_that_hold_the_very_socket_are_named() {
        let root = tempfile::tempdir().expect("a folder");
        for (pid, target) in [(1, "socket:[10]"), (2, "socket:[11]"), (3, "/dev/pts/0")] {
            let folder = root.path().join(format!("{pid}/fd"));
            fs::create_dir_all(&folder).expect("made");
            symlink(target, folder.join("0")).expect("linked");
        }
        let check = |inode, pids: &[u32]| Check {
            key: SocketKey {
                address: inode,
                cookie: None,
            },
            inode,
            candidates: pids.iter().map(|&pid| candidate(pid)).collect(),
        };
        let checks = [
            check(10, &[1, 2, 3, 99]),
            check(11, &[1, 3]),
            check(11, &[2]),
        ];
        assert_eq!(
            holders(root.path(), &checks),
            vec![vec![1], vec![], vec![2]]
        );
    }

    #[test]
    fn a_link_to_something_else_is_no_socket() {
        for target in [
            "socket:[]",
            "socket:[x]",
            "pipe:[1]",
            "socket:[1",
            "",
            "socket:[-1]",
        ] {
            assert_eq!(socket_inode(target), None, "{target}");
        }
        assert_eq!(socket_inode("socket:[123]"), Some(123));
    }
}
