//! Which addresses the proxy may connect to.
//!
//! Endpoints are written by anybody who may write EndpointSlices, and names are resolved by servers that others run.
//! The proxy stands in a network of its own: an address that means "this machine" or "this link" would let them reach
//! what trusts only its own machine, such as a cloud's metadata service. The same rule holds where endpoints are read
//! and, for names, after each resolution.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who writes the endpoints, and so how far they are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndpointPolicy {
    /// Tenants of a cluster: addresses of pods only.
    Cluster,
    /// The owner of the machine: its loopback addresses too.
    Standalone,
}

/// Addresses of clouds' own services that are not link-local. Each gives out credentials or settings of the machine to
/// whoever asks from it.
const CLOUD_IPV4: [Ipv4Addr; 3] = [
    // Alibaba Cloud: metadata.
    Ipv4Addr::new(100, 100, 100, 200),
    // Azure: WireServer.
    Ipv4Addr::new(168, 63, 129, 16),
    // Oracle Cloud: metadata of the classic platform.
    Ipv4Addr::new(192, 0, 0, 192),
];

/// Why the proxy must not connect to this address. `None` where it may.
///
/// An IPv6 address that carries an IPv4 address is judged by both: a gateway on the way may unpack it.
pub fn refusal(address: IpAddr, policy: EndpointPolicy) -> Option<&'static str> {
    let reason = match address {
        IpAddr::V4(address) => ipv4(address),
        IpAddr::V6(address) => ipv6(address),
    };
    match policy {
        EndpointPolicy::Standalone => reason.filter(|reason| *reason != LOOPBACK),
        EndpointPolicy::Cluster => reason,
    }
}

/// Addresses from one to another, written as `address/prefix`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AddressRange {
    address: IpAddr,
    prefix: u8,
}

impl AddressRange {
    /// Parses `10.0.0.0/8` or `fd00::/8`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let (address, prefix): (IpAddr, u8) = (address.parse().ok()?, prefix.parse().ok()?);
        let longest = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= longest).then_some(Self { address, prefix })
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = |one: u128, other: u128, bits: u32| {
            let ignored = bits - u32::from(self.prefix).min(bits);
            one.checked_shr(ignored) == other.checked_shr(ignored)
        };
        match (self.address, address) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                same(u32::from(one).into(), u32::from(other).into(), 32)
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => same(one.into(), other.into(), 128),
            _ => false,
        }
    }
}

impl AddressRange {
    /// Whether its addresses are of IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// Whether all of its addresses are in another range.
    pub fn is_within(&self, other: &Self) -> bool {
        self.prefix >= other.prefix && other.contains(self.address)
    }
}

/// As it is written.
impl std::fmt::Display for AddressRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// IPv4 addresses that are no hosts of the internet (IANA's registry of special addresses, RFC 6890), as `address/prefix`.
pub const NOT_PUBLIC_IPV4: [&str; 17] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

/// Where IPv6 addresses of hosts of the internet are: all that is assigned, and NAT64, whose IPv4 address is judged by itself.
pub const PUBLIC_IPV6: [&str; 2] = ["2000::/3", "64:ff9b::/96"];

/// IPv6 addresses in these that are none, alike.
pub const NOT_PUBLIC_IPV6: [&str; 5] = [
    "2001:2::/48",
    "2001:10::/28",
    "2001:20::/28",
    "2001:db8::/32",
    "3fff::/20",
];

