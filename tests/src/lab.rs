//! What a live test stands on, and when it may be left out.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use crate::agent::logs;
use crate::net::Netns;
use crate::tools::{self, Tool};
use crate::witness::{self, Witness};

/// With the value `optional`, tests that cannot run here say so and pass.
pub const LIVE_VAR: &str = "TELNET_LIVE";

/// The server's IPv4 address in the lab (TEST-NET-1).
pub const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// The server's IPv6 address in the lab (documentation prefix).
pub const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
const FENCE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 250));

/// A user and a group without any rights.
pub const NOBODY: u32 = 65_534;

/// How often a test may be run for which the kernel withheld events: see [`Witness`] and [`logs`].
const ATTEMPTS: u32 = 3;

/// Held by every live test of the machine, shared or alone.
const LOCK: &str = "/run/telnet-live.lock";

/// Two namespaces, a folder and the agent's path.
#[derive(Debug)]
pub struct Lab {
    /// Where the test's sessions happen; has the addresses [`V4`] and [`V6`].
    pub net: Netns,
    /// Where [`crate::agent::Agent::fence`]'s sessions happen.
    pub fence_net: Netns,
    dir: TempDir,
    agent: Option<PathBuf>,
    /// What the kernel does besides, or why nobody tells.
    witness: Option<Result<Witness>>,
    /// Released last.
    _lock: File,
}

/// Runs a test that needs the agent. Others may run meanwhile.
pub fn live(test: impl Fn(&Lab) -> Result<()>) -> Result<()> {
    run(Lock::Shared, || tools::agent().map(Some), test)
}

/// Like [`live`], while no other live test runs on this machine: for tests with more sessions
/// than the shipped rule makes alerts of. Every agent sees them, and would have no alerts
/// left for its own test.
pub fn live_alone(test: impl Fn(&Lab) -> Result<()>) -> Result<()> {
    run(Lock::Alone, || tools::agent().map(Some), test)
}

/// Runs a test of the harness itself, which needs everything but the agent.
pub fn harness(test: impl Fn(&Lab) -> Result<()>) -> Result<()> {
    run(Lock::Shared, || Ok(None), test)
}

#[derive(Clone, Copy)]
enum Lock {
    Shared,
    Alone,
}

impl Lock {
    fn take(self) -> Result<File> {
        let file = File::create(LOCK).context(LOCK)?;
        match self {
            Self::Shared => file.lock_shared()?,
            Self::Alone => file.lock()?,
        }
        Ok(file)
    }
}

fn run(
    lock: Lock,
    agent: impl Fn() -> Result<Option<PathBuf>>,
    test: impl Fn(&Lab) -> Result<()>,
) -> Result<()> {
    let open = || {
        require_root()
            .and_then(|()| tools::require_all())
            .and_then(|()| agent())
            .and_then(|agent| Lab::open(agent, lock))
    };
    let mut attempt = 1;
    loop {
        logs::clear();
        let lab = match open() {
            Ok(lab) => lab,
            Err(reason) if env::var_os(LIVE_VAR).is_some_and(|value| value == "optional") => {
                // Not through libtest's capture: nobody should take this for a pass.
                writeln!(
                    io::stderr(),
                    "live test SKIPPED, {LIVE_VAR}=optional: {reason:#}"
                )?;
                return Ok(());
            }
            Err(reason) => {
                return Err(reason.context(format!(
                    "this live test cannot run here (set {LIVE_VAR}=optional to skip it)"
                )));
            }
        };
        let Err(error) = test(&lab) else {
            return Ok(());
        };
        let mut withheld = lab.withheld()?;
        withheld.extend(logs::skipped_runs());
        if withheld.is_empty() || attempt == ATTEMPTS {
            return Err(lab.with_changes(error));
        }
        attempt += 1;
        writeln!(
            io::stderr(),
            "live test AGAIN, the kernel ran no program for\n{}\n{error:#}",
            withheld.join("\n")
        )?;
    }
}

fn require_root() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "live tests must run as root"
    );
    Ok(())
}

impl Lab {
    fn open(agent: Option<PathBuf>, lock: Lock) -> Result<Self> {
        let taken = lock.take()?;
        let dir = tempfile::Builder::new().prefix("telnet-live-").tempdir()?;
        let name = dir.path().file_name().context("a folder's name")?;
        let witness = match lock {
            Lock::Shared => Witness::start(name)?.map(Ok),
            // Few and long.
            Lock::Alone => Witness::start_anyway(name)?,
        };
        let lab = Self {
            witness,
            net: Netns::create()?,
            // What the kernel left out of it is found out only where there is a way in.
            fence_net: Netns::create()?.mounted()?,
            dir,
            agent,
            _lock: taken,
        };
        lab.net.add_address(V4)?;
        lab.net.add_address(V6)?;
        lab.fence_net.add_address(FENCE)?;
        Ok(lab)
    }

    /// Changes of state on this machine that the kernel ran no program for, as ftrace shows them:
    /// see [`Witness`].
    fn withheld(&self) -> Result<Vec<String>> {
        match &self.witness {
            Some(Ok(witness)) => witness.withheld(),
            Some(Err(_)) | None => Ok(Vec::new()),
        }
    }

    /// The error, with what ftrace saw of the connections that it names.
    fn with_changes(&self, error: anyhow::Error) -> anyhow::Error {
        let Some(witness) = &self.witness else {
            return error;
        };
        let told = match witness {
            Ok(witness) => witness.changes_about(&format!("{error:#}")),
            Err(refused) => Err(anyhow::anyhow!("{refused:#}")),
        };
        let changes = match told {
            Ok(changes) => changes.join("\n"),
            Err(unread) => format!("nothing, since it cannot be read: {unread:#}"),
        };
        anyhow::anyhow!("{error:#}\nftrace saw of these ports:\n{changes}")
    }

    /// Ports of the connections whose changes these are.
    pub fn withheld_ports(&self) -> Result<BTreeSet<u16>> {
        let changes = self.withheld()?;
        let ports = changes.iter().filter_map(|change| witness::ports(change));
        Ok(ports.flatten().collect())
    }

    /// Path of the agent.
    pub fn agent(&self) -> Result<&Path> {
        self.agent
            .as_deref()
            .context("this test asked for no agent")
    }

    /// Server address of the fence.
    pub fn fence_ip(&self) -> IpAddr {
        FENCE
    }

    /// A folder of the test's own, removed at its end.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A copy of the agent where an ordinary user may go: build folders are often below `/root`.
    pub fn agent_for_anybody(&self) -> Result<PathBuf> {
        fs::set_permissions(self.dir(), fs::Permissions::from_mode(0o755))?;
        let agent = self.dir().join("telnet-monitor");
        fs::copy(self.agent()?, &agent)?;
        Ok(agent)
    }

    /// Writes a file into [`Lab::dir`].
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.dir().join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// A command that runs `tool` through a link called `name`, which becomes the kernel's
    /// name of the process.
    pub fn command_named(&self, tool: &Tool, name: &str) -> Result<Command> {
        let file = tool.path().file_name().context("a tool has a file name")?;
        let dir = self.dir().join(file).with_extension("links");
        fs::create_dir_all(&dir)?;
        let link = dir.join(name);
        if !link.is_symlink() {
            symlink(tool.path(), &link)?;
        }
        Ok(tool.command_at(&link))
    }

    /// The machine's name as documents must give it.
    pub fn host_name() -> Result<String> {
        let name = fs::read_to_string("/proc/sys/kernel/hostname")?;
        let name = name.trim_end();
        if name.is_empty() {
            bail!("this machine has no name");
        }
        Ok(name.to_owned())
    }
}
