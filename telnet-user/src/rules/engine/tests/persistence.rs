use std::fs;

use super::{event, second, settings, sources};
use crate::rules::engine::{Engine, Limits, Memory, Retention};
use crate::rules::tests::rule;

fn engine(path: &std::path::Path, retention: Retention) -> Engine {
    let memory = Memory::persistent(path, retention).unwrap();
    Engine::with(
        vec![rule("")],
        second(0),
        settings(),
        memory,
        Limits::default(),
    )
}

#[test]
fn a_restart_makes_no_second_alert() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerted");
    let mut first = engine(&path, Retention::default());
    for id in 0..3 {
        first.evaluate(&event(id, 10), second(10));
        first.persist().unwrap();
    }
    drop(first);
    let mut second_run = engine(&path, Retention::default());
    for id in 0..4 {
        let found = sources(&second_run.evaluate(&event(id, 10), second(20)).alerts);
        assert_eq!(found.is_empty(), id < 3, "{id}");
    }
}

#[test]
fn what_was_not_persisted_is_alerted_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerted");
    engine(&path, Retention::default()).evaluate(&event(1, 10), second(10));
    let again = engine(&path, Retention::default()).evaluate(&event(1, 10), second(20));
    assert_eq!(sources(&again.alerts), ["1"]);
}

#[test]
fn damaged_lines_are_passed_over_and_cleaned_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerted");
    let mut first = engine(&path, Retention::default());
    first.evaluate(&event(1, 10), second(10));
    first.persist().unwrap();
    drop(first);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend(b"\xff\xfe garbage\na 12\na 00");
    fs::write(&path, bytes).unwrap();
    let mut next = engine(&path, Retention::default());
    assert!(next.evaluate(&event(1, 10), second(20)).alerts.is_empty());
    assert_eq!(next.evaluate(&event(2, 10), second(20)).alerts.len(), 1);
    next.persist().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
}

#[test]
fn a_foreign_file_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerted");
    fs::write(&path, "something else\n").unwrap();
    let mut engine = engine(&path, Retention::default());
    assert_eq!(engine.evaluate(&event(1, 10), second(10)).alerts.len(), 1);
    engine.persist().unwrap();
    let kept = fs::read_to_string(folder.path().join("alerted.damaged")).unwrap();
    assert_eq!(kept, "something else\n");
    assert!(fs::read_to_string(&path).unwrap().lines().count() == 2);
}

#[test]
fn the_memory_is_bounded_in_number_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerted");
    let retention = Retention {
        entries: 10,
        millis: 60_000,
    };
    let mut engine = engine(&path, retention);
    for id in 0..2_000 {
        let at = 10 + i64::try_from(id).unwrap() * 10;
        engine.evaluate(&event(id, at), second(at));
        engine.persist().unwrap();
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
