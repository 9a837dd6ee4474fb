//! Certificates of listeners behind a broker: which of them may be shown, and whose key is asked for.
//!
//! A cluster states a certificate by its fingerprint. Its chain and key are sent only where the broker asks for them, which is
//! when they are to be uploaded. What the certificate is for, the broker reads from the chain: it counts for the fingerprint as
//! long as that is wanted. The key is kept, sealed, until it was uploaded.

use std::collections::{BTreeMap, BTreeSet};

use super::claim::{self, Claim};
use super::grant::Granted;
use super::held::{Held, Wanted};
use super::names::{ClusterName, TenantName};
use super::ports::Sealed;
use super::refusal::{Code, Refusal};
use crate::certificate::Fingerprint;
use crate::edge::EdgeStatus;
use crate::edge::certificates::{CertificateIntent, CertificateOutcome};
use crate::error::PortError;
use crate::names::{Hostname, ObjectKey};

/// Certificates of one Gateway, at most.
pub const MOST_CERTIFICATES: usize = 64;

/// Names of one certificate, at most.
pub const MOST_NAMES: usize = 100;

/// Chains with their keys that are sent at once, at most.
pub const PAIRS_AT_ONCE: usize = 8;

/// Bytes of a chain in PEM, at most.
pub const LONGEST_CHAIN: usize = 64 << 10;

/// Bytes of a key in PEM, at most.
pub const LONGEST_KEY: usize = 16 << 10;

/// A certificate with its key, as a cluster sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedPair {
    pub fingerprint: Fingerprint,
    /// What it is for, as its chain says.
    pub names: BTreeSet<Hostname>,
    /// Chain and key.
    pub sealed: Sealed,
}

/// Whether a cluster may have a certificate for these names shown. Without names, whether it may for any.
///
/// A certificate is shown to the visitors of all of its names, so each has to be granted with certificates, and none may be
/// somebody else's.
pub fn decide(
    names: &BTreeSet<Hostname>,
    tenant: &TenantName,
    cluster: &ClusterName,
    claims: &[Claim],
    granted: Granted<'_>,
) -> Result<(), Refusal> {
    if !granted.has_certificates() {
        let detail = "the broker grants no certificates to this cluster; ask whoever runs the broker to set certificates of a grant, or upload it in the account yourself";
        return Err(Refusal::new(Code::HostnameNotGranted, detail));
    }
    for name in names {
        let grant = granted.of(name)?;
        if !grant.certificates {
            return Err(Refusal::new(
                Code::HostnameNotGranted,
                format!(
                    "hostname {name}: the broker's grant {} is without certificates; use a certificate without this name, or ask whoever runs the broker to set certificates of the grant",
                    grant.name
                ),
            ));
        }
        claim::decide(name, tenant, cluster, claims, granted)?;
    }
    Ok(())
}

/// What of the certificates of an intent is stated at the edge.
#[derive(Debug, Default)]
pub(super) struct Permitted {
    /// `None` where it is not known what each is for, so that nothing is thought to be unwanted.
    pub(super) wanted: Option<BTreeSet<CertificateIntent>>,
    /// What is said of the others.
    pub(super) told: BTreeMap<ObjectKey, CertificateOutcome>,
}

impl Held {
    /// What stated certificates are for, by their Secrets; nothing of those whose chain was never sent.
    pub fn names_of(
        &self,
        stated: &BTreeSet<CertificateIntent>,
    ) -> BTreeMap<ObjectKey, BTreeSet<Hostname>> {
        let names = |one: &CertificateIntent| self.proven.get(&one.fingerprint).cloned();
        let stated = stated.iter();
        stated
            .map(|one| (one.secret.clone(), names(one).unwrap_or_default()))
            .collect()
    }

    pub(super) fn permit(
        &self,
        stated: &BTreeSet<CertificateIntent>,
        refused: &BTreeMap<ObjectKey, Refusal>,
    ) -> Permitted {
        let (mut wanted, mut told) = (BTreeSet::new(), BTreeMap::new());
        let mut all_proven = true;
        for one in stated {
            match (refused.get(&one.secret), self.proven.get(&one.fingerprint)) {
                (Some(refusal), _) => {
                    let message = refusal.detail.clone();
                    let outcome = CertificateOutcome::NotPermitted { message };
                    told.insert(one.secret.clone(), outcome);
                }
                (None, None) => {
                    all_proven = false;
                    let message = "the broker has not been sent the certificate yet".to_owned();
                    let outcome = CertificateOutcome::WithoutKey { message };
                    told.insert(one.secret.clone(), outcome);
                }
                (None, Some(names)) => {
                    wanted.insert(CertificateIntent {
                        names: names.clone(),
                        ..one.clone()
                    });
                }
            }
        }
        Permitted {
            wanted: all_proven.then_some(wanted),
            told,
        }
    }

