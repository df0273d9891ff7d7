//! The live tests on every kernel with every way to learn who accepted a connection.

use std::{
    collections::VecDeque,
    fs,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use super::{
    choose_accelerator,
    guest::Base,
    kernel::Kernel,
    qemu::{self, Accelerator, End, Machine, Patience},
    verdict::{Report, Suite, Verdict},
};
use crate::{
    toolchain::{self, Need},
    workspace::Workspace,
};

/// Runs of the live tests, by the agent's names for the ways to learn who accepted a connection:
/// its own choice, then each one forced.
pub(crate) const HOOKS: [&str; 5] = ["auto", "fentry", "kprobe", "syscall-exit", "userspace"];

/// The live tests that a forced way to learn who accepted can change.
const FORCED_FILTER: &str = "owners::";

/// What the agent must refuse, each with a sentence: a kernel that hides its types, and one that
/// is too old.
pub(crate) const REFUSALS: &str = "refusals";

/// Emulated guests are slow, and two share a small machine.
const PATIENCE: Patience = Patience {
    quiet: Duration::from_mins(4),
    total: Duration::from_mins(30),
};

/// Guests that run at once: each has two processors.
const GUESTS: usize = 2;

/// What to run.
#[derive(Debug)]
pub(crate) struct Matrix {
    pub(crate) guests: Vec<Guest>,
    pub(crate) tests: Tests,
}

/// Which of the live tests to run.
#[derive(Clone, Debug)]
pub(crate) enum Tests {
    /// Those whose name contains this.
    Matching(String),
    /// All with the agent's own choice of a hook, and with a forced one those it can change.
    Relevant,
    /// All of them each time.
    All,
}

impl Tests {
    /// What is given to the test program: with the agent's own choice, and with a forced one.
    fn filters(&self) -> (&str, &str) {
        match self {
            Self::Matching(text) => (text, text),
            Self::Relevant => ("", FORCED_FILTER),
            Self::All => ("", ""),
        }
    }
}

/// A kernel, how it is started, and what runs on it.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    /// Short name in the output.
    pub(crate) label: String,
    /// Kernel series.
    pub(crate) series: String,
    /// Kernel parameters of its own.
    pub(crate) parameters: &'static str,
    /// [`HOOKS`] or [`REFUSALS`].
    pub(crate) suites: Vec<String>,
}

impl Guest {
    /// A kernel as it comes.
    pub(crate) fn plain(series: &str, suites: &[String]) -> Self {
        Self {
            label: series.to_owned(),
            series: series.to_owned(),
            parameters: "",
            suites: suites.to_vec(),
        }
    }

    /// A kernel that lets not even root read its memory, as with Secure Boot at its strictest: no
    /// program with `bpf_probe_read_kernel` loads, and the agent has to choose one without.
    pub(crate) fn locked_down(series: &str) -> Self {
        Self {
            label: format!("{series}-lockdown"),
            parameters: "lockdown=confidentiality",
            ..Self::plain(series, &["auto".to_owned()])
        }
    }
}

/// One guest and what came of it.
#[derive(Debug)]
struct Outcome {
    guest: Guest,
    release: String,
    report: Report,
    /// What is wrong apart from failed tests.
    defects: Vec<String>,
    console: PathBuf,
    time: Duration,
}

