//! Serves `GET /metrics` on loopback, for Prometheus.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tracing::debug;

use crate::health::{Report, metrics::MEDIA_TYPE};

/// Longest head of a request.
const MAX_HEAD: usize = 8 << 10;
/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Accepts connections until it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens on `address`; each request asks `requester` for a report.
    pub(super) fn start(
        address: SocketAddr,
        requester: mpsc::Sender<oneshot::Sender<Report>>,
    ) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let task = tokio::spawn(accept(listener, requester));
        Ok(Self { address, task })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request after the other: that bounds what whoever can connect can ask of the agent.
async fn accept(listener: TcpListener, requester: mpsc::Sender<oneshot::Sender<Report>>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => match timeout(TIMEOUT, serve(stream, &requester)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => debug!(%error, "request for metrics not answered"),
                Err(_elapsed) => debug!("request for metrics took too long"),
            },
            Err(error) => {
                debug!(%error, "cannot accept");
                // Out of file descriptors, most likely: not in a busy loop.
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn serve(
    mut stream: TcpStream,
    requester: &mpsc::Sender<oneshot::Sender<Report>>,
) -> io::Result<()> {
    let (status, body) = match read_path(&mut stream).await? {
        Some(path) if path == "/metrics" => {
            let (reply, answered) = oneshot::channel();
            let gone = || io::Error::other("the agent is ending");
            requester.send(reply).await.map_err(|_gone| gone())?;
            let report = answered.await.map_err(|_gone| gone())?;
            ("200 OK", report.metrics())
        }
        Some(_) => ("404 Not Found", "only /metrics is here\n".to_owned()),
        None => ("400 Bad Request", "expected GET /metrics\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

/// The path of a GET request; `None` for anything else.
async fn read_path(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while head.len() < MAX_HEAD {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(None);
        }
        head.extend(buffer.iter().take(count));
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&head) {
            Ok(httparse::Status::Complete(_)) => {
                let path = request.path.filter(|_| request.method == Some("GET"));
                return Ok(path.map(str::to_owned));
            }
            Ok(httparse::Status::Partial) => {}
            Err(_) => return Ok(None),
        }
    }
    Ok(None)
}