    /// Whether chain and key of a certificate are asked for: the last piece of work lacked them.
    pub fn lacks(&self, fingerprint: &Fingerprint) -> bool {
        let outcome = self.done.as_ref().map(|done| &done.outcome);
        let Some(Ok(status)) = outcome else {
            return false;
        };
        let is_without_key = |one: &&CertificateIntent| {
            let outcome = status.certificates.get(&one.secret);
            matches!(outcome, Some(CertificateOutcome::WithoutKey { .. }))
        };
        let stated = self.stated_certificates();
        let mut of_this = stated.filter(|one| one.fingerprint == *fingerprint);
        of_this.any(|one| is_without_key(&one))
    }

    fn stated_certificates(&self) -> impl Iterator<Item = &CertificateIntent> {
        let certificates = match &self.wanted {
            Wanted::Present(intent) => intent.certificates.as_ref(),
            Wanted::Tunnel | Wanted::Gone => None,
        };
        certificates.into_iter().flatten()
    }

    /// Takes those that were asked for. Whether there are any that are not there yet.
    pub(super) fn take_pairs(&mut self, pairs: &[SealedPair]) -> bool {
        let mut changes = false;
        for pair in pairs {
            if self.lacks(&pair.fingerprint) && self.pairs.insert(pair.fingerprint.clone()) {
                let names = pair.names.clone();
                self.proven.insert(pair.fingerprint.clone(), names);
                changes = true;
            }
        }
        changes
    }

    /// Forgets chains and keys of what is not wanted any more. Where it is not known what is, all stay.
    pub(super) fn forget_unwanted(&mut self) {
        if let Wanted::Present(intent) = &self.wanted
            && intent.certificates.is_none()
        {
            return;
        }
        let stated = self.stated_certificates();
        let wanted: BTreeSet<Fingerprint> = stated.map(|one| one.fingerprint.clone()).collect();
        self.pairs.retain(|one| wanted.contains(one));
        self.proven.retain(|one, _| wanted.contains(one));
    }

    /// Forgets keys that are needed no more. One stays where it is to be tried again.
    pub(super) fn forget_done(&mut self, outcome: &Result<EdgeStatus, PortError>) {
        let Ok(status) = outcome else {
            return;
        };
        let is_open = |one: &&CertificateIntent| {
            let outcome = status.certificates.get(&one.secret);
            matches!(outcome, None | Some(CertificateOutcome::Failed { .. }))
        };
        let open = self.stated_certificates().filter(is_open);
        let open: BTreeSet<Fingerprint> = open.map(|one| one.fingerprint.clone()).collect();
        self.pairs.retain(|one| open.contains(one));
    }
}

#[cfg(test)]
mod tests {
    use super::super::grant::{Clusters, Grant};
    use super::super::held::{Place, Stated, Statement};
    use super::super::names::GrantName;
    use super::*;
    use crate::edge::EdgeIntent;
    use crate::names::{AllowedHostnames, HostnamePatterns, Timestamp};

    fn name(text: &str) -> Hostname {
        Hostname::parse(text).unwrap()
    }

    fn grant(text: &str, hostname: &str, certificates: bool) -> Grant {
        Grant {
            name: GrantName::parse(text).unwrap(),
            tenant: TenantName::parse("acme").unwrap(),
            clusters: Clusters::All,
            hostnames: AllowedHostnames::listed([name(hostname)]),
            except: HostnamePatterns::default(),
            account: None,
            max_hostnames: None,
            max_gateways: None,
            certificates,
            expires: None,
        }
    }

    #[test]
    fn a_certificate_may_be_shown_where_each_name_of_it_is_granted_with_certificates() {
        let with = || grant("with", "*.example.com", true);
        let without = || grant("without", "plain.example.com", false);
        for (given, grants, names, permitted) in [
            ("no grant", vec![], vec!["a.example.com"], false),
            ("a grant without", vec![without()], vec![], false),
            ("names unknown", vec![with()], vec![], true),
            ("a name", vec![with()], vec!["a.example.com"], true),
            ("a wildcard", vec![with()], vec!["*.example.com"], true),
            (
                "one of two is not granted",
                vec![with()],
                vec!["a.example.com", "example.com"],
                false,
            ),
            (
                "a grant of its own without",
                vec![with(), without()],
                vec!["plain.example.com"],
                false,
            ),
            (
                "somebody else's",
                vec![with()],
                vec!["taken.example.com"],
                false,
            ),
        ] {
            let tenant = |text: &str| TenantName::parse(text).unwrap();
            let cluster = |text: &str| ClusterName::parse(text).unwrap();
            let (acme, east) = (tenant("acme"), cluster("east"));
            let claims = [Claim {
                hostname: name("taken.example.com"),
                tenant: tenant("other"),
                cluster: cluster("north"),
            }];
            let granted = Granted::new(&grants, &east, Timestamp(0));
            let names = names.into_iter().map(name).collect();
            let found = decide(&names, &acme, &east, &claims, granted);
            assert_eq!(found.is_ok(), permitted, "{given}: {found:?}");
        }
    }

