//! Sessions at the same few addresses, one after the other, of which any record can be lost.

use std::collections::{BTreeMap, VecDeque};

use super::{found::found, *};
use crate::probe::record::Protocol;

/// Addresses that sockets have in turn.
const ADDRESSES: usize = 3;
/// Added to the number of a session: the port of its client.
const FIRST_PORT: u16 = 40_000;

/// A kernel without cookies has given the address of one socket to another.
#[test]
fn what_is_left_of_a_socket_whose_end_was_lost_does_not_take_in_the_next_one() {
    let there = |id| {
        let mut socket = socket(id);
        socket.key = SocketKey {
            address: 0x1000,
            cookie: None,
        };
        socket
    };
    let next = || state(there(2), SynRecv, Established);

    let attempt = KernelEvent::Connect(there(1), task(9));
    let (out, tracker) = run(vec![(0, attempt), (1, next())]);
    assert_eq!(words(&out), ["attempted by Some(9)", "accepted by None"]);
    assert_eq!(tracker.counters().unseen_ends, 1);

    // The end of the next one is that of no attempt.
    let attempt = KernelEvent::Connect(there(1), task(9));
    let (out, tracker) = run(vec![(0, attempt), (1, state(there(2), CloseWait, Close))]);
    assert_eq!(words(&out), ["attempted by Some(9)"]);
    let counters = tracker.counters();
    assert_eq!((counters.unseen_ends, counters.unknown_closes), (1, 1));

    // Nor is what it speaks that of the one before.
    let proof = KernelEvent::Protocol(there(2), Protocol::Telnet);
    let (out, tracker) = run(vec![(0, state(there(1), SynRecv, Established)), (1, proof)]);
    assert_eq!(words(&out), ["accepted by None"]);
    assert_eq!(tracker.counters().unmatched_protocols, 1);

    let mut tracker = Tracker::new(Limits::default());
    let mut out = Vec::new();
    take_in(
        &mut tracker,
        listing(vec![found(1)]),
        &all(),
        at(0),
        &mut out,
    );
    tracker.report_found(at(0), &mut out);
    for event in [KernelEvent::Close(there(1), task(7)), next()] {
        tracker.push(record(1, event), &mut out);
    }
    tracker.tick(at(1_000), &mut out);
    assert_eq!(
        words(&out),
        [
            "accepted by None",
            "unseen end by Some(7)",
            "accepted by None"
        ]
    );
}

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The socket at an address goes on; a new one is made where there is none.
    GoOn {
        address: usize,
        kind: Kind,
        is_lost: bool,
    },
    /// The agent reads so many records.
    Read(usize),
    /// The agent lists what is open, reads all records until then, and reports what it found.
    Compare,
}

/// What a new socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Outbound,
    /// Inbound, accepted and served.
    Served,
    /// Inbound, and reset before it was accepted.
    LeftEarly,
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![
        2 => Just(Kind::Outbound),
        3 => Just(Kind::Served),
        1 => Just(Kind::LeftEarly),
    ];
    let go_on = (0..ADDRESSES, kind, proptest::bool::weighted(0.25));
    prop_oneof![
        12 => go_on.prop_map(|(address, kind, is_lost)| Step::GoOn {
            address,
            kind,
            is_lost,
        }),
        3 => (1..8_usize).prop_map(Step::Read),
        1 => Just(Step::Compare),
    ]
}

/// A socket from its first record to its last.
#[derive(Clone, Debug)]
struct Life {
    number: u16,
    kind: Kind,
    /// How many of its records were made.
    made: usize,
}

impl Life {
    fn socket(&self, address: usize, has_cookies: bool) -> Socket {
        let number = u64::from(self.number);
        let mut socket = socket(1);
        socket.key.address = 0x1000 + u64::try_from(address).expect("small");
        socket.key.cookie = has_cookies.then_some(number);
        let client = SocketAddr::new(socket.remote.ip(), FIRST_PORT + self.number);
        if self.kind == Kind::Outbound {
            (socket.local, socket.remote) = (client, socket.local);
        } else {
            socket.remote = client;
        }
        socket
    }

    const fn direction(&self) -> Direction {
        match self.kind {
            Kind::Outbound => Direction::Egress,
            Kind::Served | Kind::LeftEarly => Direction::Ingress,
        }
    }

    /// Its next record; none after the last.
    fn next(&mut self, address: usize, has_cookies: bool) -> Option<KernelEvent> {
        let mut socket = self.socket(address, has_cookies);
        self.made += 1;
        Some(match (self.kind, self.made) {
            (Kind::Outbound, 1) => {
                // connect(2) chooses the port later.
                socket.local.set_port(0);
                KernelEvent::Connect(socket, task(9))
            }
            (Kind::Outbound, 2) => state(socket, SynSent, Established),
            (Kind::Served | Kind::LeftEarly, 1) => state(socket, SynRecv, Established),
            (Kind::Served, 2) => accept_of(socket, 7),
            (Kind::Served, 3) => KernelEvent::Close(socket, task(7)),
            (Kind::LeftEarly, 2) => state(socket, Established, Close),
            (Kind::LeftEarly, 3) => {
                socket.local.set_port(0);
                accept_of(socket, 7)
            }
            (Kind::Outbound, 3) | (Kind::Served, 4) => state(socket, CloseWait, Close),
            _ => return None,
        })
    }

