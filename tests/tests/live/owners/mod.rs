//! Who listens, who accepted and who serves: for every way a server may share these out.

mod nobody;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use telnet_tests::agent::{Agent, Document, acceptor_is_known};
use telnet_tests::check::{Check, get, number, text};
use telnet_tests::lab::{self, Lab, V4};
use telnet_tests::peer::{Handle, Scripted, Server, ServerKind, Telnetd, TelnetdKind};
use telnet_tests::process::{Facts, Spawned, holders};
use telnet_tests::{tools, wait};

const TELNET: SocketAddr = SocketAddr::new(V4, 23);

/// How long the agent holds an accepted session back for its acceptor.
const ACCEPTOR_WAIT: SignedDuration = SignedDuration::from_millis(100);

/// When the agent looks for the last two times who holds an accepted socket, after the accept.
const LOOKS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

/// How late a look may be; those after it are then late too.
const LATE: Duration = Duration::from_millis(200);

/// Where a session happens.
struct Scene<'a> {
    lab: &'a Lab,
    /// What tells the agent who accepted.
    hook: String,
}

/// The truth about the server's end of one session.
struct Owners {
    /// None when several sockets share the address and nothing tells which one it was.
    listener: Option<Facts>,
    /// None when this hook does not see it.
    acceptor: Option<Facts>,
    handler: Facts,
}

fn ingress(action: &str, client: Handle) -> impl Fn(&Value) -> bool + '_ {
    let port = u64::from(client.local.port());
    move |json| {
        text(json, "event.action") == Some(action)
            && text(json, "network.direction") == Some("ingress")
            && number(json, "source.port") == Some(port)
    }
}

fn with_owner<'a>(check: Check<'a>, role: &str, owner: &Facts) -> Check<'a> {
    check
        .is(&format!("telnet.{role}.pid"), owner.pid)
        .is(&format!("telnet.{role}.name"), owner.name.as_str())
        .is(&format!("telnet.{role}.user.name"), "root")
}

fn with_acceptor<'a>(check: Check<'a>, owners: &Owners) -> Check<'a> {
    match &owners.acceptor {
        Some(acceptor) if acceptor_is_known() => with_owner(check, "acceptor", acceptor),
        _ => check.lacks("telnet.acceptor"),
    }
}

/// Whether the event had to go out before anybody accepted, or was seen to hold the socket, as on
/// a slow machine it may. The agent must have waited, and must not have guessed.
fn accepted_too_late(event: &Document, owners: &Owners) -> Result<bool> {
    let json = &event.json;
    let awaited = if acceptor_is_known() && owners.acceptor.is_some() {
        "telnet.acceptor"
    } else {
        "telnet.handler"
    };
    if has(json, awaited) {
        return Ok(false);
    }
    let time = |path| -> Result<Timestamp> {
        let time = text(json, path).with_context(|| format!("no {path} in {json:#}"))?;
        Ok(time.parse()?)
    };
    let waited = time("event.created")?.duration_since(time("@timestamp")?);
    ensure!(
        waited >= ACCEPTOR_WAIT,
        "no {awaited} after {waited:?}: {json:#}"
    );
    let known: Vec<_> = [&owners.handler]
        .into_iter()
        .chain(&owners.acceptor)
        .chain(&owners.listener)
        .map(|o| u64::from(o.pid))
        .collect();
    for path in ["process.pid", "telnet.listener.pid"] {
        let named = number(json, path);
        ensure!(
            named.is_none_or(|pid| known.contains(&pid)),
            "{path} is none of {known:?} in {json:#}"
        );
    }
    Ok(true)
}

fn check_accepted(event: &Document, owners: &Owners) -> Result<()> {
    if accepted_too_late(event, owners)? {
        return Ok(());
    }
    let check = Check::of(&event.json);
    let check = match &owners.listener {
        Some(listener) => with_owner(check, "listener", listener),
        None => check.lacks("telnet.listener"),
    };
    with_acceptor(check, owners)
        .is_one_of(
            "process.pid",
            [owners.acceptor.as_ref(), Some(&owners.handler)]
                .into_iter()
                .flatten()
                .map(|owner| owner.pid),
        )
        .done()?;
    let source = text(&event.json, "telnet.attribution").context("no telnet.attribution")?;
    ensure!(
        source != "none",
        "an owner, but attribution {source}: {:#}",
        event.json
    );
    Ok(())
}

