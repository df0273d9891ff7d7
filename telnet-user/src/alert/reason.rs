//! `kibana.alert.reason`: the alert in one sentence.

use serde_json::Value;

use crate::rules::field;

/// The sentence for an alert called `name` of `severity` on `event`.
///
/// Absent parts vanish; the order and punctuation are Kibana's.
pub(super) fn sentence(event: &Value, severity: &str, name: &str) -> String {
    let part = |path: &str| {
        let values = field::texts(event, path);
        (!values.is_empty()).then(|| values.join(", "))
    };
    let mut out = part("event.category").map_or_else(String::new, |category| category + " ");
    out.push_str("event");

    let mut facts = String::new();
    for (label, path) in [
        ("process", "process.name"),
        ("parent process", "process.parent.name"),
        ("file", "file.name"),
    ] {
        if let Some(value) = part(path) {
            facts.push_str(&[" ", label, " ", &value, ","].concat());
        }
    }
    for side in ["source", "destination"] {
        if let Some(address) = part(&format!("{side}.ip")) {
            facts.push_str(&[" ", side, " ", &address].concat());
            if let Some(port) = part(&format!("{side}.port")) {
                facts.push_str(&[":", &port, ","].concat());
            }
        }
    }
    if !facts.is_empty() {
        out.push_str(" with");
        out.push_str(&facts);
    }
    for (word, path) in [(" by ", "user.name"), (" on ", "host.name")] {
        if let Some(value) = part(path) {
            out.push_str(word);
            out.push_str(&value);
        }
    }
    out.push_str(&[" created ", severity, " alert ", name, "."].concat());
    out
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
