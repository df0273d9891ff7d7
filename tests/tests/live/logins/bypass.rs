//! Sessions that nobody authenticated for, and those that only look like it.
//!
//! What is reproduced is the pattern of processes: a server that calls such a command line.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use telnet_tests::agent::Agent;
use telnet_tests::check::{Check, get, number, text};
use telnet_tests::house::{House, Login};
use telnet_tests::lab::{self, Lab};
use telnet_tests::peer::{Client, ClientKind, Telnetd, TelnetdKind};
use telnet_tests::tools;

use super::{SERVER, agent};

/// Options of login(1) as the telnetds of CVE-2026-24061 and CVE-2007-0882 pass them.
const APART: &str = "-p -h 198.51.100.7 -f root";
const IN_ONE_WORD: &str = "-p -h 198.51.100.7 -froot";
const RULE: &str = "Telnet Authentication Bypass";

fn of(client: u64) -> impl Fn(&Value) -> bool {
    move |json| {
        number(json, "source.port") == Some(client)
            && text(json, "network.direction") == Some("ingress")
    }
}

fn is_alert(client: u64) -> impl Fn(&Value) -> bool {
    move |json| of(client)(json) && text(json, "kibana.alert.rule.name") == Some(RULE)
}

/// Connects, and waits until the session asks or answers with `text`.
fn connect(lab: &Lab, text: &str) -> Result<(Client, u64)> {
    let client = Client::start(lab, ClientKind::Inetutils, SERVER)?;
    let source = client.session(lab)?.source;
    client.wait_for(text)?;
    Ok((client, u64::from(source.port())))
}

fn leave(agent: &mut Agent, lab: &Lab, client: Client, port: u64) -> Result<Arc<Value>> {
    drop(client);
    let closed = agent.wait_for(lab, "the end", |json| {
        of(port)(json) && text(json, "event.action") == Some("network_flow")
    })?;
    Ok(closed.json)
}

/// `options` is what login(1) is told.
fn forced_login_alerts(kind: TelnetdKind, options: &str) -> Result<()> {
    lab::live(|lab| {
        let mut agent = agent(lab)?;
        let house = House::build(lab, Login::Forced)?;
        house.program("bin/login", &format!("exec /real/login {options}"))?;
        let _server = Telnetd::start_in(lab, &house, kind, SERVER, &[])?;
        let (client, port) = connect(lab, "# ")?;
        let alert = agent.wait_for(lab, "the alert", is_alert(port))?.json;
        Check::of(&alert)
            .is("kibana.alert.severity", "critical")
            .is("kibana.alert.risk_score", 99)
            .is("telnet.login.verdict", "bypass")
            .is("telnet.login.reason", "forced_login")
            .is("telnet.login.method", "preauthenticated")
            .is(
                "telnet.login.command_line",
                format!("/real/login {options}"),
            )
            .is("source.ip", SERVER.ip().to_string())
            .is("kibana.alert.depth", 2)
            .done()?;
        let ancestors = get(&alert, "kibana.alert.ancestors")
            .and_then(Value::as_array)
            .context("no ancestors")?;
        ensure!(
            ancestors.len() == 2 && text(&ancestors[1], "type") == Some("signal"),
            "{ancestors:?}"
        );
        let closed = leave(&mut agent, lab, client, port)?;
        Check::of(&closed)
            .is("telnet.session.outcome", "bypass")
            .is("telnet.login.user.id", "0")
            .done()?;
        agent.finish().map(drop)
    })
}

#[test]
fn a_forced_login_under_busybox_alerts() -> Result<()> {
    forced_login_alerts(TelnetdKind::Busybox, APART)
}

#[test]
fn a_forced_login_under_inetd_alerts() -> Result<()> {
    forced_login_alerts(TelnetdKind::Inetd, APART)
}

#[test]
fn a_forced_login_under_xinetd_alerts() -> Result<()> {
    forced_login_alerts(TelnetdKind::Xinetd, APART)
}

#[test]
fn a_forced_login_in_one_word_alerts() -> Result<()> {
    forced_login_alerts(TelnetdKind::Inetd, IN_ONE_WORD)
}

