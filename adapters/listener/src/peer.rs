//! Where a connection comes from.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// An address, or a network of IPv6 addresses that one client may choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer {
    address: IpAddr,
    prefix: u8,
}

impl Peer {
    /// That of an address, where clients are distinguished by so many bits of an IPv6 address.
    pub fn of(address: IpAddr, ipv6_prefix: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let prefix = ipv6_prefix.min(128);
                let others = u128::MAX.checked_shr(prefix.into()).unwrap_or_default();
                Self {
                    address: Ipv6Addr::from_bits(address.to_bits() & !others).into(),
                    prefix,
                }
            }
            address @ IpAddr::V4(_) => Self {
                address,
                prefix: 32,
            },
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.prefix) {
            (IpAddr::V4(_), _) | (_, 128) => self.address.fmt(f),
            (network, prefix) => write!(f, "{network}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_ipv6_network_are_one_peer() {
        for (address, prefix, peer) in [
            ("192.0.2.1", 64, "192.0.2.1"),
            ("::ffff:192.0.2.1", 64, "192.0.2.1"),
            ("2001:db8:0:1::1", 64, "2001:db8:0:1::/64"),
            ("2001:db8:0:1:ffff::2", 64, "2001:db8:0:1::/64"),
            ("2001:db8:0:2::1", 64, "2001:db8:0:2::/64"),
            ("2001:db8:0:2::1", 128, "2001:db8:0:2::1"),
        ] {
            let found = Peer::of(address.parse().unwrap(), prefix);
            assert_eq!(found.to_string(), peer);
        }
    }
}
