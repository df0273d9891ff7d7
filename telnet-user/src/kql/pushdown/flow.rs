//! What sessions must be like, by direction.

use std::fmt;

use super::{ports::Ports, ranges::Ranges};

/// Alternatives that are kept apart; more are drawn together into one that has them all.
const MAX_FLOWS: usize = 64;
/// Networks that are named; of more the rest is counted.
const MAX_NAMED: usize = 4;

/// A port and an address of one end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Its port is one of these.
    pub ports: Ranges<u16>,
    /// Its address is one of these, IPv4 in its IPv4-mapped place.
    pub addresses: Ranges<u128>,
}

impl End {
    pub(super) fn any() -> Self {
        Self {
            ports: Ranges::all(),
            addresses: Ranges::all(),
        }
    }

    fn zip(
        &self,
        other: &Self,
        ports: impl Fn(&Ranges<u16>, &Ranges<u16>) -> Ranges<u16>,
        addresses: impl Fn(&Ranges<u128>, &Ranges<u128>) -> Ranges<u128>,
    ) -> Self {
        Self {
            ports: ports(&self.ports, &other.ports),
            addresses: addresses(&self.addresses, &other.addresses),
        }
    }

    fn is_any(&self) -> bool {
        self.ports.is_all() && self.addresses.is_all()
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ports, addresses } = self;
        if !addresses.is_all() {
            let (mut networks, but) = (addresses.networks(), addresses.complement().networks());
            if networks.is_empty() || but.len() < networks.len() {
                f.write_str("anywhere but ")?;
                networks = but;
            }
            for (index, (address, length)) in networks.iter().take(MAX_NAMED).enumerate() {
                let comma = if index > 0 { ", " } else { "" };
                let address = std::net::Ipv6Addr::from_bits(*address);
                match (address.to_ipv4_mapped(), length.checked_sub(96)) {
                    (Some(v4), Some(length)) => write!(f, "{comma}{v4}/{length}")?,
                    _ => write!(f, "{comma}{address}/{length}")?,
                }
            }
            if let Some(more) = networks
                .len()
                .checked_sub(MAX_NAMED)
                .filter(|more| *more > 0)
            {
                write!(f, " and {more} more networks")?;
            }
            if !ports.is_all() {
                f.write_str(", ")?;
            }
        }
        if ports.is_all() {
            Ok(())
        } else {
            write!(f, "{}", Ports(ports.clone()))
        }
    }
}

/// What a session must be like: both ends at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// This host's end. Outbound its port is any.
    pub local: End,
    /// The other one.
    pub remote: End,
}

impl Flow {
    pub(super) fn any() -> Self {
        Self {
            local: End::any(),
            remote: End::any(),
        }
    }

    fn and(&self, other: &Self) -> Self {
        let both = |one: &End, two: &End| one.zip(two, Ranges::and, Ranges::and);
        Self {
            local: both(&self.local, &other.local),
            remote: both(&self.remote, &other.remote),
        }
    }

    /// One that has both, and more.
    fn hull(&self, other: &Self) -> Self {
        let either = |one: &End, two: &End| one.zip(two, Ranges::or, Ranges::or);
        Self {
            local: either(&self.local, &other.local),
            remote: either(&self.remote, &other.remote),
        }
    }

    /// Whether there are no such ports. Addresses do not tell: a listening socket has no client's
    /// and a session may lack its own, and a negation holds for the absent one.
    fn is_none(&self) -> bool {
        self.local.ports.is_empty() || self.remote.ports.is_empty()
    }

    fn covers(&self, other: &Self) -> bool {
        self.hull(other) == *self
    }
}

/// Alternatives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flows(Vec<Flow>);

impl Flows {
    /// Every session.
    pub(super) fn any() -> Self {
        Self(vec![Flow::any()])
    }

    /// No session.
    pub(super) const fn none() -> Self {
        Self(Vec::new())
    }

    pub(super) fn one(flow: Flow) -> Self {
        Self::of(vec![flow])
    }

    /// Without those that cannot be, and those that others cover.
    fn of(flows: Vec<Flow>) -> Self {
        let mut out: Vec<Flow> = Vec::new();
        for flow in flows {
            if flow.is_none() || out.iter().any(|other| other.covers(&flow)) {
                continue;
            }
            out.retain(|other| !flow.covers(other));
            out.push(flow);
        }
        if out.len() > MAX_FLOWS {
            let hull = out.into_iter().reduce(|one, two| one.hull(&two));
            out = hull.into_iter().collect();
        }
        Self(out)
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self::of([self.0, other.0].concat())
    }

    /// What both allow; of very many alternatives one side alone, which allows more.
    pub(super) fn and(self, other: Self) -> Self {
        if self.0.len() * other.0.len() > MAX_FLOWS {
            return if self.0.len() < other.0.len() {
                self
            } else {
                other
            };
        }
        let pairs = self.0.iter().flat_map(|one| {
            let both = other.0.iter().map(|two| one.and(two));
            both.collect::<Vec<_>>()
        });
        Self::of(pairs.collect())
    }
}

/// The sessions that a query, or several, can be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub(super) ingress: Flows,
    pub(super) egress: Flows,
}

impl Wanted {
    /// No session.
    pub const fn none() -> Self {
        Self {
            ingress: Flows::none(),
            egress: Flows::none(),
        }
    }

    /// What either wants.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            ingress: self.ingress.or(other.ingress),
            egress: self.egress.or(other.egress),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ingress.0.is_empty() && self.egress.0.is_empty()
    }

    /// Inbound sessions: one of these.
    pub fn ingress(&self) -> &[Flow] {
        &self.ingress.0
    }

    /// Outbound sessions: one of these.
    pub fn egress(&self) -> &[Flow] {
        &self.egress.0
    }

    /// The ports of which every session has one, at the end where they are fewer.
    pub fn ports(&self) -> Ports {
        let flows = self.ingress().iter().chain(self.egress());
        let ports = flows.map(|flow| flow.narrower().ports.clone());
        Ports(ports.fold(Ranges::none(), |all, ports| all.or(&ports)))
    }
}

impl Flow {
    /// The end with fewer ports; this host's, when there is no difference.
    pub fn narrower(&self) -> &End {
        let count = |end: &End| {
            let ranges = end.ports.ranges().iter();
            ranges
                .map(|(first, last)| u32::from(last - first) + 1)
                .sum::<u32>()
        };
        if count(&self.remote) < count(&self.local) {
            &self.remote
        } else {
            &self.local
        }
    }
}

impl fmt::Display for Wanted {
    /// `inbound to port 23; outbound to port 23`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("no session");
        }
        let inbound = self.ingress().iter().map(|flow| {
            let Flow { local, remote } = flow;
            ("inbound", remote, local)
        });
        let outbound = self.egress().iter().map(|flow| {
            let Flow { local, remote } = flow;
            ("outbound", local, remote)
        });
        for (index, (direction, from, to)) in inbound.chain(outbound).enumerate() {
            let semicolon = if index > 0 { "; " } else { "" };
            write!(f, "{semicolon}{direction}")?;
            if !from.is_any() {
                write!(f, " from {from}")?;
            }
            if to.is_any() {
                f.write_str(if from.is_any() { ", all" } else { "" })?;
            } else {
                write!(f, " to {to}")?;
            }
        }
        Ok(())
    }
}
