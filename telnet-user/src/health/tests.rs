use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{CanaryReport, Latency, PipelineReport, ProbeReport, Report, RuleReport};
use crate::{
    flood,
    probe::{Ledger, record::Hook},
    response,
    rules::Numbers,
    session::tracker::Counters,
    sink::{SinkReport, spool},
};

const OBSERVATIONS: flood::Counters = flood::Counters {
    observed: 9,
    recalled: 1,
    told: 4,
    unsaid: 1,
    shed_source: 3,
    shed_shared: 2,
};

fn report() -> Report {
    let mut latency = Latency::default();
    for millis in [1, 3, 3, 150, 60_000] {
        latency.note(Duration::from_millis(millis));
    }
    Report {
        uptime: Duration::from_secs(90),
        reloads: 2,
        refused_reloads: 1,
        sandbox: None,
        probe: ProbeReport {
            ledger: Ledger {
                seen: 10,
                filtered: 4,
                submitted: 5,
                dropped_ring_full: 1,
                received: 5,
                ..Ledger::default()
            },
            acceptor: Some(Hook::SyscallExit),
            degraded: vec!["no process hooks".to_owned()],
            canary: CanaryReport {
                status: "alive",
                took: Some(Duration::from_millis(12)),
                reason: None,
            },
            ports: "port 23".to_owned(),
        },
        pipeline: PipelineReport {
            open_sessions: 3,
            open_listeners: 1,
            counters: Counters::default(),
            response: response::Counters::default(),
            observations: OBSERVATIONS,
            floods: 1,
            rules: vec![RuleReport {
                id: "r1".to_owned(),
                name: "A \"rule\"".to_owned(),
                numbers: Numbers {
                    matched: 7,
                    alerted: 6,
                    ..Numbers::default()
                },
            }],
        },
        latency,
        sinks: vec![sink()],
    }
}

fn sink() -> SinkReport {
    SinkReport {
        name: "es".to_owned(),
        kind: "elasticsearch",
        accepted: 9,
        delivered: 4,
        rejected: 1,
        lost: 0,
        errors: 3,
        is_down: true,
        last_error: Some("refused".to_owned()),
        spool: Some(spool::Numbers {
            pending: 2,
            bytes: 100,
            lost_events: 2,
            ..spool::Numbers::default()
        }),
    }
}

#[test]
fn the_heartbeat_tells_everything() {
    let envelope: Map<String, Value> =
        serde_json::from_value(json!({"host": {"name": "h"}})).expect("map");
    let now = "2026-03-05T12:00:00.5Z".parse().expect("time");
    let document = report().document(envelope, now);
    let at = |pointer: &str| document.pointer(pointer).cloned().unwrap_or(Value::Null);
    assert_eq!(at("/@timestamp"), json!("2026-03-05T12:00:00.500Z"));
    assert_eq!(at("/event/kind"), json!("metric"));
    assert_eq!(at("/host/name"), json!("h"));
    assert_eq!(
        at("/message"),
        json!("monitoring port 23: 3 sessions open, 6 alerts, 3 lost, not delivering to es")
    );
    let health = at("/telnet/health");
    assert_eq!(health["status"], json!("degraded"));
    assert_eq!(health["lost"], json!(3));
    assert_eq!(health["probe"]["acceptor"], json!("syscall_exit"));
    assert_eq!(health["probe"]["ledger"]["seen"], json!(10));
    assert_eq!(health["canary"], json!({"status": "alive", "took_ms": 12}));
    assert_eq!(
        health["observations"],
        json!({
            "observed": 9, "recalled": 1, "told": 4, "unsaid": 1,
            "shed": {"source": 3, "shared": 2}, "floods": 1,
        })
    );
    assert_eq!(health["rules"][0]["alerted"], json!(6));
    assert_eq!(health["sinks"][0]["spool"]["lost"]["events"], json!(2));
    assert_eq!(health["sinks"][0]["last_error"], json!("refused"));
    assert_eq!(
        health["alert_latency_ms"],
        json!({"count": 5, "p50_below": 5}),
        "the slowest is beyond every bound"
    );
    assert!(!document.to_string().contains("null"));
}

