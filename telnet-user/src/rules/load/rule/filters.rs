//! Kibana filters: `meta` with a query, as a rule file holds them.

use serde_json::{Map, Value};

use crate::rules::condition::{self, Condition};
use crate::rules::field::scalar_text;
use crate::rules::wildcard::Wildcard;
use crate::source::{Level, Table};

/// Deepest nesting of `bool` queries in a filter.
const DEPTH: usize = 20;
/// How many of the `should` clauses of a `bool` query have to hold.
const LEAST: &str = "minimum_should_match";

/// Reads `filters`. A filter narrows the rule, so one that cannot be evaluated
/// keeps the rule from running instead of being left out.
pub(super) fn read(rule: &Table<'_>) -> Vec<Condition> {
    let mut out = Vec::new();
    for filter in rule.tables("filters") {
        let meta = filter.table("meta");
        let flag = |key| {
            meta.as_ref()
                .and_then(|meta| meta.boolean(key))
                .unwrap_or(false)
        };
        if flag("disabled") {
            continue;
        }
        let negate = flag("negate");
        match body(&filter, meta.as_ref()) {
            Ok(condition) => out.push(condition.negate_if(negate)),
            Err(message) => {
                filter.report_self(
                    Level::Unsupported,
                    format!("the filter cannot be run: {message}"),
                );
            }
        }
    }
    out
}

/// The condition of one filter: its `query` if there is one, else what `meta` says.
fn body(filter: &Table<'_>, meta: Option<&Table<'_>>) -> Result<Condition, String> {
    if let Some(query) = filter.value("query") {
        return clause(query, DEPTH);
    }
    for key in [
        "exists",
        "range",
        "match_phrase",
        "terms",
        "term",
        "match_all",
    ] {
        if let Some(value) = filter.value(key) {
            let mut query = Map::new();
            query.insert(key.to_owned(), value.clone());
            return clause(&Value::Object(query), DEPTH);
        }
    }
    from_meta(meta.ok_or_else(|| "it has neither query nor meta".to_owned())?)
}

/// A filter that holds no query, only `meta.type`, `meta.key` and `meta.params`.
fn from_meta(meta: &Table<'_>) -> Result<Condition, String> {
    let kind = meta
        .value("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let field = meta.value("key").and_then(Value::as_str);
    let field = field.ok_or_else(|| "meta.key is missing".to_owned())?;
    let params = meta.value("params");
    let values = match kind {
        "exists" => return typed(&condition::exists(field)),
        "range" => return range(field, params.unwrap_or(&Value::Null)),
        "phrase" => params.map(|params| vec![params.get("query").unwrap_or(params)]),
        "phrases" => params
            .and_then(Value::as_array)
            .map(|list| list.iter().collect()),
        other => return Err(format!("filter type {other:?} is not supported")),
    };
    let values = values.ok_or_else(|| "meta.params is missing".to_owned())?;
    equals(field, values)
}

/// One clause of Elasticsearch's query language, as far as filters use it.
fn clause(query: &Value, depth: usize) -> Result<Condition, String> {
    let depth = depth
        .checked_sub(1)
        .ok_or_else(|| "it is nested too deeply".to_owned())?;
    let (kind, body) = only(query)?;
    match kind {
        "match_all" => Ok(Condition::All(Vec::new())),
        "bool" => boolean(body, depth),
        "exists" => {
            let field = body.get("field").and_then(Value::as_str);
            typed(&condition::exists(
                field.ok_or_else(|| "exists has no field".to_owned())?,
            ))
        }
        "match_phrase" | "term" | "match" | "terms" => {
            let (field, value) = only(body)?;
            let (value, ignores_case) = option(value, &["query", "value"])?;
            if ignores_case {
                return Err(format!("case_insensitive is not supported in {kind}"));
            }
            equals(
                field,
                value
                    .as_array()
                    .map_or_else(|| vec![value], |all| all.iter().collect()),
            )
        }
        "wildcard" => {
            let (field, value) = only(body)?;
            let (pattern, ignores_case) = option(value, &["value", "wildcard"])?;
            let pattern = pattern.as_str();
            let pattern = pattern.ok_or_else(|| "wildcard has no pattern".to_owned())?;
            Ok(Condition::Wildcard {
                field: field.to_owned(),
                pattern: Wildcard::new(pattern, ignores_case),
            })
        }
        "range" => {
            let (field, bounds) = only(body)?;
            range(field, bounds)
        }
        other => Err(format!("query {other:?} is not supported")),
    }
}

/// What a field is compared with, and whether case is ignored. `value` is that itself, or an object
/// that has it under one of `names`. Further options could change what matches.
fn option<'q>(value: &'q Value, names: &[&str]) -> Result<(&'q Value, bool), String> {
    let Some(members) = value.as_object() else {
        return Ok((value, false));
    };
    let (mut found, mut ignores_case) = (None, false);
    for (key, value) in members {
        match key.as_str() {
            "boost" => {}
            "case_insensitive" => {
                let flag = value.as_bool();
                ignores_case = flag.ok_or_else(|| format!("{key} is neither true nor false"))?;
            }
            key if found.is_none() && names.contains(&key) => found = Some(value),
            other => return Err(format!("option {other:?} is not supported")),
        }
    }
    let found = found.ok_or_else(|| "there is nothing to compare with".to_owned())?;
    Ok((found, ignores_case))
}

