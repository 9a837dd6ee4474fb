//! Addresses that stand for tunnels at the edge.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Addresses to give to tunnels, written as `10.20.0.0/16` or `fd00:20::/64`. The network's own address
/// and, for IPv4, the last one are given to nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    network: IpAddr,
    prefix: u8,
}

/// A range that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no range of addresses; write one like 10.20.0.0/16 or fd00:20::/64")]
pub struct MalformedRange(String);

impl AddressRange {
    /// 127.64.0.0/16, which any Linux machine has on loopback.
    pub const LOOPBACK: Self = Self {
        network: IpAddr::V4(Ipv4Addr::new(127, 64, 0, 0)),
        prefix: 16,
    };

    /// Whether its addresses are IPv6.
    pub fn is_ipv6(&self) -> bool {
        self.network.is_ipv6()
    }

    /// How many addresses it has to give.
    fn size(&self) -> u32 {
        let (bits, kept_back) = match self.network {
            IpAddr::V4(_) => (32 - self.prefix, 2),
            IpAddr::V6(_) => (128 - self.prefix, 1),
        };
        match 1_u32.checked_shl(u32::from(bits)) {
            Some(all) => all - kept_back,
            None => u32::MAX,
        }
    }

    /// The address with this number, counted from 0.
    fn at(&self, number: u32) -> IpAddr {
        match self.network {
            IpAddr::V4(network) => Ipv4Addr::from(u32::from(network) + 1 + number).into(),
            IpAddr::V6(network) => {
                Ipv6Addr::from(u128::from(network) + 1 + u128::from(number)).into()
            }
        }
    }

    /// The first free address from a number on, around the end, and the number after it. `None` where all
    /// are taken.
    pub(crate) fn next(&self, from: u32, taken: &BTreeSet<IpAddr>) -> Option<(IpAddr, u32)> {
        let size = self.size();
        let numbers = (0..size).map(|step| (from % size + step) % size);
        let mut free = numbers.map(|number| (self.at(number), (number + 1) % size));
        free.find(|(address, _)| !taken.contains(address))
    }
}

impl FromStr for AddressRange {
    type Err = MalformedRange;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || MalformedRange(text.to_owned());
        let (network, prefix) = text.split_once('/').ok_or_else(malformed)?;
        let network: IpAddr = network.parse().map_err(|_| malformed())?;
        let prefix: u8 = prefix.parse().map_err(|_| malformed())?;
        let (longest, host_bits) = match network {
            IpAddr::V4(v4) => (30, u128::from(u32::from(v4)) << 96),
            IpAddr::V6(v6) => (126, u128::from(v6)),
        };
        // Bits beyond the prefix belong to the addresses that are given.
        if prefix == 0 || prefix > longest || host_bits << prefix != 0 {
            return Err(malformed());
        }
        Ok(Self { network, prefix })
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_it_is_written() {
        let cases = [
            ("10.20.0.0/16", true),
            ("127.64.0.0/30", true),
            ("fd00:20::/64", true),
            ("10.20.0.1/16", false),
            ("10.20.0.0/31", false),
            ("0.0.0.0/0", false),
            ("10.20.0.0", false),
            ("ten/16", false),
        ];
        for (text, good) in cases {
            let read = text.parse::<AddressRange>();
            assert_eq!(read.is_ok(), good, "{text}");
            if let Ok(range) = read {
                assert_eq!(range.to_string(), text);
            }
        }
    }

    #[test]
    fn addresses_are_given_in_order_and_around_the_end_again() {
        let range: AddressRange = "10.20.0.0/30".parse().unwrap();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let none = BTreeSet::new();
        assert_eq!(range.next(0, &none), Some((ip("10.20.0.1"), 1)));
        assert_eq!(range.next(1, &none), Some((ip("10.20.0.2"), 0)));
        let first = BTreeSet::from([ip("10.20.0.1")]);
        assert_eq!(range.next(0, &first), Some((ip("10.20.0.2"), 0)));
        let all = BTreeSet::from([ip("10.20.0.1"), ip("10.20.0.2")]);
        assert_eq!(range.next(1, &all), None);
    }
}
