//! Which zone a name lies in, and what that zone does for it.

use crate::edge::objects::{Zone, ZoneState};
use crate::names::Hostname;

/// A zone in which hostnames of a Gateway lie.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ZoneStatus {
    /// Its apex.
    pub name: String,
    pub state: ZoneState,
}

/// The zone that a hostname lies in: the one with the longest name that the hostname ends in.
pub fn zone_of<'a>(hostname: &Hostname, zones: impl Iterator<Item = &'a Zone>) -> Option<&'a Zone> {
    zones
        .filter(|zone| hostname.is_within(&zone.name))
        .max_by(|a, b| (a.name.len(), &b.id).cmp(&(b.name.len(), &a.id)))
}

/// Whether Cloudflare's Universal certificate is for a hostname of a zone: the apex and names one label below it, the
/// wildcard included (developers.cloudflare.com/ssl/edge-certificates/universal-ssl/limitations).
pub fn has_universal_certificate(hostname: &Hostname, zone: &str) -> bool {
    let above = hostname.as_str().split_once('.').map(|(_, above)| above);
    hostname.as_str() == zone || above == Some(zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_universal_certificate_is_for_the_apex_and_one_label() {
        for (hostname, zone, expected) in [
            ("example.com", "example.com", true),
            ("app.example.com", "example.com", true),
            ("*.example.com", "example.com", true),
            ("a.app.example.com", "example.com", false),
            ("*.app.example.com", "example.com", false),
            ("a.app.example.com", "app.example.com", true),
            ("xn--bcher-kva.example", "xn--bcher-kva.example", true),
        ] {
            let hostname = Hostname::parse(hostname).unwrap();
            let found = has_universal_certificate(&hostname, zone);
            assert_eq!(found, expected, "{hostname} in {zone}");
        }
    }
}
