//! Certificates of listeners: those that are wanted, by their fingerprints; those that are sent, with their keys; and what became
//! of them.

use std::collections::BTreeSet;
use std::fmt;

use domain::ObjectKey;
use domain::broker::certificates::{LONGEST_CHAIN, LONGEST_KEY, MOST_CERTIFICATES, PAIRS_AT_ONCE};
use domain::certificate::Fingerprint;
use domain::edge::certificates::{CertificateIntent, CertificateOutcome};
use domain::names::{is_dns_label, is_object_name};
use domain::secret::CertificatePair;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Malformed, published};
use crate::openapi::texts::{self, DnsName, Namespace, ObjectName};

/// Namespace and name of a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretDocument {
    #[schema(value_type = Namespace)]
    namespace: String,
    #[schema(value_type = ObjectName)]
    name: String,
}

impl SecretDocument {
    fn of(key: &ObjectKey) -> Self {
        Self {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
        }
    }

    fn read(self) -> Result<ObjectKey, Malformed> {
        if is_dns_label(&self.namespace) && is_object_name(&self.name) {
            return Ok(ObjectKey::new(self.namespace, self.name));
        }
        let problem = "certificates[].secret: Invalid value: must have a namespace and a name as Kubernetes has them";
        Err(Malformed(problem.to_owned()))
    }
}

/// A certificate that is to be shown. What it is for is read from its chain, once that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CertificateDocument {
    secret: SecretDocument,
    /// The first half of the SHA-256 of the chain.
    #[schema(value_type = texts::Fingerprint)]
    fingerprint: String,
    /// For which hostnames of the Gateway it is wanted.
    #[schema(value_type = BTreeSet<DnsName>)]
    hosts: BTreeSet<String>,
    /// Whether it is shown for every name that it has, whoever has the records.
    any_name: bool,
}

impl CertificateDocument {
    pub(super) fn of(one: &CertificateIntent) -> Self {
        Self {
            secret: SecretDocument::of(&one.secret),
            fingerprint: one.fingerprint.to_string(),
            hosts: one.hosts.iter().map(ToString::to_string).collect(),
            any_name: one.any_name,
        }
    }

    /// All of a Gateway.
    pub(super) fn read_all(all: Vec<Self>) -> Result<BTreeSet<CertificateIntent>, Malformed> {
        if all.len() > MOST_CERTIFICATES {
            return Err(Malformed(format!(
                "certificates: Too many: {}: must have at most {MOST_CERTIFICATES} items",
                all.len()
            )));
        }
        let all = all.into_iter().map(Self::read);
        let all: Vec<CertificateIntent> = all.collect::<Result<_, _>>()?;
        let secrets: BTreeSet<&ObjectKey> = all.iter().map(|one| &one.secret).collect();
        if secrets.len() < all.len() {
            let problem = "certificates[].secret: Duplicate value: each Secret must be there once";
            return Err(Malformed(problem.to_owned()));
        }
        Ok(all.into_iter().collect())
    }

    fn read(self) -> Result<CertificateIntent, Malformed> {
        let fingerprint = Fingerprint::parse(&self.fingerprint).ok_or_else(|| {
            Malformed("certificates[].fingerprint: Invalid value: must be 32 lower-case hexadecimal digits".to_owned())
        })?;
        let hosts = self.hosts.iter().map(|host| published(host));
        Ok(CertificateIntent {
            secret: self.secret.read()?,
            fingerprint,
            names: BTreeSet::new(),
            hosts: hosts.collect::<Result<_, _>>()?,
            any_name: self.any_name,
        })
    }
}

/// Body of `PUT …/certificates`: chains and keys that were asked for by the outcome `without_key`.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PairsDocument {
    /// At most 8.
    #[schema(max_items = 8)]
    pairs: Vec<PairDocument>,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PairDocument {
    /// In PEM, the certificate itself first; at most 64 KiB.
    #[schema(max_length = 65_536)]
    chain: String,
    /// In PEM; at most 16 KiB.
    #[schema(max_length = 16_384)]
    key: String,
}

impl fmt::Debug for PairsDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairsDocument(…)")
    }
}

impl PairsDocument {
    /// The document of certificates with their keys. It holds the secrets.
    pub fn of(pairs: &[CertificatePair]) -> Self {
        let pairs = pairs.iter().map(|pair| PairDocument {
            chain: pair.chain.clone(),
            key: pair.key.expose_secret().to_owned(),
        });
        Self {
            pairs: pairs.collect(),
        }
    }

    /// The certificates with their keys, whatever is in them.
    pub fn read(self) -> Result<Vec<CertificatePair>, Malformed> {
        if self.pairs.len() > PAIRS_AT_ONCE {
            let found = self.pairs.len();
            let problem =
                format!("pairs: Too many: {found}: must have at most {PAIRS_AT_ONCE} items");
            return Err(Malformed(problem));
        }
        self.pairs.into_iter().map(PairDocument::read).collect()
    }
}

impl PairDocument {
    fn read(self) -> Result<CertificatePair, Malformed> {
        let (chain, key) = (self.chain, SecretString::from(self.key));
        if chain.len() > LONGEST_CHAIN {
            let problem = format!("pairs[].chain: Too long: must be at most {LONGEST_CHAIN} bytes");
            return Err(Malformed(problem));
        }
        if key.expose_secret().len() > LONGEST_KEY {
            let problem = format!("pairs[].key: Too long: must be at most {LONGEST_KEY} bytes");
            return Err(Malformed(problem));
        }
        Ok(CertificatePair {
            fingerprint: Fingerprint::of(chain.as_bytes()),
            chain,
            key,
        })
    }
}

