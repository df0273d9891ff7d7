//! Values by path, as if the event had been flattened, without flattening it.
//!
//! Objects extend the path with a dot, a key may hold dots itself, arrays contribute every element,
//! null is no value. Each function visits every value at most once and stops at the first `true`.

use std::borrow::Cow;

use serde_json::Value;

use super::Object;

/// How an object's key relates to a wanted path.
enum Key<'p> {
    /// The key is the whole path.
    Whole,
    /// The key is a start of the path; this is the rest.
    Start(&'p str),
    /// The path is a start of the key: the value is below the path.
    Below,
    Other,
}

#[inline]
fn relate<'p>(key: &str, path: &'p str) -> Key<'p> {
    match path.as_bytes().get(key.len()) {
        // The cheap comparison first: most keys end where the path has no dot.
        Some(b'.') => match path
            .strip_prefix(key)
            .and_then(|rest| rest.strip_prefix('.'))
        {
            Some(rest) => Key::Start(rest),
            None => Key::Other,
        },
        None if key == path => Key::Whole,
        None if key.as_bytes().get(path.len()) == Some(&b'.') && key.starts_with(path) => {
            Key::Below
        }
        Some(_) | None => Key::Other,
    }
}

/// Whether some scalar at `path` passes.
///
/// A scan of the keys finds every spelling of the path at once and beats hashing each of them on
/// objects of the usual size.
pub(super) fn any(object: &Object, path: &str, test: &mut impl FnMut(&Value) -> bool) -> bool {
    object
        .iter()
        .any(|(key, value)| match (relate(key, path), value) {
            (Key::Whole, Value::Bool(_) | Value::Number(_) | Value::String(_)) => test(value),
            (Key::Whole, _) => elements(value, test),
            (Key::Start(rest), Value::Object(inner)) => any(inner, rest, test),
            (Key::Start(rest), _) => inside(value, &mut |inner| any(inner, rest, test)),
            (Key::Below | Key::Other, _) => false,
        })
}

/// Whether some scalar at `path` or anywhere below it passes.
pub(super) fn any_below(
    object: &Object,
    path: &str,
    test: &mut impl FnMut(&Value) -> bool,
) -> bool {
    // The recursion is over one concrete closure type, so that it can be compiled.
    fn walk(object: &Object, path: &str, test: &mut dyn FnMut(&Value) -> bool) -> bool {
        object.iter().any(|(key, value)| match relate(key, path) {
            Key::Whole | Key::Below => scalars(value, test),
            Key::Start(rest) => inside(value, &mut |inner| walk(inner, rest, test)),
            Key::Other => false,
        })
    }
    walk(object, path, test)
}

/// The objects in `value`: itself, or the elements of an array at any depth.
fn inside(value: &Value, visit: &mut dyn FnMut(&Object) -> bool) -> bool {
    match value {
        Value::Object(object) => visit(object),
        Value::Array(array) => array.iter().any(|element| inside(element, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The scalars in `value` that are at its own path: itself or the elements of an array.
fn elements(value: &Value, test: &mut dyn FnMut(&Value) -> bool) -> bool {
    match value {
        Value::Null | Value::Object(_) => false,
        Value::Array(array) => array.iter().any(|element| elements(element, test)),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => test(value),
    }
}

/// The scalars in `value` at any path.
fn scalars(value: &Value, test: &mut dyn FnMut(&Value) -> bool) -> bool {
    match value {
        Value::Null => false,
        Value::Object(object) => object.values().any(|inner| scalars(inner, test)),
        Value::Array(array) => array.iter().any(|element| scalars(element, test)),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => test(value),
    }
}

/// Whether some scalar of the object passes, given its full path; `prefix` is the object's own path
/// and a dot.
pub(super) fn any_leaf(
    object: &Object,
    prefix: &str,
    test: &mut dyn FnMut(&str, &Value) -> bool,
) -> bool {
    fn walk(
        object: &Object,
        path: &mut String,
        test: &mut dyn FnMut(&str, &Value) -> bool,
    ) -> bool {
        let length = path.len();
        object.iter().any(|(key, value)| {
            path.truncate(length);
            path.push_str(key);
            leaf(value, path, test)
        })
    }
    fn leaf(value: &Value, path: &mut String, test: &mut dyn FnMut(&str, &Value) -> bool) -> bool {
        match value {
            Value::Null => false,
            Value::Bool(_) | Value::Number(_) | Value::String(_) => test(path, value),
            Value::Array(array) => {
                let length = path.len();
                array.iter().any(|element| {
                    path.truncate(length);
                    leaf(element, path, test)
                })
            }
            Value::Object(object) => {
                path.push('.');
                walk(object, path, test)
            }
        }
    }
    walk(object, &mut prefix.to_owned(), test)
}

/// The objects at `path`: each element of an array for itself; all that is written outside of
/// arrays, nested or with dotted keys, is one object.
pub(super) fn objects<'e>(object: &'e Object, path: &str) -> Vec<Cow<'e, Object>> {
    let mut found = Found {
        alone: Vec::new(),
        merged: None,
    };
    found.collect(object, path, false);
    let Found { mut alone, merged } = found;
    alone.extend(merged);
    alone
}

struct Found<'e> {
    /// Elements of arrays.
    alone: Vec<Cow<'e, Object>>,
    /// What is outside of arrays.
    merged: Option<Cow<'e, Object>>,
}

impl<'e> Found<'e> {
    fn collect(&mut self, object: &'e Object, path: &str, in_array: bool) {
        // Dotted keys of one object belong together.
        let mut dotted = Object::new();
        for (key, value) in object {
            match relate(key, path) {
                Key::Whole => self.add_value(value, in_array),
                Key::Start(rest) => self.descend(value, rest, in_array),
                Key::Below => {
                    let name = key.get(path.len() + 1..).unwrap_or_default();
                    insert(&mut dotted, name, value);
                }
                Key::Other => {}
            }
        }
        if !dotted.is_empty() {
            self.add(Cow::Owned(dotted), in_array);
        }
    }

    fn descend(&mut self, value: &'e Value, rest: &str, in_array: bool) {
        match value {
            Value::Object(inner) => self.collect(inner, rest, in_array),
            Value::Array(array) => array.iter().for_each(|e| self.descend(e, rest, true)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn add_value(&mut self, value: &'e Value, in_array: bool) {
        match value {
            Value::Object(inner) => self.add(Cow::Borrowed(inner), in_array),
            Value::Array(array) => array.iter().for_each(|e| self.add_value(e, true)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn add(&mut self, object: Cow<'e, Object>, in_array: bool) {
        if in_array {
            self.alone.push(object);
            return;
        }
        match &mut self.merged {
            None => self.merged = Some(object),
            Some(merged) => {
                let target = merged.to_mut();
                object
                    .iter()
                    .for_each(|(key, value)| insert(target, key, value));
            }
        }
    }
}

/// Adds a value under `key` beside what is there: a field may have several values.
fn insert(target: &mut Object, key: &str, value: &Value) {
    match target.get_mut(key) {
        None => {
            target.insert(key.to_owned(), value.clone());
        }
        Some(present) => {
            let first = std::mem::take(present);
            *present = Value::Array(vec![first, value.clone()]);
        }
    }
}
