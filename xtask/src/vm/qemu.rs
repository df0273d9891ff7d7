//! Virtual machines.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use super::board::Board;
use crate::{process, target::Target, workspace::Workspace};

/// What runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accelerator {
    Kvm,
    /// Emulation: slow, and works everywhere.
    Tcg,
}

impl Accelerator {
    const fn arguments(self, board: &Board) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            // One thread for both of the guest's processors. With one for each, some boots hung or
            // ended in an oops where one processor patches the code that the other runs. Two guests
            // at once take the same time either way on two processors.
            Self::Tcg => ["-accel", "tcg,thread=single", "-cpu", board.cpu],
        }
    }

    /// Kernel parameters.
    const fn parameters(self, board: &Board) -> &'static str {
        match self {
            Self::Kvm => "",
            Self::Tcg => board.emulated,
        }
    }
}

impl Accelerator {
    /// The same for the guest's shell: empty for no.
    pub(super) const fn emulated(self) -> &'static str {
        match self {
            Self::Kvm => "",
            Self::Tcg => "1",
        }
    }
}

/// What a guest says now and then, whatever else it does.
const ALIVE: &str = "@alive";

/// How long a guest may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Between two signs of life.
    pub(crate) silent: Duration,
    /// Between two lines that say more.
    pub(crate) idle: Duration,
    /// From start to end.
    pub(crate) total: Duration,
}

/// A guest to boot.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) target: Target,
    pub(crate) accelerator: Accelerator,
    pub(crate) kernel: PathBuf,
    pub(crate) initrd: PathBuf,
    /// As QEMU takes it.
    pub(crate) memory: &'static str,
    /// More kernel parameters.
    pub(crate) parameters: String,
    /// Where the kernel's log goes.
    pub(crate) console: PathBuf,
}

/// How a guest ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself.
    Stopped,
    /// It gave no sign of life for too long.
    Hung,
    /// It was alive, and got nowhere.
    Stuck,
    /// It did not come to an end.
    TimedOut,
    /// The virtual machine broke, which says nothing of the guest.
    Broke(ExitStatus),
}

