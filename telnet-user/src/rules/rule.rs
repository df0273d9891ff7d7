//! A detection rule as loaded: typed, checked, ready to run.

use std::fmt;

use serde_json::{Map, Value};

use super::exception::Exceptions;
use super::filter::Filter;
use super::period::{Interval, Offset};
use crate::json::Node;
use crate::kql::{self, Predicate};

/// `kibana.alert.severity`, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Guidance: risk score 0 to 21.
    Low,
    /// Guidance: risk score 22 to 47.
    Medium,
    /// Guidance: risk score 48 to 73.
    High,
    /// Guidance: risk score 74 to 100.
    Critical,
}

impl Severity {
    /// The names as rule files write them, with their values.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("low", Self::Low),
        ("medium", Self::Medium),
        ("high", Self::High),
        ("critical", Self::Critical),
    ];

    /// The name as written in rule files and alerts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A MITRE ATT&CK tactic, technique or sub-technique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Such as `TA0011` or `T1021`.
    pub id: String,
    /// Such as `Command and Control`.
    pub name: String,
    /// URL of the entry.
    pub reference: String,
}

/// A technique with its sub-techniques.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Technique {
    /// The technique itself.
    pub entry: Reference,
    /// Its sub-techniques, such as `T1021.004`.
    pub subtechniques: Vec<Reference>,
}

/// One tactic a rule maps to, with techniques under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Threat {
    /// `MITRE ATT&CK` or another matrix of MITRE.
    pub framework: String,
    /// The tactic.
    pub tactic: Reference,
    /// Techniques of the tactic.
    pub techniques: Vec<Technique>,
}

/// What alert suppression does with an event that lacks a `group_by` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingFields {
    /// The missing field counts as one more value.
    Suppress,
    /// The event makes an alert of its own.
    DoNotSuppress,
}

/// One alert for many events that agree on some fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// One to three field names.
    pub group_by: Vec<String>,
    /// How long an alert takes in further events; absent: one rule run.
    pub duration: Option<Interval>,
    /// Events that lack a `group_by` field.
    pub missing_fields: MissingFields,
}

/// What a rule can ask the agent to do on an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseAction {
    /// Close the session that the alert is about.
    CloseSession,
}

/// Severity for events whose `field` equals `value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeverityMapping {
    /// Field of the event.
    pub field: String,
    /// Compared with any of the field's values as text.
    pub value: String,
    /// Severity of the alert then.
    pub severity: Severity,
}

/// Where a rule was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// File as the user named it, or `shipped/NAME`.
    pub file: String,
    /// Line on which the rule starts, from 1.
    pub line: usize,
}

/// One `query` rule in the `kuery` language.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `kibana.alert.rule.uuid`: the rule id when it is a UUID, else a UUIDv5 of it.
    pub uuid: String,
    /// `rule_id`: stable across versions.
    pub rule_id: String,
    /// Name, unique among loaded rules.
    pub name: String,
    /// What it detects.
    pub description: String,
    /// Version, from 1.
    pub version: u64,
    /// Revision: changes made to this copy, from 0.
    pub revision: u64,
    /// Whether the engine runs it.
    pub enabled: bool,
    /// Default severity.
    pub severity: Severity,
    /// Default risk score, 0 to 100.
    pub risk_score: u8,
    /// Severity by field value; the highest that applies wins.
    pub severity_mapping: Vec<SeverityMapping>,
    /// Field that gives the risk score instead of `risk_score`.
    pub risk_score_field: Option<String>,
    /// Field that gives the alert's rule name.
    pub rule_name_override: Option<String>,
    /// Time field the windows are cut on, instead of `@timestamp`.
    pub timestamp_override: Option<String>,
    /// Whether an event without the override field is taken by `@timestamp`.
    pub timestamp_fallback: bool,
    /// Time between two runs.
    pub interval: Interval,
    /// Start of the searched span, relative to a run.
    pub from: Offset,
    /// End of the searched span, relative to a run.
    pub to: Offset,
    /// Most alerts of one run.
    pub max_signals: usize,
    /// Index patterns the rule names.
    pub index: Vec<String>,
    /// Alert suppression.
    pub suppression: Option<Suppression>,
    /// Whether alerts are building blocks, hidden by default in Kibana.
    pub building_block: bool,
    /// What it asks the agent to do on an alert.
    pub response: Option<ResponseAction>,
    /// ATT&CK mapping.
    pub threat: Vec<Threat>,
    /// The query as written.
    pub query: String,
    /// The compiled query.
    pub predicate: Predicate,
    /// Further conditions, all of which must hold.
    pub filters: Vec<Filter>,
    /// Conditions any of which keeps an event from making an alert.
    pub exceptions: Exceptions,
    /// Every member of the rule as read, prose included.
    pub raw: Map<String, Value>,
    /// Where it came from.
    pub origin: Origin,
}

impl Rule {
    /// A list of strings of the rule that the engine only carries, such as `tags`.
    pub fn carried_strings(&self, key: &str) -> Vec<&str> {
        let values = self.raw.get(key).and_then(Value::as_array);
        values
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    /// A string of the rule that the engine only carries, such as `note`.
    pub fn carried_string(&self, key: &str) -> Option<&str> {
        self.raw.get(key).and_then(Value::as_str)
    }

    /// The sessions that the query can match; whatever is excepted may be too much.
    pub fn wanted(&self) -> kql::pushdown::Wanted {
        kql::pushdown::wanted(self.predicate.query())
    }

    /// Whether what it comes to may depend on `field`: its query, filters, exceptions or suppression
    /// ask for it.
    pub fn asks_for(&self, field: &str) -> bool {
        let suppression = self.suppression.iter();
        let mut groups = suppression.flat_map(|suppression| &suppression.group_by);
        self.predicate.query().asks_for(field)
            || self.filters.iter().any(|filter| filter.asks_for(field))
            || self.exceptions.ask_for(field)
            || groups.any(|group| group == field)
    }

    /// Whether `event` satisfies the query and the filters at `now`.
    pub fn matches<'e>(&self, event: impl Into<Node<'e>>, now: jiff::Timestamp) -> bool {
        let event = event.into();
        self.predicate.matches(event, now)
            && self.filters.iter().all(|filter| filter.matches(event, now))
    }
}
