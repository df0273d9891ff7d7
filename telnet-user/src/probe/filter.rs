//! The kernel filter as userspace holds it: which sessions are reported.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use serde::{Deserialize, Serialize};
use telnet_common::{EGRESS, INGRESS, MAX_PREFIXES, PORT_WORDS};

/// Most prefixes of one filter, without the two of unspecified addresses: while one replaces
/// another the kernel holds both.
const MOST_PREFIXES: usize = {
    #[expect(
        clippy::as_conversions,
        reason = "widening, in a constant where From cannot be called"
    )]
    let most = MAX_PREFIXES as usize;
    most / 2 - 2
};

/// The first address of a network, IPv4 in its IPv4-mapped place, and the length of its prefix.
pub type Prefix = (u128, u8);

/// Which side this host is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The peer connected to this host (`network.direction: ingress`).
    Ingress,
    /// This host connected to the peer (`network.direction: egress`).
    Egress,
}

/// One end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// This host's.
    Local,
    /// The other one.
    Remote,
}

impl Direction {
    const fn bits(self) -> [u8; 2] {
        match self {
            Self::Ingress => INGRESS,
            Self::Egress => EGRESS,
        }
    }

    const fn bit(self, end: End) -> u8 {
        let [local, remote] = self.bits();
        match end {
            End::Local => local,
            End::Remote => remote,
        }
    }
}

/// Sessions that the kernel reports; nothing else leaves it.
///
/// A port at one end makes a session wanted, whatever the addresses or only when one of them is
/// wanted too. What is wanted for one port's sake is so for all ports of that direction that depend
/// on addresses: the filter may report too much, never too little.
#[derive(Clone, PartialEq, Eq)]
pub struct Filter {
    /// The kernel's words: a byte for each port.
    words: Box<[u64]>,
    /// Networks as they were asked for, with the bits of the ends.
    networks: BTreeMap<Prefix, u8>,
}

impl Filter {
    /// Reports nothing.
    pub fn none() -> Self {
        let count = usize::try_from(PORT_WORDS).unwrap_or(0);
        Self {
            words: vec![0; count].into_boxed_slice(),
            networks: BTreeMap::new(),
        }
    }

    /// Reports every session.
    pub fn all() -> Self {
        let mut filter = Self::none();
        for direction in [Direction::Ingress, Direction::Egress] {
            filter.want(direction, End::Local, &[(0, u16::MAX)]);
        }
        filter
    }

    /// Reports inbound sessions to, and outbound ones to, these ports.
    pub fn ports(ports: &BTreeSet<u16>) -> Self {
        let mut filter = Self::none();
        for &port in ports {
            filter.want(Direction::Ingress, End::Local, &[(port, port)]);
            filter.want(Direction::Egress, End::Remote, &[(port, port)]);
        }
        filter
    }

    /// Reports sessions of this direction with a port of these ranges at this end.
    pub fn want(&mut self, direction: Direction, end: End, ports: &[(u16, u16)]) {
        self.set(ports, direction.bit(end));
    }

    /// The same, if the address of `which` end is in one of these networks. With too many of them
    /// it is reported from everywhere.
    pub fn want_from(
        &mut self,
        direction: Direction,
        (end, ports): (End, &[(u16, u16)]),
        (which, networks): (End, &[Prefix]),
    ) {
        let new = networks.iter().filter(|n| !self.networks.contains_key(n));
        if self.networks.len() + new.count() > MOST_PREFIXES {
            self.want(direction, end, ports);
            return;
        }
        self.set(ports, direction.bit(end) << 4);
        // One that the kernel has not chosen yet can become any.
        let [local, remote] = direction.bits();
        for unspecified in [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()] {
            *self.networks.entry((bits(unspecified), 128)).or_default() |= local | remote;
        }
        for &network in networks {
            *self.networks.entry(network).or_default() |= direction.bit(which);
        }
    }

    fn set(&mut self, ports: &[(u16, u16)], bits: u8) {
        for &(first, last) in ports {
            for port in first..=last {
                let (word, shift) = place(port);
                if let Some(word) = self.words.get_mut(word) {
                    *word |= u64::from(bits) << shift;
                }
            }
        }
    }

    /// The kernel's byte of a port.
    fn class(&self, port: u16) -> u8 {
        let (word, shift) = place(port);
        let word = self.words.get(word).copied().unwrap_or(0);
        let [class, ..] = (word >> shift).to_le_bytes();
        class
    }

    /// Whether sessions with this port at either end can be reported.
    pub fn contains(&self, port: u16) -> bool {
        self.class(port) != 0
    }

    /// Whether a listening socket on this port is reported.
    pub fn listens(&self, port: u16) -> bool {
        let class = self.class(port);
        (class | class >> 4) & Direction::Ingress.bit(End::Local) != 0
    }

    /// Whether a session is reported, as the kernel decides it.
    pub fn passes(&self, direction: Direction, local: SocketAddr, remote: SocketAddr) -> bool {
        let [at_local, at_remote] = direction.bits();
        let ends = |local: u8, remote: u8| local & at_local | remote & at_remote;
        let (near, far) = (self.class(local.port()), self.class(remote.port()));
        if ends(near, far) != 0 {
            return true;
        }
        let wanted = |address| self.ends_of(address);
        ends(near >> 4, far >> 4) != 0 && ends(wanted(local.ip()), wanted(remote.ip())) != 0
    }

    fn ends_of(&self, address: IpAddr) -> u8 {
        let address = bits(address);
        let having = self
            .networks
            .iter()
            .filter(|(network, _)| has(**network, address));
        having.fold(0, |all, (_, ends)| all | ends)
    }

