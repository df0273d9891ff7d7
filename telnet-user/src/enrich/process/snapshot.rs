//! What `/proc/PID` says, and whether it is about the task that the kernel reported.

use std::path::Path;

use super::{
    dir::{Image, ProcDir},
    parse::{Stat, Status, arguments},
};
use crate::probe::record::{Args, Task};

/// A process's folder, read once.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) stat: Stat,
    pub(super) status: Status,
    pub(super) working_directory: Option<String>,
    /// The text of its `cgroup` file.
    pub(super) cgroup: String,
    /// The program it runs; none when it called exec while it was read.
    pub(super) program: Option<Program>,
}

/// What exec replaces.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) executable: Option<String>,
    pub(super) image: Option<Image>,
    pub(super) args: Args,
}

impl Snapshot {
    /// Reads the folder; none when the process is gone before the end.
    pub(super) fn read(root: &Path, pid: u32) -> Option<Self> {
        let folder = ProcDir::open(root, pid).ok()?;
        let before = folder.stat()?;
        let status = Status::parse(&folder.text("status").ok()?);
        let program = Program::read(&folder);
        let working_directory = folder.link("cwd");
        let cgroup = folder.cgroup().unwrap_or_default();
        let after = folder.stat()?;
        let same_program = after.comm == before.comm
            && folder.executable() == program.executable
            && folder.image() == program.image;
        (after.start == before.start).then_some(Self {
            stat: after,
            status,
            working_directory,
            cgroup,
            program: same_program.then_some(program),
        })
    }

    /// Whether this is the process that the kernel reported, `ticks` being its start.
    pub(super) fn is_of(&self, task: &Task, ticks: Option<u64>) -> bool {
        match ticks {
            Some(ticks) => self.stat.start == ticks,
            None => {
                self.stat.comm == task.comm
                    && self.status.uid.is_some_and(|(real, _)| real == task.uid)
            }
        }
    }

    /// The program, if it is still the one that ran when the kernel reported the task: a process
    /// may have called exec since, or only changed its name or its title.
    pub(super) fn program_of(&self, task: &Task) -> Option<&Program> {
        self.program.as_ref().filter(|program| {
            self.stat.comm == task.comm
                || task
                    .args
                    .as_ref()
                    .is_some_and(|args| begins_with(&program.args, args))
        })
    }
}

impl Program {
    fn read(folder: &ProcDir) -> Self {
        let (text, cut) = folder.command_line().unwrap_or_default();
        let (list, more) = arguments(&text);
        Self {
            executable: folder.executable(),
            image: folder.image(),
            args: Args {
                list,
                truncated: cut || more,
            },
        }
    }
}

/// Whether `head`, as far as it goes, is how `all` begins.
pub(super) fn begins_with(all: &Args, head: &Args) -> bool {
    if !head.truncated {
        return head.list == all.list;
    }
    let Some((cut, whole)) = head.list.split_last() else {
        return true;
    };
    // A character that was cut in two became a replacement character.
    let cut = cut.trim_end_matches(char::REPLACEMENT_CHARACTER);
    all.list.starts_with(whole)
        && all
            .list
            .get(whole.len())
            .is_some_and(|argument| argument.starts_with(cut))
}
