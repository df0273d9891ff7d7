//! What the two ends do in each sequence.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Result, ensure};
use rustix::io::Errno;
use telnet_tests::check::{number, text};
use telnet_tests::lab::V6;
use telnet_tests::peer::Handle;

use super::Stage;

/// Closes in order: `first` is the one who starts.
fn close_both(
    stage: &mut Stage<'_>,
    client: Handle,
    server: Handle,
    client_first: bool,
) -> Result<()> {
    if client_first {
        stage.client.with("close", client)?;
        // The end of the stream has arrived before the other end closes.
        stage.server.with("receive", server)?;
        stage.server.with("close", server)?;
    } else {
        stage.server.with("close", server)?;
        stage.client.with("receive", client)?;
        stage.client.with("close", client)?;
    }
    Ok(())
}

fn open(stage: &mut Stage<'_>) -> Result<(Handle, Handle)> {
    stage.server.listen(stage.address)?;
    let client = stage.client.connect(stage.address)?;
    Ok((client, stage.server.accept()?))
}

pub(super) fn client_closes_first(stage: &mut Stage<'_>) -> Result<()> {
    let (client, server) = open(stage)?;
    close_both(stage, client, server, true)
}

pub(super) fn server_closes_first(stage: &mut Stage<'_>) -> Result<()> {
    let (client, server) = open(stage)?;
    close_both(stage, client, server, false)
}

pub(super) fn ipv6(stage: &mut Stage<'_>) -> Result<()> {
    stage.address = SocketAddr::new(V6, 23);
    client_closes_first(stage)
}

pub(super) fn mapped(stage: &mut Stage<'_>) -> Result<()> {
    let any = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 23);
    stage.server.listen(any)?;
    let client = stage.client.connect(stage.address)?;
    let server = stage.server.accept()?;
    close_both(stage, client, server, true)
}

pub(super) fn refused(stage: &mut Stage<'_>) -> Result<()> {
    let step = format!("connect {}", stage.address);
    stage.client.must_fail(&step, Errno::CONNREFUSED)
}

pub(super) fn silent() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)), 23)
}

pub(super) fn timed_out(stage: &mut Stage<'_>) -> Result<()> {
    stage
        .client
        .must_fail(&format!("connect {}", silent()), Errno::TIMEDOUT)
}

pub(super) fn unreachable(stage: &mut Stage<'_>) -> Result<()> {
    stage
        .client
        .must_fail("connect 198.18.0.77:23", Errno::HOSTUNREACH)
}

pub(super) fn no_route(stage: &mut Stage<'_>) -> Result<()> {
    stage
        .client
        .must_fail("connect 203.0.113.77:23", Errno::NETUNREACH)
}

/// A route forbids it on this host.
pub(super) fn prohibited(stage: &mut Stage<'_>) -> Result<()> {
    stage
        .client
        .must_fail("connect 198.19.0.1:23", Errno::ACCESS)
}

pub(super) fn given_up(stage: &mut Stage<'_>) -> Result<()> {
    let client = stage
        .client
        .open(&format!("connect-nonblocking {}", silent()))?;
    stage.client.with("close", client).map(drop)
}

pub(super) fn fast_open(stage: &mut Stage<'_>) -> Result<()> {
    stage.server.listen(stage.address)?;
    let client = stage
        .client
        .open(&format!("connect-fastopen {} hello", stage.address))?;
    let server = stage.server.accept()?;
    stage.server.with("receive", server)?;
    close_both(stage, client, server, true)
}

pub(super) fn client_resets(stage: &mut Stage<'_>) -> Result<()> {
    let (client, server) = open(stage)?;
    stage.client.with("reset", client)?;
    stage
        .server
        .must_fail_with("receive", server, Errno::CONNRESET)
}

pub(super) fn server_resets(stage: &mut Stage<'_>) -> Result<()> {
    let (client, server) = open(stage)?;
    stage.server.with("reset", server)?;
    stage
        .client
        .must_fail_with("receive", client, Errno::CONNRESET)
}

pub(super) fn unread_data(stage: &mut Stage<'_>) -> Result<()> {
    let (client, server) = open(stage)?;
    stage.client.send(client, "unread")?;
    stage.server.with("close", server)?;
    stage
        .client
        .must_fail_with("receive", client, Errno::CONNRESET)
}

pub(super) fn never_accepted(stage: &mut Stage<'_>) -> Result<()> {
    stage.server.listen(stage.address)?;
    let client = stage.client.connect(stage.address)?;
    stage.server.step("unlisten")?;
    stage
        .client
        .must_fail_with("receive", client, Errno::CONNRESET)
}

