//! `telnet-monitor explain`.

use serde_json::{Value, json};

use super::{Folder, rule};

/// A query with a clause of every sort.
const QUERY: &str = "event.category:(network or network_traffic) and network.transport:tcp\n\
    and network.direction:(ingress or egress) and destination.port:23 and source.port >= 1024\n\
    and source.ip:* and not source.ip:(10.0.0.0/8 or 192.168.0.0/16)\n\
    and not event.action:(denied or timeout) and event.type:(connection and not end)\n\
    and (process.name:telnetd or process.name:*inetd) and host.name:web*\n\
    and not (user.name:root and user.id:1) and message:\"session opened\"";

fn event() -> Value {
    json!({
        "event": {"category": ["network"], "type": ["connection", "start"], "action": "accepted"},
        "network": {"transport": "tcp", "direction": "ingress"},
        "source": {"ip": "203.0.114.7", "port": 50_000},
        "destination": {"port": 23},
        "process": {"name": "telnetd"},
        "host": {"name": "web1"},
        "user": {"name": "root", "id": "0"},
        "message": "a session opened by inetd",
    })
}

fn set(pointer: &str, value: &str) -> Value {
    let mut event = event();
    *event.pointer_mut(pointer).unwrap() = serde_json::from_str(value).unwrap();
    event
}