impl Matrix {
    /// Boots all guests; an error when one test anywhere did not pass.
    pub(crate) fn run(&self, workspace: &Workspace) -> anyhow::Result<()> {
        let needs = [Need::Probe, Need::LiveTests, Need::Machines];
        let ready = toolchain::ensure(workspace, &needs, None)?;
        let base = Base::build(workspace, ready.toolchain)?;
        let mut guests = VecDeque::new();
        for guest in &self.guests {
            guests.push_back((guest, Kernel::get(workspace, &guest.series)?));
        }
        let (_, kernel) = guests.front().context("no kernel was asked for")?;
        let accelerator = choose_accelerator(workspace, &base, kernel)?;
        let queue = Mutex::new(guests);
        let worker = || -> anyhow::Result<Vec<Outcome>> {
            let mut outcomes = Vec::new();
            while let Some((guest, kernel)) = next(&queue) {
                outcomes.push(self.boot(workspace, &base, accelerator, guest, &kernel)?);
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
        summarise(&outcomes)
    }

    fn boot(
        &self,
        workspace: &Workspace,
        base: &Base,
        accelerator: Accelerator,
        guest: &Guest,
        kernel: &Kernel,
    ) -> anyhow::Result<Outcome> {
        let start = Instant::now();
        let folder = workspace.vm().join("guests").join(&guest.label);
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let machine = Machine {
            accelerator,
            kernel: kernel.image.clone(),
            initrd: folder.join("initrd"),
            parameters: format!("loglevel=5 {}", guest.parameters),
            console: folder.join("console.log"),
        };
        let (filter, forced_filter) = self.tests.filters();
        let variables = [
            ("MODE", "suites"),
            ("SUITES", &guest.suites.join(" ")),
            ("FILTER", filter),
            ("FORCED_FILTER", forced_filter),
        ];
        base.write(&machine.initrd, kernel, &variables)?;
        println!("[{}] booting {}", guest.label, kernel.release);
        let mut report = Report::default();
        let mut output = String::new();
        let end = machine.run(workspace, PATIENCE, |line| {
            output.push_str(line);
            output.push('\n');
            if let Some((test, verdict)) = report.line(line) {
                let suite = report.suites.last().map_or("", |suite| &suite.name);
                println!("[{} {suite}] {test} ... {verdict}", guest.label);
            }
        })?;
        let log = folder.join("tests.log");
        fs::write(&log, output).with_context(|| format!("cannot write {}", log.display()))?;
        Ok(Outcome {
            guest: guest.clone(),
            release: kernel.release.clone(),
            defects: defects(guest, &report, end, qemu::trouble(&machine.console)?),
            report,
            console: machine.console,
            time: start.elapsed(),
        })
    }
}

fn next<T>(queue: &Mutex<VecDeque<T>>) -> Option<T> {
    queue
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .pop_front()
}

fn defects(guest: &Guest, report: &Report, end: End, trouble: Option<String>) -> Vec<String> {
    let mut defects = Vec::new();
    match end {
        End::Stopped if report.done => {}
        End::Stopped => defects.push("the guest stopped before its end".to_owned()),
        End::Hung => defects.push(format!(
            "the guest said nothing for {} s",
            PATIENCE.quiet.as_secs()
        )),
        End::TimedOut => defects.push(format!(
            "the guest was not done after {} s",
            PATIENCE.total.as_secs()
        )),
    }
    defects.extend(trouble.map(|line| format!("the kernel said: {line}")));
    for name in &guest.suites {
        let suite = report.suites.iter().find(|suite| suite.name == *name);
        let defect = suite.map_or_else(|| Some("did not run".to_owned()), Suite::defect);
        defects.extend(defect.map(|defect| format!("{name}: {defect}")));
    }
    defects
}

/// Prints the table and the closing line.
fn summarise(outcomes: &[Outcome]) -> anyhow::Result<()> {
    let mut passed = 0;
    let mut failed = 0;
    let mut defects = 0;
    println!();
    for outcome in outcomes {
        println!("{}", row(outcome));
        for suite in &outcome.report.suites {
            passed += suite.count(Verdict::Passed);
            failed += suite.count(Verdict::Failed);
            for (test, _) in suite.tests.iter().filter(|(_, v)| *v == Verdict::Failed) {
                println!("    {} {test} FAILED", suite.name);
            }
        }
        for defect in &outcome.defects {
            println!("    {defect} (see {})", outcome.console.display());
        }
        defects += outcome.defects.len();
    }
    println!();
    println!("{passed} passed, {} failed", failed + defects);
    if failed + defects > 0 {
        bail!("{failed} tests failed in virtual machines, and {defects} other defects were found");
    }
    Ok(())
}

fn row(outcome: &Outcome) -> String {
    let suites: Vec<_> = outcome.report.suites.iter().map(cell).collect();
    format!(
        "{:<16} {:<18} {:>4} s   {}",
        outcome.guest.label,
        outcome.release,
        outcome.time.as_secs(),
        suites.join("  ")
    )
}

fn cell(suite: &Suite) -> String {
    let Suite { name, tests, .. } = suite;
    match suite.count(Verdict::Failed) {
        0 if suite.defect().is_some() => format!("{name} INCOMPLETE"),
        0 => format!("{name} {} ok", tests.len()),
        failed => format!("{name} {failed} of {} FAILED", tests.len()),
    }
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

    const WHOLE: [&str; 5] = [
        "@begin auto",
        "test a ... ok",
        "test result: ok. 1 passed; 0 failed",
        "@end 0",
        "@done",
    ];

    #[test]
    fn a_whole_run_has_no_defect() {
        let guest = Guest::plain("6.1", &["auto".to_owned()]);
        assert!(defects(&guest, &report(&WHOLE), End::Stopped, None).is_empty());
    }

    #[test]
    fn whatever_is_missing_is_a_defect() {
        let guest = Guest::plain("6.1", &["auto".to_owned(), "fentry".to_owned()]);
        let trouble = Some("] BUG: x".to_owned());
        let cases = [
            (&WHOLE[..], End::Stopped, None, vec!["fentry: did not run"]),
            (
                &WHOLE[..4],
                End::Stopped,
                None,
                vec!["before its end", "fentry"],
            ),
            (
                &WHOLE[..2],
                End::Hung,
                None,
                vec!["said nothing", "auto: did not end", "fentry"],
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
