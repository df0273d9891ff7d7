use serde_json::{Value, json};

use super::*;

const ID: &str = "3f2a91c04d5e";

/// An event of the session, `millis` after it was accepted.
fn event(action: &str, millis: u32, extra: &Value) -> Value {
    let mut event = json!({
        "@timestamp": format!("2026-03-05T12:00:{:02}.{:03}000000Z", millis / 1_000, millis % 1_000),
        "event": {"id": format!("{action}-{millis}"), "action": action, "category": ["network"]},
        "telnet.session.id": ID,
    });
    for (key, value) in extra.as_object().expect("an object") {
        event[key] = value.clone();
    }
    event
}

fn program(action: &str, millis: u32, pid: u32, line: &str) -> Value {
    let name = line.split(' ').next();
    event(
        action,
        millis,
        &json!({
            "event.category": "process", "event.start": "2020-01-01T00:00:00Z",
            "user": {"name": "alice", "id": "4711"},
            "process": {"pid": pid, "name": name, "command_line": line, "exit_code": 3},
        }),
    )
}

fn recorded() -> Vec<Value> {
    let inetd = json!({"pid": 812, "name": "inetd", "user": {"id": "0", "name": "root"},
        "attribution": "syscall_exit"});
    let login = json!({"state": "succeeded", "method": "login", "user_source": "utmp",
        "user": {"name": "alice", "id": "4711"}, "failures": 1});
    vec![
        event(
            "connection_accepted",
            0,
            &json!({
                "event.start": "2026-03-05T12:00:00.000000000Z", "network.direction": "ingress",
                "source": {"ip": "2001:db8::7", "port": 50000},
                "destination": {"ip": "192.0.2.1", "port": 23}, "host.name": "web1",
                "telnet.acceptor": inetd,
            }),
        ),
        program("exec", 30, 900, "login -p -h x"),
        event(
            "user_login",
            9_200,
            &json!({"telnet.login": login, "telnet.terminal.name": "pts/3"}),
        ),
        json!({
            "@timestamp": "2026-03-05T12:00:09.201Z", "kibana.alert.uuid": "u", "event.id": "e",
            "kibana.alert.severity": "medium", "telnet": {"session": {"id": ID}},
            "kibana.alert.rule.name": "Successful \u{1b}[31mlogin", "event.action": "user_login",
        }),
        program("exec", 10_000, 901, "id -u"),
        program("end", 10_004, 901, "id -u"),
        program("end", 11_000, 999, "x"),
        event(
            "network_flow",
            20_000,
            &json!({
                "event.reason": "fin", "event.duration": 20_000_000_000_u64,
                "source.bytes": 120, "destination.bytes": 900,
                "telnet.handler": {"pid": 899, "name": "telnetd", "attribution": "exec"},
                "telnet.session.closed_by": "remote", "telnet.session.outcome": "login",
                "telnet.session.programs": 2,
                "telnet.session.survivors": [{"pid": 7, "name": "sleep", "command_line": "sleep 99"}],
            }),
        ),
    ]
}

fn told(wanted: &str, documents: &[Value]) -> Result<Vec<String>, Refused> {
    let mut story = Story::of(wanted);
    for document in documents {
        story.take(document)?;
    }
    Ok(story.lines().unwrap_or_default())
}

#[test]
fn a_session_is_told_in_the_order_of_time() {
    let mut documents = recorded();
    documents.reverse();
    // Delivered twice, and of another session.
    documents.extend(recorded());
    documents.push(json!({"telnet.session.id": "other", "event.action": "network_flow"}));
    let lines = told("3f2a", &documents).expect("one session");
    assert_eq!(
        lines.join("\n"),
        "\
session   3f2a91c04d5e
ends      [2001:db8::7]:50000 -> 192.0.2.1:23 ingress on web1
acceptor  inetd[812] of root(0), by syscall_exit
handler   telnetd[899], by exec
login     succeeded as alice(4711) by login on pts/3
outcome   login

2026-03-05T12:00:00.000Z      +0.000s  accepted
2026-03-05T12:00:00.030Z      +0.030s  alice(4711) runs login[900]: login -p -h x
2026-03-05T12:00:09.200Z      +9.200s  logged in as alice(4711), known by utmp, on pts/3, \
failed before: 1
2026-03-05T12:00:09.201Z      +9.201s  alert, medium: Successful \u{1b}[31mlogin
2026-03-05T12:00:10.000Z     +10.000s  alice(4711) runs id[901]: id -u, exit code 3 after 0.004s
2026-03-05T12:00:11.000Z     +11.000s  alice(4711) ended x[999]: x, exit code 3
2026-03-05T12:00:20.000Z     +20.000s  closed: fin, first by remote, after 20.000s, \
bytes from source 120, from destination 900, programs 2
2026-03-05T12:00:20.000Z     +20.000s  outlived by sleep[7]: sleep 99"
    );
}

#[test]
fn an_open_session_has_no_end() {
    let lines = told(ID, &recorded()[..2]).expect("one session");
    assert_eq!(
        lines.last().map(String::as_str),
        Some("no document tells its end")
    );
    assert!(
        told(ID, &[json!({"message": "x"})])
            .expect("none")
            .is_empty()
    );
}

#[test]
fn the_beginning_of_an_id_is_enough_where_it_is_one_session_s() {
    let of = |id: &str| json!({"telnet": {"session": {"id": id}}, "event.id": id});
    let both = [of("3f2a"), of("3f2b")];
    let id =
        |wanted: &str, documents: &[Value]| told(wanted, documents).map(|lines| lines[0].clone());
    assert_eq!(id("3f2b", &both), Ok("session   3f2b".to_owned()));
    let ambiguous = Refused::Ambiguous("3f2a".to_owned(), "3f2b".to_owned());
    assert_eq!(id("3f2", &both), Err(ambiguous));
}

#[test]
fn what_has_no_time_or_no_sense_does_no_harm() {
    let documents = [
        json!({"telnet.session.id": ID, "@timestamp": "yesterday", "event.action": 7}),
        json!({"telnet.session.id": ID, "@timestamp": [], "event.action": "network_flow",
            "event.duration": -1, "telnet.session.survivors": "x"}),
        json!({"telnet.session.id": ID, "event.action": "exec", "process.pid": "?"}),
    ];
    let lines = told(ID, &documents).expect("one session");
    assert_eq!(lines.len(), 5, "{lines:#?}");
}
