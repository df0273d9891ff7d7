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
    // Nothing to tell apart: the usual case.
    if let [pid] = pids {
        return Some(vec![(*pid, Vec::new())]);
    }
    let ancestors = |pid: u32| -> Vec<u32> {
        std::iter::successors(parent(proc_root, pid), |pid| parent(proc_root, *pid))
            .take(MAX_DEPTH)
            .collect()
    };
    Some(pids.iter().map(|pid| (*pid, ancestors(*pid))).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn holders_are_told_apart_by_descent() {
        let proc = tempfile::tempdir().expect("a folder");
        // 1 -> 10 -> 11 -> 12, 10 -> 13, and 2 without a parent.
        for (pid, parent) in [(1, 0), (10, 1), (11, 10), (12, 11), (13, 10), (2, 0)] {
            let folder = proc.path().join(pid.to_string());
            fs::create_dir(&folder).expect("a folder");
            let stat = format!("{pid} (x) S {parent} {}", "0 ".repeat(20));
            fs::write(folder.join("stat"), stat).expect("a file");
        }
        for (pids, young, old) in [
            (&[][..], None, None),
            (&[11], Some(11), Some(11)),
            // inetd, the child it forked, and what that forked.
            (&[10, 11, 12], Some(12), Some(10)),
            // Not each a direct child of the next.
            (&[1, 12], Some(12), Some(1)),
            // Workers with their parent, and without.
            (&[10, 11, 13], None, Some(10)),
            (&[11, 13], None, None),
            (&[2, 12], None, None),
            // Gone in the meantime.
            (&[99], Some(99), Some(99)),
        ] {
            assert_eq!(youngest(proc.path(), pids), young, "{pids:?}");
            assert_eq!(eldest(proc.path(), pids), old, "{pids:?}");
        }
        let crowd: Vec<u32> = (0..1000).collect();
        assert_eq!(youngest(proc.path(), &crowd), None);
    }
}
