//! Values of documents, however those are kept.

use serde_json::{Map, Number, Value, map, value::Index as _};

use super::indexed::{Entry, Indexed, Kind};

/// One value of a document, with everything in it.
#[derive(Clone, Copy, Debug)]
pub struct Node<'d>(Place<'d>);

#[derive(Clone, Copy, Debug)]
enum Place<'d> {
    Tree(&'d Value),
    Members(&'d Map<String, Value>),
    Text(&'d Indexed, u32),
}

/// What a value is.
#[derive(Clone, Debug)]
pub enum View<'d> {
    /// No value.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    Text(&'d str),
    /// A list.
    Array(Elements<'d>),
    /// An object.
    Object(Members<'d>),
}

impl<'d> From<&'d Value> for Node<'d> {
    fn from(value: &'d Value) -> Self {
        Self(Place::Tree(value))
    }
}

impl<'d> From<&'d Map<String, Value>> for Node<'d> {
    fn from(members: &'d Map<String, Value>) -> Self {
        Self(Place::Members(members))
    }
}

impl<'d> From<&'d Indexed> for Node<'d> {
    fn from(document: &'d Indexed) -> Self {
        Self(Place::Text(document, 0))
    }
}

impl<'d> Node<'d> {
    /// What it is.
    #[inline]
    pub fn view(self) -> View<'d> {
        match self.0 {
            Place::Tree(Value::Null) => View::Null,
            Place::Tree(Value::Bool(value)) => View::Bool(*value),
            Place::Tree(Value::Number(number)) => View::Number(number.clone()),
            Place::Tree(Value::String(text)) => View::Text(text),
            Place::Tree(Value::Array(list)) => View::Array(Elements(Siblings::Tree(list.iter()))),
            Place::Tree(Value::Object(members)) | Place::Members(members) => {
                View::Object(Members(Siblings::Members(members.iter())))
            }
            Place::Text(document, at) => match document.entry(at) {
                Some(entry) => view(document, at, entry),
                None => View::Null,
            },
        }
    }

    /// Its members when it is an object, else none.
    pub fn members(self) -> Members<'d> {
        match self.view() {
            View::Object(members) => members,
            View::Null | View::Bool(_) | View::Number(_) | View::Text(_) | View::Array(_) => {
                Members(Siblings::None)
            }
        }
    }

    /// The member called `key`, dots and all.
    pub fn get(self, key: &str) -> Option<Self> {
        match self.0 {
            Place::Tree(value) => key.index_into(value).map(Self::from),
            Place::Members(members) => members.get(key).map(Self::from),
            Place::Text(document, at) => {
                let member = document.member(at, key)?;
                Some(Self(Place::Text(document, member)))
            }
        }
    }

    /// Whether nested objects are the only spelling of a path in the document, because no key has
    /// a dot. It is not known of documents that were parsed.
    pub const fn is_nested(self) -> bool {
        match self.0 {
            Place::Text(document, _) => !document.has_dotted_keys,
            Place::Tree(_) | Place::Members(_) => false,
        }
    }

    /// What it says when it is a string.
    pub fn as_str(self) -> Option<&'d str> {
        match self.view() {
            View::Text(text) => Some(text),
            View::Null | View::Bool(_) | View::Number(_) | View::Array(_) | View::Object(_) => None,
        }
    }

    /// Whether it is an object.
    pub fn is_object(self) -> bool {
        matches!(self.view(), View::Object(_))
    }

    /// The parsed document it is part of, of whose types nothing is known; none for one that the
    /// agent wrote from typed fields.
    pub const fn as_tree(self) -> Option<&'d Value> {
        match self.0 {
            Place::Tree(value) => Some(value),
            Place::Members(_) | Place::Text(..) => None,
        }
    }

    /// A copy as a tree.
    pub fn to_value(self) -> Value {
        match self.0 {
            Place::Tree(value) => value.clone(),
            Place::Members(members) => Value::Object(members.clone()),
            Place::Text(document, at) => {
                let entry = document.entry(at);
                let text = entry.map_or("null", |entry| document.span(entry.whole));
                serde_json::from_str(text).unwrap_or_default()
            }
        }
    }

    /// Appends it as compact JSON.
    pub fn write(self, out: &mut String) {
        match self.0 {
            Place::Tree(Value::String(text)) => {
                super::push_text(out, text);
            }
            Place::Tree(value) => out.push_str(&value.to_string()),
            Place::Members(_) => out.push_str(&self.to_value().to_string()),
            Place::Text(document, at) => {
                let entry = document.entry(at);
                out.push_str(entry.map_or("null", |entry| document.span(entry.whole)));
            }
        }
    }

    /// As compact JSON.
    pub fn to_text(self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }
}

