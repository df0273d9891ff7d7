//! Typed access to the members of a table. Every miss becomes a [`Problem`] with
//! its place, and reading goes on, so that one pass reports everything.

use std::cell::RefCell;

use serde_json::{Map, Value};

use super::{Document, Path};
use crate::source::problem::{Level, Position, Problem};

/// Findings collected while one rule is read.
#[derive(Debug, Default)]
pub(crate) struct Findings(RefCell<Vec<Problem>>);

impl Findings {
    /// Adds a finding; one that is known already is not repeated.
    pub(crate) fn push(&self, problem: Problem) {
        let mut problems = self.0.borrow_mut();
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }

    /// Whether nothing so far keeps the rule from running.
    pub(crate) fn runnable(&self) -> bool {
        self.0
            .borrow()
            .iter()
            .all(|problem| problem.level == Level::Warning)
    }

    /// The findings in the order they were made.
    pub(crate) fn into_inner(self) -> Vec<Problem> {
        self.0.into_inner()
    }
}

/// One object of a document.
#[derive(Clone, Debug)]
pub(crate) struct Table<'a> {
    document: &'a Document<'a>,
    path: Path,
    members: &'a Map<String, Value>,
    findings: &'a Findings,
}

impl<'a> Table<'a> {
    /// The object at `path`; a finding and `None` for anything else.
    pub(crate) fn at(
        document: &'a Document<'a>,
        path: Path,
        findings: &'a Findings,
    ) -> Option<Self> {
        match document.get(&path) {
            Some(Value::Object(members)) => Some(Self {
                document,
                path,
                members,
                findings,
            }),
            Some(other) => {
                findings.push(document.problem(Level::Error, &path, wrong_type("a table", other)));
                None
            }
            None => {
                findings.push(document.problem(Level::Error, &path, "missing table".to_owned()));
                None
            }
        }
    }

    /// Names and values of the members.
    pub(crate) fn members(&self) -> &'a Map<String, Value> {
        self.members
    }

    /// Whether the member is there and not null.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// The member, whatever its type; null counts as absent.
    pub(crate) fn value(&self, key: &str) -> Option<&'a Value> {
        self.members.get(key).filter(|value| !value.is_null())
    }

    /// Line of the file on which this object starts.
    pub(crate) fn line(&self) -> usize {
        self.document.line_of(&self.path)
    }

    /// Reports an error about member `key`.
    pub(crate) fn error(&self, key: &str, message: String) {
        self.report(Level::Error, key, message);
    }

    /// Reports a finding about member `key`.
    pub(crate) fn report(&self, level: Level, key: &str, message: String) {
        self.findings.push(self.problem(level, key, message));
    }

    /// A finding about member `key`, not yet reported.
    pub(crate) fn problem(&self, level: Level, key: &str, message: String) -> Problem {
        self.document.problem(level, &self.path.key(key), message)
    }

    /// Reports a finding about the name of member `key`.
    pub(crate) fn report_key(
        &self,
        level: Level,
        key: &str,
        message: String,
        hint: Option<String>,
    ) {
        let problem = self
            .document
            .key_problem(level, &self.path.key(key), message);
        self.findings.push(Problem { hint, ..problem });
    }

    /// Reports a finding about this object as a whole.
    pub(crate) fn report_self(&self, level: Level, message: String) {
        self.findings
            .push(self.document.problem(level, &self.path, message));
    }

    /// Reports a finding at `inner` of the decoded string `key`.
    pub(crate) fn report_inside(
        &self,
        level: Level,
        key: &str,
        inner: Position,
        message: String,
        hint: Option<String>,
    ) {
        let problem = self
            .document
            .problem_inside(level, &self.path.key(key), inner, message);
        self.findings.push(Problem { hint, ..problem });
    }

    /// A string member.
    pub(crate) fn string(&self, key: &str) -> Option<&'a str> {
        self.typed(key, "a string", Value::as_str)
    }

    /// A string member that must be there and not be blank.
    pub(crate) fn required(&self, key: &str) -> Option<&'a str> {
        if !self.has(key) {
            self.error(key, format!("missing required field {key}"));
            return None;
        }
        let text = self.string(key)?;
        if text.trim().is_empty() {
            self.error(key, format!("{key} is empty"));
            return None;
        }
        Some(text)
    }

    /// A boolean member.
    pub(crate) fn boolean(&self, key: &str) -> Option<bool> {
        self.typed(key, "a boolean", Value::as_bool)
    }

    /// An integer member; a number with a fraction is a wrong type.
    pub(crate) fn integer(&self, key: &str) -> Option<i64> {
        self.typed(key, "an integer", Value::as_i64)
    }

    /// An array of strings; an absent member is an empty list.
    pub(crate) fn strings(&self, key: &str) -> Vec<String> {
        let mut out = Vec::new();
        for (index, element) in self.elements(key).into_iter().enumerate() {
            if let Some(text) = element.as_str() {
                out.push(text.to_owned());
            } else {
                let path = self.path.key(key).index(index);
                let message = wrong_type("a string", element);
                self.findings
                    .push(self.document.problem(Level::Error, &path, message));
            }
        }
        out
    }

    /// The elements of an array member; an absent member has none.
    pub(crate) fn elements(&self, key: &str) -> Vec<&'a Value> {
        self.typed(key, "an array", Value::as_array)
            .into_iter()
            .flatten()
            .collect()
    }

    /// An object member.
    pub(crate) fn table(&self, key: &str) -> Option<Self> {
        self.value(key)?;
        Self::at(self.document, self.path.key(key), self.findings)
    }

    /// An array of objects; elements of another type are reported.
    pub(crate) fn tables(&self, key: &str) -> Vec<Self> {
        let path = self.path.key(key);
        let count = self.elements(key).len();
        (0..count)
            .filter_map(|index| Self::at(self.document, path.index(index), self.findings))
            .collect()
    }

    /// A required string out of a closed set.
    pub(crate) fn one_of<T: Copy>(&self, key: &str, set: &[(&str, T)]) -> Option<T> {
        let text = self.required(key)?;
        self.member_of(key, text, set)
    }

    /// An optional string out of a closed set.
    pub(crate) fn optional_one_of<T: Copy>(&self, key: &str, set: &[(&str, T)]) -> Option<T> {
        let text = self.string(key)?;
        self.member_of(key, text, set)
    }

    fn member_of<T: Copy>(&self, key: &str, text: &str, set: &[(&str, T)]) -> Option<T> {
        let found = set
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<&str> = set.iter().map(|(name, _)| *name).collect();
            self.error(key, format!("{key} must be one of {}", names.join(", ")));
        }
        found
    }

    fn typed<T>(
        &self,
        key: &str,
        expected: &str,
        convert: impl Fn(&'a Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.value(key)?;
        let converted = convert(value);
        if converted.is_none() {
            self.error(key, wrong_type(expected, value));
        }
        converted
    }
}

/// The sentence for a value of another type than expected.
pub(crate) fn wrong_type(expected: &str, found: &Value) -> String {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a float",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "a table",
    };
    format!("expected {expected}, found {found}")
}
