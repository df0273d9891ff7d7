//! What an agent gives up, and that it works nevertheless.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use rustix::io::Errno;
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use telnet_tests::agent::Agent;
use telnet_tests::check::text;
use telnet_tests::kernel;
use telnet_tests::lab::{self, Lab, V4};
use telnet_tests::net::Netns;
use telnet_tests::peer::{Scripted, Server, ServerKind};
use telnet_tests::process::{Spawned, pid};
use telnet_tests::{tools, wait};

/// Any user but root.
const USER: u32 = 64_242;

/// What came of each attempt.
fn attempts(lab: &Lab, role: &str, victim: &Spawned) -> Result<BTreeMap<String, String>> {
    let folder = lab.dir().join(role).join("inside");
    fs::create_dir_all(&folder)?;
    let mut command = tools::peer()?.command();
    command
        .args(["breakout", role])
        .arg(&folder)
        .arg(victim.pid().to_string());
    let mut peer = Spawned::start("breakout", None, &mut command)?;
    let status = peer.wait(wait::PATIENCE)?;
    ensure!(status.success(), "{}", peer.report());
    let lines = peer.stdout.wait_for(wait::PATIENCE, |captured| {
        (!captured.is_open()).then(|| captured.text().into_owned())
    })?;
    let one = |line: &str| -> Result<(String, String)> {
        let json: Value = serde_json::from_str(line)?;
        let of = |name| {
            text(&json, name)
                .map(str::to_owned)
                .context("no such member")
        };
        Ok((of("attempt")?, of("outcome")?))
    };
    lines.lines().map(one).collect()
}

#[test]
fn a_taken_over_agent_gets_nowhere() -> Result<()> {
    lab::live(|lab| {
        let victim = Spawned::start("victim", None, Command::new("sleep").arg("1000"))?;
        let may = |outcomes: &BTreeMap<String, String>, attempt: &str| {
            outcomes
                .get(attempt)
                .is_some_and(|outcome| outcome == "done")
        };
        let free = attempts(lab, "free", &victim)?;
        ensure!(free.len() == 11, "{free:?}");
        for (attempt, outcome) in &free {
            ensure!(outcome == "done", "without a sandbox, {attempt}: {outcome}");
        }
        for (role, purpose) in [("looks", "look at a process"), ("writes", "write inside")] {
            let outcomes = attempts(lab, role, &victim)?;
            ensure!(outcomes.len() == free.len(), "{outcomes:?}");
            for (attempt, outcome) in &outcomes {
                // What is told by its path alone; without it the agent says that this wall is missing.
                let is_landlocks = role == "writes" && attempt == "write elsewhere";
                if attempt == purpose || is_landlocks && kernel::lacks("landlock") {
                    ensure!(may(&outcomes, attempt), "{role}: {attempt}: {outcome}");
                } else {
                    ensure!(outcome == "refused", "{role}: {attempt}: {outcome}");
                }
            }
        }
        Ok(())
    })
}

/// `Name: value` lines of a thread; `None` when it has ended.
fn status(thread: &Path) -> Result<Option<BTreeMap<String, String>>> {
    let text = match fs::read_to_string(thread.join("status")) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let values = lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    Ok(Some(values.collect()))
}

