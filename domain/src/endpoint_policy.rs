//! Which addresses the proxy may connect to.
//!
//! Endpoints are written by anybody who may write EndpointSlices, and names are resolved by servers that others run.
//! The proxy stands in a network of its own: an address that means "this machine" or "this link" would let them reach
//! what trusts only its own machine, such as a cloud's metadata service. The same rule holds where endpoints are read
//! and, for names, after each resolution.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who writes the endpoints, and so how far they are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}
