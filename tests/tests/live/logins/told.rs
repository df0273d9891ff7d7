//! A person logs in after one wrong password, runs commands and leaves.

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use telnet_tests::agent::Document;
use telnet_tests::check::{Check, get, number, text};
use telnet_tests::house::{House, Login, PASSWORD, USER, USER_ID};
use telnet_tests::lab::{self, Lab};
use telnet_tests::peer::{Client, ClientKind, Telnetd, TelnetdKind};
use telnet_tests::process::pid;

use super::{SERVER, agent, agent_with};

const WRONG: &str = "hunter2-typed-wrong";

fn event(action: &str, client: u64) -> impl Fn(&Value) -> bool + '_ {
    move |json| {
        text(json, "event.action") == Some(action)
            && text(json, "event.kind") == Some("event")
            && text(json, "network.direction") == Some("ingress")
            && number(json, "source.port") == Some(client)
    }
}

fn command(line: &str, client: u64) -> impl Fn(&Value) -> bool + '_ {
    move |json| event("exec", client)(json) && text(json, "process.command_line") == Some(line)
}

/// Logs in, with one wrong password first where that is asked for, runs three commands and leaves after
/// `before_leaving`, which is given the port.
fn visit<T>(
    lab: &Lab,
    wrong: bool,
    before_leaving: impl FnOnce(u64) -> Result<T>,
) -> Result<(u64, T)> {
    let mut client = Client::start(lab, ClientKind::Inetutils, SERVER)?;
    let source = client.session(lab)?.source;
    if wrong {
        client.answer("login: ", 1, USER)?;
        client.answer("assword: ", 1, WRONG)?;
    }
    let time = if wrong { 2 } else { 1 };
    client.answer("login: ", time, USER)?;
    client.answer("assword: ", time, PASSWORD)?;
    client.answer("$ ", 1, "id -u; ls /etc/passwd; busybox echo from-$((6*7))")?;
    client.wait_for("from-42")?;
    let port = u64::from(source.port());
    let outcome = before_leaving(port)?;
    client.type_line("exit")?;
    client.wait()?;
    Ok((port, outcome))
}

fn is_told(kind: TelnetdKind, login: Login) -> Result<()> {
    lab::live(|lab| {
        let mut agent = agent(lab)?;
        let house = House::build(lab, login)?;
        let server = Telnetd::start_in(lab, &house, kind, SERVER, &[])?;
        let keeps_books = login == Login::Debian;
        // The line in utmp is another's once this login is over, and this house's login keeps no wtmp.
        let (client, login) = visit(lab, keeps_books, |client| {
            agent.wait_for(lab, "the login", event("user_login", client))
        })?;
        let mut check = Check::of(&login.json)
            .is("event.outcome", "success")
            .has("event.category", "authentication")
            .has("event.category", "session")
            .is("user.name", USER)
            .is("user.id", USER_ID.to_string())
            .is("telnet.login.method", "login")
            .is("telnet.login.state", "succeeded")
            .lacks("telnet.login.verdict")
            .knows("telnet.login.delay")
            .knows("telnet.terminal.name")
            .knows("event.duration");
        if keeps_books {
            check = check
                .is("telnet.login.failures", 1)
                .is("telnet.login.failures_source", "btmp")
                .is("telnet.login.user_source", "utmp");
        }
        check.done()?;
        for line in ["id -u", "ls /etc/passwd", "busybox echo from-42"] {
            let event = agent.wait_for(lab, line, command(line, client))?;
            Check::of(&event.json)
                .has("event.category", "process")
                .is("source.ip", SERVER.ip().to_string())
                .is("user.id", USER_ID.to_string())
                .knows("process.parent.pid")
                .knows("telnet.session.id")
                .done()?;
        }
        let closed = agent.wait_for(lab, "the end", event("network_flow", client))?;
        Check::of(&closed.json)
            .is("telnet.session.outcome", "login")
            .is("telnet.login.user.name", USER)
            .is("telnet.session.last_command", "busybox echo from-42")
            .knows("telnet.session.programs")
            .lacks("telnet.session.survivors")
            .knows("network.bytes")
            .knows("event.duration")
            .done()?;
        drop(server);
        one_of_each(&agent.fence(lab)?, client, keeps_books)?;
        let ended = agent.finish()?;
        for secret in [PASSWORD, WRONG] {
            ensure!(!ended.stdout.contains(secret), "a password in a document");
            ensure!(!ended.log.contains(secret), "a password in the log");
        }
        Ok(())
    })
}

