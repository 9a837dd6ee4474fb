//! For which hostnames DNS records are made, and what becomes of those that others changed.

use std::collections::BTreeMap;

use crate::names::{Hostname, HostnamePatterns, ZoneId};

/// For which hostnames DNS records are made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DnsPolicy {
    /// All that lie in a zone that the credentials can see.
    #[default]
    All,
    /// Only names directly below one of these (`x.zone`, `*.zone`), as `spec.dns.zones` says.
    Below(Vec<Hostname>),
    /// As patterns say besides.
    Selected(Box<DnsSelection>),
    Off,
}

/// `spec.dns` with `include` or `exclude`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DnsSelection {
    /// `zones`, as in [`DnsPolicy::Below`].
    pub zones: Vec<Hostname>,
    /// Names besides those of the zones; without either, all.
    pub include: HostnamePatterns,
    /// Names for which no record is made whatever else is said.
    pub exclude: HostnamePatterns,
}

impl DnsPolicy {
    /// Whether records are made for this hostname.
    pub fn manages(&self, hostname: &Hostname) -> bool {
        match self {
            Self::All => true,
            Self::Off => false,
            Self::Below(zones) => is_directly_below(hostname, zones),
            Self::Selected(selection) => selection.selects(hostname),
        }
    }
}

impl DnsPolicy {
    /// The same with these names besides, each of which was asked for by itself. What is excluded stays so.
    #[must_use]
    pub fn including(self, names: impl IntoIterator<Item = Hostname>) -> Self {
        let mut names = names.into_iter().peekable();
        if names.peek().is_none() {
            return self;
        }
        let mut selection = match self {
            Self::All => return Self::All,
            Self::Off => DnsSelection::default(),
            Self::Below(zones) => DnsSelection {
                zones,
                ..DnsSelection::default()
            },
            Self::Selected(selection) if selection.is_any() => return Self::Selected(selection),
            Self::Selected(selection) => *selection,
        };
        selection.include = selection.include.iter().cloned().chain(names).collect();
        Self::Selected(Box::new(selection))
    }
}

impl DnsSelection {
    /// Whether every name is selected that is not excluded.
    fn is_any(&self) -> bool {
        self.zones.is_empty() && self.include.is_empty()
    }

    fn selects(&self, hostname: &Hostname) -> bool {
        (self.is_any() || is_directly_below(hostname, &self.zones) || self.include.allow(hostname))
            && !self.exclude.allow(hostname)
    }
}

fn is_directly_below(hostname: &Hostname, zones: &[Hostname]) -> bool {
    let parent = hostname.as_str().split_once('.').map(|(_, parent)| parent);
    zones.iter().any(|zone| parent == Some(zone.as_str()))
}

/// What becomes of a record of ours that somebody changed or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DriftPolicy {
    /// It is put right.
    #[default]
    Repair,
    /// It stays and is told; everything else goes on.
    Report,
    /// It stays and is told, and no record of the Gateway is made, changed or removed until it is right again.
    Pause,
}

/// How records are treated: the rest of `spec.dns`, and what is confirmed on the Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordSettings {
    pub drift: DriftPolicy,
    /// Ids of zones by their names, for tokens that may not look at zones. At most [`MOST_ZONE_IDS`].
    pub zone_ids: BTreeMap<Hostname, ZoneId>,
    /// Names whose records of somebody else are to give way to ours. At most [`MOST_ADOPTIONS`].
    pub adopt: BTreeMap<Hostname, Adoption>,
    /// The code of the removal that is confirmed. At most [`LONGEST_CODE`] characters.
    pub confirmed_removal: Option<String>,
}

/// Limit of `spec.dns.zoneIDs`.
pub const MOST_ZONE_IDS: usize = 128;

/// Limit of `spec.dns.adopt`.
pub const MOST_ADOPTIONS: usize = 128;

/// Characters of a code that confirms something, at most.
pub const LONGEST_CODE: usize = 64;

/// Annotation of a Gateway that confirms a removal that is held back: the code of it.
pub const CONFIRM_REMOVAL: &str = "cloudflare-gateway-controller.io/confirm-removal";

/// How far the adoption of a name's records was allowed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Adoption {
    /// It is only said what would be done.
    #[default]
    DryRun,
    /// The code of what would be done, as the dry run said it.
    Confirmed(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(names: &[&str]) -> Vec<Hostname> {
        let parsed = names.iter().map(|name| Hostname::parse(name));
        parsed.map(Result::unwrap).collect()
    }

    #[test]
    fn a_name_that_is_asked_for_by_itself_is_managed_unless_it_is_excluded() {
        let selected = |include: &[&str], exclude: &[&str]| {
            DnsPolicy::Selected(Box::new(DnsSelection {
                zones: Vec::new(),
                include: hosts(include).into_iter().collect(),
                exclude: hosts(exclude).into_iter().collect(),
            }))
        };
        let [asked, other] = [&hosts(&["a.example.com"])[0], &hosts(&["b.example.com"])[0]];
        for (policy, manages_asked, manages_other) in [
            (DnsPolicy::All, true, true),
            (DnsPolicy::Off, true, false),
            (DnsPolicy::Below(hosts(&["example.org"])), true, false),
            (DnsPolicy::Below(hosts(&["example.com"])), true, true),
            (selected(&["b.example.com"], &[]), true, true),
            (selected(&[], &["b.example.com"]), true, false),
            (
                selected(&["b.example.com"], &["a.example.com"]),
                false,
                true,
            ),
        ] {
            let including = policy.clone().including([asked.clone()]);
            assert_eq!(including.manages(asked), manages_asked, "{policy:?}");
            assert_eq!(including.manages(other), manages_other, "{policy:?}");
            assert_eq!(policy.clone().including([]), policy);
        }
    }

    #[test]
    fn patterns_add_to_zones_and_exclusions_win() {
        for (zones, include, exclude, managed, unmanaged) in [
            (
                &[][..],
                &[][..],
                &["*.dev.example.com", "old.example.com"][..],
                &["app.example.com", "dev.example.com", "example.org"][..],
                &["a.dev.example.com", "*.dev.example.com", "old.example.com"][..],
            ),
            (
                &[],
                &["*.shop.example.com", "example.com"],
                &[],
                &["example.com", "a.shop.example.com", "a.b.shop.example.com"],
                &["shop.example.com", "app.example.com"],
            ),
            (
                &["example.com"],
                &["a.b.example.com"],
                &["c.example.com"],
                &["app.example.com", "*.example.com", "a.b.example.com"],
                &["example.com", "x.b.example.com", "c.example.com"],
            ),
        ] {
            let policy = DnsPolicy::Selected(Box::new(DnsSelection {
                zones: hosts(zones),
                include: hosts(include).into_iter().collect(),
                exclude: hosts(exclude).into_iter().collect(),
            }));
            for (names, expected) in [(managed, true), (unmanaged, false)] {
                for name in hosts(names) {
                    assert_eq!(policy.manages(&name), expected, "{name} {policy:?}");
                }
            }
        }
    }
}
