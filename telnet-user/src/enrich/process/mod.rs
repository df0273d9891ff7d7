//! What is known about a process: what the kernel reported, completed from `/proc`.

mod ancestors;
mod dir;
mod identity;
mod inherit;
mod membership;
mod parse;
mod snapshot;

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::PathBuf,
    sync::Arc,
};

use self::{
    ancestors::ancestors,
    dir::ProcDir,
    identity::Identity,
    membership::Memberships,
    parse::capability_names,
    snapshot::{Snapshot, begins_with},
};
pub(super) use self::{ancestors::parent, dir::Image};
use super::{cache::Cache, facts::Process, hash, hash::Hasher, user::Names};
use crate::{
    clock::BootTime,
    probe::record::{Args, Task},
};

/// Processes that are remembered.
const CAPACITY: usize = 2048;

/// Reads processes, and remembers those that it could read completely.
#[derive(Debug)]
pub struct ProcessReader {
    proc_root: PathBuf,
    identity: Identity,
    names: Names,
    memberships: Memberships,
    hasher: Hasher,
    cache: Cache<Key, Known>,
    /// The last complete description of each pid, for the children it makes.
    by_pid: Cache<u32, Known>,
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
    /// Executables to hash.
    pub hashes: hash::Counters,
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

/// A process that was read completely.
#[derive(Clone, Debug)]
struct Known {
    process: Arc<Process>,
    image: Option<Image>,
}

impl ProcessReader {
    /// Reads under `proc_root`; `boot_id` makes entity ids unique for ever.
    pub fn new(proc_root: PathBuf, boot_id: Option<String>) -> Self {
        Self {
            proc_root,
            identity: Identity::new(boot_id),
            names: Names::default(),
            memberships: Memberships::new("/sys/fs/cgroup".into()),
            hasher: Hasher::new(),
            cache: Cache::new(CAPACITY),
            by_pid: Cache::new(CAPACITY),
            counters: Counters::default(),
        }
    }

    /// All that is known about a task. What the kernel said is always in it and wins; `/proc`
    /// completes it when it is certain that it speaks of the same process.
    pub fn describe(&mut self, task: &Task) -> Arc<Process> {
        let key = Key::of(task);
        let known = self.cache.get(&key).cloned();
        if let Some(known) = &known
            && self.still_runs(task.pid, known.image)
        {
            self.counters.cached += 1;
            return self.remember(key, known.clone());
        }
        let ticks = task.start.map(|start| self.identity.ticks(start));
        let snapshot = Snapshot::read(&self.proc_root, task.pid)
            .filter(|snapshot| snapshot.is_of(task, ticks));
        let program = snapshot.as_ref().and_then(|found| found.program_of(task));
        let Some(program) = program else {
            if let Some(known) = known {
                self.counters.cached += 1;
                return self.remember(key, known);
            }
            self.counters.incomplete += 1;
            return Arc::new(self.build(task, snapshot.as_ref()));
        };
        self.counters.completed += 1;
        let known = Known {
            image: program.image,
            process: Arc::new(self.build(task, snapshot.as_ref())),
        };
        self.remember(key, known)
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
            start: Some(self.identity.time(snapshot.stat.start)),
            comm: snapshot.stat.comm,
            parent: (snapshot.stat.parent != 0).then_some(snapshot.stat.parent),
            cgroup: None,
            args: snapshot
                .program
                .map(|program| program.args)
                .filter(|args| !args.list.is_empty()),
        })
    }

    /// Whether the process is still there, as whatever program; none when its start is not known
    /// and another one could have its id.
    pub fn is_there(&self, task: &Task) -> Option<bool> {
        let folder = ProcDir::open(&self.proc_root, task.pid).ok();
        let Some(stat) = folder.and_then(|folder| folder.stat()) else {
            return Some(false);
        };
        let started = self.identity.ticks(task.start?);
        Some(!stat.is_dead && stat.start == started)
    }

    /// What became of the requests so far.
    pub fn counters(&self) -> Counters {
        Counters {
            evicted: self.cache.evicted(),
            hashes: self.hasher.counters(),
            ..self.counters
        }
    }

    /// Remembers a process, with the hash of its executable as soon as there is one.
    fn remember(&mut self, key: Key, mut known: Known) -> Arc<Process> {
        if known.process.sha256.is_none()
            && let Some(image) = known.image
        {
            let folder = self.proc_root.join(key.pid.to_string());
            let executable = known.process.executable.as_deref();
            if let Some(hash) = self.hasher.sha256(image, &folder, executable) {
                Arc::make_mut(&mut known.process).sha256 = Some(hash);
            }
        }
        let process = Arc::clone(&known.process);
        self.by_pid.insert(key.pid, known.clone());
        self.cache.insert(key, known);
        process
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
        let ticks = task
            .start
            .map(|start| self.identity.ticks(start))
            .or(snapshot.map(|snapshot| snapshot.stat.start));
        let parent = task
            .parent
            .or(snapshot.map(|snapshot| snapshot.stat.parent));
        let membership = self.memberships.of(&self.proc_root, task, snapshot);
        Process {
            pid: task.pid,
            start: task.start.or(ticks.map(|ticks| self.identity.time(ticks))),
            entity_id: ticks.and_then(|ticks| self.identity.entity_id(task.pid, ticks)),
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
            ancestors: ancestors(&self.proc_root, &self.identity, parent, ticks),
            container: membership.container,
            unit: membership.unit,
            slice: membership.slice,
        }
    }
}

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

/// The kernel's name of the process: what was run, also when it is a link to a program of another
/// name (busybox). The kernel cuts it to 15 bytes; the executable's base name completes it then.
fn name(executable: Option<&str>, comm: &str) -> Option<String> {
    let base = executable
        .and_then(|path| path.rsplit('/').next())
        .filter(|base| !base.is_empty());
    let is_cut = comm.len() + 1 >= telnet_common::TASK_COMM_LEN;
    let full = base.filter(|base| comm.is_empty() || is_cut && base.starts_with(comm));
    Some(full.unwrap_or(comm))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
mod change_tests;
#[cfg(test)]
mod tests;
