//! Which fields the events of this agent can have, and what a query comes to
//! when it asks for others.

use crate::kql::{Literal, Node, NodeKind, Query, Values, ValuesKind};

/// Fields outside the field sets below.
const FIELDS: [&str; 38] = [
    "@timestamp",
    "event.action",
    "event.category",
    "event.created",
    "event.dataset",
    "event.duration",
    "event.end",
    "event.id",
    "event.ingested",
    "event.kind",
    "event.module",
    "event.outcome",
    "event.reason",
    "event.sequence",
    "event.start",
    "event.type",
    "network.bytes",
    "network.community_id",
    "network.direction",
    "network.iana_number",
    "network.packets",
    "network.protocol",
    "network.transport",
    "network.type",
    "source.address",
    "source.bytes",
    "source.ip",
    "source.packets",
    "source.port",
    "destination.address",
    "destination.bytes",
    "destination.ip",
    "destination.packets",
    "destination.port",
    "server.address",
    "server.ip",
    "server.port",
    "message",
];

/// Field sets that count as emitted as a whole.
const SETS: [&str; 12] = [
    "agent",
    "container",
    "data_stream",
    "ecs",
    "error",
    "group",
    "host",
    "orchestrator",
    "process",
    "related",
    "telnet",
    "user",
];

/// Whether an event of this agent can have a value in field `name`.
pub(crate) fn emits(name: &str) -> bool {
    let set = name.split('.').next().unwrap_or_default();
    let below = |field: &str| {
        field
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('.'))
    };
    SETS.contains(&set) || FIELDS.iter().any(|field| *field == name || below(field))
}

/// What `query` comes to on every event of this agent, if it is always the same.
pub(crate) fn verdict(query: &Query) -> Option<bool> {
    node(query.root())
}

fn node(node: &Node) -> Option<bool> {
    match &node.kind {
        NodeKind::All => Some(true),
        NodeKind::Or(parts) => any(parts.iter().map(self::node)),
        NodeKind::And(parts) => any(parts.iter().map(|part| not(self::node(part)))).map(|all| !all),
        NodeKind::Not(inner) => not(self::node(inner)),
        NodeKind::Match { field, values } => {
            if possible(field) {
                None
            } else {
                absent(values)
            }
        }
        NodeKind::Range { field, .. } => (!possible(field)).then_some(false),
        NodeKind::Nested { path, .. } => (!possible(path)).then_some(false),
        NodeKind::Free(_) => None,
    }
}

/// What a list of values comes to on a field without a value.
fn absent(values: &Values) -> Option<bool> {
    match &values.kind {
        ValuesKind::Or(parts) => any(parts.iter().map(absent)),
        ValuesKind::And(parts) => any(parts.iter().map(|part| not(absent(part)))).map(|all| !all),
        ValuesKind::Not(inner) => not(absent(inner)),
        ValuesKind::Literal(_) => Some(false),
    }
}

fn not(verdict: Option<bool>) -> Option<bool> {
    verdict.map(|verdict| !verdict)
}

/// A disjunction: true as soon as one part is, unknown as long as one part is.
fn any(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut all = Some(false);
    for part in parts {
        match part {
            Some(true) => return Some(true),
            None => all = None,
            Some(false) => {}
        }
    }
    all
}

/// Whether the field may have a value; a name with wildcards may.
fn possible(field: &Literal) -> bool {
    field.text().is_none_or(emits)
}

#[cfg(test)]
mod tests {
    use super::{emits, verdict};
    use crate::kql;

    #[test]
    fn queries_on_foreign_fields() {
        let cases = [
            ("destination.port:23", None),
            ("dns.question.name:x", Some(false)),
            ("not dns.question.name:x", Some(true)),
            ("destination.port:23 and dns.question.name:x", Some(false)),
            ("destination.port:23 or dns.question.name:x", None),
            ("destination.port:23 and not dns.question.name:x", None),
            ("dns.question.name:(x and not y)", Some(false)),
            ("dns.question.name:(x or not *)", Some(true)),
            ("dns.* : x", None),
            ("tls.version > 1", Some(false)),
            ("svc:{ not a:1 }", Some(false)),
            ("telnet", None),
            ("network.application:telnet", Some(false)),
            ("source:*", None),
        ];
        for (query, expected) in cases {
            assert_eq!(verdict(&kql::parse(query).unwrap()), expected, "{query}");
        }
        assert!(emits("process.parent.name") && !emits("processes"));
    }
}