fn boolean(body: &Value, depth: usize) -> Result<Condition, String> {
    let members = body
        .as_object()
        .ok_or_else(|| "bool must be a table".to_owned())?;
    let list = |key: &str| -> Result<Vec<Condition>, String> {
        match members.get(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(clauses)) => {
                clauses.iter().map(|query| clause(query, depth)).collect()
            }
            Some(single) => Ok(vec![clause(single, depth)?]),
        }
    };
    let least = least(members.get(LEAST))?;
    let mut all = list("must")?;
    all.extend(list("filter")?);
    let should = list("should")?;
    let optional = match least {
        None => !all.is_empty(),
        Some(0) => true,
        Some(1) => false,
        Some(_) => return Err(format!("{LEAST} above 1 is not supported")),
    };
    if !should.is_empty() && !optional {
        all.push(Condition::Any(should));
    }
    all.extend(
        list("must_not")?
            .into_iter()
            .map(|inner| inner.negate_if(true)),
    );
    let known = ["must", "filter", "should", "must_not", LEAST, "boost"];
    match members.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("bool.{key} is not supported")),
        None => Ok(Condition::All(all)),
    }
}

/// [`LEAST`]: a count, also as text. Elasticsearch's percentages, ranges and counts from
/// the end are not supported.
fn least(value: Option<&Value>) -> Result<Option<u64>, String> {
    let count = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(other) => other.as_u64(),
    };
    let refused = || format!("{LEAST} is supported as a count alone");
    count.map(Some).ok_or_else(refused)
}

fn range(field: &str, bounds: &Value) -> Result<Condition, String> {
    let bounds = bounds
        .as_object()
        .ok_or_else(|| "range has no bounds".to_owned())?;
    let mut parts = Vec::new();
    for (key, value) in bounds {
        let operator = match key.as_str() {
            "gt" => ">",
            "gte" => ">=",
            "lt" => "<",
            "lte" => "<=",
            "format" | "boost" | "relation" => continue,
            other => return Err(format!("range bound {other:?} is not supported")),
        };
        if !value.is_null() {
            let value = condition::quote(&scalar_text(value.into()));
            parts.push(typed(&format!(
                "{} {operator} {value}",
                condition::quote(field)
            ))?);
        }
    }
    if parts.is_empty() {
        return Err("range has no bounds".to_owned());
    }
    Ok(Condition::All(parts))
}

fn equals(field: &str, values: Vec<&Value>) -> Result<Condition, String> {
    if values.is_empty()
        || values
            .iter()
            .any(|value| value.is_object() || value.is_array())
    {
        return Err(format!("no single values to compare {field} with"));
    }
    let values: Vec<String> = values
        .into_iter()
        .map(|value| scalar_text(value.into()))
        .collect();
    typed(&condition::equals(field, &values))
}

fn typed(query: &str) -> Result<Condition, String> {
    condition::compile(query).map(Condition::Query)
}

/// The one member of an object.
fn only(value: &Value) -> Result<(&str, &Value), String> {
    let members = value
        .as_object()
        .ok_or_else(|| "a query must be a table".to_owned())?;
    let mut members = members.iter().filter(|(key, _)| *key != "boost");
    match (members.next(), members.next()) {
        (Some((key, value)), None) => Ok((key, value)),
        _ => Err("a query must have exactly one kind".to_owned()),
    }
}