fn one_of_each(documents: &[Document], client: u64, failures: bool) -> Result<()> {
    for action in ["connection_accepted", "user_login", "network_flow"] {
        let is_it = event(action, client);
        let count = documents.iter().filter(|d| is_it(&d.json)).count();
        ensure!(count == 1, "{count} of {action}");
    }
    let mut alerts: Vec<&str> = documents
        .iter()
        .filter(|d| number(&d.json, "source.port") == Some(client))
        .filter(|d| text(&d.json, "network.direction") == Some("ingress"))
        .filter_map(|d| text(&d.json, "kibana.alert.rule.name"))
        .collect();
    alerts.sort_unstable();
    let mut expected = vec!["Accepted Default Telnet Port Connection"];
    if failures {
        expected.push("Successful Telnet Login after Failures");
    }
    ensure!(alerts == expected, "{alerts:?}");
    Ok(())
}

#[test]
fn without_an_accept_hook_no_login_is_told_and_the_agent_says_so() -> Result<()> {
    lab::live(|lab| {
        let mut agent = agent_with(lab, &["--acceptor", "userspace"])?;
        let house = House::build(lab, Login::Busybox)?;
        let server = Telnetd::start_in(lab, &house, TelnetdKind::Inetd, SERVER, &[])?;
        let (client, ()) = visit(lab, false, |_| Ok(()))?;
        let closed = agent.wait_for(lab, "the end", event("network_flow", client))?;
        Check::of(&closed.json)
            .lacks("telnet.session.outcome")
            .lacks("telnet.session.programs")
            .lacks("telnet.login")
            .done()?;
        drop(server);
        for document in agent.fence(lab)? {
            let action = text(&document.json, "event.action");
            ensure!(
                !matches!(action, Some("user_login" | "exec")),
                "{:#}",
                document.json
            );
        }
        let log = agent.finish()?.log;
        ensure!(log.contains("no hook on accept(2)"), "{log}");
        Ok(())
    })
}

#[test]
fn a_login_through_busybox_telnetd_is_told() -> Result<()> {
    is_told(TelnetdKind::Busybox, Login::Busybox)
}

#[test]
fn a_login_through_inetd_is_told() -> Result<()> {
    is_told(TelnetdKind::Inetd, Login::Debian)
}

#[test]
fn a_login_through_xinetd_is_told() -> Result<()> {
    is_told(TelnetdKind::Xinetd, Login::Debian)
}

/// What stays behind a session is named where it ends. It would end by itself, a minute later.
#[test]
fn a_process_that_outlives_the_session_is_named() -> Result<()> {
    const COMMAND: &str = "busybox sleep 60";
    lab::live(|lab| {
        let mut agent = agent(lab)?;
        let house = House::build(lab, Login::Busybox)?;
        let _server = Telnetd::start_in(lab, &house, TelnetdKind::Busybox, SERVER, &[])?;
        let mut client = Client::start(lab, ClientKind::Inetutils, SERVER)?;
        let port = u64::from(client.session(lab)?.source.port());
        client.answer("login: ", 1, USER)?;
        client.answer("assword: ", 1, PASSWORD)?;
        // With the terminal in its hands, the session would go on.
        let leaves_the_terminal = format!("busybox setsid {COMMAND} </dev/null >/dev/null 2>&1 &");
        client.answer("$ ", 1, &leaves_the_terminal)?;
        agent.wait_for(lab, COMMAND, command(COMMAND, port))?;
        client.type_line("exit")?;
        client.wait()?;
        let closed = agent.wait_for(lab, "the end", event("network_flow", port))?;
        let survivors = get(&closed.json, "telnet.session.survivors");
        let survivors = survivors.and_then(Value::as_array);
        let [only] = survivors.context("no survivors")?.as_slice() else {
            bail!("{survivors:?}");
        };
        Check::of(only).is("command_line", COMMAND).done()?;
        let id = number(only, "pid").context("no pid")?.try_into()?;
        // Whom a wrong number would name is not killed.
        ensure!(lab.net.processes()?.contains(&id), "{id} is a stranger");
        kill_process(pid(id)?, Signal::KILL)?;
        agent.finish().map(drop)
    })
}
