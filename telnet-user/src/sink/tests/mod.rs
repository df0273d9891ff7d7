//! All of it together: routes, reload, and a process that is killed.

mod kill;

use std::fs;

use serde_json::json;

use super::*;
use crate::config::{Config, Stream};

fn sinks(folder: &std::path::Path, text: &str) -> (Vec<config::Sink>, config::Spool) {
    let text = text.replace("FOLDER", &folder.to_string_lossy());
    let config = Config::parse("test.toml", &text).expect("valid");
    let spool = config::Spool {
        dir: folder.join("spool"),
        ..config.spool
    };
    (config.sinks, spool)
}

fn file(name: &str, streams: &str) -> String {
    format!(
        "[[sinks]]\nname = \"{name}\"\ntype = \"file\"\nstreams = [{streams}]\n\
         path = \"FOLDER/{name}\"\n"
    )
}

fn ids(folder: &std::path::Path, name: &str) -> Vec<u64> {
    let text = fs::read_to_string(folder.join(name)).unwrap_or_default();
    let id = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
        value["id"].as_u64().expect("id")
    };
    text.lines().map(id).collect()
}

#[test]
fn each_stream_goes_to_the_sinks_that_name_it() {
    let folder = tempfile::tempdir().expect("folder");
    let text = [
        file("a", "\"alerts\""),
        file("ae", "\"alerts\", \"events\""),
        file("h", "\"health\""),
    ];
    let (config, spool) = sinks(folder.path(), &text.concat());
    let mut sinks = Sinks::open(&config, &spool).expect("opened");
    for document in [
        Document::new(Kind::Alert, json!({"id": 1}).to_string()),
        Document::new(Kind::Event, json!({"id": 2}).to_string()),
        Document::new(Kind::Update, json!({"id": 3}).to_string()),
        Document::new(Kind::Health, json!({"id": 4}).to_string()),
        Document::new(Kind::Summary, json!({"id": 5}).to_string()),
    ] {
        sinks.write(&document).expect("written");
    }
    assert_eq!(ids(folder.path(), "a"), [1, 3, 5]);
    assert_eq!(ids(folder.path(), "ae"), [1, 2, 3, 5]);
    assert_eq!(ids(folder.path(), "h"), [4]);
    let reports = sinks.statuses().report();
    let delivered: Vec<u64> = reports.iter().map(|report| report.delivered).collect();
    assert_eq!(delivered, [3, 4, 1]);
}

#[test]
fn a_reload_that_fails_leaves_everything_as_it_was() {
    let folder = tempfile::tempdir().expect("folder");
    let (config, spool) = sinks(folder.path(), &file("a", "\"alerts\""));
    let mut all = Sinks::open(&config, &spool).expect("opened");
    let statuses = all.statuses();
    fs::create_dir(folder.path().join("b")).expect("made");
    let (bad, _) = sinks(
        folder.path(),
        &[file("a", "\"events\""), file("b", "\"events\"")].concat(),
    );
    let error = all.replace(&bad).expect_err("a folder is no file");
    assert!(error.to_string().starts_with("sink b: "), "{error}");
    all.write(&Document::new(Kind::Alert, json!({"id": 1}).to_string()))
        .expect("written");
    assert_eq!(ids(folder.path(), "a"), [1]);

    let (good, _) = sinks(
        folder.path(),
        &[file("c", "\"alerts\""), file("a", "\"events\"")].concat(),
    );
    all.replace(&good).expect("replaced");
    all.write(&Document::new(Kind::Alert, json!({"id": 2}).to_string()))
        .expect("written");
    all.write(&Document::new(Kind::Event, json!({"id": 3}).to_string()))
        .expect("written");
    assert_eq!(ids(folder.path(), "a"), [1, 3]);
    assert_eq!(ids(folder.path(), "c"), [2]);
    let names: Vec<String> = statuses
        .report()
        .into_iter()
        .map(|sink| sink.name)
        .collect();
    assert_eq!(names, ["c", "a"], "who reports sees the change");
}

#[test]
fn what_waits_for_a_sink_goes_where_a_reload_points() {
    let folder = tempfile::tempdir().expect("folder");
    let first = folder.path().join("first.sock");
    let second = folder.path().join("second.sock");
    let journald = |socket: &str| {
        format!(
            "[[sinks]]\ntype = \"journald\"\nstreams = [\"alerts\"]\nsocket = \"FOLDER/{socket}\"\n"
        )
    };
    let (config, spool) = sinks(folder.path(), &journald("first.sock"));
    let mut all = Sinks::open(&config, &spool).expect("opened");
    for id in 1..=3 {
        all.write(&Document::new(Kind::Alert, json!({"id": id}).to_string()))
            .expect("written");
    }
    assert!(!first.try_exists().expect("known"));
    let socket = std::os::unix::net::UnixDatagram::bind(&second).expect("bound");
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("set");
    let (config, _) = sinks(folder.path(), &journald("second.sock"));
    all.replace(&config).expect("replaced");
    for id in 1..=3 {
        let mut buffer = [0; 4096];
        let count = socket.recv(&mut buffer).expect("received");
        let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
        assert!(text.contains(&format!("\nID={id}\n")), "{text}");
    }
    all.finish(Duration::from_secs(20));
}

#[test]
fn a_sink_of_another_type_needs_another_name() {
    let folder = tempfile::tempdir().expect("folder");
    let (config, spool) = sinks(folder.path(), &file("a", "\"alerts\""));
    let mut all = Sinks::open(&config, &spool).expect("opened");
    let text = "[[sinks]]\nname = \"a\"\ntype = \"journald\"\nstreams = [\"alerts\"]\n";
    let (config, _) = sinks(folder.path(), text);
    let error = all.replace(&config).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "sink a: it was of type file until now: restart, or give it another name"
    );
    assert!(
        all.outlets
            .iter()
            .all(|outlet| outlet.config.streams.contains(Stream::Alerts))
    );
}
