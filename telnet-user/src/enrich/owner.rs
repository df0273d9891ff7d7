//! Which of several processes that hold one socket is its owner.

use std::path::Path;

use super::process::parent;

/// Most generations that are followed.
const MAX_DEPTH: usize = 64;

/// Most holders that are told apart.
const MAX_HOLDERS: usize = 256;

/// The one that descends from all the others.
pub(super) fn youngest(proc_root: &Path, pids: &[u32]) -> Option<u32> {
    let lines = lines(proc_root, pids)?;
    only(pids, |pid| {
        !lines
            .iter()
            .any(|(other, ancestors)| *other != pid && ancestors.contains(&pid))
    })
}

/// The one that all the others descend from.
pub(super) fn eldest(proc_root: &Path, pids: &[u32]) -> Option<u32> {
    let lines = lines(proc_root, pids)?;
    only(pids, |pid| {
        lines
            .iter()
            .any(|(own, ancestors)| *own == pid && !pids.iter().any(|p| ancestors.contains(p)))
    })
}

fn only(pids: &[u32], is_it: impl Fn(u32) -> bool) -> Option<u32> {
    let mut left = pids.iter().copied().filter(|pid| is_it(*pid));
    let first = left.next()?;
    left.next().is_none().then_some(first)
}

/// Each pid with its ancestors.
fn lines(proc_root: &Path, pids: &[u32]) -> Option<Vec<(u32, Vec<u32>)>> {
    if pids.len() > MAX_HOLDERS {
        return None;
    }
    let ancestors = |pid: u32| -> Vec<u32> {
        std::iter::successors(parent(proc_root, pid), |pid| parent(proc_root, *pid))
            .take(MAX_DEPTH)
            .collect()
    };
    Some(pids.iter().map(|pid| (*pid, ancestors(*pid))).collect())
}
