//! Ways to a syslog server.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpStream, ToSocketAddrs as _},
    os::unix::net::{UnixDatagram, UnixStream},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};

use crate::{
    config::{self, SyslogAddress},
    sink::courier::Receipt,
};

/// An open connection.
#[derive(Debug)]
pub(super) enum Connection {
    /// Messages arrive whole or not at all.
    Datagram(UnixDatagram),
    /// Messages are told apart by line ends.
    UnixStream(UnixStream),
    /// Messages are told apart by their length.
    Tcp(TcpStream, Duration),
    /// The same, encrypted.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>, Duration),
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// The server closed it too: it has read everything.
    ByServer,
    /// The server did not close it in time.
    Unanswered,
}

impl Connection {
    pub(super) fn open(
        config: &config::Syslog,
        tls: Option<&Arc<ClientConfig>>,
    ) -> io::Result<Self> {
        let timeout = config.timeout;
        match &config.address {
            SyslogAddress::Unix(path) => unix(path, timeout),
            SyslogAddress::Tcp { host, port } => Ok(Self::Tcp(tcp(host, *port, timeout)?, timeout)),
            SyslogAddress::Tls { host, port } => {
                let tls = tls.ok_or_else(|| io::Error::other("TLS is not set up"))?;
                let name = ServerName::try_from(host.clone())
                    .map_err(|error| io::Error::other(format!("{host}: {error}")))?;
                let session = ClientConnection::new(Arc::clone(tls), name);
                let session = session.map_err(io::Error::other)?;
                let mut stream = StreamOwned::new(session, tcp(host, *port, timeout)?);
                // Now, so that a certificate that does not fit is told from a lost connection.
                while stream.conn.is_handshaking() {
                    stream.conn.complete_io(&mut stream.sock)?;
                }
                Ok(Self::Tls(Box::new(stream), timeout))
            }
        }
    }

    /// Sends one message in the framing of the connection.
    pub(super) fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Datagram(socket) => socket.send(message).map(drop),
            Self::UnixStream(stream) => stream.write_all(&[message, b"\n"].concat()),
            Self::Tcp(stream, _) => stream.write_all(&counted(message)),
            Self::Tls(stream, _) => stream.write_all(&counted(message)),
        }
    }

    /// What is known of messages that were sent.
    pub(super) const fn receipt(&self, rejected: u64) -> Receipt {
        match self {
            Self::Datagram(_) | Self::UnixStream(_) => Receipt::Certain { rejected },
            Self::Tcp(..) | Self::Tls(..) => Receipt::Open,
        }
    }

    /// Closes this half and waits for the server to close the other.
    pub(super) fn close(self) -> io::Result<Closed> {
        match self {
            Self::Datagram(_) | Self::UnixStream(_) => Ok(Closed::ByServer),
            Self::Tcp(stream, timeout) => {
                stream.shutdown(Shutdown::Write)?;
                wait_for_end(stream, timeout)
            }
            Self::Tls(mut stream, timeout) => {
                stream.conn.send_close_notify();
                stream.flush()?;
                stream.sock.shutdown(Shutdown::Write)?;
                // The end of the encrypted stream or of the connection: either is an answer.
                wait_for_end(stream.sock, timeout)
            }
        }
    }
}

/// Reads until the server closes; whatever it says is of no interest.
fn wait_for_end(mut stream: TcpStream, timeout: Duration) -> io::Result<Closed> {
    let deadline = Instant::now() + timeout;
    let mut buffer = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Closed::Unanswered);
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(Closed::ByServer),
            Ok(_) => {}
            Err(error) if is_timeout(&error) => return Ok(Closed::Unanswered),
            Err(error) => return Err(error),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn counted(message: &[u8]) -> Vec<u8> {
    [format!("{} ", message.len()).as_bytes(), message].concat()
}

/// `/dev/log` is a datagram socket nearly everywhere; a stream socket is asked second.
fn unix(path: &Path, timeout: Duration) -> io::Result<Connection> {
    let datagram = UnixDatagram::unbound()?;
    match datagram.connect(path) {
        Ok(()) => {
            datagram.set_write_timeout(Some(timeout))?;
            Ok(Connection::Datagram(datagram))
        }
        // EPROTOTYPE: a socket of another type.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PROTOTYPE.raw_os_error()) => {
            let stream = UnixStream::connect(path)?;
            stream.set_write_timeout(Some(timeout))?;
            Ok(Connection::UnixStream(stream))
        }
        Err(error) => Err(error),
    }
}

fn tcp(host: &str, port: u16, timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(timeout))?;
                stream.set_read_timeout(Some(timeout))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
