//! Exception lists: references of a rule, and the items of an export.

use jiff::Timestamp;
use serde_json::Value;

use crate::rules::condition::{self, Condition};
use crate::rules::exception::{Exceptions, Item};
use crate::rules::field::scalar_text;
use crate::rules::wildcard::Wildcard;
use crate::source::{Level, Problem, Table};

/// What joins a rule and the items of a list: `list_id` and `namespace_type`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::rules::load) struct ListKey {
    list_id: String,
    namespace: &'static str,
}

/// A list that a rule refers to.
#[derive(Debug)]
pub(in crate::rules::load) struct Wanted {
    /// The list.
    pub(in crate::rules::load) key: ListKey,
    /// What to report when no file holds the list.
    pub(in crate::rules::load) missing: Problem,
}

/// How an entry compares.
#[derive(Clone, Copy)]
enum Kind {
    Match,
    MatchAny,
    Wildcard,
    Exists,
    Nested,
    ValueList,
}

const KINDS: [(&str, Kind); 6] = [
    ("match", Kind::Match),
    ("match_any", Kind::MatchAny),
    ("wildcard", Kind::Wildcard),
    ("exists", Kind::Exists),
    ("nested", Kind::Nested),
    ("list", Kind::ValueList),
];

/// Reads `exceptions_list` of a rule: the items written there, and the lists to be
/// found in exports.
///
/// An element refers to a list by id. In a hand-written file an element may
/// instead hold the items themselves, as `items`, or the `entries` of one item.
pub(in crate::rules::load) fn references(rule: &Table<'_>) -> (Exceptions, Vec<Wanted>) {
    let mut inline = Exceptions::default();
    let mut wanted = Vec::new();
    for element in rule.tables("exceptions_list") {
        if element.has("entries") {
            inline.extend(item(&element));
        } else if element.has("items") {
            inline.extend(element.tables("items").iter().filter_map(item));
        } else if let Some(key) = key(&element) {
            let list = &key.list_id;
            let message = format!("no file holds exception list {list:?}: it is not applied");
            let missing = element.problem(Level::Warning, "list_id", message);
            wanted.push(Wanted { key, missing });
        }
    }
    (inline, wanted)
}

/// The key of a reference, a container or an item.
pub(in crate::rules::load) fn key(table: &Table<'_>) -> Option<ListKey> {
    let list_id = table.required("list_id")?.to_owned();
    let namespaces = [("single", "single"), ("agnostic", "agnostic")];
    let namespace = table.optional_one_of("namespace_type", &namespaces);
    Some(ListKey {
        list_id,
        namespace: namespace.unwrap_or("single"),
    })
}

/// One item: an AND of its entries. An item that cannot be evaluated is named in
/// a warning and left out.
pub(in crate::rules::load) fn item(table: &Table<'_>) -> Option<Item> {
    let name = ["name", "item_id"]
        .into_iter()
        .find_map(|key| table.string(key));
    let name = name.unwrap_or("unnamed").to_owned();
    let entries = table.tables("entries");
    let refuse = |message: String| {
        let message = format!("exception {name:?} is not applied: {message}");
        table.report(Level::Warning, "entries", message);
    };
    if entries.is_empty() {
        refuse("it has no entries".to_owned());
        return None;
    }
    let expires = match table.string("expire_time").map(str::parse::<Timestamp>) {
        None => None,
        Some(Ok(time)) => Some(time),
        Some(Err(_)) => {
            let message = "expire_time is not an RFC 3339 time: the exception is not applied";
            table.report(Level::Warning, "expire_time", message.to_owned());
            return None;
        }
    };
    let mut conditions = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        match self::entry(entry) {
            Ok(condition) => conditions.push(condition),
            Err(message) => {
                refuse(format!("entry {}: {message}", index + 1));
                return None;
            }
        }
    }
    Some(Item {
        name,
        expires,
        condition: Condition::All(conditions),
    })
}

fn entry(entry: &Table<'_>) -> Result<Condition, String> {
    let parts = Parts::of(entry)?;
    let condition = match parts.kind {
        Kind::Wildcard => pattern(&parts)?,
        Kind::Match | Kind::MatchAny | Kind::Exists | Kind::Nested | Kind::ValueList => {
            Condition::Query(condition::compile(&positive(&parts)?)?)
        }
    };
    Ok(condition.negate_if(parts.excluded))
}

/// The members common to all entries.
struct Parts<'a> {
    table: &'a Table<'a>,
    field: &'a str,
    kind: Kind,
    excluded: bool,
}

impl<'a> Parts<'a> {
    fn of(table: &'a Table<'a>) -> Result<Self, String> {
        let field = text(table, "field")?;
        let kind = text(table, "type")?;
        let kind = KINDS.iter().find(|(name, _)| *name == kind);
        let (_, kind) = kind.ok_or_else(|| "its type is not known".to_owned())?;
        let excluded = match table.members().get("operator").and_then(Value::as_str) {
            None | Some("included") => false,
            Some("excluded") => true,
            Some(other) => return Err(format!("operator {other:?} is not included or excluded")),
        };
        Ok(Self {
            table,
            field,
            kind: *kind,
            excluded,
        })
    }
}

/// KQL for the entry, its operator aside.
fn positive(parts: &Parts<'_>) -> Result<String, String> {
    let Parts {
        table,
        field,
        kind,
        excluded: _,
    } = parts;
    match kind {
        Kind::Match => Ok(condition::equals(field, &[scalar(table.value("value"))?])),
        Kind::MatchAny => {
            let values = table.value("value").and_then(Value::as_array);
            let values = values.filter(|values| !values.is_empty());
            let values = values.ok_or_else(|| "value must be a list of values".to_owned())?;
            let values: Result<Vec<_>, _> =
                values.iter().map(|value| scalar(Some(value))).collect();
            Ok(condition::equals(field, &values?))
        }
        Kind::Exists => Ok(condition::exists(field)),
        Kind::Wildcard => {
            let pattern = text(table, "value")?;
            if pattern.contains('?') {
                return Err("a pattern with ? inside a nested entry is not supported".to_owned());
            }
            Ok(format!(
                "{}:{}",
                condition::quote(field),
                condition::bare(pattern)
            ))
        }
        Kind::Nested => nested(table, field),
        Kind::ValueList => Err("value lists are not supported".to_owned()),
    }
}

fn nested(table: &Table<'_>, field: &str) -> Result<String, String> {
    let mut inner = Vec::new();
    for entry in table.tables("entries") {
        let parts = Parts::of(&entry)?;
        let sign = if parts.excluded { "not " } else { "" };
        inner.push(format!("{sign}{}", positive(&parts)?));
    }
    if inner.is_empty() {
        return Err("a nested entry needs entries".to_owned());
    }
    Ok(format!(
        "{}:{{ {} }}",
        condition::quote(field),
        inner.join(" and ")
    ))
}

fn pattern(parts: &Parts<'_>) -> Result<Condition, String> {
    let pattern = text(parts.table, "value")?;
    Ok(Condition::Wildcard {
        field: parts.field.to_owned(),
        pattern: Wildcard::new(pattern, false),
    })
}

fn text<'a>(table: &Table<'a>, key: &str) -> Result<&'a str, String> {
    let found = table
        .value(key)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty());
    found.ok_or_else(|| format!("{key} must be a text"))
}

fn scalar(value: Option<&Value>) -> Result<String, String> {
    match value {
        Some(value @ (Value::String(_) | Value::Number(_) | Value::Bool(_))) => {
            Ok(scalar_text(value.into()))
        }
        _ => Err("value must be a single value".to_owned()),
    }
}