impl Machine {
    /// Boots, hands every line of the guest's second serial line to `line`, and waits for the end.
    pub(crate) fn run(
        &self,
        workspace: &Workspace,
        patience: Patience,
        mut line: impl FnMut(&str),
    ) -> anyhow::Result<End> {
        let mut command = self.command(workspace);
        command
            .arg("-serial")
            .arg(format!("file:{}", self.console.display()))
            .args(Board::of(self.target).line)
            .args(["-monitor", "none"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start `{}`", process::render(&command)))?;
        let output = child.stdout.take().context("qemu has no output")?;
        let end = follow(output, patience, &mut line);
        match end {
            End::Stopped => {
                let status = child.wait()?;
                Ok(if status.success() {
                    end
                } else {
                    End::Broke(status)
                })
            }
            End::Hung | End::Stuck | End::TimedOut | End::Broke(_) => {
                stop(&mut child)?;
                Ok(end)
            }
        }
    }

    /// Replaces this process; the guest's console is the terminal. `port` of this machine's
    /// loopback leads to the guest's port 23; the guest reaches nothing else.
    pub(crate) fn attach(&self, workspace: &Workspace, port: u16) -> anyhow::Result<()> {
        let mut command = self.command(workspace);
        command.args(["-serial", "mon:stdio", "-serial", "null"]);
        let network = format!("user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:23");
        command
            .args(["-netdev", &network])
            .args(["-device", "virtio-net-pci,netdev=net,romfile="]);
        match process::exec(&mut command)? {}
    }

    fn command(&self, workspace: &Workspace) -> Command {
        let board = Board::of(self.target);
        // It would outlive an xtask that is ended by a signal, and hold a processor for hours.
        let mut command = workspace.command("setpriv");
        command
            .args(["--pdeathsig", "TERM", board.program])
            .args(["-machine", board.machine, "-smp", "2", "-m", self.memory])
            .args(self.accelerator.arguments(&board))
            .args([
                "-nodefaults",
                "-no-user-config",
                "-display",
                "none",
                "-no-reboot",
            ])
            .arg("-kernel")
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(&self.initrd)
            .arg("-append")
            .arg(format!(
                "{} {} panic=-1 {}",
                board.parameters,
                self.accelerator.parameters(&board),
                self.parameters
            ));
        command
    }
}

fn follow(
    output: impl Read + Send + 'static,
    patience: Patience,
    line: &mut dyn FnMut(&str),
) -> End {
    let start = Instant::now();
    let mut said = start;
    let lines = lines_of(output);
    loop {
        let Some(left) = patience.total.checked_sub(start.elapsed()) else {
            return End::TimedOut;
        };
        match lines.recv_timeout(patience.silent.min(left)) {
            // It may come in the middle of a line.
            Ok(text) => match text.strip_suffix(ALIVE) {
                Some("") if said.elapsed() > patience.idle => return End::Stuck,
                Some("") => {}
                beginning => {
                    said = Instant::now();
                    line(beginning.unwrap_or(&text));
                }
            },
            Err(RecvTimeoutError::Disconnected) => return End::Stopped,
            Err(RecvTimeoutError::Timeout) if patience.silent < left => return End::Hung,
            Err(RecvTimeoutError::Timeout) => return End::TimedOut,
        }
    }
}

/// Reads lines in a thread, so that waiting for one can end. A full channel holds the guest up.
fn lines_of(output: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::sync_channel(1024);
    thread::spawn(move || {
        let mut reader = BufReader::new(output);
        let mut bytes = Vec::new();
        while reader
            .read_until(b'\n', &mut bytes)
            .is_ok_and(|count| count > 0)
        {
            let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            if sender.send(text).is_err() {
                return;
            }
            bytes.clear();
        }
    });
    receiver
}

fn stop(child: &mut Child) -> anyhow::Result<()> {
    if child.try_wait()?.is_none() {
        // It may end by itself in between.
        child.kill().or_else(|error| match child.try_wait() {
            Ok(Some(_)) => Ok(()),
            _ => Err(error),
        })?;
    }
    child.wait()?;
    Ok(())
}

/// Whether this machine has what could run a guest with its own processor.
pub(crate) fn has_kvm() -> bool {
    let mut options = File::options();
    options.read(true).write(true).open("/dev/kvm").is_ok()
}

/// Chooses the accelerator for guests with this machine's processor by booting one that does
/// nothing: some machines have a `/dev/kvm` in which guests hang. The answer is kept until this
/// machine boots again.
pub(crate) fn accelerator(
    workspace: &Workspace,
    target: Target,
    kernel: &Path,
    initrd: &Path,
) -> anyhow::Result<Accelerator> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let answer = workspace.vm().join("accelerator");
    let known = fs::read_to_string(&answer).unwrap_or_default();
    match known.strip_prefix(&boot).map(str::trim) {
        Some("kvm") => return Ok(Accelerator::Kvm),
        Some("tcg") => return Ok(Accelerator::Tcg),
        _ => {}
    }
    let works = boots_under_kvm(workspace, target, kernel, initrd)?;
    fs::write(
        &answer,
        format!("{boot}{}\n", if works { "kvm" } else { "tcg" }),
    )?;
    Ok(if works {
        Accelerator::Kvm
    } else {
        Accelerator::Tcg
    })
}

fn boots_under_kvm(
    workspace: &Workspace,
    target: Target,
    kernel: &Path,
    initrd: &Path,
) -> anyhow::Result<bool> {
    println!("trying KVM");
    let machine = Machine {
        target,
        accelerator: Accelerator::Kvm,
        kernel: kernel.to_path_buf(),
        initrd: initrd.to_path_buf(),
        memory: "1G",
        parameters: "quiet".to_owned(),
        console: workspace.vm().join("kvm.log"),
    };
    let limit = Duration::from_secs(20);
    let patience = Patience {
        silent: limit,
        idle: limit,
        total: limit,
    };
    let mut done = false;
    let end = machine.run(workspace, patience, |line| done |= line == "@done")?;
    Ok(done && end == End::Stopped)
}

/// Lines of a kernel log that no healthy run has.
const TROUBLE: [&str; 9] = [
    "] BUG: ",
    "] Oops: ",
    // On aarch64.
    "] Internal error: ",
    "Kernel panic",
    "[ cut here ]",
    "general protection fault",
    "rcu: INFO: rcu_",
    "soft lockup",
    "blocked for more than",
];

/// The first sign of trouble in the kernel log at `console`.
pub(crate) fn trouble(console: &Path) -> anyhow::Result<Option<String>> {
    let bytes = fs::read(console).with_context(|| format!("cannot read {}", console.display()))?;
    if bytes.is_empty() {
        bail!("{} is empty: the kernel did not start", console.display());
    }
    Ok(first_trouble(&String::from_utf8_lossy(&bytes)))
}

fn first_trouble(log: &str) -> Option<String> {
    log.lines()
        .find(|line| TROUBLE.iter().any(|sign| line.contains(sign)))
        .map(|line| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Patience = Patience {
        silent: Duration::from_millis(20),
        idle: Duration::from_mins(1),
        total: Duration::from_mins(1),
    };

    #[test]
    fn lines_arrive_until_the_end() {
        let mut lines = Vec::new();
        let mut push = |line: &str| lines.push(line.to_owned());
        let end = follow(&b"one\r\n\xfftwo\nthree"[..], SHORT, &mut push);
        assert_eq!(end, End::Stopped);
        assert_eq!(lines, ["one", "\u{fffd}two", "three"]);
    }

    #[test]
    fn silence_is_a_hang() {
        let (reader, _writer) = std::io::pipe().unwrap();
        assert_eq!(follow(reader, SHORT, &mut |_| {}), End::Hung);
    }

    #[test]
    fn signs_of_life_are_no_progress() {
        let mut lines = Vec::new();
        let mut push = |line: &str| lines.push(line.to_owned());
        let text = &b"one\n@alive\ntest two ... @alive\nok\n"[..];
        assert_eq!(follow(text, SHORT, &mut push), End::Stopped);
        assert_eq!(lines, ["one", "test two ... ", "ok"]);
        let impatient = Patience {
            idle: Duration::ZERO,
            ..SHORT
        };
        assert_eq!(follow(text, impatient, &mut |_| {}), End::Stuck);
    }

    #[test]
    fn trouble_is_found() {
        let log = "[1.0] fine\n[2.0] BUG: kernel NULL pointer dereference\n";
        assert_eq!(
            first_trouble(log).unwrap(),
            "[2.0] BUG: kernel NULL pointer dereference"
        );
        assert_eq!(first_trouble("[1.0] DEBUG: nothing\n[2] debug: x"), None);
    }
}