#[test]
fn every_thread_of_a_running_agent_is_inside() -> Result<()> {
    lab::live(|lab| {
        let file = lab.dir().join("logs/documents.ndjson");
        let text = format!(
            "[spool]\ndir = \"{0}/spool\"\n\
             [[sinks]]\ntype = \"stdout\"\nstreams = [\"alerts\"]\n\
             [[sinks]]\ntype = \"file\"\nstreams = [\"alerts\"]\npath = \"{1}\"\n\
             [[sinks]]\ntype = \"syslog\"\nstreams = [\"alerts\"]\naddress = \"unix:{0}/log\"\n",
            lab.dir().display(),
            file.display()
        );
        let config = lab.write("config.toml", &text)?;
        let mut agent = Agent::start(lab, [Path::new("-c"), &config])?;
        agent.fence(lab)?;
        let mut names = Vec::new();
        for thread in fs::read_dir(format!("/proc/{}/task", agent.pid()))? {
            let Some(status) = status(&thread?.path())? else {
                // One that was only there for a look into a network namespace.
                continue;
            };
            let of = |name: &str| status.get(name).map(String::as_str).unwrap_or_default();
            let name = of("Name").to_owned();
            ensure!(
                of("NoNewPrivs") == "1" && of("Seccomp") == "2",
                "{name}: {status:?}"
            );
            let capabilities = u64::from_str_radix(of("CapEff"), 16)?;
            // Of capabilities(7): 2 is DAC_READ_SEARCH, 19 SYS_PTRACE, 21 SYS_ADMIN.
            let expected: u64 = match name.as_str() {
                "canary" => 0,
                "writer" | "compress" | "sink-syslog" => 1 << 2,
                _ => 1 << 2 | 1 << 19 | 1 << 21,
            };
            ensure!(capabilities == expected, "{name}: {capabilities:x}");
            names.push(name);
        }
        for expected in ["canary", "writer", "pipeline", "compress", "sink-syslog"] {
            ensure!(
                names.iter().any(|name| name == expected),
                "no {expected} in {names:?}"
            );
        }

        // Elsewhere it cannot write any more, and says so instead of losing documents.
        let elsewhere = text.replace("/logs/", "/elsewhere/");
        fs::write(&config, elsewhere)?;
        kill_process(pid(agent.pid())?, Signal::HUP)?;
        agent.wait_for_log(
            "the agent gave up writing there at its start: restart it",
            1,
        )?;
        agent.wait_for_log("not reloaded", 1)?;
        agent.finish().map(drop)
    })
}

/// As its unit starts it: another user, three capabilities, a network namespace of its own.
#[test]
fn as_a_service_it_is_not_root_and_leaves_its_network_to_the_canary() -> Result<()> {
    lab::live(|lab| {
        let agent = lab.agent_for_anybody()?;
        let state = lab.dir().join("state");
        fs::create_dir(&state)?;
        chown(&state, Some(USER), Some(USER))?;
        let network = Netns::create()?;
        // In a container process 1 may be out of reach; the test's network is the same.
        let host = format!("/proc/{}/ns/net", std::process::id());
        let free = || {
            Command::new(&agent)
                .args(["private-network", &host])
                .output()
        };
        let freed = network.run(free)??;
        ensure!(freed.status.success(), "{freed:?}");
        let refused = free()?;
        let message = String::from_utf8_lossy(&refused.stderr);
        ensure!(
            refused.status.code() == Some(3) && message.contains("this is the host's network"),
            "{refused:?}"
        );

        let mut command = tools::peer()?.command();
        command
            .args(["as-service", &USER.to_string()])
            .arg(&agent)
            .args(["run", "--format", "ndjson", "--state-dir"])
            .arg(&state)
            .env("TELNET_MONITOR_HOST_NETWORK", &host);
        let mut agent = Agent::start_in(&network, &mut command)?;
        agent.wait_for_log("the canary session came out", 1)?;
        let its = fs::read_link(format!("/proc/{}/ns/net", agent.pid()))?;
        ensure!(its == fs::read_link(&host)?, "not in the host's network");

        let address = SocketAddr::new(V4, 23);
        let server = Server::start(lab, ServerKind::Threads, address, 1)?;
        let mut peer = Scripted::start(lab, "client")?;
        let client = peer.connect(address)?;
        server.served(client.local)?;
        let alert = agent.wait_for(lab, "an alert of the server's end", |json| {
            text(json, "network.direction") == Some("ingress")
        })?;
        let name = text(&alert.json, "process.executable");
        ensure!(
            name.is_some(),
            "the program of another user: {:#}",
            alert.json
        );
        agent.finish().map(drop)
    })
}
