use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use super::*;
use crate::{
    flood::{Budget, Phase},
    probe::record::{Args, SocketError, Task},
    session::{
        Ending, Failure,
        activity::{Bypass, ProgramStep, Verdict},
    },
};

const LOGIN: &str = "/bin/login";

fn at(millis: u64) -> BootTime {
    BootTime::from_nanos(millis * 1_000_000)
}

fn session(cookie: u64) -> Session {
    Session {
        netns: Some(1),
        opened: Some(at(1_000)),
        ..Session::new(
            SocketKey {
                address: 0xffff_8881_0000_1000,
                cookie: Some(cookie),
            },
            Direction::Ingress,
            SocketAddr::from((Ipv4Addr::LOCALHOST, 23)),
            SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 40_000)),
        )
    }
}

fn observed(session: &Session, fact: Fact) -> Observation {
    Observation::Session {
        session: Box::new(session.clone()),
        fact,
        time: at(1_000),
    }
}

fn closed(session: &Session) -> Observation {
    observed(session, Fact::Closed(Ending::Reset, None))
}

fn program(session: &Session, path: &str) -> Observation {
    Observation::Program {
        session: Box::new(session.clone()),
        program: Program {
            task: Arc::new(task(path)),
            effective_uid: 0,
            tty: None,
            step: ProgramStep::Started,
        },
        time: at(1_000),
    }
}

fn task(path: &str) -> Task {
    Task {
        pid: 1,
        tid: 1,
        uid: 0,
        gid: 0,
        start: None,
        comm: path.rsplit('/').next().expect("a name").to_owned(),
        parent: None,
        cgroup: None,
        args: Some(Args {
            list: vec![path.to_owned()],
            truncated: false,
        }),
    }
}

/// Of a source that has one connection.
fn shedder() -> Shedder {
    let budget = Budget {
        burst: 1,
        per_minute: 60,
        sources: 1,
    };
    Shedder::new(Floods::new(Some(budget)), 8)
}

/// The same, with a session that is told and one that is shed.
fn flooded() -> (Shedder, Session, Session) {
    let mut shedder = shedder();
    let (first, second) = (session(1), session(2));
    let fate = shedder.judge(&observed(&first, Fact::Accepted));
    assert!(matches!(fate, Fate::Told));
    let Fate::Shed(Some(began)) = shedder.judge(&observed(&second, Fact::Accepted)) else {
        panic!("the second is shed");
    };
    assert_eq!((began.phase, began.shed), (Phase::Began, 1));
    assert!(!shedder.is_shed(&first) && shedder.is_shed(&second));
    (shedder, first, second)
}

/// What is said to become of an observation, and that it was counted so.
fn fate(shedder: &mut Shedder, observation: &Observation) -> &'static str {
    let before = shedder.counters;
    let fate = shedder.judge(observation);
    let after = shedder.counters;
    assert_eq!(after.observed, before.observed + 1);
    let (shed, recalled) = (
        after.shed() - before.shed(),
        after.recalled - before.recalled,
    );
    match fate {
        Fate::Told => {
            assert_eq!((shed, recalled), (0, 0));
            "told"
        }
        Fate::Shed(_) => {
            assert_eq!((shed, recalled), (1, 0));
            "shed"
        }
        Fate::Recalled(opening) => {
            assert_eq!((shed, recalled), (0, 1));
            let (
                Observation::Session {
                    session,
                    fact,
                    time,
                },
                of,
            ) = (&*opening, observation)
            else {
                panic!("{opening:?}");
            };
            assert_eq!((fact, *time), (&Fact::Accepted, at(1_000)));
            let (Observation::Session { session: about, .. }
            | Observation::Program { session: about, .. }) = of
            else {
                panic!("{of:?}");
            };
            assert_eq!(session.key, about.key);
            "recalled"
        }
    }
}

#[test]
fn a_session_that_is_shed_is_so_to_its_end() {
    let (mut shedder, first, second) = flooded();
    for observation in [
        program(&second, LOGIN),
        observed(&second, Fact::LoginFailed),
        observed(&second, Fact::Identified),
        closed(&second),
    ] {
        assert_eq!(fate(&mut shedder, &observation), "shed", "{observation:?}");
    }
    assert!(!shedder.is_shed(&second), "it takes no place any longer");
    for observation in [
        program(&first, LOGIN),
        observed(&first, Fact::LoginFailed),
        observed(&first, Fact::Identified),
        closed(&first),
    ] {
        assert_eq!(fate(&mut shedder, &observation), "told", "{observation:?}");
    }
    let last = shedder.floods.finish();
    assert_eq!((last[0].shed, last[0].failed_logins), (1, 1));
}

#[test]
fn what_somebody_does_who_came_in_is_told_from_the_opening_on() {
    let bypassed = {
        let mut session = session(2);
        session.activity.login.verdict = Some(Verdict::Bypass(Bypass::ForcedLogin));
        session
    };
    let second = session(2);
    for observation in [
        observed(&second, Fact::LoggedIn),
        observed(&second, Fact::Bypassed),
        program(&second, "/bin/sh"),
        program(&second, "/usr/bin/menu"),
        program(&bypassed, LOGIN),
    ] {
        let (mut shedder, ..) = flooded();
        assert_eq!(fate(&mut shedder, &observation), "recalled");
        assert!(!shedder.is_shed(&second));
        // Once.
        assert_eq!(fate(&mut shedder, &observation), "told");
        assert_eq!(fate(&mut shedder, &closed(&second)), "told");
    }
}

#[test]
fn processes_that_outlive_a_session_that_was_shed_are_known_as_its() {
    let (mut shedder, _, mut second) = flooded();
    second.activity.survivors = vec![Arc::new(task("/bin/login"))];
    assert_eq!(fate(&mut shedder, &closed(&second)), "shed");
    assert_eq!(fate(&mut shedder, &program(&second, LOGIN)), "shed");
    assert_eq!(fate(&mut shedder, &program(&second, "nc")), "recalled");
}

#[test]
fn what_was_found_open_is_told_and_costs_nothing() {
    let mut shedder = shedder();
    let found = Session {
        preexisting: true,
        ..session(1)
    };
    let known = Session {
        reported: true,
        ..session(2)
    };
    for session in [&found, &known] {
        let opened = observed(session, Fact::Accepted);
        assert_eq!(fate(&mut shedder, &opened), "told");
    }
    let new = observed(&session(3), Fact::Accepted);
    assert_eq!(fate(&mut shedder, &new), "told", "the budget is whole");
}

#[test]
fn failures_are_shed_too_and_take_nothing_from_sessions() {
    let mut shedder = shedder();
    let failed = Fact::Failed(Failure {
        error: SocketError::Clear,
    });
    let failed = observed(&session(1), failed);
    assert_eq!(fate(&mut shedder, &failed), "told");
    assert_eq!(fate(&mut shedder, &failed), "shed");
    let opened = observed(&session(2), Fact::Accepted);
    assert_eq!(fate(&mut shedder, &opened), "told");
}
