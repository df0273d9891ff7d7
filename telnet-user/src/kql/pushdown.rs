//! What a query requires of the ports, so that the kernel can reject the rest.
//!
//! The result may allow too much, never too little: an event of the agent that the query matches
//! always has one of the ports, as source, destination or server port. The agent's events have
//! one value in each of these fields, which KQL in general does not ask for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::ast::{Literal, Node, NodeKind, Query, RangeOp, Values, ValuesKind};

/// Fields that hold a port of one end of the session.
const PORT_FIELDS: [&str; 4] = [
    "destination.port",
    "source.port",
    "server.port",
    "client.port",
];

/// Ports that an event must have one of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Nothing is required.
    Any,
    /// One of these; with none the query can never match.
    OneOf(BTreeSet<u16>),
}

impl Ports {
    /// No port at all.
    pub const fn none() -> Self {
        Self::OneOf(BTreeSet::new())
    }

    /// Whether no event can have them.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::OneOf(ports) if ports.is_empty())
    }

    /// What either allows.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::OneOf(mut ports), Self::OneOf(more)) => {
                ports.extend(more);
                Self::OneOf(ports)
            }
            _ => Self::Any,
        }
    }

    /// What both allow.
    #[must_use]
    fn intersect(self, other: Self) -> Self {
        match (self, other) {
            (Self::OneOf(ports), Self::OneOf(more)) => Self::OneOf(&ports & &more),
            (Self::Any, ports) | (ports, Self::Any) => ports,
        }
    }

    /// The narrower requirement. Not the intersection: the two may speak of different ends.
    #[must_use]
    fn and(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Any, _) => other,
            (Self::OneOf(ports), Self::OneOf(more)) if more.len() < ports.len() => other,
            (Self::OneOf(_), _) => self,
        }
    }
}

impl fmt::Display for Ports {
    /// `any port`, `no port`, or the ports with runs drawn together, `ports 23, 2320-2329`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = match self {
            Self::Any => return formatter.write_str("any port"),
            Self::OneOf(ports) if ports.is_empty() => return formatter.write_str("no port"),
            Self::OneOf(ports) => ports,
        };
        formatter.write_str(if ports.len() == 1 { "port " } else { "ports " })?;
        for (index, (first, last)) in runs(ports).into_iter().enumerate() {
            if index > 0 {
                formatter.write_str(", ")?;
            }
            if first == last {
                write!(formatter, "{first}")?;
            } else {
                write!(formatter, "{first}-{last}")?;
            }
        }
        Ok(())
    }
}

fn runs(ports: &BTreeSet<u16>) -> Vec<(u16, u16)> {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for &port in ports {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(port) => *last = port,
            _ => runs.push((port, port)),
        }
    }
    runs
}

/// The ports a query requires.
pub fn ports(query: &Query) -> Ports {
    of_node(query.root())
}

fn of_node(node: &Node) -> Ports {
    match &node.kind {
        NodeKind::Or(nodes) => nodes.iter().map(of_node).fold(Ports::none(), Ports::or),
        NodeKind::And(nodes) => of_and(nodes),
        NodeKind::Match { field, values } if is_port(field) => of_values(values),
        NodeKind::Range { field, op, bound } if is_port(field) => of_range(*op, bound),
        // A negation says what an event must not have; the rest does not speak of ports.
        NodeKind::All
        | NodeKind::Not(_)
        | NodeKind::Match { .. }
        | NodeKind::Range { .. }
        | NodeKind::Nested { .. }
        | NodeKind::Free(_) => Ports::Any,
    }
}

/// Clauses on one field must all hold for its one value, so their ports are intersected; clauses
/// on different fields speak of different ends, so the narrower one is taken.
fn of_and(nodes: &[Node]) -> Ports {
    let mut fields: BTreeMap<&str, Ports> = BTreeMap::new();
    let mut others = Ports::Any;
    for node in nodes {
        let field = match &node.kind {
            NodeKind::Match { field, .. } | NodeKind::Range { field, .. } => field.text(),
            NodeKind::All
            | NodeKind::Or(_)
            | NodeKind::And(_)
            | NodeKind::Not(_)
            | NodeKind::Nested { .. }
            | NodeKind::Free(_) => None,
        };
        let ports = of_node(node);
        if let Some(field) = field {
            let known = fields.entry(field).or_insert(Ports::Any);
            *known = std::mem::replace(known, Ports::Any).intersect(ports);
        } else {
            others = others.and(ports);
        }
    }
    fields.into_values().fold(others, Ports::and)
}

