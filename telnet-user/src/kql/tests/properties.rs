//! What holds for any query and any event.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::kql::{
    Literal, LiteralKind, Node, NodeKind, Options, Pattern, Query, RangeOp, Span, Values,
    ValuesKind, compile, parse,
};

/// White space that the parser trims off an unquoted literal.
fn trimmed(c: char) -> bool {
    c == '\u{feff}' || (c.is_whitespace() && c != '\u{85}')
}

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z.@_0-9-]{1,6}",
        2 => "and|or|not|AND|Or|noT|null|true",
        2 => " |  |\t|\n|\u{a0}|\u{3000}|\u{85}|\u{feff}",
        2 => "[\\\\():<>\"*{}=#|&/!]",
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn bare() -> impl Strategy<Value = LiteralKind> {
    prop::collection::vec(text(), 1..4).prop_map(|mut parts| {
        let last = parts.len() - 1;
        parts[0] = parts[0].trim_start_matches(trimmed).to_owned();
        parts[last] = parts[last].trim_end_matches(trimmed).to_owned();
        let inner = |(index, part): (usize, String)| {
            (index == 0 || index == last || !part.is_empty()).then_some(part)
        };
        let mut parts = parts.into_iter().enumerate().filter_map(inner);
        let first = parts.next().unwrap();
        LiteralKind::Bare(Pattern::new(first, parts.collect()))
    })
}

fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![text().prop_map(LiteralKind::Quoted), bare()].prop_map(|kind| Literal {
        span: Span::default(),
        kind,
    })
}

fn values() -> impl Strategy<Value = Values> {
    let leaf = literal().prop_map(ValuesKind::Literal);
    let wrap = |kind| Values {
        span: Span::default(),
        kind,
    };
    leaf.prop_map(wrap).prop_recursive(3, 12, 3, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(ValuesKind::Or),
            prop::collection::vec(inner.clone(), 2..4).prop_map(ValuesKind::And),
            inner.prop_map(|values| ValuesKind::Not(Box::new(values))),
        ]
        .prop_map(wrap)
    })
}

fn op() -> impl Strategy<Value = RangeOp> {
    prop::sample::select(vec![
        RangeOp::Less,
        RangeOp::LessOrEqual,
        RangeOp::Greater,
        RangeOp::GreaterOrEqual,
    ])
}

fn node() -> impl Strategy<Value = Node> {
    let wrap = |kind| Node {
        span: Span::default(),
        kind,
    };
    let leaf = prop_oneof![
        (literal(), values()).prop_map(|(field, values)| NodeKind::Match { field, values }),
        (literal(), op(), literal()).prop_map(|(field, op, bound)| NodeKind::Range {
            field,
            op,
            bound
        }),
        literal().prop_map(NodeKind::Free),
    ];
    leaf.prop_map(wrap).prop_recursive(4, 24, 3, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(NodeKind::Or),
            prop::collection::vec(inner.clone(), 2..4).prop_map(NodeKind::And),
            inner.clone().prop_map(|node| NodeKind::Not(Box::new(node))),
            (literal(), inner).prop_map(|(path, node)| NodeKind::Nested {
                path,
                query: Box::new(node)
            }),
        ]
        .prop_map(wrap)
    })
}

const NAMES: [&str; 4] = ["a", "b", "a.b", "b.a.b"];
const WORDS: [&str; 4] = ["x", "xy", "", "1"];

fn object(inner: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let entry = (prop::sample::select(NAMES.to_vec()), inner);
    let object = |entries: Vec<(&str, Value)>| {
        Value::Object(
            entries
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
        )
    };
    prop::collection::vec(entry, 0..4).prop_map(object).boxed()
}

fn event() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        prop::sample::select(WORDS.to_vec()).prop_map(Value::from),
        (0..3_i64).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
    ];
    let tree = leaf.prop_recursive(4, 32, 4, |inner| {
        let array = prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from);
        prop_oneof![array, object(inner.boxed())]
    });
    object(tree.boxed())
}

/// The reference: the event as a list of paths and scalars.
fn flatten(prefix: &str, value: &Value, flat: &mut Vec<(String, Value)>) {
    match value {
        Value::Null => {}
        Value::Array(array) => array
            .iter()
            .for_each(|element| flatten(prefix, element, flat)),
        Value::Object(object) => {
            for (key, inner) in object {
                let path = if prefix.is_empty() {
                    key.clone()
                } else {
                    format!("{prefix}.{key}")
                };
                flatten(&path, inner, flat);
            }
        }
        scalar @ (Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            flat.push((prefix.to_owned(), scalar.clone()));
        }
    }
}

/// A test on one field, as text and as a function of the flat event.
type FlatTest = (String, Box<dyn Fn(&[(String, Value)]) -> bool>);

