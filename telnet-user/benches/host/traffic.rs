//! Starts the load generator in a network namespace of its own.

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// Root of the unpacked Debian packages.
pub(crate) const ROOT: &str = "TELNET_TEST_ROOT";

/// A folder that `cargo xtask bench` named.
pub(crate) fn named(variable: &str) -> anyhow::Result<PathBuf> {
    env::var_os(variable)
        .map(PathBuf::from)
        .with_context(|| format!("{variable} is not set: run `cargo xtask bench`"))
}

fn command(words: &[&str]) -> anyhow::Result<Command> {
    let busybox = named(ROOT)?.join("bin/busybox");
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c"]);
    command.arg("\"$0\" ip link set lo up && exec \"$@\"");
    command.arg(busybox).arg(env::current_exe()?);
    command.arg("load").args(words);
    Ok(command)
}

/// What the load generator said of what it did.
pub(crate) fn run(words: &[&str]) -> anyhow::Result<Value> {
    let output = command(words)?
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start unshare")?;
    if !output.status.success() {
        bail!("load {words:?} failed: {}", output.status);
    }
    serde_json::from_slice(&output.stdout).context("the load generator said no JSON")
}

/// Sessions that stay open; they end with this.
pub(crate) struct Held(Vec<Child>);

impl Held {
    /// Opens them, in as many processes as it takes.
    pub(crate) fn open(port: u16, sessions: usize) -> anyhow::Result<Self> {
        /// A process may have 20,000 files open on common systems; a session is two.
        const EACH: usize = 9_000;
        let mut held = Self(Vec::new());
        let mut left = sessions;
        while left > 0 {
            let now = left.min(EACH);
            left -= now;
            let words = ["hold", &port.to_string(), &now.to_string()];
            let mut child = command(&words)?
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .context("cannot start unshare")?;
            let stdout = child.stdout.take().context("no standard output")?;
            held.0.push(child);
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line)?;
            if !line.contains("open") {
                bail!("{sessions} sessions cannot be held open");
            }
        }
        Ok(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.stdin.take());
            // It ends with its standard input; what else could be done about an error?
            drop(child.wait());
        }
    }
}

/// A number of what was said.
pub(crate) fn number(said: &Value, name: &str) -> anyhow::Result<f64> {
    let number = said.get(name).and_then(Value::as_f64);
    number.with_context(|| format!("no {name} in {said}"))
}