pub(super) fn accepted_late(stage: &mut Stage<'_>) -> Result<()> {
    stage.server.listen(stage.address)?;
    let client = stage.client.connect(stage.address)?;
    let port = u64::from(client.local.port());
    if let Some(agent) = &mut stage.agent {
        // Reported without an acceptor, because there was none for so long.
        agent.wait_for(stage.lab, "the accepted event", |json| {
            text(json, "event.action") == Some("connection_accepted")
                && number(json, "source.port") == Some(port)
        })?;
    }
    let server = stage.server.accept()?;
    close_both(stage, client, server, true)
}

pub(super) fn disconnected(stage: &mut Stage<'_>) -> Result<()> {
    let (client, server) = open(stage)?;
    stage.client.with("disconnect", client)?;
    stage
        .server
        .must_fail_with("receive", server, Errno::CONNRESET)
}

pub(super) fn disconnected_early(stage: &mut Stage<'_>) -> Result<()> {
    stage.server.listen(stage.address)?;
    let client = stage.client.connect(stage.address)?;
    stage.client.with("disconnect", client)?;
    // Still in the queue, already reset.
    let answer = stage.server.step("accept")?;
    ensure!(text(&answer, "remote").is_none(), "not reset yet: {answer}");
    Ok(())
}

pub(super) fn half_closed_early(stage: &mut Stage<'_>) -> Result<()> {
    stage.server.listen(stage.address)?;
    let client = stage.client.connect(stage.address)?;
    stage.client.with("shutdown", client)?;
    let server = stage.server.accept()?;
    stage.server.with("receive", server)?;
    close_both(stage, client, server, false)
}

pub(super) fn half_closed_by_server(stage: &mut Stage<'_>) -> Result<()> {
    let (client, server) = open(stage)?;
    stage.server.with("shutdown", server)?;
    stage.client.with("receive", client)?;
    stage.client.send(client, "still")?;
    stage.server.with("receive", server)?;
    close_both(stage, client, server, true)
}

pub(super) fn client_killed(stage: &mut Stage<'_>) -> Result<()> {
    let (_, server) = open(stage)?;
    stage.client.kill()?;
    stage.server.with("receive", server)?;
    stage.server.with("close", server).map(drop)
}

pub(super) fn server_killed(stage: &mut Stage<'_>) -> Result<()> {
    let (client, _) = open(stage)?;
    stage.server.kill()?;
    stage.client.with("receive", client)?;
    stage.client.with("close", client).map(drop)
}

pub(super) fn mptcp(stage: &mut Stage<'_>) -> Result<()> {
    stage
        .server
        .step(&format!("listen-mptcp {}", stage.address))?;
    let client = stage
        .client
        .open(&format!("connect-mptcp {}", stage.address))?;
    let server = stage.server.accept()?;
    close_both(stage, client, server, true)
}

pub(super) fn mptcp_refused(stage: &mut Stage<'_>) -> Result<()> {
    let step = format!("listen-mptcp {}", stage.address);
    stage.server.must_fail(&step, Errno::PROTONOSUPPORT)
}

pub(super) fn same_ports_twice(stage: &mut Stage<'_>) -> Result<()> {
    stage.server.listen(stage.address)?;
    let step = format!(
        "connect-from {} {}",
        SocketAddr::new(stage.address.ip(), 40023),
        stage.address
    );
    // A reset leaves no TIME_WAIT, so that the same port is free at once.
    let client = stage.client.open(&step)?;
    let server = stage.server.accept()?;
    stage.client.with("reset", client)?;
    stage
        .server
        .must_fail_with("receive", server, Errno::CONNRESET)?;
    stage.server.with("close", server)?;
    let client = stage.client.open(&step)?;
    let server = stage.server.accept()?;
    close_both(stage, client, server, true)
}

pub(super) fn reconnected(stage: &mut Stage<'_>) -> Result<()> {
    let step = format!("connect-nonblocking {}", stage.address);
    let client = stage.client.open(&step)?;
    stage.server.listen(stage.address)?;
    let again = format!("reconnect {} {}", client.number(), stage.address);
    // The first answer tells how the attempt went, the second call makes a new one.
    stage.client.must_fail(&again, Errno::CONNREFUSED)?;
    stage.client.step(&again)?;
    let server = stage.server.accept()?;
    close_both(stage, client, server, true)
}

/// One socket for one peer after the other, as who wants to be seen once would do it.
pub(super) fn moved_on(stage: &mut Stage<'_>) -> Result<()> {
    let everywhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), stage.address.port());
    let next = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), stage.address.port());
    stage.server.listen(everywhere)?;
    let client = stage.client.connect(stage.address)?;
    let first = stage.server.accept()?;
    stage.client.with("disconnect", client)?;
    stage.server.with("close", first)?;
    let step = format!("reconnect {} {next}", client.number());
    stage.client.step(&step)?;
    let second = stage.server.accept()?;
    close_both(stage, client, second, true)
}
