//! One end of sessions that the test moves step by step.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::check::{number, text};
use crate::lab::Lab;
use crate::process::{Facts, Spawned};
use crate::tools;
use crate::wait::PATIENCE;

/// A process of the helper binary that does what the test says; ends when dropped.
#[derive(Debug)]
pub struct Scripted {
    process: Spawned,
    answers: usize,
}

/// A socket of a [`Scripted`] process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handle {
    number: u64,
    /// Its own address.
    pub local: SocketAddr,
}

impl Handle {
    /// The number that steps call it by.
    pub fn number(self) -> u64 {
        self.number
    }
}

impl Scripted {
    /// Starts a process in the lab whose kernel name is `name`.
    pub fn start(lab: &Lab, name: &str) -> Result<Self> {
        let mut command = lab.command_named(&tools::peer()?, name)?;
        let process = Spawned::start(name, Some(&lab.net), command.arg("script"))?;
        Ok(Self {
            process,
            answers: 0,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What `/proc` says about it.
    pub fn facts(&self) -> Result<Facts> {
        Facts::of(self.pid())
    }

    /// Has it do a step that must succeed, and returns its answer.
    pub fn step(&mut self, step: &str) -> Result<Value> {
        let answer = self.ask(step)?;
        match text(&answer, "error") {
            Some(error) => bail!("{step}: {error}"),
            None => Ok(answer),
        }
    }

    /// Has it do a step that must fail with this error number.
    pub fn must_fail(&mut self, step: &str, errno: rustix::io::Errno) -> Result<()> {
        let answer = self.ask(step)?;
        let expected = u64::try_from(errno.raw_os_error())?;
        ensure!(
            number(&answer, "errno") == Some(expected),
            "{step}: {answer}, not {errno}"
        );
        Ok(())
    }

    /// Listens.
    pub fn listen(&mut self, address: SocketAddr) -> Result<()> {
        self.step(&format!("listen {address}")).map(drop)
    }

    /// Accepts the oldest waiting connection; there must be one or come one.
    pub fn accept(&mut self) -> Result<Handle> {
        handle(&self.step("accept")?)
    }

    /// Connects and waits for the handshake.
    pub fn connect(&mut self, address: SocketAddr) -> Result<Handle> {
        handle(&self.step(&format!("connect {address}"))?)
    }

    /// Connects by another `step` that answers with a socket.
    pub fn open(&mut self, step: &str) -> Result<Handle> {
        handle(&self.step(step)?)
    }

    /// Does `step` (close, reset, shutdown, disconnect, receive) with a socket.
    pub fn with(&mut self, step: &str, socket: Handle) -> Result<Value> {
        self.step(&format!("{step} {}", socket.number))
    }

    /// Does `step` with a socket, which must fail with this error number.
    pub fn must_fail_with(
        &mut self,
        step: &str,
        socket: Handle,
        errno: rustix::io::Errno,
    ) -> Result<()> {
        self.must_fail(&format!("{step} {}", socket.number), errno)
    }

    /// Sends text.
    pub fn send(&mut self, socket: Handle, text: &str) -> Result<()> {
        self.step(&format!("send {} {text}", socket.number))
            .map(drop)
    }

    /// Kills it, and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.process.signal(rustix::process::Signal::KILL)?;
        self.process.wait(PATIENCE).map(drop)
    }

    fn ask(&mut self, step: &str) -> Result<Value> {
        self.process.send(&format!("{step}\n"))?;
        let index = self.answers;
        let line = self
            .process
            .stdout
            .wait_for(PATIENCE, |captured| captured.lines().get(index).cloned())
            .with_context(|| format!("no answer to {step:?}\n{}", self.process.report()))?;
        self.answers += 1;
        serde_json::from_str(&line.text).with_context(|| line.text.clone())
    }
}

fn handle(answer: &Value) -> Result<Handle> {
    let handle = || {
        let local: SocketAddr = text(answer, "local")?.parse().ok()?;
        let local = SocketAddr::new(local.ip().to_canonical(), local.port());
        Some(Handle {
            number: number(answer, "socket")?,
            local,
        })
    };
    handle().with_context(|| format!("{answer} is no socket"))
}
