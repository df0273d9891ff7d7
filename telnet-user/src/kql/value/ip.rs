//! IP addresses, networks and their numeric order.

use std::net::IpAddr;

/// An address as Elasticsearch orders it: 128 bits, IPv4 in its IPv4-mapped place.
pub(in crate::kql) fn parse_address(text: &str) -> Option<u128> {
    text.parse().ok().map(bits)
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The addresses from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kql) struct Network {
    first: u128,
    last: u128,
}

impl Network {
    pub(in crate::kql) fn contains(self, address: u128) -> bool {
        (self.first..=self.last).contains(&address)
    }

    /// Its first address, and the bits that differ within it: it is an aligned block.
    pub(in crate::kql) const fn block(self) -> (u128, u128) {
        (self.first, self.first ^ self.last)
    }

    /// Reads an address or a CIDR block; its host bits may be set and are ignored.
    pub(in crate::kql) fn parse(text: &str) -> Result<Self, String> {
        let Some((address, prefix)) = text.split_once('/') else {
            return match parse_address(text) {
                Some(address) => Ok(Self {
                    first: address,
                    last: address,
                }),
                None => Err("is not an IP address".to_owned()),
            };
        };
        let address: IpAddr = address
            .parse()
            .map_err(|_e| "does not start with an IP address")?;
        let width: u32 = if address.is_ipv4() { 32 } else { 128 };
        let digits = !prefix.is_empty() && prefix.bytes().all(|digit| digit.is_ascii_digit());
        let length: Option<u32> = digits.then(|| prefix.parse().ok()).flatten();
        match length {
            Some(length) if length <= width => {
                let host = u128::MAX.checked_shr(128 - width + length).unwrap_or(0);
                let address = bits(address);
                Ok(Self {
                    first: address & !host,
                    last: address | host,
                })
            }
            _ => Err(format!("has a prefix length that is not 0 to {width}")),
        }
    }
}