/// The numbers in `value` with their places.
fn numbers(place: &str, value: &Value, out: &mut Vec<(String, u64)>) {
    match value {
        Value::Number(number) => out.push((place.to_owned(), number.as_u64().expect(place))),
        Value::Object(members) => {
            for (name, value) in members {
                numbers(&format!("{place}.{name}"), value, out);
            }
        }
        Value::Array(items) => {
            for item in items {
                numbers(place, item, out);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[test]
fn metrics_have_every_number_of_the_heartbeat() {
    let mut next = 100;
    let report = distinct(&mut || {
        next += 1;
        next
    });
    let document = report.document(Map::new(), jiff::Timestamp::UNIX_EPOCH);
    let mut found = Vec::new();
    numbers("", &document["telnet"]["health"], &mut found);
    // A histogram tells these two.
    found.retain(|(place, _)| !place.ends_with("_below"));
    assert!(found.len() > 40, "{found:?}");
    let text = report.metrics();
    let values: Vec<_> = text
        .lines()
        .filter_map(|line| line.rsplit_once(' '))
        .collect();
    for (place, number) in found {
        let number = number.to_string();
        let is_told = values.iter().any(|(_, value)| *value == number);
        assert!(is_told, "{place} {number}\n{text}");
    }
    assert!(text.contains("telnet_monitor_spool_degraded{sink=\"es\",type=\"elasticsearch\"} 1\n"));
    assert!(
        text.contains("telnet_monitor_sandbox_enforced 0\n"),
        "{text}"
    );
}

/// A report in which no two numbers are the same.
fn distinct(next: &mut impl FnMut() -> u64) -> Report {
    Report {
        uptime: Duration::from_secs(next()),
        reloads: next(),
        refused_reloads: next(),
        probe: ProbeReport {
            ledger: Ledger {
                seen: next(),
                filtered: next(),
                submitted: next(),
                dropped_ring_full: next(),
                seen_calls: next(),
                missed: next(),
                received: next(),
                undecodable: next(),
                lost: next(),
                unfollowed: next(),
            },
            canary: CanaryReport {
                took: Some(Duration::from_millis(next())),
                ..report().probe.canary
            },
            ..report().probe
        },
        pipeline: distinct_pipeline(next),
        sinks: vec![distinct_sink(next)],
        ..report()
    }
}

fn distinct_pipeline(next: &mut impl FnMut() -> u64) -> PipelineReport {
    let mut size = || usize::try_from(next()).expect("small");
    let (open_sessions, open_listeners, floods) = (size(), size(), size());
    PipelineReport {
        open_sessions,
        open_listeners,
        counters: Counters {
            evicted_sessions: next(),
            evicted_listeners: next(),
            evicted_processes: next(),
            refused_sessions: next(),
            refused_listeners: next(),
            unseen_starts: next(),
            unmatched_accepts: next(),
            unseen_ends: next(),
            unknown_closes: next(),
            unmatched_protocols: next(),
            put_off_looks: next(),
        },
        response: response::Counters {
            closed: next(),
            gone: next(),
            failed: next(),
            dry_run: next(),
            refused: next(),
        },
        observations: flood::Counters {
            observed: next(),
            recalled: next(),
            told: next(),
            unsaid: next(),
            shed_source: next(),
            shed_shared: next(),
        },
        floods,
        rules: vec![RuleReport {
            numbers: Numbers {
                matched: next(),
                alerted: next(),
                suppressed: next(),
                excepted: next(),
                dropped: next(),
                ..Numbers::default()
            },
            ..report().pipeline.rules.remove(0)
        }],
    }
}

fn distinct_sink(next: &mut impl FnMut() -> u64) -> SinkReport {
    SinkReport {
        accepted: next(),
        delivered: next(),
        rejected: next(),
        lost: next(),
        errors: next(),
        spool: Some(spool::Numbers {
            pending: next(),
            bytes: next(),
            lost_alerts: next(),
            lost_events: next(),
            lost_health: next(),
            damaged_bytes: next(),
            degraded: true,
        }),
        ..sink()
    }
}

#[test]
fn a_quiet_host_is_ok() {
    let quiet = Report {
        probe: ProbeReport {
            ledger: Ledger::default(),
            degraded: Vec::new(),
            ..report().probe
        },
        sinks: Vec::new(),
        latency: Latency::default(),
        ..report()
    };
    let document = quiet.document(Map::new(), jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(document["telnet"]["health"]["status"], json!("ok"));
    assert!(
        document["telnet"]["health"]
            .get("alert_latency_ms")
            .is_none()
    );
}

#[test]
fn metrics_are_openmetrics() {
    let text = report().metrics();
    for line in [
        "telnet_monitor_kernel_events_total{state=\"seen\"} 10",
        "telnet_monitor_rule_matches_total{rule=\"A \\\"rule\\\"\",rule_id=\"r1\",outcome=\"alerted\"} 6",
        "telnet_monitor_observations_total{state=\"shed_source\"} 3",
        "telnet_monitor_floods 1",
        "telnet_monitor_sink_up{sink=\"es\",type=\"elasticsearch\"} 0",
        "telnet_monitor_spool_lost_total{sink=\"es\",type=\"elasticsearch\",stream=\"events\"} 2",
        "telnet_monitor_open_sessions 3",
        "telnet_monitor_alert_latency_seconds_count 5",
        "telnet_monitor_alert_latency_seconds_bucket{le=\"0.001\"} 1",
        "telnet_monitor_alert_latency_seconds_bucket{le=\"0.005\"} 3",
        "telnet_monitor_alert_latency_seconds_bucket{le=\"+Inf\"} 5",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
}
