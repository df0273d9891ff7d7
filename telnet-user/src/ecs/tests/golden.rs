//! Whole documents, compared with `fixtures/docs`. After a wanted change write them anew with
//! `TELNET_BLESS=1 cargo test -p telnet-user golden` and read the difference.

use std::{env, fs, path::Path};

use super::*;
use crate::{
    enrich::facts::LoginFacts,
    flood::{Outcome, Phase, Source},
    probe::record::{Args, Protocol, SocketError, Task, Tty},
    response::{self, Decision, Response},
    session::{
        Activity, Ending, Failure, Traffic,
        activity::{self, Bypass, Method, Progress, Verdict},
    },
};

/// Each golden document with its file's name.
pub(super) fn samples() -> Vec<(&'static str, Value)> {
    let traffic = Traffic {
        bytes_received: 57,
        bytes_sent: 1_024,
        segments_received: 31,
        segments_sent: 29,
    };
    let ending = Ending::Fin {
        local_first: Some(false),
    };
    let closed = Fact::Closed(ending, Some(traffic));
    let refused = Fact::Failed(Failure {
        error: SocketError::Errno(111),
    });
    let inbound = |fact, millis| observed(inbound(), fact, at(millis));
    let outbound = |fact, millis| observed(outbound(), fact, at(millis));
    let (server, client) = (server_facts(), client_facts());
    let opened = inbound(Fact::Accepted, 100_000);
    vec![
        ("accepted", document(&opened, &server)),
        (
            "established",
            document(&outbound(Fact::Established, 100_000), &client),
        ),
        ("identified", identified()),
        ("closed", document(&inbound(closed, 163_500), &server)),
        ("found", found()),
        ("bypassed", bypassed()),
        ("refused", document(&outbound(refused, 99_981), &client)),
        ("listener", found_listener()),
        ("listener_closed", closed_listener()),
        ("flood", flood()),
        ("response", response()),
    ]
}

/// Options were negotiated.
fn identified() -> Value {
    let session = Session {
        protocol: Some(Protocol::Telnet),
        ..inbound()
    };
    let observation = observed(session, Fact::Identified, at(100_020));
    document(&observation, &server_facts())
}

/// Found open when the agent started.
fn found() -> Value {
    let session = Session {
        opened: None,
        preexisting: true,
        ..inbound()
    };
    document(
        &observed(session, Fact::Accepted, at(100_000)),
        &server_facts(),
    )
}

fn task(pid: u32, words: &[&str]) -> Arc<Task> {
    Arc::new(Task {
        pid,
        tid: pid,
        uid: 0,
        gid: 0,
        start: Some(at(u64::from(pid))),
        comm: words[0].to_owned(),
        parent: None,
        cgroup: None,
        args: Some(Args {
            list: words.iter().map(|&word| word.to_owned()).collect(),
            truncated: false,
        }),
    })
}

/// Somebody came in past the password, whose programs were too many to follow, and one went on.
fn bypassed() -> Value {
    let shell = task(4_244, &["sh"]);
    let miner = task(4_290, &["miner", "--quiet"]);
    let session = Session {
        closed: Some(at(163_500)),
        activity: Activity {
            is_followed: true,
            login: activity::Login {
                progress: Progress::Succeeded,
                method: Some(Method::Preauthenticated),
                program: Some(task(4_243, &["login", "-h", "198.51.100.9", "-f", "root"])),
                shell: Some(Arc::clone(&shell)),
                time: Some(at(100_310)),
                verdict: Some(Verdict::Bypass(Bypass::ForcedLogin)),
            },
            terminal: Some(activity::Terminal {
                tty: Tty {
                    major: 136,
                    minor: 3,
                },
                pid: 4_243,
            }),
            programs: 1_300,
            left_out: 17,
            last: Some(Arc::clone(&miner)),
            survivors: vec![Arc::clone(&miner)],
        },
        ..inbound()
    };
    let facts = Facts {
        login: LoginFacts {
            user: Some(named(0, "root")),
            user_source: Some("utmp"),
            failures: Some(2),
            program: Some(Arc::new(process(4_243, "login"))),
            shell: Some(Arc::new(process(4_244, "sh"))),
            survivors: vec![miner],
        },
        ..server_facts()
    };
    document(
        &observed(session, Fact::Closed(Ending::Reset, None), at(163_500)),
        &facts,
    )
}

/// One that is over, of an address that guessed passwords at a server.
fn flood() -> Value {
    let flood = Flood {
        source: Source {
            direction: Direction::Ingress,
            netns: Some(4_026_531_840),
            ip: Some(end("198.51.100.9:0").ip()),
            outcome: Outcome::Success,
        },
        phase: Phase::Ended,
        number: 1,
        start: at(100_000),
        last: at(160_500),
        connections: 9_000,
        shed: 8_196,
        failed_logins: 8_100,
        rate: 145,
        ip: Some(end("192.0.2.23:0").ip()),
        port: Some(23),
        owners: Owners::default(),
    };
    let mut facts = server_facts();
    facts.owners.acceptor = None;
    facts.owners.handler = None;
    let now = time("2026-03-05T12:01:20.5Z");
    let document = builder().flood(&flood, &facts, &clocks(), now).to_value();
    assert_eq!(get(&document, "event.ingested"), "2026-03-05T12:01:20.5Z");
    document
}

/// A session that was closed because a rule wanted it.
fn response() -> Value {
    let response = Response {
        rule_id: "3b1c0a52-7d0e-4f5e-9a4d-2f6a1c7e5b90".to_owned(),
        rule_name: "Telnet Authentication Bypass".to_owned(),
        alert_id: "9d1c".repeat(16),
        decision: Decision::Close(response::Outcome::Closed),
    };
    let (session, facts) = (inbound(), server_facts());
    let now = time("2026-03-05T12:00:00.25Z");
    let about = (&session, at(100_250));
    builder()
        .response(about, &response, &facts, &clocks(), now)
        .to_value()
}

/// Found open when the agent started.
fn found_listener() -> Value {
    let mut facts = server_facts();
    facts.owners.acceptor = None;
    facts.owners.handler = None;
    let listener = Listener {
        opened: None,
        preexisting: true,
        reported: false,
        ..listener()
    };
    let time = at(100_000);
    document(&Observation::ListenerOpened { listener, time }, &facts)
}

/// Nothing known of who and where.
fn closed_listener() -> Value {
    let observation = Observation::ListenerClosed {
        listener: listener(),
        time: at(100_000),
    };
    document(&observation, &Facts::default())
}

#[test]
fn golden_documents() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/docs");
    for (name, document) in samples() {
        let path = folder.join(name).with_extension("json");
        let mut text = serde_json::to_string_pretty(&document).expect("JSON");
        text.push('\n');
        if env::var_os("TELNET_BLESS").is_some() {
            fs::write(&path, &text).expect("a writable file");
        }
        let expected = fs::read_to_string(&path).expect("a golden document");
        // As text: the order of the fields is part of what people read.
        assert_eq!(text, expected, "{name}");
    }
}

#[test]
fn a_listener_is_never_a_session() {
    for (name, document) in samples() {
        if !name.starts_with("listener") {
            continue;
        }
        assert_eq!(document.get("destination"), None, "{name}");
        assert_eq!(document.get("source"), None, "{name}");
        assert_eq!(get(&document, "network.direction"), &Value::Null, "{name}");
        let types = get(&document, "event.type").as_array().expect("a list");
        assert!(!types.contains(&Value::from("connection")), "{name}");
    }
}
