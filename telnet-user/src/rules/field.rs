//! Values of a field in a document, whatever its spelling.

use serde_json::Value;

use crate::json::{Node, View, first_step};

/// Scalars at `path` in `document`, in document order.
///
/// A dotted key is the same path as nested objects, both may occur in one
/// document, arrays contribute every element, null is no value.
pub(crate) fn values<'d>(document: impl Into<Node<'d>>, path: &str) -> Vec<Node<'d>> {
    let mut out = Vec::new();
    find(document.into(), Some(path), &mut |value| {
        if !value.is_object() {
            out.push(value);
        }
        false
    });
    out
}

/// The first scalar at `path`.
pub(crate) fn first<'d>(document: impl Into<Node<'d>>, path: &str) -> Option<Node<'d>> {
    let mut out = None;
    find(document.into(), Some(path), &mut |value| {
        let is_scalar = !value.is_object();
        if is_scalar {
            out = Some(value);
        }
        is_scalar
    });
    out
}

/// The first value at `path` as text, if it is a scalar.
pub(crate) fn text<'d>(document: impl Into<Node<'d>>, path: &str) -> Option<String> {
    first(document, path).map(scalar_text)
}

/// Every value at `path` as text, in document order.
pub(crate) fn texts<'d>(document: impl Into<Node<'d>>, path: &str) -> Vec<String> {
    values(document, path)
        .into_iter()
        .map(scalar_text)
        .collect()
}

/// Objects at `path`, each element of an array on its own.
pub(crate) fn objects<'d>(document: impl Into<Node<'d>>, path: &str) -> Vec<Node<'d>> {
    let mut out = Vec::new();
    find(document.into(), Some(path), &mut |value| {
        if value.is_object() {
            out.push(value);
        }
        false
    });
    out
}

/// A scalar as the text a keyword field holds: strings bare, others as JSON.
pub(crate) fn scalar_text(value: Node<'_>) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_text(), str::to_owned)
}

/// Sets member `key` of `object`; nothing happens to any other kind of value.
pub(crate) fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(key.to_owned(), value);
    }
}

/// Calls `found` with what stands at the path until it says that this is enough; whether it did.
fn find<'d>(value: Node<'d>, rest: Option<&str>, found: &mut dyn FnMut(Node<'d>) -> bool) -> bool {
    match value.view() {
        View::Null => false,
        View::Array(mut elements) => elements.any(|element| find(element, rest, found)),
        View::Object(_) => {
            let Some(path) = rest else {
                return found(value);
            };
            if value.is_nested() {
                let (key, rest) = first_step(path);
                let member = value.get(key);
                return member.is_some_and(|member| find(member, rest, found));
            }
            let starts = |key: &str| {
                let rest = path.strip_prefix(key);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            let mut related = value.members().filter(|(key, _)| starts(key));
            match (related.next(), related.next()) {
                (None, _) => return false,
                // The usual case, in which there is no order to keep.
                (Some((key, member)), None) => {
                    return find(member, path.get(key.len() + 1..), found);
                }
                (Some(_), Some(_)) => {}
            }
            let whole = value.get(path);
            if whole.is_some_and(|member| find(member, None, found)) {
                return true;
            }
            path.match_indices('.').any(|(dot, _)| {
                let parts = path.get(..dot).zip(path.get(dot + 1..));
                parts.is_some_and(|(head, tail)| {
                    let member = value.get(head);
                    member.is_some_and(|member| find(member, Some(tail), found))
                })
            })
        }
        View::Bool(_) | View::Number(_) | View::Text(_) => rest.is_none() && found(value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{objects, texts};
    use crate::json::Indexed;

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
            let written = Indexed::of(&document).expect("JSON");
            assert_eq!(texts(&written, "a.b"), expected, "{document}");
        }
    }

    #[test]
    fn objects_are_kept_apart() {
        let document = json!({"a": [{"b": {"c": 1}}, {"b": {"c": 2}}], "a.b": {"c": 3}});
        assert_eq!(objects(&document, "a.b").len(), 3);
    }
}