fn flat_test(name: &'static str, word: &'static str, kind: u8) -> FlatTest {
    let of = move |flat: &[(String, Value)]| -> Vec<Value> {
        let wanted = |(path, _): &&(String, Value)| path == name;
        flat.iter()
            .filter(wanted)
            .map(|(_, value)| value.clone())
            .collect()
    };
    let equal = move |value: &Value| match value {
        Value::String(text) => text == word,
        Value::Number(number) => number.to_string() == word,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
    };
    match kind {
        0 => (
            format!("{name}:\"{word}\""),
            Box::new(move |flat| of(flat).iter().any(equal)),
        ),
        1 => (
            format!("{name}:(not \"{word}\")"),
            Box::new(move |flat| !of(flat).iter().any(equal)),
        ),
        2 => (
            format!("{name}:*"),
            Box::new(move |flat| {
                let below = format!("{name}.");
                flat.iter()
                    .any(|(path, _)| path == name || path.starts_with(&below))
            }),
        ),
        3 => (
            format!("{name} >= 1"),
            Box::new(move |flat| {
                of(flat).iter().any(|value| {
                    value.as_i64().is_some_and(|number| number >= 1)
                        || value.as_str().is_some_and(|text| text >= "1")
                })
            }),
        ),
        _ => (
            format!("*{name}:\"{word}\""),
            Box::new(move |flat| {
                flat.iter()
                    .any(|(path, value)| path.ends_with(name) && equal(value))
            }),
        ),
    }
}

/// Checks that every clause of a parsed query is what its own text says.
fn check_spans(node: &Node, source: &str) -> Result<(), TestCaseError> {
    let text = node.span.of(source);
    let alone = parse(text).map_err(|e| TestCaseError::fail(format!("{text:?}: {e}")))?;
    prop_assert_eq!(alone.root(), node, "{:?} in {:?}", text, source);
    match &node.kind {
        NodeKind::Or(nodes) | NodeKind::And(nodes) => nodes
            .iter()
            .try_for_each(|inner| check_spans(inner, source)),
        NodeKind::Not(inner) => check_spans(inner, source),
        NodeKind::Nested { query, .. } => check_spans(query, source),
        NodeKind::All | NodeKind::Match { .. } | NodeKind::Range { .. } | NodeKind::Free(_) => {
            Ok(())
        }
    }
}

proptest! {
    #[test]
    fn printed_trees_parse_back(root in node()) {
        let query = Query::new("", root);
        let printed = query.to_string();
        let parsed = parse(&printed).map_err(|error| TestCaseError::fail(format!("{printed:?}: {error}")))?;
        prop_assert_eq!(&parsed, &query, "{:?}", printed);
        check_spans(parsed.root(), &printed)?;
        prop_assert_eq!(parsed.to_string(), printed);
    }

    #[test]
    fn any_text_parses_or_fails_with_a_place_inside(source in prop_oneof![any::<String>(), text()]) {
        match parse(&source) {
            Ok(query) => {
                prop_assert_eq!(parse(&query.to_string()).unwrap(), query.clone());
                if let Ok(predicate) = compile(&query, &Options { lenient: true }) {
                    predicate.matches(&json!({"a": [1, "x"]}), jiff::Timestamp::UNIX_EPOCH);
                }
            }
            Err(error) => {
                let line = source.split('\n').nth(error.line - 1);
                prop_assert!(line.is_some_and(|line| error.column <= line.chars().count() + 1));
                let shown = error.render("query");
                prop_assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
            }
        }
    }

    #[test]
    fn evaluation_equals_that_of_the_flat_event(
        event in event(),
        tests in prop::collection::vec(
            (prop::sample::select(NAMES.to_vec()), prop::sample::select(WORDS.to_vec()), 0..5_u8),
            1..4,
        ),
    ) {
        let mut flat = Vec::new();
        flatten("", &event, &mut flat);
        let tests: Vec<FlatTest> =
            tests.into_iter().map(|(name, word, kind)| flat_test(name, word, kind)).collect();
        let all: Vec<&str> = tests.iter().map(|(text, _)| text.as_str()).collect();
        let now = jiff::Timestamp::UNIX_EPOCH;
        for (joined, expected) in [
            (all.join(" and "), tests.iter().all(|(_, test)| test(&flat))),
            (all.join(" or "), tests.iter().any(|(_, test)| test(&flat))),
        ] {
            let predicate = compile(&parse(&joined).unwrap(), &Options::default()).unwrap();
            prop_assert_eq!(predicate.matches(&event, now), expected, "{}", joined);
            prop_assert_eq!(predicate.explain(&event, now).matches(), expected, "{}", joined);
        }
    }

    #[test]
    fn braces_on_one_object_equal_dotted_names(
        object in event(),
        name in prop::sample::select(NAMES.to_vec()),
        word in prop::sample::select(WORDS.to_vec()),
    ) {
        let mut outer = Map::new();
        outer.insert("o".to_owned(), object);
        let event = Value::Object(outer);
        let matches = |query: &str| {
            let predicate = compile(&parse(query).unwrap(), &Options::default()).unwrap();
            predicate.matches(&event, jiff::Timestamp::UNIX_EPOCH)
        };
        prop_assert_eq!(
            matches(&format!("o:{{ {name}:\"{word}\" }}")),
            matches(&format!("o.{name}:\"{word}\"")),
        );
    }
}
