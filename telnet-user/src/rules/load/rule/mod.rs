//! From a table of a rule file to a checked [`Rule`].
//!
//! Two things are taken here that the detection-rules repository forbids in TOML:
//! `version` and `revision`, which it keeps in a lock file beside its rules. A file
//! that travels alone has to say which version it is.

pub(super) mod exceptions;
mod filters;
mod options;
mod query;
mod threat;

use uuid::Uuid;

use super::{Options, known};
use crate::kql::Predicate;
use crate::rules::Limits;
use crate::rules::condition;
use crate::rules::filter::Filter;
use crate::rules::period::{Interval, Offset, OffsetError};
use crate::rules::rule::{Origin, Rule, Severity};
use crate::source::{Level, Problem, Table, nearest};

/// What kind of file a rule stands in; the two differ in what is required.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// detection-rules TOML, written by hand.
    Toml,
    /// Kibana export.
    Ndjson,
}

/// Rule types of Kibana that this agent does not run.
const OTHER_TYPES: [&str; 7] = [
    "eql",
    "esql",
    "machine_learning",
    "new_terms",
    "saved_query",
    "threat_match",
    "threshold",
];

/// A rule whose exception lists are not joined yet.
#[derive(Debug)]
pub(super) struct Draft {
    /// The rule, with inline exceptions only.
    pub(super) rule: Rule,
    /// Lists it refers to.
    pub(super) lists: Vec<exceptions::Wanted>,
    /// What to report when another rule has its `rule_id` or its name, but for the words.
    pub(super) taken: [Problem; 2],
}

/// What names and weighs a rule.
struct Identity<'a> {
    rule_id: &'a str,
    name: &'a str,
    description: &'a str,
    severity: Severity,
    risk_score: u8,
}

/// What a rule looks for.
struct Detection {
    predicate: Predicate,
    filters: Vec<Filter>,
}

/// Reads one rule. Findings go to the table's collector; `None` when the rule
/// cannot run. Every part is read before any is missed, to report all at once.
pub(super) fn read(
    table: &Table<'_>,
    file: &str,
    format: Format,
    options: &Options,
) -> Option<Draft> {
    if !runs_here(table, format) {
        return None;
    }
    unknown_members(table, format);
    style(table, format);
    carried(table);
    let identity = identity(table, format);
    let schedule = schedule(table);
    let detection = detection(table, options);
    let (exceptions, lists) = exceptions::references(table);
    let no_fallback = table.boolean("timestamp_override_fallback_disabled");
    let building_block = table.optional_one_of("building_block_type", &[("default", true)]);
    let severity_mapping = options::severity_mapping(table);
    let risk_score_field = options::risk_score_field(table);
    let suppression = options::suppression(table, format);
    let response = options::response(table);
    let threat = threat::read(table);
    let max_signals = max_signals(table);
    let (version, revision) = (counter(table, "version", 1), counter(table, "revision", 0));
    let enabled = table.boolean("enabled").unwrap_or(true);
    let rule_name_override = field_name(table, "rule_name_override");
    let timestamp_override = field_name(table, "timestamp_override");
    let index = table.strings("index");
    let (identity, detection, (interval, from, to)) = (identity?, detection?, schedule?);
    let rule = Rule {
        uuid: object_id(identity.rule_id),
        rule_id: identity.rule_id.to_owned(),
        name: identity.name.to_owned(),
        description: identity.description.to_owned(),
        version,
        revision,
        enabled,
        severity: identity.severity,
        risk_score: identity.risk_score,
        severity_mapping,
        risk_score_field,
        rule_name_override,
        timestamp_override,
        timestamp_fallback: !no_fallback.unwrap_or(false),
        interval,
        from,
        to,
        max_signals,
        index,
        suppression,
        building_block: building_block.unwrap_or(false),
        response,
        threat,
        query: table.string("query").unwrap_or_default().to_owned(),
        predicate: detection.predicate,
        filters: detection.filters,
        exceptions,
        raw: table.members().clone(),
        origin: origin(table, file),
    };
    let taken = ["rule_id", "name"].map(|key| table.problem(Level::Error, key, String::new()));
    Some(Draft { rule, lists, taken })
}

