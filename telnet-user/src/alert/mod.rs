//! Alert documents: an event and a rule become what Kibana would have stored.

mod id;
mod reason;
mod rule_fields;
mod template;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde_json::{Map, Value};

pub use self::id::AlertId;
pub(crate) use self::id::sha256_hex;
pub use self::template::Template;
use crate::json::{Node, Object};
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
    pub fn of<'e>(event: impl Into<Node<'e>>) -> Self {
        let event = event.into();
        let parts = [
            "data_stream.type",
            "data_stream.dataset",
            "data_stream.namespace",
        ];
        let index = match parts.map(|path| field::text(event, path)) {
            [Some(kind), Some(dataset), Some(namespace)] => {
                [kind, dataset, namespace].join("-").to_lowercase()
            }
            _ => String::new(),
        };
        let id = field::text(event, "event.id").unwrap_or_else(|| sha256_hex(&event.to_text()));
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

/// The first alert of the session that a later one is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct First {
    /// Its id.
    pub id: AlertId,
    /// UUID of the rule that made it.
    pub rule: String,
}

/// What an alert needs besides event and rule.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// When the alert is made.
    pub now: Timestamp,
    /// When the last event joined it.
    pub detected: Timestamp,
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
    /// The first alert of the session, when this is a later one.
    pub first: Option<&'a First>,
}

/// An alert document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its JSON text.
    pub text: String,
    /// `kibana.alert.uuid`.
    pub id: AlertId,
    /// `rule_id` of the rule that made it.
    pub rule_id: String,
    /// When what it is about happened; absent when that is unknown or was before the agent started.
    pub happened: Option<Timestamp>,
}

impl Alert {
    /// The document as a tree.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

/// Builds the alert that `rule`, of which `template` is, makes on `event`.
///
/// The event is copied without values that contradict ECS, its `event.*` and `data_stream.*` also to
/// `kibana.alert.original_event.*` and `.original_data_stream.*`;
/// `event.kind` becomes `signal`. `rule.*` and `threat.*` are added when the
/// event has none of its own.
pub fn build<'e>(
    event: impl Into<Node<'e>>,
    rule: &Rule,
    template: &Template,
    context: &Context<'_>,
) -> Alert {
    /// Most alerts on events of the agent fit in this many bytes beside what the rule says.
    const EVENT: usize = 6 << 10;
    let event = event.into();
    let name = rule.name_for(event);
    let mut text = String::with_capacity(template.len() + EVENT);
    let mut out = Object::begin(&mut text);
    out.text("@timestamp", &time(context.now));
    let own = event_fields(&mut out, event);
    if !own.rule {
        template.rule(&mut out, rule, name);
    }
    if !own.threat {
        template.threat(&mut out);
    }
    let mut kibana = Object::begin(out.member("kibana"));
    let mut alert = Object::begin(kibana.member("alert"));
    alert_fields(&mut alert, event, rule, name, context);
    let mut about = Object::begin(alert.member("rule"));
    template.kibana(&mut about);
    about.text("name", name);
    execution(&mut about, context);
    about.end();
    alert.end();
    kibana.value("space_ids", &[&context.settings.space]);
    kibana.end();
    out.end();
    let happened = field::first(event, "@timestamp").and_then(Node::as_str);
    let is_old = field::first(event, "telnet.session.preexisting").is_some();
    Alert {
        text,
        id: context.id,
        rule_id: rule.rule_id.clone(),
        happened: happened
            .filter(|_| !is_old)
            .and_then(|time| time.parse().ok()),
    }
}

/// Which field sets an event has that an alert else has from its rule.
#[derive(Clone, Copy, Debug, Default)]
struct Own {
    rule: bool,
    threat: bool,
}

/// The fields of `event` that its alert takes over.
fn event_fields(out: &mut Object<'_>, event: Node<'_>) -> Own {
    let stripped = event.as_tree().map(conform::stripped);
    let fields = stripped.as_ref().map_or(event, Node::from);
    let (mut own, mut has_event) = (Own::default(), false);
    for (key, value) in fields.members() {
        let namespace = key.split('.').next().unwrap_or_default();
        if ["@timestamp", "event.kind"].contains(&key) || ENGINE_FIELDS.contains(&namespace) {
            continue;
        }
        own.rule |= namespace == "rule";
        own.threat |= namespace == "threat";
        if key == "event" && value.is_object() {
            has_event = true;
            signal(out.member(key), value);
        } else {
            out.node(key, value);
        }
    }
    // In the spelling that the event uses.
    if !has_event {
        out.text("event.kind", "signal");
    }
    own
}

/// `event.*` with the kind of an alert.
fn signal(out: &mut String, event: Node<'_>) {
    let mut fields = Object::begin(out);
    let mut has_kind = false;
    for (key, value) in event.members() {
        if key == "kind" {
            has_kind = true;
            fields.text(key, "signal");
        } else {
            fields.node(key, value);
        }
    }
    if !has_kind {
        fields.text("kind", "signal");
    }
    fields.end();
}

