//! A rule that asks for it has a session closed: that session, and nothing else.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Result, ensure};
use rustix::io::Errno;
use rustix::process::Signal;
use serde_json::Value;
use telnet_tests::agent::{Agent, Document, collect, run_command};
use telnet_tests::check::{Check, number, text};
use telnet_tests::lab::{self, Lab, V4};
use telnet_tests::peer::{Handle, Scripted};
use telnet_tests::process::Spawned;
use telnet_tests::tools;

const TELNET: SocketAddr = SocketAddr::new(V4, 23);
const OTHER: SocketAddr = SocketAddr::new(V4, 2301);
const RULE_ID: &str = "5b0ef3a4-2f3b-4f39-9d0c-6a5a7f0f2323";
const ACTION: &str = "session_close";
/// The inbound end only: this host is the other end as well.
const QUERY: &str = "network.direction:ingress and destination.port:(23 or 2301)";
const ASKS: &str = "response_actions = [
    { action_type_id = \".telnet-monitor\", params = { command = \"close-session\" } },
]
";

/// The two ends of a session.
struct Ends {
    client: Handle,
    server: Handle,
}

/// What plays on both sides.
struct Stage {
    server: Scripted,
    client: Scripted,
}

impl Stage {
    fn start(lab: &Lab, address: SocketAddr) -> Result<Self> {
        let mut server = Scripted::start(lab, "server")?;
        server.listen(address)?;
        let client = Scripted::start(lab, "client")?;
        Ok(Self { server, client })
    }

    fn connect(&mut self, from: &str, to: SocketAddr) -> Result<Ends> {
        let from = SocketAddr::new(from.parse::<IpAddr>()?, 0);
        let client = self.client.open(&format!("connect-from {from} {to}"))?;
        let server = self.server.accept()?;
        Ok(Ends { client, server })
    }

    /// What one end says the other hears.
    fn must_be_open(&mut self, ends: &Ends) -> Result<()> {
        self.client.send(ends.client, "hello")?;
        self.server.with("receive", ends.server)?;
        self.server.send(ends.server, "hello")?;
        self.client.with("receive", ends.client).map(drop)
    }

    fn must_be_closed(&mut self, ends: &Ends) -> Result<()> {
        let (aborted, reset) = (Errno::CONNABORTED, Errno::CONNRESET);
        self.server
            .must_fail_with("receive", ends.server, aborted)?;
        self.client.must_fail_with("receive", ends.client, reset)
    }
}

fn start(lab: &Lab, response: &str) -> Result<Agent> {
    let config = lab.write("config.toml", &format!("[response]\n{response}\n"))?;
    let rules = lab.write("rules.toml", &(super::rule_file(QUERY) + ASKS))?;
    let [config, rules] = [config, rules].map(|path| path.display().to_string());
    Agent::start(lab, ["-c", &config, "--rules", &rules])
}

/// The document about the response to the session of `client`.
fn response_to(agent: &mut Agent, lab: &Lab, client: Handle) -> Result<Document> {
    agent.wait_for(lab, "the response", |json| {
        text(json, "event.action") == Some(ACTION) && is_from(json, client)
    })
}

fn is_from(json: &Value, client: Handle) -> bool {
    text(json, "source.ip") == Some(&client.local.ip().to_string())
        && number(json, "source.port") == Some(u64::from(client.local.port()))
}

/// What every response has, whatever was decided.
fn check<'a>(
    agent: &mut Agent,
    lab: &Lab,
    client: Handle,
    response: &'a Document,
) -> Result<Check<'a>> {
    let alert = agent.wait_for(lab, "the alert", |json| {
        text(json, "event.kind") == Some("signal") && is_from(json, client)
    })?;
    let field = |path| text(&alert.json, path).unwrap_or_default().to_owned();
    Ok(Check::of(&response.json)
        .is("event.kind", "event")
        .is("rule.id", RULE_ID)
        .has("event.category", "intrusion_detection")
        .is("rule.name", super::RULE_NAME)
        .is("telnet.response.alert_id", field("kibana.alert.uuid"))
        .is("telnet.session.id", field("telnet.session.id"))
        .knows("destination.port"))
}