/// Whether type and language are the ones this agent runs; reports otherwise.
fn runs_here(table: &Table<'_>, format: Format) -> bool {
    let Some(kind) = table.required("type") else {
        return false;
    };
    if OTHER_TYPES.contains(&kind) {
        let message = format!("rule type {kind} is not supported, only query is");
        table.report(Level::Unsupported, "type", message);
        return false;
    }
    if kind != "query" {
        table.error(
            "type",
            format!("type must be query or one of {}", OTHER_TYPES.join(", ")),
        );
        return false;
    }
    if format == Format::Toml && !table.has("language") {
        table.error("language", "missing required field language".to_owned());
        return true;
    }
    match table.string("language") {
        None | Some("kuery") => true,
        Some("lucene") => {
            let message = "language lucene is not supported, only kuery is".to_owned();
            table.report(Level::Unsupported, "language", message);
            false
        }
        Some(other @ ("eql" | "esql")) => {
            table.error(
                "language",
                format!("language {other} does not belong to type query"),
            );
            true
        }
        Some(_) => {
            table.error(
                "language",
                "language must be one of kuery, lucene, eql, esql".to_owned(),
            );
            true
        }
    }
}

fn unknown_members(table: &Table<'_>, format: Format) {
    for key in table.members().keys() {
        let expected = known::RULE.contains(&key.as_str())
            || format == Format::Ndjson && known::EXPORTED.contains(&key.as_str());
        if !expected {
            let hint = nearest(key, known::RULE).map(|name| format!("did you mean {name}?"));
            table.report_key(Level::Warning, key, "unknown rule field".to_owned(), hint);
        }
    }
}

fn origin(table: &Table<'_>, file: &str) -> Origin {
    Origin {
        file: file.to_owned(),
        line: table.line(),
    }
}

fn identity<'a>(table: &Table<'a>, format: Format) -> Option<Identity<'a>> {
    let name = table.required("name");
    let description = table.required("description");
    let rule_id = rule_id(table, format);
    let severity = table.one_of("severity", &Severity::NAMES);
    let risk_score = risk_score(table)?;
    Some(Identity {
        rule_id: rule_id?,
        name: name?,
        description: description?,
        severity: severity?,
        risk_score,
    })
}

fn rule_id<'a>(table: &Table<'a>, format: Format) -> Option<&'a str> {
    let id = table.required("rule_id")?;
    let canonical = Uuid::parse_str(id).is_ok_and(|uuid| uuid.hyphenated().to_string() == id);
    if format == Format::Toml && !canonical {
        table.error("rule_id", "rule_id must be a lower-case UUID".to_owned());
        return None;
    }
    Some(id)
}

/// `kibana.alert.rule.uuid`: stable, so that alert ids are.
fn object_id(rule_id: &str) -> String {
    Uuid::parse_str(rule_id)
        .unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, rule_id.as_bytes()))
        .hyphenated()
        .to_string()
}

fn risk_score(table: &Table<'_>) -> Option<u8> {
    if !table.has("risk_score") {
        table.error("risk_score", "missing required field risk_score".to_owned());
        return None;
    }
    let score = table.integer("risk_score")?;
    let score = u8::try_from(score).ok().filter(|score| *score <= 100);
    if score.is_none() {
        table.error("risk_score", "risk_score must be in 0..100".to_owned());
    }
    score
}

/// Conventions of the upstream repository that change nothing at run time.
fn style(table: &Table<'_>, format: Format) {
    if format == Format::Ndjson {
        return;
    }
    if !table.has("author") {
        table.report(Level::Warning, "author", "missing field author".to_owned());
    }
    let name = table.string("name").unwrap_or_default().trim();
    let opens = name
        .chars()
        .next()
        .is_none_or(|c| c.is_ascii_alphanumeric());
    let closes = name
        .chars()
        .next_back()
        .is_none_or(|c| c.is_ascii_alphanumeric() || matches!(c, '[' | ']' | '(' | ')'));
    if !opens || !closes {
        let message = "a name starts with a letter or digit and ends with one or a bracket";
        table.report(Level::Warning, "name", message.to_owned());
    }
}

