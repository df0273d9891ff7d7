use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::fs::MetadataExt as _,
    },
    process::{Child, Command, Stdio},
};

use rustix::{
    net::sockopt::socket_cookie,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use super::{wire::canonical, *};
use crate::enrich::tests::assert_soon;

/// A listener and both ends of a connection to it.
fn connection(address: &str) -> (TcpListener, TcpStream, TcpStream) {
    let listener = TcpListener::bind(address).expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    let host = if address.starts_with("[::1]") {
        "::1"
    } else {
        "127.0.0.1"
    };
    let client = TcpStream::connect((host, port)).expect("a connection");
    let (server, _) = listener.accept().expect("a connection");
    (listener, client, server)
}

/// A process in a network namespace of its own whose loopback works.
struct Stranger(Child);

impl Stranger {
    fn new() -> Option<Self> {
        let script = "ip link set lo up && echo ready && exec cat";
        let child = Command::new("unshare")
            .args(["--net", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut stranger = Self(child.ok()?);
        let mut line = String::new();
        BufReader::new(stranger.0.stdout.take()?)
            .read_line(&mut line)
            .ok()?;
        (line == "ready\n").then_some(stranger)
    }

    fn namespace(&self) -> File {
        File::open(format!("/proc/{}/ns/net", self.0.id())).expect("a namespace")
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.0.kill().expect("a child");
        self.0.wait().expect("a child");
    }
}

fn finder() -> Option<SocketFinder> {
    if rustix::process::geteuid().is_root() {
        return Some(SocketFinder::new("/proc".into()));
    }
    eprintln!("skipped: only root may read the open files of all processes");
    None
}

#[test]
fn both_ends_of_a_connection_are_held_by_this_process() {
    let Some(mut finder) = finder() else { return };
    let me = std::process::id();
    // The last one's server is an IPv6 socket with IPv4 ends.
    for address in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
        let (_listener, client, server) = connection(address);
        for end in [&client, &server] {
            let local = canonical(end.local_addr().expect("an address"));
            let remote = canonical(end.peer_addr().expect("an address"));
            let cookie = socket_cookie(end).expect("a cookie");
            for (cookie, holders) in [
                (None, vec![me]),
                (Some(cookie), vec![me]),
                (Some(cookie + 1), vec![]),
            ] {
                assert_soon(&holders, address, || {
                    finder.holders(None, local, remote, cookie)
                });
            }
        }
    }
}

/// All listening sockets are listed, those of other tests too.
fn is_on(port: u16) -> impl Fn(&OpenSocket) -> bool {
    move |socket| socket.state != TcpState::Listen || socket.local.port() == port
}

#[test]
fn sockets_on_wanted_ports_are_listed() {
    let Some(mut finder) = finder() else { return };
    let (listener, client, server) = connection("127.0.0.1:0");
    let port = listener.local_addr().expect("an address").port();
    let cookie = |socket: BorrowedFd<'_>| socket_cookie(socket).ok();
    let me = vec![std::process::id()];
    let mut expected = [
        (cookie(listener.as_fd()), "Listen", me.clone()),
        (cookie(client.as_fd()), "Established", me.clone()),
        (cookie(server.as_fd()), "Established", me),
    ];
    expected.sort();
    assert_soon(
        &expected.map(|(c, s, p)| (c, s.to_owned(), p)).to_vec(),
        "all three",
        || {
            let listed = finder.list(&|wanted| wanted == port).sockets;
            let mut found: Vec<_> = listed
                .into_iter()
                .filter(is_on(port))
                .map(|socket| (socket.cookie, format!("{:?}", socket.state), socket.pids))
                .collect();
            found.sort();
            found
        },
    );
}

#[test]
fn traffic_is_counted_on_request() {
    use std::io::{Read as _, Write as _};

    let Some(mut finder) = finder() else { return };
    let (listener, mut client, mut server) = connection("127.0.0.1:0");
    let port = listener.local_addr().expect("an address").port();
    client.write_all(b"hello").expect("sent");
    server.read_exact(&mut [0; 5]).expect("received");
    server.write_all(b"hi").expect("sent");
    client.read_exact(&mut [0; 2]).expect("received");
    client
        .shutdown(std::net::Shutdown::Write)
        .expect("half closed");
    server.read_to_end(&mut Vec::new()).expect("the end");
    // State, received, acknowledged: the client's SYN and FIN count, and its FIN is received.
    let expected = vec![
        ("CloseWait".to_owned(), Some((6, 2, true))),
        ("FinWait2".to_owned(), Some((2, 7, false))),
        ("Listen".to_owned(), None),
    ];
    assert_soon(&expected, "all three with counters", || {
        let mut found: Vec<_> = finder
            .list_with_counters(&|wanted| wanted == port)
            .sockets
            .into_iter()
            .filter(is_on(port))
            .map(|socket| {
                let counters = socket.counters.map(|counters| {
                    (
                        counters.bytes_received,
                        counters.bytes_acked,
                        counters.fin_received,
                    )
                });
                (format!("{:?}", socket.state), counters)
            })
            .collect();
        found.sort();
        found
    });
    let plain = finder.list(&|wanted| wanted == port).sockets;
    assert!(plain.iter().all(|socket| socket.counters.is_none()));
}

#[test]
fn sockets_in_another_network_namespace_are_found() {
    let Some(mut finder) = finder() else { return };
    let Some(stranger) = Stranger::new() else {
        eprintln!("skipped: needs unshare(1), ip(8) and CAP_SYS_ADMIN");
        return;
    };
    let namespace = stranger.namespace();
    let inode = namespace.metadata().expect("a namespace").ino();
    let netns = u32::try_from(inode).expect("an inode number");
    let enter = move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("to enter");
        connection("127.0.0.1:0")
    };
    let (listener, client, _server) = std::thread::spawn(enter).join().expect("a connection");
    let local = client.local_addr().expect("an address");
    let remote = client.peer_addr().expect("an address");
    let me = std::process::id();
    assert_soon(&vec![me], "it made them", || {
        finder.holders(Some(netns), local, remote, None)
    });
    let own = finder.namespaces.own();
    assert_eq!(
        finder.holders(own, local, remote, None),
        [0; 0],
        "not in our own"
    );
    let anywhere = |cookie| Connection {
        netns: None,
        local,
        remote,
        cookie,
    };
    let found = finder.find_all(&[anywhere(None)]).pop().flatten();
    let found = found.map(|socket| (socket.netns, socket.pids));
    assert_eq!(found, Some((Some(netns), vec![me])), "wherever it is");
    assert_eq!(finder.gone(&[anywhere(None)]), [false]);
    // Not every process may be looked at even by root, and namespaces of other programs come and
    // go, but nothing else went wrong.
    let harmless = ["proc", "gone", "enter"];
    assert!(
        finder.logged.iter().all(|kind| harmless.contains(kind)),
        "{:?}",
        finder.logged
    );
    let port = listener.local_addr().expect("an address").port();
    assert_soon(&vec![vec![me]; 3], "a listener and two ends", || {
        let listed = finder.list(&|wanted| wanted == port).sockets;
        let there = listed.into_iter().filter(|s| s.netns == Some(netns));
        there.map(|socket| socket.pids).collect()
    });
    // The tables show the same without entering.
    let process = PathBuf::from(format!("/proc/{}", stranger.0.id()));
    let mut entries = Vec::new();
    table::list(&process, |entry| entries.push((entry.local, entry.remote))).expect("tables");
    assert!(entries.contains(&(local, remote)), "{entries:?}");
    // Whoever mounted it needs no process in there.
    let mount = tempfile::NamedTempFile::new().expect("a file");
    let link = format!("/proc/{}/ns/net", stranger.0.id());
    rustix::mount::mount_bind(link, mount.path()).expect("to mount");
    drop(stranger);
    assert_eq!(finder.holders(Some(netns), local, remote, None), [me]);
    // The last way there is gone; the namespace lives on by the sockets.
    rustix::mount::unmount(mount.path(), rustix::mount::UnmountFlags::DETACH).expect("to unmount");
    assert_eq!(finder.holders(Some(netns), local, remote, None), [0; 0]);
}

#[test]
fn a_connection_is_gone_once_it_is_closed() {
    let Some(mut finder) = finder() else { return };
    let (_listener, client, server) = connection("127.0.0.1:0");
    let connection = Connection {
        netns: finder.namespaces.own(),
        local: server.local_addr().expect("an address"),
        remote: client.local_addr().expect("an address"),
        cookie: Some(socket_cookie(&server).expect("a cookie")),
    };
    let other = Connection {
        cookie: Some(u64::MAX - 1),
        ..connection
    };
    assert_eq!(finder.gone(&[connection, other]), [false, true]);
    drop(server);
    drop(client);
    assert_soon(&vec![true], "both ends are closed", || {
        finder.gone(&[connection])
    });
}

#[test]
fn what_is_known_is_not_asked_for() {
    let Some(mut finder) = finder() else { return };
    let (listener, client, server) = connection("127.0.0.1:0");
    let port = listener.local_addr().expect("an address").port();
    let known = client.local_addr().expect("an address");
    let open = finder.list_new(&|wanted| wanted == port, &mut |socket| {
        socket.state != TcpState::Listen && socket.local != known
    });
    let mut sockets = open.sockets.iter().filter(|it| it.local.port() == port);
    let listening = sockets.find(|it| it.state == TcpState::Listen);
    // It is there all the same, since it tells who connected.
    assert!(listening.expect("the listener").pids.is_empty());
    let sessions = open.sockets.iter().filter(|it| it.remote == known);
    let pids: Vec<_> = sessions.flat_map(|it| it.pids.clone()).collect();
    assert_eq!(pids, [std::process::id()]);
    assert!(!open.sockets.iter().any(|it| it.local == known));
    drop(server);
}

#[test]
fn tables_stand_in_for_sock_diag() {
    let proc = tempfile::tempdir().expect("a folder");
    let tree = |path: &str, text: &str| {
        let path = proc.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    };
    let line = "0: 0100007F:0017 0200007F:C001 01 0:0 0:0 0 0 0 21557 1";
    let other = "1: 0100007F:0017 0200007F:C001 0A 0:0 0:0 0 0 0 1 1";
    tree("9/net/tcp", &format!("head\n{other}\n{line}\n\u{1b}[2J\n"));
    tree("9/ns/net", "");
    for (pid, target) in [
        (9, "socket:[21557]"),
        (8, "socket:[2155]"),
        (7, "/socket:[21557]"),
    ] {
        tree(&format!("{pid}/fd/x"), "");
        let file = proc.path().join(format!("{pid}/fd/3"));
        std::os::unix::fs::symlink(target, file).expect("a link");
    }
    // An ordinary file stands for a namespace: setns refuses it, and the tables are read.
    let inode = std::fs::metadata(proc.path().join("9/ns/net"))
        .expect("a file")
        .ino();
    let netns = u32::try_from(inode).expect("an inode number");
    let mut finder = SocketFinder::new(proc.path().to_owned());
    let local = "127.0.0.1:23".parse().expect("an address");
    let remote = "127.0.0.2:49153".parse().expect("an address");
    let found = finder
        .find(Some(netns), local, remote, Some(1))
        .expect("a socket");
    assert_eq!((found.inode, found.pids.as_slice()), (21557, &[9][..]));
    assert!(finder.held_by(9).contains(&21557) && !finder.held_by(8).contains(&21557));
    assert_eq!(finder.find(Some(netns), remote, local, None), None);
    assert_eq!(finder.logged, HashSet::from(["enter"]));
    assert_eq!(finder.counters().errors, 2, "each is counted");
    let listed = finder.list(&|port| port == 23).sockets;
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert_eq!(
        finder.holders(Some(1), local, remote, None),
        [0; 0],
        "no such namespace"
    );
}

#[test]
fn a_connection_that_is_bound_to_an_interface_is_found() {
    let Some(mut finder) = finder() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let remote = listener.local_addr().expect("an address");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("a runtime");
    let client = runtime
        .block_on(async {
            let socket = tokio::net::TcpSocket::new_v4()?;
            socket.bind_device(Some(b"lo"))?;
            socket.connect(remote).await
        })
        .expect("a connection");
    let local = client.local_addr().expect("an address");
    let cookie = socket_cookie(&client).ok();
    assert_soon(&vec![std::process::id()], "it made it", || {
        finder.holders(None, local, remote, cookie)
    });
}

#[test]
fn a_process_that_is_in_another_namespace_by_now_is_no_way_in() {
    let refused =
        namespace::open(&Way::Process("/proc/self".into()), 1).expect_err("another namespace");
    assert!(matches!(refused, Error::Gone { netns: 1 }), "{refused}");
    let refused = namespace::open(&Way::Process("/proc/0".into()), 1).expect_err("no process");
    assert!(matches!(refused, Error::Gone { netns: 1 }), "{refused}");
}
