//! What a query requires of a session, so that the kernel can reject the rest.
//!
//! The result may allow too much, never too little: an event of the agent that the query matches is
//! always about a session, or a listening socket, that is wanted. The agent's events have one value
//! in each of these fields, which KQL in general does not ask for. A listening socket has
//! `server.port` alone: what a query says of other fields leaves it wanted by its port.

mod flow;
mod ports;
mod ranges;
#[cfg(test)]
mod tests;

use self::flow::Flows;
pub use self::{
    flow::{End, Flow, Wanted},
    ports::Ports,
    ranges::Ranges,
};
use super::{
    ast::{Literal, Node, NodeKind, Query, RangeOp, Values, ValuesKind},
    value::ip::Network,
};

/// Fields of the end that connected, and of the one that was connected to.
const PORTS: [(&str, Side); 4] = [
    ("source.port", Side::Client),
    ("client.port", Side::Client),
    ("destination.port", Side::Server),
    ("server.port", Side::Server),
];
const ADDRESSES: [(&str, Side); 4] = [
    ("source.ip", Side::Client),
    ("client.ip", Side::Client),
    ("destination.ip", Side::Server),
    ("server.ip", Side::Server),
];
/// Those of [`ADDRESSES`] that each session has. Where the kernel did not choose one yet the filter
/// lets the session through.
const OF_SESSIONS: [&str; 2] = ["source.ip", "destination.ip"];
const DIRECTION: &str = "network.direction";
const ACTION: &str = "event.action";
/// What the agent itself sums up from sessions that other rules want.
const SUMMARY: &str = "connection_flood";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// `network.direction`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Ingress,
    Egress,
}

impl Direction {
    const fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    /// What is said of one end alone.
    fn flow(self, side: Side, end: End) -> Flow {
        let is_local = matches!(
            (self, side),
            (Self::Ingress, Side::Server) | (Self::Egress, Side::Client)
        );
        let mut flow = Flow::any();
        if is_local {
            flow.local = end;
        } else {
            flow.remote = end;
        }
        flow
    }
}

/// The sessions a query can be about.
pub fn wanted(query: &Query) -> Wanted {
    Wanted {
        ingress: of_node(query.root(), Direction::Ingress),
        egress: of_node(query.root(), Direction::Egress),
    }
}

fn of_node(node: &Node, direction: Direction) -> Flows {
    let each = |nodes: &[Node]| -> Vec<Flows> {
        let flows = nodes.iter().map(|node| of_node(node, direction));
        flows.collect()
    };
    match &node.kind {
        NodeKind::Or(nodes) => each(nodes).into_iter().fold(Flows::none(), Flows::or),
        NodeKind::And(nodes) => each(nodes).into_iter().fold(Flows::any(), Flows::and),
        NodeKind::Not(node) => of_not(node, direction),
        NodeKind::Match { field, values } => of_match(field, values, direction),
        NodeKind::Range { field, op, bound } => match side(field, &PORTS) {
            Some(side) => of_ports(of_range(*op, bound), side, direction),
            None => Flows::any(),
        },
        NodeKind::All | NodeKind::Nested { .. } | NodeKind::Free(_) => Flows::any(),
    }
}

/// What is left when the clause does not hold. Of addresses that is known; of ports it is not used,
/// since a listening socket has only one and the negation holds for the absent one.
fn of_not(node: &Node, direction: Direction) -> Flows {
    let each = |nodes: &[Node]| -> Vec<Flows> {
        let flows = nodes.iter().map(|node| of_not(node, direction));
        flows.collect()
    };
    match &node.kind {
        NodeKind::Not(node) => of_node(node, direction),
        NodeKind::Or(nodes) => each(nodes).into_iter().fold(Flows::any(), Flows::and),
        NodeKind::And(nodes) => each(nodes).into_iter().fold(Flows::none(), Flows::or),
        NodeKind::Match { field, values } => match side(field, &ADDRESSES) {
            Some(side) => of_addresses(not_addresses(field, values), side, direction),
            None => Flows::any(),
        },
        NodeKind::All | NodeKind::Range { .. } | NodeKind::Nested { .. } | NodeKind::Free(_) => {
            Flows::any()
        }
    }
}

