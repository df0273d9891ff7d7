//! A pipeline and records of sessions for it.

use std::sync::Arc;

use serde_json::{Map, Value};
use telnet_common::tcp_state;
use telnet_user::{
    alert::Settings,
    canary::Mark,
    clock::BootTime,
    ecs::{AgentInfo, Builder},
    enrich::facts::{Ancestor, Facts, Host, Named, Os, OwnerFacts, OwnersFacts, Process},
    flood::Flood,
    json::Indexed,
    pipeline::{Emit, Enrich, Making, Memories, Now, Options, Output, Pipeline},
    probe::{
        decode::decode,
        record::{Hook, Task},
    },
    response::{Outcome, Response},
    rules::{self, Engine, Limits, Memory, Retention, Rule, Source},
    session::{
        Attribution, Check, Listing, Observation, Owner, Seen, Session, kept::Kept, tracker,
    },
};
use zerocopy::IntoBytes as _;

use super::records::{accept, state};

/// Which rules run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    /// The shipped ones that are enabled.
    Default,
    /// The same without a cap on alerts.
    Uncapped,
    /// This many on telnet sessions, of which no session satisfies any.
    Many(usize),
}

impl std::fmt::Display for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Uncapped => f.write_str("uncapped"),
            Self::Many(number) => write!(f, "{number} rules"),
        }
    }
}

/// A pipeline that takes sessions.
#[derive(Debug)]
pub(crate) struct Load {
    pipeline: Pipeline<Facing>,
    out: Vec<Output>,
    sessions: u64,
    now: Now,
}

impl Load {
    /// A pipeline with `rules`, whose alerts, and if wanted events, are made.
    pub(crate) fn new(rules: Rules, events: bool) -> Self {
        let now = Now {
            boot: BootTime::from_nanos(1_000_000_000_000),
            wall: "2026-03-05T12:00:00Z".parse().expect("a time"),
        };
        let settings = Settings {
            agent: "telnet-monitor".to_owned(),
            space: "default".to_owned(),
            loaded_at: now.wall,
        };
        let limits = match rules {
            Rules::Uncapped => Limits {
                alerts_max: usize::MAX,
                ..Limits::default()
            },
            Rules::Default | Rules::Many(_) => Limits::default(),
        };
        let memory = Memory::volatile(Retention::default());
        let engine = Engine::with(made(rules), now.wall, settings, memory, limits);
        let options = Options {
            making: Making {
                emit: Emit {
                    alerts: true,
                    events,
                },
                attempts: false,
                budget: None,
            },
            canary: Mark::default(),
            limits: tracker::Limits::default(),
        };
        let memories = Memories {
            kept: Kept::default(),
            keeper: None,
        };
        Self {
            pipeline: Pipeline::new(Facing::new(), engine, memories, options),
            out: Vec::new(),
            sessions: 0,
            now,
        }
    }

    /// Opens and closes this many sessions; the bytes of all documents.
    pub(crate) fn run(&mut self, sessions: u64) -> usize {
        let mut bytes = 0;
        for _ in 0..sessions {
            self.sessions += 1;
            let number = self.sessions;
            let time = 1_000_000_000_000 + number * 10_000;
            self.open_one(number, time);
            let close = state(
                number,
                time + 5_000,
                (tcp_state::LAST_ACK, tcp_state::CLOSE),
            );
            self.push(close.as_bytes());
            self.pipeline.tick(&self.now, &mut self.out);
            for output in self.out.drain(..) {
                if let Output::Document(document) = output {
                    bytes += document.text().len();
                }
            }
        }
        bytes
    }

    /// Opens this many sessions, which stay open.
    pub(crate) fn open(&mut self, sessions: u64) {
        for _ in 0..sessions {
            self.sessions += 1;
            self.open_one(self.sessions, 1_000_000_000_000 + self.sessions * 10_000);
            self.pipeline.tick(&self.now, &mut self.out);
            self.out.clear();
        }
    }

    fn open_one(&mut self, number: u64, time: u64) {
        self.now.boot = BootTime::from_nanos(time + 1_000_000);
        let syn_recv = (tcp_state::SYN_RECV, tcp_state::ESTABLISHED);
        let open = state(number, time, syn_recv);
        self.push(open.as_bytes());
        let accept = accept(number, time + 1_000);
        self.push(accept.as_bytes());
    }

    fn push(&mut self, bytes: &[u8]) {
        let record = decode(bytes).expect("a record");
        self.pipeline.push(record, &self.now, &mut self.out);
    }
}

fn made(rules: Rules) -> Vec<Rule> {
    let mut shipped = rules::load(&[Source::Shipped]).rules;
    match rules {
        Rules::Default => shipped,
        Rules::Uncapped => {
            for rule in &mut shipped {
                rule.max_signals = usize::MAX;
            }
            shipped
        }
        Rules::Many(number) => (0..number).map(one_of_many).collect(),
    }
}

/// Rules as a site has them: most name an address, a program or a user, some a network.
fn one_of_many(index: usize) -> Rule {
    let condition = match index % 4 {
        0 => format!("source.ip:10.{}.{}.7", index / 250, index % 250),
        1 => format!("process.name:(server{index} or \"daemon {index}\")"),
        2 => format!("user.name:user{index} and not event.action:denied"),
        _ => format!("source.ip:\"10.{}.{}.0/24\"", index / 250, index % 250),
    };
    let text = format!(
        "[metadata]\ncreation_date = \"2026/01/01\"\nupdated_date = \"2026/01/01\"\n\
         maturity = \"production\"\n[rule]\nauthor = [\"bench\"]\nname = \"rule {index}\"\nrule_id = \"00000000-0000-4000-8000-{index:012}\"\ndescription = \"d\"\n\
         severity = \"low\"\nrisk_score = 21\ntype = \"query\"\nlanguage = \"kuery\"\n\
         query = '''destination.port:23 and event.type:connection and {condition}'''\n"
    );
    let source = Source::Text {
        name: format!("rule{index}.toml"),
        text,
    };
    let mut report = rules::load(&[source]);
    assert!(!report.has_errors(), "{:?}", report.problems);
    report.rules.pop().expect("a rule")
}