/// Whether the one who accepted serves the session too.
fn serves_itself(owners: &Owners) -> bool {
    let acceptor = owners.acceptor.as_ref();
    acceptor.is_some_and(|acceptor| acceptor.pid == owners.handler.pid)
}

fn check_closed(event: &Document, owners: &Owners) -> Result<()> {
    let mut check = with_acceptor(Check::of(&event.json), owners);
    // An acceptor that serves by itself need not be told twice.
    if !serves_itself(owners) || has(&event.json, "telnet.handler") {
        check = with_owner(check, "handler", &owners.handler);
    }
    check
        .is("process.pid", owners.handler.pid)
        .is("process.name", owners.handler.name.as_str())
        .is("process.executable", owners.handler.executable.as_str())
        .is("user.name", "root")
        .done()
}

fn has(json: &Value, path: &str) -> bool {
    get(json, path).is_some()
}

/// When the agent looks next at a session whose handler was in place this long after the accept.
/// Only on a slow machine does it take the last look to see that, and two seconds more.
fn look_after(in_place: Duration) -> Duration {
    let [early, last] = LOOKS;
    if in_place < early { early } else { last }
}

/// One session; `start` starts the server, `truth` says who is on its end.
fn owners_are_named<S>(
    start: impl Fn(&Lab) -> Result<S>,
    truth: impl Fn(&Scene<'_>, &S, SocketAddr) -> Result<Owners>,
) -> Result<()> {
    lab::live(|lab| {
        let mut agent = Agent::start(lab, ["--emit", "events"])?;
        let server = start(lab)?;
        let mut peer = Scripted::start(lab, "client")?;
        let begin = Instant::now();
        let client = peer.connect(TELNET)?;
        let owners = truth(
            &Scene {
                lab,
                hook: agent.acceptor_hook()?,
            },
            &server,
            client.local,
        )?;
        let in_place = begin.elapsed();
        let what = "the accepted event";
        let accepted = agent.wait_for(lab, what, ingress("connection_accepted", client))?;
        check_accepted(&accepted, &owners).context(what)?;

        // Whoever serves it does by now; where no hook told, that is only seen by looking.
        if !acceptor_is_known() || !serves_itself(&owners) {
            while accepted.at.elapsed() < look_after(in_place) + LATE {
                agent.fence(lab)?;
            }
        }
        agent.fence(lab)?;
        peer.with("reset", client)?;
        let what = "the closing event";
        let closed = agent.wait_for(lab, what, ingress("network_flow", client))?;
        check_closed(&closed, &owners).context(what)?;
        agent.finish().map(drop)
    })
}

fn test_server_is_named(kind: ServerKind, workers: u8) -> Result<()> {
    owners_are_named(
        |lab| Server::start(lab, kind, TELNET, workers),
        |_, server, client| {
            let served = server.served(client)?;
            let listener = if kind != ServerKind::ReusePort {
                Some(Facts::of(server.pid())?)
            } else if acceptor_is_known() {
                Some(Facts::of(served.acceptor)?)
            } else {
                None
            };
            Ok(Owners {
                listener,
                acceptor: Some(Facts::of(served.acceptor)?),
                handler: Facts::of(served.handler)?,
            })
        },
    )
}

/// The process that holds the session's socket and is not `acceptor`; `acceptor` itself when
/// no child takes the socket over.
fn holder(lab: &Lab, client: SocketAddr, acceptor: u32, hands_over: bool) -> Result<Facts> {
    let socket = lab.net.wait_for_accepted(client, TELNET)?;
    wait::until("holder of the session", || {
        let holders = holders(socket.inode)?;
        match holders.as_slice() {
            [pid] if (*pid != acceptor) == hands_over => Facts::of(*pid).map(Some),
            _ => Ok(None),
        }
    })
}

fn telnetd_is_named(kind: TelnetdKind) -> Result<()> {
    owners_are_named(
        |lab| Telnetd::start(lab, kind, TELNET),
        |Scene { lab, .. }, server, client| {
            let hands_over = kind != TelnetdKind::Busybox;
            let mut handler = holder(lab, client, server.pid(), hands_over)?;
            if hands_over {
                // It holds the socket before it becomes telnetd, and while it does a look finds
                // its executable as it was before. The name changes after that.
                handler = wait::until("telnetd", || {
                    let is_telnetd = Facts::of(handler.pid)?.name == "telnetd";
                    is_telnetd.then(|| Facts::of(handler.pid)).transpose()
                })?;
            }
            let daemon = Facts::of(server.pid())?;
            Ok(Owners {
                listener: Some(daemon.clone()),
                acceptor: Some(daemon),
                handler,
            })
        },
    )
}

#[test]
fn busybox_telnetd_serves_itself() -> Result<()> {
    telnetd_is_named(TelnetdKind::Busybox)
}

#[test]
fn telnetd_under_inetd_is_the_handler() -> Result<()> {
    telnetd_is_named(TelnetdKind::Inetd)
}

#[test]
fn telnetd_under_xinetd_is_the_handler() -> Result<()> {
    telnetd_is_named(TelnetdKind::Xinetd)
}

#[test]
fn threads_belong_to_their_process() -> Result<()> {
    test_server_is_named(ServerKind::Threads, 1)
}

#[test]
fn server_that_accepts_by_io_uring_is_named() -> Result<()> {
    owners_are_named(
        |lab| Server::start(lab, ServerKind::Uring, TELNET, 1),
        |scene, server, client| {
            let served = server.served(client)?;
            let daemon = Facts::of(served.acceptor)?;
            // There is no accept(2) for the hook at its end to see.
            let sees_it = scene.hook != "syscall_exit";
            Ok(Owners {
                listener: Some(daemon.clone()),
                acceptor: sees_it.then(|| daemon.clone()),
                handler: daemon,
            })
        },
    )
}

#[test]
fn child_that_is_given_the_socket_is_the_handler() -> Result<()> {
    test_server_is_named(ServerKind::Fork, 1)
}

#[test]
fn worker_of_a_pool_is_acceptor_and_its_parent_the_listener() -> Result<()> {
    test_server_is_named(ServerKind::Pool, 4)
}

#[test]
fn worker_with_a_shared_port_is_listener_and_acceptor() -> Result<()> {
    test_server_is_named(ServerKind::ReusePort, 4)
}

#[test]
fn process_that_is_passed_the_socket_is_the_handler() -> Result<()> {
    test_server_is_named(ServerKind::Pass, 1)
}

#[test]
fn child_that_is_forked_and_never_executes_is_the_handler() -> Result<()> {
    // busybox httpd forks per connection, and nothing else; it waits for a request.
    owners_are_named(
        |lab| {
            let busybox = tools::find("busybox")?;
            let mut command = lab.command_named(&busybox, "httpd")?;
            command.args(["-f", "-p", &TELNET.to_string()]);
            let process = Spawned::start("httpd", Some(&lab.net), &mut command)?;
            lab.net
                .wait_for_listener(TELNET)
                .with_context(|| process.report())?;
            Ok(process)
        },
        |Scene { lab, .. }, server, client| {
            let handler = holder(lab, client, server.pid(), true)?;
            let daemon = Facts::of(server.pid())?;
            Ok(Owners {
                listener: Some(daemon.clone()),
                acceptor: Some(daemon),
                handler,
            })
        },
    )
}

#[test]
fn outbound_session_is_the_connecting_process() -> Result<()> {
    lab::live(|lab| {
        let mut agent = Agent::start(lab, ["--emit", "events"])?;
        let _server = Server::start(lab, ServerKind::Threads, TELNET, 1)?;
        let mut peer = Scripted::start(lab, "client")?;
        let (client, facts) = (peer.connect(TELNET)?, peer.facts()?);
        let event = agent.wait_for(lab, "the outbound event", |json| {
            text(json, "event.action") == Some("connection_established")
                && number(json, "source.port") == Some(u64::from(client.local.port()))
        })?;
        Check::of(&event.json)
            .is("process.pid", facts.pid)
            .is("process.name", facts.name.as_str())
            .is("process.executable", facts.executable.as_str())
            .is("process.args", facts.args.clone())
            .is("process.parent.pid", facts.parent)
            .is("user.id", "0")
            .is("user.name", "root")
            .done()?;
        agent.finish().map(drop)
    })
}
