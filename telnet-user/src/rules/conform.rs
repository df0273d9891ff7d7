//! Takes out of a document what ECS could not index: an alert with a field of the
//! wrong type would be refused by the index as a whole.

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::engine::is_date;
use crate::kql::fields::{self, FieldType};

/// `document` without the values that contradict the ECS type of their field.
pub(crate) fn stripped(document: &Value) -> Value {
    let mut document = document.clone();
    if let Value::Object(fields) = &mut document {
        members(fields, "");
    }
    document
}

fn members(document: &mut Map<String, Value>, prefix: &str) {
    document.retain(|key, value| {
        let path = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        keep(value, &path)
    });
}

/// Strips inside `value`; whether anything of it may stay.
fn keep(value: &mut Value, path: &str) -> bool {
    match value {
        Value::Null => true,
        Value::Array(elements) => {
            let before = elements.len();
            elements.retain_mut(|element| keep(element, path));
            before == 0 || !elements.is_empty()
        }
        Value::Object(inner) => match fields::lookup(path) {
            None | Some(FieldType::Flattened | FieldType::GeoPoint) => {
                members(inner, path);
                true
            }
            Some(_) => false,
        },
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            fields::lookup(path).is_none_or(|kind| fits(value, kind))
        }
    }
}

fn fits(value: &Value, kind: FieldType) -> bool {
    let text = value.as_str();
    match kind {
        FieldType::Keyword | FieldType::Text | FieldType::GeoPoint => true,
        FieldType::Flattened => false,
        FieldType::Long => {
            value.is_i64() || text.is_some_and(|text| text.trim().parse::<i64>().is_ok())
        }
        FieldType::Double => {
            value.is_number() || text.is_some_and(|text| text.trim().parse::<f64>().is_ok())
        }
        FieldType::Boolean => value.is_boolean() || matches!(text, Some("true" | "false")),
        FieldType::Ip => text.is_some_and(|text| text.parse::<IpAddr>().is_ok()),
        FieldType::Date => is_date(value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::stripped;

    #[test]
    fn only_contradictions_go() {
        let document = json!({
            "@timestamp": "soon",
            "source": {"ip": ["192.0.2.1", "web1"], "port": "x", "address": 7},
            "destination.ip": "nowhere",
            "destination": {"port": "23", "bytes": null},
            "event": {"created": 1_767_225_600_000_i64, "action": {"name": "a"}},
            "custom": {"ip": "x", "port": "y", "list": []},
        });
        assert_eq!(
            stripped(&document),
            json!({
                "source": {"ip": ["192.0.2.1"], "address": 7},
                "destination": {"port": "23", "bytes": null},
                "event": {"created": 1_767_225_600_000_i64},
                "custom": {"port": "y", "list": []},
            })
        );
    }
}
