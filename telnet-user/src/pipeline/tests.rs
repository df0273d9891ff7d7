//! The pipeline with a system that has many sessions open and answers nothing else.

use std::{
    collections::HashSet,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use serde_json::{Map, Value, json};

use super::*;
use crate::{
    alert,
    canary::Mark,
    probe::{
        filter::Filter,
        record::{SocketKey, Task},
    },
    response::{Outcome, Response},
    rules::{self, Limits, Memory, Retention},
    session::{Check, Direction, Found, Listing, Owner, Seen},
    state::Name,
};

/// Open sessions, more than are told at once.
const OPEN: u16 = 600;

#[derive(Debug, Default)]
struct Host {
    closed: Vec<SocketAddr>,
}

impl Enrich for Host {
    fn event(&mut self, observation: &Observation, now: &Now) -> Option<Indexed> {
        let Observation::Session { session, fact, .. } = observation else {
            return None;
        };
        let accepted = matches!(fact, Fact::Accepted);
        let event = json!({
            "@timestamp": now.wall.as_millisecond(),
            "event": {
                "id": session.remote.to_string(),
                "action": if accepted { "connection_accepted" } else { "login" },
            },
            "destination": {"port": session.local.port()},
        });
        Indexed::of(&event).ok()
    }

    fn flood(&mut self, _flood: &Flood, _now: &Now) -> Indexed {
        Indexed::default()
    }

    fn find_owners(&mut self, _sessions: &[Session]) -> Option<Vec<Option<Owner>>> {
        None
    }

    fn found(
        &mut self,
        _is_monitored: &dyn Fn(u16) -> bool,
        is_new: &mut dyn FnMut(&Seen) -> bool,
    ) -> Listing {
        let sessions = (0..OPEN).map(|number| Session {
            netns: Some(1),
            preexisting: true,
            ..session(number)
        });
        let new = sessions.filter(|session| {
            is_new(&Seen {
                netns: session.netns,
                local: session.local,
                remote: session.remote,
                cookie: session.key.cookie,
                is_listening: false,
                is_session: true,
            })
        });
        Listing {
            found: new.map(|it| Found::Session(Box::new(it))).collect(),
            namespaces: HashSet::from([1]),
            is_complete: true,
        }
    }

    fn gone(&mut self, sessions: &[Session]) -> Vec<bool> {
        vec![false; sessions.len()]
    }

    fn close(&mut self, session: &Session) -> Outcome {
        self.closed.push(session.remote);
        Outcome::Closed
    }

    fn response(&mut self, _session: &Session, _response: &Response, _now: &Now) -> Indexed {
        Indexed::default()
    }

    fn learn(&mut self, _task: &Task) {}

    fn release(&mut self, _session: &Session) {}

    fn inherit(&mut self, _child: &Task) {}

    fn holders(&mut self, _checks: &dyn Fn() -> Vec<Check>) -> Option<Vec<(Check, Vec<u32>)>> {
        None
    }

    fn envelope(&self) -> Map<String, Value> {
        Map::from_iter([("host".to_owned(), json!({"name": "h"}))])
    }
}

fn session(number: u16) -> Session {
    let key = SocketKey {
        address: 0,
        cookie: Some(u64::from(number) + 1),
    };
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 23));
    let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000 + number));
    Session::new(key, Direction::Ingress, local, remote)
}

fn pipeline(now: &Now) -> Pipeline<Host> {
    pipeline_with(Vec::new(), now)
}

fn pipeline_with(rules: Vec<Rule>, now: &Now) -> Pipeline<Host> {
    let settings = alert::Settings {
        agent: "telnet-monitor".to_owned(),
        space: "default".to_owned(),
        loaded_at: now.wall,
    };
    let memory = Memory::volatile(Retention::default());
    let engine = Engine::with(rules, now.wall, settings, memory, Limits::default());
    let kept = Kept::default();
    let keeper = Keeper::new("boot".to_owned(), true, &kept);
    let options = Options {
        making: Making {
            emit: Emit {
                alerts: true,
                events: true,
            },
            attempts: false,
            budget: None,
        },
        canary: Mark::default(),
        limits: tracker::Limits::default(),
    };
    let memories = Memories {
        kept,
        keeper: Some(keeper),
    };
    Pipeline::new(Host::default(), engine, memories, options)
}

