//! Real telnet clients.

use std::net::SocketAddr;
use std::process::ExitStatus;

use anyhow::{Context as _, Result};

use crate::lab::Lab;
use crate::process::{Facts, Spawned};
use crate::tools;
use crate::wait::PATIENCE;

/// Which telnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKind {
    /// busybox telnet.
    Busybox,
    /// inetutils telnet.
    Inetutils,
}

/// A running client whose standard input the test holds; ends when dropped.
#[derive(Debug)]
pub struct Client {
    process: Spawned,
    server: SocketAddr,
}

/// What the test knows about a session that a client has open.
#[derive(Debug, Clone)]
pub struct Session {
    /// The client's end.
    pub source: SocketAddr,
    /// The server's end.
    pub destination: SocketAddr,
    /// The client process.
    pub client: Facts,
}

impl Client {
    /// Starts a client in the lab.
    pub fn start(lab: &Lab, kind: ClientKind, server: SocketAddr) -> Result<Self> {
        let tool = match kind {
            ClientKind::Busybox => tools::find("busybox")?,
            ClientKind::Inetutils => tools::find("inetutils-telnet")?,
        };
        let mut command = lab.command_named(&tool, "telnet")?;
        command
            .arg(server.ip().to_string())
            .arg(server.port().to_string());
        let process = Spawned::start("telnet", Some(&lab.net), &mut command)?;
        Ok(Self { process, server })
    }

    /// Waits until the connection stands, and says what is known about it.
    pub fn session(&self, lab: &Lab) -> Result<Session> {
        let socket = lab
            .net
            .wait_for_connection(self.process.pid(), self.server)
            .with_context(|| self.process.report())?;
        let client = Facts::of(self.process.pid())?;
        Ok(Session {
            source: socket.local,
            destination: socket.remote,
            client,
        })
    }

    /// Types a line.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        self.process.send(&format!("{line}\n"))
    }

    /// Waits until the server has sent `text`.
    pub fn wait_for(&self, text: &str) -> Result<()> {
        self.process.wait_for_output(text)
    }

    /// Has the shell at the other end compute something: proves that both directions and
    /// the program behind the server work.
    pub fn prove_shell(&mut self) -> Result<()> {
        self.type_line("echo sum-$((40+2))")?;
        self.wait_for("sum-42")
    }

    /// Waits to be asked for the `time`th time and types a line.
    pub fn answer(&mut self, question: &str, time: usize, line: &str) -> Result<()> {
        self.process.wait_for_outputs(question, time)?;
        self.type_line(line)
    }

    /// Closes the client's standard input: the user's end of file.
    pub fn end_input(&mut self) {
        self.process.close_stdin();
    }

    /// Waits for the client's end.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.process.wait(PATIENCE)
    }
}
