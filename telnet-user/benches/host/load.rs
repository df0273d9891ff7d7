//! Makes connections, in a network namespace of its own; says what it did as one line of JSON.

use std::{
    fs,
    io::Read as _,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::net::sockopt::set_socket_linger;
use serde_json::{Value, json};

use crate::traffic;

/// The kernel's count of connections opened and accepted in this namespace: an account of what
/// happened that no probe has touched.
fn witness() -> anyhow::Result<(u64, u64)> {
    let text = fs::read_to_string("/proc/net/snmp").context("/proc/net/snmp")?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = lines.next().zip(lines.next()).context("no line Tcp")?;
    let find = |wanted: &str| {
        let mut pairs = names.split(' ').zip(values.split(' '));
        let found = pairs.find(|(name, _)| *name == wanted);
        found
            .and_then(|(_, value)| value.parse().ok())
            .with_context(|| format!("no {wanted} in /proc/net/snmp"))
    };
    Ok((find("ActiveOpens")?, find("PassiveOpens")?))
}

pub(crate) fn main(words: &[&str]) -> anyhow::Result<()> {
    if let ["hold", port, sessions] = words {
        return hold(port.parse()?, sessions.parse()?);
    }
    let before = witness()?;
    let done = match words {
        ["rate", port, millis] => rate(port.parse()?, Duration::from_millis(millis.parse()?))?,
        ["paced", port, per_second, millis] => paced(
            port.parse()?,
            per_second.parse()?,
            Duration::from_millis(millis.parse()?),
        )?,
        ["processes", millis] => processes(Duration::from_millis(millis.parse()?))?,
        _ => bail!("unknown load {words:?}"),
    };
    let after = witness()?;
    let mut said = done;
    if let Some(said) = said.as_object_mut() {
        said.insert("active_opens".to_owned(), (after.0 - before.0).into());
        said.insert("passive_opens".to_owned(), (after.1 - before.1).into());
    }
    println!("{said}");
    Ok(())
}

fn listen(port: u16) -> anyhow::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).with_context(|| format!("port {port}"))
}

/// One connection: opened, accepted, and reset, which leaves nothing behind that would use up the
/// client's ports.
fn connection(listener: &TcpListener, to: SocketAddr) -> anyhow::Result<()> {
    let client = TcpStream::connect(to).context("cannot connect")?;
    let (server, _) = listener.accept().context("cannot accept")?;
    set_socket_linger(&client, Some(Duration::ZERO))?;
    drop(client);
    drop(server);
    Ok(())
}

/// As many as one thread can.
fn rate(port: u16, time: Duration) -> anyhow::Result<Value> {
    let listener = listen(port)?;
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let start = Instant::now();
    let mut connections = 0_u64;
    while start.elapsed() < time {
        for _ in 0..64 {
            connection(&listener, to)?;
        }
        connections += 64;
    }
    Ok(json!({"connections": connections, "seconds": start.elapsed().as_secs_f64()}))
}

/// A steady number per second, or as near as the machine gets.
fn paced(port: u16, per_second: u32, time: Duration) -> anyhow::Result<Value> {
    let listener = listen(port)?;
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let start = Instant::now();
    let mut connections = 0_u32;
    loop {
        let due = Duration::from_secs(1) / per_second * connections;
        if due >= time {
            break;
        }
        if let Some(early) = due.checked_sub(start.elapsed()) {
            thread::sleep(early);
        }
        connection(&listener, to)?;
        connections += 1;
    }
    Ok(json!({"connections": connections, "seconds": start.elapsed().as_secs_f64()}))
}

/// Processes that end at once, one after the other.
fn processes(time: Duration) -> anyhow::Result<Value> {
    let busybox = traffic::named(traffic::ROOT)?.join("bin/busybox");
    let start = Instant::now();
    let mut processes = 0_u64;
    while start.elapsed() < time {
        for _ in 0..16 {
            let status = Command::new(&busybox).arg("true").status();
            if !status.context("cannot start busybox")?.success() {
                bail!("busybox true failed");
            }
        }
        processes += 16;
    }
    Ok(json!({"processes": processes, "seconds": start.elapsed().as_secs_f64()}))
}

/// Sessions that stay open until standard input ends.
fn hold(port: u16, sessions: usize) -> anyhow::Result<()> {
    let listener = listen(port)?;
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut open = Vec::with_capacity(2 * sessions);
    for _ in 0..sessions {
        open.push(TcpStream::connect(to).context("cannot connect")?);
        open.push(listener.accept().context("cannot accept")?.0);
    }
    println!("{}", json!({"open": sessions}));
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
