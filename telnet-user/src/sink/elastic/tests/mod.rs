//! Against a server that takes nothing but what the bulk interface allows.

pub(in crate::sink) mod server;

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};

use self::server::{Fault, Server};
use super::*;
use crate::{
    config::{Elasticsearch, Secret, Stream, Tls},
    sink::{document::Kind, spool::Entry},
};

fn entry(kind: Kind, id: &str, extra: &Value) -> Entry {
    let mut body = match kind {
        Kind::Alert | Kind::Update => json!({"kibana": {"alert": {"uuid": id}}}),
        Kind::Event | Kind::Summary | Kind::Health | Kind::Response => json!({"event": {"id": id}}),
    };
    body["@timestamp"] = json!("2026-03-05T12:00:00.000Z");
    body["extra"] = extra.clone();
    Entry {
        kind,
        body: body.to_string().into_bytes(),
    }
}

fn alerts(entries: Vec<Entry>) -> Batch {
    Batch {
        stream: Stream::Alerts,
        entries,
    }
}

fn many(count: usize) -> Batch {
    let entry = |number| entry(Kind::Alert, &format!("id{number}"), &json!(number));
    alerts((0..count).map(entry).collect())
}

struct Cluster {
    folder: tempfile::TempDir,
    sink: Elastic,
}

impl Cluster {
    fn new(nodes: &[&Server], change: impl FnOnce(&mut Elasticsearch, &Path)) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let mut config = Elasticsearch {
            nodes: nodes.iter().map(|server| server.url()).collect(),
            timeout: Duration::from_secs(10),
            ..Elasticsearch::default()
        };
        change(&mut config, folder.path());
        let sink = Elastic::new(&config, folder.path().join("letters")).expect("set up");
        Self { folder, sink }
    }

    fn letters(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("letters")).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }
}

const CERTAIN: Receipt = Receipt::Certain { rejected: 0 };

#[test]
fn documents_are_stored_under_their_ids_in_their_streams() {
    let server = Server::start();
    let mut cluster = Cluster::new(&[&server], |_, _| {});
    let receipt = cluster.sink.deliver(&alerts(vec![
        entry(Kind::Alert, "a1", &json!(1)),
        entry(Kind::Event, "e1", &json!(2)),
        entry(Kind::Health, "h1", &json!(3)),
        entry(Kind::Summary, "s1", &json!(4)),
    ]));
    assert_eq!(receipt, Ok(CERTAIN));
    let alert = server.document("logs-telnet_monitor.alerts-default", "a1");
    assert_eq!(
        alert.expect("stored")["data_stream"],
        json!({"type": "logs", "dataset": "telnet_monitor.alerts", "namespace": "default"})
    );
    for (stream, id) in [
        ("logs-network_traffic.telnet-default", "e1"),
        ("metrics-telnet_monitor.health-default", "h1"),
        ("metrics-telnet_monitor.health-default", "s1"),
    ] {
        assert!(server.document(stream, id).is_some(), "{id} in {stream}");
    }
    assert_eq!(server.complaints(), Vec::<String>::new());
}

#[test]
fn what_is_there_already_is_success() {
    let server = Server::start();
    let mut cluster = Cluster::new(&[&server], |config, _| config.compress = false);
    for _ in 0..2 {
        assert_eq!(cluster.sink.deliver(&many(3)), Ok(CERTAIN));
    }
    assert_eq!(server.count(), 3);
    assert_eq!(server.complaints(), Vec::<String>::new());
}

#[test]
fn an_alert_that_changed_is_changed_where_it_is() {
    let server = Server::start();
    let mut cluster = Cluster::new(&[&server], |_, _| {});
    let alert = entry(Kind::Alert, "a", &json!({"docs_count": 0}));
    let update = |count: u32| entry(Kind::Update, "a", &json!({"docs_count": count}));
    // In one batch, and again as after a crash.
    let batch = alerts(vec![alert, update(1), update(2)]);
    for _ in 0..2 {
        assert_eq!(cluster.sink.deliver(&batch), Ok(CERTAIN));
        let stored = server.document("logs-telnet_monitor.alerts-default", "a");
        assert_eq!(stored.expect("stored")["extra"], json!({"docs_count": 2}));
    }
    // An update whose alert never came is the alert.
    let lone = alerts(vec![entry(Kind::Update, "b", &json!(5))]);
    assert_eq!(cluster.sink.deliver(&lone), Ok(CERTAIN));
    assert_eq!(server.count(), 2);
    assert_eq!(server.complaints(), Vec::<String>::new());
}

