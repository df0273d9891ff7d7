//! Servers of every shape: who listens, who accepts and who serves are different processes.

use std::env;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, bail};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::{report, socket};

/// Runs a server until standard input ends.
pub(crate) fn run(kind: &str, address: SocketAddr, count: usize) -> Result<()> {
    socket::hold_as_many_as_allowed()?;
    match kind {
        // Accepts and serves in one process, each session in a thread of its own; the
        // thread that accepts is not the main one.
        "threads" => {
            let listener = TcpListener::from(socket::listener(address, false, false)?);
            report::event("listening", address)?;
            thread::Builder::new()
                .name("accepts".to_owned())
                .spawn(move || accept_each(&listener, serve_in_thread))?;
        }
        // Starts a process per session and closes its own copy of the socket.
        "fork" => {
            let listener = TcpListener::from(socket::listener(address, false, false)?);
            report::event("listening", address)?;
            thread::spawn(move || accept_each(&listener, serve_in_child));
        }
        // Listens, but leaves accepting to workers that inherit the listener.
        "pool" => {
            let listener = socket::listener(address, false, false)?;
            for _ in 0..count {
                start_child(&["worker"], listener.try_clone()?.into())?;
            }
            report::event("listening", address)?;
        }
        // As many processes, each with a listener on the same port.
        "reuseport" => {
            for _ in 0..count {
                start_child(&["serve", "shared", &address.to_string()], Stdio::piped())?;
            }
        }
        "shared" => {
            let listener = TcpListener::from(socket::listener(address, false, true)?);
            report::event("listening", address)?;
            thread::spawn(move || accept_each(&listener, serve_in_thread));
        }
        // Accepts by io_uring: no accept(2) is called.
        "uring" => {
            let listener = TcpListener::from(socket::listener(address, false, false)?);
            report::event("listening", address)?;
            thread::spawn(move || tokio_uring::start(accept_by_ring(listener)));
        }
        // Accepts, and passes each socket to one handler process over a unix socket.
        "pass" => {
            let (ours, theirs) = UnixStream::pair()?;
            start_child(&["handler"], OwnedFd::from(theirs).into())?;
            let listener = TcpListener::from(socket::listener(address, false, false)?);
            report::event("listening", address)?;
            thread::spawn(move || accept_each(&listener, |stream| pass_fd(&ours, stream)));
        }
        _ => bail!("unknown kind of server {kind:?}"),
    }
    report::until_stdin_ends()
}

/// A process that accepts on the listener at its standard input.
pub(crate) fn worker() -> Result<()> {
    let listener = TcpListener::from(stdin_fd()?);
    accept_each(&listener, serve_in_thread)
}

/// A process that serves the sockets that come over the unix socket at its standard input.
pub(crate) fn handler() -> Result<()> {
    let channel = UnixStream::from(stdin_fd()?);
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let mut data = [IoSliceMut::new(&mut byte)];
        if recvmsg(&channel, &mut data, &mut control, RecvFlags::CMSG_CLOEXEC)?.bytes == 0 {
            return Ok(());
        }
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(sockets) = message {
                for socket in sockets {
                    serve_in_thread(TcpStream::from(socket))?;
                }
            }
        }
    }
}

/// A process that serves the one session at its standard input.
pub(crate) fn session() -> Result<()> {
    serve(&TcpStream::from(stdin_fd()?))
}

fn accept_each(
    listener: &TcpListener,
    mut serve: impl FnMut(TcpStream) -> Result<()>,
) -> Result<()> {
    loop {
        let (stream, client) = listener.accept().context("accept")?;
        report::event("accepted", client)?;
        serve(stream)?;
    }
}

/// Accepts and serves in one thread.
async fn accept_by_ring(listener: TcpListener) -> Result<()> {
    let listener = tokio_uring::net::TcpListener::from_std(listener);
    loop {
        let (stream, client) = listener.accept().await.context("accept")?;
        report::event("accepted", client)?;
        tokio_uring::spawn(async move {
            report::event("serving", client)?;
            let mut buffer = Vec::with_capacity(4_096);
            loop {
                let (read, returned) = stream.read(buffer).await;
                if read? == 0 {
                    return anyhow::Ok(());
                }
                buffer = returned;
            }
        });
    }
}

fn serve_in_thread(stream: TcpStream) -> Result<()> {
    thread::Builder::new().spawn(move || serve(&stream))?;
    Ok(())
}

fn serve_in_child(stream: TcpStream) -> Result<()> {
    start_child(&["session"], OwnedFd::from(stream).into())
}

/// Reads until the client ends.
fn serve(mut stream: &TcpStream) -> Result<()> {
    report::event("serving", stream.peer_addr()?)?;
    io::copy(&mut stream, &mut io::sink())?;
    Ok(())
}

/// Sends a socket over a unix socket.
pub(crate) fn pass_fd(channel: &UnixStream, socket: impl AsFd) -> Result<()> {
    let sockets = [socket.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&sockets)) {
        bail!("no room for one socket");
    }
    sendmsg(
        channel,
        &[IoSlice::new(b"s")],
        &mut control,
        SendFlags::empty(),
    )?;
    Ok(())
}

/// Starts this program again, with another standard input.
fn start_child(args: &[&str], stdin: Stdio) -> Result<()> {
    let mut child = Command::new(env::current_exe()?)
        .args(args)
        .stdin(stdin)
        .spawn()?;
    // Waiting takes note of its end; a pipe to it stays open until then.
    let pipe = child.stdin.take();
    thread::spawn(move || {
        let ended = child.wait();
        drop(pipe);
        ended
    });
    Ok(())
}

fn stdin_fd() -> Result<OwnedFd> {
    io::stdin().as_fd().try_clone_to_owned().context("stdin")
}
