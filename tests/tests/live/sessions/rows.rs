//! The table: what the ends do, and the documents that come of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Result, ensure};
use rustix::io::Errno;
use telnet_tests::check::{number, text};
use telnet_tests::lab::V6;
use telnet_tests::peer::Handle;

use super::Stage;

/// One sequence. `expected` are events as
/// `DIRECTION ACTION OUTCOME REASON PROCESS`, and `alert DIRECTION`, in any order.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) act: fn(&mut Stage<'_>) -> Result<()>,
    pub(super) expected: &'static [&'static str],
}

const OPENED_AND_FIN: &[&str] = &[
    "alert egress",
    "alert ingress",
    "egress connection_established success - client",
    "ingress connection_accepted success - server",
    "egress network_flow success fin client",
    "ingress network_flow success fin server",
];

const OPENED_AND_RESET: &[&str] = &[
    "alert egress",
    "alert ingress",
    "egress connection_established success - client",
    "ingress connection_accepted success - server",
    "egress network_flow success reset client",
    "ingress network_flow success reset server",
];

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "client closes first",
        act: client_closes_first,
        expected: OPENED_AND_FIN,
    },
    Row {
        name: "server closes first",
        act: server_closes_first,
        expected: OPENED_AND_FIN,
    },
    Row {
        name: "IPv6",
        act: ipv6,
        expected: OPENED_AND_FIN,
    },
    Row {
        name: "IPv4 on a dual-stack listener",
        act: mapped,
        expected: OPENED_AND_FIN,
    },
    Row {
        name: "refused",
        act: refused,
        expected: &["egress denied failure ECONNREFUSED client"],
    },
    Row {
        name: "timed out",
        act: timed_out,
        expected: &["egress timeout failure ETIMEDOUT client"],
    },
    Row {
        name: "non-blocking connect, given up",
        act: given_up,
        expected: &["egress flow_dropped failure - client"],
    },
    Row {
        name: "TCP Fast Open",
        act: fast_open,
        expected: OPENED_AND_FIN,
    },
    Row {
        name: "client resets",
        act: client_resets,
        expected: OPENED_AND_RESET,
    },
    Row {
        name: "server resets",
        act: server_resets,
        expected: OPENED_AND_RESET,
    },
    Row {
        name: "server closes on unread data",
        act: unread_data,
        expected: OPENED_AND_RESET,
    },
    Row {
        name: "never accepted, listener closed",
        act: never_accepted,
        expected: OPENED_AND_RESET,
    },
    Row {
        name: "accepted late",
        act: accepted_late,
        expected: OPENED_AND_FIN,
    },
    Row {
        name: "disconnected by AF_UNSPEC",
        act: disconnected,
        expected: OPENED_AND_RESET,
    },
    Row {
        name: "disconnected by AF_UNSPEC before accept",
        act: disconnected_early,
        expected: OPENED_AND_RESET,
    },
    Row {
        name: "half-closed before accept",
        act: half_closed_early,
        expected: OPENED_AND_FIN,
    },
    Row {
        name: "half-closed by the server",
        act: half_closed_by_server,
        expected: OPENED_AND_FIN,
    },
    Row {
        name: "client killed",
        act: client_killed,
        expected: OPENED_AND_FIN,
    },
    Row {
        name: "server killed",
        act: server_killed,
        expected: OPENED_AND_FIN,
    },
    Row {
        name: "MPTCP",
        act: mptcp,
        expected: OPENED_AND_FIN,
    },
    Row {
        name: "the same four-tuple twice",
        act: same_ports_twice,
        expected: &[
            "alert egress",
            "alert ingress",
            "egress connection_established success - client",
            "ingress connection_accepted success - server",
            "egress network_flow success reset client",
            "ingress network_flow success reset server",
            "alert egress",
            "alert ingress",
            "egress connection_established success - client",
            "ingress connection_accepted success - server",
            "egress network_flow success fin client",
            "ingress network_flow success fin server",
        ],
    },
    Row {
        name: "reconnected on one socket",
        act: reconnected,
        expected: &[
            "egress denied failure ECONNREFUSED client",
            "alert egress",
            "alert ingress",
            "egress connection_established success - client",
            "ingress connection_accepted success - server",
            "egress network_flow success fin client",
            "ingress network_flow success fin server",
        ],
    },
];

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

fn client_closes_first(stage: &mut Stage<'_>) -> Result<()> {
    let (client, server) = open(stage)?;
    close_both(stage, client, server, true)
}

fn server_closes_first(stage: &mut Stage<'_>) -> Result<()> {
    let (client, server) = open(stage)?;
    close_both(stage, client, server, false)
}

fn ipv6(stage: &mut Stage<'_>) -> Result<()> {
    stage.address = SocketAddr::new(V6, 23);
    client_closes_first(stage)
}

