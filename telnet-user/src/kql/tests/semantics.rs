//! What matches, beyond the verified cases: one line each.

use serde_json::{Value, json};

use crate::kql::{Options, compile, parse};

fn matches(query: &str, event: &Value) -> bool {
    let now = "2026-03-05T12:30:15.500Z".parse().unwrap();
    let parsed = parse(query).unwrap_or_else(|error| panic!("{}", error.render(query)));
    let predicate = compile(&parsed, &Options { lenient: true })
        .unwrap_or_else(|errors| panic!("{}", errors[0].render(query)));
    let result = predicate.matches(event, now);
    assert_eq!(
        predicate.explain(event, now).matches(),
        result,
        "{query}: explanation differs"
    );
    result
}

fn check(cases: &[(&str, Value, bool)]) {
    for (query, event, expected) in cases {
        assert_eq!(matches(query, event), *expected, "{query} over {event}");
    }
}

#[test]
fn paths() {
    check(&[
        ("a.b.c:1", json!({"a": {"b": {"c": 1}}}), true),
        ("a.b.c:1", json!({"a.b": {"c": 1}}), true),
        ("a.b.c:1", json!({"a": {"b.c": 1}}), true),
        (
            "a.b.c:1",
            json!({"a": {"b": 2}, "a.b": [{"c": [[1]]}]}),
            true,
        ),
        ("a.b:1", json!({"a": [{"b": 2}, [{"b": 1}]]}), true),
        ("a.b:1", json!({"a": {"b": {"c": 1}}}), false),
        (
            "a.b:1",
            json!({"a": 1, "b": 1, "a.bc": 1, "a.": {"b": 1}}),
            false,
        ),
        ("a:*", json!({"a": {"b": {"c": null}, "d": []}}), false),
        ("a:*", json!({"a": {"b": {"c": [false]}}}), true),
        ("a:*", json!({"a.b.c": 0}), true),
        ("a:*", json!({"ab": 0, "b.a": 0}), false),
        ("a.b:*", json!({"a": {"b.c": ""}}), true),
        ("not a:*", json!("no object"), true),
        ("a:x", json!([]), false),
        ("\"a b\":x", json!({"a b": "x"}), true),
    ]);
}

#[test]
fn keywords() {
    check(&[
        ("event.code:4625", json!({"event": {"code": 4625}}), true),
        ("event.code:4625.0", json!({"event": {"code": 4625}}), false),
        ("event.code:46*", json!({"event": {"code": 4625}}), true),
        ("event.code:true", json!({"event": {"code": true}}), true),
        ("event.code:1.5", json!({"event": {"code": 1.5}}), true),
        (
            "event.code:-9223372036854775808",
            json!({"event": {"code": i64::MIN}}),
            true,
        ),
        (
            "event.action:(Deny or deny)",
            json!({"event": {"action": ["x", "deny"]}}),
            true,
        ),
        ("event.action <= b", json!({"event": {"action": "a"}}), true),
        (
            "event.action < \"\u{ff61}\"",
            json!({"event": {"action": "\u{10000}"}}),
            false,
        ),
        ("user.name:*\\**", json!({"user": {"name": "a*b"}}), true),
        ("user.name:*\\**", json!({"user": {"name": "ab"}}), false),
        (
            "user.name:a*b*c",
            json!({"user": {"name": "a\nb\nc"}}),
            true,
        ),
        ("user.name:a*bc", json!({"user": {"name": "abcbc"}}), true),
        ("user.name:ab*ba", json!({"user": {"name": "aba"}}), false),
        ("user.name:*", json!({"user": {"name": ""}}), true),
        (
            "file.elf.imports:puts",
            json!({"file": {"elf": {"imports": {"libc": "puts"}}}}),
            true,
        ),
        (
            "file.elf.imports.libc:puts",
            json!({"file": {"elf": {"imports": {"libc": "puts"}}}}),
            true,
        ),
    ]);
}

