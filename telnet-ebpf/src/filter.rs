//! Which sessions a rule could be about: by direction, ports and addresses.
//!
//! It may let too much through, never too little. Most sessions of a host are decided by their two
//! ports; addresses are looked up only where no rule wants a port from everywhere.

use aya_ebpf::maps::lpm_trie::Key;
use telnet_common::{AF_INET, EGRESS, INGRESS};

use crate::maps::{ADDRESSES, PORTS};

/// Ends of sessions, one bit each.
#[derive(Clone, Copy)]
pub(crate) struct Ends(u8);

impl Ends {
    /// An inbound session.
    pub(crate) const INBOUND: Self = Self(INGRESS[0] | INGRESS[1]);
    /// An outbound session.
    pub(crate) const OUTBOUND: Self = Self(EGRESS[0] | EGRESS[1]);
    /// A session whose direction the socket does not tell.
    pub(crate) const EITHER: Self = Self(Self::INBOUND.0 | Self::OUTBOUND.0);
    /// A listening socket, or what this host's side of an inbound session does.
    pub(crate) const SERVER: Self = Self(INGRESS[0]);

    const LOCAL: u8 = INGRESS[0] | EGRESS[0];
    const REMOTE: u8 = INGRESS[1] | EGRESS[1];

    /// Whether one of these ends is wanted; `addresses` are the local and the remote one.
    #[inline(always)]
    pub(crate) fn are_wanted(
        self,
        local_port: u16,
        remote_port: u16,
        addresses: impl FnOnce() -> (Address, Address),
    ) -> bool {
        let (local, remote) = (class(local_port), class(remote_port));
        if self.of(local, remote) != 0 {
            return true;
        }
        let wanted = self.of(local >> 4, remote >> 4);
        if wanted == 0 {
            return false;
        }
        let (local, remote) = addresses();
        // Port and address may be of different ends, not of different directions.
        Self(with_other_end(wanted)).of(local.ends(), remote.ends()) != 0
    }

    /// Whether its port alone makes one of these ends wanted, from everywhere or from somewhere.
    #[inline(always)]
    pub(crate) fn may_be_wanted(self, local_port: u16) -> bool {
        let local = class(local_port);
        self.of(local | local >> 4, 0) != 0
    }

    #[inline(always)]
    const fn of(self, local: u8, remote: u8) -> u8 {
        (local & Self::LOCAL | remote & Self::REMOTE) & self.0
    }
}

#[inline(always)]
const fn with_other_end(ends: u8) -> u8 {
    let mut out = 0;
    if ends & Ends::INBOUND.0 != 0 {
        out |= Ends::INBOUND.0;
    }
    if ends & Ends::OUTBOUND.0 != 0 {
        out |= Ends::OUTBOUND.0;
    }
    out
}

/// The byte of a port (host order) in [`PORTS`].
#[inline(always)]
fn class(port: u16) -> u8 {
    let word = PORTS.get(u32::from(port >> 3)).copied().unwrap_or(0);
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        reason = "one byte of eight"
    )]
    let class = (word >> ((port & 7) * 8)) as u8;
    class
}

/// An IPv6 address, or an IPv4 one in its IPv4-mapped place.
#[derive(Clone, Copy)]
pub(crate) struct Address([u8; 16]);

impl Address {
    /// Of a record: network order, IPv4 in the first four bytes.
    #[inline(always)]
    pub(crate) const fn new(family: u16, bytes: [u8; 16]) -> Self {
        if family == AF_INET {
            let [a, b, c, d, ..] = bytes;
            Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d])
        } else {
            Self(bytes)
        }
    }

    /// The ends for which it is wanted.
    #[inline(always)]
    fn ends(self) -> u8 {
        ADDRESSES.get(Key::new(128, self.0)).copied().unwrap_or(0)
    }
}
