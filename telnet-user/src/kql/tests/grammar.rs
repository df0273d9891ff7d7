//! What parses, and to what: each query beside its tree printed back.

use serde_json::json;

use crate::kql::{Class, MAX_BYTES, MAX_DEPTH, NodeKind, Options, compile, parse};

#[test]
fn queries_print_as_they_are_understood() {
    let cases = [
        ("", ""),
        ("  \n ", ""),
        ("a:1 or b:2 and c:3", "a:1 or b:2 and c:3"),
        ("(a:1 or b:2) and c:3", "(a:1 or b:2) and c:3"),
        ("((a:1)) and (b:2 and c:3)", "a:1 and (b:2 and c:3)"),
        ("a:1 AND NOT b:2 Or c:3", "a:1 and not b:2 or c:3"),
        ("not (not a:1)", "not (not a:1)"),
        ("a : 1", "a:1"),
        ("a:(1)", "a:1"),
        ("a:( 1 or not (2 and 3) )", "a:(1 or not (2 and 3))"),
        ("a>-5", "a > -5"),
        ("a\n>=\t5", "a >= 5"),
        ("a <=5 and b<6", "a <= 5 and b < 6"),
        ("a:{ b:1 and c:{d > 2} }", "a:{ b:1 and c:{ d > 2 } }"),
        ("a:{free}", "a:{ free }"),
        ("\"a\" : \"b\"", "\"a\":\"b\""),
        ("a:x  y ", "a:x  y"),
        ("a:or", "a:\\or"),
        ("a:(and or or)", "a:(\\and or \\or)"),
        ("a:order and b:android", "a:order and b:android"),
        ("a:b and or c:d", "a:b and \\or c:d"),
        ("a:b and not", "a:b and \\u006eot"),
        ("a:b and", "a:b \\and"),
        ("(a:b)", "a:b"),
        ("a:salt \\and pepper", "a:salt \\and pepper"),
        ("a:**x***", "a:*x*"),
        ("*:*", "*:*"),
        ("a:\\*", "a:\\*"),
        ("a:x\\*y*", "a:x\\*y*"),
        ("a:\"*\"", "a:\"*\""),
        ("a:\"C:\\Windows\"", "a:\"C:\\\\Windows\""),
        ("a:\"C:\\new\"", "a:\"C:\\new\""),
        ("a:\"\\u00e9\\ud83d\\ude00\\u12\"", "a:\"é😀\\\\u12\""),
        ("a:\\u0073sh", "a:ssh"),
        ("a:\\t", "a:\\t"),
        ("a:x\\n", "a:x"),
        // Kibana resolves `\n` before it sees the word.
        ("a:x\\not", "a:x\\not"),
        ("a:\"two\nlines\"", "a:\"two\\nlines\""),
        ("a:null and b:true", "a:null and b:true"),
        ("a = 5", "a = 5"),
        ("a => 5", "a = > 5"),
        ("a:b # x", "a:b # x"),
        ("a:1\u{a0}or\u{a0}b:2", "a:1 or b:2"),
    ];
    for (query, printed) in cases {
        let parsed = parse(query).unwrap_or_else(|error| panic!("{query:?}: {error}"));
        assert_eq!(parsed.to_string(), printed, "{query:?}");
        assert_eq!(parse(printed).unwrap(), parsed, "{query:?}");
    }
}

#[test]
fn a_backslash_makes_a_line_feed_of_an_escaped_not() {
    let NodeKind::Free(literal) = parse("x\\not").unwrap().root().kind.clone() else {
        panic!("not free text");
    };
    assert_eq!(literal.text(), Some("x\not"));
}

