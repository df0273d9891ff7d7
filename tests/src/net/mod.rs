//! A network namespace of the test's own, and the sockets in it.

mod table;

use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::process::{Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use tempfile::NamedTempFile;

pub use table::{Socket, TcpState};

use crate::process::{self, Spawned};
use crate::tools::{self, Tool};
use crate::wait::{self, PATIENCE};

/// The calling thread's namespace. `/proc/self` would be the main thread's.
const OWN_NAMESPACE: &str = "/proc/thread-self/ns/net";

/// A network namespace with loopback up. It lives as long as this value; processes left in
/// it are killed with it.
#[derive(Debug)]
pub struct Netns {
    handle: File,
    inode: u64,
    busybox: Tool,
    /// Where it is mounted, if it is.
    mount: Option<NamedTempFile>,
}

impl Netns {
    /// Makes a namespace. Needs `CAP_SYS_ADMIN`, and busybox for its `ip`.
    pub fn create() -> Result<Self> {
        let busybox = tools::find("busybox")?;
        let handle = thread::spawn(|| {
            // The function is deprecated only because of FILES, which is not asked for here;
            // its replacement would need unsafe code.
            #[expect(deprecated, reason = "safe as long as the flags leave FILES out")]
            rustix::thread::unshare(UnshareFlags::NEWNET).context("cannot unshare")?;
            File::open(OWN_NAMESPACE).context(OWN_NAMESPACE)
        })
        .join()
        .map_err(|_panic| anyhow!("the thread that makes the namespace panicked"))?
        .context("cannot make a network namespace")?;
        let inode = handle.metadata()?.ino();
        let netns = Self {
            handle,
            inode,
            busybox,
            mount: None,
        };
        netns.ip(&["link", "set", "lo", "up"])?;
        Ok(netns)
    }

    /// Mounts it, as `ip netns` does, so that others find it although no process is in it.
    pub fn mounted(mut self) -> Result<Self> {
        let file = NamedTempFile::with_prefix("telnet-netns-")?;
        let handle = format!("/proc/self/fd/{}", self.handle.as_raw_fd());
        mount_bind(&handle, file.path()).context("cannot mount the namespace")?;
        self.mount = Some(file);
        Ok(self)
    }

    /// Inode number: what documents carry as `telnet.netns`.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Runs `work` in a thread inside the namespace; children started there stay in it.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                move_into_link_name_space(self.handle.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok(work())
            });
            inside
                .join()
                .map_err(|_panic| anyhow!("panic inside the namespace"))?
        })
    }

    /// Gives loopback another address, and waits until it can be used: an IPv6 address is
    /// tentative until a kernel worker has looked at it.
    pub fn add_address(&self, ip: IpAddr) -> Result<()> {
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        self.ip(&["addr", "add", &format!("{ip}/{bits}"), "dev", "lo"])?;
        wait::until(&format!("use of {ip}"), || {
            Ok(self.run(|| UdpSocket::bind((ip, 0)))?.ok().map(drop))
        })
    }

    /// Runs busybox's `ip` in the namespace.
    pub fn ip(&self, args: &[&str]) -> Result<()> {
        let mut command = self.busybox.command();
        command.arg("ip").args(args);
        self.finish("ip", &mut command).map(drop)
    }

    /// Sets a sysctl of the namespace, such as `net/ipv4/tcp_fastopen`.
    pub fn set_sysctl(&self, name: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/{name}");
        self.run(|| fs::write(&path, value))?
            .with_context(|| path.clone())
    }

    /// Runs a command in the namespace to its end and returns its standard output.
    pub fn finish(&self, name: &str, command: &mut Command) -> Result<String> {
        let mut spawned = Spawned::start(name, Some(self), command)?;
        let status = spawned.wait(PATIENCE)?;
        if !status.success() {
            bail!("{command:?}: {status}\n{}", spawned.report());
        }
        spawned.stdout.wait_for(PATIENCE, |captured| {
            (!captured.is_open()).then(|| captured.text().into_owned())
        })
    }

    /// A listener of the test process inside the namespace.
    pub fn listen(&self, address: SocketAddr) -> Result<TcpListener> {
        self.run(|| TcpListener::bind(address))?
            .with_context(|| format!("listen on {address}"))
    }

    /// A connection of the test process inside the namespace.
    pub fn connect(&self, address: SocketAddr) -> Result<TcpStream> {
        self.run(|| TcpStream::connect(address))?
            .with_context(|| format!("connect to {address}"))
    }

    /// The namespace's TCP sockets, IPv4-mapped addresses written as IPv4.
    pub fn sockets(&self) -> Result<Vec<Socket>> {
        self.run(table::read)?
    }

    /// Waits until somebody listens on `address`, and returns that socket. Connecting to
    /// find out would make a session.
    pub fn wait_for_listener(&self, address: SocketAddr) -> Result<Socket> {
        wait::until(&format!("listener on {address}"), || {
            let listens = |s: &Socket| s.state == TcpState::Listen && s.local == address;
            Ok(self.sockets()?.into_iter().find(listens))
        })
    }

    /// Waits for the established connection of process `pid` to `remote`.
    pub fn wait_for_connection(&self, pid: u32, remote: SocketAddr) -> Result<Socket> {
        wait::until(&format!("connection of process {pid} to {remote}"), || {
            let inodes = process::socket_inodes(pid)?;
            Ok(self.sockets()?.into_iter().find(|s| {
                s.state == TcpState::Established && s.remote == remote && inodes.contains(&s.inode)
            }))
        })
    }

    /// Waits until the responder has the connection. Not yet when connect(2) returns: the last packet of
    /// the handshake may wait on the processor that it was sent from, and who resets at once from
    /// another is faster. Then there never was a session at the responder.
    pub fn wait_for_responder(
        &self,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Result<Socket> {
        wait::until(&format!("{source} at {destination}"), || {
            let is_there = |s: &Socket| {
                (s.local, s.remote) == (destination, source) && s.state != TcpState::SynRecv
            };
            Ok(self.sockets()?.into_iter().find(is_there))
        })
    }

    /// Waits until the responder's socket of a session has been accepted: only then it has
    /// an inode.
    pub fn wait_for_accepted(&self, source: SocketAddr, destination: SocketAddr) -> Result<Socket> {
        wait::until(&format!("accept of {source} on {destination}"), || {
            let accepted =
                |s: &Socket| s.local == destination && s.remote == source && s.inode != 0;
            Ok(self.sockets()?.into_iter().find(accepted))
        })
    }

    /// Processes whose main thread is in the namespace.
    pub fn processes(&self) -> Result<Vec<u32>> {
        let mut found = Vec::new();
        for process in procfs::process::all_processes()?.flatten() {
            let path = format!("/proc/{}/ns/net", process.pid);
            // Ended meanwhile, or a kernel thread's: not ours.
            if fs::metadata(path).is_ok_and(|ns| ns.ino() == self.inode) {
                found.push(u32::try_from(process.pid)?);
            }
        }
        Ok(found)
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        for left in self.processes().unwrap_or_default() {
            let killed = process::pid(left).and_then(|pid| Ok(kill_process(pid, Signal::KILL)?));
            // An error means that it has just ended by itself.
            drop(killed);
        }
        if let Some(mount) = &self.mount {
            let unmounted = unmount(mount.path(), UnmountFlags::DETACH);
            debug_assert!(unmounted.is_ok(), "{unmounted:?}");
        }
    }
}
