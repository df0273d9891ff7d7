//! What is known about a process: what the kernel reported, completed from `/proc`.

mod dir;
mod membership;
mod parse;
mod snapshot;

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest as _, Sha256};

use self::{
    dir::{Image, ProcDir},
    membership::Memberships,
    parse::capability_names,
    snapshot::{Snapshot, begins_with},
};
use super::{
    cache::Cache,
    facts::{Ancestor, Process},
    user::Names,
};
use crate::{
    clock::BootTime,
    probe::record::{Args, Task},
};

/// Processes that are remembered.
const CAPACITY: usize = 2048;

/// Ancestors that are reported.
const MAX_ANCESTORS: usize = 16;

/// Reads processes, and remembers those that it could read completely.
#[derive(Debug)]
pub struct ProcessReader {
    proc_root: PathBuf,
    boot_id: Option<String>,
    ticks_per_second: u64,
    names: Names,
    memberships: Memberships,
    cache: Cache<Key, Known>,
    counters: Counters,
}

/// What became of the requests to describe a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Answered from memory.
    pub cached: u64,
    /// Completed from `/proc`.
    pub completed: u64,
    /// Only partly known: the process was gone, or had called exec since.
    pub incomplete: u64,
    /// Forgotten for want of room.
    pub evicted: u64,
}

/// A process while it runs one program as one user: exec keeps pid and start and changes the
/// program, a daemon that has its port gives up its privileges and its parent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    pid: u32,
    start: Option<BootTime>,
    uid: u32,
    gid: u32,
    parent: Option<u32>,
    cgroup: Option<u64>,
    comm: String,
    args: u64,
}

#[derive(Debug)]
struct Known {
    process: Arc<Process>,
    image: Option<Image>,
}

impl ProcessReader {
    /// Reads under `proc_root`; `boot_id` makes entity ids unique for ever.
    pub fn new(proc_root: PathBuf, boot_id: Option<String>) -> Self {
        Self {
            proc_root,
            boot_id,
            ticks_per_second: rustix::param::clock_ticks_per_second().max(1),
            names: Names::default(),
            memberships: Memberships::new("/sys/fs/cgroup".into()),
            cache: Cache::new(CAPACITY),
            counters: Counters::default(),
        }
    }

    /// All that is known about a task. What the kernel said is always in it and wins; `/proc`
    /// completes it when it is certain that it speaks of the same process.
    pub fn describe(&mut self, task: &Task) -> Arc<Process> {
        let key = Key::of(task);
        if let Some(known) = self.cache.get(&key) {
            let process = Arc::clone(&known.process);
            let image = known.image;
            if self.still_runs(task.pid, image) {
                self.counters.cached += 1;
                return process;
            }
            // Another program by the same name, or another process by the same pid: read anew,
            // and keep what is known if that finds nothing better.
            let Some(fresh) = self.complete(task, key) else {
                self.counters.cached += 1;
                return process;
            };
            return fresh;
        }
        self.complete(task, key).unwrap_or_else(|| {
            self.counters.incomplete += 1;
            let snapshot = Snapshot::read(&self.proc_root, task.pid)
                .filter(|snapshot| snapshot.is_of(task, self.start_ticks(task)));
            Arc::new(self.build(task, snapshot.as_ref()))
        })
    }

    /// A process as `/proc` shows it now, in the shape of a kernel report. Its start is known to
    /// the tick only.
    pub fn task(&mut self, pid: u32) -> Option<Task> {
        let snapshot = Snapshot::read(&self.proc_root, pid)?;
        let (uid, _) = snapshot.status.uid?;
        let (gid, _) = snapshot.status.gid?;
        Some(Task {
            pid,
            tid: pid,
            uid,
            gid,
            start: Some(self.time(snapshot.stat.start)),
            comm: snapshot.stat.comm,
            parent: (snapshot.stat.parent != 0).then_some(snapshot.stat.parent),
            cgroup: None,
            args: snapshot
                .program
                .map(|program| program.args)
                .filter(|args| !args.list.is_empty()),
        })
    }

    /// What became of the requests so far.
    pub fn counters(&self) -> Counters {
        Counters {
            evicted: self.cache.evicted(),
            ..self.counters
        }
    }

    /// The process with all its facts, remembered; none when `/proc` cannot complete it.
    fn complete(&mut self, task: &Task, key: Key) -> Option<Arc<Process>> {
        let snapshot = Snapshot::read(&self.proc_root, task.pid)?;
        if !snapshot.is_of(task, self.start_ticks(task)) {
            return None;
        }
        let image = snapshot.program_of(task)?.image;
        let process = Arc::new(self.build(task, Some(&snapshot)));
        self.counters.completed += 1;
        let known = Known {
            process: Arc::clone(&process),
            image,
        };
        self.cache.insert(key, known);
        Some(process)
    }

    /// Whether the program of a remembered process is the one that its pid runs now. A process
    /// that is gone has not changed.
    fn still_runs(&self, pid: u32, image: Option<Image>) -> bool {
        ProcDir::open(&self.proc_root, pid)
            .ok()
            .and_then(|folder| folder.image())
            .is_none_or(|now| Some(now) == image)
    }

