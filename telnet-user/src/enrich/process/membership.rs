//! Which container and unit a process is in, also when it is gone already.
//!
//! The kernel reports the id of the task's cgroup, which is used once in a boot. Whoever else is
//! in the cgroup can therefore tell what it is: a client that lived for a millisecond shares it
//! with the shell that started it.

use std::path::{Path, PathBuf};

use super::{dir::ProcDir, snapshot::Snapshot};
use crate::{
    enrich::{
        cache::Cache,
        cgroup::{self, Membership},
    },
    probe::record::Task,
};

/// Cgroups that are remembered.
const CAPACITY: usize = 1024;

/// What is known of cgroups by id.
#[derive(Debug)]
pub(super) struct Memberships {
    /// Mount point of the unified hierarchy.
    root: PathBuf,
    known: Cache<u64, Membership>,
}

impl Memberships {
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            root,
            known: Cache::new(CAPACITY),
        }
    }

    /// By the process's own file; once that is gone by what is remembered of its cgroup, else by
    /// its parent's file if that is of the same cgroup.
    pub(super) fn of(
        &mut self,
        proc_root: &Path,
        task: &Task,
        snapshot: Option<&Snapshot>,
    ) -> Membership {
        if let Some(snapshot) = snapshot {
            let membership = cgroup::parse(&snapshot.cgroup);
            self.remember(task, &snapshot.cgroup, &membership);
            return membership;
        }
        let Some(id) = task.cgroup else {
            return Membership::default();
        };
        if let Some(known) = self.known.get(&id) {
            return known.clone();
        }
        let text = task
            .parent
            .and_then(|parent| ProcDir::open(proc_root, parent).ok()?.cgroup())
            .unwrap_or_default();
        let membership = cgroup::parse(&text);
        if self.remember(task, &text, &membership) {
            membership
        } else {
            Membership::default()
        }
    }

    /// Remembers a membership if the text it comes from is of the cgroup that the kernel
    /// reported; tells whether it is.
    fn remember(&mut self, task: &Task, text: &str, membership: &Membership) -> bool {
        let Some(id) = task
            .cgroup
            .filter(|id| cgroup::id(&self.root, text) == Some(*id))
        else {
            return false;
        };
        self.known.insert(id, membership.clone());
        true
    }
}
