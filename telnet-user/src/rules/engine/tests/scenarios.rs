use serde_json::{Value, json};

use super::{event, second, settings, sources};
use crate::rules::engine::{Engine, Evaluation, Limits, Memory, Retention, Schedule};
use crate::rules::tests::rule;

fn engine(extra: &str) -> Engine {
    Engine::new(vec![rule(extra)], second(0), settings())
}

fn feed(engine: &mut Engine, ids: std::ops::Range<usize>, seconds: i64) -> Vec<Evaluation> {
    ids.map(|id| engine.evaluate(&event(id, seconds), second(seconds)))
        .collect()
}

fn alerts(evaluations: &[Evaluation]) -> Vec<String> {
    evaluations
        .iter()
        .flat_map(|evaluation| sources(&evaluation.alerts))
        .collect()
}

fn detection(summary: &Value) -> [u64; 7] {
    [
        "matched",
        "duplicates",
        "alerted",
        "deferred_in",
        "deferred_out",
        "dropped",
        "max_signals",
    ]
    .map(|name| summary["telnet"]["detection"][name].as_u64().unwrap())
}

#[test]
fn an_alert_comes_at_once_and_only_once() {
    let mut engine = engine("");
    let first = engine.evaluate(&event(1, 10), second(10));
    assert_eq!(sources(&first.alerts), ["1"]);
    let again = engine.evaluate(&event(1, 10), second(20));
    assert_eq!(again, Evaluation::default());
    let other = json!({"@timestamp": 30_000, "destination": {"port": 22}});
    assert_eq!(engine.evaluate(&other, second(30)), Evaluation::default());
    let totals = engine.totals().next().unwrap().1;
    assert_eq!(
        (totals.matched, totals.duplicates, totals.alerted),
        (2, 1, 1)
    );
    assert!(totals.balanced());
}

/// What cuts is named, not what the rule would have had.
#[test]
fn a_summary_names_the_cap_that_held() {
    let (extra, limits) = (
        "max_signals = 900\n",
        Limits {
            alerts_max: 2,
            ..Limits::default()
        },
    );
    let memory = Memory::volatile(Retention::default());
    let mut engine = Engine::with(vec![rule(extra)], second(0), settings(), memory, limits);
    let mut schedule = Schedule::new(vec![rule(extra)], second(0), settings(), limits);
    let mut batched = Evaluation::default();
    for id in 0..3 {
        engine.evaluate(&event(id, 10), second(10));
        schedule.push(&event(id, 10), None, &mut batched);
    }
    schedule.finish(&mut batched);
    let streamed = engine.finish(second(10));
    for summary in streamed.summaries.iter().chain(&batched.summaries) {
        assert_eq!(summary["telnet"]["detection"]["max_signals"], 2);
        let message = summary["message"].as_str().unwrap();
        assert!(
            message.ends_with("by the cap of 2 alerts a run"),
            "{message}"
        );
    }
    assert!(!streamed.summaries.is_empty() && !batched.summaries.is_empty());
}

#[test]
fn the_cap_defers_what_the_next_look_back_reaches() {
    let mut engine = engine("max_signals = 2\n");
    // 0:30 is out of the look-back of the run at 10:00, which begins at 1:00.
    assert_eq!(alerts(&feed(&mut engine, 0..3, 30)), ["0", "1"]);
    assert!(alerts(&feed(&mut engine, 3..6, 120)).is_empty());
    let boundary = engine.tick(second(301));
    assert_eq!(sources(&boundary.alerts), ["3", "4"]);
    // matched, duplicates, alerted, in, out, dropped, cap
    assert_eq!(detection(&boundary.summaries[0]), [6, 0, 2, 0, 3, 1, 2]);
    let next = engine.tick(second(601));
    assert!(next.alerts.is_empty());
    assert_eq!(detection(&next.summaries[0]), [0, 0, 2, 3, 0, 1, 2]);
    let end = engine.finish(second(700));
    assert_eq!(
        detection(end.summaries.last().unwrap()),
        [6, 0, 4, 0, 0, 2, 2]
    );
}

#[test]
fn a_deferred_event_is_known_when_it_comes_again() {
    let mut engine = engine("max_signals = 1\n");
    feed(&mut engine, 0..2, 200);
    feed(&mut engine, 1..2, 210);
    assert_eq!(sources(&engine.finish(second(220)).alerts), ["1"]);
    assert_eq!(engine.totals().next().unwrap().1.duplicates, 1);
}

