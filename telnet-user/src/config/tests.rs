use std::{fs, os::unix::fs::PermissionsExt as _};

use super::{
    read::{COMMON, KEYS},
    *,
};
use crate::source::Problem;

const EXAMPLE: &str = include_str!("../../packaging/config.toml");

fn problems(text: &str) -> Vec<String> {
    let problems = Config::parse("c.toml", text).expect_err("mistakes");
    problems.iter().map(Problem::to_string).collect()
}

/// The example with its commented-out settings in force.
fn uncommented() -> String {
    let lines = EXAMPLE.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if setting.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => {
            setting
        }
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_shipped_example_is_the_default() {
    assert_eq!(Config::parse("example", EXAMPLE), Ok(Config::default()));
    assert_eq!(Config::parse("empty", ""), Ok(Config::default()));
}

#[test]
fn the_examples_sinks_show_every_key_with_its_default() {
    let config = Config::parse("example", &uncommented()).expect("valid");
    let targets: Vec<Target> = config.sinks.into_iter().map(|sink| sink.target).collect();
    assert_eq!(
        targets,
        [
            Target::Stdout(Stdout::default()),
            Target::File(File::default()),
            Target::Journald(Journald::default()),
            Target::Syslog(Syslog::default()),
            Target::Elasticsearch(Elasticsearch::default()),
        ]
    );
}

#[test]
fn every_known_key_is_in_the_example() {
    let example: toml::Table = uncommented().parse().expect("TOML");
    let sinks = example["sinks"].as_array().expect("sinks");
    for (place, keys) in KEYS {
        let sink = sinks
            .iter()
            .find(|sink| sink["type"].as_str() == Some(place));
        let (table, common) = match (place, sink) {
            ("", _) => (&example, &[][..]),
            (_, Some(sink)) => (sink.as_table().expect("table"), &COMMON[..]),
            (place, None) => (example[place].as_table().expect("table"), &[][..]),
        };
        for key in keys.iter().chain(common) {
            assert!(
                table.contains_key(*key),
                "{place}.{key} is not in the example"
            );
        }
    }
}

#[test]
fn a_mistake_is_shown_where_it_is_with_the_nearest_name() {
    let text = "log = \"info\"\n[health]\nintervall = \"1m\"\n";
    let found = Config::parse("c.toml", text).expect_err("unknown key");
    let rendered: Vec<String> = found.iter().map(Problem::render).collect();
    assert_eq!(
        rendered,
        [
            "error: c.toml:3:1: health.intervall: unknown key (value \"1m\")\n  |\n\
          3 | intervall = \"1m\"\n  | ^\n  = hint: did you mean interval?"
        ]
    );
}

#[test]
fn a_response_that_cannot_be_meant_is_refused() {
    let text = "[response]\nmode = \"on\"\nallow = [\"10.0.0.0/8\", \"10.0.0.0/33\"]\n\
                max_per_minute = 0\n";
    let found = Config::parse("c.toml", text).expect_err("wrong");
    let mut found: Vec<String> = found.iter().map(ToString::to_string).collect();
    found.sort_unstable();
    let expected = [
        "c.toml:2:8: response.mode: mode must be one of off, dry-run, enforce (value \"on\")",
        "c.toml:3:9: response.allow: \"10.0.0.0/33\" is no address and no network such as 192.0.2.0/24 \
         (value [\"10.0.0.0/8\",\"10.0.0.0/33\"])",
        "c.toml:4:18: response.max_per_minute: max_per_minute must be 1 to 10000 (value 0)",
    ];
    assert_eq!(found, expected);
}

#[test]
fn everything_wrong_is_found_at_once() {
    let text = r#"
log = 3
state_dir = "run"
[probe]
acceptor = "fentri"
ring_bytes = "5KiB"
[health]
metrics = "0.0.0.0:9123"
[spool]
max_bytes = "10"
sync = "often"
[[sinks]]
type = "elastic"
[[sinks]]
type = "file"
streams = ["alert"]
keep = 0
[[sinks]]
type = "syslog"
streams = ["alerts"]
address = "udp://host:514"
[[sinks]]
type = "syslog"
streams = ["alerts"]
[[sinks]]
type = "elasticsearch"
name = "a/b"
streams = []
nodes = ["https://u:p@host", "host"]
username = "u"
alerts_stream = "Alerts"
"#;
    let expected = [
        "c.toml:2:7: log: expected a string, found an integer (value 3)",
        "c.toml:3:13: state_dir: state_dir must be an absolute path (value \"run\")",
        "c.toml:6:14: probe.ring_bytes: ring_bytes must be a power of two, 4KiB to 2GiB (value \"5KiB\")",
        "c.toml:5:12: probe.acceptor: acceptor must be one of auto, fentry, kprobe, syscall-exit, userspace (value \"fentri\")",
        "c.toml:8:11: health.metrics: metrics are served on loopback only, such as 127.0.0.1:9123 (value \"0.0.0.0:9123\")",
        "c.toml:10:13: spool.max_bytes: unknown unit \"\", expected B, KiB, MiB or GiB (value \"10\")",
        "c.toml:11:8: spool.sync: sync must be never, always or a time such as 1s (value \"often\")",
        "c.toml:13:8: sinks[0].type: type must be one of stdout, file, journald, syslog, elasticsearch (value \"elastic\")",
        "c.toml:17:8: sinks[1].keep: keep must be 1 to 1000 files (value 0)",
        "c.toml:16:11: sinks[1].streams: \"alert\" is none of alerts, health, events; did you mean alerts? (value [\"alert\"])",
        "c.toml:21:11: sinks[2].address: address must be unix:/PATH, tcp://HOST:PORT or tls://HOST:PORT (value \"udp://host:514\")",
        "c.toml:23:8: sinks[3].type: another sink is called \"syslog\" already (value \"syslog\")",
        "c.toml:29:9: sinks[4].nodes: a URL must not hold a password; use password_file (value [\"https://u:p@host\",\"host\"])",
        "c.toml:29:9: sinks[4].nodes: \"host\" is no http:// or https:// URL (value [\"https://u:p@host\",\"host\"])",
        "c.toml:30:12: sinks[4].username: username needs password_file beside it (value \"u\")",
        "c.toml:31:17: sinks[4].alerts_stream: alerts_stream must be TYPE-DATASET-NAMESPACE in lower case, such as logs-telnet_monitor.alerts-default (value \"Alerts\")",
        "c.toml:27:8: sinks[4].name: name is made of letters, digits, - and _, 64 at most (value \"a/b\")",
        "c.toml:28:11: sinks[4].streams: streams must name some of alerts, health, events (value [])",
    ];
    let found = problems(text);
    for expected in expected {
        assert!(
            found.iter().any(|found| found == expected),
            "{expected}\n{found:#?}"
        );
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

/// Fails unless the configuration has this one mistake, with its place.
fn expect_mistake(text: &str, expected: &str) {
    let found = problems(text);
    assert!(
        found.len() == 1 && found[0].contains(expected) && found[0].starts_with("c.toml:"),
        "{text}\n{expected}\n{found:#?}"
    );
}

#[test]
fn mistakes_outside_sinks_have_their_sentence() {
    for (text, expected) in [
        (
            "[health]\ninterval = \"10ms\"",
            "interval must be 0s (off) or 1s at least",
        ),
        ("[health]\ninterval = \"1 fortnight\"", "unknown unit"),
        (
            "[health]\nmetrics = \"9123\"",
            "must be an address and a port",
        ),
        (
            "[spool]\nmax_bytes = \"1KiB\"",
            "max_bytes must be 1MiB at least",
        ),
        ("[spool]\ndir = \"spool\"", "dir must be an absolute path"),
        (
            "[probe]\nring_bytes = \"8GiB\"",
            "ring_bytes must be a power of two",
        ),
        (
            "[rules]\nlenient = \"yes\"",
            "expected a boolean, found a string",
        ),
        ("[rules]\npaths = \"a\"", "expected an array"),
        ("[flood]\nburst = -1", "burst must be 0 to 1000000"),
        ("[flood]\nper_minute = 0", "per_minute must be 1 to 1000000"),
        ("[flood]\nsources = 0", "sources must be 1 to 1000000"),
        ("[flood]\nburst = \"many\"", "expected an integer"),
        ("log = \"info,agent=loud\"", "log must be error, warn"),
        (
            "log = \"waring\"",
            "or levels by module: \"waring\" is no level",
        ),
        ("health = 1", "expected a table"),
        ("sinks = 1", "expected an array"),
    ] {
        expect_mistake(text, expected);
    }
}

/// A sink with this setting.
fn sink(kind: &str, line: &str) -> String {
    format!("[[sinks]]\ntype = \"{kind}\"\nstreams = [\"alerts\"]\n{line}")
}

#[test]
fn mistakes_of_sinks_have_their_sentence() {
    expect_mistake("[[sinks]]\nstreams = [\"alerts\"]", "type");
    let two = [sink("stdout", "name = \"a\"\n"), sink("stdout", "")].concat();
    expect_mistake(&two, "there is one standard output");
    let two = [sink("file", "name = \"a\"\n"), sink("file", "")].concat();
    expect_mistake(&two, "sink \"a\" writes to");
    for (kind, line, expected) in [
        (
            "stdout",
            "format = \"json\"",
            "format must be one of auto, ndjson, pretty",
        ),
        ("stdout", "path = \"/x\"", "unknown key"),
        ("file", "path = \"x\"", "path must be an absolute path"),
        (
            "file",
            "sync = \"0s\"",
            "sync must be never, always or a time",
        ),
        (
            "journald",
            "identifier = \"a b\"",
            "identifier is made of visible ASCII",
        ),
        (
            "journald",
            "socket = \"s\"",
            "socket must be an absolute path",
        ),
        (
            "syslog",
            "facility = \"mail\"",
            "facility must be one of daemon, auth",
        ),
        (
            "syslog",
            "key_file = \"/k\"",
            "key_file needs certificate_file beside it",
        ),
        (
            "syslog",
            "certificate_file = \"/c\"",
            "certificate_file needs key_file beside it",
        ),
        ("syslog", "timeout = \"0s\"", "timeout must be more than 0s"),
        (
            "syslog",
            "ca_file = \"c\"",
            "ca_file must be an absolute path",
        ),
    ] {
        expect_mistake(&sink(kind, line), expected);
    }
}

#[test]
fn mistakes_of_elasticsearch_have_their_sentence() {
    for (line, expected) in [
        ("nodes = []", "nodes must name one at least"),
        ("nodes = [1]", "expected a string"),
        ("batch_documents = 0", "batch_documents must be 1 to 10000"),
        (
            "batch_bytes = \"1B\"",
            "batch_bytes must be 64KiB to 100MiB",
        ),
        (
            "api_key_file = \"/k\"\nusername = \"u\"",
            "api_key_file excludes username and password_file",
        ),
        (
            "password_file = \"/p\"",
            "password_file needs username beside it",
        ),
        ("timeout = \"0s\"", "timeout must be more than 0s"),
        ("backoff_max = \"0ms\"", "backoff_max must be more than 0s"),
        (
            "health_stream = \"logs-a\"",
            "health_stream must be TYPE-DATASET-NAMESPACE",
        ),
    ] {
        expect_mistake(&sink("elasticsearch", line), expected);
    }
}

#[test]
fn broken_toml_is_an_error_with_its_place() {
    let found = problems("[health\ninterval = \"1m\"");
    assert!(
        found[0].starts_with("c.toml:1:8: invalid TOML:"),
        "{found:?}"
    );
}

#[test]
fn syslog_addresses() {
    let read = |address: &str| {
        let text = format!(
            "[[sinks]]\ntype = \"syslog\"\nstreams = [\"alerts\"]\naddress = \"{address}\""
        );
        let config = Config::parse("c.toml", &text).ok()?;
        match config.sinks.into_iter().next()?.target {
            Target::Syslog(syslog) => Some(syslog.address),
            Target::Stdout(_)
            | Target::File(_)
            | Target::Journald(_)
            | Target::Elasticsearch(_) => None,
        }
    };
    let tcp = |host: &str| {
        Some(SyslogAddress::Tcp {
            host: host.to_owned(),
            port: 514,
        })
    };
    assert_eq!(read("tcp://log.example:514"), tcp("log.example"));
    assert_eq!(read("tcp://[2001:db8::1]:514"), tcp("2001:db8::1"));
    assert_eq!(
        read("unix:/dev/log"),
        Some(SyslogAddress::Unix("/dev/log".into()))
    );
    for wrong in [
        "unix:log",
        "tcp://host",
        "tcp://:514",
        "tcp://host:0",
        "http://h:1",
        "tls://a/b:1",
    ] {
        assert_eq!(read(wrong), None, "{wrong}");
    }
}

#[test]
fn a_named_file_must_be_there_and_nobody_else_may_write_it() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("config.toml");
    let missing = Config::read(Some(&path)).expect_err("missing");
    assert!(
        missing[0]
            .to_string()
            .contains("cannot be read: No such file"),
        "{missing:?}"
    );

    fs::write(&path, "attempts = true\n[events]\nattempts = true").expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
    let unknown = Config::read(Some(&path)).expect_err("unknown key");
    assert_eq!(unknown.len(), 1, "{unknown:?}");

    fs::write(&path, "[events]\nattempts = true").expect("written");
    let loaded = Config::read(Some(&path)).expect("valid");
    assert!(loaded.config.attempts && loaded.file.as_deref() == Some(&*path));

    fs::set_permissions(&path, fs::Permissions::from_mode(0o622)).expect("chmod");
    let refused = Config::read(Some(&path)).expect_err("writable by others");
    assert_eq!(
        refused[0].render(),
        format!(
            "error: {0}: the file can be written by others than its owner (mode 0622)\n  = hint: chmod go-w {0}",
            path.display()
        )
    );
}
