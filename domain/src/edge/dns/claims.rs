//! Which Gateway may have which hostname.
//!
//! A hostname can have one record, so it belongs to one Gateway of the installation. The oldest claim wins
//! (the age of the oldest route that asks, then of the Gateway, then the key), as the Gateway API resolves
//! conflicts: by creation time first, then by name. All Gateways are judged in one pass, so the result does
//! not depend on the order in which they were seen.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::gateway::DnsPolicy;
use crate::names::{Hostname, ObjectKey, Timestamp};

/// A Gateway that asks for hostnames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant<'a> {
    pub gateway: ObjectKey,
    pub created: Timestamp,
    /// The names it serves, with the age of the oldest route that asks for each.
    pub hostnames: Cow<'a, BTreeMap<Hostname, Timestamp>>,
    /// For which of them DNS is managed. Where it is not, there is no record to own, so no claim.
    pub dns: DnsPolicy,
    /// Names that its credentials were last found to have no zone for. They give no claim, so that a name
    /// that cannot be had here is not kept from another; they stay in the intent, so that a zone that
    /// appears is noticed.
    pub without_zone: BTreeSet<Hostname>,
    /// Names for which it may have a record at the edge, asked for or not; `None` where that is not known.
    pub records: Option<Cow<'a, BTreeSet<Hostname>>>,
}

/// What a Gateway gets of what it asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grant {
    /// Hostnames that it serves and may have a record for.
    pub hostnames: BTreeSet<Hostname>,
    /// Becomes [`DnsIntent::lost_to`](super::DnsIntent::lost_to).
    pub lost_to: BTreeMap<Hostname, ObjectKey>,
}

impl Claimant<'_> {
    fn asks_for_record(&self, hostname: &Hostname) -> bool {
        self.hostnames.contains_key(hostname) && self.dns.manages(hostname)
    }

    fn claims(&self, hostname: &Hostname) -> bool {
        self.asks_for_record(hostname) && self.may_claim(hostname)
    }

    /// The same of a hostname that it asks for.
    fn may_claim(&self, hostname: &Hostname) -> bool {
        self.dns.manages(hostname) && !self.without_zone.contains(hostname)
    }

    /// Whether it gives way to another Gateway that holds the name.
    fn yields(&self, hostname: &Hostname) -> bool {
        if self.asks_for_record(hostname) {
            self.claims(hostname)
        } else {
            let records = self.records.as_ref();
            records.is_some_and(|records| records.contains(hostname))
        }
    }
}