/// The command line of the server itself asks for it.
#[test]
fn a_forced_login_that_the_server_is_told_to_make_does_not_alert() -> Result<()> {
    lab::live(|lab| {
        let mut agent = agent(lab)?;
        let house = House::build(lab, Login::Debian)?;
        let telnetd = tools::find("telnetd")?;
        let telnetd = telnetd.path().display();
        let commands = format!("exec {telnetd} -E '/real/login -p -h kiosk -f root'");
        house.program("bin/served", &commands)?;
        let _server = Telnetd::start_program(lab, &house, SERVER, "/bin/served")?;
        let (client, port) = connect(lab, "# ")?;
        let closed = leave(&mut agent, lab, client, port)?;
        Check::of(&closed)
            .is("telnet.login.verdict", "configured")
            .is("telnet.login.reason", "server_command_line")
            .is(
                "telnet.login.command_line",
                "/real/login -p -h kiosk -f root",
            )
            .is("telnet.session.outcome", "login")
            .done()?;
        let documents = agent.fence(lab)?;
        let is_it = is_alert(port);
        ensure!(!documents.iter().any(|d| is_it(&d.json)), "it alerted");
        agent.finish().map(drop)
    })
}

/// What an administrator may have configured, what the session answers, and how it is explained.
struct Legitimate {
    kind: TelnetdKind,
    login: Login,
    options: &'static [&'static str],
    answer: &'static str,
    reason: Option<&'static str>,
}

fn legitimate() -> Vec<Legitimate> {
    use TelnetdKind::{Busybox, Inetd, Xinetd};
    let row = |kind, login, options, answer, reason| Legitimate {
        kind,
        login,
        options,
        answer,
        reason,
    };
    let asks = |kind, login| row(kind, login, &[], "login: ", None);
    let told = Some("server_command_line");
    let named = Some("named_program");
    vec![
        asks(Busybox, Login::Busybox),
        asks(Busybox, Login::Debian),
        asks(Inetd, Login::Busybox),
        asks(Inetd, Login::Debian),
        asks(Xinetd, Login::Debian),
        // A shell that the server was told to start.
        row(Busybox, Login::Debian, &["-l", "/bin/sh"], "# ", told),
        row(Xinetd, Login::Debian, &["-E", "/bin/sh"], "# ", told),
        // A program that does it, by the name that the server was given.
        row(Busybox, Login::Forced, &["-l", "/bin/kiosk"], "# ", named),
        row(Inetd, Login::Forced, &["-E", "/bin/kiosk"], "# ", named),
        row(Xinetd, Login::Forced, &["-E", "/bin/kiosk"], "# ", named),
    ]
}

#[test]
fn legitimate_configurations_do_not_alert() -> Result<()> {
    lab::live(|lab| {
        let mut agent = agent(lab)?;
        for case in legitimate() {
            let words = format!("{:?} {:?} {:?}", case.kind, case.login, case.options);
            let house = House::build(lab, case.login)?;
            house.delay_failures()?;
            house.program("bin/kiosk", "exec /real/login -f root")?;
            let server = Telnetd::start_in(lab, &house, case.kind, SERVER, case.options)
                .with_context(|| words.clone())?;
            let (client, port) = connect(lab, case.answer).with_context(|| words.clone())?;
            let closed = leave(&mut agent, lab, client, port)?;
            drop(server);
            let (verdict, outcome) = match case.reason {
                Some(_) => (Some("configured"), "login"),
                None => (None, "probe"),
            };
            for (path, expected) in [
                ("telnet.login.verdict", verdict),
                ("telnet.login.reason", case.reason),
                ("telnet.session.outcome", Some(outcome)),
            ] {
                let found = text(&closed, path);
                ensure!(
                    found == expected,
                    "{words}: {path} {found:?}, expected {expected:?}\n{:#}",
                    closed["telnet"]
                );
            }
            let documents = agent.fence(lab)?;
            let is_it = is_alert(port);
            ensure!(!documents.iter().any(|d| is_it(&d.json)), "{words} alerted");
        }
        agent.finish().map(drop)
    })
}
