//! What a forked child has from its parent: all but its identity, until it calls exec.

use std::sync::Arc;

use super::{Key, Known, ProcessReader, ancestors::MAX_ANCESTORS};
use crate::{
    enrich::facts::{Ancestor, Process},
    probe::record::Task,
};

impl ProcessReader {
    /// Describes a child by its parent, when that is known to run what the child started with:
    /// the child may be gone before `/proc` can be read.
    pub fn inherit(&mut self, child: &Task) {
        let Some(parent) = self.parent_of(child) else {
            return;
        };
        let ticks = child.start.map(|start| self.identity.ticks(start));
        let above = Ancestor {
            pid: parent.process.pid,
            start: parent.process.start,
            entity_id: parent.process.entity_id.clone(),
            name: parent.process.name.clone(),
            executable: parent.process.executable.clone(),
        };
        let ancestors = std::iter::once(above)
            .chain(parent.process.ancestors.iter().cloned())
            .take(MAX_ANCESTORS)
            .collect();
        let process = Process {
            pid: child.pid,
            start: child.start,
            entity_id: ticks.and_then(|ticks| self.identity.entity_id(child.pid, ticks)),
            ancestors,
            ..Process::clone(&parent.process)
        };
        let known = Known {
            process: Arc::new(process),
            image: parent.image,
        };
        self.remember(Key::of(child), known);
    }

    /// The process that made `child`, read now when it is not remembered: it mostly outlives the
    /// child, which may be gone before anything is to be told of it.
    fn parent_of(&mut self, child: &Task) -> Option<Known> {
        let pid = child.parent?;
        let is_it = |known: &Known| is_parent(&known.process, child);
        if let Some(known) = self.by_pid.get(&pid).filter(|known| is_it(known)) {
            return Some(known.clone());
        }
        let task = self.task(pid)?;
        self.describe(&task);
        self.by_pid.get(&pid).filter(|known| is_it(known)).cloned()
    }
}

/// The pid could be in use again: then user, group or name hardly agree, and it is younger.
fn is_parent(parent: &Process, child: &Task) -> bool {
    let is_older = match (parent.start, child.start) {
        (Some(parent), Some(child)) => parent <= child,
        _ => false,
    };
    is_older
        && parent.user.id == child.uid
        && parent.group.id == child.gid
        && parent
            .name
            .as_ref()
            .is_some_and(|name| name.starts_with(&child.comm))
}