fn of_match(field: &Literal, values: &Values, direction: Direction) -> Flows {
    if let Some(side) = side(field, &PORTS) {
        return of_ports(ports_of(values), side, direction);
    }
    if let Some(side) = side(field, &ADDRESSES) {
        return of_addresses(addresses_of(field, values), side, direction);
    }
    if field.text() == Some(DIRECTION) && !allows(values, &|text| text == direction.name()) {
        return Flows::none();
    }
    if field.text() == Some(ACTION) && !allows(values, &|text| text != SUMMARY) {
        return Flows::none();
    }
    Flows::any()
}

fn of_ports(ports: Ranges<u16>, side: Side, direction: Direction) -> Flows {
    // The kernel tells of connect(2) before it chooses this host's port. A filter by that would
    // reject what names the process, and of what fails everything.
    if (direction, side) == (Direction::Egress, Side::Client) {
        return Flows::any();
    }
    let end = End {
        ports,
        ..End::any()
    };
    Flows::one(direction.flow(side, end))
}

fn of_addresses(addresses: Option<Ranges<u128>>, side: Side, direction: Direction) -> Flows {
    let Some(addresses) = addresses else {
        return Flows::any();
    };
    let end = End {
        addresses,
        ..End::any()
    };
    Flows::one(direction.flow(side, end))
}

/// The addresses that do not satisfy `values`; `None` when that cannot be said, or when sessions
/// may lack the field, which a negation holds for.
fn not_addresses(field: &Literal, values: &Values) -> Option<Ranges<u128>> {
    if !field.text().is_some_and(|name| OF_SESSIONS.contains(&name)) {
        return None;
    }
    Some(addresses_of(field, values)?.complement())
}

/// The addresses that satisfy `values`; `None` when that cannot be said.
fn addresses_of(field: &Literal, values: &Values) -> Option<Ranges<u128>> {
    let each = |list: &[Values]| {
        let sets = list.iter().map(|values| addresses_of(field, values));
        sets.collect::<Option<Vec<_>>>()
    };
    Some(match &values.kind {
        ValuesKind::Or(list) => {
            let sets = each(list)?.into_iter();
            sets.fold(Ranges::none(), |all, set| all.or(&set))
        }
        ValuesKind::And(list) => {
            let sets = each(list)?.into_iter();
            sets.fold(Ranges::all(), |all, set| all.and(&set))
        }
        ValuesKind::Not(values) => not_addresses(field, values)?,
        ValuesKind::Literal(literal) => {
            let network = Network::parse(literal.text()?).ok()?;
            let (first, differing) = network.block();
            Ranges::of([(first, first | differing)])
        }
    })
}

/// Whether a session whose value `may` be one of these may satisfy what is said of it.
fn allows(values: &Values, may: &dyn Fn(&str) -> bool) -> bool {
    match &values.kind {
        ValuesKind::Or(list) => list.iter().any(|values| allows(values, may)),
        ValuesKind::And(list) => list.iter().all(|values| allows(values, may)),
        ValuesKind::Not(_) => true,
        ValuesKind::Literal(literal) => literal.text().is_none_or(may),
    }
}

fn ports_of(values: &Values) -> Ranges<u16> {
    match &values.kind {
        ValuesKind::Or(list) => {
            let sets = list.iter().map(ports_of);
            sets.fold(Ranges::none(), |all, set| all.or(&set))
        }
        ValuesKind::And(list) => {
            let sets = list.iter().map(ports_of);
            sets.fold(Ranges::all(), |all, set| all.and(&set))
        }
        ValuesKind::Not(_) => Ranges::all(),
        ValuesKind::Literal(literal) => of_number(literal, f64::eq),
    }
}

fn of_range(op: RangeOp, bound: &Literal) -> Ranges<u16> {
    of_number(bound, |port, bound| {
        port.partial_cmp(bound)
            .is_some_and(|ordering| op.holds(ordering))
    })
}

/// The ports that compare so with a number: a port is a `long`, 23, "23" and 23.0 are one value,
/// and a fraction is none. What is no number says nothing.
fn of_number(literal: &Literal, holds: impl Fn(&f64, &f64) -> bool) -> Ranges<u16> {
    let number = literal.text().and_then(|text| text.parse::<f64>().ok());
    let Some(number) = number else {
        return Ranges::all();
    };
    let ports = (0..=u16::MAX).filter(|&port| holds(&f64::from(port), &number));
    Ranges::of(ports.map(|port| (port, port)))
}

fn side(field: &Literal, fields: &[(&str, Side)]) -> Option<Side> {
    let text = field.text()?;
    let found = fields.iter().find(|(name, _)| *name == text);
    found.map(|(_, side)| *side)
}
