use std::io::{Cursor, Write as _};

use flate2::{Compression, write::GzEncoder};

use super::*;

fn place(index: &str, id: &str, version: Option<u64>) -> Place {
    let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Place {
        index: known(index),
        id: known(id),
        version,
    }
}

/// What a line is: an event with its place, nothing, or an error.
type Parsed = Result<Option<(String, Place)>, String>;

/// What each line of one file is.
fn parse(lines: &[&str]) -> Vec<Parsed> {
    let mut parser = Parser::default();
    lines
        .iter()
        .map(|line| match parser.parse(line.as_bytes()) {
            Ok(event) => Ok(event.map(|event| (event.document.to_string(), event.place))),
            Err(Broken { column, message }) => Err(match column {
                Some(column) => format!("{column}: {message}"),
                None => message,
            }),
        })
        .collect()
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "compared with what may be an error"
)]
fn event(text: &str, place: Place) -> Parsed {
    Ok(Some((text.to_owned(), place)))
}

#[test]
fn plain_documents() {
    let none = Place::default;
    assert_eq!(
        parse(&[
            r#"{"a.b":1}"#,
            "",
            "  \r",
            "\u{feff}{\"a\":{\"b\":1}}\r",
            r#"{"index":{"name":"x"}}"#,
            r#"{"@metadata":{"beat":"packetbeat","_id":"p1"},"a":1}"#,
        ]),
        [
            event(r#"{"a.b":1}"#, none()),
            Ok(None),
            Ok(None),
            event(r#"{"a":{"b":1}}"#, none()),
            event(r#"{"index":{"name":"x"}}"#, none()),
            event(r#"{"a":1}"#, place("", "p1", None)),
        ]
    );
}

#[test]
fn bulk_bodies() {
    assert_eq!(
        parse(&[
            r#"{"create":{"_index":"logs-a","_id":"1"}}"#,
            r#"{"a":1}"#,
            r#"{"index":{}}"#,
            r#"{"a":2}"#,
            r#"{"delete":{"_index":"logs-a","_id":"1"}}"#,
            r#"{"a":3}"#,
            r#"{"update":{"_index":"logs-a","_id":"1"}}"#,
            r#"{"doc":{"a":4}}"#,
            r#"{"a":5}"#,
        ]),
        [
            Ok(None),
            event(r#"{"a":1}"#, place("logs-a", "1", None)),
            Ok(None),
            event(r#"{"a":2}"#, Place::default()),
            Ok(None),
            event(r#"{"a":3}"#, Place::default()),
            Ok(None),
            Err("changes to a stored document (update action), not a whole event".to_owned()),
            event(r#"{"a":5}"#, Place::default()),
        ]
    );
}

#[test]
fn search_hits() {
    assert_eq!(
        parse(&[
            r#"{"_index":"i","_id":"7","_version":3,"_score":1.0,"_source":{"a":1}}"#,
            r#"{"_index":"i","_id":"8","fields":{"a.b":[1]}}"#,
            r#"{"took":1,"hits":{"total":1,"hits":[{"_id":"1"}]}}"#,
        ]),
        [
            event(r#"{"a":1}"#, place("i", "7", Some(3))),
            event(r#"{"a.b":[1]}"#, place("i", "8", None)),
            Err(
                "a search response: expected one hit a line, as `jq -c '.hits.hits[]'` writes them"
                    .to_owned()
            ),
        ]
    );
}

#[test]
fn broken_lines_say_where() {
    let deep = "[".repeat(1_000);
    let cases = [
        ("{\"a\":1", "6: not JSON: EOF while parsing an object"),
        ("nonsense", "2: not JSON: expected ident"),
        ("{} {}", "4: not JSON: trailing characters"),
        (
            "[{}]",
            "an array instead of an object: expected one event a line",
        ),
        (
            "23",
            "a number instead of an object: expected one event a line",
        ),
        (&deep, "128: not JSON: recursion limit exceeded"),
    ];
    for (line, message) in cases {
        assert_eq!(parse(&[line]), [Err(message.to_owned())]);
    }
    let mut parser = Parser::default();
    let broken = parser.parse(b"{\"a\":\"\xff\"}").unwrap_err();
    assert!(broken.message.contains("unicode"), "{broken}");
}

#[test]
fn a_line_holds_so_many_values_and_no_more() {
    // Besides the numbers there are the array and the object around them.
    let line = |numbers: usize| format!("{{\"a\":[{}]}}", vec!["1"; numbers].join(","));
    let most = value::MAX_VALUES - 2;
    let refused = |line: String| parse(&[&line]).remove(0).err();
    assert_eq!(refused(line(most)), None);
    let message = "32770: more than 16384 values".to_owned();
    assert_eq!(refused(line(most + 1)), Some(message));
    let objects = line(most).replace('1', "{\"\":1}");
    assert!(refused(objects).is_some_and(|message| message.ends_with("more than 16384 values")));
}

/// The bound apart, values are what `serde_json` reads.
#[test]
fn values_are_read_as_they_are() {
    for line in [
        r#"{"a":[null,true,false,"",{}],"b":{"c":[[]]},"a":"last"}"#,
        "[0,-1,-0,18446744073709551615,-9223372036854775808,18446744073709551616,1.5,1e300,-0.0]",
        r#"["\u00e9\ud83d\ude00\n\"", "é"]"#,
        "1e999",
        r#"{"a":1,}"#,
        "{} {}",
        "[1",
        "{1:2}",
        r#"["\ud800"]"#,
        "",
    ] {
        let text = |read: serde_json::Result<serde_json::Value>| match read {
            Ok(value) => format!("{value:?}"),
            Err(error) => error.to_string(),
        };
        let expected = text(serde_json::from_str(line));
        assert_eq!(text(value::read(line.as_bytes())), expected, "{line}");
    }
}

#[test]
fn an_action_speaks_only_for_the_next_line() {
    let lines = parse(&[
        r#"{"create":{"_id":"1"}}"#,
        "nonsense",
        r#"{"a":1}"#,
        r#"{"create":{"_id":"1"}}"#,
        r#"{"create":{"_id":"2"}}"#,
        r#"{"a":1}"#,
    ]);
    assert_eq!(lines[2], event(r#"{"a":1}"#, Place::default()));
    assert_eq!(lines[5], event(r#"{"a":1}"#, place("", "2", None)));
}

fn lines(bytes: &[u8], limit: usize) -> Vec<(u64, Option<String>)> {
    let mut lines = Lines::new(Box::new(Cursor::new(bytes.to_vec())), limit);
    let mut out = Vec::new();
    while let Some(line) = lines.read().unwrap() {
        let text = match line {
            Line::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Line::TooLong(_) => None,
        };
        out.push((lines.number(), text));
    }
    out
}

#[test]
fn lines_are_numbered_and_bounded() {
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        lines(b"abcd\n\nabcde\nabcdefghij\nx", 4),
        [
            (1, text("abcd")),
            (2, text("")),
            (3, None),
            (4, None),
            (5, text("x"))
        ]
    );
    assert_eq!(lines(b"", 4), []);
    assert_eq!(lines(b"abcd", 4), [(1, text("abcd"))]);
    assert_eq!(lines(b"abcde", 4), [(1, None)]);
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn gzip_is_recognised_by_content() {
    let read = |bytes: Vec<u8>| {
        let mut text = String::new();
        decoded(Cursor::new(bytes)).and_then(|mut input| {
            Read::read_to_string(&mut input, &mut text)?;
            Ok(text)
        })
    };
    assert_eq!(read(b"plain".to_vec()).unwrap(), "plain");
    assert_eq!(read(b"p".to_vec()).unwrap(), "p");
    assert_eq!(read(Vec::new()).unwrap(), "");
    assert_eq!(read(gzip("one\n")).unwrap(), "one\n");
    let rotated = [gzip("one\n"), gzip("two\n")].concat();
    assert_eq!(read(rotated).unwrap(), "one\ntwo\n");
    let mut torn = gzip(&"line\n".repeat(1_000));
    torn.truncate(torn.len() - 9);
    read(torn).unwrap_err();
}

#[test]
fn names() {
    assert_eq!(Source::of(Path::new("-")), Source::Stdin);
    assert_eq!(Source::of(Path::new("./-")).name(), "./-");
    assert_eq!(Source::Stdin.name(), "stdin");
}
