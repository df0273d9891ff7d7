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

/// Ways to learn who accepted a connection, by the agent's names for them: its own choice, then
/// each one forced.
pub(crate) const HOOKS: [&str; 5] = ["auto", "fentry", "kprobe", "syscall-exit", "userspace"];

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
    pub(crate) kernels: Vec<String>,
    pub(crate) hooks: Vec<String>,
    /// Runs only tests whose name contains this.
    pub(crate) filter: String,
}

/// One guest and what came of it.
#[derive(Debug)]
struct Outcome {
    kernel: Kernel,
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
        let kernels = self
            .kernels
            .iter()
            .map(|series| Kernel::get(workspace, series))
            .collect::<Result<Vec<_>, _>>()?;
        let accelerator = choose_accelerator(workspace, &base, &kernels)?;
        let queue = Mutex::new(VecDeque::from(kernels));
        let next = || {
            queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front()
        };
        let worker = || -> anyhow::Result<Vec<Outcome>> {
            let mut outcomes = Vec::new();
            while let Some(kernel) = next() {
                outcomes.push(self.boot(workspace, &base, accelerator, kernel)?);
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
        kernel: Kernel,
    ) -> anyhow::Result<Outcome> {
        let start = Instant::now();
        let folder = workspace.vm().join("guests").join(&kernel.series);
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let machine = Machine {
            accelerator,
            kernel: kernel.image.clone(),
            initrd: folder.join("initrd"),
            parameters: "loglevel=5".to_owned(),
            console: folder.join("console.log"),
        };
        let variables = [
            ("MODE", "suites"),
            ("SUITES", &self.hooks.join(" ")),
            ("FILTER", &self.filter),
        ];
        base.write(&machine.initrd, &kernel, &variables)?;
        println!("[{}] booting {}", kernel.series, kernel.release);
        let mut report = Report::default();
        let mut output = String::new();
        let end = machine.run(workspace, PATIENCE, |line| {
            output.push_str(line);
            output.push('\n');
            if let Some((test, verdict)) = report.line(line) {
                let suite = report.suites.last().map_or("", |suite| &suite.name);
                println!("[{} {suite}] {test} ... {verdict}", kernel.series);
            }
        })?;
        fs::write(folder.join("tests.log"), output)?;
        let defects = self.defects(&report, end, qemu::trouble(&machine.console)?);
        Ok(Outcome {
            kernel,
            report,
            defects,
            console: machine.console,
            time: start.elapsed(),
        })
    }

    fn defects(&self, report: &Report, end: End, trouble: Option<String>) -> Vec<String> {
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
        for hook in &self.hooks {
            let suite = report.suites.iter().find(|suite| suite.name == *hook);
            let defect = suite.map_or_else(|| Some("did not run".to_owned()), Suite::defect);
            defects.extend(defect.map(|defect| format!("{hook}: {defect}")));
        }
        defects
    }
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
        "{:<8} {:<18} {:>4} s   {}",
        outcome.kernel.series,
        outcome.kernel.release,
        outcome.time.as_secs(),
        suites.join("  ")
    )
}

fn cell(suite: &Suite) -> String {
    let tests = suite.tests.len();
    match suite.count(Verdict::Failed) {
        0 => format!("{} {tests} ok", suite.name),
        failed => format!("{} {failed} of {tests} FAILED", suite.name),
    }
}
