//! One end of sessions, moved step by step by the test.

use std::io::{self, BufRead as _};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendFlags, Shutdown, SocketFlags};
use serde_json::{Value, json};

use crate::{report, serve, socket};

/// `MSG_FASTOPEN` of linux/socket.h.
const FASTOPEN: SendFlags = SendFlags::from_bits_retain(0x2000_0000);

#[derive(Default)]
struct State {
    listener: Option<OwnedFd>,
    /// Sockets by number; a closed one leaves a gap.
    sockets: Vec<Option<OwnedFd>>,
    parked: Option<(UnixStream, UnixStream)>,
}

/// Answers each line of standard input with one line: what came of it, or the error number.
pub(crate) fn run() -> Result<()> {
    let mut state = State::default();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = state.step(&words).unwrap_or_else(|error| {
            let errno = error
                .downcast_ref::<Errno>()
                .map(|errno| errno.raw_os_error());
            json!({"errno": errno, "error": format!("{error:#}")})
        });
        report::line(&answer)?;
    }
    Ok(())
}

impl State {
    fn step(&mut self, words: &[&str]) -> Result<Value> {
        match *words {
            ["listen", address] => self.listen(address.parse()?, false),
            ["listen-mptcp", address] => self.listen(address.parse()?, true),
            ["accept"] => {
                let socket = net::accept_with(self.listening()?, SocketFlags::CLOEXEC)?;
                self.keep(socket)
            }
            ["unlisten"] => Ok(json!({"closed": self.listener.take().is_some()})),
            ["park-listener"] => self.park_listener(),
            ["connect", address] => self.connect(address.parse()?, false),
            ["connect-from", local, address] => self.connect_from(local.parse()?, address.parse()?),
            ["connect-mptcp", address] => self.connect(address.parse()?, true),
            ["connect-nonblocking", address] => self.connect_nonblocking(address.parse()?),
            ["connect-fastopen", address, text] => self.connect_fastopen(address.parse()?, text),
            ["reconnect", n, address] => {
                let address: SocketAddr = address.parse()?;
                connect_or_begin(self.socket(n)?, address)?;
                Ok(json!({"local": socket::local(self.socket(n)?)?.to_string()}))
            }
            ["disconnect", n] => Ok(json!({"done": net::connect_unspec(self.socket(n)?)?})),
            ["send", n, text] => {
                let sent = net::send(self.socket(n)?, text.as_bytes(), SendFlags::NOSIGNAL)?;
                Ok(json!({"bytes": sent}))
            }
            ["receive", n] => self.receive(n),
            ["shutdown", n] => {
                Ok(json!({"done": net::shutdown(self.socket(n)?, Shutdown::Write)?}))
            }
            ["close", n] => Ok(json!({"closed": self.take(n)?.is_some()})),
            ["reset", n] => {
                net::sockopt::set_socket_linger(self.socket(n)?, Some(Duration::ZERO))?;
                Ok(json!({"closed": self.take(n)?.is_some()}))
            }
            _ => bail!("unknown step {words:?}"),
        }
    }

    fn listen(&mut self, address: SocketAddr, mptcp: bool) -> Result<Value> {
        self.listener = Some(socket::listener(address, mptcp, false)?);
        Ok(json!({"local": address.to_string()}))
    }

    /// Leaves the listener alive in a message that nobody reads: no process holds it.
    fn park_listener(&mut self) -> Result<Value> {
        let listener = self.listener.take().context("no listener")?;
        let (from, to) = UnixStream::pair()?;
        serve::pass_fd(&from, &listener)?;
        self.parked = Some((from, to));
        Ok(json!({"parked": true}))
    }

    fn connect(&mut self, address: SocketAddr, mptcp: bool) -> Result<Value> {
        let socket = socket::stream(address, mptcp, SocketFlags::empty())?;
        net::connect(&socket, &address)?;
        self.keep(socket)
    }

    fn connect_from(&mut self, local: SocketAddr, address: SocketAddr) -> Result<Value> {
        let socket = socket::stream(address, false, SocketFlags::empty())?;
        net::sockopt::set_socket_reuseaddr(&socket, true)?;
        net::bind(&socket, &local)?;
        net::connect(&socket, &address)?;
        self.keep(socket)
    }

    fn connect_nonblocking(&mut self, address: SocketAddr) -> Result<Value> {
        let socket = socket::stream(address, false, SocketFlags::NONBLOCK)?;
        connect_or_begin(&socket, address)?;
        self.keep(socket)
    }

    fn connect_fastopen(&mut self, address: SocketAddr, text: &str) -> Result<Value> {
        let socket = socket::stream(address, false, SocketFlags::empty())?;
        net::sendto(
            &socket,
            text.as_bytes(),
            FASTOPEN | SendFlags::NOSIGNAL,
            &address,
        )?;
        self.keep(socket)
    }

    fn receive(&self, n: &str) -> Result<Value> {
        let mut buffer = [0; 4096];
        let (bytes, _) = net::recv(self.socket(n)?, &mut buffer, RecvFlags::empty())?;
        Ok(json!({"bytes": bytes}))
    }

    /// Gives the socket a number and tells both its addresses.
    fn keep(&mut self, socket: OwnedFd) -> Result<Value> {
        let local = socket::local(&socket)?;
        // A connect still under way has no peer yet.
        let remote = socket::remote(&socket)
            .ok()
            .map(|address| address.to_string());
        self.sockets.push(Some(socket));
        let number = self.sockets.len() - 1;
        Ok(json!({"socket": number, "local": local.to_string(), "remote": remote}))
    }

    fn listening(&self) -> Result<&OwnedFd> {
        self.listener.as_ref().context("no listener")
    }

    fn socket(&self, n: &str) -> Result<&OwnedFd> {
        let socket = self
            .sockets
            .get(n.parse::<usize>()?)
            .and_then(Option::as_ref);
        socket.with_context(|| format!("no socket {n}"))
    }

    fn take(&mut self, n: &str) -> Result<Option<OwnedFd>> {
        let slot = self.sockets.get_mut(n.parse::<usize>()?);
        Ok(slot.with_context(|| format!("no socket {n}"))?.take())
    }
}

/// Connects; a non-blocking socket may only begin to.
fn connect_or_begin(socket: &OwnedFd, address: SocketAddr) -> Result<()> {
    match net::connect(socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