fn of_values(values: &Values) -> Ports {
    match &values.kind {
        ValuesKind::Or(list) => list.iter().map(of_values).fold(Ports::none(), Ports::or),
        ValuesKind::And(list) => list
            .iter()
            .map(of_values)
            .fold(Ports::Any, Ports::intersect),
        ValuesKind::Not(_) => Ports::Any,
        ValuesKind::Literal(literal) => of_literal(literal),
    }
}

/// A port is a `long`: 23, "23" and 23.0 are one value, and a fraction is none.
fn of_literal(literal: &Literal) -> Ports {
    let Some(text) = literal.text() else {
        return Ports::Any;
    };
    if let Ok(port) = text.parse::<u16>() {
        return Ports::OneOf(BTreeSet::from([port]));
    }
    let Ok(number) = text.parse::<f64>() else {
        return Ports::Any;
    };
    Ports::OneOf(
        (0..=u16::MAX)
            .filter(|&port| f64::from(port).total_cmp(&number).is_eq())
            .collect(),
    )
}

fn of_range(op: RangeOp, bound: &Literal) -> Ports {
    let Some(bound) = bound.text().and_then(|text| text.parse::<f64>().ok()) else {
        return Ports::Any;
    };
    Ports::OneOf(
        (0..=u16::MAX)
            .filter(|&port| {
                f64::from(port)
                    .partial_cmp(&bound)
                    .is_some_and(|ordering| op.holds(ordering))
            })
            .collect(),
    )
}

fn is_port(field: &Literal) -> bool {
    field.text().is_some_and(|name| PORT_FIELDS.contains(&name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::kql;

    fn of(query: &str) -> String {
        ports(&kql::parse(query).expect("valid")).to_string()
    }

    #[test]
    fn requirements_follow_the_operators() {
        for (query, expected) in [
            ("destination.port:23", "port 23"),
            ("destination.port:\"23\"", "port 23"),
            ("destination.port:23.0", "port 23"),
            ("destination.port:23.5", "no port"),
            ("destination.port:70000", "no port"),
            ("destination.port:(23 or 2323)", "ports 23, 2323"),
            ("destination.port:(23 and not 24)", "port 23"),
            ("destination.port:(not 24)", "any port"),
            ("destination.port:*", "any port"),
            ("not destination.port:23", "any port"),
            ("destination.port:23 and source.port:(1 or 2)", "port 23"),
            ("destination.port:23 or source.port:1", "ports 1, 23"),
            ("destination.port:23 or event.action:x", "any port"),
            (
                "destination.port >= 5800 and destination.port <= 5810",
                "ports 5800-5810",
            ),
            ("server.port < 2", "ports 0-1"),
            ("destination.port:23 and destination.port:24", "no port"),
            ("destination.port:(23 and 24)", "no port"),
            ("event.kind:event", "any port"),
            ("", "any port"),
            ("*.port:23", "any port"),
            ("svc:{ destination.port:23 }", "any port"),
        ] {
            assert_eq!(of(query), expected, "{query}");
        }
    }

    fn clause() -> impl Strategy<Value = String> {
        let field = prop::sample::select(vec!["destination.port", "source.port", "server.port"]);
        let op = prop::sample::select(vec![":", "<", "<=", ">", ">="]);
        let port = prop::sample::select(vec!["0", "1", "2", "3", "2.0", "1.5", "65535"]);
        let leaf = (field, op, port).prop_map(|(field, op, port)| format!("{field} {op} {port}"));
        leaf.prop_recursive(4, 16, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 2..4)
                    .prop_map(|clauses| format!("({})", clauses.join(" and "))),
                prop::collection::vec(inner.clone(), 2..4)
                    .prop_map(|clauses| format!("({})", clauses.join(" or "))),
                inner.prop_map(|clause| format!("(not {clause})")),
            ]
        })
    }

    proptest! {
        /// What the kernel would reject, no rule accepts.
        #[test]
        fn never_allows_too_little(query in clause(), source in 0u16..5, destination in 0u16..5) {
            let parsed = kql::parse(&query).expect("valid");
            let predicate =
                kql::compile(&parsed, &kql::Options::default()).expect("well typed");
            let event = json!({"source": {"port": source}, "destination": {"port": destination}});
            let now = jiff::Timestamp::UNIX_EPOCH;
            if let Ports::OneOf(ports) = ports(&parsed)
                && !ports.contains(&source)
                && !ports.contains(&destination)
            {
                prop_assert!(!predicate.matches(&event, now), "{} on {}", query, event);
            }
        }
    }
}
