//! `telnet-monitor explain`: why an event matches a rule or not.

use std::{
    collections::BTreeSet,
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use jiff::Timestamp;
use serde_json::Value;

use super::{complain, events, exit, load, print, printable, sources};
use crate::{
    kql::{Clause, ClauseKind, FieldValue},
    rules::{self, Level, Rule, recorded_at},
};

/// Values shown of one clause.
const VALUES: usize = 8;
/// Characters shown of one value.
const WIDTH: usize = 120;

/// Which rule, and which events.
///
/// For each event: every clause of the query with its result and the values it looked at, the
/// first one that is false, then filters and exceptions.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Rule file, instead of the enabled embedded rules.
    #[arg(long, value_name = "PATH")]
    rule: Option<PathBuf>,
    /// Accept queries that Kibana accepts although they hardly mean what they say.
    #[arg(long)]
    lenient: bool,
    #[command(flatten)]
    events: events::Args,
}

/// Prints the explanations.
pub(super) fn main(args: &Args) -> u8 {
    let options = rules::Options {
        lenient: args.lenient,
        foreign_events: true,
        ..rules::Options::default()
    };
    let paths: Vec<PathBuf> = args.rule.iter().cloned().collect();
    let report = load(&sources(&paths), &options, Level::Unsupported);
    let mut rules = report.rules;
    if args.rule.is_none() {
        rules.retain(|rule| rule.enabled);
    }
    if rules.is_empty() || report.broken > 0 || report.unsupported > 0 {
        complain("nothing to explain: the rule does not load");
        return exit::UNREADABLE;
    }
    print(explain(args, &rules), exit::UNREADABLE)
}

fn explain(args: &Args, rules: &[Rule]) -> io::Result<u8> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut any = false;
    let tally = args.events.each(&mut |found, progress| {
        progress.clear();
        let event = &found.event.document;
        let now = recorded_at(event).unwrap_or_else(Timestamp::now);
        for rule in rules {
            let place = format!("{}:{}", found.file, found.line);
            any |= one(&mut out, &place, rule, event, now)?;
        }
        out.flush()
    })?;
    Ok(match (tally.unreadable, any) {
        (0, false) => exit::NO_MATCH,
        (0, true) => exit::OK,
        _ => exit::UNREADABLE,
    })
}

/// Explains one rule on one event; whether it alerts.
fn one(
    out: &mut impl Write,
    place: &str,
    rule: &Rule,
    event: &Value,
    now: Timestamp,
) -> io::Result<bool> {
    let explanation = rule.predicate.explain(event, now);
    let failed = rule
        .filters
        .iter()
        .position(|filter| !filter.matches(event.into(), now));
    let exception = rule.exceptions.covering(event, now);
    let matches = explanation.matches() && failed.is_none() && exception.is_none();
    let verdict = if matches { "match" } else { "no match" };
    line(out, 0, &format!("{place}: {verdict}: {}", rule.name))?;
    clause(out, &explanation.root, 1)?;
    for (number, filter) in rule.filters.iter().enumerate() {
        let mark = mark(filter.matches(event.into(), now));
        line(out, 1, &format!("{mark} filter {}", number + 1))?;
    }
    if !rule.exceptions.is_empty() {
        let mark = mark(exception.is_none());
        let which = match exception {
            Some(name) => format!("covered by \"{name}\""),
            None => format!("none of {} applies", rule.exceptions.len()),
        };
        line(out, 1, &format!("{mark} exceptions: {which}"))?;
    }
    let because = match (explanation.first_false(), failed, exception) {
        (Some(first), _, _) => format!("false: {}", summary(first, rule)),
        (None, Some(number), _) => format!("false: filter {}", number + 1),
        (None, None, Some(name)) => format!("exception: \"{name}\""),
        (None, None, None) => return Ok(true),
    };
    line(out, 1, &because)?;
    Ok(false)
}

const fn mark(holds: bool) -> &'static str {
    if holds { "[x]" } else { "[ ]" }
}

/// A clause with its place in the query and the values that it looked at.
fn summary(clause: &Clause, rule: &Rule) -> String {
    let before = rule.query.get(..clause.span.start).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("{line}:{column}: {}{}", text(clause), values(clause))
}

/// A clause and those in it, one a line.
fn clause(out: &mut impl Write, clause: &Clause, depth: usize) -> io::Result<()> {
    let name = match clause.kind {
        ClauseKind::All => "every event".to_owned(),
        ClauseKind::Or => "any of".to_owned(),
        ClauseKind::And => "all of".to_owned(),
        ClauseKind::Not if !is_simple(clause) => "not".to_owned(),
        ClauseKind::Not | ClauseKind::Field | ClauseKind::Nested | ClauseKind::Free => {
            format!("{}{}", text(clause), values(clause))
        }
    };
    line(out, depth, &format!("{} {name}", mark(clause.holds)))?;
    if is_simple(clause) {
        return Ok(());
    }
    clause
        .children
        .iter()
        .try_for_each(|child| self::clause(out, child, depth + 1))
}

/// Whether a clause has nothing in it, or is the opposite of one that has not.
fn is_simple(clause: &Clause) -> bool {
    match clause.children.as_slice() {
        [] => true,
        [only] => clause.kind == ClauseKind::Not && only.children.is_empty(),
        _ => false,
    }
}

/// The text of a clause on one line.
fn text(clause: &Clause) -> String {
    clause.text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What the event has for the fields that a clause and those in it look at.
fn values(clause: &Clause) -> String {
    let mut looked = Looked::default();
    looked.at(clause);
    let Looked { found, any, .. } = looked;
    if !any {
        return String::new();
    }
    if found.is_empty() {
        return "  -- the event has no value".to_owned();
    }
    let shown: Vec<String> = found
        .iter()
        .take(VALUES)
        .map(|value| format!("{} = {}", value.field, short(&value.value)))
        .collect();
    let more = match found.len() - shown.len() {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    format!("  -- {}{more}", shown.join(", "))
}

/// The values that clauses look at, those of each field once.
#[derive(Default)]
struct Looked<'c> {
    found: Vec<&'c FieldValue>,
    fields: BTreeSet<&'c str>,
    /// Whether any clause looks at a field.
    any: bool,
}

impl<'c> Looked<'c> {
    fn at(&mut self, clause: &'c Clause) {
        match clause.kind {
            ClauseKind::Field | ClauseKind::Nested => {
                self.any = true;
                let Self { found, fields, .. } = self;
                let new = clause
                    .values
                    .iter()
                    .filter(|value| !fields.contains(value.field.as_str()));
                found.extend(new);
                fields.extend(clause.values.iter().map(|value| value.field.as_str()));
            }
            ClauseKind::All
            | ClauseKind::Or
            | ClauseKind::And
            | ClauseKind::Not
            | ClauseKind::Free => clause.children.iter().for_each(|child| self.at(child)),
        }
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn line(out: &mut impl Write, depth: usize, text: &str) -> io::Result<()> {
    writeln!(out, "{}{}", "  ".repeat(depth), printable(text))
}
