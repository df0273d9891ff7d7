//! What is refused or remarked on when a query is compiled.

use crate::kql::{Class, Error, Options, Predicate, compile, parse};

fn load(query: &str, lenient: bool) -> Result<Predicate, Vec<Error>> {
    compile(
        &parse(query).unwrap_or_else(|e| panic!("{query}: {e}")),
        &Options { lenient },
    )
}

#[test]
fn literals_that_do_not_fit_their_field_are_type_errors() {
    let cases = [
        ("destination.port:\"\"", 18, "is not a number"),
        ("destination.port:0x17", 18, "is not a number"),
        ("destination.port:1_000", 18, "is not a number"),
        ("destination.port:(23 or infinity)", 25, "is not a number"),
        ("destination.port:NaN", 18, "is not a number"),
        ("destination.port:\"*\"", 18, "is not a number"),
        ("destination.port:true", 18, "is not a number"),
        ("destination.port > telnet", 20, "is not a number"),
        ("destination.port >= 2*", 21, "wildcard"),
        ("event.duration:5m", 16, "is not a number"),
        ("tls.established:yes", 17, "neither true nor false"),
        ("tls.established:1", 17, "neither true nor false"),
        ("tls.established:True", 17, "neither true nor false"),
        ("tls.established:t*", 17, "wildcard"),
        ("source.ip:10.*", 11, "wildcard"),
        ("source.ip:010.0.0.1", 11, "is not an IP address"),
        ("source.ip:10.0.0.0/", 11, "prefix length"),
        ("source.ip:\"fe80::/129\"", 11, "0 to 128"),
        ("source.ip:\"fe80::1%eth0\"", 11, "is not an IP address"),
        ("source.ip:localhost", 11, "is not an IP address"),
        ("foo_ip:localhost", 8, "is not an IP address"),
        ("source.ip >= 10", 14, "is not an IP address"),
        ("@timestamp:yesterday", 12, "is not a date"),
        ("@timestamp:2026-13", 12, "is not a date"),
        ("@timestamp:2026-2-1", 12, "is not a date"),
        ("@timestamp:\"2026-02-30\"", 12, "is not a date"),
        ("@timestamp > \"2026-03-05 10:00\"", 14, "is not a date"),
        ("@timestamp > now-1x", 14, "date math"),
        ("@timestamp > now+", 14, "date math"),
        ("@timestamp > now/2d", 14, "more than one unit"),
        ("@timestamp > \"2026||+99999y\"", 14, "leaves the years"),
        ("source.geo.location:\"1,2\"", 21, "place"),
        ("svc.name:null", 10, "null"),
        ("svc.name:(a or null)", 16, "null"),
        ("*:null", 3, "null"),
        ("null", 1, "null"),
        ("svc.port > null", 12, "null"),
        ("svc.port > 5*", 12, "wildcard"),
        ("event.action > a*", 16, "wildcard"),
        ("source:{ ip:x }", 13, "source.ip is of type ip"),
        ("s*:{ name:x }", 1, "wildcard"),
    ];
    for (query, column, message) in cases {
        for lenient in [false, true] {
            let errors = load(query, lenient).expect_err(query);
            let [error] = errors.as_slice() else {
                panic!("{query}: {errors:?}")
            };
            assert_eq!(error.class, Class::Type, "{query}: {error}");
            assert_eq!(error.column, column, "{query}: {error}");
            assert!(error.message.contains(message), "{query}: {error}");
        }
    }
}

#[test]
fn every_literal_is_checked() {
    let query =
        "a:* or not (destination.port:(x and 1) and source.ip:{ y:null }) or @timestamp > z";
    let errors = load(query, false).unwrap_err();
    let columns: Vec<usize> = errors.iter().map(|error| error.column).collect();
    assert_eq!(columns, [31, 58, 82], "{errors:?}");
}

#[test]
fn literals_that_fit_load() {
    let queries = [
        "destination.port:*",
        "tls.established:\"true\"",
        "source.ip:0.0.0.0/0",
        "@timestamp:*",
        "@timestamp:-1",
        "source.geo.location:*",
        "source.address:10.0.0.0/33",
        "event.code:*",
        "event.reason:\"null\"",
        "event.reason:NULL",
        "svc.port:2*",
        "destination.*:telnet*",
        "process.name:(a or b*) and not process.args:-x",
        "process.command_line:\"a && b # c\" and process.args:\"x or\"",
        "file.path:/etc/*//x",
        "url.query:a=b",
        "process.name:order and process.args:nothing",
        "event.action:(or and not and)",
    ];
    for query in queries {
        let predicate = load(query, false).unwrap_or_else(|errors| panic!("{query}: {errors:?}"));
        assert_eq!(predicate.warnings(), [], "{query}");
    }
}

