//! The verified cases: what Kibana's parser and Elasticsearch's typed matching give.

use serde_json::Value;

use crate::kql::{Class, Options, compile, parse};

const CASES: &str = include_str!("../../../fixtures/kql/cases.ndjson");
const INVALID: &str = include_str!("../../../fixtures/kql/invalid.ndjson");

fn lines(text: &str) -> impl Iterator<Item = Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap())
}

#[test]
fn verified_cases_match_as_stated() {
    let now = "2026-03-05T12:00:00Z".parse().unwrap();
    let mut wrong = Vec::new();
    for case in lines(CASES) {
        let query = case["query"].as_str().unwrap();
        let parsed = parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        let predicate = compile(&parsed, &Options::default())
            .unwrap_or_else(|errors| panic!("{query}: {errors:?}"));
        if predicate.matches(&case["event"], now) != case["match"].as_bool().unwrap() {
            wrong.push(case.to_string());
        }
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
        println!("{query:?}\n{}\n", errors[0].render("query"));
        assert_eq!(errors[0].class, class, "{query:?}: {}", errors[0]);
    }
}
