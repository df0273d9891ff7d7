//! `kibana.alert.reason`: the alert in one sentence.

use crate::{
    json::{Node, View},
    rules::field,
};

/// The sentence for an alert called `name` of `severity` on `event`.
///
/// Absent parts vanish; the order and punctuation are Kibana's.
pub(super) fn sentence<'e>(event: impl Into<Node<'e>>, severity: &str, name: &str) -> String {
    let event = event.into();
    let mut out = String::with_capacity(256);
    if push(&mut out, "", event, "event.category") {
        out.push(' ');
    }
    out.push_str("event");
    let before = out.len();
    out.push_str(" with");
    let with = out.len();
    for (label, path) in [
        (" process ", "process.name"),
        (" parent process ", "process.parent.name"),
        (" file ", "file.name"),
    ] {
        if push(&mut out, label, event, path) {
            out.push(',');
        }
    }
    for (label, address, port) in [
        (" source ", "source.ip", "source.port"),
        (" destination ", "destination.ip", "destination.port"),
    ] {
        if push(&mut out, label, event, address) && push(&mut out, ":", event, port) {
            out.push(',');
        }
    }
    if out.len() == with {
        out.truncate(before);
    }
    push(&mut out, " by ", event, "user.name");
    push(&mut out, " on ", event, "host.name");
    for part in [" created ", severity, " alert ", name, "."] {
        out.push_str(part);
    }
    out
}

/// Appends `label` and the values of a field; nothing, and `false`, when there are none.
fn push(out: &mut String, label: &str, event: Node<'_>, path: &str) -> bool {
    let values = field::values(event, path);
    for (index, value) in values.iter().enumerate() {
        out.push_str(if index == 0 { label } else { ", " });
        match value.view() {
            View::Text(text) => out.push_str(text),
            View::Null | View::Bool(_) | View::Number(_) | View::Array(_) | View::Object(_) => {
                value.write(out);
            }
        }
    }
    !values.is_empty()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::sentence;

    #[test]
    fn absent_parts_vanish() {
        let cases = [
            (
                json!({
                    "event": {"category": ["network"]}, "process": {"name": "telnet"},
                    "source": {"ip": "192.0.2.7", "port": 50000},
                    "destination": {"ip": "198.51.100.9", "port": 23},
                    "user": {"name": "root"}, "host": {"name": "web1"},
                }),
                "network event with process telnet, source 192.0.2.7:50000, \
                 destination 198.51.100.9:23, by root on web1 created medium alert A.",
            ),
            (json!({}), "event created medium alert A."),
            (
                json!({"event.category": ["network", "process"], "host.name": "h"}),
                "network, process event on h created medium alert A.",
            ),
            (
                json!({"process": {"name": "a", "parent": {"name": "b"}}, "file": {"name": "f"}}),
                "event with process a, parent process b, file f, created medium alert A.",
            ),
            (
                json!({"source": {"ip": "2001:db8::1"}, "destination": {"port": 23}}),
                "event with source 2001:db8::1 created medium alert A.",
            ),
        ];
        for (event, expected) in cases {
            assert_eq!(sentence(&event, "medium", "A"), expected);
        }
    }
}
