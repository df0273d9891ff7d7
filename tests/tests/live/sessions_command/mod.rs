//! `telnet-monitor sessions`: what is open now, without a running agent.

mod watch;

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use telnet_tests::agent::{Ended, collect};
use telnet_tests::check::{Check, number, text};
use telnet_tests::lab::{self, Lab, V4};
use telnet_tests::net::Netns;
use telnet_tests::peer::{Scripted, Server, ServerKind, Telnetd, TelnetdKind};
use telnet_tests::process::{Facts, Spawned, holders};
use telnet_tests::{tools, wait};

/// What a client sends.
const SENT: &str = "hello";

/// A line of the table, by column.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    direction: String,
    local: String,
    remote: String,
    state: String,
    process: String,
    user: String,
    received: String,
    sent: String,
    netns: String,
}

impl Row {
    fn of(line: &str) -> Result<Self> {
        let cells: Vec<&str> = line.split("  ").map(str::trim).collect();
        let cells: Vec<&str> = cells.into_iter().filter(|cell| !cell.is_empty()).collect();
        let [
            direction,
            local,
            remote,
            state,
            process,
            user,
            _login,
            _login_user,
            _place,
            _age,
            received,
            sent,
            netns,
            _command,
        ] = *cells.as_slice()
        else {
            bail!("a row of {} cells: {line:?}", cells.len());
        };
        Ok(Self {
            direction: direction.to_owned(),
            local: local.to_owned(),
            remote: remote.to_owned(),
            state: state.to_owned(),
            process: process.to_owned(),
            user: user.to_owned(),
            received: received.to_owned(),
            sent: sent.to_owned(),
            netns: netns.to_owned(),
        })
    }
}

fn command(lab: &Lab, args: &[&str]) -> Result<Command> {
    let mut command = Command::new(lab.agent()?);
    command.arg("sessions").args(args).env_remove("RUST_LOG");
    command.env("TELNET_MONITOR_STATE_DIR", lab.dir().join("state"));
    Ok(command)
}

fn finish(netns: Option<&Netns>, command: &mut Command) -> Result<Ended> {
    let mut process = Spawned::start("sessions", netns, command)?;
    collect(&mut process)
}

fn run(lab: &Lab, args: &[&str]) -> Result<Ended> {
    let ended = finish(None, &mut command(lab, args)?)?;
    ensure!(ended.status.code() == Some(0), "{ended:?}");
    Ok(ended)
}

/// Rows of the lab's namespace.
fn rows(lab: &Lab, table: &str) -> Result<Vec<Row>> {
    let netns = lab.net.inode().to_string();
    let rows = table
        .lines()
        .filter(|line| line.split("  ").any(|cell| cell.trim() == netns))
        .map(Row::of);
    rows.collect()
}

fn named(pid: u32) -> Result<String> {
    let facts = Facts::of(pid)?;
    Ok(format!("{}[{pid}]", facts.name))
}

/// Two sessions that a child process each of one server serves.
struct Stage {
    server: Server,
    clients: Vec<(Scripted, SocketAddr, u32)>,
    address: SocketAddr,
}

impl Stage {
    fn open(lab: &Lab) -> Result<Self> {
        let address = SocketAddr::new(V4, 23);
        let server = Server::start(lab, ServerKind::Fork, address, 0)?;
        let mut clients = Vec::new();
        for name in ["first", "second"] {
            let mut client = Scripted::start(lab, name)?;
            let socket = client.connect(address)?;
            let handler = server.served(socket.local)?.handler;
            let accepted = lab.net.wait_for_accepted(socket.local, address)?;
            wait::until("only the handler holds the session", || {
                Ok((holders(accepted.inode)? == [handler]).then_some(()))
            })?;
            client.send(socket, SENT)?;
            clients.push((client, socket.local, handler));
        }
        clients.sort_by_key(|(_, local, _)| *local);
        Ok(Self {
            server,
            clients,
            address,
        })
    }
}

#[test]
fn the_table_names_both_ends_of_each_session() -> Result<()> {
    lab::live(|lab| {
        let stage = Stage::open(lab)?;
        let server = stage.address.to_string();
        let row =
            |direction: &str, local: &str, remote: &str, state: &str, pid, bytes: [&str; 2]| {
                let [received, sent] = bytes.map(str::to_owned);
                anyhow::Ok(Row {
                    direction: direction.to_owned(),
                    local: local.to_owned(),
                    remote: remote.to_owned(),
                    state: state.to_owned(),
                    process: named(pid)?,
                    user: "root".to_owned(),
                    received,
                    sent,
                    netns: lab.net.inode().to_string(),
                })
            };
        let sent = SENT.len().to_string();
        let mut expected = vec![row(
            "listen",
            &server,
            "-",
            "LISTEN",
            stage.server.pid(),
            ["-", "-"],
        )?];
        for (_, client, handler) in &stage.clients {
            let (client, pid) = (client.to_string(), *handler);
            expected.push(row(
                "in",
                &server,
                &client,
                "ESTABLISHED",
                pid,
                [&sent, "0"],
            )?);
        }
        for (process, client, _) in &stage.clients {
            let (client, pid) = (client.to_string(), process.pid());
            expected.push(row(
                "out",
                &client,
                &server,
                "ESTABLISHED",
                pid,
                ["0", &sent],
            )?);
        }
        let mut last = String::new();
        wait::until("both sessions with their bytes", || {
            last = run(lab, &[])?.stdout;
            Ok((rows(lab, &last)? == expected).then_some(()))
        })
        .with_context(|| format!("expected {expected:#?} in\n{last}"))
    })
}

