//! Which of many queries an event can satisfy at all, without holding it against each.
//!
//! A query that requires one of some exact values of a field, as most do, is looked up by the
//! event's value of that field. Of the clauses it requires that with the rarest values is taken,
//! so that a thousand queries on port 23 are told apart by what else they ask for.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::compile::{Expr, ExprKind, Field, Predicate, Test, ValueTest};
use super::eval::scalar::{address, number, with_text};
use super::fields::FieldType;
use super::value::number::Number;
use crate::json::Node;

/// An exact value, or a block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Term<'q> {
    Text(&'q str),
    Integer(i128),
    /// First address, and the bits that differ within the block.
    Network(u128, u128),
}

/// Values of a field of which a query requires one.
#[derive(Debug)]
struct Clause<'q> {
    path: &'q str,
    terms: Vec<Term<'q>>,
}

/// Queries by what they require. A query is told by its place in the list given.
#[derive(Debug, Default)]
pub struct Index {
    fields: Vec<Terms>,
    /// Queries that require no exact value.
    always: Vec<usize>,
}

/// The values of one field, and who requires each.
#[derive(Debug, Default)]
struct Terms {
    path: String,
    texts: HashMap<String, Vec<usize>>,
    integers: HashMap<i128, Vec<usize>>,
    networks: HashMap<(u128, u128), Vec<usize>>,
    /// The bits that differ within a block, for each size of blocks.
    hosts: HashSet<u128>,
}

impl Index {
    /// An index of `queries`.
    pub fn new<'q>(queries: impl Iterator<Item = &'q Predicate>) -> Self {
        let required: Vec<Vec<Clause<'q>>> = queries
            .map(|query| {
                let mut clauses = Vec::new();
                collect(&query.0.root, &mut clauses);
                clauses
            })
            .collect();
        let mut uses: HashMap<(&str, Term<'_>), usize> = HashMap::new();
        for clause in required.iter().flatten() {
            for term in &clause.terms {
                *uses.entry((clause.path, *term)).or_default() += 1;
            }
        }
        let mut fields: BTreeMap<&str, Terms> = BTreeMap::new();
        let mut always = Vec::new();
        for (query, clauses) in required.iter().enumerate() {
            let weight = |clause: &&Clause<'_>| -> usize {
                let terms = clause.terms.iter();
                terms
                    .filter_map(|term| uses.get(&(clause.path, *term)))
                    .sum()
            };
            let Some(rarest) = clauses.iter().min_by_key(weight) else {
                always.push(query);
                continue;
            };
            let terms = fields.entry(rarest.path).or_default();
            for term in &rarest.terms {
                terms.add(*term, query);
            }
        }
        let named = fields.into_iter().map(|(path, terms)| Terms {
            path: path.to_owned(),
            ..terms
        });
        Self {
            fields: named.collect(),
            always,
        }
    }

    /// Sets `found` to the queries that `event` can satisfy, in their order. Those left out it
    /// does not satisfy.
    pub fn candidates<'e>(&self, event: impl Into<Node<'e>>, found: &mut Vec<usize>) {
        let event = event.into();
        found.clear();
        found.extend(&self.always);
        for terms in &self.fields {
            terms.look_up(event, found);
        }
        found.sort_unstable();
        found.dedup();
    }
}

impl Terms {
    fn add(&mut self, term: Term<'_>, query: usize) {
        let queries = match term {
            Term::Text(text) => self.texts.entry(text.to_owned()).or_default(),
            Term::Integer(integer) => self.integers.entry(integer).or_default(),
            Term::Network(first, hosts) => {
                self.hosts.insert(hosts);
                self.networks.entry((first, hosts)).or_default()
            }
        };
        queries.push(query);
    }

    fn look_up(&self, event: Node<'_>, found: &mut Vec<usize>) {
        super::eval::path::any(event, &self.path, &mut |value| {
            if !self.texts.is_empty() {
                with_text(value, |text| {
                    found.extend(self.texts.get(text).into_iter().flatten());
                    false
                });
            }
            if !self.integers.is_empty()
                && let Some(integer) = number(value).and_then(Number::integer)
            {
                found.extend(self.integers.get(&integer).into_iter().flatten());
            }
            if !self.hosts.is_empty()
                && let Some(address) = address(value)
            {
                for hosts in &self.hosts {
                    let block = (address & !hosts, *hosts);
                    found.extend(self.networks.get(&block).into_iter().flatten());
                }
            }
            false
        });
    }
}

