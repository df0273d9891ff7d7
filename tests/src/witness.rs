//! Changes of state that the kernel ran no program for.
//!
//! On some build machines the first process is protected, even from root: in a softirq that interrupts
//! one of its threads no BPF program runs, and neither `run_cnt` nor `recursion_misses` tells. ftrace
//! has those events all the same. A test to which one of them was lost has shown nothing about the
//! agent.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

const INSTANCES: &str = "/sys/kernel/tracing/instances";
/// Below an instance of ftrace.
const EVENT: &str = "events/sock/inet_sock_set_state";

/// Watches all changes of state, beside the agent, while it lives.
#[derive(Debug)]
pub struct Witness {
    instance: PathBuf,
}

impl Witness {
    /// Starts to watch; none where the first process is like any other, or tracefs is not mounted.
    pub fn start(name: &OsStr) -> Result<Option<Self>> {
        let is_protected = fs::read_link("/proc/1/exe")
            .is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
        if !is_protected || !Path::new(INSTANCES).try_exists()? {
            return Ok(None);
        }
        let instance = Path::new(INSTANCES).join(name);
        fs::create_dir(&instance).with_context(|| instance.display().to_string())?;
        let witness = Self { instance };
        witness.enable(true)?;
        Ok(Some(witness))
    }

    /// Changes that interrupted the first process, as ftrace shows them: the last ones, when there
    /// were more than it has room for.
    pub fn withheld(&self) -> Result<Vec<String>> {
        let trace = fs::read(self.instance.join("trace"))?;
        let trace = String::from_utf8_lossy(&trace);
        let first = threads_of_first_process()?;
        let withheld = trace
            .lines()
            .filter(|line| thread(line).is_some_and(|id| first.contains(id)));
        Ok(withheld.map(str::to_owned).collect())
    }

    fn enable(&self, is_on: bool) -> Result<()> {
        let switch = self.instance.join(EVENT).join("enable");
        fs::write(&switch, if is_on { "1" } else { "0" })
            .with_context(|| switch.display().to_string())
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let removed = self
            .enable(false)
            .and_then(|()| Ok(fs::remove_dir(&self.instance)?));
        debug_assert!(removed.is_ok(), "{removed:?}");
    }
}

fn threads_of_first_process() -> Result<HashSet<String>> {
    let mut threads = HashSet::new();
    for entry in fs::read_dir("/proc/1/task")? {
        threads.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    Ok(threads)
}

/// The thread that was interrupted: `COMM-TID [CPU] …`, where the name may have anything in it.
fn thread(line: &str) -> Option<&str> {
    let (task, _) = line.split_once(" [")?;
    let (_, id) = task.rsplit_once('-')?;
    let id = id.trim_end();
    let is_number = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_is_behind_the_last_dash_of_its_name() {
        for (line, expected) in [
            (
                " tokio-rt-worker-75      [000] ..s2.  47.1: inet_sock_set_state: x",
                Some("75"),
            ),
            (
                "          <idle>-0       [001] ..s1.  47.1: inet_sock_set_state: x",
                Some("0"),
            ),
            ("# tracer: nop", None),
            ("a-b [000] x", None),
        ] {
            assert_eq!(thread(line), expected, "{line}");
        }
    }
}
