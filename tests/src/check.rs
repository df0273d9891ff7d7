//! Looking into documents, with messages that show what was there instead.

use anyhow::{Result, bail};
use serde_json::Value;

/// The value at a dotted path, whether the document nests its objects or writes dotted keys
/// (Kibana's alert fields are written both ways).
pub fn get<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    let object = document.as_object()?;
    if let Some(value) = object.get(path) {
        return Some(value);
    }
    path.match_indices('.').find_map(|(dot, _)| {
        let (head, tail) = path.split_at_checked(dot)?;
        get(object.get(head)?, tail.strip_prefix('.')?)
    })
}

/// Text at a path.
pub fn text<'a>(document: &'a Value, path: &str) -> Option<&'a str> {
    get(document, path)?.as_str()
}

/// Number at a path.
pub fn number(document: &Value, path: &str) -> Option<u64> {
    get(document, path)?.as_u64()
}

/// Compares many fields of one document and reports all differences at once.
#[derive(Debug)]
pub struct Check<'a> {
    document: &'a Value,
    differences: Vec<String>,
}

impl<'a> Check<'a> {
    /// Starts to compare.
    pub fn of(document: &'a Value) -> Self {
        Self {
            document,
            differences: Vec::new(),
        }
    }

    /// The field has this value. Integers and floats of the same value are equal.
    #[must_use]
    pub fn is(mut self, path: &str, expected: impl Into<Value>) -> Self {
        let expected = expected.into();
        match get(self.document, path) {
            Some(found) if same(found, &expected) => {}
            found => self.differ(path, &format!("{expected}"), found),
        }
        self
    }

    /// The field has one of these values.
    #[must_use]
    pub fn is_one_of<T: Into<Value>>(
        mut self,
        path: &str,
        expected: impl IntoIterator<Item = T>,
    ) -> Self {
        let expected: Vec<Value> = expected.into_iter().map(Into::into).collect();
        match get(self.document, path) {
            Some(found) if expected.iter().any(|e| same(found, e)) => {}
            found => self.differ(path, &format!("one of {expected:?}"), found),
        }
        self
    }

    /// The field is an array that contains this value.
    #[must_use]
    pub fn has(mut self, path: &str, expected: impl Into<Value>) -> Self {
        let expected = expected.into();
        match get(self.document, path) {
            Some(Value::Array(found)) if found.contains(&expected) => {}
            found => self.differ(path, &format!("an array with {expected}"), found),
        }
        self
    }

    /// The document has the field, with whatever value.
    #[must_use]
    pub fn knows(mut self, path: &str) -> Self {
        if get(self.document, path).is_none() {
            self.differ(path, "any value", None);
        }
        self
    }

    /// The document has no such field.
    #[must_use]
    pub fn lacks(mut self, path: &str) -> Self {
        if let found @ Some(_) = get(self.document, path) {
            self.differ(path, "no such field", found);
        }
        self
    }

    /// Fails with every difference and the whole document.
    pub fn done(self) -> Result<()> {
        if self.differences.is_empty() {
            return Ok(());
        }
        bail!(
            "{}\nin {:#}",
            self.differences.join("\n"),
            without_rule(self.document)
        )
    }

    fn differ(&mut self, path: &str, expected: &str, found: Option<&Value>) {
        let found = found.map_or_else(|| "is absent".to_owned(), |found| format!("is {found}"));
        self.differences
            .push(format!("{path} {found}, expected {expected}"));
    }
}

/// The document without the text of its rule, which would bury the rest.
pub fn without_rule(document: &Value) -> Value {
    let mut document = document.clone();
    if let Some(rule) = document.pointer_mut("/kibana/alert/rule") {
        *rule = Value::String("left out".to_owned());
    }
    document
}

fn same(found: &Value, expected: &Value) -> bool {
    found == expected
        || matches!((found.as_f64(), expected.as_f64()), (Some(a), Some(b)) if (a - b).abs() < f64::EPSILON)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_are_found_nested_and_dotted() {
        let document = json!({
            "a": {"b": {"c": 1}}, "d.e": {"f": 2}, "g": {"h.i": 3}, "j.k.l": 4, "m": [5],
        });
        for (path, expected) in [("a.b.c", 1), ("d.e.f", 2), ("g.h.i", 3), ("j.k.l", 4)] {
            assert_eq!(number(&document, path), Some(expected), "{path}");
        }
        for path in ["a.b.c.d", "a.c", "m.0", "", ".", "a."] {
            assert_eq!(get(&document, path), None, "{path}");
        }
    }

    #[test]
    fn a_check_names_every_difference() {
        let document = json!({"port": 23, "score": 47.0, "tags": ["x"], "pid": 7});
        Check::of(&document)
            .is("port", 23)
            .is("score", 47)
            .has("tags", "x")
            .is_one_of("pid", [6, 7])
            .lacks("user")
            .done()
            .unwrap();
        let error = Check::of(&document)
            .is("port", "23")
            .is("user.name", "root")
            .has("tags", "y")
            .is_one_of("pid", [8])
            .lacks("pid")
            .done()
            .unwrap_err()
            .to_string();
        for part in [
            "port is 23, expected \"23\"",
            "user.name is absent, expected \"root\"",
            "tags is [\"x\"], expected an array with \"y\"",
            "pid is 7, expected one of",
            "pid is 7, expected no such field",
        ] {
            assert!(error.contains(part), "{part} not in {error}");
        }
    }
}