    fn fingerprint(chain: &str) -> Fingerprint {
        Fingerprint::of(chain.as_bytes())
    }

    fn stating(chains: Option<&[&str]>) -> Statement {
        let one = |chain: &&str| CertificateIntent {
            secret: ObjectKey::new("default", *chain),
            fingerprint: fingerprint(chain),
            names: BTreeSet::new(),
            hosts: BTreeSet::new(),
            any_name: false,
        };
        Statement::Intent(Box::new(EdgeIntent {
            certificates: chains.map(|chains| chains.iter().map(one).collect()),
            ..EdgeIntent::new(ObjectKey::new("default", "one"))
        }))
    }

    fn sending(chain: &str) -> Statement {
        Statement::Pairs(vec![SealedPair {
            fingerprint: fingerprint(chain),
            names: [name("a.example.com")].into(),
            sealed: Sealed {
                key: "first".to_owned(),
                wrapped: Vec::new(),
                ciphertext: Vec::new(),
            },
        }])
    }

    fn told(secret: &str, outcome: CertificateOutcome) -> Result<EdgeStatus, PortError> {
        Ok(EdgeStatus {
            certificates: [(ObjectKey::new("default", secret), outcome)].into(),
            ..EdgeStatus::default()
        })
    }

    fn without_key() -> CertificateOutcome {
        let message = "no key".to_owned();
        CertificateOutcome::WithoutKey { message }
    }

    /// A Gateway that wants a certificate of which the broker has nothing.
    fn asking() -> Held {
        let mut held = Held::new(ObjectKey::new("default", "one"));
        let statement = stating(Some(&["cert"]));
        held.state(statement, Place::default(), None).unwrap();
        finish(&mut held, told("cert", without_key()));
        held
    }

    fn finish(held: &mut Held, outcome: Result<EdgeStatus, PortError>) {
        let version = held.version;
        held.finish(version, &BTreeSet::new(), outcome, Timestamp(0));
    }

    #[test]
    fn a_key_is_taken_where_it_is_asked_for_and_nowhere_else() {
        let uploaded = || CertificateOutcome::Uploaded { zones: Vec::new() };
        for (given, outcome, sent, stated) in [
            (
                "asked for",
                told("cert", without_key()),
                "cert",
                Stated::Changed,
            ),
            (
                "another one",
                told("cert", without_key()),
                "other",
                Stated::Unchanged,
            ),
            (
                "uploaded",
                told("cert", uploaded()),
                "cert",
                Stated::Unchanged,
            ),
        ] {
            let mut held = asking();
            finish(&mut held, outcome);
            let found = held.state(sending(sent), Place::default(), None);
            assert_eq!(found, Ok(stated), "{given}");
            assert_eq!(held.pairs.len(), usize::from(stated == Stated::Changed));
        }
        let mut held = asking();
        held.state(sending("cert"), Place::default(), None).unwrap();
        let version = held.version;
        held.state(sending("cert"), Place::default(), None).unwrap();
        assert_eq!(held.version, version, "it is there");
    }

    #[test]
    fn a_key_is_forgotten_once_it_was_uploaded_or_is_not_wanted_any_more() {
        let failed = || {
            let message = "quota".to_owned();
            CertificateOutcome::Failed { message }
        };
        let uploaded = || CertificateOutcome::Uploaded { zones: Vec::new() };
        let unavailable = || Err(PortError::unavailable("no answer"));
        type Then = fn(&mut Held);
        let nothing: Then = |_| {};
        for (given, outcome, then, has_key, is_proven) in [
            ("uploaded", told("cert", uploaded()), nothing, false, true),
            ("failed", told("cert", failed()), nothing, true, true),
            ("no answer", unavailable(), nothing, true, true),
            (
                "another one is wanted",
                unavailable(),
                (|held| {
                    let other = stating(Some(&["other"]));
                    held.state(other, Place::default(), None).unwrap();
                }) as Then,
                false,
                false,
            ),
            (
                "not known what is wanted",
                unavailable(),
                |held| {
                    held.state(stating(None), Place::default(), None).unwrap();
                },
                true,
                true,
            ),
            (
                "the Gateway goes",
                unavailable(),
                |held| {
                    held.state(Statement::Remove, Place::default(), None)
                        .unwrap();
                },
                false,
                false,
            ),
            (
                "its cluster goes",
                unavailable(),
                |held| {
                    held.depart(super::super::departure::Departure::Remove);
                },
                false,
                false,
            ),
        ] {
            let mut held = asking();
            held.state(sending("cert"), Place::default(), None).unwrap();
            finish(&mut held, outcome);
            then(&mut held);
            let found = (!held.pairs.is_empty(), !held.proven.is_empty());
            assert_eq!(found, (has_key, is_proven), "{given}");
        }
    }
}