/// What became of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ShownDocument {
    secret: SecretDocument,
    outcome: ShownOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ShownOutcome {
    Uploaded { zones: Vec<String> },
    NoZone,
    WithoutRecord { names: BTreeSet<String> },
    Failed { message: String },
    WithoutKey { message: String },
    NotPermitted { message: String },
    NotAvailable,
}

impl ShownDocument {
    pub(super) fn of(secret: &ObjectKey, outcome: CertificateOutcome) -> Self {
        Self {
            secret: SecretDocument::of(secret),
            outcome: match outcome {
                CertificateOutcome::Uploaded { zones } => ShownOutcome::Uploaded { zones },
                CertificateOutcome::NoZone => ShownOutcome::NoZone,
                CertificateOutcome::WithoutRecord { names } => ShownOutcome::WithoutRecord {
                    names: names.iter().map(ToString::to_string).collect(),
                },
                CertificateOutcome::Failed { message } => ShownOutcome::Failed { message },
                CertificateOutcome::WithoutKey { message } => ShownOutcome::WithoutKey { message },
                CertificateOutcome::NotPermitted { message } => {
                    ShownOutcome::NotPermitted { message }
                }
                CertificateOutcome::NotAvailable => ShownOutcome::NotAvailable,
            },
        }
    }

    pub(super) fn read(self) -> Result<(ObjectKey, CertificateOutcome), Malformed> {
        let outcome = match self.outcome {
            ShownOutcome::Uploaded { zones } => CertificateOutcome::Uploaded { zones },
            ShownOutcome::NoZone => CertificateOutcome::NoZone,
            ShownOutcome::WithoutRecord { names } => CertificateOutcome::WithoutRecord {
                names: names
                    .iter()
                    .map(|name| super::hostname(name))
                    .collect::<Result<_, _>>()?,
            },
            ShownOutcome::Failed { message } => CertificateOutcome::Failed { message },
            ShownOutcome::WithoutKey { message } => CertificateOutcome::WithoutKey { message },
            ShownOutcome::NotPermitted { message } => CertificateOutcome::NotPermitted { message },
            ShownOutcome::NotAvailable => CertificateOutcome::NotAvailable,
        };
        Ok((self.secret.read()?, outcome))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(chain: usize, key: usize) -> CertificatePair {
        let chain = "c".repeat(chain);
        CertificatePair {
            fingerprint: Fingerprint::of(chain.as_bytes()),
            chain,
            key: "k".repeat(key).into(),
        }
    }

    #[test]
    fn chains_and_keys_are_taken_up_to_their_limits() {
        for (pairs, taken) in [
            (vec![pair(1, 1); PAIRS_AT_ONCE], true),
            (vec![pair(1, 1); PAIRS_AT_ONCE + 1], false),
            (vec![pair(LONGEST_CHAIN, LONGEST_KEY)], true),
            (vec![pair(LONGEST_CHAIN + 1, 1)], false),
            (vec![pair(1, LONGEST_KEY + 1)], false),
        ] {
            let written = serde_json::to_string(&PairsDocument::of(&pairs)).unwrap();
            let document: PairsDocument = serde_json::from_str(&written).unwrap();
            assert!(!format!("{document:?}").contains('k'));
            let read = document.read();
            assert_eq!(read.is_ok(), taken, "{} pairs", pairs.len());
        }
    }

    #[test]
    fn certificates_are_read_as_they_were_written_each_secret_once_and_so_many() {
        let one = |number: usize, host: &str| CertificateIntent {
            secret: ObjectKey::new("default", format!("cert-{number}")),
            fingerprint: Fingerprint::of(host.as_bytes()),
            names: BTreeSet::new(),
            hosts: [super::super::hostname(host).unwrap()].into(),
            any_name: number == 1,
        };
        let many = |number: usize| (0..number).map(|at| one(at, "a.example.com")).collect();
        for (given, all, read) in [
            (
                "two",
                vec![one(0, "a.example.com"), one(1, "b.example.com")],
                true,
            ),
            (
                "a Secret twice",
                vec![one(0, "a.example.com"), one(0, "b.example.com")],
                false,
            ),
            ("the most", many(MOST_CERTIFICATES), true),
            ("one more", many(MOST_CERTIFICATES + 1), false),
            ("a reserved name", vec![one(0, "a.cfargotunnel.com")], false),
        ] {
            let documents = all.iter().map(CertificateDocument::of).collect();
            let found = CertificateDocument::read_all(documents);
            assert_eq!(found.is_ok(), read, "{given}: {found:?}");
            if let Ok(found) = found {
                assert_eq!(found, all.into_iter().collect(), "{given}");
            }
        }
    }

    #[test]
    fn what_became_of_a_certificate_is_read_as_it_was_written() {
        let message = || "quota".to_owned();
        for outcome in [
            CertificateOutcome::Uploaded {
                zones: vec!["example.com".to_owned()],
            },
            CertificateOutcome::NoZone,
            CertificateOutcome::WithoutRecord {
                names: [super::super::hostname("a.example.com").unwrap()].into(),
            },
            CertificateOutcome::Failed { message: message() },
            CertificateOutcome::WithoutKey { message: message() },
            CertificateOutcome::NotPermitted { message: message() },
            CertificateOutcome::NotAvailable,
        ] {
            let secret = ObjectKey::new("default", "cert");
            let document = ShownDocument::of(&secret, outcome.clone());
            let written = serde_json::to_string(&document).unwrap();
            let read: ShownDocument = serde_json::from_str(&written).unwrap();
            assert_eq!(read.read(), Ok((secret, outcome)));
        }
    }
}
