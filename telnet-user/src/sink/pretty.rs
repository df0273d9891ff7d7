//! One readable line for a document.

use std::fmt::Write as _;

use serde_json::Value;

use super::Kind;
use crate::source::printable;

/// The line, without its end; control characters are escaped, since names and arguments come
/// from whoever runs programs on the host.
pub(super) fn line(kind: Kind, document: &Value) -> String {
    let line = match kind {
        Kind::Alert | Kind::Update => alert_line(document),
        Kind::Event => event_line(document),
        Kind::Response => response_line(document),
        Kind::Summary | Kind::Health => match text(document, "/message") {
            Some(message) => format!("{} {message}", time(document)),
            None => format!("{} health {document}", time(document)),
        },
    };
    printable(&line)
}

fn alert_line(alert: &Value) -> String {
    let severity = text(alert, "/kibana/alert/severity").unwrap_or("alert");
    let rule = text(alert, "/rule/name").unwrap_or("unnamed rule");
    let mut line = format!("{} {} {rule}:", time(alert), severity.to_uppercase());
    push_session(&mut line, alert);
    line
}

fn event_line(event: &Value) -> String {
    let action = text(event, "/event/action").unwrap_or("event");
    let mut line = format!("{} {action}", time(event));
    push_session(&mut line, event);
    line
}

fn response_line(response: &Value) -> String {
    let reason = text(response, "/event/reason").unwrap_or("no reason given");
    format!("{}; {reason}", event_line(response))
}

fn push_session(line: &mut String, document: &Value) {
    if let Some(direction) = text(document, "/network/direction") {
        push(line, format_args!(" {direction}"));
    }
    if let (Some(source), Some(destination)) =
        (end(document, "source"), end(document, "destination"))
    {
        push(line, format_args!(" {source} -> {destination}"));
    } else if let Some(server) = end(document, "server") {
        push(line, format_args!(" {server}"));
    }
    if let Some(name) = text(document, "/process/name") {
        push(line, format_args!(" {name}"));
        if let Some(pid) = document.pointer("/process/pid") {
            push(line, format_args!("[{pid}]"));
        }
    }
    if let Some(user) = text(document, "/user/name").or_else(|| text(document, "/user/id")) {
        push(line, format_args!(" as {user}"));
    }
    if let Some(host) = text(document, "/host/name") {
        push(line, format_args!(" on {host}"));
    }
    if let Some(reason) = text(document, "/event/reason") {
        push(line, format_args!(" ({reason})"));
    }
}

fn push(line: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _written: std::fmt::Result = line.write_fmt(words);
}

/// `IP:PORT`, IPv6 in brackets.
fn end(document: &Value, side: &str) -> Option<String> {
    let ip = text(document, &format!("/{side}/ip"))?;
    let port = document.pointer(&format!("/{side}/port"))?;
    Some(if ip.contains(':') {
        format!("[{ip}]:{port}")
    } else {
        format!("{ip}:{port}")
    })
}

fn time(document: &Value) -> &str {
    text(document, "/@timestamp").unwrap_or("-")
}

fn text<'a>(document: &'a Value, pointer: &str) -> Option<&'a str> {
    document.pointer(pointer)?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_alert_reads_as_a_sentence() {
        let alert = json!({
            "@timestamp": "2026-03-05T12:00:00.000Z",
            "kibana": {"alert": {"severity": "medium"}},
            "rule": {"name": "Accepted Default Telnet Port Connection"},
            "network": {"direction": "ingress"},
            "source": {"ip": "2001:db8::7", "port": 50000},
            "destination": {"ip": "192.0.2.9", "port": 23},
            "process": {"name": "telnetd", "pid": 7},
            "user": {"name": "root"},
            "host": {"name": "web1"},
        });
        assert_eq!(
            line(Kind::Alert, &alert),
            "2026-03-05T12:00:00.000Z MEDIUM Accepted Default Telnet Port Connection: ingress \
             [2001:db8::7]:50000 -> 192.0.2.9:23 telnetd[7] as root on web1"
        );
    }

    #[test]
    fn hostile_names_cannot_reach_the_terminal() {
        let event = json!({"process": {"name": "a\u{1b}[2J\r\n\u{202e}b\u{9b}1m", "pid": 1}});
        let line = line(Kind::Event, &event);
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(
            line.contains(r"a\u{1b}[2J\u{d}\u{a}\u{202e}b\u{9b}1m"),
            "{line}"
        );
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        assert_eq!(line(Kind::Event, &json!({})), "- event");
    }
}
