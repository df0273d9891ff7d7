//! The processes above a process.

use std::path::Path;

use super::{dir::ProcDir, identity::Identity, name};
use crate::enrich::facts::Ancestor;

/// Ancestors that are reported.
pub(super) const MAX_ANCESTORS: usize = 16;

/// From `parent` up to init, as far as they can be read. `born` is when the child of `parent`
/// started, in ticks.
pub(super) fn ancestors(
    proc_root: &Path,
    identity: &Identity,
    parent: Option<u32>,
    born: Option<u64>,
) -> Vec<Ancestor> {
    let mut ancestors = Vec::new();
    let mut child = born;
    let mut next = parent.filter(|pid| *pid != 0);
    while let Some(pid) = next
        && ancestors.len() < MAX_ANCESTORS
    {
        // A pid that is in use again belongs to a process younger than the child.
        let found = ProcDir::open(proc_root, pid).ok().and_then(|folder| {
            let stat = folder.stat()?;
            let older = child.is_some_and(|child| stat.start <= child);
            older.then(|| (folder.executable(), stat))
        });
        let Some((executable, stat)) = found else {
            ancestors.push(Ancestor {
                pid,
                start: None,
                entity_id: None,
                name: None,
                executable: None,
            });
            break;
        };
        ancestors.push(Ancestor {
            pid,
            start: Some(identity.time(stat.start)),
            entity_id: identity.entity_id(pid, stat.start),
            name: name(executable.as_deref(), &stat.comm),
            executable,
        });
        child = Some(stat.start);
        next = (stat.parent != 0).then_some(stat.parent);
    }
    ancestors
}

/// Pid of the parent; none of init and of a process that is gone.
pub(in crate::enrich) fn parent(proc_root: &Path, pid: u32) -> Option<u32> {
    let stat = ProcDir::open(proc_root, pid).ok()?.stat()?;
    (stat.parent != 0).then_some(stat.parent)
}
