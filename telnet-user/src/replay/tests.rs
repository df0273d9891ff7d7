use serde_json::json;

use super::*;
use crate::{
    input::Parser,
    rules::{Evaluation, Numbers, tests::rule},
};

const MODES: [Mode; 2] = [Mode::Schedule, Mode::Stream];

fn event(id: u64, second: i64) -> String {
    json!({
        "@timestamp": Timestamp::from_second(second).unwrap().to_string(),
        "event.id": id.to_string(),
        "destination": {"port": 23},
    })
    .to_string()
}

/// Replays the lines; the ids of the events alerted on, in order, and the numbers.
fn replay(extra: &str, mode: Mode, lines: &[String]) -> (Vec<String>, Numbers) {
    let mut replay = Replay::new(vec![rule(extra)], mode, "test", Timestamp::UNIX_EPOCH);
    let mut parser = Parser::default();
    let mut out = Evaluation::default();
    for line in lines {
        if let Some(event) = parser.parse(line.as_bytes()).unwrap() {
            replay.push(&event, &mut out);
        }
    }
    replay.finish(&mut out);
    assert!(out.updates.is_empty());
    let ids = out.alerts.iter().map(|alert| {
        let alert = alert.value();
        let ancestor = &alert["kibana"]["alert"]["ancestors"][0];
        ancestor["id"].as_str().unwrap().to_owned()
    });
    (ids.collect(), replay.report().rules[0].1)
}

#[test]
fn both_modes_find_the_same() {
    let lines: Vec<String> = (0..20)
        .map(|n| event(n, 1_000 + 30 * i64::try_from(n).unwrap()))
        .collect();
    let [schedule, stream] = MODES.map(|mode| replay("max_signals = 3\n", mode, &lines));
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    assert_eq!(sorted(schedule.0), sorted(stream.0));
    for numbers in [schedule.1, stream.1] {
        assert!(numbers.balanced() && numbers.dropped > 0, "{numbers:?}");
        assert_eq!((numbers.matched, numbers.deferred_out), (20, 0));
    }
}

#[test]
fn the_schedule_takes_any_order() {
    let mut lines: Vec<String> = (0..50)
        .map(|n| event(n, 10_000 - 60 * i64::try_from(n).unwrap()))
        .collect();
    let backwards = replay("", Mode::Schedule, &lines);
    lines.reverse();
    assert_eq!(backwards, replay("", Mode::Schedule, &lines));
    assert_eq!(backwards.1.alerted, 50);
}

/// The runs that the last of these would wait for are after the end of all time.
#[test]
fn a_stream_ends_at_the_end_of_time() {
    let end = Timestamp::MAX.as_second() - 1;
    let lines: Vec<String> = (0..201).map(|n| event(n, end)).collect();
    let (ids, numbers) = replay("", Mode::Stream, &lines);
    assert_eq!((ids.len(), numbers.matched), (200, 201));
    assert_eq!((numbers.deferred_out, numbers.dropped), (0, 1));
}

#[test]
fn a_stream_counts_what_comes_too_late() {
    let lines = [event(1, 100_000), event(2, 10), event(3, 99_990)];
    let (ids, numbers) = replay("", Mode::Stream, &lines);
    assert_eq!(ids, ["1", "3"]);
    assert_eq!((numbers.matched, numbers.unsearched), (2, 1));
}

#[test]
fn a_flood_needs_no_room_for_what_cannot_alert() {
    let lines: Vec<String> = (0..6_000).map(|n| event(n, 1_000)).collect();
    let (ids, numbers) = replay("", Mode::Schedule, &lines);
    assert_eq!((ids.len(), numbers.matched), (200, 6_000));
    assert_eq!((numbers.dropped, numbers.overflowed), (5_800, 0));
    assert!(numbers.balanced(), "{numbers:?}");
}

#[test]
fn more_matches_than_there_is_room_for_are_counted() {
    let lines: Vec<String> = (0..4_000).map(|n| event(n, 1_000)).collect();
    let extra = "max_signals = 1000\nfrom = \"now-30m\"\n";
    let (ids, numbers) = replay(extra, Mode::Schedule, &lines);
    assert!(
        (SCHEDULE.deferred_max..3_000).contains(&ids.len()),
        "{}",
        ids.len()
    );
    assert_eq!(numbers.matched, 4_000);
    assert_eq!(numbers.dropped, numbers.overflowed);
    assert!(numbers.balanced(), "{numbers:?}");
}

/// 60 events of a quarter of a megabyte each, all of one moment or in two runs.
fn large(seconds: [i64; 2]) -> Vec<String> {
    let pad = "x".repeat(250_000);
    let line = |n: usize| {
        json!({
            "@timestamp": Timestamp::from_second(seconds[n / 30]).unwrap().to_string(),
            "event.id": n.to_string(),
            "destination": {"port": 23},
            "message": pad,
        })
        .to_string()
    };
    (0..60).map(line).collect()
}

