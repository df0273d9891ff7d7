//! One address that makes very many connections: it is summed up, and hides nobody else.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use telnet_tests::agent::{Agent, Ledger};
use telnet_tests::check::{Check, get, number, text};
use telnet_tests::lab::{self, Lab, V4, V6};
use telnet_tests::load;

use super::{RULE_NAME, rule_file};

const TELNET: SocketAddr = SocketAddr::new(V4, 23);
/// One in so many sessions may not be seen: on a build machine changes of state are lost, and no
/// counter of the kernel tells of it. The agent's own numbers must add up all the same.
const IN: u64 = 100;

/// An agent with a budget that leaves room below the cap, and one rule of its own with the cap that
/// rules have by default.
fn agent(lab: &Lab) -> Result<Agent> {
    let query = "destination.port:23 and network.direction:ingress and event.type:start";
    let rule = rule_file(query).replace("max_signals = 1000", "max_signals = 100");
    let rule = lab.write("rule.toml", &rule)?.display().to_string();
    let config = lab.write("config.toml", "[flood]\nburst = 50\nper_minute = 6\n")?;
    let config = config.display().to_string();
    Agent::start(lab, ["-c", &config, "--emit", "all", "--rules", &rule])
}

/// This many sessions, one after the other, from the address that they are made to.
fn flood(lab: &Lab, listener: &TcpListener, count: u64) -> Result<()> {
    lab.net.run(|| {
        for _ in 0..count {
            let client = TcpStream::connect(TELNET)?;
            let server = listener.accept()?;
            drop((client, server));
        }
        Ok(())
    })?
}

fn is_alert_of(json: &Value, rule: &str) -> bool {
    text(json, "kibana.alert.uuid").is_some() && text(json, "kibana.alert.rule.name") == Some(rule)
}

fn is_flood(json: &Value) -> bool {
    is_alert_of(json, "Telnet Connection Flood")
}

#[test]
fn a_flood_is_one_alert_and_another_address_alerts_at_once() -> Result<()> {
    let sessions = u64::try_from(load::sessions()?)?;
    lab::live_alone(|lab| {
        let mut agent = agent(lab)?;
        let started = Instant::now();
        let listener = lab.net.listen(TELNET)?;
        let other = SocketAddr::new(V6, 23);
        let _other = lab.net.listen(other)?;
        flood(lab, &listener, sessions / 2)?;
        let began = agent.wait_for(lab, "the alert on the flood", is_flood)?;
        flood(lab, &listener, sessions - sessions / 2)?;
        let client = lab.net.connect(other)?;
        let port = u64::from(client.local_addr()?.port());
        // Not with the next run of the rule, which is later than this waits.
        agent.wait_for(lab, "the alert of the other address", |json| {
            is_alert_of(json, RULE_NAME) && number(json, "source.port") == Some(port)
        })?;
        let ended = agent.finish()?;

        is_right(&began.json)?;
        let documents = documents(&ended.stdout, lab)?;
        let floods: Vec<_> = documents.iter().filter(|json| is_flood(json)).collect();
        let periods = started.elapsed().as_secs() / 60;
        ensure!(
            u64::try_from(floods.len())? <= 2 + periods,
            "{} alerts on one flood",
            floods.len()
        );
        let last = floods.last().context("no alert on the flood")?;
        add_up(last, &documents, sessions, &ended.observations()?)
    })
}

/// Everything that the agent wrote of the lab's namespace.
fn documents(stdout: &str, lab: &Lab) -> Result<Vec<Value>> {
    let all = stdout.lines().map(serde_json::from_str);
    let mut all = all.collect::<Result<Vec<Value>, _>>()?;
    all.retain(|json| number(json, "telnet.netns") == Some(lab.net.inode()));
    Ok(all)
}

/// Every session of the address was told or is in the last alert.
fn add_up(last: &Value, documents: &[Value], sessions: u64, observations: &Ledger) -> Result<()> {
    let of = |path| number(last, path).context(path);
    let (connections, shed) = (of("telnet.flood.connections")?, of("telnet.flood.shed")?);
    let told = documents.iter().filter(|json| {
        text(json, "event.kind") == Some("event")
            && text(json, "event.action") == Some("connection_accepted")
            && text(json, "source.ip") == Some(&V4.to_string())
    });
    let told = u64::try_from(told.count())?;
    ensure!(
        told + shed == connections,
        "{told} told and {shed} shed are not {connections}"
    );
    ensure!(
        (sessions - sessions / IN..=sessions).contains(&connections),
        "{connections} of {sessions} sessions"
    );
    // Each of them has an end, but one whose end the kernel did not tell.
    let ends = observations.shed()?.checked_sub(shed);
    ensure!(
        ends.is_some_and(|ends| (shed - shed / IN..=shed).contains(&ends)),
        "{shed} openings were shed, but {observations:?}"
    );
    Ok(())
}

/// What an analyst needs stands in the alert.
fn is_right(alert: &Value) -> Result<()> {
    Check::of(alert)
        .is("event.kind", "signal")
        .is("kibana.alert.severity", "medium")
        .is("kibana.alert.original_event.action", "connection_flood")
        .is("network.direction", "ingress")
        .is("telnet.flood.phase", "began")
        .is("telnet.flood.shed", 1)
        .is("source.ip", V4.to_string())
        .is("destination.ip", V4.to_string())
        .is("destination.port", 23)
        .is("process.pid", std::process::id())
        .knows("telnet.flood.id")
        .knows("telnet.flood.rate")
        .knows("event.start")
        .lacks("event.end")
        .lacks("telnet.session.id")
        .done()?;
    let ids = get(alert, "threat.technique.id").context("no technique")?;
    ensure!(ids.to_string().contains("T1110"), "{ids}");
    Ok(())
}
