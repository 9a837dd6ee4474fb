//! One answer of several: a Gateway whose hostnames are in several accounts has a tunnel and a status in each.

use std::collections::BTreeMap;

use super::held::Held;
use crate::edge::certificates::CertificateOutcome;
use crate::edge::{Changes, EdgeIntent, EdgeStatus, HostnameOutcome, IngressOutcome};
use crate::error::PortError;
use crate::names::ObjectKey;

/// What is said of an account's part that failed as a whole. Its tunnel is what it was.
pub(super) fn not_reached(held: &Held, part: &EdgeIntent, error: &PortError) -> EdgeStatus {
    let names = &part.hostnames;
    let message = error.message.clone();
    let failed = || CertificateOutcome::Failed {
        message: message.clone(),
    };
    let certificates = part.certificates.iter().flatten();
    let unknown = || HostnameOutcome::Unknown {
        message: message.clone(),
    };
    let before = held
        .done
        .as_ref()
        .and_then(|done| done.outcome.as_ref().ok());
    let tunnels = before.into_iter().flat_map(|status| &status.tunnels);
    let tunnels = tunnels.filter(|tunnel| !tunnel.hostnames.is_disjoint(names));
    EdgeStatus {
        tunnels: tunnels.cloned().collect(),
        hostnames: names.iter().map(|name| (name.clone(), unknown())).collect(),
        ingress: IngressOutcome::Unknown {
            message: message.clone(),
        },
        certificates: certificates
            .map(|one| (one.secret.clone(), failed()))
            .collect(),
        failures: vec![error.clone()],
        ..EdgeStatus::default()
    }
}

/// All of them as one. Of several that are not whole, the first one says so; of several removals that wait, the first is named.
pub(super) fn unite(statuses: Vec<EdgeStatus>) -> EdgeStatus {
    let mut statuses = statuses.into_iter();
    let Some(first) = statuses.next() else {
        return EdgeStatus::default();
    };
    statuses.fold(first, |one, other| EdgeStatus {
        tunnels: chained(one.tunnels, other.tunnels),
        hostnames: chained(one.hostnames, other.hostnames),
        ingress: match one.ingress {
            IngressOutcome::Complete => other.ingress,
            incomplete => incomplete,
        },
        unwanted_kept: one
            .unwanted_kept
            .zip(other.unwanted_kept)
            .map(|(one, other)| chained(one, other)),
        namesakes: chained(one.namesakes, other.namesakes),
        zones: chained(one.zones, other.zones),
        repaired: chained(one.repaired, other.repaired),
        held_back: one.held_back.or(other.held_back),
        changes: both(one.changes, other.changes),
        certificates: shown(one.certificates, other.certificates),
        failures: chained(one.failures, other.failures),
    })
}

fn chained<C: IntoIterator + FromIterator<C::Item>>(one: C, other: C) -> C {
    one.into_iter().chain(other).collect()
}

type Shown = BTreeMap<ObjectKey, CertificateOutcome>;

/// A certificate is in the zones of each account that have one of its names. What stands in its way in one of them is said.
fn shown(mut one: Shown, other: Shown) -> Shown {
    use CertificateOutcome::{NoZone, Uploaded};
    for (secret, outcome) in other {
        let outcome = match (one.remove(&secret), outcome) {
            (None | Some(NoZone), outcome) => outcome,
            (Some(outcome), NoZone) => outcome,
            (Some(Uploaded { zones }), Uploaded { zones: more }) => Uploaded {
                zones: chained(zones, more),
            },
            (Some(Uploaded { .. }), outcome) | (Some(outcome), _) => outcome,
        };
        one.insert(secret, outcome);
    }
    one
}

