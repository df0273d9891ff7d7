//! The live tests on every kernel with every way to learn who accepted a connection.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{LineWriter, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::ValueEnum as _;

use super::{
    choose_accelerator,
    guest::{Base, Programs},
    kernel::Kernel,
    plan::{FEWER_SESSIONS, Guest, Tests, Userland},
    qemu::{self, Accelerator, End, Machine, Patience},
    summary, system,
    verdict::{Report, Suite},
};
use crate::{
    target::Target,
    toolchain::{self, Need, Toolchain},
    workspace::Workspace,
};

/// Emulated guests are slow, [`GUESTS`] share a small machine, and others may use it too.
const PATIENCE: Patience = Patience {
    silent: Duration::from_mins(5),
    idle: Duration::from_mins(15),
    total: Duration::from_hours(3),
};

/// Guests that run at once: an emulated one takes one processor of the machine.
const GUESTS: usize = 2;

/// What to run.
#[derive(Debug)]
pub(crate) struct Matrix {
    pub(crate) guests: Vec<Guest>,
    pub(crate) tests: Tests,
}

/// One guest and what came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) guest: Guest,
    /// What `uname -r` says, without the flavour.
    pub(super) release: String,
    pub(super) report: Report,
    /// What is wrong apart from failed tests.
    pub(super) defects: Vec<String>,
    /// The kernel's log.
    pub(super) console: PathBuf,
    pub(super) time: Duration,
}

impl Matrix {
    /// What every change has to pass.
    pub(crate) fn share() -> Self {
        Self {
            guests: Guest::share().collect(),
            tests: Tests::Share,
        }
    }

    /// Boots all guests; an error when one test anywhere did not pass.
    pub(crate) fn run(&self, workspace: &Workspace) -> anyhow::Result<()> {
        if self.guests.is_empty() {
            bail!("none of these kernels has any of these suites");
        }
        let ready = toolchain::ensure(workspace, &self.needs(), None)?;
        let mut guests = VecDeque::new();
        for guest in &self.guests {
            let kernel = Kernel::get(workspace, guest.target, &guest.series)?;
            guests.push_back((guest, kernel));
        }
        let mut shared = Vec::new();
        for target in self.targets() {
            let mut guests = guests.iter().filter(|(guest, _)| guest.target == target);
            let (_, kernel) = guests.clone().next().context("no kernel was asked for")?;
            let has_debian = guests.any(|(guest, _)| guest.userland == Userland::Debian);
            let build = Shared::build(workspace, ready.toolchain, target, has_debian, kernel)?;
            shared.push(build);
        }
        println!("tests with many sessions open {FEWER_SESSIONS}");
        let queue = Mutex::new(guests);
        let worker = || -> anyhow::Result<Vec<Outcome>> {
            let mut outcomes = Vec::new();
            while let Some((guest, kernel)) = next(&queue) {
                let shared = shared.iter().find(|shared| shared.target == guest.target);
                let shared = shared.context("nothing was built for this processor")?;
                outcomes.push(self.boot(workspace, shared, guest, &kernel));
            }
            Ok(outcomes)
        };
        let mut outcomes = Vec::new();
        thread::scope(|scope| -> anyhow::Result<()> {
            let workers: Vec<_> = (0..GUESTS).map(|_| scope.spawn(worker)).collect();
            for worker in workers {
                let Ok(result) = worker.join() else {
                    bail!("a thread that watched a guest panicked");
                };
                outcomes.extend(result?);
            }
            Ok(())
        })?;
        summary::print(&outcomes)
    }

    /// The processors of the guests, each once.
    fn targets(&self) -> impl Iterator<Item = Target> {
        let mut targets = Target::value_variants().to_vec();
        targets.retain(|target| self.guests.iter().any(|guest| guest.target == *target));
        targets.into_iter()
    }

