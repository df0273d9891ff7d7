//! Values by path, as if the event had been flattened, without flattening it.
//!
//! Objects extend the path with a dot, a key may hold dots itself, arrays contribute every element,
//! null is no value. Each function visits every value at most once and stops at the first `true`.

use serde_json::{Map, Value};

use crate::json::{Elements, Node, View, first_step};

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
/// Where a path can have several spellings, a scan of the keys finds all of them at once and beats
/// hashing each on objects of the usual size.
pub(in crate::kql) fn any(
    object: Node<'_>,
    path: &str,
    test: &mut impl FnMut(&View<'_>) -> bool,
) -> bool {
    if object.is_nested() {
        let (key, rest) = first_step(path);
        let member = object.get(key);
        return member.is_some_and(|value| any_behind(value, rest, test));
    }
    object
        .members()
        .any_pair(|key, value| match relate(key, path) {
            Key::Whole => any_behind(value, None, test),
            Key::Start(rest) => any_behind(value, Some(rest), test),
            Key::Below | Key::Other => false,
        })
}

/// Whether some scalar at the rest of a path passes, whose start led to `value`.
fn any_behind(
    value: Node<'_>,
    rest: Option<&str>,
    test: &mut impl FnMut(&View<'_>) -> bool,
) -> bool {
    let Some(rest) = rest else {
        return elements(value, test);
    };
    match value.view() {
        View::Array(list) => inside(list, &mut |inner| any(inner, rest, test)),
        View::Object(_) => any(value, rest, test),
        View::Null | View::Bool(_) | View::Number(_) | View::Text(_) => false,
    }
}

/// Whether some scalar at `path` or anywhere below it passes.
pub(super) fn any_below(
    object: Node<'_>,
    path: &str,
    test: &mut impl FnMut(&View<'_>) -> bool,
) -> bool {
    // The recursion is over one concrete closure type, so that it can be compiled.
    fn walk(object: Node<'_>, path: &str, test: &mut dyn FnMut(&View<'_>) -> bool) -> bool {
        object
            .members()
            .any(|(key, value)| match relate(key, path) {
                Key::Whole | Key::Below => scalars(value, test),
                Key::Start(rest) => match value.view() {
                    View::Array(list) => inside(list, &mut |inner| walk(inner, rest, test)),
                    View::Object(_) => walk(value, rest, test),
                    View::Null | View::Bool(_) | View::Number(_) | View::Text(_) => false,
                },
                Key::Other => false,
            })
    }
    walk(object, path, test)
}

/// The objects in a list, at any depth of lists.
fn inside(list: Elements<'_>, visit: &mut dyn FnMut(Node<'_>) -> bool) -> bool {
    let mut list = list;
    list.any(|element| match element.view() {
        View::Object(_) => visit(element),
        View::Array(list) => inside(list, visit),
        View::Null | View::Bool(_) | View::Number(_) | View::Text(_) => false,
    })
}

/// The scalars in `value` that are at its own path: itself or the elements of a list.
fn elements(value: Node<'_>, test: &mut dyn FnMut(&View<'_>) -> bool) -> bool {
    match value.view() {
        View::Null | View::Object(_) => false,
        View::Array(mut list) => list.any(|element| elements(element, test)),
        scalar @ (View::Bool(_) | View::Number(_) | View::Text(_)) => test(&scalar),
    }
}

/// The scalars in `value` at any path.
fn scalars(value: Node<'_>, test: &mut dyn FnMut(&View<'_>) -> bool) -> bool {
    match value.view() {
        View::Null => false,
        View::Object(mut members) => members.any(|(_, inner)| scalars(inner, test)),
        View::Array(mut list) => list.any(|element| scalars(element, test)),
        scalar @ (View::Bool(_) | View::Number(_) | View::Text(_)) => test(&scalar),
    }
}

