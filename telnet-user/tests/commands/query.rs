//! `telnet-monitor query`.

use std::{io::Read as _, process::Stdio};

use super::{Folder, command, gzip};

const EVENTS: &str = r#"{"destination": {"port": 23},   "event.action":"accepted"}
{"destination.port":24}

{"index":{"_index":"a","_id":"1"}}
{"destination":{"port":"23"},"event":{"action":"denied"}}
{"_index":"a","_id":"2","_source":{"destination.port":[22,23]}}
"#;

#[test]
fn prints_matching_lines_unchanged() {
    let folder = Folder::new();
    folder.write("events.ndjson", EVENTS);
    let lines: Vec<&str> = EVENTS.lines().collect();
    let cases = [
        ("destination.port:23", 0, vec![lines[0], lines[4], lines[5]]),
        (
            "destination.port:23 and not event.action:denied",
            0,
            vec![lines[0], lines[5]],
        ),
        ("destination.port > 1000", 1, vec![]),
    ];
    for (query, code, expected) in cases {
        let outcome = folder.run(&["query", query, "events.ndjson"]);
        assert_eq!(outcome.code, code, "{query}: {outcome:?}");
        assert_eq!(outcome.stdout.lines().collect::<Vec<_>>(), expected);
        assert_eq!(outcome.stderr, "");
    }
}

#[test]
fn counts_and_inverts() {
    let folder = Folder::new();
    folder.write("a.ndjson", EVENTS);
    let query = "destination.port:23";
    let cases: [(&[&str], i32, &str); 5] = [
        (&["-c", query, "a.ndjson"], 0, "3\n"),
        (&["-c", query, "a.ndjson", "a.ndjson"], 0, "6\n"),
        (&["-v", query, "a.ndjson"], 0, "{\"destination.port\":24}\n"),
        (&["-vc", "destination.port:*", "a.ndjson"], 1, "0\n"),
        (&["--count", "--invert", query, "--", "a.ndjson"], 0, "1\n"),
    ];
    for (arguments, code, stdout) in cases {
        let outcome = folder.run(&[&["query"], arguments].concat());
        assert_eq!((outcome.code, outcome.stdout.as_str()), (code, stdout));
    }
}

#[test]
fn reads_standard_input_and_gzip() {
    let folder = Folder::new();
    folder.write("events.json.gz", gzip(EVENTS));
    let query = "destination.port:24";
    let found = "{\"destination.port\":24}\n";
    assert_eq!(folder.run_with(&["query", query], EVENTS).stdout, found);
    assert_eq!(
        folder.run_with(&["query", query, "-"], gzip(EVENTS)).stdout,
        found
    );
    let both = folder.run_with(&["query", query, "events.json.gz", "-"], EVENTS);
    assert_eq!(both.stdout, found.repeat(2));
    // The last line needs no newline; what is printed has one.
    assert_eq!(
        folder.run_with(&["query", query], found.trim_end()).stdout,
        found
    );
}

#[test]
fn an_invalid_query_is_pointed_at() {
    let folder = Folder::new();
    let cases = [
        (
            "destination.port:>23",
            "query:1:17: ",
            "1 | destination.port:>23\n  |                 ^",
        ),
        (
            "event.kind:event and\ndestination.port:telnet",
            "query:2:18: ",
            "2 | destination.port:telnet\n  |                  ^",
        ),
        ("port = 23", "query:1:", "1 | port = 23\n"),
    ];
    for (query, place, excerpt) in cases {
        let outcome = folder.run(&["query", query]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""));
        assert!(outcome.stderr.starts_with(place), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(excerpt), "{}", outcome.stderr);
    }
    let lenient = folder.run_with(&["query", "--lenient", "port = 23"], EVENTS);
    assert_eq!(lenient.code, 1, "{lenient:?}");
    assert!(
        lenient.stderr.starts_with("warning: query:1:"),
        "{lenient:?}"
    );
}

#[test]
fn broken_lines_are_named_and_passed_over() {
    let folder = Folder::new();
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(2 << 20));
    let text = format!("{{\"a\":1}}\nnot \u{1b}[2J json\n{long}\n[]\n{{\"a\":1}}\n");
    folder.write("e.ndjson", text);
    let outcome = folder.run(&["query", "-c", "a:1", "e.ndjson"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, "2\n"));
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(
        lines,
        [
            "e.ndjson:2:2: not JSON: expected ident, skipped",
            "e.ndjson:3: longer than 1048576 bytes, skipped",
            "e.ndjson:4: an array instead of an object: expected one event a line, skipped",
        ]
    );
    let flood = folder.run_with(&["query", "a:1"], "x\n".repeat(1_000));
    assert_eq!(flood.code, 1);
    assert_eq!(flood.stderr.lines().count(), 21, "{}", flood.stderr);
    assert!(flood.stderr.ends_with("stdin: 980 more lines skipped\n"));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_stops_nothing() {
    let folder = Folder::new();
    let mut torn = gzip(&EVENTS.repeat(100));
    torn.truncate(torn.len() - 10);
    folder.write("torn.gz", torn);
    folder.write("events.ndjson", EVENTS);
    for file in ["missing.ndjson", "torn.gz", "."] {
        let outcome = folder.run(&["query", "-c", "destination.port:24", file, "events.ndjson"]);
        assert_eq!(outcome.code, 2, "{outcome:?}");
        assert!(outcome.stdout.trim().parse::<u64>().unwrap() >= 1);
        assert!(
            outcome.stderr.starts_with(&format!("{file}:")),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let folder = Folder::new();
    folder.write("events.ndjson", "{\"a\":1}\n".repeat(100_000));
    let mut child = command(folder.0.path(), &["query", "a:1", "events.ndjson"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 8]).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn what_the_command_line_does_not_have_is_refused() {
    let folder = Folder::new();
    assert_eq!(folder.run(&["query"]).code, 2);
    assert_eq!(folder.run(&["query", "a:1", "--nonsense"]).code, 2);
}
