//! A telnet session becomes one alert at each end, with the right facts; anything else
//! becomes none.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use telnet_tests::agent::{Agent, Document, list};
use telnet_tests::check::{Check, get, number, text};
use telnet_tests::community_id;
use telnet_tests::lab::{self, Lab, V4, V6};
use telnet_tests::load;
use telnet_tests::peer::{Client, ClientKind, Session, Telnetd, TelnetdKind};
use telnet_tests::process::{Facts, holders};

const RULE_ID: &str = "34fde489-94b0-4500-a76f-b8a157cf9269";
const RULE_NAME: &str = "Accepted Default Telnet Port Connection";
const TACTICS: [&str; 3] = ["TA0001", "TA0008", "TA0011"];

fn alert_of(direction: &str, session: &Session) -> impl Fn(&Value) -> bool {
    let (direction, port) = (direction.to_owned(), u64::from(session.source.port()));
    move |json| {
        text(json, "kibana.alert.rule.uuid") == Some(RULE_ID)
            && text(json, "network.direction") == Some(&direction)
            && number(json, "source.port") == Some(port)
    }
}

/// What the alerts of both ends have in common.
fn check_alert<'a>(alert: &'a Document, session: &Session) -> Result<Check<'a>> {
    let mut tactics: Vec<&str> = get(&alert.json, "kibana.alert.rule.threat")
        .and_then(Value::as_array)
        .map(|threats| {
            threats
                .iter()
                .filter_map(|t| text(t, "tactic.id"))
                .collect()
        })
        .unwrap_or_default();
    tactics.sort_unstable();
    ensure!(
        tactics == TACTICS,
        "tactics {tactics:?} in {:#}",
        alert.json
    );
    let (source, destination) = (session.source, session.destination);
    Ok(Check::of(&alert.json)
        .is("source.ip", source.ip().to_string())
        .is("source.port", source.port())
        .is("destination.ip", destination.ip().to_string())
        .is("destination.port", destination.port())
        .is("network.transport", "tcp")
        .is(
            "network.type",
            if source.is_ipv4() { "ipv4" } else { "ipv6" },
        )
        .is(
            "network.community_id",
            community_id::tcp(source, destination),
        )
        .is("user.name", "root")
        .is("host.name", Lab::host_name()?)
        .is("kibana.alert.severity", "medium")
        .is("kibana.alert.risk_score", 47)
        .is("kibana.alert.rule.name", RULE_NAME)
        .is("kibana.alert.rule.rule_id", RULE_ID)
        .is("kibana.alert.rule.uuid", RULE_ID)
        .is("kibana.alert.original_event.kind", "event")
        .has("event.category", "network")
        .has("event.type", "connection"))
}

fn check_outbound(alert: &Document, session: &Session) -> Result<()> {
    check_alert(alert, session)?
        .is(
            "kibana.alert.original_event.action",
            "connection_established",
        )
        .is("process.pid", session.client.pid)
        .is("process.name", session.client.name.as_str())
        .is("process.executable", session.client.executable.as_str())
        .done()
}

/// `owners` are the processes that may serve the session: who accepted it, and who holds it.
fn check_inbound(alert: &Document, session: &Session, owners: &[Facts]) -> Result<()> {
    let pid = number(&alert.json, "process.pid");
    let owner = owners
        .iter()
        .find(|owner| Some(u64::from(owner.pid)) == pid);
    let (names, executables): (Vec<_>, Vec<_>) = owner
        .map_or(owners, std::slice::from_ref)
        .iter()
        .map(|owner| (owner.name.as_str(), owner.executable.as_str()))
        .unzip();
    check_alert(alert, session)?
        .is("kibana.alert.original_event.action", "connection_accepted")
        .is_one_of("process.pid", owners.iter().map(|owner| owner.pid))
        .is_one_of("process.name", names)
        .is_one_of("process.executable", executables)
        .done()
}