/// Why the proxy must not connect to this address of a host outside of the cluster, whose name others resolve: it must be
/// one of the internet, and none of the cluster's own `ranges`. `None` where it may.
pub fn refusal_outside(address: IpAddr, ranges: &[AddressRange]) -> Option<&'static str> {
    let among = |texts: &[&str], address| {
        let mut ranges = texts.iter().filter_map(|text| AddressRange::parse(text));
        ranges.any(|range| range.contains(address))
    };
    let mut meant = vec![address.to_canonical()];
    if let IpAddr::V6(address) = address.to_canonical() {
        let inside = embedded(address).into_iter().flatten();
        meant.extend(inside.map(IpAddr::V4));
    }
    meant.into_iter().find_map(|address| {
        if let Some(reason) = refusal(address, EndpointPolicy::Cluster) {
            return Some(reason);
        }
        if ranges.iter().any(|range| range.contains(address)) {
            return Some("of the cluster");
        }
        let is_public = match address {
            IpAddr::V4(_) => !among(&NOT_PUBLIC_IPV4, address),
            IpAddr::V6(_) => among(&PUBLIC_IPV6, address) && !among(&NOT_PUBLIC_IPV6, address),
        };
        (!is_public).then_some("no address of the internet")
    })
}

const LOOPBACK: &str = "loopback";
const LINK_LOCAL: &str = "link-local";
const MULTICAST: &str = "multicast";
const UNSPECIFIED: &str = "unspecified";
const BROADCAST: &str = "broadcast";
const CLOUD: &str = "a cloud provider's metadata service";

fn ipv4(address: Ipv4Addr) -> Option<&'static str> {
    // All of 0.0.0.0/8: Linux takes 0.0.0.0 for this machine.
    if address.octets()[0] == 0 {
        return Some(UNSPECIFIED);
    }
    if address.is_loopback() {
        return Some(LOOPBACK);
    }
    if address.is_link_local() {
        return Some(LINK_LOCAL);
    }
    if address.is_multicast() {
        return Some(MULTICAST);
    }
    if address.is_broadcast() {
        return Some(BROADCAST);
    }
    CLOUD_IPV4.contains(&address).then_some(CLOUD)
}

fn ipv6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_unspecified() {
        return Some(UNSPECIFIED);
    }
    if address.is_loopback() {
        return Some(LOOPBACK);
    }
    if address.is_unicast_link_local() {
        return Some(LINK_LOCAL);
    }
    if address.is_multicast() {
        return Some(MULTICAST);
    }
    if is_cloud_ipv6(address) {
        return Some(CLOUD);
    }
    embedded(address).into_iter().flatten().find_map(ipv4)
}

fn is_cloud_ipv6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // AWS: metadata, name server, clock and pod identity.
        [0xfd00, 0x0ec2, ..] => true,
        // Google Cloud.
        [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254] => true,
        // Oracle Cloud.
        [0xfd00, 0x00c1, 0, 0, 0, 0, 0xa9fe, 0xa9fe] => true,
        _ => false,
    }
}

