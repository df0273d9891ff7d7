//! `sessions --watch`, on a terminal and elsewhere.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;
use rustix::pty::{self, OpenptFlags};
use rustix::termios::{LocalModes, tcgetattr};
use telnet_tests::agent::collect;
use telnet_tests::lab::{self, V4};
use telnet_tests::peer::Scripted;
use telnet_tests::process::{Capture, Captured, Spawned};
use telnet_tests::wait;

use super::command;

#[test]
fn a_watched_session_appears_and_disappears() -> Result<()> {
    lab::live(|lab| {
        let address = SocketAddr::new(V4, 23);
        let mut server = Scripted::start(lab, "server")?;
        server.listen(address)?;
        let mut watch = Spawned::start("watch", None, &mut command(lab, &["--watch"])?)?;
        watch.wait_for_output(&address.to_string())?;

        let mut client = Scripted::start(lab, "client")?;
        let socket = client.connect(address)?;
        let accepted = server.accept()?;
        // The last page but one is complete.
        let wait_until = |what: &str, is_there: bool, seen: usize| {
            let local = socket.local.to_string();
            watch
                .stdout
                .wait_for(wait::PATIENCE, |captured| {
                    let text = captured.text();
                    let pages: Vec<&str> = text.split("\n\n").collect();
                    let last = pages.len().checked_sub(2)?;
                    let page = pages.get(last).filter(|_| last >= seen)?;
                    (page.contains(&local) == is_there).then_some(pages.len())
                })
                .with_context(|| format!("{what}\n{}", watch.report()))
        };
        let seen = wait_until("the session appears", true, 0)?;
        client.with("reset", socket)?;
        server.with("close", accepted)?;
        wait_until("the session disappears", false, seen)?;

        watch.signal(Signal::TERM)?;
        let ended = collect(&mut watch)?;
        ensure!(ended.status.code() == Some(0), "{ended:?}");
        ensure!(!ended.stdout.contains('\u{1b}'), "{:?}", ended.stdout);
        Ok(())
    })
}

/// A terminal that the test holds the other end of.
struct Terminal {
    device: File,
    shown: Capture,
    keys: File,
}

impl Terminal {
    fn open() -> Result<Self> {
        let ours = pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        pty::grantpt(&ours)?;
        pty::unlockpt(&ours)?;
        let name = pty::ptsname(&ours, Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        let device = File::from(rustix::fs::open(name.as_c_str(), flags, Mode::empty())?);
        let keys = File::from(ours);
        Ok(Self {
            device,
            shown: Capture::of(keys.try_clone()?),
            keys,
        })
    }

    /// Whether keys come by the line and are shown: the state of a terminal in a shell's hands.
    fn is_plain(&self) -> Result<bool> {
        let plain = LocalModes::ICANON | LocalModes::ECHO;
        Ok(tcgetattr(&self.device)?.local_modes.contains(plain))
    }

    fn wait_for(&self, text: &str) -> Result<()> {
        let shows = |captured: &Captured| captured.text().contains(text).then_some(());
        self.shown
            .wait_for(wait::PATIENCE, shows)
            .with_context(|| format!("{text:?} is not in {:?}", self.shown.text()))
    }
}

#[test]
fn a_terminal_is_given_back_as_it_was() -> Result<()> {
    lab::live(|lab| {
        for by_key in [true, false] {
            let mut terminal = Terminal::open()?;
            ensure!(terminal.is_plain()?, "not plain from the start");
            let command = command(lab, &["--watch"])?;
            let (keys, screen) = (terminal.device.try_clone()?, terminal.device.try_clone()?);
            let mut watch = Spawned::start_on("watch", command, keys, screen)?;
            terminal.wait_for("\u{1b}[?1049h")?;
            terminal.wait_for("port 23")?;
            ensure!(!terminal.is_plain()?, "keys are not read as typed");
            if by_key {
                terminal.keys.write_all(b"xq")?;
            } else {
                watch.signal(Signal::TERM)?;
            }
            let status = watch.wait(wait::PATIENCE)?;
            ensure!(status.code() == Some(0), "{:?}", terminal.shown.text());
            terminal.wait_for("\u{1b}[?1049l")?;
            ensure!(terminal.is_plain()?, "the terminal is not as it was");
        }
        Ok(())
    })
}