    /// Reports what either of the two does.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let words = self.words.iter().zip(&other.words);
        let mut networks = self.networks.clone();
        for (&network, ends) in &other.networks {
            *networks.entry(network).or_default() |= ends;
        }
        Self {
            words: words.map(|(mine, others)| mine | others).collect(),
            networks,
        }
    }

    /// The words of the kernel's map of ports, with their index.
    pub(crate) fn words(&self) -> impl Iterator<Item = (u32, u64)> {
        (0u32..).zip(self.words.iter().copied())
    }

    /// The kernel's map of addresses. It finds the longest prefix alone, so each has the bits of
    /// those around it as well.
    pub(crate) fn prefixes(&self) -> BTreeMap<Prefix, u8> {
        let around = |&(address, length): &Prefix| {
            let shorter = self.networks.iter().filter(|(other, _)| {
                let (_, other_length) = **other;
                other_length <= length && has(**other, address)
            });
            shorter.fold(0, |all, (_, ends)| all | ends)
        };
        let prefixes = self.networks.keys();
        prefixes.map(|prefix| (*prefix, around(prefix))).collect()
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = (0..=u16::MAX).filter(|port| self.contains(*port)).count();
        let networks = self.networks.len();
        write!(formatter, "Filter({ports} ports, {networks} networks)")
    }
}

/// The word of a port, and where its byte starts in it.
fn place(port: u16) -> (usize, u32) {
    (usize::from(port >> 3), u32::from(port & 7) * 8)
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn has((first, length): Prefix, address: u128) -> bool {
    let free = u128::BITS.saturating_sub(u32::from(length));
    let same = first ^ address;
    same.checked_shr(free).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v4(text: &str, length: u8) -> Prefix {
        (bits(text.parse().expect("an address")), 96 + length)
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address and port")
    }

    #[test]
    fn ports_are_wanted_at_one_end_of_one_direction() {
        let filter = Filter::ports(&BTreeSet::from([23]));
        let (here, there) = (at("10.0.0.1:23"), at("10.0.0.2:40000"));
        assert!(filter.passes(Direction::Ingress, here, there));
        assert!(!filter.passes(Direction::Egress, here, there));
        assert!(filter.passes(Direction::Egress, there, here));
        assert!(!filter.passes(Direction::Ingress, there, here));
        assert!(filter.listens(23) && !filter.listens(24));
        assert!(filter.contains(23) && !filter.contains(22));
    }

    #[test]
    fn addresses_are_asked_where_no_port_is_wanted_from_everywhere() {
        let mut filter = Filter::none();
        let networks = [v4("10.0.0.0", 8)];
        filter.want_from(
            Direction::Ingress,
            (End::Local, &[(23, 24)]),
            (End::Remote, &networks),
        );
        let passes =
            |local: &str, remote: &str| filter.passes(Direction::Ingress, at(local), at(remote));
        assert!(passes("192.0.2.1:23", "10.1.2.3:1"));
        assert!(passes("192.0.2.1:24", "[::ffff:10.1.2.3]:1"));
        assert!(!passes("192.0.2.1:23", "11.1.2.3:1"));
        assert!(!passes("10.0.0.1:23", "11.1.2.3:1"));
        assert!(!passes("192.0.2.1:25", "10.1.2.3:1"));
        assert!(filter.listens(23));
        let mut more = filter.clone();
        more.want(Direction::Ingress, End::Local, &[(24, 24)]);
        let passes = |local: &str| more.passes(Direction::Ingress, at(local), at("11.1.1.1:9"));
        assert!(passes("192.0.2.1:24") && !passes("192.0.2.1:23"));
    }

    #[test]
    fn a_prefix_has_the_ends_of_those_around_it() {
        let mut filter = Filter::none();
        for (which, network) in [
            (End::Remote, v4("10.0.0.0", 8)),
            (End::Local, v4("10.1.0.0", 16)),
            (End::Local, v4("11.0.0.0", 8)),
        ] {
            let ports = [(1, 1)];
            filter.want_from(Direction::Egress, (End::Local, &ports), (which, &[network]));
        }
        let [local, remote] = EGRESS;
        let expected = [
            ((0, 128), local | remote),
            (v4("0.0.0.0", 32), local | remote),
            (v4("10.0.0.0", 8), remote),
            (v4("10.1.0.0", 16), local | remote),
            (v4("11.0.0.0", 8), local),
        ];
        assert_eq!(filter.prefixes(), BTreeMap::from(expected));
    }

    #[test]
    fn too_many_networks_are_everywhere() {
        let mut filter = Filter::none();
        let many: Vec<Prefix> = (0..=MOST_PREFIXES)
            .map(|n| (u128::try_from(n).expect("small"), 128))
            .collect();
        let ports = (End::Local, &[(23, 23)][..]);
        filter.want_from(Direction::Ingress, ports, (End::Remote, &many));
        assert!(filter.networks.is_empty());
        assert!(filter.passes(Direction::Ingress, at("1.1.1.1:23"), at("2.2.2.2:1")));
    }

    proptest! {
        #[test]
        fn either_is_what_either_passes(
            one: BTreeSet<u16>, two: BTreeSet<u16>, local: u16, remote: u16
        ) {
            let (first, second) = (Filter::ports(&one), Filter::ports(&two));
            let either = first.or(&second);
            let candidates = one.iter().chain(&two).copied();
            for local in candidates.chain([local]) {
                let ends = ([10, 0, 0, 1], local).into();
                let other = ([10, 0, 0, 2], remote).into();
                for direction in [Direction::Ingress, Direction::Egress] {
                    let passes = |filter: &Filter| filter.passes(direction, ends, other);
                    prop_assert_eq!(passes(&either), passes(&first) || passes(&second));
                }
            }
        }
    }
}
