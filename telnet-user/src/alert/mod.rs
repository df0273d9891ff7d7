//! Alert documents: an event and a rule become what Kibana would have stored.

mod id;
mod reason;
mod rule_fields;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

pub use self::id::AlertId;
pub(crate) use self::id::sha256_hex;
use crate::rules::{Rule, conform, field};

/// Namespaces of an event that belong to the detection engine, never copied.
const ENGINE_FIELDS: [&str; 3] = ["kibana", "signal", "threshold_result"];

/// What all alerts of an agent have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name of the agent, for `created_by`.
    pub agent: String,
    /// Kibana space the rules count as belonging to.
    pub space: String,
    /// When the rules were loaded.
    pub loaded_at: Timestamp,
}

/// Where an event is stored, as far as known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Index or data stream; empty when unknown.
    pub index: String,
    /// Id of the document.
    pub id: String,
    /// Version of the document, 1 for events.
    pub version: u64,
}

impl Origin {
    /// Where the agent stores `event`: the data stream its fields name, under
    /// `event.id`. An event without an id is named by the hash of its content.
    pub fn of(event: &Value) -> Self {
        let part = |name: &str| field::text(event, &format!("data_stream.{name}"));
        let index = match (part("type"), part("dataset"), part("namespace")) {
            (Some(kind), Some(dataset), Some(namespace)) => {
                format!("{kind}-{dataset}-{namespace}").to_lowercase()
            }
            _ => String::new(),
        };
        let id = field::text(event, "event.id").unwrap_or_else(|| sha256_hex(&event.to_string()));
        Self {
            index,
            id,
            version: 1,
        }
    }
}

/// Which events an alert stands for besides its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Suppressed {
    /// Field names and the values the events agree on; null for a missing one.
    pub terms: Vec<(String, Value)>,
    /// `kibana.alert.instance.id`: the same for equal terms of a rule.
    pub instance: String,
    /// Time of the first event.
    pub start: Timestamp,
    /// Time of the last event.
    pub end: Timestamp,
    /// Number of events besides the first.
    pub docs_count: u64,
}

/// What an alert needs besides event and rule.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// When the alert is made.
    pub now: Timestamp,
    /// Id of the alert.
    pub id: AlertId,
    /// Where the event is stored.
    pub origin: &'a Origin,
    /// UUID of the run, one for each window of a rule.
    pub execution: &'a str,
    /// Common to all alerts.
    pub settings: &'a Settings,
    /// Alert suppression, when the rule asks for it.
    pub suppressed: Option<&'a Suppressed>,
}

/// Builds the alert that `rule` makes on `event`.
///
/// The event is copied without values that contradict ECS, its `event.*` and `data_stream.*` also to
/// `kibana.alert.original_event.*` and `.original_data_stream.*`;
/// `event.kind` becomes `signal`. `rule.*` and `threat.*` are added when the
/// event has none of its own.
pub fn build(event: &Value, rule: &Rule, context: &Context<'_>) -> Value {
    let name = rule.name_for(event);
    let mut out = Map::new();
    out.insert("@timestamp".to_owned(), json!(time(context.now)));
    for (key, value) in event.as_object().into_iter().flatten() {
        let namespace = key.split('.').next().unwrap_or_default();
        if key != "@timestamp" && !ENGINE_FIELDS.contains(&namespace) {
            out.insert(key.clone(), value.clone());
        }
    }
    conform::strip(&mut out);
    set_kind(&mut out);
    let free = |out: &Map<String, Value>, namespace: &str| {
        !out.keys()
            .any(|key| key.split('.').next() == Some(namespace))
    };
    if free(&out, "rule") {
        out.insert("rule".to_owned(), rule_fields::ecs_rule(rule, &name));
    }
    let threat = rule_fields::ecs_threat(rule);
    if free(&out, "threat") && !threat.is_null() {
        out.insert("threat".to_owned(), threat);
    }
    let alert = Value::Object(alert_fields(event, rule, &name, context));
    let spaces = json!([context.settings.space]);
    out.insert(
        "kibana".to_owned(),
        json!({"alert": alert, "space_ids": spaces}),
    );
    Value::Object(out)
}

/// Says in `alert` that the last event joined it at `now`.
pub fn detected(alert: &mut Value, now: Timestamp) {
    let fields = alert
        .pointer_mut("/kibana/alert")
        .and_then(Value::as_object_mut);
    if let Some(fields) = fields {
        fields.insert("last_detected".to_owned(), json!(time(now)));
    }
}