/// A path up to its first dot, and what is behind that.
pub fn first_step(path: &str) -> (&str, Option<&str>) {
    // Not by a search for text, which takes longer to set up than most paths are long.
    let dot = path.bytes().position(|byte| byte == b'.');
    match dot.and_then(|dot| path.split_at_checked(dot)) {
        Some((key, rest)) => (key, rest.get(1..)),
        None => (path, None),
    }
}

fn view<'d>(document: &'d Indexed, at: u32, entry: &Entry) -> View<'d> {
    let inside = Siblings::Text {
        document,
        at: at.saturating_add(1),
        end: entry.next,
    };
    match entry.kind {
        Kind::Null => View::Null,
        Kind::Bool(value) => View::Bool(value),
        Kind::Number => number(document.span(entry.whole)).map_or(View::Null, View::Number),
        Kind::Text => View::Text(document.span(entry.said)),
        Kind::Array => View::Array(Elements(inside)),
        Kind::Object => View::Object(Members(inside)),
    }
}

/// A number as `serde_json` writes it.
fn number(text: &str) -> Option<Number> {
    let signed = text.parse::<i64>().map(Number::from);
    let integer = signed.or_else(|_| text.parse::<u64>().map(Number::from));
    integer
        .ok()
        .or_else(|| Number::from_f64(text.parse().ok()?))
}

/// The elements of a list.
#[derive(Clone, Debug)]
pub struct Elements<'d>(Siblings<'d>);

impl<'d> Iterator for Elements<'d> {
    type Item = Node<'d>;

    fn next(&mut self) -> Option<Node<'d>> {
        self.0.next().map(|(_, node)| node)
    }
}

/// The members of an object.
#[derive(Clone, Debug)]
pub struct Members<'d>(Siblings<'d>);

impl<'d> Members<'d> {
    /// Whether some member passes.
    ///
    /// It asks once how the document is kept, where the iterator asks at every member: queries
    /// look at each key of an event for each of their fields.
    #[inline]
    pub fn any_pair(self, mut test: impl FnMut(&'d str, Node<'d>) -> bool) -> bool {
        match self.0 {
            Siblings::None | Siblings::Tree(_) => false,
            Siblings::Members(mut members) => {
                members.any(|(key, value)| test(key, Node(Place::Tree(value))))
            }
            Siblings::Text { .. } => {
                let mut members = self;
                members.any(|(key, value)| test(key, value))
            }
        }
    }
}

impl<'d> Iterator for Members<'d> {
    type Item = (&'d str, Node<'d>);

    fn next(&mut self) -> Option<(&'d str, Node<'d>)> {
        self.0.next()
    }
}

/// Values side by side; elements have an empty key.
#[derive(Clone, Debug)]
enum Siblings<'d> {
    None,
    Tree(std::slice::Iter<'d, Value>),
    Members(map::Iter<'d>),
    Text {
        document: &'d Indexed,
        at: u32,
        end: u32,
    },
}

impl<'d> Siblings<'d> {
    #[inline]
    fn next(&mut self) -> Option<(&'d str, Node<'d>)> {
        match self {
            Self::None => None,
            Self::Tree(list) => list.next().map(|value| ("", Node::from(value))),
            Self::Members(members) => members
                .next()
                .map(|(key, value)| (key.as_str(), Node::from(value))),
            Self::Text { document, at, end } => {
                if at >= end {
                    return None;
                }
                let entry = document.entry(*at)?;
                let node = Node(Place::Text(document, *at));
                *at = entry.next;
                Some((document.key(entry), node))
            }
        }
    }
}
