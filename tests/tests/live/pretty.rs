//! The readable form never lets a session's facts write to the terminal.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;

use anyhow::{Result, ensure};
use rustix::process::Signal;
use telnet_tests::agent::{run_command, start, stop};
use telnet_tests::lab::{self, V4};
use telnet_tests::peer::{Telnetd, TelnetdKind};
use telnet_tests::process::Spawned;
use telnet_tests::{tools, wait};

/// A process name that would turn the terminal red, ring, and forge a line.
const HOSTILE_NAME: &str = "t\u{1b}[31m\u{7}\r\nX";

#[test]
fn control_characters_of_a_process_name_are_escaped() -> Result<()> {
    lab::live(|lab| {
        let agent = start(&mut run_command(lab, lab.agent()?, ["--format", "pretty"]))?;
        let address = SocketAddr::new(V4, 23);
        let _server = Telnetd::start(lab, TelnetdKind::Busybox, address)?;

        let busybox = tools::find("busybox")?;
        let hostile = lab.dir().join(HOSTILE_NAME);
        fs::copy(busybox.path(), &hostile)?;
        let mut command = busybox.command_at(&hostile);
        command
            .arg0("telnet")
            .args([V4.to_string(), "23".to_owned()]);
        let client = Spawned::start("hostile telnet", Some(&lab.net), &mut command)?;
        let socket = lab.net.wait_for_connection(client.pid(), address)?;

        // Both ends' lines, in either order.
        let port = format!(":{}", socket.local.port());
        agent.stdout.wait_for(wait::PATIENCE, |captured| {
            let lines = captured
                .lines()
                .iter()
                .filter(|line| line.text.contains(&port));
            (lines.count() >= 2).then_some(())
        })?;
        let ended = stop(agent, Signal::TERM)?;
        ended.must_be_clean()?;
        let raw = |c: char| c.is_control() && c != '\n';
        ensure!(
            !ended.stdout.contains(raw),
            "raw control characters: {:?}",
            ended.stdout
        );
        let forged = |line: &str| line.starts_with('X');
        ensure!(
            !ended.stdout.lines().any(forged),
            "forged line: {:?}",
            ended.stdout
        );
        Ok(())
    })
}