/// Query, place of the error, a part of the message and a part of the expectation or hint.
const SYNTAX_ERRORS: &[(&str, (usize, usize), &str, &str)] = &[
    ("a:1)", (1, 4), "unexpected \")\"", "remove it"),
    ("a:1 and\n(b:2", (2, 1), "never closed", "\")\""),
    ("a:(1 or 2", (1, 3), "never closed", "\")\""),
    ("a:\"x", (1, 3), "never closed", "\\\""),
    ("a:", (1, 3), "ends too early", "field:*"),
    ("a:1 and\n  b:(\n\n", (2, 6), "ends too early", ""),
    (
        "a:1 and ",
        (1, 8),
        "ends too early",
        "\"and\" needs something",
    ),
    (
        "(a:1) or",
        (1, 7),
        "unexpected \"or\"",
        "a clause after \"or\"",
    ),
    (
        "(a:1 or )",
        (1, 9),
        "unexpected \")\"",
        "\"or\" needs something",
    ),
    (
        "(a:1)and(b:2)",
        (1, 6),
        "unexpected \"and(b:2)\"",
        "blank on both sides",
    ),
    (
        "(a:1) and(b:2)",
        (1, 7),
        "unexpected \"and(b:2)\"",
        "blank on both sides",
    ),
    (
        "a:1 and(b:2)",
        (1, 8),
        "unexpected \"(\"",
        "put a blank between \"and\"",
    ),
    (
        "not(a:1)",
        (1, 4),
        "unexpected \"(\"",
        "put a blank between \"not\"",
    ),
    ("a:1 not b:2", (1, 5), "unexpected \"not\"", "\"and not\""),
    ("a::1", (1, 3), "unexpected \":\"", "one \":\""),
    (
        "source.ip:fe80::1",
        (1, 15),
        "unexpected \":\"",
        "\"fe80::1\"",
    ),
    ("a:1 && b:2", (1, 9), "unexpected \":\"", "write \"and\""),
    (
        "a:1 b:2",
        (1, 6),
        "unexpected \":\"",
        "put \"and\" or \"or\" before \"b:2\"",
    ),
    ("a:<5", (1, 2), "cannot be combined", "field < value"),
    ("a > (1 or 2)", (1, 5), "unexpected \"(\"", "not a list"),
    ("a <> 5", (1, 4), "unexpected \">\"", "not field:value"),
    ("a >: 5", (1, 4), "unexpected \":\"", "no colon"),
    ("> 5", (1, 1), "unexpected \">\"", "field > 5"),
    (": 5", (1, 1), "unexpected \":\"", "before \":\""),
    ("a:{ }", (1, 5), "unexpected \"}\"", "inside the braces"),
    ("a:(b:1)", (1, 5), "unexpected \":\"", "quotes"),
    ("a:({ b:1 })", (1, 4), "unexpected \"{\"", "braces"),
    ("a:x(1)", (1, 4), "unexpected \"(\"", "quote"),
    ("a:\"x\" y", (1, 7), "unexpected \"y\"", "\"and\""),
    ("a:x\"y\"", (1, 4), "unexpected", "\\\""),
    ("a in (1)", (1, 6), "unexpected \"(\"", "\"in\" is not KQL"),
    ("a like \"x\"", (1, 8), "unexpected", "\"like\" is not KQL"),
    ("a = \"x\"", (1, 5), "unexpected", "field:\"value\""),
    ("a:\\q", (1, 3), "unknown escape \"\\q\"", "\\\\"),
    (
        "a:\\u12",
        (1, 3),
        "unknown escape \"\\u\"",
        "four hexadecimal",
    ),
    ("a:\\ud83d", (1, 3), "surrogate", "other half"),
    ("a:\"\\ude00\\ud83d\"", (1, 4), "surrogate", "other half"),
    ("é:ü\nand ß:(", (2, 8), "ends too early", ""),
];

#[test]
fn syntax_errors_name_place_and_remedy() {
    for (query, place, message, help) in SYNTAX_ERRORS {
        let error = parse(query).map(|q| q.to_string()).expect_err(query);
        let told = format!("{:?} {:?}", error.expected, error.hint);
        let told = told.replace("\\\"", "\"").replace("\\\\", "\\");
        assert_eq!(error.class, Class::Syntax, "{query:?}");
        assert_eq!((error.line, error.column), *place, "{query:?}: {error}");
        assert!(error.message.contains(message), "{query:?}: {error}");
        assert!(told.contains(help), "{query:?}: {told}");
    }
}