#[test]
fn numbers() {
    check(&[
        (
            "destination.port:\"23\"",
            json!({"destination": {"port": 23.0}}),
            true,
        ),
        (
            "destination.port:23",
            json!({"destination": {"port": "23.0"}}),
            true,
        ),
        (
            "destination.port:2.3e1",
            json!({"destination": {"port": 23}}),
            true,
        ),
        (
            "destination.port:23",
            json!({"destination": {"port": "telnet"}}),
            false,
        ),
        (
            "destination.port > 22.5",
            json!({"destination": {"port": 23}}),
            true,
        ),
        (
            "destination.port < 22.5",
            json!({"destination": {"port": 23}}),
            false,
        ),
        (
            "source.bytes:18446744073709551615",
            json!({"source": {"bytes": u64::MAX}}),
            true,
        ),
        (
            "source.bytes:18446744073709551614",
            json!({"source": {"bytes": u64::MAX}}),
            false,
        ),
        (
            "source.bytes > 9007199254740992",
            json!({"source": {"bytes": 9007199254740993_u64}}),
            true,
        ),
        (
            "source.bytes > 1e300",
            json!({"source": {"bytes": u64::MAX}}),
            false,
        ),
        ("source.bytes >= -5", json!({"source": {"bytes": -5}}), true),
        (
            "event.risk_score:47",
            json!({"event": {"risk_score": 47.0}}),
            true,
        ),
        ("svc.port:23", json!({"svc": {"port": 23}}), true),
        ("svc.port:23.0", json!({"svc": {"port": 23}}), true),
        ("svc.port:23.0", json!({"svc": {"port": "23"}}), false),
        ("svc.port > 9", json!({"svc": {"port": "10"}}), false),
        ("svc.port > 9", json!({"svc": {"port": 10}}), true),
        ("svc.port:2*", json!({"svc": {"port": 23}}), false),
        ("svc.up:true", json!({"svc": {"up": true}}), true),
        ("svc.up >= true", json!({"svc": {"up": false}}), false),
    ]);
}

#[test]
fn addresses() {
    check(&[
        (
            "source.ip:\"::ffff:10.0.0.1\"",
            json!({"source": {"ip": "10.0.0.1"}}),
            true,
        ),
        (
            "source.ip:\"::ffff:0:0/96\"",
            json!({"source": {"ip": "10.0.0.1"}}),
            true,
        ),
        (
            "source.ip:\"::/0\"",
            json!({"source": {"ip": "10.0.0.1"}}),
            true,
        ),
        (
            "source.ip:10.0.0.1/32",
            json!({"source": {"ip": ["x", "10.0.0.1"]}}),
            true,
        ),
        (
            "source.ip:\"2001:db8::/32\"",
            json!({"source": {"ip": "2001:DB8:ffff::"}}),
            true,
        ),
        (
            "source.ip > 9.255.255.255",
            json!({"source": {"ip": "10.0.0.0"}}),
            true,
        ),
        (
            "source.ip < \"::1:0\"",
            json!({"source": {"ip": "::ffff"}}),
            true,
        ),
        (
            "source.ip:10.0.0.1",
            json!({"source": {"ip": 167_772_161}}),
            false,
        ),
        ("my.ip:10.0.0.0/8", json!({"my": {"ip": "10.1.1.1"}}), true),
        (
            "client_ip:10.0.0.0/8",
            json!({"client_ip": "10.1.1.1"}),
            true,
        ),
        (
            "my.addr:10.0.0.0/8",
            json!({"my": {"addr": "10.1.1.1"}}),
            false,
        ),
    ]);
}

