//! Real telnet servers.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::house::House;
use crate::lab::Lab;
use crate::net::Socket;
use crate::process::Spawned;
use crate::tools;

/// What the servers start instead of a login.
const SHELL: &str = "/bin/sh";

/// How the server gets its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TelnetdKind {
    /// busybox telnetd with a listener of its own; serves every session in one process.
    Busybox,
    /// inetutils telnetd, started per session by openbsd-inetd.
    Inetd,
    /// inetutils telnetd, started per session by xinetd.
    Xinetd,
}

/// A running server; ends when dropped.
#[derive(Debug)]
pub struct Telnetd {
    process: Spawned,
    address: SocketAddr,
    listener: Socket,
}

impl Telnetd {
    /// Starts a server in the lab and waits for its listening socket.
    pub fn start(lab: &Lab, kind: TelnetdKind, address: SocketAddr) -> Result<Self> {
        let entry: &[&str] = match kind {
            TelnetdKind::Busybox => &["-l", SHELL],
            TelnetdKind::Inetd | TelnetdKind::Xinetd => &["-E", SHELL],
        };
        let mut command = command(lab, kind, address, entry)?;
        Self::run(lab, kind, address, &mut command)
    }

    /// Starts a server in a house of the lab; `options` are telnetd's, none for a login.
    pub fn start_in(
        lab: &Lab,
        house: &House,
        kind: TelnetdKind,
        address: SocketAddr,
        options: &[&str],
    ) -> Result<Self> {
        let inner = command(lab, kind, address, options)?;
        Self::run(lab, kind, address, &mut house.command(&inner)?)
    }

    /// Starts inetd in a house of the lab, with this program of the house's as its telnetd.
    pub fn start_program(
        lab: &Lab,
        house: &House,
        address: SocketAddr,
        program: &str,
    ) -> Result<Self> {
        let inner = inetd(lab, address, program, &[])?;
        Self::run(
            lab,
            TelnetdKind::Inetd,
            address,
            &mut house.command(&inner)?,
        )
    }

    fn run(
        lab: &Lab,
        kind: TelnetdKind,
        address: SocketAddr,
        command: &mut Command,
    ) -> Result<Self> {
        let process = Spawned::start(&format!("{kind:?}"), Some(&lab.net), command)?;
        let listener = lab
            .net
            .wait_for_listener(address)
            .with_context(|| process.report())?;
        Ok(Self {
            process,
            address,
            listener,
        })
    }

    /// Process id of the one who listens and accepts.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its listening socket.
    pub fn listener(&self) -> &Socket {
        &self.listener
    }
}

fn command(lab: &Lab, kind: TelnetdKind, address: SocketAddr, options: &[&str]) -> Result<Command> {
    match kind {
        TelnetdKind::Busybox => busybox(lab, address, options),
        TelnetdKind::Inetd => {
            let telnetd = tools::find("telnetd")?;
            inetd(lab, address, &telnetd.path().to_string_lossy(), options)
        }
        TelnetdKind::Xinetd => xinetd(lab, address, options),
    }
}

fn busybox(lab: &Lab, address: SocketAddr, options: &[&str]) -> Result<Command> {
    let busybox = tools::find("busybox")?;
    let mut command = lab.command_named(&busybox, "telnetd")?;
    command.arg("-F").args(options);
    command.args(["-p", &address.port().to_string()]);
    if !address.ip().is_unspecified() {
        command.args(["-b", &address.ip().to_string()]);
    }
    Ok(command)
}

fn inetd(lab: &Lab, address: SocketAddr, program: &str, options: &[&str]) -> Result<Command> {
    let protocol = if address.is_ipv4() { "tcp" } else { "tcp6" };
    let config = format!(
        "{address} stream {protocol} nowait root {program} telnetd {}\n",
        options.join(" ")
    );
    let config = lab.write(&format!("inetd-{}.conf", address.port()), &config)?;
    let mut command = tools::find("inetd")?.command();
    command.arg("-i").arg(config);
    Ok(command)
}

fn xinetd(lab: &Lab, address: SocketAddr, options: &[&str]) -> Result<Command> {
    let telnetd = tools::find("telnetd")?;
    let args = match options {
        [] => String::new(),
        options => format!("server_args = {}\n", options.join(" ")),
    };
    let config = format!(
        "service telnet\n{{\n\
         type = UNLISTED\nsocket_type = stream\nprotocol = tcp\nwait = no\nuser = root\n\
         bind = {}\nport = {}\nflags = {}\n\
         server = {}\n{args}\
         instances = UNLIMITED\nper_source = UNLIMITED\ncps = 0 0\n}}\n",
        address.ip(),
        address.port(),
        if address.is_ipv4() { "IPv4" } else { "IPv6" },
        telnetd.path().display(),
    );
    let config = lab.write(&format!("xinetd-{}.conf", address.port()), &config)?;
    let pid_file = lab.dir().join("xinetd.pid");
    let mut command = tools::find("xinetd")?.command();
    // What it complains about goes where a failed test shows it.
    command.args(["-dontfork", "-filelog", "/proc/self/fd/2", "-f"]);
    command.arg(config).arg("-pidfile").arg(pid_file);
    Ok(command)
}