/// Judges every claim, and says what the Gateways that are `wanted` get.
///
/// A Gateway yields the names it asks for and does not get, and those it may still have a record for and
/// that another now holds: the holder takes that record over in place, so its old owner must not delete it.
/// Other Gateways' names are not its business, so that all grants together grow with the names, not with
/// the product of names and Gateways.
pub fn grant(
    claimants: &[Claimant<'_>],
    wanted: impl Fn(&ObjectKey) -> bool,
) -> BTreeMap<ObjectKey, Grant> {
    let holders = holders(claimants);
    claimants
        .iter()
        .filter(|claimant| wanted(&claimant.gateway))
        .map(|claimant| (claimant.gateway.clone(), granted(claimant, &holders)))
        .collect()
}

/// What decides between two claims: the smaller one wins. The last part is the Gateway.
type Rank<'c> = (&'c Timestamp, Timestamp, &'c ObjectKey);

fn holders<'c>(claimants: &'c [Claimant<'_>]) -> HashMap<&'c Hostname, Rank<'c>> {
    let mut best = HashMap::new();
    for claimant in claimants {
        let asked = claimant.hostnames.iter();
        for (hostname, age) in asked.filter(|(hostname, _)| claimant.may_claim(hostname)) {
            let rank = (age, claimant.created, &claimant.gateway);
            let holder = best.entry(hostname).or_insert(rank);
            *holder = rank.min(*holder);
        }
    }
    best
}

fn granted(claimant: &Claimant<'_>, holders: &HashMap<&Hostname, Rank<'_>>) -> Grant {
    let records = claimant.records.iter().flat_map(|records| records.iter());
    let lost_to: BTreeMap<_, _> = claimant
        .hostnames
        .keys()
        .chain(records)
        .filter(|hostname| claimant.yields(hostname))
        .filter_map(|hostname| Some((hostname, holders.get(hostname)?.2)))
        .filter(|(_, holder)| **holder != claimant.gateway)
        .map(|(hostname, holder)| (hostname.clone(), holder.clone()))
        .collect();
    let hostnames = claimant.hostnames.keys();
    let hostnames = hostnames
        .filter(|hostname| !(claimant.claims(hostname) && lost_to.contains_key(*hostname)))
        .cloned();
    Grant {
        hostnames: hostnames.collect(),
        lost_to,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn host(name: &str) -> Hostname {
        Hostname::parse(name).unwrap()
    }

    fn all_granted(claimants: &[Claimant<'_>]) -> BTreeMap<ObjectKey, Grant> {
        grant(claimants, |_| true)
    }

    fn claimant(gateway: &str, created: i64, hostnames: &[(&str, i64)]) -> Claimant<'static> {
        let hostnames = hostnames.iter();
        let hostnames = hostnames.map(|(name, age)| (host(name), Timestamp(*age)));
        Claimant {
            gateway: ObjectKey::new("default", gateway),
            created: Timestamp(created),
            hostnames: Cow::Owned(hostnames.collect()),
            dns: DnsPolicy::All,
            without_zone: BTreeSet::new(),
            records: Some(Cow::default()),
        }
    }

    /// Who has the name in `hostnames`, and who yields it.
    fn parties(claimants: &[Claimant<'_>], name: &str) -> (Vec<String>, Vec<String>) {
        let grants = all_granted(claimants);
        let named = |has: &dyn Fn(&Grant) -> bool| {
            let those = grants.iter().filter(|(_, grant)| has(grant));
            those.map(|(gateway, _)| gateway.name.clone()).collect()
        };
        let name = host(name);
        (
            named(&|grant| grant.hostnames.contains(&name)),
            named(&|grant| grant.lost_to.contains_key(&name)),
        )
    }

    #[test]
    fn the_oldest_claim_wins() {
        let name = "app.example.com";
        let cases = [
            (
                "the older route, though on a younger Gateway",
                [(1, 9), (2, 5)],
                "b",
            ),
            ("equal routes: the older Gateway", [(2, 7), (1, 7)], "b"),
            ("all equal: the first by key", [(1, 7), (1, 7)], "a"),
        ];
        for (case, [(a, a_route), (b, b_route)], winner) in cases {
            let claimants = [
                claimant("a", a, &[(name, a_route)]),
                claimant("b", b, &[(name, b_route)]),
            ];
            let (holders, yielders) = parties(&claimants, name);
            assert_eq!(holders, [winner], "{case}");
            assert_eq!(yielders, [if winner == "a" { "b" } else { "a" }], "{case}");
        }
    }

    #[test]
    fn a_name_without_managed_dns_is_nobodys_claim() {
        let name = "app.example.com";
        let mut a = claimant("a", 1, &[(name, 1)]);
        a.dns = DnsPolicy::Below(vec![host("other.example.com")]);
        let b = claimant("b", 2, &[(name, 2)]);
        let (holders, yielders) = parties(&[a, b], name);
        assert_eq!(holders, ["a", "b"], "both serve it, b has the record");
        assert!(yielders.is_empty());
    }

    #[test]
    fn a_record_from_before_dns_was_not_managed_is_yielded() {
        let name = "app.example.com";
        let mut a = claimant("a", 1, &[(name, 1)]);
        a.dns = DnsPolicy::Off;
        a.records = Some(Cow::Owned([host(name)].into()));
        let b = claimant("b", 2, &[(name, 2)]);
        let (holders, yielders) = parties(&[a, b], name);
        assert_eq!(holders, ["a", "b"], "both serve it");
        assert_eq!(yielders, ["a"]);
    }

    #[test]
    fn a_name_outside_every_zone_does_not_keep_others_from_it() {
        let name = "app.example.com";
        let mut a = claimant("a", 1, &[(name, 1)]);
        a.without_zone.insert(host(name));
        let b = claimant("b", 2, &[(name, 2)]);
        let (holders, yielders) = parties(&[a, b], name);
        assert_eq!(holders, ["a", "b"], "a goes on looking for a zone");
        assert!(yielders.is_empty());
    }

    #[test]
    fn the_old_owner_leaves_a_name_alone_that_went_to_another() {
        let name = "app.example.com";
        let cases = [
            (
                "known to have a record",
                Some(BTreeSet::from([host(name)])),
                true,
            ),
            (
                "not known what has a record: it takes nothing away",
                None,
                false,
            ),
            ("never had a record", Some(BTreeSet::new()), false),
        ];
        for (case, records, yields) in cases {
            let mut a = claimant("a", 1, &[]);
            a.records = records.map(Cow::Owned);
            let b = claimant("b", 2, &[(name, 2)]);
            let (holders, yielders) = parties(&[a, b], name);
            assert_eq!(holders, ["b"], "{case}");
            assert_eq!(!yielders.is_empty(), yields, "{case}");
        }
    }

    #[test]
    fn what_is_stated_grows_with_the_names_and_not_with_names_times_gateways() {
        for records in [None, Some(Cow::default())] {
            let claimants: Vec<_> = (0..100)
                .map(|gateway| {
                    let names = (0..100).map(|name| format!("n{name}.g{gateway}.example.com"));
                    let names: Vec<_> = names.chain(["all.example.com".to_owned()]).collect();
                    let names: Vec<_> = names.iter().map(|name| (name.as_str(), gateway)).collect();
                    let claimant = claimant(&format!("g{gateway}"), gateway, &names);
                    Claimant {
                        records: records.clone(),
                        ..claimant
                    }
                })
                .collect();
            let grants = all_granted(&claimants);
            let stated = |grant: &Grant| grant.hostnames.len() + grant.lost_to.len();
            let stated: usize = grants.values().map(stated).sum();
            assert_eq!(
                stated,
                100 * 101,
                "each name once for each that asks for it"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_order_of_claimants_does_not_matter(
            spec in prop::collection::vec(
                (0i64..3, prop::collection::btree_map(0usize..4, 0i64..3, 0..4)),
                0..5,
            ),
            turn in 0usize..5,
        ) {
            let names = ["a.example.com", "b.example.com", "*.example.com", "example.com"];
            let mut claimants: Vec<_> = spec
                .iter()
                .enumerate()
                .map(|(index, (created, asked))| {
                    let asked: Vec<_> = asked.iter().map(|(n, age)| (names[*n], *age)).collect();
                    claimant(&format!("gw-{index}"), *created, &asked)
                })
                .collect();
            let before = all_granted(&claimants);
            claimants.reverse();
            prop_assert_eq!(&before, &all_granted(&claimants));
            let turn = turn.min(claimants.len());
            claimants.rotate_left(turn);
            prop_assert_eq!(&before, &all_granted(&claimants));
            for name in names {
                let (holders, _) = parties(&claimants, name);
                prop_assert!(holders.len() <= 1);
            }
        }
    }
}