#[test]
fn dates() {
    let at = |time: &str| json!({ "@timestamp": time });
    check(&[
        (
            "@timestamp:\"2026-03-05T10\"",
            at("2026-03-05T10:59:59.999Z"),
            true,
        ),
        (
            "@timestamp:\"2026-03-05T10:20\"",
            at("2026-03-05T10:21:00Z"),
            false,
        ),
        (
            "@timestamp:\"2026-03-05T10:20:30.5Z\"",
            at("2026-03-05T10:20:30.500999Z"),
            true,
        ),
        ("@timestamp:2026", at("2026-01-01T23:59:59.999Z"), true),
        ("@timestamp >= 2026-03", at("2026-03-01"), true),
        ("@timestamp < 2026-03", at("2026-02-28T23:59:59.999Z"), true),
        (
            "@timestamp:\"2026-03-05T00:30:00+0100\"",
            at("2026-03-04T23:30:00Z"),
            true,
        ),
        (
            "@timestamp:1767225600000",
            at("2026-01-01T00:00:00.000Z"),
            true,
        ),
        (
            "@timestamp:1767225600000",
            at("2026-01-01T00:00:00.001Z"),
            false,
        ),
        (
            "@timestamp:\"2026-01-01\"",
            json!({"@timestamp": "1767225600000"}),
            true,
        ),
        ("@timestamp <= 9999-12-31", at("2026-01-01"), true),
        ("@timestamp < 1970", json!({"@timestamp": -1}), true),
        ("@timestamp:now", at("2026-03-05T12:30:15.500Z"), true),
        (
            "@timestamp >= now-1m and @timestamp <= now",
            at("2026-03-05T12:30:00Z"),
            true,
        ),
        ("@timestamp >= now-1m", at("2026-03-05T12:29:00Z"), false),
        ("@timestamp:now/d", at("2026-03-05T23:59:59.999Z"), true),
        ("@timestamp:now/w", at("2026-03-02T00:00:00Z"), true),
        ("@timestamp:now/w", at("2026-03-01T23:59:59Z"), false),
        ("@timestamp > now/h", at("2026-03-05T12:59:59.999Z"), false),
        (
            "@timestamp >= now/y+1M-1d",
            at("2026-01-31T00:00:00Z"),
            true,
        ),
        (
            "@timestamp:\"2024-01-31||+1M/d\"",
            at("2024-02-29T05:00:00Z"),
            true,
        ),
        (
            "@timestamp <= \"2026-03-05||/M\"",
            at("2026-03-31T23:59:59.999Z"),
            true,
        ),
        (
            "@timestamp >= 2026-03-05||-1M/M",
            at("2026-02-01T00:00:00Z"),
            true,
        ),
        (
            "@timestamp >= now-9999999999999999y",
            at("2026-02-01T00:00:00Z"),
            false,
        ),
        ("@timestamp:2026-03-05", at("2026-03-05 10:00:00"), false),
        ("@timestamp:2026-03-05", at("tomorrow"), false),
        (
            "event.start > 2026",
            json!({"event": {"start": [1, "2026-02-01"]}}),
            true,
        ),
    ]);
}

#[test]
fn analyzed_text() {
    let said = |text: &str| json!({ "message": text });
    check(&[
        ("message:CONNECTION", said("connection refused"), true),
        ("message:connect", said("connection refused"), false),
        ("message:connect*", said("Connection refused"), true),
        ("message:*FUSED x", said("Connection refused"), true),
        ("message:conn*d", said("connection refused"), false),
        (
            "message:\"refused by\"",
            said("Connection refused, by peer"),
            true,
        ),
        (
            "message:\"refused peer\"",
            said("Connection refused by peer"),
            false,
        ),
        (
            "message:\"192.0.2.7\"",
            said("from 192.0.2.7 port 23"),
            true,
        ),
        ("message:2", said("from 192.0.2.7 port 23"), false),
        ("message:\"\"", said(""), true),
        ("message:\"\"", said("x"), false),
        ("message:*", said(""), true),
        ("message > c", said("a d"), true),
        (
            "process.name.text:TELNET",
            json!({"process": {"name": "telnet client"}}),
            true,
        ),
        (
            "process.name.text:*",
            json!({"process": {"name": "telnet client"}}),
            true,
        ),
        (
            "process.name:TELNET",
            json!({"process": {"name": "telnet client"}}),
            false,
        ),
        (
            "vendor.text:words",
            json!({"vendor": {"text": "Many Words"}}),
            true,
        ),
    ]);
}