    fn needs(&self) -> Vec<Need> {
        let mut needs = vec![Need::Probe, Need::LiveTests, Need::Machines];
        let has_debian = (self.guests.iter()).any(|guest| guest.userland == Userland::Debian);
        needs.extend(has_debian.then_some(Need::Packages));
        needs.extend(self.targets().map(Need::Emulator));
        let others = self.targets().filter(|target| !target.is_own());
        needs.extend(others.map(Need::Target));
        needs
    }

    /// The guest's initial file system, with what it has to do.
    fn write_initrd(
        &self,
        to: &Path,
        shared: &Shared,
        guest: &Guest,
        kernel: &Kernel,
    ) -> anyhow::Result<()> {
        let left_out = guest.expected.left_out();
        let skip: Vec<_> = left_out.flat_map(|tests| ["--skip", tests]).collect();
        let variables = [
            ("MODE", "suites"),
            ("SUITES", &guest.suites.join(" ")),
            ("FILTER", self.tests.filter()),
            ("SKIP", &skip.join(" ")),
            ("SKIP_UNHOOKED", self.tests.unhooked()),
            ("EMULATED", shared.accelerator.emulated()),
            ("SESSIONS", FEWER_SESSIONS),
            ("HOOK", guest.expected.hook),
            ("LACKS", &guest.expected.names()),
        ];
        shared.base(guest)?.write(to, kernel, &variables)
    }

    /// Whatever stops this guest, the others go on.
    fn boot(
        &self,
        workspace: &Workspace,
        shared: &Shared,
        guest: &Guest,
        kernel: &Kernel,
    ) -> Outcome {
        let start = Instant::now();
        let folder = workspace.vm().join("guests").join(&guest.label);
        let console = folder.join("console.log");
        let machine = Machine {
            target: guest.target,
            accelerator: shared.accelerator,
            kernel: kernel.image.clone(),
            initrd: folder.join("initrd"),
            memory: guest.userland.memory(),
            parameters: format!("loglevel=7 oops=panic {}", guest.parameters),
            console: console.clone(),
        };
        let mut report = Report::default();
        let ready = fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))
            .and_then(|()| self.write_initrd(&machine.initrd, shared, guest, kernel));
        println!("[{}] booting {}", guest.label, kernel.release);
        let end = ready.and_then(|()| watch(workspace, &machine, &folder, guest, &mut report));
        Outcome {
            guest: guest.clone(),
            release: kernel.release.clone(),
            defects: match end {
                Ok(end) => defects(guest, &report, end, qemu::trouble(&console)),
                Err(error) => vec![format!("{error:#}")],
            },
            report,
            console,
            time: start.elapsed(),
        }
    }
}

/// Runs the guest to its end and tells its verdicts as they come.
fn watch(
    workspace: &Workspace,
    machine: &Machine,
    folder: &Path,
    guest: &Guest,
    report: &mut Report,
) -> anyhow::Result<End> {
    let log = folder.join("tests.log");
    let mut output = File::create(&log)
        .map(LineWriter::new)
        .with_context(|| format!("cannot create {}", log.display()))?;
    let mut written = Ok(());
    let mut before = Instant::now();
    let end = machine.run(workspace, PATIENCE, |line| {
        if written.is_ok() {
            written = writeln!(output, "{line}");
        }
        if let Some((test, verdict)) = report.line(line) {
            let suite = report.suites.last().map_or("", |suite| &suite.name);
            let seconds = before.elapsed().as_secs_f32();
            println!(
                "[{} {suite}] {test} ... {verdict} ({seconds:.1} s)",
                guest.label
            );
            before = Instant::now();
        }
    })?;
    written.with_context(|| format!("cannot write {}", log.display()))?;
    Ok(end)
}

/// What guests with one processor share, for each userland that one of them has.
struct Shared {
    target: Target,
    accelerator: Accelerator,
    busybox: Base,
    debian: Option<Base>,
}

