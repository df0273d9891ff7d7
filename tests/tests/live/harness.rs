//! The harness itself, without the agent.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use telnet_tests::lab::{self, V4, V6};
use telnet_tests::net::{Netns, TcpState};
use telnet_tests::peer::{Client, ClientKind, Scripted, Server, ServerKind, Telnetd, TelnetdKind};
use telnet_tests::process::{Facts, Spawned, holders};
use telnet_tests::wait;

#[test]
fn namespaces_are_apart_and_leave_no_process_behind() -> Result<()> {
    lab::harness(|lab| {
        let other = Netns::create()?;
        ensure!(other.inode() != lab.net.inode());
        ensure!(other.sockets()?.is_empty());
        let address = SocketAddr::new(V4, 23);
        let listener = lab.net.listen(address)?;
        ensure!(lab.net.wait_for_listener(address)?.state == TcpState::Listen);
        ensure!(other.sockets()?.is_empty());
        ensure!(
            other.listen(address).is_err(),
            "the other namespace has no such address"
        );
        drop(listener);

        let busybox = telnet_tests::tools::find("busybox")?;
        let mut left = Spawned::start(
            "sleep",
            Some(&other),
            busybox.command().args(["sleep", "999"]),
        )?;
        ensure!(other.processes()? == [left.pid()]);
        drop(other);
        left.wait(wait::PATIENCE).map(drop)
    })
}

fn telnetd_serves(kind: TelnetdKind, client: ClientKind, address: SocketAddr) -> Result<()> {
    lab::harness(|lab| {
        let server = Telnetd::start(lab, kind, address)?;
        let mut client = Client::start(lab, client, address)?;
        let session = client.session(lab)?;
        client.prove_shell()?;
        ensure!(session.client.name == "telnet", "{session:?}");
        let socket = lab.net.wait_for_accepted(session.source, address)?;
        let holders = holders(socket.inode)?;
        if kind == TelnetdKind::Busybox {
            ensure!(holders == [server.pid()], "{holders:?} hold {socket:?}");
        } else {
            let [holder] = holders.as_slice() else {
                anyhow::bail!("{holders:?} hold {socket:?}")
            };
            let facts = Facts::of(*holder)?;
            ensure!(
                facts.parent == server.pid() && facts.name == "telnetd",
                "{facts:?}"
            );
        }
        client.type_line("exit")?;
        client.wait().map(drop)
    })
}

#[test]
fn busybox_telnetd_serves_busybox_telnet_over_ipv4() -> Result<()> {
    telnetd_serves(
        TelnetdKind::Busybox,
        ClientKind::Busybox,
        SocketAddr::new(V4, 23),
    )
}

#[test]
fn busybox_telnetd_serves_inetutils_telnet_over_ipv6() -> Result<()> {
    telnetd_serves(
        TelnetdKind::Busybox,
        ClientKind::Inetutils,
        SocketAddr::new(V6, 23),
    )
}

#[test]
fn inetd_serves_inetutils_telnet_over_ipv4() -> Result<()> {
    telnetd_serves(
        TelnetdKind::Inetd,
        ClientKind::Inetutils,
        SocketAddr::new(V4, 23),
    )
}

#[test]
fn inetd_serves_busybox_telnet_over_ipv6() -> Result<()> {
    telnetd_serves(
        TelnetdKind::Inetd,
        ClientKind::Busybox,
        SocketAddr::new(V6, 23),
    )
}

#[test]
fn xinetd_serves_over_ipv4_and_ipv6() -> Result<()> {
    for ip in [V4, V6] {
        telnetd_serves(
            TelnetdKind::Xinetd,
            ClientKind::Inetutils,
            SocketAddr::new(ip, 23),
        )?;
    }
    Ok(())
}

#[test]
fn servers_share_their_work_out_as_they_say() -> Result<()> {
    for kind in [
        ServerKind::Threads,
        ServerKind::Uring,
        ServerKind::Fork,
        ServerKind::Pool,
        ServerKind::ReusePort,
        ServerKind::Pass,
    ] {
        lab::harness(|lab| {
            let address = SocketAddr::new(V4, 23);
            let server = Server::start(lab, kind, address, 3)?;
            let mut peer = Scripted::start(lab, "client")?;
            let client = peer.connect(address)?;
            let owners = server.served(client.local)?;
            let socket = lab.net.wait_for_accepted(client.local, address)?;
            wait::until("only the handler holds the session", || {
                Ok((holders(socket.inode)? == [owners.handler]).then_some(()))
            })
            .with_context(|| format!("{kind:?} {owners:?}, held by {:?}", holders(socket.inode)))?;
            let accepts_itself = owners.acceptor == server.pid();
            let serves_itself = owners.handler == owners.acceptor;
            let expected = match kind {
                ServerKind::Threads | ServerKind::Uring => (true, true),
                ServerKind::Fork | ServerKind::Pass => (true, false),
                ServerKind::Pool | ServerKind::ReusePort => (false, true),
            };
            ensure!(
                (accepts_itself, serves_itself) == expected,
                "{kind:?}: {owners:?}"
            );
            Ok(())
        })?;
    }
    Ok(())
}