/// `kibana.alert.*` apart from `rule`.
fn alert_fields(
    out: &mut Object<'_>,
    event: Node<'_>,
    rule: &Rule,
    name: &str,
    context: &Context<'_>,
) {
    let now = time(context.now);
    let severity = rule.severity_for(event).as_str();
    out.text("uuid", &context.id.to_string());
    out.text("start", &now);
    out.text("last_detected", &time(context.detected));
    if let Some(time) = field::first(event, "@timestamp") {
        out.node("original_time", time);
    }
    out.text("intended_timestamp", &now);
    out.text("status", "active");
    out.text("workflow_status", "open");
    out.raw("workflow_tags", "[]");
    out.raw("workflow_assignee_ids", "[]");
    lineage(out, event, context);
    out.text("reason", &reason::sentence(event, severity, name));
    out.text("severity", severity);
    out.raw("risk_score", &rule.risk_score_for(event).to_string());
    namespace(out, "original_event", event, "event");
    namespace(out, "original_data_stream", event, "data_stream");
    if rule.building_block {
        out.text("building_block_type", "default");
    }
    if let Some(suppressed) = context.suppressed {
        let mut instance = Object::begin(out.member("instance"));
        instance.text("id", &suppressed.instance);
        instance.end();
        suppression(out, suppressed);
    }
}

/// `kibana.alert.rule.execution.*`.
fn execution(out: &mut Object<'_>, context: &Context<'_>) {
    let mut execution = Object::begin(out.member("execution"));
    execution.text("uuid", context.execution);
    execution.text("type", "scheduled");
    execution.text("timestamp", &time(context.now));
    execution.end();
}

/// `kibana.alert.suppression.*`.
fn suppression(out: &mut Object<'_>, suppressed: &Suppressed) {
    let mut fields = Object::begin(out.member("suppression"));
    let terms = fields.member("terms");
    terms.push('[');
    for (index, (field, value)) in suppressed.terms.iter().enumerate() {
        if index > 0 {
            terms.push(',');
        }
        let mut term = Object::begin(terms);
        term.text("field", field);
        term.value("value", value);
        term.end();
    }
    terms.push(']');
    fields.text("start", &time(suppressed.start));
    fields.text("end", &time(suppressed.end));
    fields.value("docs_count", &suppressed.docs_count);
    fields.end();
}

/// `depth` and `ancestors` of an alert on `event`, which may be an alert itself, or follow another
/// alert of its session.
fn lineage(out: &mut Object<'_>, event: Node<'_>, context: &Context<'_>) {
    let origin = context.origin;
    let alert = field::text(event, "kibana.alert.uuid");
    let depth = match alert {
        Some(_) => match field::first(event, "kibana.alert.depth").map(Node::to_value) {
            Some(depth) => depth.as_u64().unwrap_or(1),
            None => 1,
        },
        None => 0,
    };
    let first = context.first.filter(|_| alert.is_none());
    let above = if first.is_some() { 1 } else { depth };
    out.value("depth", &above.saturating_add(1));
    let ancestors = out.member("ancestors");
    ancestors.push('[');
    if alert.is_some() {
        for earlier in field::objects(event, "kibana.alert.ancestors") {
            earlier.write(ancestors);
            ancestors.push(',');
        }
    }
    let mut own = Object::begin(ancestors);
    own.text("id", alert.as_ref().unwrap_or(&origin.id));
    own.text("type", if alert.is_some() { "signal" } else { "event" });
    if !origin.index.is_empty() {
        own.text("index", &origin.index);
    }
    own.value("depth", &depth);
    if alert.is_some()
        && let Some(rule) = field::text(event, "kibana.alert.rule.uuid")
    {
        own.text("rule", &rule);
    }
    own.end();
    if let Some(first) = first {
        ancestors.push(',');
        let mut earlier = Object::begin(ancestors);
        earlier.text("id", &first.id.to_string());
        earlier.text("type", "signal");
        earlier.value("depth", &above);
        earlier.text("rule", &first.rule);
        earlier.end();
    }
    ancestors.push(']');
}

/// Everything under `name` in `event` as member `key`, nested and dotted keys merged; no member
/// when there is nothing.
fn namespace(out: &mut Object<'_>, key: &str, event: Node<'_>, name: &str) {
    let below = |key: &str| key.strip_prefix(name).is_some_and(|k| k.starts_with('.'));
    if !event.members().any(|(key, _)| below(key)) {
        let nested = event.get(name);
        let filled = nested.filter(|nested| nested.members().next().is_some());
        if let Some(nested) = filled {
            out.node(key, nested);
        }
        return;
    }
    let mut merged = Map::new();
    for (key, value) in event.members() {
        if key == name {
            let members = value.members();
            merged.extend(members.map(|(key, value)| (key.to_owned(), value.to_value())));
        } else if below(key) {
            let rest = key.get(name.len() + 1..).unwrap_or_default();
            merged.insert(rest.to_owned(), value.to_value());
        }
    }
    out.value(key, &merged);
}

/// `at` in RFC 3339 with milliseconds, UTC.
pub(crate) fn time(at: Timestamp) -> String {
    format!("{at:.3}")
}
