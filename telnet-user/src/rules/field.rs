//! Values of a field in a document, whatever its spelling.

use serde_json::Value;

/// Scalars at `path` in `document`, in document order.
///
/// A dotted key is the same path as nested objects, both may occur in one
/// document, arrays contribute every element, null is no value.
pub(crate) fn values<'d>(document: &'d Value, path: &str) -> Vec<&'d Value> {
    let mut out = Vec::new();
    walk(document, Some(path), &mut |value| {
        if !value.is_object() {
            out.push(value);
        }
    });
    out
}

/// The first scalar at `path`.
pub(crate) fn first<'d>(document: &'d Value, path: &str) -> Option<&'d Value> {
    values(document, path).into_iter().next()
}

/// The first value at `path` as text, if it is a scalar.
pub(crate) fn text(document: &Value, path: &str) -> Option<String> {
    first(document, path).map(scalar_text)
}

/// Every value at `path` as text, in document order.
pub(crate) fn texts(document: &Value, path: &str) -> Vec<String> {
    values(document, path)
        .into_iter()
        .map(scalar_text)
        .collect()
}

/// Objects at `path`, each element of an array on its own.
pub(crate) fn objects<'d>(document: &'d Value, path: &str) -> Vec<&'d Value> {
    let mut out = Vec::new();
    walk(document, Some(path), &mut |value| {
        if value.is_object() {
            out.push(value);
        }
    });
    out
}

/// A scalar as the text a keyword field holds: strings bare, others as JSON.
pub(crate) fn scalar_text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Sets member `key` of `object`; nothing happens to any other kind of value.
pub(crate) fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(key.to_owned(), value);
    }
}

fn walk<'d>(value: &'d Value, rest: Option<&str>, found: &mut impl FnMut(&'d Value)) {
    match value {
        Value::Null => {}
        Value::Array(elements) => {
            for element in elements {
                walk(element, rest, found);
            }
        }
        Value::Object(members) => {
            let Some(path) = rest else {
                found(value);
                return;
            };
            if let Some(member) = members.get(path) {
                walk(member, None, found);
            }
            for (dot, _) in path.match_indices('.') {
                if let (Some(head), Some(tail)) = (path.get(..dot), path.get(dot + 1..))
                    && let Some(member) = members.get(head)
                {
                    walk(member, Some(tail), found);
                }
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            if rest.is_none() {
                found(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{objects, texts};

    #[test]
    fn finds_every_spelling() {
        let cases = [
            (json!({"a": {"b": 1}}), vec!["1"]),
            (json!({"a.b": "x"}), vec!["x"]),
            (json!({"a": {"b": 1}, "a.b": 2}), vec!["2", "1"]),
            (
                json!({"a": [{"b": 1}, {"b": [2, [3, null]]}, 7]}),
                vec!["1", "2", "3"],
            ),
            (json!({"a": {"b": {"c": 1}}}), vec![]),
            (json!({"a": {"b": null}}), vec![]),
            (json!({"a": "b"}), vec![]),
            (json!([]), vec![]),
        ];
        for (document, expected) in cases {
            assert_eq!(texts(&document, "a.b"), expected, "{document}");
        }
    }

    #[test]
    fn objects_are_kept_apart() {
        let document = json!({"a": [{"b": {"c": 1}}, {"b": {"c": 2}}], "a.b": {"c": 3}});
        assert_eq!(objects(&document, "a.b").len(), 3);
    }
}
