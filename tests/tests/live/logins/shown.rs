//! What a person is shown of logins: `sessions` while they last, `session` afterwards.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use telnet_tests::agent::{Ended, collect};
use telnet_tests::check::{Check, number, text};
use telnet_tests::house::{House, Login, PASSWORD, USER, USER_ID};
use telnet_tests::lab::{self, Lab};
use telnet_tests::peer::{Client, ClientKind, Telnetd, TelnetdKind};
use telnet_tests::process::Spawned;
use telnet_tests::wait;

use super::{SERVER, agent, shipped_rules};

fn run(lab: &Lab, args: &[&str]) -> Result<Ended> {
    let mut command = Command::new(lab.agent()?);
    command.args(args).env_remove("RUST_LOG");
    command.env("TELNET_MONITOR_STATE_DIR", lab.dir().join("state"));
    let ended = collect(&mut Spawned::start("command", None, &mut command)?)?;
    ensure!(ended.status.code() == Some(0), "{ended:?}");
    Ok(ended)
}

/// The row of a client's session: login, its user and the last command.
fn row(lab: &Lab, client: &str) -> Result<Option<[String; 3]>> {
    let rules = shipped_rules(lab)?;
    let table = run(lab, &["sessions", "--rules", &rules.to_string_lossy()])?.stdout;
    let of_session = |line: &&str| line.starts_with("in ") && line.contains(client);
    let Some(line) = table.lines().find(of_session) else {
        return Ok(None);
    };
    let cells: Vec<&str> = line.split("  ").map(str::trim).collect();
    let cells: Vec<&str> = cells.into_iter().filter(|cell| !cell.is_empty()).collect();
    let cell = |index: usize| {
        let cell = cells.get(index).with_context(|| line.to_owned());
        cell.map(|cell| (*cell).to_owned())
    };
    Ok(Some([cell(6)?, cell(7)?, cell(13)?]))
}

fn wait_for_row(lab: &Lab, client: &str, expected: [&str; 3]) -> Result<()> {
    let mut last = None;
    wait::until("the row", || {
        last = row(lab, client)?;
        Ok((last.as_ref().is_some_and(|row| *row == expected)).then_some(()))
    })
    .with_context(|| format!("{last:?}, expected {expected:?}"))
}

fn document(lab: &Lab, client: u64) -> Result<Value> {
    let rules = shipped_rules(lab)?;
    let ended = run(
        lab,
        &["sessions", "--json", "--rules", &rules.to_string_lossy()],
    )?;
    let documents = ended.stdout.lines().map(serde_json::from_str);
    let documents: Vec<Value> = documents.collect::<Result<_, _>>()?;
    let is_it = |json: &Value| {
        number(json, "source.port") == Some(client)
            && text(json, "network.direction") == Some("ingress")
    };
    documents.into_iter().find(is_it).context("no document")
}

fn is_shown(kind: TelnetdKind, login: Login, source: &str) -> Result<()> {
    lab::live(|lab| {
        let mut agent = agent(lab)?;
        let house = House::build(lab, login)?;
        let _server = Telnetd::start_in(lab, &house, kind, SERVER, &[])?;
        let mut client = Client::start(lab, ClientKind::Inetutils, SERVER)?;
        let end = client.session(lab)?.source;
        let (address, port) = (end.to_string(), u64::from(end.port()));
        client.wait_for("login: ")?;
        wait_for_row(lab, &address, ["asking", "-", "-"])?;
        client.answer("login: ", 1, USER)?;
        client.answer("assword: ", 1, PASSWORD)?;
        client.answer("$ ", 1, "sleep 77")?;
        wait_for_row(lab, &address, ["succeeded", USER, "sleep 77"])?;
        let open = document(lab, port)?;
        Check::of(&open)
            .is("telnet.login.state", "succeeded")
            .is("telnet.login.user.name", USER)
            .is("telnet.login.user.id", USER_ID.to_string())
            .is("telnet.login.user_source", source)
            .is("telnet.session.last_command", "sleep 77")
            .knows("telnet.terminal.name")
            .knows("event.start")
            .lacks("telnet.session.outcome")
            .lacks("telnet.session.preexisting")
            .done()?;
        drop(client);
        let closed = agent.wait_for(lab, "the end", |json| {
            number(json, "source.port") == Some(port)
                && text(json, "event.action") == Some("network_flow")
                && text(json, "network.direction") == Some("ingress")
        })?;
        let id = text(&closed.json, "telnet.session.id").context("no id")?;
        ensure!(Some(id) == text(&open, "telnet.session.id"), "another id");
        is_told(lab, id, &agent.finish()?.stdout)
    })
}

/// The story of the session from everything that the agent wrote.
fn is_told(lab: &Lab, id: &str, documents: &str) -> Result<()> {
    let file = lab.write("documents.ndjson", documents)?;
    let story = run(lab, &["session", id, &file.to_string_lossy()])?.stdout;
    let mut rest = story.as_str();
    for part in [
        id,
        "\nacceptor  ",
        "\nhandler   telnetd[",
        "\nlogin     succeeded as alice(4711) by login on pts/",
        "\noutcome   login\n",
        "  +0.000s  accepted\n",
        " runs login[",
        "  logged in as alice(4711), known by ",
        "4711 runs sleep[",
        "]: sleep 77",
        "  closed: ",
        ", after ",
        ", bytes from source ",
    ] {
        let at = rest
            .find(part)
            .with_context(|| format!("{part:?} not in\n{story}"))?;
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    let alert = "alert, medium: Accepted Default Telnet Port Connection\n";
    ensure!(story.contains(alert), "{alert:?} not in\n{story}");
    ensure!(!story.contains(PASSWORD), "a password in the story");
    Ok(())
}

#[test]
fn a_login_of_busybox_is_shown() -> Result<()> {
    is_shown(TelnetdKind::Busybox, Login::Busybox, "utmp")
}

#[test]
fn a_login_through_inetd_is_shown() -> Result<()> {
    is_shown(TelnetdKind::Inetd, Login::Debian, "utmp")
}
