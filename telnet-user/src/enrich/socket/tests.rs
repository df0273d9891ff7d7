use std::net::{TcpListener, TcpStream};

use super::*;

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
            let cookie = rustix::net::sockopt::socket_cookie(end).expect("a cookie");
            let held =
                |finder: &mut SocketFinder, cookie| finder.holders(None, local, remote, cookie);
            assert_eq!(held(&mut finder, None), [me], "{address}");
            assert_eq!(held(&mut finder, Some(cookie)), [me], "{address}");
            assert_eq!(
                held(&mut finder, Some(cookie + 1)),
                [0; 0],
                "another socket"
            );
        }
    }
}

#[test]
fn sockets_on_wanted_ports_are_listed() {
    let Some(mut finder) = finder() else { return };
    let (listener, client, server) = connection("127.0.0.1:0");
    let port = listener.local_addr().expect("an address").port();
    let sockets = finder.list(&|wanted| wanted == port);
    let cookies = [
        rustix::net::sockopt::socket_cookie(&listener),
        rustix::net::sockopt::socket_cookie(&client),
        rustix::net::sockopt::socket_cookie(&server),
    ];
    for (cookie, state) in cookies.into_iter().zip([
        TcpState::Listen,
        TcpState::Established,
        TcpState::Established,
    ]) {
        let cookie = Some(cookie.expect("a cookie"));
        let found: Vec<_> = sockets.iter().filter(|s| s.cookie == cookie).collect();
        let [socket] = found.as_slice() else {
            panic!("{cookie:?} once in {sockets:?}");
        };
        assert_eq!(socket.state, state);
        assert_eq!(socket.pids, [std::process::id()]);
    }
    assert_eq!(sockets.len(), 3, "{sockets:?}");
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
    let cookie = rustix::net::sockopt::socket_cookie(&client).expect("a cookie");
    let me = std::process::id();
    assert_eq!(finder.holders(None, local, remote, Some(cookie)), [me]);
}