#[test]
fn errors_render_with_a_caret_and_without_control_characters() {
    let error = parse("a:1 and\n\u{1b}[31mé:fe80::1").unwrap_err();
    let expected = "\
        rules/x\\u{1b}.toml:2:12: unexpected \":\"\n  \
          |\n\
        2 | \\u{1b}[31mé:fe80::1\n  \
          |                 ^\n  \
          = expected: \"and\", \"or\" or the end of the query\n  \
          = hint: a value with \":\" (IPv6 address, time, path) needs quotes: \"fe80::1\", or \\: for each colon";
    assert_eq!(error.render("rules/x\u{1b}.toml"), expected);
}

#[test]
fn long_lines_are_cut_around_the_caret() {
    let query = format!("{}:{}", "a".repeat(500), ">".repeat(500));
    let shown = parse(&query).unwrap_err().render("query");
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[2].chars().count() < 140, "{shown}");
    let caret = lines[3].chars().position(|c| c == '^').unwrap();
    assert_eq!(lines[2].chars().nth(caret), Some(':'), "{shown}");
}

#[test]
fn size_and_depth_are_limited() {
    let longest = "a".repeat(MAX_BYTES);
    assert!(parse(&longest).is_ok());
    assert!(
        parse(&format!("{longest}a"))
            .unwrap_err()
            .message
            .contains("longer than")
    );

    for (open, inner, close) in [
        ("(", "a:1", ")"),
        ("a:{", "b:1", "}"),
        ("not (", "a:1", ")"),
        ("b:1 and (a:1 or (", "a:1", "))"),
    ] {
        let nest = |levels| format!("{}{inner}{}", open.repeat(levels), close.repeat(levels));
        let per_level = close.len();
        let fits = parse(&nest(MAX_DEPTH / per_level)).unwrap();
        assert_eq!(parse(&fits.to_string()).unwrap(), fits);
        let predicate = compile(&fits, &Options::default()).unwrap();
        let explanation = predicate.explain(&json!({"a": 1}), jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(
            predicate.matches(&json!({"a": 1}), jiff::Timestamp::UNIX_EPOCH),
            explanation.matches()
        );
        let error = parse(&nest(MAX_DEPTH / per_level + 1)).unwrap_err();
        assert!(error.message.contains("more than 100"), "{error}");
    }
    let values = |levels: usize| format!("a:{}1{}", "(".repeat(levels), ")".repeat(levels));
    assert!(parse(&values(MAX_DEPTH)).is_ok());
    assert!(parse(&values(MAX_DEPTH + 1)).is_err());
    assert!(parse(&"(".repeat(MAX_BYTES)).is_err());
}

#[test]
fn runs_of_blanks_take_linear_time() {
    let query = format!("a:x{}y", " ".repeat(MAX_BYTES - 4));
    let start = std::time::Instant::now();
    assert!(parse(&query).is_ok());
    assert!(start.elapsed() < std::time::Duration::from_secs(1));
}

#[test]
fn fields_that_a_query_asks_for() {
    for (query, expected) in [
        ("network.protocol:telnet", true),
        ("network.protocol:(telnet or not *)", true),
        ("a:1 and not (b:2 or \"network.protocol\":*)", true),
        ("network.*:telnet", true),
        ("network.protocol > a", true),
        ("network.proto:telnet", false),
        ("network.protocol.name:telnet", false),
        ("*:telnet", false),
        ("telnet", false),
        ("", false),
    ] {
        let query = parse(query).expect("valid");
        let asks = query.asks_for("network.protocol");
        assert_eq!(asks, expected, "{}", query.source());
    }
}
