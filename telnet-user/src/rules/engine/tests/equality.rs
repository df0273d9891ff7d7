//! The streaming engine makes the alerts of the scheduled runs.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{second, settings};
use crate::rules::engine::{Engine, Evaluation, Limits, Numbers, Schedule};
use crate::rules::tests::rule;

/// Alert id -> number of suppressed events it stands for.
fn merge(into: &mut BTreeMap<String, u64>, evaluation: &Evaluation) {
    for document in evaluation.alerts.iter().chain(&evaluation.updates) {
        let document = document.value();
        let alert = &document["kibana"]["alert"];
        let count = alert["suppression"]["docs_count"].as_u64().unwrap_or(0);
        let id = alert["ancestors"][0]["id"].as_str().unwrap().to_owned();
        into.insert(id, count);
    }
    for summary in &evaluation.summaries {
        let count = |name: &str| summary["telnet"]["detection"][name].as_u64().unwrap();
        let into = count("matched") + count("deferred_in");
        let out: u64 = [
            "excepted",
            "duplicates",
            "alerted",
            "suppressed",
            "deferred_out",
            "dropped",
        ]
        .into_iter()
        .map(count)
        .sum();
        assert_eq!(into, out, "{summary}");
    }
}

/// Windows in which the cap left something over.
fn capped(evaluation: &Evaluation) -> impl Iterator<Item = String> {
    let windows = evaluation.summaries.iter().filter(|summary| {
        let detection = &summary["telnet"]["detection"];
        let left = ["deferred_out", "dropped"].map(|name| detection[name].as_u64().unwrap());
        detection["scope"] == "window" && left.iter().sum::<u64>() > 0
    });
    windows.map(|summary| {
        summary["telnet"]["detection"]["run"]
            .as_str()
            .unwrap()
            .to_owned()
    })
}

/// Events as (seconds since the last, user, whether it is an earlier event again).
fn stream() -> impl Strategy<Value = Vec<(i64, u8, bool)>> {
    let gap = prop_oneof![6 => 0_i64..40, 2 => 0_i64..400, 1 => 0_i64..3_000];
    vec((gap, 0_u8..5, proptest::bool::weighted(0.05)), 0..120)
}

fn document(id: usize, seconds: i64, user: u8) -> Value {
    let mut event = json!({
        "@timestamp": seconds * 1_000,
        "event": {"id": id.to_string()},
        "destination": {"port": 23},
    });
    if user > 0 {
        event["user"] = json!({"name": format!("u{user}")});
    }
    if user == 4 {
        event["source"] = json!({"ip": "10.0.0.1"});
    }
    event
}

fn compare(extra: &str, retained: usize, stream: &[(i64, u8, bool)]) -> Result<(), TestCaseError> {
    let rules = || vec![rule(extra)];
    let mut engine = Engine::new(rules(), second(0), settings());
    let limits = Limits {
        deferred_max: retained,
        ..Limits::default()
    };
    let mut schedule = Schedule::new(rules(), second(0), settings(), limits);
    let (mut streamed, mut batched) = (BTreeMap::new(), BTreeMap::new());
    let mut windows = BTreeSet::new();
    let mut now = 0;
    let mut documents: Vec<Value> = Vec::new();
    let mut take = |evaluation: &Evaluation| {
        merge(&mut streamed, evaluation);
        windows.extend(capped(evaluation));
    };
    for (index, (gap, user, again)) in stream.iter().enumerate() {
        now += gap;
        let event = match documents.get(index / 2) {
            Some(earlier) if *again => Value::clone(earlier),
            _ => document(index, now, *user),
        };
        documents.push(event.clone());
        take(&engine.evaluate(&event, second(now)));
        let mut pushed = Evaluation::default();
        schedule.push(&event, None, &mut pushed);
        merge(&mut batched, &pushed);
    }
    take(&engine.finish(second(now)));
    let mut finished = Evaluation::default();
    schedule.finish(&mut finished);
    merge(&mut batched, &finished);
    prop_assert_eq!(streamed, batched);
    // Where an event that comes twice is counted differs: the stream has a clock
    // and keeps no ids of events that no run will alert on.
    let totals = [
        engine.totals().next().unwrap().1,
        schedule.totals().next().unwrap().1,
    ];
    prop_assert!(totals.iter().all(Numbers::balanced), "{totals:?}");
    if retained == usize::MAX {
        let runs = totals.map(|numbers| numbers.capped_runs);
        prop_assert_eq!(runs, [u64::try_from(windows.len()).unwrap(); 2]);
    }
    let [stream, batch] = totals.map(|numbers| {
        (
            numbers.matched + numbers.unsearched,
            numbers.alerted,
            numbers.suppressed,
        )
    });
    prop_assert_eq!(stream, batch);
    Ok(())
}

const SPANS: [&str; 5] = [
    "",
    "from = \"now-5m\"\n",
    "from = \"now-17m\"\n",
    "from = \"now-3m\"\n",
    "from = \"now-11m\"\nto = \"now-2m\"\n",
];

const SUPPRESSIONS: [&str; 4] = [
    "",
    "alert_suppression = { group_by = [\"user.name\"], missing_fields_strategy = \"doNotSuppress\" }\n",
    "alert_suppression = { group_by = [\"user.name\"], missing_fields_strategy = \"suppress\", duration = { value = 12, unit = \"m\" } }\n",
    "alert_suppression = { group_by = [\"user.name\"], missing_fields_strategy = \"suppress\", duration = { value = 1, unit = \"s\" } }\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn streaming_equals_the_schedule(
        cap in prop::sample::select(vec![1, 3, 10]),
        span in 0_usize..5,
        suppression in 0_usize..4,
        excepted in any::<bool>(),
        stream in stream(),
    ) {
        let exception = if excepted {
            "exceptions_list = [{ entries = [{ field = \"source.ip\", operator = \"included\", type = \"exists\" }] }]\n"
        } else {
            ""
        };
        let from = if span == 0 { "" } else { SPANS[span] };
        let extra = format!("max_signals = {cap}\n{from}{}{exception}", SUPPRESSIONS[suppression]);
        compare(&extra, usize::MAX, &stream)?;
    }

    /// A schedule that may hold little gives the same alerts when events come in
    /// the order of time.
    #[test]
    fn little_room_is_enough_for_ordered_input(
        cap in prop::sample::select(vec![1, 3, 10]),
        span in prop::sample::select(SPANS.to_vec()),
        stream in stream(),
    ) {
        let ordered: Vec<_> = stream.into_iter().map(|(gap, user, _)| (gap, user, false)).collect();
        compare(&format!("max_signals = {cap}\n{span}"), 50, &ordered)?;
    }
}