#[test]
fn documents_name_both_ends_of_each_session() -> Result<()> {
    lab::live(|lab| {
        let stage = Stage::open(lab)?;
        let ended = run(lab, &["--json"])?;
        let mut documents = Vec::new();
        for line in ended.stdout.lines() {
            let document: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            if number(&document, "telnet.netns") == Some(lab.net.inode()) {
                documents.push(document);
            }
        }
        ensure!(documents.len() == 5, "{documents:#?}");
        let [listener, sessions @ ..] = documents.as_slice() else {
            bail!("no documents");
        };
        Check::of(listener)
            .is("event.action", "listener_opened")
            .is("server.ip", V4.to_string())
            .is("server.port", 23)
            .is("process.pid", stage.server.pid())
            .is("telnet.listener.preexisting", true)
            .lacks("source")
            .done()?;
        for (process, client, handler) in &stage.clients {
            let of = |direction: &str| {
                let is_it = |document: &&Value| {
                    number(document, "source.port") == Some(u64::from(client.port()))
                        && text(document, "network.direction") == Some(direction)
                };
                sessions.iter().find(is_it).context(direction.to_owned())
            };
            let inbound = of("ingress")?;
            Check::of(inbound)
                .is("event.action", "connection_accepted")
                .is("source.ip", V4.to_string())
                .is("destination.port", 23)
                .is("process.pid", *handler)
                .is("user.name", "root")
                .is("telnet.attribution", "sock_diag")
                .is("telnet.handler.pid", *handler)
                .is("telnet.listener.pid", stage.server.pid())
                .is("telnet.session.preexisting", true)
                .lacks("event.start")
                .done()?;
            ensure!(number(inbound, "source.bytes").is_some(), "{inbound:#}");
            Check::of(of("egress")?)
                .is("event.action", "connection_established")
                .is("process.pid", process.pid())
                .is("process.name", process.facts()?.name)
                .is("telnet.client.pid", process.pid())
                .is("telnet.session.preexisting", true)
                .done()?;
        }
        Ok(())
    })
}

#[test]
fn control_characters_of_a_process_name_are_escaped() -> Result<()> {
    lab::live(|lab| {
        let address = SocketAddr::new(V4, 23);
        let _server = Telnetd::start(lab, TelnetdKind::Busybox, address)?;
        let mut command = lab.command_named(&tools::find("busybox")?, "\u{1b}[31m\u{7}\r\nX")?;
        command
            .arg0("telnet")
            .args([V4.to_string(), "23".to_owned()]);
        let client = Spawned::start("hostile telnet", Some(&lab.net), &mut command)?;
        lab.net.wait_for_connection(client.pid(), address)?;

        let stdout = run(lab, &[])?.stdout;
        ensure!(
            stdout.contains(&format!(
                r"\u{{1b}}[31m\u{{7}}\u{{d}}\u{{a}}X[{}]",
                client.pid()
            )),
            "{stdout:?}"
        );
        ensure!(
            !stdout.contains(|c: char| c.is_control() && c != '\n'),
            "{stdout:?}"
        );
        ensure!(rows(lab, &stdout)?.len() == 3, "{stdout}");
        Ok(())
    })
}

#[test]
fn nothing_open_is_no_error() -> Result<()> {
    lab::live(|lab| {
        let rules = lab.write("rule.toml", &super::rule_file("destination.port:54321"))?;
        let rules = rules.to_string_lossy();
        for format in [&[][..], &["--json"]] {
            let mut args = vec!["--rules", &rules];
            args.extend(format);
            let ended = run(lab, &args)?;
            ensure!(ended.stdout.is_empty(), "{ended:?}");
            ensure!(
                ended.log.contains("no telnet sessions or listeners"),
                "{ended:?}"
            );
        }
        let both = finish(None, &mut command(lab, &["--json", "--watch"])?)?;
        ensure!(both.status.code() == Some(2), "{both:?}");
        let absent = finish(None, &mut command(lab, &["--rules", "/nonexistent"])?)?;
        ensure!(absent.status.code() == Some(1), "{absent:?}");
        Ok(())
    })
}

#[test]
fn the_ports_are_those_of_the_rules() -> Result<()> {
    lab::live(|lab| {
        let mut telnet = Scripted::start(lab, "telnet")?;
        telnet.listen(SocketAddr::new(V4, 23))?;
        let mut other = Scripted::start(lab, "other")?;
        other.listen(SocketAddr::new(V4, 2323))?;
        let rules = lab.write("rule.toml", &super::rule_file("destination.port:2323"))?;
        let stdout = run(lab, &["--rules", &rules.to_string_lossy()])?.stdout;
        let locals: Vec<String> = rows(lab, &stdout)?
            .into_iter()
            .map(|row| row.local)
            .collect();
        ensure!(locals == [format!("{V4}:2323")], "{stdout}");
        Ok(())
    })
}

#[test]
fn others_than_root_see_less_and_are_told() -> Result<()> {
    lab::live(|lab| {
        let address = SocketAddr::new(V4, 23);
        let _listener = lab.net.listen(address)?;
        let mut command = Command::new(lab.agent_for_anybody()?);
        command.arg("sessions").uid(lab::NOBODY).gid(lab::NOBODY);
        let ended = finish(Some(&lab.net), &mut command)?;
        ensure!(ended.status.code() == Some(0), "{ended:?}");
        ensure!(ended.log.contains("not running as root"), "{ended:?}");
        let line = ended
            .stdout
            .lines()
            .find(|line| line.contains(&address.to_string()))
            .with_context(|| format!("{ended:?}"))?;
        // Its own namespace, whose number is left out.
        let row = Row::of(line)?;
        ensure!(row.process == "-" && row.netns == "-", "{ended:?}");
        Ok(())
    })
}