/// Adds the clauses that must all hold and ask for exact values.
fn collect<'q>(expr: &'q Expr, clauses: &mut Vec<Clause<'q>>) {
    match &expr.kind {
        ExprKind::And(list) => list.iter().for_each(|inner| collect(inner, clauses)),
        ExprKind::Field {
            field:
                Field::Path {
                    path,
                    parent: None,
                    field_type,
                },
            test: ValueTest::Any(tests),
        } if *field_type != Some(FieldType::Flattened) => {
            let terms = tests.iter().map(term).collect::<Option<Vec<_>>>();
            clauses.extend(terms.map(|terms| Clause { path, terms }));
        }
        ExprKind::All
        | ExprKind::Or(_)
        | ExprKind::Not(_)
        | ExprKind::Field { .. }
        | ExprKind::Nested { .. }
        | ExprKind::Free(_) => {}
    }
}

fn term(test: &Test) -> Option<Term<'_>> {
    match test {
        Test::Keyword(wanted) => Some(Term::Text(wanted)),
        Test::Number(number) => number.integer().map(Term::Integer),
        Test::Ip(network) => {
            let (first, hosts) = network.block();
            Some(Term::Network(first, hosts))
        }
        Test::Pattern(_)
        | Test::Text(_)
        | Test::Boolean(_)
        | Test::Date(_)
        | Test::Untyped(_)
        | Test::Range(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::Index;
    use crate::kql::{Options, Predicate, compile, parse};

    fn predicate(query: &str) -> Predicate {
        compile(&parse(query).expect("valid"), &Options { lenient: true }).expect("well typed")
    }

    fn candidates(queries: &[&str], event: &serde_json::Value) -> Vec<usize> {
        let predicates: Vec<Predicate> = queries.iter().map(|query| predicate(query)).collect();
        let mut found = Vec::new();
        Index::new(predicates.iter()).candidates(event, &mut found);
        found
    }

    #[test]
    fn the_rarest_required_value_decides() {
        let queries = [
            "destination.port:23 and user.name:(a or b)",
            "destination.port:23 and user.name:c",
            "destination.port:23 and source.ip:10.0.0.0/8",
            "destination.port:23 and source.ip:\"10.1.0.0/16\" and process.name:x*",
            "not destination.port:23",
            "destination.port:23 or user.name:a",
            "destination.port:80",
        ];
        let event = json!({
            "destination": {"port": 23}, "user.name": ["b", "z"], "source": {"ip": "10.2.0.1"},
        });
        assert_eq!(candidates(&queries, &event), [0, 2, 4, 5]);
    }

    fn clause() -> impl Strategy<Value = String> {
        let leaf = prop::sample::select(vec![
            "destination.port:23",
            "destination.port:(23 or 24.0)",
            "source.ip:10.0.0.1",
            "source.ip:\"10.0.0.0/30\"",
            "user.name:a",
            "user.name:(a or b)",
            "user.name:\"23\"",
            "not user.name:b",
            "user.*:a",
        ])
        .prop_map(str::to_owned);
        leaf.prop_recursive(3, 12, 3, |inner| {
            let parts = prop::collection::vec(inner, 2..4);
            (parts, any::<bool>()).prop_map(|(parts, and)| {
                format!("({})", parts.join(if and { " and " } else { " or " }))
            })
        })
    }

    proptest! {
        #[test]
        fn what_is_left_out_does_not_match(
            queries in prop::collection::vec(clause(), 1..6),
            port in prop::sample::select(vec![json!(23), json!("23"), json!(24.0), json!([1, 24])]),
            ip in prop::sample::select(vec!["10.0.0.1", "10.0.0.3", "10.0.0.4", "::1"]),
            user in prop::sample::select(vec![json!("a"), json!(["b", "c"]), json!(23), json!(null)]),
        ) {
            let event = json!({
                "destination": {"port": port}, "source.ip": ip, "user": {"name": user},
            });
            let queries: Vec<&str> = queries.iter().map(String::as_str).collect();
            let found = candidates(&queries, &event);
            for (index, query) in queries.iter().enumerate() {
                let matches = predicate(query).matches(&event, jiff::Timestamp::UNIX_EPOCH);
                prop_assert!(!matches || found.contains(&index), "{} on {}", query, event);
            }
        }
    }
}
