//! Where the agent, the telnetds and the clients are.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Path of the agent under test.
pub const AGENT_VAR: &str = "TELNET_MONITOR_BIN";
/// Root of the unpacked Debian packages with busybox, the telnetds and the clients.
pub const ROOT_VAR: &str = "TELNET_TEST_ROOT";
/// Path of this package's helper binary; needed only where it is not beside the tests.
pub const PEER_VAR: &str = "TELNET_TEST_PEER";

const PEER: &str = "telnet-test-peer";
const PROGRAM_DIRS: [&str; 6] = [
    "usr/sbin",
    "usr/bin",
    "sbin",
    "bin",
    "usr/lib/systemd",
    "lib/systemd",
];
const LIBRARY_DIRS: [&str; 2] = ["usr/lib", "lib"];

/// A program and the library path that it needs when it comes from an unpacked package.
#[derive(Debug, Clone)]
pub struct Tool {
    path: PathBuf,
    libraries: Option<OsString>,
}

impl Tool {
    /// Absolute path of the program.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command that runs the program under its own name.
    pub fn command(&self) -> Command {
        self.command_at(&self.path)
    }

    /// A command that runs it through `path`, another name of the same file.
    pub fn command_at(&self, path: &Path) -> Command {
        let mut command = Command::new(path);
        command.env_remove("TERM").env("LC_ALL", "C");
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }
}

/// The agent named by [`AGENT_VAR`], else `telnet-monitor` of `PATH`.
pub fn agent() -> Result<PathBuf> {
    match env::var_os(AGENT_VAR) {
        Some(path) => file(PathBuf::from(path)).with_context(|| format!("{AGENT_VAR} is set")),
        None => in_path("telnet-monitor").with_context(|| {
            format!("no agent: {AGENT_VAR} is not set and telnet-monitor is not in PATH")
        }),
    }
}

/// The helper binary: [`PEER_VAR`], else beside the test binary or one folder above it.
pub fn peer() -> Result<Tool> {
    let path = if let Some(path) = env::var_os(PEER_VAR) {
        file(PathBuf::from(path)).with_context(|| format!("{PEER_VAR} is set"))?
    } else {
        let me = env::current_exe().context("path of the test binary")?;
        let mut beside = me.ancestors().skip(1).take(2).map(|dir| dir.join(PEER));
        beside
            .find(|path| path.is_file())
            .with_context(|| format!("{PEER} is neither beside nor above {}", me.display()))?
    };
    Ok(Tool {
        path,
        libraries: None,
    })
}

/// Fails unless every program that live tests use is there, so that a missing one stops
/// all of them with the same sentence.
pub fn require_all() -> Result<()> {
    for name in [
        "busybox",
        "telnetd",
        "inetd",
        "xinetd",
        "inetutils-telnet",
        "rsyslogd",
        "systemd-journald",
        "journalctl",
        "login",
        "dash",
    ] {
        find(name)?;
    }
    peer().map(drop)
}

/// The program `name` under [`ROOT_VAR`], else of `PATH`.
pub fn find(name: &str) -> Result<Tool> {
    let root = env::var_os(ROOT_VAR).map(PathBuf::from);
    if let Some(root) = &root {
        let mut unpacked = PROGRAM_DIRS.iter().map(|dir| root.join(dir).join(name));
        if let Some(path) = unpacked.find(|path| path.is_file()) {
            let path = path
                .canonicalize()
                .with_context(|| path.display().to_string())?;
            return Ok(Tool {
                path,
                libraries: Some(libraries(root)?),
            });
        }
    }
    match (in_path(name), root) {
        (Some(path), _) => Ok(Tool {
            path,
            libraries: None,
        }),
        (None, Some(root)) => bail!(
            "{name} is neither under {ROOT_VAR}={} nor in PATH",
            root.display()
        ),
        (None, None) => bail!("{name} is not in PATH, and {ROOT_VAR} is not set"),
    }
}

/// Where the unpacked packages are.
pub fn root() -> Option<PathBuf> {
    env::var_os(ROOT_VAR).map(PathBuf::from)
}

/// Where rsyslogd's modules are: it looks for them where it was built to be installed.
pub fn rsyslog_modules() -> Result<PathBuf> {
    let root = env::var_os(ROOT_VAR).map_or_else(|| PathBuf::from("/"), PathBuf::from);
    let libraries = root.join("usr/lib");
    let folders = libraries
        .read_dir()
        .with_context(|| libraries.display().to_string())?;
    for entry in folders {
        let modules = entry?.path().join("rsyslog");
        if modules.is_dir() {
            return Ok(modules);
        }
    }
    bail!("no rsyslog below {}", libraries.display())
}

/// Library folders of an unpacked root, multiarch ones included.
fn libraries(root: &Path) -> Result<OsString> {
    let mut dirs = Vec::new();
    for dir in LIBRARY_DIRS.map(|dir| root.join(dir)) {
        if !dir.is_dir() {
            continue;
        }
        for entry in dir.read_dir().with_context(|| dir.display().to_string())? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().ends_with("-linux-gnu") {
                dirs.push(entry.path());
                // What only systemd's own programs use.
                dirs.push(entry.path().join("systemd"));
            }
        }
        dirs.push(dir);
    }
    Ok(env::join_paths(dirs)?)
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    // Debian keeps telnetd in sbin, which a user's PATH leaves out.
    let dirs = env::split_paths(&path).chain(PROGRAM_DIRS.map(|dir| Path::new("/").join(dir)));
    dirs.map(|dir| dir.join(name)).find(|path| path.is_file())
}

fn file(path: PathBuf) -> Result<PathBuf> {
    if !path.is_file() {
        bail!("no such file: {}", path.display());
    }
    Ok(path)
}
