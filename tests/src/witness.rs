//! Changes of state that the kernel ran no program for.
//!
//! On some build machines the first process is protected, even from root: in a softirq that interrupts
//! one of its threads no BPF program runs, and neither `run_cnt` nor `recursion_misses` tells. ftrace
//! has those events all the same. A test to which one of them was lost has shown nothing about the
//! agent. Whatever process root may not look at is taken for protected.
//!
//! Elsewhere ftrace tells what the kernel did in a test that fails.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::OFlags;

const INSTANCES: &str = "/sys/kernel/tracing/instances";
/// Below an instance of ftrace.
const EVENT: &str = "events/sock/inet_sock_set_state";
/// Changes wait in this much memory for each CPU until they are read, in kibibytes.
const BUFFER: &str = "8192";
/// Lower numbers are not of one connection alone.
const FIRST_OWN_PORT: u16 = 10_000;
/// So many of the last changes can be asked for.
const RECENT: usize = 4096;

/// Watches all changes of state, beside the agent, while it lives.
#[derive(Debug)]
pub struct Witness {
    instance: PathBuf,
    seen: RefCell<Seen>,
}

/// What was read of the trace.
#[derive(Debug)]
struct Seen {
    /// The protected processes.
    protected: HashSet<u32>,
    pipe: File,
    /// The begin of a line whose end is not read yet.
    rest: Vec<u8>,
    withheld: Vec<String>,
    recent: VecDeque<String>,
}

impl Witness {
    /// Starts to watch; none where no process is protected, or tracefs is not mounted.
    pub fn start(name: &OsStr) -> Result<Option<Self>> {
        let protected = protected()?;
        if protected.is_empty() || !Path::new(INSTANCES).try_exists()? {
            return Ok(None);
        }
        Self::watch(name, protected).map(Some)
    }

    /// The same where no process is protected either, to tell what the kernel did when a test fails:
    /// there it is no error of the test's when ftrace is refused, as it is under lockdown.
    pub fn start_anyway(name: &OsStr) -> Result<Option<Result<Self>>> {
        let protected = protected()?;
        if protected.is_empty() {
            return Ok(Some(Self::watch(name, protected)));
        }
        Ok(Self::start(name)?.map(Ok))
    }

    fn watch(name: &OsStr, protected: HashSet<u32>) -> Result<Self> {
        let instance = Path::new(INSTANCES).join(name);
        fs::create_dir(&instance).with_context(|| instance.display().to_string())?;
        let pipe = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(instance.join("trace_pipe"));
        let pipe = match pipe {
            Ok(pipe) => pipe,
            Err(error) => {
                fs::remove_dir(&instance)?;
                return Err(error).context("trace_pipe");
            }
        };
        let seen = Seen {
            protected,
            pipe,
            rest: Vec::new(),
            withheld: Vec::new(),
            recent: VecDeque::new(),
        };
        let witness = Self {
            instance,
            seen: RefCell::new(seen),
        };
        witness.set("buffer_size_kb", BUFFER)?;
        // The process of a thread, since many threads are gone when somebody asks.
        witness.set("options/record-tgid", "1")?;
        witness.enable(true)?;
        Ok(witness)
    }

    /// Changes so far that interrupted a protected process.
    pub fn withheld(&self) -> Result<Vec<String>> {
        let mut seen = self.seen.borrow_mut();
        seen.read()?;
        Ok(seen.withheld.clone())
    }

    /// The last changes of connections one of whose ports is a number in `text`, and what the trace
    /// has lost.
    pub fn changes_about(&self, text: &str) -> Result<Vec<String>> {
        let mut seen = self.seen.borrow_mut();
        seen.read()?;
        let numbers: HashSet<u16> = text
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .filter(|port| *port >= FIRST_OWN_PORT)
            .collect();
        let is_about = |line: &&String| {
            ports(line).is_none_or(|ports| ports.iter().any(|port| numbers.contains(port)))
        };
        Ok(seen.recent.iter().filter(is_about).cloned().collect())
    }

    fn enable(&self, is_on: bool) -> Result<()> {
        self.set(&format!("{EVENT}/enable"), if is_on { "1" } else { "0" })
    }

    fn set(&self, name: &str, value: &str) -> Result<()> {
        let file = self.instance.join(name);
        fs::write(&file, value).with_context(|| file.display().to_string())
    }
}

impl Seen {
    fn read(&mut self) -> Result<()> {
        let mut block = vec![0; 1 << 16];
        loop {
            let length = match self.pipe.read(&mut block) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("trace_pipe"),
            };
            self.rest.extend(block.iter().take(length));
            let end = self.rest.iter().rposition(|&byte| byte == b'\n');
            let lines: Vec<u8> = self.rest.drain(..end.map_or(0, |end| end + 1)).collect();
            let lines = String::from_utf8_lossy(&lines).into_owned();
            let is_withheld =
                |line: &&str| process(line).is_some_and(|pid| self.protected.contains(&pid));
            let withheld = lines.lines().filter(is_withheld);
            self.withheld.extend(withheld.map(str::to_owned));
            self.recent.extend(lines.lines().map(str::to_owned));
            let surplus = self.recent.len().saturating_sub(RECENT);
            self.recent.drain(..surplus);
        }
        Ok(())
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let removed = self.enable(false).and_then(|()| {
            // An instance with an open file stays.
            self.seen.get_mut().pipe = File::open("/dev/null")?;
            Ok(fs::remove_dir(&self.instance)?)
        });
        debug_assert!(removed.is_ok(), "{removed:?}");
    }
}

/// Processes that not even root may look at.
fn protected() -> Result<HashSet<u32>> {
    let mut protected = HashSet::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|pid| pid.parse().ok()) else {
            continue;
        };
        let exe = fs::read_link(entry.path().join("exe"));
        if exe.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
            protected.insert(pid);
        }
    }
    Ok(protected)
}

/// The ports of a change, the socket's own first.
pub(crate) fn ports(line: &str) -> Option<[u16; 2]> {
    let port = |name| {
        let (_, rest) = line.split_once(name)?;
        rest.split_whitespace().next()?.parse().ok()
    };
    Some([port(" sport=")?, port(" dport=")?])
}

/// The process that was interrupted: `COMM-TID (TGID) [CPU] …`, where the name may have anything in
/// it.
fn process(line: &str) -> Option<u32> {
    let (task, _) = line.rsplit_once(") [")?;
    let (_, id) = task.rsplit_once('(')?;
    id.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_in_the_last_parentheses_before_the_processor() {
        for (line, expected) in [
            (
                " tokio-rt-worker-75      (      1) [000] ..s2.  47.1: inet_sock_set_state: x",
                Some(1),
            ),
            (
                "       a (2) [0]-4714    (   3405) [001] .....  47.1: inet_sock_set_state: x",
                Some(3405),
            ),
            (
                "          <idle>-0       (-------) [001] ..s1.  47.1: inet_sock_set_state: x",
                None,
            ),
            ("CPU:0 [LOST 12 EVENTS]", None),
        ] {
            assert_eq!(process(line), expected, "{line}");
        }
    }

    #[test]
    fn ports_are_read_where_there_are_any() {
        let line = "x: family=AF_INET protocol=IPPROTO_TCP sport=23 dport=46564 saddr=192.0.2.1";
        assert_eq!(ports(line), Some([23, 46_564]));
        assert_eq!(ports("CPU:0 [LOST 12 EVENTS]"), None);
    }
}