/// Whether some scalar of the object passes, given its full path; `prefix` is the object's own path
/// and a dot.
pub(super) fn any_leaf(
    object: Node<'_>,
    prefix: &str,
    test: &mut dyn FnMut(&str, Node<'_>) -> bool,
) -> bool {
    fn walk(
        object: Node<'_>,
        path: &mut String,
        test: &mut dyn FnMut(&str, Node<'_>) -> bool,
    ) -> bool {
        let length = path.len();
        object.members().any(|(key, value)| {
            path.truncate(length);
            path.push_str(key);
            leaf(value, path, test)
        })
    }
    fn leaf(
        value: Node<'_>,
        path: &mut String,
        test: &mut dyn FnMut(&str, Node<'_>) -> bool,
    ) -> bool {
        match value.view() {
            View::Null => false,
            View::Bool(_) | View::Number(_) | View::Text(_) => test(path, value),
            View::Array(mut list) => {
                let length = path.len();
                list.any(|element| {
                    path.truncate(length);
                    leaf(element, path, test)
                })
            }
            View::Object(_) => {
                path.push('.');
                walk(value, path, test)
            }
        }
    }
    walk(object, &mut prefix.to_owned(), test)
}

/// An object that braces are held against.
pub(super) enum Object<'e> {
    /// It is written in one place.
    Whole(Node<'e>),
    /// It is put together from several, or from dotted keys.
    Merged(Map<String, Value>),
}

impl Object<'_> {
    pub(super) fn node(&self) -> Node<'_> {
        match self {
            Self::Whole(node) => *node,
            Self::Merged(members) => Node::from(members),
        }
    }

    fn into_members(self) -> Map<String, Value> {
        match self {
            Self::Whole(node) => {
                let members = node.members();
                members
                    .map(|(key, value)| (key.to_owned(), value.to_value()))
                    .collect()
            }
            Self::Merged(members) => members,
        }
    }
}

/// The objects at `path`: each element of an array for itself; all that is written outside of
/// arrays, nested or with dotted keys, is one object.
pub(super) fn objects<'e>(object: Node<'e>, path: &str) -> Vec<Object<'e>> {
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
    alone: Vec<Object<'e>>,
    /// What is outside of arrays.
    merged: Option<Object<'e>>,
}

impl<'e> Found<'e> {
    fn collect(&mut self, object: Node<'e>, path: &str, in_array: bool) {
        // Dotted keys of one object belong together.
        let mut dotted = Map::new();
        for (key, value) in object.members() {
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
            self.add(Object::Merged(dotted), in_array);
        }
    }

    fn descend(&mut self, value: Node<'e>, rest: &str, in_array: bool) {
        match value.view() {
            View::Object(_) => self.collect(value, rest, in_array),
            View::Array(list) => list.for_each(|element| self.descend(element, rest, true)),
            View::Null | View::Bool(_) | View::Number(_) | View::Text(_) => {}
        }
    }

    fn add_value(&mut self, value: Node<'e>, in_array: bool) {
        match value.view() {
            View::Object(_) => self.add(Object::Whole(value), in_array),
            View::Array(list) => list.for_each(|element| self.add_value(element, true)),
            View::Null | View::Bool(_) | View::Number(_) | View::Text(_) => {}
        }
    }

    fn add(&mut self, object: Object<'e>, in_array: bool) {
        if in_array {
            self.alone.push(object);
            return;
        }
        self.merged = Some(match self.merged.take() {
            None => object,
            Some(merged) => {
                let mut target = merged.into_members();
                for (key, value) in object.node().members() {
                    insert(&mut target, key, value);
                }
                Object::Merged(target)
            }
        });
    }
}

/// Adds a value under `key` beside what is there: a field may have several values.
fn insert(target: &mut Map<String, Value>, key: &str, value: Node<'_>) {
    let value = value.to_value();
    match target.get_mut(key) {
        None => {
            target.insert(key.to_owned(), value);
        }
        Some(present) => {
            let first = std::mem::take(present);
            *present = Value::Array(vec![first, value]);
        }
    }
}