#[test]
fn probable_mistakes_are_lint_errors_unless_lenient() {
    let cases = [
        ("", 1, "*:*"),
        (" ", 1, "*:*"),
        ("a = 5", 3, "field:value"),
        ("a == 5", 3, "field:value"),
        ("a != 5", 3, "not field:value"),
        ("a=5", 2, "field:value"),
        ("a => 5", 3, ">="),
        ("a != b:5", 3, "missing"),
        ("a!:5", 2, "not field:value"),
        ("# comment", 1, "comment"),
        ("// comment", 1, "comment"),
        ("a:b // comment", 5, "comment"),
        ("a:x && y", 5, "\"and\""),
        ("a:x||y", 4, "\"or\""),
        ("!a || b", 4, "\"or\""),
        ("a:or", 3, "operator"),
        ("a:b or", 5, "operator"),
        ("destination.port:23 and", 21, "operator"),
        ("destination.port:23 # telnet", 21, "comment"),
        ("a:b AND", 5, "operator"),
        ("a:b and or c:d", 9, "operator"),
        ("a:(b or or c)", 9, "operator"),
        ("a:b and and", 9, "operator"),
        ("or", 1, "operator"),
        ("not", 1, "operator"),
        ("and a:b", 1, "operator"),
        ("a:b and not", 9, "operator"),
        ("field name:x", 7, "missing"),
        ("a:{ b c:x }", 7, "missing"),
        ("a b > 1", 3, "missing"),
    ];
    for (query, column, hint) in cases {
        let errors = load(query, false).expect_err(query);
        let [error] = errors.as_slice() else {
            panic!("{query}: {errors:?}")
        };
        assert_eq!(
            (error.class, error.column),
            (Class::Lint, column),
            "{query}: {error}"
        );
        assert!(
            error.hint.as_ref().is_some_and(|h| h.contains(hint)),
            "{query}: {error:?}"
        );
        match load(query, true) {
            Ok(predicate) => assert!(predicate.warnings().contains(error), "{query}"),
            // The blame moves to the number once the operator is allowed to be text.
            Err(errors) => assert!(query.contains("port") && errors[0].class == Class::Type),
        }
    }
}

#[test]
fn odd_but_legal_text_is_a_warning() {
    for (query, column, message) in [
        ("destination.port:23 and telnet", 25, "has no field"),
        ("\"a = b\"", 1, "has no field"),
        ("event.reason:x\\not y", 15, "line feed"),
    ] {
        let predicate = load(query, false).unwrap_or_else(|errors| panic!("{query}: {errors:?}"));
        let [warning] = predicate.warnings() else {
            panic!("{query}")
        };
        assert_eq!(warning.column, column, "{query}");
        assert!(warning.message.contains(message), "{query}: {warning}");
    }
}

#[test]
fn a_predicate_names_its_fields_once() {
    let predicate = load("b:1 and a.x:{ c:* or d*.e > 5 } and not b:(2 or 3)", false).unwrap();
    assert_eq!(predicate.fields(), ["a.x.c", "a.x.d*.e", "b"]);
}

#[test]
fn a_query_asks_for_fields_by_their_full_name() {
    for (query, expected) in [
        ("a.b.c:1", true),
        ("not a.b.c > 1", true),
        ("a.*:1", true),
        ("*:1", false),
        ("a:{ b.c:1 }", true),
        ("a.b:{ x:1 or not c:* }", true),
        ("a:{ b:{ c:1 } }", true),
        ("a:{ b.*:1 }", true),
        ("a:{ a.b.c:1 }", false),
        ("a:{ b:1 }", false),
        ("a.b.c:{ x:1 }", false),
        ("a.:{ c:1 } or b:{ c:1 }", false),
    ] {
        let query = parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_eq!(query.asks_for("a.b.c"), expected, "{}", query.source());
    }
}

#[test]
fn errors_are_capped_and_short() {
    let long = "x".repeat(1000);
    let query = format!("source.ip:({long}{})", " or x".repeat(12_000));
    let errors = load(&query, false).unwrap_err();
    assert_eq!(errors.len(), 100);
    assert!(
        errors
            .iter()
            .all(|error| error.render("query").len() < 1000)
    );

    // A hundred warnings do not hide an error.
    let query = format!("x{} or a = 5", " or x".repeat(200));
    assert_eq!(load(&query, false).unwrap_err().len(), 1);

    let name = format!("\"\u{1b}{long}_ip\":null");
    let shown = load(&name, false).unwrap_err()[0].render("query");
    assert!(shown.len() < 1000 && !shown.contains('\u{1b}'), "{shown}");
}

#[test]
fn what_is_expected_fits_the_operator() {
    let cases = [
        ("destination.port:x", "a number, or * for any value"),
        ("destination.port > x", "a number"),
        (
            "source.ip:x",
            "an IPv4 or IPv6 address or a CIDR block, or * for any value",
        ),
        ("source.ip >= 10.0.0.0/8", "an IPv4 or IPv6 address"),
        ("tls.established < 1", "true or false"),
        ("source.geo.location:1", "only *, for any value"),
        ("source.geo.location > 1", "field:*, for any value"),
    ];
    for (query, expected) in cases {
        let errors = compile(&parse(query).unwrap(), &Options::default()).unwrap_err();
        assert_eq!(errors[0].expected.as_deref(), Some(expected), "{query}");
    }
}