/// Opens a session between real programs and checks both alerts.
fn both_ends_are_alerted(
    server: TelnetdKind,
    client: ClientKind,
    bind: SocketAddr,
    connect: SocketAddr,
) -> Result<()> {
    lab::live(|lab| {
        let mut agent = Agent::start(lab, ["--emit", "alerts"])?;
        let server = Telnetd::start(lab, server, bind)?;
        let mut client = Client::start(lab, client, connect)?;
        let session = client.session(lab)?;
        client.prove_shell()?;

        let outbound = agent.wait_for(lab, "the outbound alert", alert_of("egress", &session))?;
        check_outbound(&outbound, &session)?;

        let socket = lab
            .net
            .wait_for_accepted(session.source, session.destination)?;
        let mut owners = vec![Facts::of(server.pid())?];
        for holder in holders(socket.inode)? {
            owners.push(Facts::of(holder)?);
        }
        let inbound = agent.wait_for(lab, "the inbound alert", alert_of("ingress", &session))?;
        check_inbound(&inbound, &session, &owners)?;

        client.type_line("exit")?;
        client.wait()?;
        let mut documents = agent.fence(lab)?;
        documents.retain(|d| text(&d.json, "kibana.alert.rule.uuid") == Some(RULE_ID));
        ensure!(
            documents.len() == 2,
            "one alert an end, but:\n{}",
            list(&documents)
        );
        agent.finish().map(drop)
    })
}

fn telnet(ip: IpAddr) -> SocketAddr {
    SocketAddr::new(ip, 23)
}

#[test]
fn busybox_session_over_ipv4_is_alerted_at_both_ends() -> Result<()> {
    both_ends_are_alerted(
        TelnetdKind::Busybox,
        ClientKind::Busybox,
        telnet(V4),
        telnet(V4),
    )
}

#[test]
fn busybox_session_over_ipv6_is_alerted_at_both_ends() -> Result<()> {
    both_ends_are_alerted(
        TelnetdKind::Busybox,
        ClientKind::Busybox,
        telnet(V6),
        telnet(V6),
    )
}

#[test]
fn inetutils_session_over_ipv4_is_alerted_at_both_ends() -> Result<()> {
    both_ends_are_alerted(
        TelnetdKind::Inetd,
        ClientKind::Inetutils,
        telnet(V4),
        telnet(V4),
    )
}

#[test]
fn inetutils_session_over_ipv6_is_alerted_at_both_ends() -> Result<()> {
    both_ends_are_alerted(
        TelnetdKind::Inetd,
        ClientKind::Inetutils,
        telnet(V6),
        telnet(V6),
    )
}

#[test]
fn xinetd_session_is_alerted_at_both_ends() -> Result<()> {
    both_ends_are_alerted(
        TelnetdKind::Xinetd,
        ClientKind::Inetutils,
        telnet(V4),
        telnet(V4),
    )
}