/// `kibana.alert.*`.
fn alert_fields(
    event: &Value,
    rule: &Rule,
    name: &str,
    context: &Context<'_>,
) -> Map<String, Value> {
    let now = time(context.now);
    let severity = rule.severity_for(event).as_str();
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| {
        if !value.is_null() {
            out.insert(key.to_owned(), value);
        }
    };
    put("uuid", json!(context.id.to_string()));
    put("start", json!(now));
    put("last_detected", json!(now));
    put(
        "original_time",
        field::first(event, "@timestamp")
            .cloned()
            .unwrap_or_default(),
    );
    put("intended_timestamp", json!(now));
    put("status", json!("active"));
    put("workflow_status", json!("open"));
    put("workflow_tags", json!([]));
    put("workflow_assignee_ids", json!([]));
    let (depth, ancestors) = lineage(event, context.origin);
    put("depth", json!(depth));
    put("ancestors", ancestors);
    put("reason", json!(reason::sentence(event, severity, name)));
    put("severity", json!(severity));
    put("risk_score", rule.risk_score_for(event));
    put("original_event", namespace(event, "event"));
    put("original_data_stream", namespace(event, "data_stream"));
    if rule.building_block {
        put("building_block_type", json!("default"));
    }
    if let Some(suppressed) = context.suppressed {
        put("instance", json!({"id": suppressed.instance}));
        put("suppression", suppression(suppressed));
    }
    let mut about = rule_fields::kibana(rule, context.settings);
    about.insert("name".to_owned(), json!(name));
    about.insert(
        "execution".to_owned(),
        json!({"uuid": context.execution, "type": "scheduled", "timestamp": now}),
    );
    put("rule", Value::Object(about));
    out
}

fn suppression(suppressed: &Suppressed) -> Value {
    let terms = suppressed.terms.iter();
    let terms: Vec<Value> = terms
        .map(|(field, value)| json!({"field": field, "value": value}))
        .collect();
    json!({
        "terms": terms,
        "start": time(suppressed.start),
        "end": time(suppressed.end),
        "docs_count": suppressed.docs_count,
    })
}

/// Depth and ancestors of an alert on `event`, which may be an alert itself.
fn lineage(event: &Value, origin: &Origin) -> (u64, Value) {
    let mut own = json!({"id": origin.id, "type": "event"});
    if !origin.index.is_empty() {
        field::set(&mut own, "index", json!(origin.index));
    }
    let Some(uuid) = field::text(event, "kibana.alert.uuid") else {
        field::set(&mut own, "depth", json!(0));
        return (1, json!([own]));
    };
    let depth = field::first(event, "kibana.alert.depth")
        .and_then(Value::as_u64)
        .unwrap_or(1);
    field::set(&mut own, "id", json!(uuid));
    field::set(&mut own, "type", json!("signal"));
    field::set(&mut own, "depth", json!(depth));
    if let Some(rule) = field::text(event, "kibana.alert.rule.uuid") {
        field::set(&mut own, "rule", json!(rule));
    }
    let mut ancestors: Vec<Value> = field::objects(event, "kibana.alert.ancestors")
        .into_iter()
        .cloned()
        .collect();
    ancestors.push(own);
    (depth.saturating_add(1), Value::Array(ancestors))
}

/// Everything under `name` in `event`, nested and dotted keys merged; null when
/// there is nothing.
fn namespace(event: &Value, name: &str) -> Value {
    let members = event.as_object().into_iter().flatten();
    let mut out = Map::new();
    for (key, value) in members {
        if key == name {
            out.extend(value.as_object().cloned().unwrap_or_default());
        } else if let Some(rest) = key
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('.'))
        {
            out.insert(rest.to_owned(), value.clone());
        }
    }
    if out.is_empty() {
        Value::Null
    } else {
        Value::Object(out)
    }
}

/// Sets `event.kind`, in the spelling the event uses.
fn set_kind(out: &mut Map<String, Value>) {
    out.shift_remove("event.kind");
    match out.get_mut("event") {
        Some(Value::Object(event)) => {
            event.insert("kind".to_owned(), json!("signal"));
        }
        _ => {
            out.insert("event.kind".to_owned(), json!("signal"));
        }
    }
}

/// `at` in RFC 3339 with milliseconds, UTC.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