#[test]
fn documents_put_off_are_sent_again_and_only_those() {
    let server = Server::start();
    let mut cluster = Cluster::new(&[&server], |_, _| {});
    server.fail(Fault::Items {
        every: 3,
        status: 429,
    });
    assert_eq!(cluster.sink.deliver(&many(9)), Ok(CERTAIN));
    assert_eq!(server.count(), 9);
    assert_eq!(server.requests(), [9, 3], "documents of each request");
}

#[test]
fn a_busy_or_broken_node_is_told_with_its_wish() {
    let server = Server::start();
    let mut cluster = Cluster::new(&[&server], |_, _| {});
    for status in [429, 502, 503, 401, 403, 404] {
        server.fail(Fault::Request { status });
        let error = cluster.sink.deliver(&many(1)).expect_err("refused");
        let text = error.to_string();
        assert!(text.contains(&format!("HTTP {status}")), "{text}");
    }
    server.fail(Fault::Page { status: 400 });
    let error = cluster.sink.deliver(&many(1)).expect_err("a proxy's");
    let text = error.to_string();
    assert!(text.contains("HTTP 400, not from the cluster"), "{text}");
    assert_eq!(cluster.sink.deliver(&many(1)), Ok(CERTAIN));
    assert!(
        cluster.letters().is_empty(),
        "none of that is the document's fault"
    );
}

#[test]
fn a_document_that_fits_no_mapping_is_a_dead_letter_and_the_others_are_stored() {
    let server = Server::start();
    let mut cluster = Cluster::new(&[&server], |_, _| {});
    let batch = alerts(vec![
        entry(Kind::Alert, "good1", &json!(1)),
        entry(Kind::Alert, "bad", &json!({"unmappable": true})),
        entry(Kind::Alert, "good2", &json!(1)),
    ]);
    let receipt = cluster.sink.deliver(&batch);
    assert_eq!(receipt, Ok(Receipt::Certain { rejected: 1 }));
    assert_eq!(server.count(), 2);
    let letters = cluster.letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["id"], json!("bad"));
    assert_eq!(letters[0]["status"], json!(400));
    assert_eq!(
        letters[0]["error"]["type"],
        json!("document_parsing_exception")
    );
    assert_eq!(letters[0]["document"]["extra"], json!({"unmappable": true}));
}

#[test]
fn dead_letters_are_bounded() {
    let server = Server::start();
    let mut cluster = Cluster::new(&[&server], |config, _| config.dead_letter_max_bytes = 1_000);
    for number in 0..20 {
        let bad = entry(
            Kind::Alert,
            &format!("bad{number}"),
            &json!({"unmappable": true}),
        );
        cluster.sink.deliver(&alerts(vec![bad])).expect("kept");
    }
    let size = |name: &str| {
        fs::metadata(cluster.folder.path().join(name))
            .expect("there")
            .len()
    };
    assert!(size("letters") < 2_000 && size("letters.1") < 2_000);
}

#[test]
fn a_request_that_is_too_large_is_divided() {
    let server = Server::start();
    let mut cluster = Cluster::new(&[&server], |_, _| {});
    server.fail(Fault::TooLarge { documents: 4 });
    assert_eq!(cluster.sink.deliver(&many(13)), Ok(CERTAIN));
    assert_eq!(server.count(), 13);
    assert!(server.requests().iter().any(|&documents| documents > 4));
}

#[test]
fn the_next_node_is_tried_when_one_is_gone() {
    let gone = Server::start();
    let there = Server::start();
    let mut cluster = Cluster::new(&[&gone, &there], |_, _| {});
    assert_eq!(cluster.sink.deliver(&many(1)), Ok(CERTAIN));
    assert_eq!((gone.count(), there.count()), (1, 0));
    gone.stop();
    assert_eq!(cluster.sink.deliver(&many(2)), Ok(CERTAIN));
    assert_eq!(there.count(), 2);
    there.stop();
    let error = cluster.sink.deliver(&many(2)).expect_err("nobody");
    assert!(error.to_string().contains("http://127.0.0.1:"), "{error}");
}

#[test]
fn a_data_stream_that_is_not_there_yet_is_waited_for() {
    let server = Server::start();
    let mut cluster = Cluster::new(&[&server], |_, _| {});
    server.fail(Fault::NoStream);
    let error = cluster.sink.deliver(&many(1)).expect_err("not yet");
    assert_eq!(
        error.to_string(),
        "no data stream logs-telnet_monitor.alerts-default"
    );
    assert!(cluster.letters().is_empty());
}

