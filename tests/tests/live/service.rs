//! What an administrator and a service manager see: reload, heartbeat, metrics, signs of life.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use telnet_tests::agent::{ALL, Agent, collect, run_command, start, start_on, stop};
use telnet_tests::check::{Check, number, text};
use telnet_tests::lab::{self, Lab, V4};
use telnet_tests::peer::Scripted;
use telnet_tests::process::{Capture, pid};
use telnet_tests::syslogd::free_port;
use telnet_tests::wait;

use super::rule_file;

const OTHER_PORT: u16 = 2323;

fn rules(lab: &Lab, port: u16) -> Result<String> {
    let file = lab.write("rule.toml", &rule_file(&format!("destination.port:{port}")))?;
    Ok(file.display().to_string())
}

fn session(lab: &Lab, port: u16) -> Result<u64> {
    let address = SocketAddr::new(V4, port);
    let listener = lab.net.listen(address)?;
    let client = lab.net.connect(address)?;
    drop(listener);
    Ok(u64::from(client.local_addr()?.port()))
}

/// Whether a document is an alert on the session of this client.
fn wanted(port: u64) -> impl Fn(&Value) -> bool {
    move |json| {
        text(json, "event.kind") == Some("signal") && number(json, "source.port") == Some(port)
    }
}

#[test]
fn hangup_takes_up_rules_and_sinks_and_keeps_them_when_the_new_are_bad() -> Result<()> {
    lab::live(|lab| {
        let rule = rules(lab, 23)?;
        // Sinks that come later write where this one does: elsewhere would need a restart.
        let old = format!(
            "[rules]\npaths = [\"{rule}\"]\n[[sinks]]\nname = \"first\"\ntype = \"file\"\n\
             streams = [\"health\"]\npath = \"{}\"\n",
            lab.dir().join("health.ndjson").display()
        );
        let old = old + "[[sinks]]\ntype = \"stdout\"\nstreams = [\"alerts\"]\n";
        let config = lab.write("config.toml", &old)?;
        let mut agent = Agent::start(lab, [Path::new("-c"), &config])?;
        let hangup = |agent: &Agent, answer: &str, times: usize| {
            kill_process(pid(agent.pid())?, Signal::HUP)?;
            agent.wait_for_log(answer, times)
        };
        let port = session(lab, 23)?;
        agent.wait_for(lab, "an alert on 23", wanted(port))?;

        // Bad in two ways: the old rules stay.
        fs::write(&config, "[rulez]\n")?;
        hangup(&agent, "not reloaded", 1)?;
        agent.wait_for_log("did you mean rules?", 1)?;
        fs::write(&config, &old)?;
        fs::write(&rule, "broken")?;
        hangup(&agent, "not reloaded", 2)?;
        let port = session(lab, 23)?;
        agent.wait_for(lab, "an alert of the rules of before", wanted(port))?;

        // Another port and another sink.
        rules(lab, OTHER_PORT)?;
        let file = lab.dir().join("alerts.ndjson");
        let new = format!(
            "{old}[[sinks]]\ntype = \"file\"\nstreams = [\"alerts\"]\npath = \"{}\"\n",
            file.display()
        );
        fs::write(&config, new)?;
        // Open before anybody looks at its port: found when the rule comes.
        let address = SocketAddr::new(V4, OTHER_PORT);
        let mut peer = Scripted::start(lab, "both-ends")?;
        peer.listen(address)?;
        let early = peer.connect(address)?;
        hangup(&agent, "INFO reloaded", 1)?;
        let early = u64::from(early.local.port());
        agent.wait_for(lab, "the session open before", wanted(early))?;
        peer.kill()?;
        let port = session(lab, OTHER_PORT)?;
        agent.wait_for(lab, "an alert on the new port", wanted(port))?;
        let in_file = wait::until("the alert in the file", || {
            let text = fs::read_to_string(&file)?;
            let found = text.contains(&format!("\"port\":{port}"));
            Ok(found.then_some(text))
        })?;
        let mut lines = in_file.lines().map(serde_json::from_str::<Value>);
        lines
            .try_for_each(|line| line.map(drop))
            .context("NDJSON")?;

        // Moved by logrotate: opened anew.
        fs::rename(&file, lab.dir().join("moved"))?;
        hangup(&agent, "INFO reloaded", 2)?;
        let port = session(lab, OTHER_PORT)?;
        agent.wait_for(lab, "an alert after that", wanted(port))?;
        wait::until("the alert in the new file", || {
            let text = fs::read_to_string(&file)?;
            Ok(text.contains(&format!("\"port\":{port}")).then_some(()))
        })?;
        agent.finish().map(drop)
    })
}

