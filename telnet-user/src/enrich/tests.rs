use std::{
    fmt,
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::net::sockopt::socket_cookie;

use super::*;
use crate::{
    clock::BootTime,
    probe::record::SocketKey,
    session::{Direction, Fact},
};

/// Asserts what holds again in a moment: while another test starts a program, there is a process
/// between fork and exec that holds all that this one does.
pub(super) fn assert_soon<T: PartialEq + fmt::Debug>(
    expected: &T,
    why: &str,
    mut value: impl FnMut() -> T,
) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let found = value();
        if found == *expected {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{found:?} is not {expected:?}: {why}"
        );
    }
}

fn session(local: SocketAddr, remote: SocketAddr, cookie: Option<u64>) -> Session {
    Session::new(
        SocketKey { address: 1, cookie },
        Direction::Ingress,
        local,
        remote,
    )
}

/// A process that holds `socket` as its standard input and waits for data on it.
fn handler(socket: TcpStream) -> Child {
    Command::new("cat")
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .stdout(Stdio::null())
        .spawn()
        .expect("cat")
}

#[test]
fn the_child_that_was_handed_the_socket_is_its_owner() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root may read the open files of all processes");
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    let client = TcpStream::connect(address).expect("a connection");
    let mut enricher = Enricher::new(Roots::default());
    let peer = client.local_addr().expect("an address");
    let unaccepted = session(address, peer, None);
    assert_eq!(enricher.find_owner(&unaccepted), None, "nobody has it yet");

    let (server, _) = listener.accept().expect("a connection");
    let cookie = socket_cookie(&server).expect("a cookie");
    let mut accepted = session(address, peer, Some(cookie));
    let owner = |expected: Option<u32>, why: &str, enricher: &mut Enricher| {
        assert_soon(&expected, why, || {
            let owner = enricher.find_owner(&accepted)?;
            assert_eq!(owner.source, Attribution::SockDiag);
            Some(owner.task.pid)
        });
    };
    let me = std::process::id();
    owner(Some(me), "accepted it", &mut enricher);
    let mut child = handler(server.try_clone().expect("a socket"));
    // The parent has not closed its copy, as inetd has not for a moment.
    owner(Some(child.id()), "was handed it", &mut enricher);
    let mut sibling = handler(server);
    owner(None, "two, and nothing tells them apart", &mut enricher);
    for process in [&mut sibling, &mut child] {
        process.kill().expect("a child");
        process.wait().expect("a child");
    }
    owner(None, "nobody holds it any more", &mut enricher);

    accepted.owners.client = Some(Owner {
        task: Arc::new(enricher.processes.task(me).expect("this process")),
        source: Attribution::Connect,
    });
    let facts = enricher.facts(&Observation::Session {
        session: Box::new(accepted),
        fact: Fact::Established,
        time: BootTime::from_nanos(1),
    });
    let closest = facts.owners.closest().expect("an owner");
    assert_eq!(
        (closest.process.pid, closest.source),
        (me, Attribution::Connect)
    );
    assert_eq!(facts.owners.handler, None);
    assert!(facts.host.boot_id.is_some());
}

#[test]
fn the_eldest_of_those_that_share_a_listener_owns_it() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root may read the open files of all processes");
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    let shared = OwnedFd::from(listener.try_clone().expect("a socket"));
    let mut child = Command::new("sleep")
        .arg("60")
        .stdin(Stdio::from(shared))
        .spawn()
        .expect("sleep");
    let mut enricher = Enricher::new(Roots::default());
    assert_soon(&Some(std::process::id()), "called listen", || {
        let mut open = enricher.open_sockets(&|wanted| wanted == port).sockets;
        open.retain(|socket| socket.local.port() == port);
        let [socket] = open.as_slice() else {
            panic!("one socket in {open:?}");
        };
        assert!(socket.pids.contains(&child.id()), "{socket:?}");
        Some(enricher.owner_of(socket)?.task.pid)
    });
    child.kill().expect("a child");
    child.wait().expect("a child");
}

#[test]
fn owners_of_many_sessions_are_found_in_their_order() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root may read the open files of all processes");
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut sessions = Vec::new();
    let mut children = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..3 {
        let client = TcpStream::connect(address).expect("a connection");
        let (server, peer) = listener.accept().expect("a connection");
        let cookie = socket_cookie(&server).expect("a cookie");
        sessions.push(session(address, peer, Some(cookie)));
        children.push(handler(server));
        clients.push(client);
    }
    // The one in the middle has ended.
    clients.remove(1);
    children[1].wait().expect("a child");
    let mut enricher = Enricher::new(Roots::default());
    let expected = vec![Some(children[0].id()), None, Some(children[2].id())];
    assert_soon(&expected, "in their order", || {
        let found = enricher.find_owners(&sessions);
        found
            .iter()
            .map(|owner| owner.as_ref().map(|owner| owner.task.pid))
            .collect()
    });
    drop(clients);
    for mut child in children {
        child.wait().expect("a child");
    }
}
