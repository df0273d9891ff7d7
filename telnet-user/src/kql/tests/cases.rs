//! The verified cases: what Kibana's parser and Elasticsearch's typed matching give.

use serde_json::Value;

use crate::json::Indexed;
use crate::kql::{Class, Options, compile, parse};

const CASES: &str = include_str!("../../../fixtures/kql/cases.ndjson");
/// By the same rules, for what the verified cases leave out.
const MORE: &str = include_str!("../../../fixtures/kql/more.ndjson");
const INVALID: &str = include_str!("../../../fixtures/kql/invalid.ndjson");

fn lines(text: &str) -> impl Iterator<Item = Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap())
}

#[test]
fn cases_match_as_stated() {
    let now = "2026-03-05T12:30:15.500Z".parse().unwrap();
    let mut wrong = Vec::new();
    for case in lines(CASES).chain(lines(MORE)) {
        let query = case["query"].as_str().unwrap();
        let expected = case["match"].as_bool().unwrap();
        let parsed = parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        let predicate = compile(&parsed, &Options::default())
            .unwrap_or_else(|errors| panic!("{query}: {errors:?}"));
        let explanation = predicate.explain(&case["event"], now);
        let matched = predicate.matches(&case["event"], now);
        let written = Indexed::of(&case["event"]).unwrap();
        let answers = [
            matched,
            explanation.matches(),
            predicate.matches(&written, now),
        ];
        if answers.contains(&!expected) {
            wrong.push(case.to_string());
        }
        assert_eq!(explanation.first_false().is_none(), matched, "{query}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn invalid_queries_are_refused_in_their_class() {
    for case in lines(INVALID) {
        let query = case["query"].as_str().unwrap();
        let class = match case["why"].as_str().unwrap() {
            why if why.starts_with("[syntax]") => Class::Syntax,
            why if why.starts_with("[type]") => Class::Type,
            _ => Class::Lint,
        };
        let errors = match parse(query) {
            Err(error) => vec![error],
            Ok(parsed) => compile(&parsed, &Options::default())
                .err()
                .unwrap_or_else(|| panic!("{query:?} is accepted")),
        };
        let error = &errors[0];
        assert_eq!(error.class, class, "{query:?}: {error}");
        assert!(
            error.column > 1 || query.starts_with('(') || query.is_empty(),
            "{query:?}: {error}"
        );
        assert!(
            error.expected.is_some() || error.hint.is_some(),
            "{query:?}: {error:?}"
        );
    }
}