    fn build(&mut self, task: &Task, snapshot: Option<&Snapshot>) -> Process {
        let program = snapshot.and_then(|snapshot| snapshot.program_of(task));
        let executable = program.and_then(|program| program.executable.clone());
        let args = arguments(task, program.map(|program| &program.args));
        let status = snapshot.map(|snapshot| &snapshot.status);
        // Effective ids and capabilities change with exec and with the real ids: what is read
        // now is true of then only while neither has changed.
        let effective = status.filter(|status| program.is_some() && status.is_run_as(task));
        let effective_user = effective.and_then(|status| status.uid).map(|ids| ids.1);
        let effective_group = effective.and_then(|status| status.gid).map(|ids| ids.1);
        let capabilities = match effective {
            Some(status) if effective_user.is_some_and(|id| id != 0) => {
                capability_names(status.capabilities)
            }
            _ => Vec::new(),
        };
        let ticks = self
            .start_ticks(task)
            .or(snapshot.map(|snapshot| snapshot.stat.start));
        let membership = self.memberships.of(&self.proc_root, task, snapshot);
        Process {
            pid: task.pid,
            start: task.start.or(ticks.map(|ticks| self.time(ticks))),
            entity_id: ticks.and_then(|ticks| self.entity_id(task.pid, ticks)),
            name: name(executable.as_deref(), &task.comm),
            executable,
            sha256: None,
            args_truncated: args.truncated,
            args: args.list,
            working_directory: snapshot.and_then(|snapshot| snapshot.working_directory.clone()),
            tty: snapshot.and_then(|snapshot| snapshot.stat.tty),
            user: self.names.user(task.uid),
            group: self.names.group(task.gid),
            effective_user: effective_user.map(|id| self.names.user(id)),
            effective_group: effective_group.map(|id| self.names.group(id)),
            capabilities,
            ancestors: self.ancestors(task, snapshot, ticks),
            container: membership.container,
            unit: membership.unit,
            slice: membership.slice,
        }
    }

    /// Parent first, up to init.
    fn ancestors(
        &self,
        task: &Task,
        snapshot: Option<&Snapshot>,
        ticks: Option<u64>,
    ) -> Vec<Ancestor> {
        let parent = task
            .parent
            .or(snapshot.map(|snapshot| snapshot.stat.parent));
        let mut ancestors = Vec::new();
        let mut child = ticks;
        let mut next = parent.filter(|pid| *pid != 0);
        while let Some(pid) = next
            && ancestors.len() < MAX_ANCESTORS
        {
            // A pid that is in use again belongs to a process younger than the child.
            let found = ProcDir::open(&self.proc_root, pid).ok().and_then(|folder| {
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
                start: Some(self.time(stat.start)),
                entity_id: self.entity_id(pid, stat.start),
                name: name(executable.as_deref(), &stat.comm),
                executable,
            });
            child = Some(stat.start);
            next = (stat.parent != 0).then_some(stat.parent);
        }
        ancestors
    }

    /// The kernel's start time in the unit of `/proc/PID/stat`, rounded as the kernel does.
    fn start_ticks(&self, task: &Task) -> Option<u64> {
        let nanos = u128::from(task.start?.as_nanos());
        let ticks = nanos * u128::from(self.ticks_per_second) / NANOS_PER_SECOND;
        u64::try_from(ticks).ok()
    }

    fn time(&self, ticks: u64) -> BootTime {
        let nanos = u128::from(ticks) * NANOS_PER_SECOND / u128::from(self.ticks_per_second);
        BootTime::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Start in ticks, not nanoseconds: then a process has the same id whoever reported it.
    fn entity_id(&self, pid: u32, ticks: u64) -> Option<String> {
        let digest = Sha256::new()
            .chain_update(self.boot_id.as_ref()?)
            .chain_update(pid.to_be_bytes())
            .chain_update(ticks.to_be_bytes())
            .finalize();
        let head = u128::from_be_bytes(*digest.first_chunk()?);
        Some(format!("{head:032x}"))
    }
}

/// Pid of the parent; none of init and of a process that is gone.
pub(super) fn parent(proc_root: &Path, pid: u32) -> Option<u32> {
    let stat = ProcDir::open(proc_root, pid).ok()?.stat()?;
    (stat.parent != 0).then_some(stat.parent)
}

const NANOS_PER_SECOND: u128 = 1_000_000_000;

impl Key {
    fn of(task: &Task) -> Self {
        let mut hasher = DefaultHasher::new();
        if let Some(args) = &task.args {
            args.list.hash(&mut hasher);
        }
        Self {
            pid: task.pid,
            start: task.start,
            uid: task.uid,
            gid: task.gid,
            parent: task.parent,
            cgroup: task.cgroup,
            comm: task.comm.clone(),
            args: hasher.finish(),
        }
    }
}

/// The kernel's arguments, in full if `/proc` has the rest of them.
fn arguments(task: &Task, found: Option<&Args>) -> Args {
    match (&task.args, found) {
        (Some(head), Some(all)) if head.truncated && begins_with(all, head) => all.clone(),
        (Some(head), _) => head.clone(),
        (None, Some(all)) => all.clone(),
        (None, None) => Args {
            list: Vec::new(),
            truncated: false,
        },
    }
}

/// Base name of the executable, else the kernel's name of the process.
fn name(executable: Option<&str>, comm: &str) -> Option<String> {
    let base = executable
        .and_then(|path| path.rsplit('/').next())
        .filter(|name| !name.is_empty());
    Some(base.unwrap_or(comm))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
mod change_tests;
