//! A person's visit, from the alert before anything is typed to the document that sums it up.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use telnet_tests::check::{Check, text};

use crate::agent::{self, DOCUMENTS};
use crate::guest::{
    Documents, PASSWORD, TELNET, USER, User, event, guest, run, same_session, serve_by,
};

const WRONG: &str = "hunter2-typed-wrong";
const COMMANDS: [&str; 3] = ["id -G", "ls -l /etc/passwd", "uname -s"];
const ACCEPTED: &str = "Accepted Default Telnet Port Connection";
const AFTER_FAILURES: &str = "Successful Telnet Login after Failures";

#[test]
fn a_visit_with_one_wrong_password_is_told_from_its_alert_to_its_end() -> Result<()> {
    guest(|| {
        let documents = Documents::from_now()?;
        serve_by("telnet.socket")?;
        let mut user = User::connect()?;
        let accepted = documents.accepted()?;
        documents.wait_for("its alert, before anything is typed", |document| {
            rule(document) == Some(ACCEPTED) && session(document) == session(&accepted)
        })?;
        for (time, password) in [(1, WRONG), (2, PASSWORD)] {
            user.answer("login:", time, USER)?;
            user.answer("assword:", time, password)?;
        }
        for (before, command) in COMMANDS.iter().enumerate() {
            user.answer("$ ", before + 1, command)?;
        }
        user.answer("$ ", COMMANDS.len() + 1, "exit")?;
        user.leave()?;
        let closed = documents.wait_for(
            "the end of the session",
            same_session(&accepted, "network_flow", "ingress"),
        )?;
        documents.wait_for("the alert of the login", |document| {
            rule(document) == Some(AFTER_FAILURES) && session(document) == session(&accepted)
        })?;
        let mut all = documents.all()?;
        all.retain(|document| session(document) == session(&accepted));
        let uid = run("id", &["-u", USER])?;
        is_summed_up(&closed)?;
        login_is_told(&all, uid.trim())?;
        commands_are_told(&all, uid.trim())?;
        for action in ["connection_accepted", "network_flow"] {
            let count = of(&all, action).len();
            ensure!(count == 1, "{count} of {action}: {all:#?}");
        }
        let mut alerts: Vec<_> = all.iter().filter_map(rule).collect();
        alerts.sort_unstable();
        ensure!(alerts == [ACCEPTED, AFTER_FAILURES], "{alerts:?}");
        nobody_learns_a_password()
    })
}

fn session(document: &Value) -> Option<&str> {
    text(document, "telnet.session.id").filter(|_| {
        // The client is on the same machine.
        text(document, "network.direction") == Some("ingress")
    })
}

fn rule(document: &Value) -> Option<&str> {
    text(document, "kibana.alert.rule.name")
}

fn of<'a>(all: &'a [Value], action: &str) -> Vec<&'a Value> {
    all.iter()
        .filter(|document| event(action, "ingress")(document))
        .collect()
}

fn login_is_told(all: &[Value], uid: &str) -> Result<()> {
    let logins = of(all, "user_login");
    let [login] = *logins.as_slice() else {
        anyhow::bail!("{} logins: {all:#?}", logins.len());
    };
    Check::of(login)
        .is("event.outcome", "success")
        .is("user.name", USER)
        .is("user.id", uid)
        .is("telnet.login.method", "login")
        .is("telnet.login.failures", 1)
        .knows("telnet.login.delay")
        .lacks("telnet.login.verdict")
        .done()?;
    let terminal = text(login, "telnet.terminal.name").context("no terminal")?;
    ensure!(terminal.contains("pts/"), "terminal {terminal:?}");
    Ok(())
}

fn commands_are_told(all: &[Value], uid: &str) -> Result<()> {
    let (address, _port) = TELNET.split_once(':').context("an address")?;
    for command in COMMANDS {
        let mut events = of(all, "exec");
        events.retain(|event| text(event, "process.command_line") == Some(command));
        let [event] = *events.as_slice() else {
            anyhow::bail!("{} times {command}: {all:#?}", events.len());
        };
        Check::of(event)
            .is("source.ip", address)
            .is("user.id", uid)
            .has("event.category", "process")
            .knows("process.parent.pid")
            .done()?;
    }
    Ok(())
}

fn is_summed_up(closed: &Value) -> Result<()> {
    Check::of(closed)
        .is("telnet.session.outcome", "login")
        .is("telnet.login.user.name", USER)
        .is("telnet.login.failures", 1)
        .is("telnet.session.last_command", "uname -s")
        .knows("telnet.session.programs")
        .lacks("telnet.session.survivors")
        .knows("network.bytes")
        .knows("event.duration")
        .done()
}

/// What was typed at the prompt for a password is in no document, and in no log of the agent's.
fn nobody_learns_a_password() -> Result<()> {
    let documents = fs::read_to_string(DOCUMENTS).context(DOCUMENTS)?;
    let log = agent::log()?;
    for secret in [WRONG, PASSWORD] {
        ensure!(!documents.contains(secret), "{secret} in a document");
        ensure!(!log.contains(secret), "{secret} in the log");
    }
    Ok(())
}
