//! A network namespace of the agent's own, in which a session can be opened that nothing else on
//! the host sees.

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::Path,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkFlags, LinkMessage},
};
use netlink_sys::{Socket, SocketAddr as NetlinkAddr, protocols::NETLINK_ROUTE};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use tokio::sync::oneshot;

use crate::sandbox;

/// The calling thread's namespace; `/proc/self` would be the main thread's.
const OWN: &str = "/proc/thread-self/ns/net";
/// In the namespace a monitored port is bound without a capability.
const UNPRIVILEGED_PORTS: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
/// Index of loopback in a new namespace.
const LOOPBACK: u32 = 1;

/// The namespace, which lives as long as this value: a thread is in it.
#[derive(Debug)]
pub struct Namespace {
    inode: u32,
    requests: Sender<Request>,
}

/// Open and close a session on this port; the answer is the client's port.
struct Request {
    port: u16,
    answer: oneshot::Sender<io::Result<u16>>,
}

impl Namespace {
    /// Makes the namespace, with loopback up. Needs `CAP_SYS_ADMIN` and `CAP_NET_ADMIN`.
    pub fn create() -> io::Result<Self> {
        Self::with(enter)
    }

    /// Takes the namespace that the service manager made for this service, and moves the calling
    /// thread, which must be the only one, to the host's (`/proc/1/ns/net`). Makes one when this
    /// is the host's. Needs `CAP_SYS_ADMIN`.
    pub fn take_over(host: &Path) -> io::Result<Self> {
        let host = File::open(host)?;
        if inode(&host)? == inode(&File::open(OWN)?)? {
            return Self::create();
        }
        let namespace = Self::with(|| inode(&File::open(OWN)?))?;
        move_into_link_name_space(host.as_fd(), Some(LinkNameSpaceType::Network))?;
        Ok(namespace)
    }

    fn with(enter: impl FnOnce() -> io::Result<u32> + Send + 'static) -> io::Result<Self> {
        let (requests, received) = channel();
        let (made, inode) = channel();
        thread::Builder::new()
            .name("canary".to_owned())
            .spawn(move || {
                let entered = enter();
                sandbox::only_connect();
                let is_in = entered.is_ok();
                if made.send(entered).is_ok() && is_in {
                    serve(&received);
                }
            })?;
        let inode = inode
            .recv()
            .map_err(|_gone| io::Error::other("the canary's thread ended early"))??;
        Ok(Self { inode, requests })
    }

    /// Inode number of `/proc/PID/ns/net`.
    pub(super) const fn inode(&self) -> u32 {
        self.inode
    }

    /// Opens a session with a listener of its own on `port`, accepts it and closes both; the
    /// client's port.
    pub(super) async fn open_session(&self, port: u16) -> io::Result<u16> {
        let gone = || io::Error::other("the canary's thread is gone");
        let (answer, answered) = oneshot::channel();
        let request = Request { port, answer };
        self.requests.send(request).map_err(|_returned| gone())?;
        answered.await.map_err(|_gone| gone())?
    }
}

/// Moves the calling thread into a new namespace; its inode number.
fn enter() -> io::Result<u32> {
    #[expect(
        deprecated,
        reason = "only FILES makes it unsound, and the replacement is an unsafe function"
    )]
    rustix::thread::unshare(UnshareFlags::NEWNET)?;
    bring_up(LOOPBACK)?;
    fs::write(UNPRIVILEGED_PORTS, "0")?;
    inode(&File::open(OWN)?)
}

/// Lets everybody listen on every port of this thread's namespace, unless it is that of `host`.
///
/// # Errors
///
/// In the host's namespace, and for anybody but root.
pub fn free_ports(host: &Path) -> io::Result<()> {
    if inode(&File::open(host)?)? == inode(&File::open(OWN)?)? {
        let reason = "this is the host's network: its ports stay as they are";
        return Err(io::Error::other(reason));
    }
    fs::write(UNPRIVILEGED_PORTS, "0")
}

fn inode(namespace: &File) -> io::Result<u32> {
    u32::try_from(namespace.metadata()?.ino()).map_err(io::Error::other)
}

/// `RTM_NEWLINK` with `IFF_UP` (rtnetlink(7)).
fn bring_up(index: u32) -> io::Result<()> {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK;
    let mut message = NetlinkMessage::new(header, RouteNetlinkMessage::SetLink(link).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    let socket = Socket::new(NETLINK_ROUTE)?;
    socket.connect(&NetlinkAddr::new(0, 0))?;
    socket.send(&bytes, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
    match answer.payload {
        NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
        NetlinkPayload::Error(_) => Ok(()),
        NetlinkPayload::Done(_)
        | NetlinkPayload::Noop
        | NetlinkPayload::Overrun(_)
        | NetlinkPayload::InnerMessage(_)
        | _ => Err(io::Error::other("the kernel did not acknowledge")),
    }
}

fn serve(requests: &Receiver<Request>) {
    for Request { port, answer } in requests {
        // Nobody waits for it any more when the agent is ending.
        let _unheard = answer.send(open_session(port));
    }
}

fn open_session(port: u16) -> io::Result<u16> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(address)?;
    let client = TcpStream::connect(address)?;
    let client_port = client.local_addr()?.port();
    let accepted = listener.accept()?;
    // The client first: what is left behind for a while is on its port, not on the listener's.
    drop(client);
    drop(accepted);
    Ok(client_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_opened_again_and_again() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root may make a network namespace");
            return;
        }
        let namespace = Namespace::create().expect("a namespace");
        let own = fs::metadata("/proc/self/ns/net").expect("own").ino();
        assert_ne!(u64::from(namespace.inode()), own);
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(async {
            for _ in 0..3 {
                let port = namespace.open_session(23).await.expect("a session");
                assert_ne!(port, 23);
            }
        });
    }
}
