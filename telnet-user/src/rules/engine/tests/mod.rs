mod equality;
mod persistence;
mod scenarios;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::windows::timestamp;
use crate::alert::{Alert, Settings};

fn settings() -> Settings {
    Settings {
        agent: "telnet-monitor".to_owned(),
        space: "default".to_owned(),
        loaded_at: timestamp(0),
    }
}

/// A matching event with id `id` at `seconds` after the start.
fn event(id: usize, seconds: i64) -> Value {
    json!({
        "@timestamp": seconds * 1_000,
        "event": {"id": id.to_string()},
        "destination": {"port": 23},
        "data_stream": {"type": "logs", "dataset": "a", "namespace": "b"},
    })
}

fn second(seconds: i64) -> Timestamp {
    timestamp(seconds * 1_000)
}

/// Ids of the events that alerts are about.
fn sources(alerts: &[Alert]) -> Vec<String> {
    let id = |alert: &Alert| {
        alert.value()["kibana"]["alert"]["ancestors"][0]["id"]
            .as_str()
            .map(str::to_owned)
    };
    alerts.iter().filter_map(id).collect()
}