/// Events that are written, and sessions that the next run will take for told.
#[derive(Debug, Default)]
struct Written {
    events: usize,
    kept: String,
}

impl Written {
    fn take(&mut self, out: &mut Vec<Output>) {
        for output in out.drain(..) {
            match output {
                Output::Document(document) => {
                    self.events += usize::from(document.kind() == Kind::Event);
                }
                Output::State(change) if change.name == Name::Open => {
                    if change.replaces {
                        self.kept.clear();
                    }
                    self.kept.push_str(&change.lines);
                    // Killed here, the next run must not keep quiet about the others.
                    assert!(self.told() <= self.events, "{} events", self.events);
                }
                Output::State(_) | Output::Canary(_) => {}
            }
        }
    }

    fn told(&self) -> usize {
        let mut kept = Kept::restored(&self.kept, "boot");
        let mut is_told = |found| match found {
            Found::Session(mut session) => {
                kept.complete_session(&mut session);
                session.reported
            }
            Found::Listener(_) => false,
        };
        let found = Host::default().found(&|_| true, &mut |_| true).found;
        found
            .into_iter()
            .filter_map(|it| is_told(it).then_some(()))
            .count()
    }
}

#[test]
fn what_is_found_is_told_in_portions_and_kept_as_told_after_that() {
    let now = Now::read();
    let mut pipeline = pipeline(&now);
    let (mut out, mut written) = (Vec::new(), Written::default());
    pipeline.find_open(&Filter::all(), &now, &mut out);
    written.take(&mut out);
    let mut found = pipeline.take_found(&now);
    assert_eq!(found.len(), usize::from(OPEN));
    while !found.is_empty() {
        let before = written.events;
        pipeline.tell_found(&mut found, &now, &mut out);
        written.take(&mut out);
        assert!(written.events - before <= 256, "at once");
    }
    assert_eq!(written.events, usize::from(OPEN));
    assert_eq!(written.told(), usize::from(OPEN));
    // All are known now.
    pipeline.find_open(&Filter::all(), &now, &mut out);
    assert!(pipeline.take_found(&now).is_empty());
}

#[test]
fn what_a_cap_held_back_says_of_which_host() {
    let now = Now::read();
    let evaluation = Evaluation {
        summaries: vec![json!({"message": "m"})],
        ..Evaluation::default()
    };
    let mut out = Vec::new();
    pipeline(&now).deliver(evaluation, &mut out);
    let [Output::Document(document)] = &out[..] else {
        panic!("{out:?}");
    };
    let text: Value = serde_json::from_str(document.text()).expect("JSON");
    assert_eq!(text, json!({"message": "m", "host": {"name": "h"}}));
}

/// What a cap let wait alerts when a later run begins, which nothing but the next event may tell.
#[test]
fn an_alert_that_waited_closes_no_other_session() {
    let now = Now::read();
    let text = rules::tests::file("from = \"now-10m\"\nmax_signals = 1\n").replace(
        "destination.port:23",
        "destination.port:23 and event.action:connection_accepted",
    );
    let name = "test.toml".to_owned();
    let rules = rules::load(&[rules::Source::Text { name, text }]).rules;
    let policy = config::Response {
        mode: config::ResponseMode::Enforce,
        rules: vec![rules[0].rule_id.clone()],
        ..config::Response::default()
    };
    let mut pipeline = pipeline_with(rules, &now).responding(policy);
    let mut alerts = |facts: &[(u16, Fact)], now: &Now| {
        let seen = facts.iter().map(|(number, fact)| Observation::Session {
            session: Box::new(session(*number)),
            fact: fact.clone(),
            time: now.boot,
        });
        pipeline.observations.extend(seen);
        let mut out = Vec::new();
        pipeline.flush(now, &mut out);
        let is_alert = |it: &&Output| matches!(it, Output::Document(document) if document.kind() == Kind::Alert);
        let alerts = out.iter().filter(is_alert);
        (alerts.count(), pipeline.enrich.closed.len())
    };
    let (first, second) = ((0, Fact::Accepted), (1, Fact::Accepted));
    assert_eq!(alerts(&[first, second], &now), (1, 1), "one waits");
    let later = Now {
        wall: now.wall + Duration::from_mins(6),
        ..now
    };
    assert_eq!(alerts(&[(2, Fact::LoggedIn)], &later), (1, 1));
}