/// Changes of the event, each with the clause that it turns false.
const MUTATIONS: [(&str, &str, &str); 21] = [
    (
        "/event/category",
        r#"["host"]"#,
        "event.category:(network or network_traffic)",
    ),
    (
        "/event/category",
        "null",
        "event.category:(network or network_traffic)",
    ),
    ("/network/transport", r#""udp""#, "network.transport:tcp"),
    ("/network/transport", r#""TCP""#, "network.transport:tcp"),
    (
        "/network/direction",
        r#""unknown""#,
        "network.direction:(ingress or egress)",
    ),
    ("/destination/port", "2323", "destination.port:23"),
    ("/destination/port", "[]", "destination.port:23"),
    ("/source/port", "1023", "source.port >= 1024"),
    ("/source/port", r#""high""#, "source.port >= 1024"),
    ("/source/ip", "null", "source.ip:*"),
    (
        "/source/ip",
        r#""10.9.8.7""#,
        "not source.ip:(10.0.0.0/8 or 192.168.0.0/16)",
    ),
    (
        "/source/ip",
        r#"["192.168.1.1"]"#,
        "not source.ip:(10.0.0.0/8 or 192.168.0.0/16)",
    ),
    (
        "/event/action",
        r#""denied""#,
        "not event.action:(denied or timeout)",
    ),
    (
        "/event/action",
        r#"["accepted", "timeout"]"#,
        "not event.action:(denied or timeout)",
    ),
    ("/event/type", r#"["start"]"#, "event.type:connection"),
    (
        "/event/type",
        r#"["connection", "end"]"#,
        "not event.type:end",
    ),
    (
        "/process/name",
        r#""sshd""#,
        "process.name:telnetd or process.name:*inetd",
    ),
    (
        "/process",
        "{}",
        "process.name:telnetd or process.name:*inetd",
    ),
    ("/host/name", r#""db1""#, "host.name:web*"),
    ("/user/id", r#""1""#, "not (user.name:root and user.id:1)"),
    (
        "/message",
        r#""opened a session""#,
        "message:\"session opened\"",
    ),
];

#[test]
fn the_clause_that_turned_false_is_named() {
    let folder = Folder::new();
    folder.write("rule.toml", rule(QUERY, ""));
    for (pointer, value, clause) in MUTATIONS {
        let input = set(pointer, value).to_string();
        let outcome = folder.run_with(&["explain", "--rule", "rule.toml"], &input);
        assert_eq!(outcome.code, 1, "{outcome:?}");
        let last = outcome.stdout.lines().last().unwrap();
        let (place, named) = last
            .trim_start()
            .strip_prefix("false: ")
            .unwrap()
            .split_once(": ")
            .unwrap();
        let named = named.split("  -- ").next().unwrap();
        assert_eq!(named, clause, "{input}");
        let field = clause.split(':').next().unwrap();
        let field = field
            .trim_end_matches(" >= 1024")
            .rsplit(['(', ' '])
            .next()
            .unwrap();
        let line = QUERY.lines().position(|line| line.contains(field)).unwrap() + 1;
        assert!(place.starts_with(&format!("{line}:")), "{place}: {clause}");
    }
}

#[test]
fn a_group_that_is_false_shows_what_it_looked_at() {
    let folder = Folder::new();
    folder.write(
        "rule.toml",
        rule("(a:1 or not (b:2 and c:*) or a:3) and d:4", ""),
    );
    let input = r#"{"a": "x", "b": [2, 5], "c": true, "d": 4}"#;
    let outcome = folder.run_with(&["explain", "--rule", "rule.toml"], input);
    assert_eq!(
        outcome.stdout.lines().last(),
        Some("  false: 1:2: a:1 or not (b:2 and c:*) or a:3  -- a = \"x\", b = 2, b = 5, c = true")
    );
}

#[test]
fn a_match_shows_every_clause_and_its_values() {
    let folder = Folder::new();
    folder.write("rule.toml", rule(QUERY, ""));
    folder.write("e.ndjson", format!("\n{}\n", event()));
    let outcome = folder.run(&["explain", "--rule", "rule.toml", "e.ndjson"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.stdout.starts_with("e.ndjson:2: match: Test rule\n"));
    for row in [
        "    [x] destination.port:23  -- destination.port = 23\n",
        "    [x] source.ip:*  -- source.ip = \"203.0.114.7\"\n",
        "    [x] any of\n      [x] process.name:telnetd  -- process.name = \"telnetd\"\n",
        "      [ ] all of\n",
    ] {
        assert!(outcome.stdout.contains(row), "{row}\n{}", outcome.stdout);
    }
}

#[test]
fn filters_and_exceptions_are_part_of_it() {
    let folder = Folder::new();
    let extra = "filters = [{ meta = { type = \"exists\", key = \"host.name\" } , query = { exists = { field = \"host.name\" } } }]\n\
                 exceptions_list = [{ name = \"scanner\", entries = [{ field = \"source.ip\", operator = \"included\", type = \"match\", value = \"10.0.0.66\" }] }]\n";
    folder.write("rule.toml", rule("destination.port:23", extra));
    let arguments = ["explain", "--rule", "rule.toml"];
    let cases = [
        (
            r#"{"destination.port":23,"host.name":"a","source.ip":"10.0.0.1"}"#,
            0,
            "exceptions: none of 1 applies",
        ),
        (
            r#"{"destination.port":23,"source.ip":"10.0.0.1"}"#,
            1,
            "false: filter 1",
        ),
        (
            r#"{"destination.port":23,"host.name":"a","source.ip":"10.0.0.66"}"#,
            1,
            "exception: \"",
        ),
    ];
    for (input, code, last) in cases {
        let outcome = folder.run_with(&arguments, input);
        assert_eq!(outcome.code, code, "{outcome:?}");
        assert!(
            outcome.stdout.lines().last().unwrap().contains(last),
            "{outcome:?}"
        );
    }
}

#[test]
fn what_comes_from_the_event_cannot_reach_the_terminal() {
    let folder = Folder::new();
    folder.write("rule.toml", rule("host.name:a", ""));
    let input = "{\"host.name\":\"\\u001b[2J\u{9b}1m\u{202e}x\"}";
    let outcome = folder.run_with(&["explain", "--rule", "rule.toml"], input);
    let hostile = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    assert!(!outcome.stdout.contains(hostile), "{:?}", outcome.stdout);
    let long = json!({"host.name": vec!["é".repeat(3_000); 100]}).to_string();
    let outcome = folder.run_with(&["explain", "--rule", "rule.toml"], long);
    assert!(outcome.stdout.len() < 10_000 && outcome.stdout.contains("and 92 more"));
}

#[test]
fn a_rule_that_does_not_load_is_an_error() {
    let folder = Folder::new();
    folder.write("bad.toml", rule("port = 23", ""));
    for file in ["bad.toml", "missing.toml"] {
        let outcome = folder.run_with(&["explain", "--rule", file], "{}");
        assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""));
        assert!(outcome.stderr.contains(file), "{outcome:?}");
    }
    let outcome = folder.run(&["explain", "missing.ndjson"]);
    assert_eq!(outcome.code, 2);
}