#[test]
fn ipv4_session_on_a_dual_stack_listener_is_reported_as_ipv4() -> Result<()> {
    let any = telnet(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    both_ends_are_alerted(TelnetdKind::Busybox, ClientKind::Inetutils, any, telnet(V4))
}

/// Does something that must make no alert.
fn no_alert_comes_of(act: impl Fn(&Lab) -> Result<()>) -> Result<()> {
    lab::live(|lab| {
        let mut agent = Agent::start(lab, ["--emit", "alerts"])?;
        act(lab)?;
        let documents = agent.fence(lab)?;
        ensure!(
            documents.is_empty(),
            "expected no alert, but: {}",
            list(&documents)
        );
        agent.finish().map(drop)
    })
}

#[test]
fn session_to_another_port_makes_no_alert() -> Result<()> {
    no_alert_comes_of(|lab| {
        let address = SocketAddr::new(V4, 2323);
        let _server = Telnetd::start(lab, TelnetdKind::Busybox, address)?;
        let mut client = Client::start(lab, ClientKind::Busybox, address)?;
        client.session(lab)?;
        client.prove_shell()
    })
}

#[test]
fn refused_connection_makes_no_alert() -> Result<()> {
    no_alert_comes_of(|lab| {
        for (kind, ip) in [(ClientKind::Busybox, V4), (ClientKind::Inetutils, V6)] {
            let status = Client::start(lab, kind, telnet(ip))?.wait()?;
            ensure!(
                !status.success(),
                "nobody listens, yet {kind:?} telnet ended with {status}"
            );
        }
        Ok(())
    })
}

#[test]
fn rules_decide_which_port_is_monitored() -> Result<()> {
    lab::live(|lab| {
        let rules = lab.write(
            "port-2323.toml",
            &super::rule_file("event.type:start and destination.port:2323"),
        )?;
        let rules = rules.display().to_string();
        let mut agent =
            Agent::start(lab, ["--rules", &rules, "--emit", "alerts"])?.with_fence_port(2323);
        let mut sessions = Vec::new();
        for port in [23, 2323] {
            let address = SocketAddr::new(V4, port);
            let server = Telnetd::start(lab, TelnetdKind::Busybox, address)?;
            let mut client = Client::start(lab, ClientKind::Busybox, address)?;
            let session = client.session(lab)?;
            client.prove_shell()?;
            sessions.push((server, client, session));
        }
        let documents = agent.fence(lab)?;
        ensure!(
            documents.len() == 2,
            "two alerts on 2323, but: {}",
            list(&documents)
        );
        for document in &documents {
            Check::of(&document.json)
                .is("destination.port", 2323)
                .is("kibana.alert.rule.name", super::RULE_NAME)
                .is("kibana.alert.severity", "high")
                .is("kibana.alert.risk_score", 73)
                .done()?;
        }
        agent.finish().map(drop)
    })
}

#[test]
fn alerts_come_within_a_second_of_the_connect() -> Result<()> {
    lab::live(|lab| {
        let mut agent = Agent::start(lab, ["--emit", "alerts"])?;
        let _server = Telnetd::start(lab, TelnetdKind::Busybox, telnet(V4))?;
        let before = Instant::now();
        let stream = lab.net.connect(telnet(V4))?;
        let port = u64::from(stream.local_addr()?.port());
        for direction in ["egress", "ingress"] {
            let alert = agent.wait_for(lab, direction, |json| {
                number(json, "source.port") == Some(port)
                    && text(json, "network.direction") == Some(direction)
            })?;
            let took = alert.at.saturating_duration_since(before);
            ensure!(
                took < load::time_limit(Duration::from_secs(1)),
                "the {direction} alert took {took:?}"
            );
        }
        agent.finish().map(drop)
    })
}

#[test]
fn events_are_emitted_beside_alerts_when_asked_for() -> Result<()> {
    lab::live(|lab| {
        let mut agent = Agent::start(lab, ["--emit", "all"])?;
        let _server = Telnetd::start(lab, TelnetdKind::Busybox, telnet(V4))?;
        let mut client = Client::start(lab, ClientKind::Busybox, telnet(V4))?;
        let session = client.session(lab)?;
        client.prove_shell()?;
        for (direction, action) in [
            ("egress", "connection_established"),
            ("ingress", "connection_accepted"),
        ] {
            let event = agent.wait_for(lab, action, |json| {
                text(json, "event.kind") == Some("event")
                    && text(json, "event.action") == Some(action)
            })?;
            let id = get(&event.json, "event.id")
                .cloned()
                .unwrap_or(json!("absent"));
            let alert = agent.wait_for(lab, direction, alert_of(direction, &session))?;
            Check::of(&event.json)
                .is("network.direction", direction)
                .is("event.outcome", "success")
                .has("event.type", "start")
                .lacks("kibana")
                .done()?;
            Check::of(&alert.json)
                .is("kibana.alert.original_event.id", id)
                .is("kibana.alert.original_event.action", action)
                .done()?;
        }
        agent.finish().map(drop)
    })
}