#[test]
fn finish_lets_the_coming_runs_alert() {
    let mut engine = engine("max_signals = 1\nfrom = \"now-30m\"\n");
    feed(&mut engine, 0..4, 100);
    let end = engine.finish(second(120));
    assert_eq!(sources(&end.alerts), ["1", "2", "3"]);
    assert!(
        end.alerts
            .iter()
            .all(|alert| alert.value()["@timestamp"] == json!("1970-01-01T00:02:00.000Z"))
    );
}

#[test]
fn events_outside_every_span_are_counted() {
    let mut engine = engine("");
    engine.tick(second(3_000));
    engine.evaluate(&event(1, 100), second(3_000));
    engine.evaluate(&json!({"destination": {"port": 23}}), second(3_000));
    let totals = engine.totals().next().unwrap().1;
    assert_eq!((totals.matched, totals.unsearched), (0, 2));
}

#[test]
fn a_future_time_does_not_move_the_clock() {
    let mut engine = engine("");
    assert_eq!(
        sources(&engine.evaluate(&event(1, 9_999_999), second(10)).alerts),
        ["1"]
    );
    assert_eq!(
        sources(&engine.evaluate(&event(2, 10), second(10)).alerts),
        ["2"]
    );
}

#[test]
fn a_clock_that_is_set_back_blinds_no_rule() {
    let mut engine = engine("max_signals = 1\n");
    assert_eq!(alerts(&feed(&mut engine, 0..2, 9_000)), ["0"]);
    // Further back than the rule looks; what waited for the next run does not wait for it again.
    let back = engine.set_back(second(6_000));
    assert_eq!(sources(&back.alerts), ["1"]);
    assert_eq!(alerts(&feed(&mut engine, 2..4, 6_100)), ["2"]);
    assert!(engine.next_tick().unwrap() <= second(6_301));
    assert_eq!(sources(&engine.tick(second(6_310)).alerts), ["3"]);
    // Within a window nothing changes, and forth is not back.
    for time in [6_305, 6_320] {
        assert_eq!(engine.set_back(second(time)).alerts, []);
    }
    let (_, numbers) = engine.totals().next().unwrap();
    assert_eq!((numbers.alerted, numbers.unsearched), (4, 0));
    assert!(numbers.balanced());
}

#[test]
fn a_rule_never_alerts_on_its_own_alerts() {
    let mut engine = engine("");
    let alert = engine.evaluate(&event(1, 10), second(10)).alerts.remove(0);
    assert_eq!(
        engine.evaluate(&alert.value(), second(11)),
        Evaluation::default()
    );
}

#[test]
fn a_reload_keeps_what_is_unchanged() {
    let mut engine = engine("max_signals = 1\n");
    feed(&mut engine, 0..2, 200);
    let same = engine.replace(vec![rule("max_signals = 1\n")], second(210));
    assert_eq!(same, Evaluation::default());
    assert_eq!(sources(&engine.tick(second(301)).alerts), ["1"]);
    feed(&mut engine, 2..3, 400);
    // The changed rule is another one: what waited for the old one comes at once.
    let changed = engine.replace(vec![rule("max_signals = 2\n")], second(410));
    assert_eq!(sources(&changed.alerts), ["2"]);
    assert_eq!(alerts(&feed(&mut engine, 2..4, 420)), ["3"]);
    assert_eq!(engine.replace(Vec::new(), second(430)).summaries.len(), 1);
    assert_eq!(engine.rules().count(), 0);
}

#[test]
fn a_full_queue_says_so() {
    let limits = Limits {
        deferred_max: 3,
        ..Limits::default()
    };
    let memory = Memory::volatile(Retention::default());
    let rules = vec![rule("max_signals = 4\n")];
    let mut engine = Engine::with(rules, second(0), settings(), memory, limits);
    feed(&mut engine, 0..9, 200);
    let numbers = engine.totals().next().unwrap().1;
    assert_eq!(
        (numbers.alerted, numbers.deferred_out, numbers.dropped),
        (4, 3, 2)
    );
    assert_eq!(numbers.overflowed, 2);
    assert!(numbers.balanced());
}

#[test]
fn a_flood_holds_only_what_can_still_alert() {
    let mut engine = engine("max_signals = 3\n");
    feed(&mut engine, 0..20_000, 200);
    let boundary = engine.tick(second(301));
    assert_eq!(sources(&boundary.alerts), ["3", "4", "5"]);
    assert_eq!(
        detection(&boundary.summaries[0]),
        [20_000, 0, 3, 0, 19_997, 0, 3]
    );
    let next = engine.tick(second(601));
    assert_eq!(
        detection(&next.summaries[0]),
        [0, 0, 3, 19_997, 0, 19_994, 3]
    );
}