fn scrape(port: u16) -> Result<String> {
    let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn heartbeats_and_metrics_tell_the_ledger() -> Result<()> {
    lab::live(|lab| {
        let port = free_port()?;
        let file = lab.dir().join("health.ndjson");
        let text_of = format!(
            "[health]\ninterval = \"1s\"\nmetrics = \"127.0.0.1:{port}\"\n\
             [[sinks]]\ntype = \"stdout\"\nstreams = [\"alerts\"]\n\
             [[sinks]]\ntype = \"file\"\nstreams = [\"health\"]\npath = \"{}\"\n",
            file.display()
        );
        let config = lab.write("config.toml", &text_of)?;
        let mut agent = Agent::start(lab, [Path::new("-c"), &config])?;
        agent.fence(lab)?;
        let health: Value = wait::until("a heartbeat with an alert", || {
            let text = fs::read_to_string(&file).unwrap_or_default();
            let last = text.lines().rev().nth(1).unwrap_or_default();
            let health: Value = serde_json::from_str(last).unwrap_or_default();
            let alerted = health.pointer("/telnet/health/rules/0/alerted");
            Ok(alerted
                .and_then(Value::as_u64)
                .filter(|&n| n >= 2)
                .map(|_| health))
        })?;
        // What the kernel skipped, which a busy one does now and then; nothing else.
        let missed = number(&health, "telnet.health.probe.ledger.missed").unwrap_or_default();
        Check::of(&health)
            .is("event.kind", "metric")
            .is("event.action", "agent_heartbeat")
            .is("agent.type", "telnet-monitor")
            .is("data_stream.dataset", "telnet_monitor.health")
            .is("telnet.health.lost", missed)
            .is("telnet.health.probe.ports", "port 23")
            .is("telnet.health.probe.ledger.dropped_ring_full", 0)
            .knows("telnet.health.alert_latency_ms.p50_below")
            .knows("telnet.health.canary.status")
            .knows("host.name")
            .done()?;
        let metrics = scrape(port)?;
        ensure!(metrics.starts_with("HTTP/1.1 200 OK\r\n"), "{metrics}");
        for name in [
            "telnet_monitor_kernel_events_total{state=\"seen\"}",
            "telnet_monitor_sink_documents_total{sink=\"stdout\",type=\"stdout\",state=\"delivered\"}",
            "telnet_monitor_alert_latency_seconds_count",
        ] {
            let line = metrics.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.rsplit(' ').next());
            let value = value.with_context(|| format!("no {name} in\n{metrics}"))?;
            ensure!(value.parse::<u64>()? > 0, "{name} is {value}");
        }
        agent.finish().map(drop)
    })
}

/// What health documents say of the canary, from a file sink.
fn canary_status(file: &Path) -> Option<String> {
    let text_of = fs::read_to_string(file).ok()?;
    let last: Value = serde_json::from_str(text_of.lines().last()?).ok()?;
    text(&last, "telnet.health.canary.status").map(str::to_owned)
}

#[test]
fn a_reload_to_other_ports_takes_the_canary_along() -> Result<()> {
    lab::live(|lab| {
        let rule = rules(lab, 23)?;
        let file = lab.dir().join("health.ndjson");
        let config = format!(
            "[rules]\npaths = [\"{rule}\"]\n[health]\ninterval = \"1s\"\n\
             [[sinks]]\ntype = \"stdout\"\nstreams = [\"alerts\"]\n\
             [[sinks]]\ntype = \"file\"\nstreams = [\"health\"]\npath = \"{}\"\n",
            file.display()
        );
        let config = lab.write("config.toml", &config)?;
        let pause = ["--canary-pause", "200ms"].map(Path::new);
        let arguments = [Path::new("-c"), &config].into_iter().chain(pause);
        let agent = Agent::start(lab, arguments)?;
        agent.wait_for_log("the canary session came out", 1)?;
        rules(lab, OTHER_PORT)?;
        kill_process(pid(agent.pid())?, Signal::HUP)?;
        agent.wait_for_log("INFO reloaded", 1)?;
        // Its sessions are on the new port: on the old one they would be missed.
        fs::remove_file(&file)?;
        kill_process(pid(agent.pid())?, Signal::HUP)?;
        agent.wait_for_log("INFO reloaded", 2)?;
        wait::until("a canary that lives", || {
            Ok((canary_status(&file).as_deref() == Some("alive")).then_some(()))
        })?;
        // A round fails after five seconds: several heartbeats later it still lives.
        wait::until("eight heartbeats", || {
            let text_of = fs::read_to_string(&file)?;
            Ok((text_of.lines().count() >= 8).then_some(()))
        })?;
        ensure!(canary_status(&file).as_deref() == Some("alive"));
        let log = agent.finish()?.log;
        ensure!(
            !log.contains("degraded") && !log.contains("no canary"),
            "{log}"
        );
        Ok(())
    })
}

