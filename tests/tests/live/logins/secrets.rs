//! No password reaches userspace: not a document, not a file, not the memory of the agent, in which
//! the kernel's raw records are.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use telnet_tests::agent::Agent;
use telnet_tests::check::{number, text};
use telnet_tests::house::{House, Login, PASSWORD, USER};
use telnet_tests::lab::{self, Lab};
use telnet_tests::peer::{Client, ClientKind, Telnetd, TelnetdKind};
use telnet_tests::wait;

use super::{SERVER, agent_with};

const WRONG: &str = "Wr0ng-battery-staple";
/// Typed into a program that reads it: what goes over the connection and is no argument.
const TYPED: &str = "payload-typed-into-a-program";
/// The rule that asks what a session speaks, for which the kernel looks at first bytes, instead of
/// the one that does not.
const ASKING: [&str; 4] = [
    "--enable",
    "70c78d2f-a761-4dea-aab1-e0e8c65fd41e",
    "--disable",
    "34fde489-94b0-4500-a76f-b8a157cf9269",
];
/// Argument of a command, which the agent reports: what the search must find.
const ARGUMENT: &str = "argument-of-a-command";
/// In the kernel's list of a process' memory, what a ring buffer of the probe is called.
const RING: &str = "bpf-map";

/// The maps of a process whose memory holds these bytes.
pub(crate) fn in_memory(pid: u32, wanted: &str) -> Result<Vec<String>> {
    /// Bytes read at once.
    const CHUNK: u64 = 1 << 20;
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let mut found = Vec::new();
    for line in fs::read_to_string(format!("/proc/{pid}/maps"))?.lines() {
        let range = line.split(' ').next().context("a range")?;
        let (start, end) = range.split_once('-').context("a range")?;
        let mut at = u64::from_str_radix(start, 16)?;
        let end = u64::from_str_radix(end, 16)?;
        while at < end {
            let length = usize::try_from(CHUNK.min(end - at))?;
            let mut bytes = vec![0; length];
            // Guard pages and the kernel's own pages cannot be read by anybody.
            let read = memory.read_at(&mut bytes, at).unwrap_or(0);
            let bytes = bytes.get(..read).unwrap_or_default();
            if memchr(bytes, wanted.as_bytes()) {
                found.push(line.to_owned());
            }
            // The next chunk begins a little before the end of this one.
            let step = length.saturating_sub(wanted.len()).max(4096);
            at += u64::try_from(step)?;
        }
    }
    Ok(found)
}

fn memchr(bytes: &[u8], wanted: &[u8]) -> bool {
    let Some(first) = wanted.first() else {
        return false;
    };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        rest = rest.get(at..).unwrap_or_default();
        if rest.starts_with(wanted) {
            return true;
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    false
}

/// The files below a folder that hold this text.
fn in_files(folder: &Path, wanted: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(in_files(&path, wanted)?);
        } else if memchr(&fs::read(&path)?, wanted.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    Ok(found)
}

fn visit(lab: &Lab, agent: &mut Agent) -> Result<()> {
    let mut client = Client::start(lab, ClientKind::Inetutils, SERVER)?;
    let port = u64::from(client.session(lab)?.source.port());
    client.answer("login: ", 1, USER)?;
    client.answer("assword: ", 1, WRONG)?;
    client.answer("login: ", 2, USER)?;
    client.answer("assword: ", 2, PASSWORD)?;
    client.answer("$ ", 1, "busybox cat")?;
    client.type_line(TYPED)?;
    client.wait_for(TYPED)?;
    client.end_input();
    drop(client);
    let mut client = Client::start(lab, ClientKind::Inetutils, SERVER)?;
    client.answer("login: ", 1, USER)?;
    client.answer("assword: ", 1, PASSWORD)?;
    client.answer("$ ", 1, &format!("busybox echo {ARGUMENT}"))?;
    client.answer("$ ", 2, "exit")?;
    client.wait()?;
    let is_failure = |json: &Value| {
        text(json, "event.action") == Some("user_login")
            && number(json, "source.port") == Some(port)
            && number(json, "telnet.login.failures").is_some_and(|count| count > 0)
    };
    agent.wait_for(lab, "the login after a failure", is_failure)?;
    agent.wait_for(lab, "the command", |json| {
        text(json, "event.action") == Some("exec")
            && text(json, "process.command_line").is_some_and(|line| line.contains(ARGUMENT))
    })?;
    Ok(())
}

#[test]
fn no_password_and_no_payload_reaches_the_agent() -> Result<()> {
    lab::live(|lab| {
        let mut agent = agent_with(lab, &ASKING)?;
        let house = House::build(lab, Login::Debian)?;
        let _server = Telnetd::start_in(lab, &house, TelnetdKind::Inetd, SERVER, &[])?;
        visit(lab, &mut agent)?;
        agent.fence(lab)?;
        // Files first: what rules will not need again is written over while memory is searched.
        let state = lab.dir().join("state");
        wait::until("a file with what was reported", || {
            Ok((!in_files(&state, ARGUMENT)?.is_empty()).then_some(()))
        })?;
        for secret in [WRONG, PASSWORD, TYPED] {
            let files = in_files(&state, secret)?;
            ensure!(files.is_empty(), "{secret} in {files:?}");
        }
        // The search finds what was reported, in the kernel's records too.
        let reported = in_memory(agent.pid(), ARGUMENT)?;
        ensure!(
            reported.iter().any(|map| map.contains(RING)),
            "{reported:?}"
        );
        for secret in [WRONG, PASSWORD, TYPED] {
            let maps = in_memory(agent.pid(), secret)?;
            ensure!(maps.is_empty(), "{secret} in {maps:?}");
        }
        let ended = agent.finish()?;
        for secret in [WRONG, PASSWORD, TYPED] {
            ensure!(!ended.stdout.contains(secret), "{secret} in a document");
            ensure!(!ended.log.contains(secret), "{secret} in the log");
        }
        Ok(())
    })
}