fn mapped(stage: &mut Stage<'_>) -> Result<()> {
    let any = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 23);
    stage.server.listen(any)?;
    let client = stage.client.connect(stage.address)?;
    let server = stage.server.accept()?;
    close_both(stage, client, server, true)
}

fn refused(stage: &mut Stage<'_>) -> Result<()> {
    let step = format!("connect {}", stage.address);
    stage.client.must_fail(&step, Errno::CONNREFUSED)
}

fn silent() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)), 23)
}

fn timed_out(stage: &mut Stage<'_>) -> Result<()> {
    stage
        .client
        .must_fail(&format!("connect {}", silent()), Errno::TIMEDOUT)
}

fn given_up(stage: &mut Stage<'_>) -> Result<()> {
    let client = stage
        .client
        .open(&format!("connect-nonblocking {}", silent()))?;
    stage.client.with("close", client).map(drop)
}

fn fast_open(stage: &mut Stage<'_>) -> Result<()> {
    stage.server.listen(stage.address)?;
    let client = stage
        .client
        .open(&format!("connect-fastopen {} hello", stage.address))?;
    let server = stage.server.accept()?;
    stage.server.with("receive", server)?;
    close_both(stage, client, server, true)
}

fn client_resets(stage: &mut Stage<'_>) -> Result<()> {
    let (client, server) = open(stage)?;
    stage.client.with("reset", client)?;
    stage
        .server
        .must_fail_with("receive", server, Errno::CONNRESET)
}

fn server_resets(stage: &mut Stage<'_>) -> Result<()> {
    let (client, server) = open(stage)?;
    stage.server.with("reset", server)?;
    stage
        .client
        .must_fail_with("receive", client, Errno::CONNRESET)
}

fn unread_data(stage: &mut Stage<'_>) -> Result<()> {
    let (client, server) = open(stage)?;
    stage.client.send(client, "unread")?;
    stage.server.with("close", server)?;
    stage
        .client
        .must_fail_with("receive", client, Errno::CONNRESET)
}

fn never_accepted(stage: &mut Stage<'_>) -> Result<()> {
    stage.server.listen(stage.address)?;
    let client = stage.client.connect(stage.address)?;
    stage.server.step("unlisten")?;
    stage
        .client
        .must_fail_with("receive", client, Errno::CONNRESET)
}

fn accepted_late(stage: &mut Stage<'_>) -> Result<()> {
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

fn disconnected(stage: &mut Stage<'_>) -> Result<()> {
    let (client, server) = open(stage)?;
    stage.client.with("disconnect", client)?;
    stage
        .server
        .must_fail_with("receive", server, Errno::CONNRESET)
}

fn disconnected_early(stage: &mut Stage<'_>) -> Result<()> {
    stage.server.listen(stage.address)?;
    let client = stage.client.connect(stage.address)?;
    stage.client.with("disconnect", client)?;
    // Still in the queue, already reset.
    let answer = stage.server.step("accept")?;
    ensure!(text(&answer, "remote").is_none(), "not reset yet: {answer}");
    Ok(())
}

fn half_closed_early(stage: &mut Stage<'_>) -> Result<()> {
    stage.server.listen(stage.address)?;
    let client = stage.client.connect(stage.address)?;
    stage.client.with("shutdown", client)?;
    let server = stage.server.accept()?;
    stage.server.with("receive", server)?;
    close_both(stage, client, server, false)
}

fn half_closed_by_server(stage: &mut Stage<'_>) -> Result<()> {
    let (client, server) = open(stage)?;
    stage.server.with("shutdown", server)?;
    stage.client.with("receive", client)?;
    stage.client.send(client, "still")?;
    stage.server.with("receive", server)?;
    close_both(stage, client, server, true)
}

fn client_killed(stage: &mut Stage<'_>) -> Result<()> {
    let (_, server) = open(stage)?;
    stage.client.kill()?;
    stage.server.with("receive", server)?;
    stage.server.with("close", server).map(drop)
}

fn server_killed(stage: &mut Stage<'_>) -> Result<()> {
    let (client, _) = open(stage)?;
    stage.server.kill()?;
    stage.client.with("receive", client)?;
    stage.client.with("close", client).map(drop)
}

fn mptcp(stage: &mut Stage<'_>) -> Result<()> {
    stage
        .server
        .step(&format!("listen-mptcp {}", stage.address))?;
    let client = stage
        .client
        .open(&format!("connect-mptcp {}", stage.address))?;
    let server = stage.server.accept()?;
    close_both(stage, client, server, true)
}

fn same_ports_twice(stage: &mut Stage<'_>) -> Result<()> {
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

fn reconnected(stage: &mut Stage<'_>) -> Result<()> {
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