    /// The handshake is over.
    fn has_begun(&self) -> bool {
        self.made > usize::from(self.kind == Kind::Outbound)
    }

    /// Somebody can read from it.
    fn is_open(&self) -> bool {
        let last = match self.kind {
            Kind::Outbound | Kind::Served => 2,
            Kind::LeftEarly => 1,
        };
        self.has_begun() && self.made <= last
    }

    /// A list has its socket, in whichever state.
    const fn is_listed(&self) -> bool {
        let last = match self.kind {
            Kind::Outbound => 2,
            Kind::Served => 3,
            Kind::LeftEarly => 1,
        };
        0 < self.made && self.made <= last
    }
}

/// What the kernel does, and what the agent makes of it.
struct World {
    has_cookies: bool,
    lives: [Option<Life>; ADDRESSES],
    made: u16,
    /// Records that the agent has not read.
    unread: VecDeque<KernelEvent>,
    tracker: Tracker,
    out: Vec<Observation>,
    time: u64,
    /// The sessions of which the record came that the handshake is over, by the client's port.
    told: BTreeMap<u16, Direction>,
}

impl World {
    fn new(has_cookies: bool) -> Self {
        Self {
            has_cookies,
            lives: [const { None }; ADDRESSES],
            made: 0,
            unread: VecDeque::new(),
            tracker: Tracker::new(Limits::default()),
            out: Vec::new(),
            time: 0,
            told: BTreeMap::new(),
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::GoOn {
                address,
                kind,
                is_lost,
            } => self.go_on(address, kind, is_lost),
            Step::Read(records) => self.read(records),
            Step::Compare => self.compare(),
        }
    }

    fn go_on(&mut self, address: usize, kind: Kind, is_lost: bool) {
        let has_cookies = self.has_cookies;
        let life = self.lives[address].get_or_insert_with(|| {
            self.made += 1;
            Life {
                number: self.made,
                kind,
                made: 0,
            }
        });
        let had_begun = life.has_begun();
        let Some(event) = life.next(address, has_cookies) else {
            self.lives[address] = None;
            return;
        };
        if is_lost {
            return;
        }
        if life.has_begun() && !had_begun {
            self.told.insert(FIRST_PORT + life.number, life.direction());
        }
        self.unread.push_back(event);
    }

    fn read(&mut self, records: usize) {
        let count = records.min(self.unread.len());
        for event in self.unread.drain(..count) {
            self.time += 1;
            self.tracker.tick(at(self.time), &mut self.out);
            self.tracker.push(record(self.time, event), &mut self.out);
        }
    }

    /// `sock_diag` has cookies on every kernel.
    fn list(&self) -> Vec<Found> {
        let open = self.lives.iter().flatten().filter(|life| life.is_open());
        let found = open.map(|life| {
            let socket = life.socket(0, true);
            let mut session = new_session(&socket, life.direction());
            session.key.address = 0;
            session.preexisting = true;
            Found::Session(Box::new(session))
        });
        found.collect()
    }

    fn compare(&mut self) {
        let listing = listing(self.list());
        let missing = take_in(
            &mut self.tracker,
            listing,
            &all(),
            at(self.time),
            &mut self.out,
        );
        let listed = self.lives.iter().flatten().filter(|life| life.is_listed());
        let listed: Vec<Socket> = listed.map(|life| life.socket(0, true)).collect();
        let gone = missing.iter().filter(|session| match session.key.cookie {
            Some(cookie) => !listed.iter().any(|it| it.key.cookie == Some(cookie)),
            // Without a port either nobody can ask for it.
            None if session.local.port() == 0 => false,
            None => {
                let ends = (session.local, session.remote);
                !listed.iter().any(|it| (it.local, it.remote) == ends)
            }
        });
        self.tracker.ended(gone);
        self.read(usize::MAX);
        self.tracker.report_found(at(self.time), &mut self.out);
        // The next one is much later.
        self.time += 10_000;
        self.tracker.tick(at(self.time), &mut self.out);
    }

    /// How often each session was reported, by the client's port and the direction.
    fn reported(&self) -> BTreeMap<(u16, bool), usize> {
        let mut reported = BTreeMap::new();
        for observation in &self.out {
            if let Observation::Session {
                session,
                fact: Fact::Accepted | Fact::Established,
                ..
            } = observation
            {
                let is_outbound = session.direction == Direction::Egress;
                let client = if is_outbound {
                    session.local
                } else {
                    session.remote
                };
                *reported.entry((client.port(), is_outbound)).or_default() += 1;
            }
        }
        reported
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_session_whose_handshake_is_told_is_reported_once_whatever_else_is_lost(
        has_cookies: bool,
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        let mut world = World::new(has_cookies);
        for step in steps {
            world.take(step);
        }
        world.read(usize::MAX);
        world.tracker.tick(at(1_000_000), &mut world.out);
        let reported = world.reported();
        for (port, direction) in &world.told {
            let is_outbound = *direction == Direction::Egress;
            let times = reported.get(&(*port, is_outbound)).copied().unwrap_or_default();
            prop_assert_eq!(times, 1, "{} {:?} {:?}", port, direction, reported);
        }
        for ((port, is_outbound), times) in reported {
            prop_assert_eq!(times, 1, "{} outbound {}", port, is_outbound);
        }
    }
}