#[test]
fn exceptions_come_after_the_query_and_before_the_cap() {
    let mut engine = engine(
        r#"max_signals = 1
        [[rule.exceptions_list]]
        [[rule.exceptions_list.items]]
        name = "known"
        expire_time = "1970-01-01T00:01:00Z"
        entries = [{ field = "source.ip", operator = "included", type = "match", value = "10.0.0.0/8" }]
        "#,
    );
    let from = |id: usize, seconds, ip: &str| {
        let mut event = event(id, seconds);
        event["source"] = json!({"ip": ip});
        event
    };
    assert!(
        engine
            .evaluate(&from(1, 10, "10.1.2.3"), second(10))
            .alerts
            .is_empty()
    );
    assert_eq!(
        sources(
            &engine
                .evaluate(&from(2, 20, "192.0.2.1"), second(20))
                .alerts
        ),
        ["2"]
    );
    let totals = engine.totals().next().unwrap().1;
    assert_eq!((totals.excepted, totals.alerted), (1, 1));
    // The exception has expired; its event is over the cap now.
    engine.evaluate(&from(3, 100, "10.1.2.3"), second(100));
    assert_eq!(engine.totals().next().unwrap().1.deferred_out, 1);
}

#[test]
fn suppression_without_duration_is_one_alert_a_window() {
    let mut engine = engine(
        "alert_suppression = { group_by = [\"user.name\"], missing_fields_strategy = \"doNotSuppress\" }\n",
    );
    let by = |id: usize, seconds, name: &str| {
        let mut event = event(id, seconds);
        event["user"] = json!({"name": name});
        event
    };
    assert_eq!(
        sources(&engine.evaluate(&by(1, 10, "a"), second(10)).alerts),
        ["1"]
    );
    assert!(
        engine
            .evaluate(&by(2, 100, "a"), second(100))
            .alerts
            .is_empty()
    );
    assert_eq!(
        sources(&engine.evaluate(&by(3, 130, "b"), second(130)).alerts),
        ["3"]
    );
    assert_eq!(
        sources(&engine.evaluate(&event(4, 140), second(140)).alerts),
        ["4"]
    );
    assert_eq!(
        sources(&engine.evaluate(&event(5, 150), second(150)).alerts),
        ["5"]
    );
    let boundary = engine.evaluate(&by(6, 310, "a"), second(310));
    assert_eq!(sources(&boundary.alerts), ["6"]);
    assert_eq!(boundary.updates.len(), 1);
    let update = boundary.updates[0].value();
    let suppression = &update["kibana"]["alert"]["suppression"];
    assert_eq!(suppression["docs_count"], json!(1));
    assert_eq!(
        suppression["terms"],
        json!([{"field": "user.name", "value": "a"}])
    );
    assert_eq!(suppression["end"], json!("1970-01-01T00:01:40.000Z"));
    assert!(
        engine
            .evaluate(&by(2, 100, "a"), second(320))
            .alerts
            .is_empty()
    );
    let totals = engine.totals().next().unwrap().1;
    assert_eq!(
        (totals.alerted, totals.suppressed, totals.duplicates),
        (5, 1, 1)
    );
}

#[test]
fn suppression_with_duration_spans_windows() {
    let mut engine = engine(
        "alert_suppression = { group_by = [\"user.name\"], duration = { value = 10, unit = \"m\" }, missing_fields_strategy = \"suppress\" }\n",
    );
    // Runs at 5, 10, 15 and 20 minutes; the last is more than 10 after the first.
    let evaluations: Vec<Evaluation> = [(1, 100), (2, 400), (3, 700), (4, 1_000)]
        .into_iter()
        .map(|(id, seconds)| engine.evaluate(&event(id, seconds), second(seconds)))
        .collect();
    assert_eq!(alerts(&evaluations), ["1", "4"]);
    let counts: Vec<Value> = evaluations
        .iter()
        .flat_map(|evaluation| &evaluation.updates)
        .map(|update| update.value()["kibana"]["alert"]["suppression"]["docs_count"].clone())
        .collect();
    assert_eq!(counts, [json!(1), json!(2)]);
    let null = json!([{"field": "user.name", "value": null}]);
    assert_eq!(
        evaluations[0].alerts[0].value()["kibana"]["alert"]["suppression"]["terms"],
        null
    );
}