fn both(one: Changes, other: Changes) -> Changes {
    let mut listed = chained(one.listed, other.listed);
    let beyond = listed.len().saturating_sub(Changes::LISTED);
    listed.truncate(Changes::LISTED);
    Changes {
        listed,
        more: one.more + other.more + beyond,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::edge::{HeldBack, TunnelStatus};
    use crate::error::PortErrorKind;
    use crate::names::{Hostname, Timestamp, TunnelId};

    fn name(text: &str) -> Hostname {
        Hostname::parse(text).unwrap()
    }

    fn status(number: u8, hostname: &str) -> EdgeStatus {
        let id = TunnelId::from_bytes([number; 16]);
        EdgeStatus {
            tunnels: vec![TunnelStatus {
                id,
                name: number.to_string(),
                address: id.address(),
                hostnames: [name(hostname)].into(),
            }],
            hostnames: [(name(hostname), HostnameOutcome::Applied)].into(),
            ..EdgeStatus::default()
        }
    }

    #[test]
    fn an_answer_of_several_has_all_that_each_of_them_has() {
        let ingress = IngressOutcome::WithoutPaths;
        let held_back = HeldBack {
            names: BTreeSet::new(),
            of: 9,
            code: "code".to_owned(),
        };
        let both = unite(vec![
            EdgeStatus {
                unwanted_kept: Some([name("old.example.com")].into()),
                changes: Changes {
                    listed: vec!["made".to_owned(); Changes::LISTED],
                    more: 1,
                },
                ..status(1, "a.example.com")
            },
            EdgeStatus {
                ingress: ingress.clone(),
                unwanted_kept: Some([name("old.example.org")].into()),
                held_back: Some(held_back.clone()),
                changes: Changes {
                    listed: vec!["made".to_owned(); 2],
                    more: 0,
                },
                failures: vec![PortError::unavailable("no answer")],
                ..status(2, "a.example.org")
            },
        ]);
        assert_eq!((both.tunnels.len(), both.hostnames.len()), (2, 2));
        assert_eq!(both.unwanted_kept.map(|kept| kept.len()), Some(2));
        assert_eq!((both.ingress, both.held_back), (ingress, Some(held_back)));
        assert_eq!(
            (both.changes.listed.len(), both.changes.more),
            (Changes::LISTED, 3)
        );
        assert_eq!(both.failures.len(), 1);
        let kept = Some(BTreeSet::new());
        let known = EdgeStatus {
            unwanted_kept: kept,
            ..status(1, "a.example.com")
        };
        let united = unite(vec![known, status(2, "a.example.org")]);
        assert_eq!(united.unwanted_kept, None, "one of them is not known");
        assert_eq!(unite(Vec::new()), EdgeStatus::default());
    }

    #[test]
    fn a_certificate_is_in_the_zones_of_every_account_or_it_is_said_where_not() {
        use CertificateOutcome::{NoZone, Uploaded};
        let uploaded = |zones: &[&str]| Uploaded {
            zones: zones.iter().map(|zone| (*zone).to_owned()).collect(),
        };
        let failed = || CertificateOutcome::Failed {
            message: "quota".to_owned(),
        };
        for (one, other, expected) in [
            (NoZone, NoZone, NoZone),
            (NoZone, uploaded(&["a"]), uploaded(&["a"])),
            (uploaded(&["a"]), NoZone, uploaded(&["a"])),
            (uploaded(&["a"]), uploaded(&["b"]), uploaded(&["a", "b"])),
            (uploaded(&["a"]), failed(), failed()),
            (failed(), uploaded(&["a"]), failed()),
        ] {
            let with = |outcome: &CertificateOutcome| EdgeStatus {
                certificates: [(ObjectKey::new("default", "cert"), outcome.clone())].into(),
                ..EdgeStatus::default()
            };
            let both = unite(vec![with(&one), with(&other)]);
            let found = both.certificates.into_values().collect::<Vec<_>>();
            assert_eq!(found, [expected], "{one:?} {other:?}");
        }
    }

    #[test]
    fn an_account_that_is_not_reached_keeps_its_tunnel_in_the_answer() {
        let mut held = Held::new(ObjectKey::new("default", "one"));
        let before = unite(vec![status(1, "a.example.com"), status(2, "a.example.org")]);
        held.finish(0, &BTreeSet::new(), Ok(before), Timestamp(0));
        let error = PortError::new(PortErrorKind::Unavailable, "no answer");
        let names = BTreeSet::from([name("a.example.org"), name("b.example.org")]);
        let part = EdgeIntent {
            hostnames: names.clone(),
            ..EdgeIntent::new(held.gateway.clone())
        };
        let found = not_reached(&held, &part, &error);
        assert_eq!(found.tunnels, status(2, "a.example.org").tunnels);
        assert_eq!((found.hostnames.len(), found.failures), (2, vec![error]));
    }
}