fn schedule(table: &Table<'_>) -> Option<(Interval, Offset, Offset)> {
    let interval = match Interval::parse(table.string("interval").unwrap_or("5m")) {
        Ok(interval) => Some(interval),
        Err(message) => {
            table.error("interval", format!("invalid interval: {message}"));
            None
        }
    };
    let from = offset(table, "from", "now-6m");
    let to = offset(table, "to", "now");
    let (interval, from, to) = (interval?, from?, to?);
    let span = to.duration() - from.duration();
    if !span.is_positive() {
        table.error("from", "from must be before to".to_owned());
    } else if span < interval.duration() {
        let message = "the searched span is shorter than the interval: events between two spans \
                       are never looked at";
        table.report(Level::Warning, "from", message.to_owned());
    }
    Some((interval, from, to))
}

fn offset(table: &Table<'_>, key: &str, default: &str) -> Option<Offset> {
    match Offset::parse(table.string(key).unwrap_or(default)) {
        Ok(offset) => Some(offset),
        Err(OffsetError::Invalid(message)) => {
            table.error(key, format!("invalid date math: {message}"));
            None
        }
        Err(OffsetError::Unsupported(what)) => {
            table.report(Level::Unsupported, key, format!("{what} is not supported"));
            None
        }
    }
}

fn detection(table: &Table<'_>, options: &Options) -> Option<Detection> {
    let filters: Vec<Filter> = filters::read(table).into_iter().map(Filter).collect();
    let text = match table.value("query") {
        None => "",
        Some(_) => table.string("query")?,
    };
    let predicate = if !text.trim().is_empty() {
        query::compile(table, text, options)?
    } else if table.elements("filters").is_empty() {
        table.error(
            "query",
            "an empty query without filters would match every event".to_owned(),
        );
        return None;
    } else {
        condition::compile("*:*").ok()?
    };
    Some(Detection { predicate, filters })
}

fn max_signals(table: &Table<'_>) -> usize {
    let Some(limit) = table.integer("max_signals") else {
        return 100;
    };
    let most = Limits::default().alerts_max;
    let limit = usize::try_from(limit).unwrap_or_default();
    if limit < 1 {
        table.error("max_signals", "max_signals must be at least 1".to_owned());
    } else if limit > most {
        let message = format!("a run makes at most {most} alerts, as Kibana's do by default");
        table.report(Level::Warning, "max_signals", message);
    }
    limit
}

fn counter(table: &Table<'_>, key: &str, least: u64) -> u64 {
    let Some(value) = table.integer(key) else {
        return least;
    };
    u64::try_from(value)
        .ok()
        .filter(|value| *value >= least)
        .unwrap_or_else(|| {
            table.error(key, format!("{key} must be at least {least}"));
            least
        })
}

fn field_name(table: &Table<'_>, key: &str) -> Option<String> {
    let name = table.string(key)?;
    if name.trim().is_empty() {
        table.report(Level::Warning, key, format!("{key} is empty and not used"));
        return None;
    }
    Some(name.to_owned())
}

/// Types of the members that are carried, and combinations that exclude.
fn carried(table: &Table<'_>) {
    for key in ["author", "tags", "references", "false_positives"] {
        table.strings(key);
    }
    for key in [
        "note",
        "setup",
        "license",
        "timeline_id",
        "timeline_title",
        "data_view_id",
    ] {
        table.string(key);
    }
    if table.has("index") && table.has("data_view_id") {
        table.error(
            "data_view_id",
            "a rule has index or data_view_id, not both".to_owned(),
        );
    } else if table.has("data_view_id") {
        let message = "data views are not supported: the rule runs over every event".to_owned();
        table.report(Level::Warning, "data_view_id", message);
    }
}
