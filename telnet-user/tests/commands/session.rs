//! `telnet-monitor session`.

use super::{Folder, Outcome, gzip};

const EVENTS: &str = r#"{"@timestamp":"2026-03-05T12:00:00Z","event":{"id":"a","action":"connection_accepted"},"telnet":{"session":{"id":"aa11"}}}
not JSON
{"@timestamp":"2026-03-05T12:00:01Z","event.id":"b","event.action":"network_flow","event.reason":"fin","telnet.session.id":"aa11"}
{"@timestamp":"2026-03-05T12:00:02Z","event.id":"c","event.action":"exec","process":{"pid":7,"name":"a\u001b[2J\u009b","command_line":"x\ny"},"telnet.session.id":"ab22"}
"#;

fn lines(outcome: &Outcome) -> Vec<&str> {
    outcome.stdout.lines().collect()
}

#[test]
fn tells_one_session_from_files_and_standard_input() {
    let folder = Folder::new();
    folder.write("a.ndjson.gz", gzip(EVENTS));
    let expected = [
        "session   aa11",
        "",
        "2026-03-05T12:00:00.000Z      +0.000s  accepted",
        "2026-03-05T12:00:01.000Z      +1.000s  closed: fin",
    ];
    let from_file = folder.run(&["session", "aa", "a.ndjson.gz"]);
    assert_eq!((from_file.code, lines(&from_file)), (0, expected.to_vec()));
    assert!(
        from_file.stderr.starts_with("a.ndjson.gz:2:"),
        "{from_file:?}"
    );
    let from_stdin = folder.run_with(&["session", "aa11", "-"], EVENTS);
    assert_eq!(
        (from_stdin.code, lines(&from_stdin)),
        (0, expected.to_vec())
    );
}

#[test]
fn reads_what_the_agent_is_configured_to_write() {
    let folder = Folder::new();
    let path = folder.path("events.ndjson");
    let config = format!(
        "[[sinks]]\ntype = \"file\"\nstreams = [\"events\"]\npath = \"{}\"\n",
        path.display()
    );
    folder.write("config.toml", config);
    let (old, new) = EVENTS.split_once("not JSON\n").unwrap();
    folder.write("events.ndjson", new);
    folder.write("events.ndjson.1.gz", gzip(old));
    let outcome = folder.run(&["session", "aa11", "-c", "config.toml"]);
    assert_eq!((outcome.code, lines(&outcome).len()), (0, 4), "{outcome:?}");
}

/// Not from standard input instead.
#[test]
fn says_why_it_cannot_read_what_the_agent_is_configured_to_write() {
    let folder = Folder::new();
    let path = folder.path("events.ndjson");
    let config = format!(
        "[[sinks]]\ntype = \"file\"\nstreams = [\"events\"]\npath = \"{}\"\n",
        path.display()
    );
    folder.write("config.toml", config);
    let outcome = folder.run_with(&["session", "aa11", "-c", "config.toml"], EVENTS);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(
        outcome.stderr.contains("events.ndjson: No such file"),
        "{outcome:?}"
    );
}

#[test]
fn either_end_that_was_there_before_the_agent_was_found_open() {
    let folder = Folder::new();
    for action in ["connection_accepted", "connection_established"] {
        let event = format!(
            r#"{{"@timestamp":"2026-03-05T12:00:00Z","event":{{"id":"a","action":"{action}"}},"telnet":{{"session":{{"id":"aa11","preexisting":true}}}}}}"#
        );
        let outcome = folder.run_with(&["session", "aa11", "-"], &event);
        assert!(lines(&outcome)[2].ends_with("found open"), "{outcome:?}");
    }
}

#[test]
fn says_what_is_wrong() {
    let folder = Folder::new();
    folder.write("a.ndjson", EVENTS.replace("not JSON\n", ""));
    for (arguments, code, message) in [
        (
            &["session", "a", "a.ndjson"][..],
            1,
            "several sessions begin like this: aa11 and ab22",
        ),
        (
            &["session", "zz", "a.ndjson"],
            1,
            "no such session in 3 documents",
        ),
        (&["session", "", "a.ndjson"], 2, "which session?"),
        (&["session", "aa", "missing"], 1, "missing: No such file"),
        (&["session", "aa", "-c", "missing"], 1, "missing"),
        (&["session"], 2, "required"),
    ] {
        let outcome = folder.run(arguments);
        assert_eq!(outcome.code, code, "{arguments:?} {outcome:?}");
        assert!(
            outcome.stderr.contains(message),
            "{arguments:?} {outcome:?}"
        );
        assert_eq!(outcome.stdout, "");
    }
}

#[test]
fn nothing_of_it_moves_the_cursor() {
    let folder = Folder::new();
    let outcome = folder.run_with(&["session", "ab", "-"], EVENTS);
    assert!(
        !outcome
            .stdout
            .contains(|c: char| c.is_control() && c != '\n'),
        "{outcome:?}"
    );
    let last = r"runs a\u{1b}[2J\u{9b}[7]: x\u{a}y";
    assert!(outcome.stdout.contains(last), "{outcome:?}");
    assert!(
        outcome.stdout.ends_with("no document tells its end\n"),
        "{outcome:?}"
    );
}
