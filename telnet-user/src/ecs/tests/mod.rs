//! Documents from facts. Addresses, hosts and people are made up.

mod actions;
mod golden;
mod identity;
mod schema;

use std::{net::SocketAddr, sync::Arc};

use jiff::Timestamp;
use serde_json::Value;

use super::*;
use crate::{
    clock::BootTime,
    enrich::facts::{Ancestor, Container, Named, Os, OwnerFacts, OwnersFacts, Process},
    probe::record::{Hook, SocketKey},
    session::{Attribution, Direction, Fact, Listener, Owners, Session},
};

pub(super) const BOOT_ID: &str = "0f6a1d5e-8d5f-4c4e-9f66-0c8f6a1b2c3d";

/// Milliseconds since boot; 100 s after it was noon.
pub(super) fn at(millis: u64) -> BootTime {
    BootTime::from_nanos(millis * 1_000_000)
}

pub(super) fn clocks() -> ClockPair {
    ClockPair::new(at(100_000), time("2026-03-05T12:00:00Z"))
}

pub(super) fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

pub(super) fn end(text: &str) -> SocketAddr {
    text.parse().expect("an address and port")
}

pub(super) fn builder() -> Builder {
    Builder::new(AgentInfo {
        name: "telnet-monitor".to_owned(),
        id: "6f1c2f0a-2f5e-4a57-8e52-0d7f5f3b9a10".to_owned(),
        ephemeral_id: "b2f4c2de-1c1d-4c0e-a3f7-7c2f9d6e5b41".to_owned(),
        version: "0.1.0".to_owned(),
    })
}

/// The document of an observation 12 ms after noon.
pub(super) fn document(observation: &Observation, facts: &Facts) -> Value {
    let now = time("2026-03-05T12:00:00.012Z");
    builder()
        .open_event(observation, None, facts, &clocks(), now)
        .to_value()
}

/// What `path` holds, null where nothing is.
pub(super) fn get<'a>(document: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(document, |value, key| &value[key])
}

pub(super) fn inbound() -> Session {
    Session {
        netns: Some(4_026_531_840),
        opened: Some(at(100_000)),
        ..Session::new(
            SocketKey {
                address: 0xffff_8881_0000_1000,
                cookie: Some(4_711),
            },
            Direction::Ingress,
            end("192.0.2.23:23"),
            end("198.51.100.9:40123"),
        )
    }
}

pub(super) fn outbound() -> Session {
    Session {
        direction: Direction::Egress,
        local: end("[2001:db8::23]:51000"),
        remote: end("[2001:db8:1::9]:23"),
        attempted: Some(at(99_980)),
        ..inbound()
    }
}

pub(super) fn observed(session: Session, fact: Fact, time: BootTime) -> Observation {
    Observation::Session {
        session: Box::new(session),
        fact,
        time,
    }
}

pub(super) fn listener() -> Listener {
    Listener {
        key: SocketKey {
            address: 0xffff_8881_0000_2000,
            cookie: Some(4_000),
        },
        netns: Some(4_026_531_840),
        local: end("0.0.0.0:23"),
        opened: Some(at(40_000)),
        preexisting: false,
        reported: false,
        owner: None,
    }
}

pub(super) fn host() -> Host {
    Host {
        hostname: Some("web1".into()),
        id: Some("4c9f1d5b7a2e4f0c8b6d3a1e5f7092b4".into()),
        boot_id: Some(BOOT_ID.into()),
        architecture: Some("x86_64".into()),
        ip: vec![end("192.0.2.23:0").ip(), end("[2001:db8::23]:0").ip()],
        mac: vec!["00-00-5E-00-53-23".to_owned()],
        os: Os {
            name: Some("Debian GNU/Linux".into()),
            version: Some("13".into()),
            full: Some("Debian GNU/Linux 13 (trixie)".into()),
            platform: Some("debian".into()),
            kernel: Some("6.12.48".into()),
        },
    }
}

fn named(id: u32, name: &str) -> Named {
    Named {
        id,
        name: Some(name.into()),
    }
}

fn ancestor(pid: u32, name: &str) -> Ancestor {
    Ancestor {
        pid,
        start: Some(at(u64::from(pid))),
        entity_id: Some(format!("entity-{pid}")),
        name: Some(name.into()),
        executable: Some(format!("/usr/sbin/{name}")),
    }
}

/// A process of which everything is known.
pub(super) fn process(pid: u32, name: &str) -> Process {
    Process {
        pid,
        start: Some(at(u64::from(pid))),
        entity_id: Some(format!("entity-{pid}")),
        name: Some(name.into()),
        executable: Some(format!("/usr/sbin/{name}")),
        sha256: Some("ab".repeat(32)),
        args: vec![name.to_owned(), "-h".to_owned(), "a b".to_owned()],
        args_truncated: false,
        working_directory: Some("/".into()),
        tty: Some((136, 3)),
        user: named(100, "telnetd"),
        group: named(101, "utmp"),
        effective_user: Some(named(0, "root")),
        effective_group: Some(named(0, "root")),
        capabilities: vec!["CAP_NET_BIND_SERVICE".to_owned()],
        ancestors: vec![ancestor(700, "inetd"), ancestor(1, "systemd")],
        container: Some(Container {
            id: "c0ffee".repeat(10),
            runtime: Some("containerd"),
            pod_uid: Some("2f0c7a3e-54ff-4f8e-9f43-9d1a8f0e7b6c".into()),
        }),
        unit: Some("inetd.service".into()),
        slice: Some("system.slice".into()),
    }
}

pub(super) fn owner(process: Process, source: Attribution) -> OwnerFacts {
    OwnerFacts {
        process: Arc::new(process),
        source,
    }
}

/// The server's side: listener, acceptor and handler are three processes.
pub(super) fn server_facts() -> Facts {
    Facts {
        host: Arc::new(host()),
        owners: OwnersFacts {
            listener: Some(owner(process(700, "inetd"), Attribution::Listen)),
            acceptor: Some(owner(
                process(700, "inetd"),
                Attribution::Accept(Hook::Fentry),
            )),
            handler: Some(owner(process(4_242, "telnetd"), Attribution::Held)),
            client: None,
        },
        ..Facts::default()
    }
}

/// The client's side, as much as the kernel alone tells.
pub(super) fn client_facts() -> Facts {
    let process = Process {
        pid: 5_151,
        start: None,
        entity_id: None,
        name: Some("telnet".into()),
        executable: None,
        sha256: None,
        args: vec!["telnet".to_owned(), "router".to_owned()],
        args_truncated: true,
        working_directory: None,
        tty: None,
        user: Named {
            id: 1_000,
            name: None,
        },
        group: Named {
            id: 1_000,
            name: None,
        },
        effective_user: None,
        effective_group: None,
        capabilities: Vec::new(),
        ancestors: Vec::new(),
        container: None,
        unit: None,
        slice: None,
    };
    Facts {
        host: Arc::new(host()),
        owners: OwnersFacts {
            client: Some(owner(process, Attribution::Connect)),
            ..OwnersFacts::default()
        },
        ..Facts::default()
    }
}