/// The system as it looks when everything is known already.
#[derive(Debug)]
struct Facing {
    builder: Builder,
    host: Arc<Host>,
    listener: OwnerFacts,
    acceptor: OwnerFacts,
}

impl Facing {
    fn new() -> Self {
        let process = Arc::new(process(700, "inetd"));
        let owner = |source| OwnerFacts {
            process: Arc::clone(&process),
            source,
        };
        Self {
            builder: Builder::new(AgentInfo {
                name: "telnet-monitor".to_owned(),
                id: "6f1c2f0a-2f5e-4a57-8e52-0d7f5f3b9a10".to_owned(),
                ephemeral_id: "b2f4c2de-1c1d-4c0e-a3f7-7c2f9d6e5b41".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            }),
            host: Arc::new(host()),
            listener: owner(Attribution::Listen),
            acceptor: owner(Attribution::Accept(Hook::Fentry)),
        }
    }
}

impl Enrich for Facing {
    fn event(&mut self, observation: &Observation, now: &Now) -> Option<Indexed> {
        let facts = Facts {
            host: Arc::clone(&self.host),
            owners: OwnersFacts {
                listener: Some(self.listener.clone()),
                acceptor: Some(self.acceptor.clone()),
                ..OwnersFacts::default()
            },
            ..Facts::default()
        };
        let clocks = now.clocks();
        Some(self.builder.event(observation, &facts, &clocks, now.wall))
    }

    fn flood(&mut self, flood: &Flood, now: &Now) -> Indexed {
        let facts = Facts {
            host: Arc::clone(&self.host),
            ..Facts::default()
        };
        self.builder.flood(flood, &facts, &now.clocks(), now.wall)
    }

    fn find_owners(&mut self, sessions: &[Session]) -> Option<Vec<Option<Owner>>> {
        Some(vec![None; sessions.len()])
    }

    fn found(
        &mut self,
        _is_monitored: &dyn Fn(u16) -> bool,
        _is_new: &mut dyn FnMut(&Seen) -> bool,
    ) -> Listing {
        Listing::default()
    }

    fn response(&mut self, session: &Session, response: &Response, now: &Now) -> Indexed {
        let (facts, clocks) = (Facts::default(), now.clocks());
        let about = (session, now.boot);
        self.builder
            .response(about, response, &facts, &clocks, now.wall)
    }

    fn close(&mut self, _session: &Session) -> Outcome {
        Outcome::Gone
    }

    fn gone(&mut self, sessions: &[Session]) -> Vec<bool> {
        vec![false; sessions.len()]
    }

    fn release(&mut self, _session: &Session) {}

    fn learn(&mut self, _task: &Task) {}

    fn inherit(&mut self, _child: &Task) {}

    fn holders(&mut self, checks: &dyn Fn() -> Vec<Check>) -> Option<Vec<(Check, Vec<u32>)>> {
        let checks = checks().into_iter();
        Some(checks.map(|check| (check, Vec::new())).collect())
    }

    fn envelope(&self) -> Map<String, Value> {
        self.builder.envelope(&self.host)
    }
}

fn named(id: u32, name: &str) -> Named {
    Named {
        id,
        name: Some(name.to_owned()),
    }
}

fn process(pid: u32, name: &str) -> Process {
    let start = BootTime::from_nanos(5_000_000_000);
    Process {
        pid,
        start: Some(start),
        entity_id: Some("4f0a9c1be2d37a5586d1".to_owned()),
        name: Some(name.to_owned()),
        executable: Some(format!("/usr/sbin/{name}")),
        sha256: Some("ab".repeat(32)),
        args: vec![format!("/usr/sbin/{name}"), "-d".to_owned()],
        args_truncated: false,
        working_directory: Some("/".to_owned()),
        tty: None,
        user: named(0, "root"),
        group: named(0, "root"),
        effective_user: Some(named(0, "root")),
        effective_group: Some(named(0, "root")),
        capabilities: Vec::new(),
        ancestors: vec![Ancestor {
            pid: 1,
            start: Some(BootTime::from_nanos(1)),
            entity_id: Some("0d1e2f3a4b5c6d7e8f90".to_owned()),
            name: Some("systemd".to_owned()),
            executable: Some("/usr/lib/systemd/systemd".to_owned()),
        }],
        container: None,
        unit: Some("inetd.service".to_owned()),
        slice: Some("system.slice".to_owned()),
    }
}

fn host() -> Host {
    let ip = |text: &str| text.parse().expect("an address");
    Host {
        hostname: Some("web1".to_owned()),
        id: Some("4c9f1d5b7a2e4f0c8b6d3a1e5f7092b4".to_owned()),
        boot_id: Some("0f6a1d5e-8d5f-4c4e-9f66-0c8f6a1b2c3d".to_owned()),
        architecture: Some("x86_64".to_owned()),
        ip: vec![ip("192.0.2.23"), ip("2001:db8::23")],
        mac: vec!["00-00-5E-00-53-23".to_owned()],
        os: Os {
            name: Some("Debian GNU/Linux".to_owned()),
            version: Some("13".to_owned()),
            full: Some("Debian GNU/Linux 13 (trixie)".to_owned()),
            platform: Some("debian".to_owned()),
            kernel: Some("6.12.48".to_owned()),
        },
    }
}
