use std::fs;

use super::{event, second, settings, sources};
use crate::rules::engine::{Engine, Limits, Memory, Retention};
use crate::rules::tests::rule;
use crate::state::{Folder, Name};

/// An engine that remembers in `folder`.
fn engine(folder: &Folder, retention: Retention) -> Engine {
    let lines = folder.read(Name::Alerted).unwrap();
    let memory = Memory::restored(&lines, retention);
    Engine::with(
        vec![rule("")],
        second(0),
        settings(),
        memory,
        Limits::default(),
    )
}

fn persist(engine: &mut Engine, state: &mut Folder) {
    if let Some(change) = engine.take_change() {
        state.apply(&change).unwrap();
    }
}

#[test]
fn a_restart_makes_no_second_alert() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = Folder::open(folder.path()).unwrap();
    let mut first = engine(&state, Retention::default());
    for id in 0..3 {
        first.evaluate(&event(id, 10), second(10));
        persist(&mut first, &mut state);
    }
    drop(first);
    let mut second_run = engine(&state, Retention::default());
    for id in 0..4 {
        let found = sources(&second_run.evaluate(&event(id, 10), second(20)).alerts);
        assert_eq!(found.is_empty(), id < 3, "{id}");
    }
}

#[test]
fn what_nobody_was_told_alerts_once_somebody_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = Folder::open(folder.path()).unwrap();
    let mut first = engine(&state, Retention::default());
    first.set_reports(false);
    first.evaluate(&event(1, 10), second(10));
    persist(&mut first, &mut state);
    first.set_reports(true);
    first.evaluate(&event(2, 10), second(10));
    persist(&mut first, &mut state);
    let mut again = engine(&state, Retention::default());
    for (id, is_told) in [(1, true), (2, false)] {
        let found = sources(&again.evaluate(&event(id, 10), second(20)).alerts);
        assert_eq!(found.is_empty(), !is_told, "{id}");
    }
}

#[test]
fn what_was_not_persisted_is_alerted_again() {
    let folder = tempfile::tempdir().unwrap();
    let state = Folder::open(folder.path()).unwrap();
    engine(&state, Retention::default()).evaluate(&event(1, 10), second(10));
    let again = engine(&state, Retention::default()).evaluate(&event(1, 10), second(20));
    assert_eq!(sources(&again.alerts), ["1"]);
}

#[test]
fn damaged_lines_are_passed_over_and_cleaned_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerted");
    let mut state = Folder::open(folder.path()).unwrap();
    let mut first = engine(&state, Retention::default());
    first.evaluate(&event(1, 10), second(10));
    persist(&mut first, &mut state);
    drop(first);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend(b"\xff\xfe garbage\na 12\na 00");
    fs::write(&path, bytes).unwrap();
    let mut next = engine(&state, Retention::default());
    assert!(next.evaluate(&event(1, 10), second(20)).alerts.is_empty());
    assert_eq!(next.evaluate(&event(2, 10), second(20)).alerts.len(), 1);
    persist(&mut next, &mut state);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
}

#[test]
fn the_memory_is_bounded_in_number_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerted");
    let mut state = Folder::open(folder.path()).unwrap();
    let retention = Retention {
        entries: 10,
        millis: 60_000,
    };
    let mut engine = engine(&state, retention);
    for id in 0..2_000 {
        let at = 10 + i64::try_from(id).unwrap() * 10;
        engine.evaluate(&event(id, at), second(at));
        persist(&mut engine, &mut state);
    }
    let lines = fs::read_to_string(&path).unwrap().lines().count();
    assert!(lines < 1_100, "{lines}");
    // 6 ids are younger than a minute; the event after them is new again.
    let now = 10 + 1_999 * 10;
    assert!(
        engine
            .evaluate(&event(1_995, now), second(now))
            .alerts
            .is_empty()
    );
    assert_eq!(
        engine
            .evaluate(&event(1_900, now), second(now))
            .alerts
            .len(),
        1
    );
}