impl Shared {
    fn build(
        workspace: &Workspace,
        toolchain: Toolchain,
        target: Target,
        has_debian: bool,
        kernel: &Kernel,
    ) -> anyhow::Result<Self> {
        let programs = Programs::all(workspace, toolchain, target)?;
        let debian = has_debian.then(|| system::build(workspace, toolchain, &programs));
        let debian = debian.transpose()?;
        let busybox = Base::build(workspace, target, &programs)?;
        Ok(Self {
            target,
            accelerator: choose_accelerator(workspace, target, &busybox, kernel)?,
            busybox,
            debian,
        })
    }

    fn base(&self, guest: &Guest) -> anyhow::Result<&Base> {
        match guest.userland {
            Userland::Busybox => Ok(&self.busybox),
            Userland::Debian => self.debian.as_ref().context("no Debian system was built"),
        }
    }
}

fn next<T>(queue: &Mutex<VecDeque<T>>) -> Option<T> {
    queue
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .pop_front()
}

/// `trouble` is what the kernel's log says, if it can be read.
fn defects(
    guest: &Guest,
    report: &Report,
    end: End,
    trouble: anyhow::Result<Option<String>>,
) -> Vec<String> {
    let mut defects = Vec::new();
    match end {
        End::Stopped if report.done => {}
        End::Stopped => defects.push("the guest stopped before its end".to_owned()),
        End::Hung => defects.push(format!(
            "the guest gave no sign of life for {} s",
            PATIENCE.silent.as_secs()
        )),
        End::Stuck => defects.push(format!(
            "the guest was alive, but got nowhere for {} s",
            PATIENCE.idle.as_secs()
        )),
        End::Broke(status) => defects.push(format!("QEMU ended with {status}")),
        End::TimedOut => defects.push(format!(
            "the guest was not done after {} s",
            PATIENCE.total.as_secs()
        )),
    }
    match trouble {
        Ok(line) => defects.extend(line.map(|line| format!("the kernel said: {line}"))),
        Err(error) => defects.push(format!("{error:#}")),
    }
    for name in &guest.suites {
        let suite = report.suites.iter().find(|suite| suite.name == *name);
        let defect = suite.map_or_else(|| Some("did not run".to_owned()), Suite::defect);
        defects.extend(defect.map(|defect| format!("{name}: {defect}")));
    }
    defects
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(lines: &[&str]) -> Report {
        let mut report = Report::default();
        for line in lines {
            report.line(line);
        }
        report
    }

    fn only(label: &str, suites: &[&str]) -> Guest {
        let suites: Vec<_> = suites.iter().map(|suite| (*suite).to_owned()).collect();
        Guest::labelled(label).limited_to(&suites).unwrap()
    }

    const WHOLE: [&str; 5] = [
        "@begin auto",
        "test a ... ok",
        "test result: ok. 1 passed; 0 failed",
        "@end 0",
        "@done",
    ];

    #[test]
    fn a_whole_run_has_no_defect() {
        let guest = only("6.1", &["auto"]);
        assert!(defects(&guest, &report(&WHOLE), End::Stopped, Ok(None)).is_empty());
    }

    #[test]
    fn whatever_is_missing_is_a_defect() {
        let guest = only("6.1", &["auto", "fentry"]);
        let trouble = Ok(Some("] BUG: x".to_owned()));
        let cases = [
            (
                &WHOLE[..],
                End::Stopped,
                Ok(None),
                vec!["fentry: did not run"],
            ),
            (
                &WHOLE[..4],
                End::Stopped,
                Ok(None),
                vec!["before its end", "fentry"],
            ),
            (
                &WHOLE[..2],
                End::Hung,
                Ok(None),
                vec!["no sign of life", "auto: did not end", "fentry"],
            ),
            (
                &WHOLE[..],
                End::Stopped,
                Err(anyhow::anyhow!("console.log is empty")),
                vec!["is empty", "fentry"],
            ),
            (
                &WHOLE[..],
                End::Stopped,
                trouble,
                vec!["the kernel said", "fentry"],
            ),
        ];
        for (lines, end, trouble, expected) in cases {
            let found = defects(&guest, &report(lines), end, trouble);
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.contains(expected), "{found} {expected}");
            }
        }
    }
}