/// What the agent tells the service manager.
struct Manager {
    path: PathBuf,
    socket: UnixDatagram,
}

impl Manager {
    fn new(lab: &Lab) -> Result<Self> {
        let path = lab.dir().join("notify");
        let socket = UnixDatagram::bind(&path)?;
        socket.set_read_timeout(Some(wait::PATIENCE))?;
        Ok(Self { path, socket })
    }

    /// Waits for a message with this line.
    fn hear(&self, wanted: &str) -> Result<String> {
        loop {
            let mut buffer = [0; 4096];
            let count = self.socket.recv(&mut buffer);
            let count = count.with_context(|| format!("no {wanted}"))?;
            let heard = String::from_utf8_lossy(buffer.get(..count).unwrap_or_default());
            if heard.lines().any(|line| line == wanted) {
                return Ok(heard.into_owned());
            }
        }
    }
}

#[test]
fn the_service_manager_hears_of_start_life_reload_and_end() -> Result<()> {
    lab::live(|lab| {
        let manager = Manager::new(lab)?;
        let mut command = run_command(lab, lab.agent()?, ["--format", "ndjson"]);
        command.env("NOTIFY_SOCKET", &manager.path).env(
            "WATCHDOG_USEC",
            Duration::from_millis(400).as_micros().to_string(),
        );
        let agent = start(&mut command)?;
        let ready = manager.hear("READY=1")?;
        ensure!(ready.contains("STATUS=monitoring port 23"), "{ready}");
        manager.hear("WATCHDOG=1")?;
        manager.hear("WATCHDOG=1")?;
        kill_process(pid(agent.pid())?, Signal::HUP)?;
        let reloading = manager.hear("RELOADING=1")?;
        ensure!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
        manager.hear("READY=1")?;
        let ended = stop(agent, Signal::TERM)?;
        manager.hear("STOPPING=1")?;
        ended.must_be_clean()
    })
}

/// Whatever the agent waits for, it hears that it is to end; what it could not write until then is
/// written when somebody reads.
#[test]
fn an_agent_whose_output_is_stuck_ends_and_loses_nothing() -> Result<()> {
    lab::live(|lab| {
        let manager = Manager::new(lab)?;
        let (reader, writer) = std::io::pipe()?;
        let args = ["--format", "ndjson", "--emit", "all", ALL];
        let mut command = run_command(lab, lab.agent()?, args);
        command.env("NOTIFY_SOCKET", &manager.path);
        let agent = start_on(command, writer.try_clone()?)?;
        let listener = lab.net.listen(SocketAddr::new(V4, 23))?;
        // More than a pipe takes.
        for _ in 0..50 {
            lab.net.connect(SocketAddr::new(V4, 23))?;
        }
        drop(listener);
        wait::until("a full pipe", || {
            let mut room = [PollFd::new(&writer, PollFlags::OUT)];
            let is_full = poll(&mut room, Some(&Timespec::default()))? == 0;
            Ok(is_full.then_some(()))
        })?;
        drop(writer);
        // Other sinks and rules are taken up behind what is to be written.
        agent.signal(Signal::HUP)?;
        manager.hear("RELOADING=1")?;
        agent.signal(Signal::TERM)?;
        manager.hear("STOPPING=1")?;
        let written = Capture::of(reader);
        let mut agent = agent;
        let ended = collect(&mut agent)?;
        ended.must_be_clean()?;
        let lines = written.wait_for(wait::PATIENCE, |captured| {
            (!captured.is_open()).then(|| captured.lines().len())
        })?;
        let ledger = ended.ledger()?;
        ensure!(
            u64::try_from(lines)? == ledger.get("written")? && lines >= 200,
            "{lines} lines, {ledger:?}"
        );
        Ok(())
    })
}
