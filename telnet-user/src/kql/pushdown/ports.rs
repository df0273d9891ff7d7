//! Ports, in words and one by one.

use std::fmt;

use super::ranges::Ranges;

/// Ports of the sessions that rules are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(pub(super) Ranges<u16>);

impl Ports {
    /// Whether a port is one of them.
    pub fn contains(&self, port: u16) -> bool {
        self.0.contains(port)
    }

    /// Whether it is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lowest.
    pub fn first(&self) -> Option<u16> {
        self.0.ranges().first().map(|(first, _)| *first)
    }
}

impl fmt::Display for Ports {
    /// `any port`, `no port`, or the ports with runs drawn together, `ports 23, 2320-2329`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_all() {
            return formatter.write_str("any port");
        }
        let ranges = self.0.ranges();
        formatter.write_str(match ranges {
            [] => return formatter.write_str("no port"),
            [(first, last)] if first == last => "port ",
            _ => "ports ",
        })?;
        for (index, (first, last)) in ranges.iter().enumerate() {
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