/// The IPv4 addresses that an IPv6 address carries, in every form that names one.
fn embedded(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let octets = address.octets();
    let at = |indices: [usize; 4]| Some(Ipv4Addr::from(indices.map(|index| octets[index])));
    let last = at([12, 13, 14, 15]);
    match address.segments() {
        // Compatible (RFC 4291 §2.5.5.1), mapped (§2.5.5.2) and translated (RFC 2765 §2.1).
        [0, 0, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => {
            [last, None]
        }
        // NAT64 (RFC 6052 §2.1).
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => [last, None],
        // NAT64 of one's own (RFC 8215): it stands in one of two places, by the length of the prefix in it. What is
        // left of the other place is zero.
        [0x64, 0xff9b, 1, ..] => {
            [at([6, 7, 9, 10]), last].map(|place| place.filter(|address| address.octets()[0] != 0))
        }
        // Teredo (RFC 4380 §4): the server, and the client with all bits turned round.
        [0x2001, 0, ..] => [at([4, 5, 6, 7]), last.map(|client| !client)],
        // 6to4 (RFC 3056 §2).
        [0x2002, ..] => [at([2, 3, 4, 5]), None],
        // ISATAP (RFC 5214 §6.1).
        [.., 0x0000 | 0x0200, 0x5efe, _, _] => [last, None],
        _ => [None, None],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_refused_for_what_it_means_however_it_is_written() {
        for (address, reason) in [
            // Pods and others.
            ("10.0.0.1", None),
            ("192.168.1.1", None),
            ("172.16.0.1", None),
            ("100.64.0.1", None),
            ("240.0.0.1", None),
            ("203.0.113.7", None),
            ("fd00::1", None),
            ("2001:db8::1", None),
            ("::ffff:10.0.0.1", None),
            ("64:ff9b::10.0.0.1", None),
            ("64:ff9b:1::10.0.0.1", None),
            ("64:ff9b:1:a00:0:100::", None),
            ("2002:a00:1::1", None),
            // IPv4.
            ("127.0.0.1", Some("loopback")),
            ("127.255.255.254", Some("loopback")),
            ("169.254.169.254", Some("link-local")),
            ("169.254.0.1", Some("link-local")),
            ("224.0.0.1", Some("multicast")),
            ("239.255.255.255", Some("multicast")),
            ("0.0.0.0", Some("unspecified")),
            ("0.1.2.3", Some("unspecified")),
            ("255.255.255.255", Some("broadcast")),
            ("100.100.100.200", Some(CLOUD)),
            ("168.63.129.16", Some(CLOUD)),
            ("192.0.0.192", Some(CLOUD)),
            // IPv6.
            ("::1", Some("loopback")),
            ("::", Some("unspecified")),
            ("fe80::1", Some("link-local")),
            ("febf::1", Some("link-local")),
            ("ff02::1", Some("multicast")),
            ("fd00:ec2::254", Some(CLOUD)),
            ("fd00:ec2::23", Some(CLOUD)),
            ("fd20:ce::254", Some(CLOUD)),
            ("fd00:c1::a9fe:a9fe", Some(CLOUD)),
            // IPv4 inside IPv6.
            ("::ffff:127.0.0.1", Some("loopback")),
            ("::ffff:169.254.169.254", Some("link-local")),
            ("::ffff:0.0.0.0", Some("unspecified")),
            ("::ffff:168.63.129.16", Some(CLOUD)),
            ("::127.0.0.1", Some("loopback")),
            ("::169.254.169.254", Some("link-local")),
            ("::ffff:0:169.254.169.254", Some("link-local")),
            ("64:ff9b::169.254.169.254", Some("link-local")),
            ("64:ff9b::127.0.0.1", Some("loopback")),
            ("64:ff9b:1::169.254.169.254", Some("link-local")),
            ("64:ff9b:1:a9fe:a9:fe00::", Some("link-local")),
            ("2002:a9fe:a9fe::", Some("link-local")),
            ("2002:7f00:1::1", Some("loopback")),
            // The client is 169.254.169.254.
            ("2001:0:a00:1:0:0:5601:5601", Some("link-local")),
            ("2001:db8::5efe:169.254.169.254", Some("link-local")),
            ("2001:db8::200:5efe:169.254.169.254", Some("link-local")),
        ] {
            let parsed: IpAddr = address.parse().unwrap();
            assert_eq!(
                refusal(parsed, EndpointPolicy::Cluster),
                reason,
                "{address}"
            );
        }
    }

    #[test]
    fn standalone_permits_loopback_addresses_and_refuses_the_other_special_ones() {
        for (address, refused) in [
            ("127.0.0.1", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("10.0.0.1", false),
            ("169.254.169.254", true),
            ("::ffff:169.254.169.254", true),
            ("0.0.0.0", true),
            ("ff02::1", true),
            ("fd00:ec2::254", true),
        ] {
            let parsed: IpAddr = address.parse().unwrap();
            assert_eq!(
                refusal(parsed, EndpointPolicy::Standalone).is_some(),
                refused,
                "{address}"
            );
        }
    }

    #[test]
    fn a_host_outside_has_an_address_of_the_internet_and_none_of_the_cluster() {
        let ranges =
            ["8.8.0.0/16", "2600:1f00:1::/48"].map(|text| AddressRange::parse(text).unwrap());
        let private = Some("no address of the internet");
        for (address, expected) in [
            ("1.1.1.1", None),
            ("93.184.216.34", None),
            ("172.15.255.255", None),
            ("172.32.0.0", None),
            ("2606:4700::1111", None),
            ("64:ff9b::1.1.1.1", None),
            ("::ffff:1.1.1.1", None),
            ("2002:101:101::1", None),
            // Of the cluster, by what the operator says.
            ("8.8.8.8", Some("of the cluster")),
            ("::ffff:8.8.8.8", Some("of the cluster")),
            ("64:ff9b::8.8.8.8", Some("of the cluster")),
            ("2600:1f00:1::7", Some("of the cluster")),
            ("2600:1f00:2::7", None),
            // Private and special ones.
            ("10.96.0.1", private),
            ("172.16.0.1", private),
            ("172.31.255.255", private),
            ("192.168.1.1", private),
            ("100.64.0.1", private),
            ("192.0.2.1", private),
            ("198.18.0.1", private),
            ("240.0.0.1", private),
            ("fd00::1", private),
            ("fc00::1", private),
            ("fec0::1", private),
            ("2001:db8::1", private),
            ("3fff::1", private),
            ("100::1", private),
            ("64:ff9b:1::1.1.1.1", private),
            // IPv4 inside of IPv6.
            ("::ffff:10.0.0.1", private),
            ("64:ff9b::10.0.0.1", private),
            ("64:ff9b::192.168.0.1", private),
            ("2002:a00:1::1", private),
            // Teredo: the client is 10.0.0.1.
            ("2001:0:101:101:0:0:f5ff:fffe", private),
            ("2606:4700::5efe:10.0.0.1", private),
            // What no endpoint may be either.
            ("127.0.0.1", Some("loopback")),
            ("::1", Some("loopback")),
            ("::ffff:127.0.0.1", Some("loopback")),
            ("64:ff9b::127.0.0.1", Some("loopback")),
            ("169.254.169.254", Some("link-local")),
            ("::ffff:169.254.169.254", Some("link-local")),
            ("64:ff9b::169.254.169.254", Some("link-local")),
            ("fe80::1", Some("link-local")),
            ("0.0.0.0", Some("unspecified")),
            ("::", Some("unspecified")),
            ("255.255.255.255", Some("broadcast")),
            ("224.0.0.1", Some("multicast")),
            ("ff02::1", Some("multicast")),
            ("168.63.129.16", Some(CLOUD)),
            ("100.100.100.200", Some(CLOUD)),
            ("fd00:ec2::254", Some(CLOUD)),
        ] {
            let parsed: IpAddr = address.parse().unwrap();
            assert_eq!(refusal_outside(parsed, &ranges), expected, "{address}");
        }
    }

    #[test]
    fn a_range_has_the_addresses_that_begin_as_it_does() {
        for (range, address, expected) in [
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.1.2.3/32", "10.1.2.3", true),
            ("10.1.2.3/32", "10.1.2.4", false),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "ffff::", true),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe00::1", false),
            ("fd00::1/128", "fd00::2", false),
        ] {
            let range = AddressRange::parse(range).unwrap();
            assert_eq!(
                range.contains(address.parse().unwrap()),
                expected,
                "{range} {address}"
            );
        }
        for text in [
            "",
            "10.0.0.0",
            "10.0.0.0/33",
            "::/129",
            "a/8",
            "10.0.0.0/-1",
        ] {
            assert_eq!(AddressRange::parse(text), None, "{text}");
        }
        let known = NOT_PUBLIC_IPV4
            .iter()
            .chain(&PUBLIC_IPV6)
            .chain(&NOT_PUBLIC_IPV6);
        assert!(
            known
                .into_iter()
                .all(|text| AddressRange::parse(text).is_some())
        );
    }
}