#[test]
fn large_events_are_bounded_by_their_size() {
    let (ids, numbers) = replay("", Mode::Schedule, &large([1_000; 2]));
    assert!((30..=42).contains(&ids.len()), "{}", ids.len());
    assert_eq!(
        (numbers.matched, numbers.alerted + numbers.overflowed),
        (60, 60)
    );
    // What is newer than a run lets it take place.
    let (ids, numbers) = replay("", Mode::Schedule, &large([1_000, 2_000]));
    assert!(ids.len() > 42 && numbers.balanced(), "{numbers:?}");
    // A stream keeps none that alerts at once, and as few of those that wait.
    let (ids, numbers) = replay(
        "max_signals = 2\nfrom = \"now-3h\"\n",
        Mode::Stream,
        &large([1_000; 2]),
    );
    assert!((30..=36).contains(&ids.len()), "{}", ids.len());
    assert_eq!(
        (numbers.matched, numbers.alerted + numbers.overflowed),
        (60, 60)
    );
}

#[test]
fn open_alerts_give_way_by_their_size() {
    let extra = "alert_suppression = { group_by = [\"event.id\"], duration = { value = 5, unit = \"h\" }, missing_fields_strategy = \"suppress\" }\n";
    let lines = large([1_000; 2]);
    let (ids, numbers) = replay(extra, Mode::Stream, &lines);
    assert_eq!((ids.len(), numbers.alerted), (60, 60));
    assert!((24..=30).contains(&numbers.evicted), "{numbers:?}");
}

#[test]
fn rules_share_the_room() {
    let rules = ["a", "b", "c"].map(|name| {
        let mut rule = rule("");
        name.clone_into(&mut rule.name);
        name.clone_into(&mut rule.uuid);
        rule
    });
    let mut replay = Replay::new(rules.into(), Mode::Schedule, "test", Timestamp::UNIX_EPOCH);
    let (mut parser, mut out) = (Parser::default(), Evaluation::default());
    for line in large([1_000; 2]) {
        let event = parser.parse(line.as_bytes()).unwrap().unwrap();
        replay.push(&event, &mut out);
    }
    replay.finish(&mut out);
    let counts = replay.report().rules;
    assert!(
        counts
            .iter()
            .all(|(_, numbers)| numbers.alerted > 0 && numbers.overflowed > 0)
    );
    assert!(
        (30..=42).contains(&out.alerts.len()),
        "{}",
        out.alerts.len()
    );
}

#[test]
fn the_place_of_an_event_names_its_alert() {
    let wrapped = |head: &str| format!("{{{head},\"_source\":{}}}", event(1, 1_000));
    let lines = [
        wrapped(r#""_index":"a","_id":"7""#),
        wrapped(r#""_index":"a","_id":"7","_version":1"#),
        wrapped(r#""_index":"a","_id":"7","_version":2"#),
        wrapped(r#""_index":"b","_id":"7""#),
        wrapped(r#""_index":"b""#),
        event(1, 1_000),
        r#"{"create":{"_index":"b"}}"#.to_owned(),
        event(1, 1_000),
    ];
    for mode in MODES {
        let (ids, numbers) = replay("", mode, &lines);
        assert_eq!(ids, ["7", "7", "7", "1", "1"]);
        assert_eq!((numbers.matched, numbers.duplicates), (7, 2));
    }
}

#[test]
fn an_alert_that_took_in_events_comes_once_a_run() {
    let extra = "alert_suppression = { group_by = [\"destination.port\"], missing_fields_strategy = \"suppress\" }\n";
    let lines: Vec<String> = (0..5).map(|n| event(n, 1_000)).collect();
    let (ids, numbers) = replay(extra, Mode::Schedule, &lines);
    assert_eq!(ids, ["0"]);
    assert_eq!((numbers.alerted, numbers.suppressed), (1, 4));
}

#[test]
fn events_without_a_time_are_counted() {
    for mode in MODES {
        let (ids, numbers) = replay("", mode, &[r#"{"destination.port":23}"#.to_owned()]);
        assert_eq!((ids.len(), numbers.matched, numbers.unsearched), (0, 0, 1));
    }
}

#[test]
fn the_report_names_every_rule() {
    let rule = rule("");
    let numbers = Numbers {
        matched: 7,
        dropped: 2,
        overflowed: 1,
        evicted: 3,
        ..Numbers::default()
    };
    let report = |disordered| {
        let rules = vec![(&rule, numbers)];
        Report { rules, disordered }.to_string()
    };
    let text = report(0);
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!(rows.len(), 4, "{text}");
    assert!(
        rows[2].contains(": 1 of the capped ones had no room"),
        "{text}"
    );
    assert!(
        rows[3].contains(": 3 alerts took in no more events"),
        "{text}"
    );
    assert!(rows[1].ends_with(&rule.name), "{text}");
    let text = report(3);
    assert!(text.contains("\n3 events are older"), "{text}");
}
