use serde_json::Value;

use super::{FieldType, analyzed_parent, lookup};

#[test]
fn types_by_name() {
    let cases = [
        ("@timestamp", Some(FieldType::Date)),
        ("destination.port", Some(FieldType::Long)),
        ("source.geo.location", Some(FieldType::GeoPoint)),
        ("process.parent.group_leader.start", Some(FieldType::Date)),
        ("process.command_line", Some(FieldType::Keyword)),
        ("process.command_line.text", Some(FieldType::Text)),
        ("error.message", Some(FieldType::Text)),
        (
            "threat.indicator.file.pe.sections.entropy",
            Some(FieldType::Long),
        ),
        ("file.elf.imports", Some(FieldType::Flattened)),
        ("file.elf.imports.any.key", Some(FieldType::Keyword)),
        ("host.risk.static_score", Some(FieldType::Double)),
        ("telnet.session.preexisting", Some(FieldType::Boolean)),
        ("telnet.handler.pid", Some(FieldType::Long)),
        ("kibana.alert.risk_score", Some(FieldType::Double)),
        ("azure.caller.ip", Some(FieldType::Ip)),
        ("okta.client_ip", Some(FieldType::Ip)),
        ("destination", None),
        ("destination.portal", None),
        ("port", None),
        ("", None),
    ];
    for (name, expected) in cases {
        assert_eq!(lookup(name), expected, "{name}");
    }
}

#[test]
fn only_the_text_form_of_a_keyword_has_a_parent() {
    assert_eq!(analyzed_parent("process.name.text"), Some("process.name"));
    assert_eq!(analyzed_parent("process.io.text"), None);
    assert_eq!(analyzed_parent("vendor.note.text"), None);
    assert_eq!(analyzed_parent("destination.port.text"), None);
}

/// Fields of `value` with their values, those in lists too.
fn leaves(path: &str, value: &Value, out: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                leaves(&format!("{path}.{key}"), value, out);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| leaves(path, value, out)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push((path.to_owned(), value.clone()));
        }
    }
}

#[test]
fn fields_of_our_own_events_have_the_types_that_are_written() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/docs");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).expect("documents") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|it| it == "json") {
            let text = std::fs::read_to_string(&path).expect("text");
            let document: Value = serde_json::from_str(&text).expect("JSON");
            leaves("telnet", &document["telnet"], &mut all);
        }
    }
    assert!(all.len() > 50, "{} fields", all.len());
    for (name, value) in all {
        let expected = match value {
            Value::Bool(_) => FieldType::Boolean,
            Value::Number(_) => FieldType::Long,
            Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                FieldType::Keyword
            }
        };
        assert_eq!(lookup(&name), Some(expected), "{name}: {value}");
    }
}