#[test]
fn only_the_session_that_a_rule_wants_closed_is_closed() -> Result<()> {
    lab::live(|lab| {
        let limits = "allow = [\"127.2.0.0/16\"]\nmax_per_minute = 1";
        let mut agent = start(lab, &format!("mode = \"enforce\"\n{limits}"))?;
        let mut telnet = Stage::start(lab, TELNET)?;

        let allowed = telnet.connect("127.2.0.5", TELNET)?;
        let document = response_to(&mut agent, lab, allowed.client)?;
        check(&mut agent, lab, allowed.client, &document)?
            .is("telnet.response.verdict", "refuse")
            .is("event.outcome", "unknown")
            .done()?;

        let closed = telnet.connect("127.1.0.5", TELNET)?;
        let document = response_to(&mut agent, lab, closed.client)?;
        check(&mut agent, lab, closed.client, &document)?
            .is("telnet.response.verdict", "close")
            .is("event.outcome", "success")
            .has("event.type", "denied")
            .done()?;
        telnet.must_be_closed(&closed)?;

        // The server still accepts, and one a minute was closed.
        let mut other = Stage::start(lab, OTHER)?;
        let too_many = other.connect("127.1.0.5", OTHER)?;
        let document = response_to(&mut agent, lab, too_many.client)?;
        check(&mut agent, lab, too_many.client, &document)?
            .is("telnet.response.verdict", "refuse")
            .done()?;
        let later = telnet.connect("127.2.0.6", TELNET)?;
        response_to(&mut agent, lab, later.client)?;

        telnet.must_be_open(&allowed)?;
        telnet.must_be_open(&later)?;
        other.must_be_open(&too_many)?;
        agent.stop(Signal::TERM)?.must_be_clean()
    })
}

#[test]
fn a_closed_session_ends_by_reset_and_by_no_process_of_the_agent() -> Result<()> {
    lab::live(|lab| {
        let config = lab.write("config.toml", "[response]\nmode = \"enforce\"\n")?;
        let rules = lab.write("rules.toml", &(super::rule_file(QUERY) + ASKS))?;
        let [config, rules] = [config, rules].map(|path| path.display().to_string());
        let arguments = ["-c", &config, "--rules", &rules, "--emit", "events"];
        let mut agent = Agent::start(lab, arguments)?;
        let mut telnet = Stage::start(lab, TELNET)?;
        let ends = telnet.connect("127.1.0.5", TELNET)?;
        telnet.must_be_closed(&ends)?;
        let closing = agent.wait_for(lab, "the end", |json| {
            text(json, "event.action") == Some("network_flow") && is_from(json, ends.client)
        })?;
        Check::of(&closing.json)
            .is("event.reason", "reset")
            .is("process.pid", telnet.server.pid())
            .done()?;
        agent.stop(Signal::TERM)?.must_be_clean()
    })
}

#[test]
fn an_agent_that_could_not_close_sessions_does_not_start() -> Result<()> {
    lab::live(|lab| {
        let config = lab.write("config.toml", "[response]\nmode = \"enforce\"\n")?;
        let agent = run_command(lab, lab.agent()?, [Path::new("-c"), &config]);
        let mut command = tools::peer()?.command();
        command.arg("without-net-admin").arg(agent.get_program());
        command.args(agent.get_args());
        let ended = collect(&mut Spawned::start("agent", None, &mut command)?)?;
        ensure!(ended.status.code() == Some(3), "{}", ended.log);
        ensure!(ended.log.contains("CAP_NET_ADMIN"), "{}", ended.log);
        Ok(())
    })
}

#[test]
fn a_dry_run_says_what_would_be_closed_and_closes_nothing() -> Result<()> {
    lab::live(|lab| {
        let mut agent = start(lab, "mode = \"dry-run\"")?;
        let mut telnet = Stage::start(lab, TELNET)?;
        let ends = telnet.connect("127.1.0.5", TELNET)?;
        let document = response_to(&mut agent, lab, ends.client)?;
        check(&mut agent, lab, ends.client, &document)?
            .is("telnet.response.verdict", "dry_run")
            .is("event.outcome", "unknown")
            .done()?;
        telnet.must_be_open(&ends)?;
        agent.stop(Signal::TERM)?.must_be_clean()
    })
}
