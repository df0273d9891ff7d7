//! The pipeline with a system that has many sessions open and answers nothing else.

use std::{
    collections::HashSet,
    net::{Ipv4Addr, SocketAddr},
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
    rules::{Limits, Memory, Retention},
    session::{Check, Direction, Found, Listing, Owner, Seen},
    state::Name,
};

/// Open sessions, more than are told at once.
const OPEN: u16 = 600;

struct Host;

impl Enrich for Host {
    fn event(&mut self, _observation: &Observation, _now: &Now) -> Option<Indexed> {
        Indexed::of(&json!({})).ok()
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
        let sessions = (0..OPEN).map(|number| {
            let key = SocketKey {
                address: 0,
                cookie: Some(u64::from(number) + 1),
            };
            let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 23));
            let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000 + number));
            Session {
                netns: Some(1),
                preexisting: true,
                ..Session::new(key, Direction::Ingress, local, remote)
            }
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

    fn close(&mut self, _session: &Session) -> Outcome {
        Outcome::Gone
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

fn pipeline(now: &Now) -> Pipeline<Host> {
    let settings = alert::Settings {
        agent: "telnet-monitor".to_owned(),
        space: "default".to_owned(),
        loaded_at: now.wall,
    };
    let memory = Memory::volatile(Retention::default());
    let engine = Engine::with(Vec::new(), now.wall, settings, memory, Limits::default());
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
    Pipeline::new(Host, engine, memories, options)
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
        let found = Host.found(&|_| true, &mut |_| true).found;
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