#[test]
fn an_answer_that_is_none_loses_nothing() {
    let server = Server::start();
    let mut cluster = Cluster::new(&[&server], |_, _| {});
    for (body, reason) in [
        ("<html>", "not JSON"),
        ("{}", "no items"),
        (r#"{"items":[]}"#, "0 answers to 1 documents"),
        (r#"{"items":[{"create":{}}]}"#, "no status"),
    ] {
        server.fail(Fault::Answer(body));
        let error = cluster.sink.deliver(&many(1)).expect_err("no answer");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn who_the_agent_is_comes_from_files() {
    let server = Server::start();
    server.demand("ApiKey c2VjcmV0");
    let write = |folder: &Path, text: &str| {
        let file = folder.join("secret");
        fs::write(&file, text).expect("written");
        file
    };
    let mut cluster = Cluster::new(&[&server], |config, folder| {
        config.secret = Secret::ApiKey(write(folder, "c2VjcmV0\n"));
    });
    assert_eq!(cluster.sink.deliver(&many(1)), Ok(CERTAIN));
    server.demand("Basic dTpwYXNzOndvcmQ=");
    let mut cluster = Cluster::new(&[&server], |config, folder| {
        config.secret = Secret::Basic {
            username: "u".to_owned(),
            password_file: write(folder, "pass:word"),
        };
    });
    assert_eq!(cluster.sink.deliver(&many(2)), Ok(CERTAIN));
    let mut cluster = Cluster::new(&[&server], |_, _| {});
    let error = cluster.sink.deliver(&many(3)).expect_err("nobody");
    assert!(error.to_string().contains("HTTP 401"), "{error}");
}

#[test]
fn a_secret_that_others_may_write_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("key");
    fs::write(&file, "key").expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).expect("chmod");
    let config = Elasticsearch {
        nodes: vec!["http://127.0.0.1:1".to_owned()],
        secret: Secret::ApiKey(file.clone()),
        ..Elasticsearch::default()
    };
    let error = Elastic::new(&config, folder.path().join("letters")).expect_err("refused");
    assert_eq!(
        error,
        format!(
            "{0}: the file can be written by others than its owner (mode 0666) (chmod go-w {0})",
            file.display()
        )
    );
}

#[test]
fn tls_trusts_the_authority_of_the_file() {
    let (server, authority) = Server::start_tls();
    let ca = |folder: &Path| {
        let file = folder.join("ca.pem");
        fs::write(&file, &authority).expect("written");
        Tls {
            ca_file: Some(file),
            ..Tls::default()
        }
    };
    let mut cluster = Cluster::new(&[&server], |config, folder| config.tls = ca(folder));
    assert_eq!(cluster.sink.deliver(&many(3)), Ok(CERTAIN));
    assert_eq!(server.count(), 3);
    let (_stranger, other) = Server::start_tls();
    let mut cluster = Cluster::new(&[&server], |config, folder| {
        let file = folder.join("ca.pem");
        fs::write(&file, &other).expect("written");
        config.tls.ca_file = Some(file);
    });
    let error = cluster.sink.deliver(&many(1)).expect_err("not trusted");
    assert!(error.to_string().contains("certificate"), "{error}");
}

/// What is shipped for a cluster fits what the agent sends unless it is told otherwise.
#[test]
fn each_default_data_stream_has_one_shipped_template() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/elasticsearch");
    let read = |name: &str| -> Value {
        let text = fs::read_to_string(folder.join(name)).expect("shipped");
        serde_json::from_str(&text).expect("JSON")
    };
    let config = Elasticsearch::default();
    let role = read("role.json").to_string();
    for (stream, kind) in [
        (config.alerts_stream, "alerts"),
        (config.events_stream, "events"),
        (config.health_stream, "health"),
    ] {
        let matching = ["alerts", "events", "health"].into_iter().filter(|kind| {
            let template = read(&format!("index-template-{kind}.json"));
            let pattern = template["index_patterns"][0].as_str().expect("a pattern");
            assert!(role.contains(pattern) && template["data_stream"].is_object());
            stream.starts_with(pattern.trim_end_matches('*'))
        });
        assert_eq!(matching.collect::<Vec<_>>(), [kind]);
    }
    let settings = read("component-settings.json");
    let policy = &settings["template"]["settings"]["index"]["lifecycle"]["name"];
    assert_eq!(policy, &json!("telnet_monitor"));
    assert!(read("ilm-policy.json")["policy"]["phases"]["delete"].is_object());
    assert!(read("component-mappings.json")["template"]["mappings"].is_object());
    read("opensearch-ism-policy.json");
}
