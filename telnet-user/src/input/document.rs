//! From a line to an event, whatever is wrapped around it.

use serde_json::{Map, Value};

use super::value;

/// Members of an action line of a `_bulk` body.
const METADATA: [&str; 15] = [
    "_id",
    "_index",
    "_type",
    "dynamic_templates",
    "if_primary_term",
    "if_seq_no",
    "list_executed_pipelines",
    "op_type",
    "pipeline",
    "require_alias",
    "require_data_stream",
    "retry_on_conflict",
    "routing",
    "version",
    "version_type",
];

/// An event and what its wrapping says about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The event itself, an object.
    pub document: Value,
    /// Where it is stored.
    pub place: Place,
}

/// Where an event is stored, as far as the line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// `_index`.
    pub index: Option<String>,
    /// `_id`.
    pub id: Option<String>,
    /// `_version`.
    pub version: Option<u64>,
}

/// Why a line holds no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Broken {
    /// Column in bytes, from 1, where that can be said.
    pub column: Option<usize>,
    /// The sentence: lower case, no full stop.
    pub message: String,
}

impl Broken {
    fn new(message: impl Into<String>) -> Self {
        Self {
            column: None,
            message: message.into(),
        }
    }
}

/// Reads the lines of one file in their order: in a `_bulk` body an action line says where the
/// event on the next one goes.
#[derive(Clone, Debug, Default)]
pub struct Parser {
    action: Option<Action>,
}

#[derive(Clone, Debug)]
enum Action {
    /// A whole document follows.
    Store(Place),
    /// Changes to a stored document follow.
    Update,
}

impl Parser {
    /// The event on `line`; `None` for a blank line or an action line.
    ///
    /// # Errors
    ///
    /// When the line is something else.
    pub fn parse(&mut self, line: &[u8]) -> Result<Option<Event>, Broken> {
        // Some editors put a byte order mark in front of the first line.
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        let action = self.action.take();
        let object = object(line)?;
        match self::action(&object) {
            Some((name, metadata)) => {
                self.action = match name {
                    // Nothing follows a delete.
                    "delete" => None,
                    "update" => Some(Action::Update),
                    _ => Some(Action::Store(Place::of(metadata))),
                };
                Ok(None)
            }
            None => match action {
                Some(Action::Update) => Err(Broken::new(
                    "changes to a stored document (update action), not a whole event",
                )),
                Some(Action::Store(place)) => unwrap(object, place).map(Some),
                None => unwrap(object, Place::default()).map(Some),
            },
        }
    }
}

fn object(line: &[u8]) -> Result<Map<String, Value>, Broken> {
    let value = value::read(line).map_err(|error| {
        let text = error.to_string();
        let message = text.rfind(" at line ").and_then(|end| text.get(..end));
        let prefix = if error.is_data() { "" } else { "not JSON: " };
        Broken {
            column: Some(error.column().max(1)),
            message: format!("{prefix}{}", message.unwrap_or(&text)),
        }
    })?;
    let kind = match value {
        Value::Object(object) => return Ok(object),
        Value::Array(_) => "an array",
        Value::String(_) => "a string",
        Value::Number(_) => "a number",
        Value::Bool(_) => "a boolean",
        Value::Null => "null",
    };
    Err(Broken::new(format!(
        "{kind} instead of an object: expected one event a line"
    )))
}

/// Name and metadata of an action line of a `_bulk` body.
fn action(object: &Map<String, Value>) -> Option<(&str, &Map<String, Value>)> {
    let mut members = object.iter();
    let (name, value) = members.next().filter(|_| object.len() == 1)?;
    let known = ["create", "delete", "index", "update"].contains(&name.as_str());
    let metadata = value.as_object().filter(|_| known)?;
    metadata
        .keys()
        .all(|key| METADATA.contains(&key.as_str()))
        .then_some((name, metadata))
}

/// Takes a search hit out of its wrapping, and what only a shipper reads out of an event.
fn unwrap(mut object: Map<String, Value>, place: Place) -> Result<Event, Broken> {
    let place = place.or(Place::of(&object));
    if object.contains_key("_index") || object.contains_key("_source") {
        for member in ["_source", "fields"] {
            if let Some(Value::Object(document)) = object.get_mut(member).map(Value::take) {
                let document = Value::Object(document);
                return Ok(Event { document, place });
            }
        }
    }
    let hits = object.get("hits").and_then(|hits| hits.get("hits"));
    if hits.is_some_and(Value::is_array) {
        return Err(Broken::new(
            "a search response: expected one hit a line, as `jq -c '.hits.hits[]'` writes them",
        ));
    }
    // Beats say here where an event goes; Elasticsearch does not store it.
    let shipper = object.shift_remove("@metadata");
    let place = place.or(shipper
        .as_ref()
        .and_then(Value::as_object)
        .map(Place::of)
        .unwrap_or_default());
    Ok(Event {
        document: Value::Object(object),
        place,
    })
}

impl Place {
    /// What `metadata` says.
    fn of(metadata: &Map<String, Value>) -> Self {
        let text = |key| metadata.get(key).and_then(Value::as_str);
        Self {
            index: text("_index").map(str::to_owned),
            id: text("_id").map(str::to_owned),
            version: metadata.get("_version").and_then(Value::as_u64),
        }
    }

    /// This, completed by `other`.
    fn or(self, other: Self) -> Self {
        Self {
            index: self.index.or(other.index),
            id: self.id.or(other.id),
            version: self.version.or(other.version),
        }
    }
}
