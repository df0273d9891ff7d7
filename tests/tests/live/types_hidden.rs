//! A kernel that exposes no types, as many small devices have: the agent says what it cannot know,
//! and still reports every session. Listeners of other tests would be taken for this one's, whose
//! namespaces cannot be told apart, so each runs alone.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Result, ensure};
use rustix::io::Errno;
use serde_json::Value;
use telnet_tests::agent::{Agent, collect, run_command};
use telnet_tests::check::{Check, number, text};
use telnet_tests::lab::{self, Lab, V4};
use telnet_tests::peer::{Scripted, Server, ServerKind};
use telnet_tests::process::{Facts, Spawned};
use telnet_tests::{kernel, tools};

const TELNET: SocketAddr = SocketAddr::new(V4, 23);

/// A command that runs the agent where these folders are empty.
pub(super) fn without(lab: &Lab, folders: &str) -> Result<Command> {
    let agent = run_command(lab, lab.agent()?, ["--format", "ndjson", "--emit", "all"]);
    let mut command = hidden_from(&agent, folders)?;
    command.env("TELNET_MONITOR_STATE_DIR", lab.dir().join("state"));
    Ok(command)
}

/// `agent` where these folders are empty. Nobody else sees them so.
fn hidden_from(agent: &Command, folders: &str) -> Result<Command> {
    let script = format!(
        "for folder in {folders}; do mount -t tmpfs hidden $folder || exit; done; exec \"$0\" \"$@\""
    );
    let mut command = tools::find("busybox")?.command();
    command
        .args(["unshare", "-m", "sh", "-c", &script])
        .arg(agent.get_program())
        .args(agent.get_args())
        // No hook can be forced here.
        .env_remove("TELNET_MONITOR_ACCEPTOR")
        .env_remove("RUST_LOG");
    Ok(command)
}

/// Events of this action whose remote end has this port.
fn event(action: &str, direction: &str, port: u16) -> impl Fn(&Value) -> bool {
    move |json| {
        text(json, "event.action") == Some(action)
            && text(json, "network.direction") == Some(direction)
            && number(json, "source.port") == Some(u64::from(port))
    }
}

/// The agent must end with code 3 where these folders are empty, and say why and what to do.
fn is_refused(lab: &Lab, folders: &str) -> Result<()> {
    let mut agent = Spawned::start("agent", None, &mut without(lab, folders)?)?;
    let ended = collect(&mut agent)?;
    ensure!(
        ended.status.code() == Some(3),
        "{}\n{}",
        ended.status,
        ended.log
    );
    for sentence in [
        "does not expose its types",
        "CONFIG_DEBUG_INFO_BTF=y",
        "mount tracefs on /sys/kernel/tracing",
    ] {
        ensure!(ended.log.contains(sentence), "{}", ended.log);
    }
    Ok(())
}

#[test]
fn sessions_are_alerted_with_what_can_be_known_of_their_owners() -> Result<()> {
    lab::live_alone(|lab| {
        if kernel::lacks("tracefs") {
            return is_refused(lab, "/sys/kernel/btf");
        }
        // Only sockets of its own network namespace can be looked up.
        let mut agent = Agent::start_in(&lab.net, &mut without(lab, "/sys/kernel/btf")?)?;
        let server = Server::start(lab, ServerKind::Threads, TELNET, 1)?;
        let mut peer = Scripted::start(lab, "client")?;
        let client = peer.connect(TELNET)?;
        let port = client.local.port();
        let (server, client_facts) = (Facts::of(server.pid())?, peer.facts()?);
        for direction in ["egress", "ingress"] {
            agent.wait_for_any(&format!("the {direction} alert"), |json| {
                text(json, "event.kind") == Some("signal")
                    && text(json, "network.direction") == Some(direction)
                    && number(json, "source.port") == Some(u64::from(port))
            })?;
        }
        let inbound = event("connection_accepted", "ingress", port);
        Check::of(&agent.wait_for_any("the accepted event", inbound)?.json)
            .is("source.ip", "192.0.2.1")
            .is("destination.port", 23)
            .is("process.pid", server.pid)
            .is("telnet.listener.pid", server.pid)
            .is("telnet.listener.name", server.name.as_str())
            .lacks("telnet.acceptor")
            .lacks("telnet.netns")
            .done()?;
        let outbound = event("connection_established", "egress", port);
        Check::of(&agent.wait_for_any("the outbound event", outbound)?.json)
            .is("telnet.attribution", "connect")
            .is("process.pid", client_facts.pid)
            .is("process.args", client_facts.args)
            .done()?;

        peer.with("reset", client)?;
        let end = event("network_flow", "ingress", port);
        Check::of(&agent.wait_for_any("the closing event", end)?.json)
            .is("process.pid", server.pid)
            .lacks("event.reason")
            .lacks("network.bytes")
            .done()?;
        let ended = agent.finish()?;
        ensure!(
            ended.log.contains("no kernel types"),
            "the log does not say what is missing:\n{}",
            ended.log
        );
        Ok(())
    })
}

#[test]
fn a_refused_connection_has_no_reason_that_nobody_told() -> Result<()> {
    lab::live_alone(|lab| {
        if kernel::lacks("tracefs") {
            return is_refused(lab, "/sys/kernel/btf");
        }
        let mut agent = Agent::start_in(&lab.net, &mut without(lab, "/sys/kernel/btf")?)?;
        let mut peer = Scripted::start(lab, "client")?;
        peer.must_fail(&format!("connect {TELNET}"), Errno::CONNREFUSED)?;
        let pid = u64::from(peer.pid());
        let failed = agent.wait_for_any("the failed event", |json| {
            text(json, "event.outcome") == Some("failure")
                && number(json, "process.pid") == Some(pid)
        })?;
        Check::of(&failed.json)
            .is("event.action", "flow_terminated")
            .lacks("event.reason")
            .lacks("error")
            .done()?;
        agent.finish().map(drop)
    })
}

#[test]
fn without_tracefs_too_it_is_refused_with_a_remedy() -> Result<()> {
    lab::live_alone(|lab| is_refused(lab, "/sys/kernel/btf /sys/kernel/tracing /sys/kernel/debug"))
}

#[test]
fn the_doctor_finds_that_it_works_and_knows_less() -> Result<()> {
    lab::live_alone(|lab| {
        let mut doctor = Command::new(lab.agent()?);
        let mut doctor = hidden_from(doctor.arg("doctor"), "/sys/kernel/btf")?;
        let ended = collect(&mut Spawned::start("doctor", None, &mut doctor)?)?;
        let said = &ended.stdout;
        let (code, expected) = if kernel::lacks("tracefs") {
            (3, ["failed    kernel types", "CONFIG_DEBUG_INFO_BTF=y"])
        } else {
            (0, ["degraded  kernel features", "degraded  canary session"])
        };
        ensure!(
            ended.status.code() == Some(code),
            "{}\n{said}",
            ended.status
        );
        for words in expected {
            ensure!(said.contains(words), "{words}\n{said}");
        }
        ensure!(!said.contains("ok        kernel types"), "{said}");
        Ok(())
    })
}