#[test]
fn field_patterns_and_free_text() {
    check(&[
        (
            "*.ip:10.0.0.0/8",
            json!({"source": {"ip": "10.1.1.1", "port": 1}}),
            true,
        ),
        (
            "*.ip:10.0.0.0/8",
            json!({"source": {"address": "10.1.1.1"}}),
            false,
        ),
        (
            "source.*:10.0.0.0/8",
            json!({"source": {"address": "10.1.1.1"}}),
            false,
        ),
        ("source.*:*", json!({"source": {"ip": [null]}}), false),
        ("source.*:*", json!({"source": {"ip": [null, ""]}}), true),
        ("s*e.*t > 22", json!({"source": {"port": [1, 23]}}), true),
        ("*:*", json!({}), true),
        ("*:23", json!({"destination": {"port": 23}}), true),
        ("*:(not 23)", json!({"destination": {"port": 23}}), false),
        ("telnet", json!({"a": [{"b": ["telnet"]}]}), true),
        ("tel*", json!({"a": [{"b": ["telnet"]}]}), true),
        ("23", json!({"destination": {"port": "23"}}), true),
        (
            "10.0.0.1",
            json!({"source": {"ip": "::ffff:10.0.0.1"}}),
            true,
        ),
        ("true", json!({"tls": {"established": "true"}}), true),
        ("refused nothing", json!({"message": "Refused"}), true),
        (
            "refused nothing",
            json!({"event": {"reason": "refused"}}),
            false,
        ),
        ("*", json!({}), true),
    ]);
}

#[test]
fn nested_objects() {
    let services = json!({"svc": [{"name": "ssh", "port": 22}, {"name": "telnet", "port": 23}]});
    check(&[
        ("svc:{ name:ssh and port:22 }", services.clone(), true),
        ("svc:{ name:(ssh and telnet) }", services.clone(), false),
        ("svc:{ * }", services.clone(), true),
        ("svc:{ telnet }", services.clone(), true),
        (
            "svc:{ svc.n*:telnet and svc.p*:23 }",
            services.clone(),
            false,
        ),
        ("svc:{ n*:telnet and p*:23 }", services, true),
        ("svc:{ name:ssh }", json!({"svc": {"name": "ssh"}}), true),
        (
            "svc:{ name:ssh and port:22 }",
            json!({"svc.name": "ssh", "svc.port": 22}),
            true,
        ),
        (
            "svc:{ name:ssh and port:22 }",
            json!({"svc": {"name": "ssh"}, "svc.port": 22}),
            true,
        ),
        (
            "svc:{ name:(a and b) }",
            json!({"svc": {"name": "a"}, "svc.name": "b"}),
            true,
        ),
        (
            "svc:{ name:a and x:1 }",
            json!({"svc": [{"name": "a"}], "svc.x": 1}),
            false,
        ),
        (
            "a.svc:{ x:1 and y.z:2 }",
            json!({"a": [{"svc.x": 1, "svc.y": {"z": 2}}]}),
            true,
        ),
        (
            "a.svc:{ x:1 and y:2 }",
            json!({"a": [{"svc.x": 1}, {"svc.y": 2}]}),
            false,
        ),
        ("svc:{ not name:x }", json!({"svc": "text"}), false),
        (
            "destination:{ port:23.0 }",
            json!({"destination": {"port": "23"}}),
            true,
        ),
        (
            "source:{ *p:10.0.0.0/8 }",
            json!({"source": {"ip": "10.1.1.1"}}),
            true,
        ),
    ]);
}
