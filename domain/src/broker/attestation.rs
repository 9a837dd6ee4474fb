//! Where a cluster's controller runs, shown by a token of its ServiceAccount that the cluster signed.
//!
//! A key can be copied out of a cluster, and a token of ten minutes hardly. The keys that such tokens are verified by are the
//! cluster's own, so the broker never asks the cluster. They come with the enrolment, or by consent of whoever runs the broker,
//! and are replaced by others of the same cluster alone.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};

use super::cluster::{Cluster, Thumbprint};
use super::oidc::{Claims, Untimely, check_times};
use super::refusal::{Code, Refusal};
use crate::error::PortError;
use crate::names::Timestamp;

/// Whom a token must be for (`aud`), and nobody else.
pub const AUDIENCE: &str = "cloudflare-gateway-broker";

/// For how long a token may be valid.
pub const LONGEST_VALIDITY: Duration = Duration::from_secs(3600);

/// Keys of one cluster, at most.
pub const MOST_KEYS: usize = 16;

/// Bytes of the keys of one cluster as it publishes them, at most.
pub const LARGEST_KEY_SET: usize = 16 << 10;

/// Characters of the id of a key, at most.
pub const LONGEST_KEY_ID: usize = 128;

/// Characters of an issuer, at most.
pub const LONGEST_ISSUER: usize = 512;

/// A public key for signatures (RFC 7518, section 6), its numbers in base64url without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(tag = "kty")
)]
pub enum PublicKey {
    /// For RS256.
    #[cfg_attr(feature = "serde", serde(rename = "RSA"))]
    Rsa { n: String, e: String },
    /// For ES256: a point of the curve P-256.
    #[cfg_attr(feature = "serde", serde(rename = "EC"))]
    P256 { x: String, y: String },
}

/// Public keys by their ids (`kid`): at least one, and no more than [`MOST_KEYS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKeys(BTreeMap<String, PublicKey>);

/// Why these are no keys of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    #[error("keys: Required value: there is none for RS256 or ES256")]
    None,
    #[error("keys: Too many: must have at most {MOST_KEYS} items")]
    TooMany,
    #[error("keys[{0}].kid: Duplicate value: each key needs an id of its own")]
    Duplicate(usize),
    #[error(
        "keys[{0}].kid: Invalid value: must be 1 to {LONGEST_KEY_ID} letters of ASCII without blanks"
    )]
    Id(usize),
    #[error("keys[{0}]: Invalid value: must have numbers in base64url, of RSA or of P-256")]
    Numbers(usize),
}

impl PublicKeys {
    /// Takes keys with their ids, each once.
    pub fn new(keys: impl IntoIterator<Item = (String, PublicKey)>) -> Result<Self, KeysError> {
        let mut all = BTreeMap::new();
        for (at, (id, key)) in keys.into_iter().enumerate() {
            let is_id = |b: u8| b.is_ascii_graphic();
            if !(1..=LONGEST_KEY_ID).contains(&id.len()) || !id.bytes().all(is_id) {
                return Err(KeysError::Id(at));
            }
            if !key.has_numbers() {
                return Err(KeysError::Numbers(at));
            }
            if all.insert(id, key).is_some() {
                return Err(KeysError::Duplicate(at));
            }
            if all.len() > MOST_KEYS {
                return Err(KeysError::TooMany);
            }
        }
        match all.is_empty() {
            true => Err(KeysError::None),
            false => Ok(Self(all)),
        }
    }

    /// Each with its id, in the order of ids.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &PublicKey)> {
        self.0.iter().map(|(id, key)| (id.as_str(), key))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl PublicKey {
    fn numbers(&self) -> [&str; 2] {
        match self {
            Self::Rsa { n, e } => [n, e],
            Self::P256 { x, y } => [x, y],
        }
    }

    /// What the numbers are good for is found by whoever verifies; RSA has 2048 to 4096 bits, and a coordinate has 32 bytes.
    fn has_numbers(&self) -> bool {
        let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let fits = match self {
            Self::Rsa { n, e } => (342..=683).contains(&n.len()) && (1..=8).contains(&e.len()),
            Self::P256 { x, y } => x.len() == 43 && y.len() == 43,
        };
        fits && self.numbers().iter().all(|text| text.bytes().all(known))
    }
}

/// The ServiceAccount that a token is of, as Kubernetes writes it: `system:serviceaccount:NAMESPACE:NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount(String);

impl ServiceAccount {
    /// Reads a subject (`sub`).
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("system:serviceaccount:")?;
        let (namespace, name) = rest.split_once(':')?;
        let is_letter =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        let is_name = |name: &str, longest: usize| {
            (1..=longest).contains(&name.len()) && name.bytes().all(is_letter)
        };
        (is_name(namespace, 63) && is_name(name, 253)).then(|| Self(text.to_owned()))
    }

    /// The whole subject.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// By what a cluster's tokens are verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// Letter by letter as tokens have it (`iss`).
    pub issuer: String,
    pub subject: ServiceAccount,
    pub keys: PublicKeys,
}

impl Attestation {
    /// Stands for issuer, subject and keys, so that people can compare them.
    pub fn thumbprint(&self) -> Thumbprint {
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            // With its length, so that no two lists of texts are one.
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        };
        add(&self.issuer);
        add(self.subject.as_str());
        for (id, key) in self.keys.iter() {
            let kind = match key {
                PublicKey::Rsa { .. } => "RSA",
                PublicKey::P256 { .. } => "P-256",
            };
            let [first, second] = key.numbers();
            for text in [id, kind, first, second] {
                add(text);
            }
        }
        Thumbprint::of(hash.finalize().into())
    }
}

/// A token as somebody shows it.
pub trait Token: fmt::Debug + Send + Sync {
    /// What it says, if one of these keys signed it. Its times and for whom it is are not looked at.
    fn verify(&self, keys: &PublicKeys) -> Option<Claims>;
}

/// What a cluster shows of where its controller runs.
#[derive(Debug)]
pub struct Shown {
    pub token: Box<dyn Token>,
    /// Those that the cluster publishes now, as far as it could read them.
    pub keys: Option<PublicKeys>,
}

/// Why a token shows nothing. No message has anything of the token but its issuer and its subject, shortened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Unattested {
    #[error("the token is not signed by a key of the cluster")]
    Signature,
    #[error("the token's issuer (iss) is {0:?}")]
    Issuer(String),
    #[error("the token's subject (sub) is {0:?}")]
    Subject(String),
    #[error("the token must be for {AUDIENCE} alone (aud)")]
    Audience,
    #[error(
        "the token is over; check that the file of the projected token is read from a volume that the kubelet keeps up to date, and the clocks of cluster and broker"
    )]
    Expired,
    #[error(
        "the token is of a later time; the clocks of cluster and broker must not be more than 60 s apart"
    )]
    NotYet,
    #[error(
        "the token is valid for more than an hour; set expirationSeconds of the projected volume to 600"
    )]
    TooLong,
}

impl From<Untimely> for Unattested {
    fn from(error: Untimely) -> Self {
        match error {
            Untimely::Expired => Self::Expired,
            Untimely::NotYet => Self::NotYet,
            Untimely::TooLong => Self::TooLong,
        }
    }
}

impl Shown {
    /// What is shown, where the keys that were sent with the token signed it: for a cluster whose keys are not known yet.
    pub fn offered(&self, now: Timestamp) -> Result<Attestation, Refusal> {
        let refused = |why: Unattested| Refusal::new(Code::AttestationRefused, why.to_string());
        let keys = self.keys.as_ref().ok_or_else(|| {
            let detail =
                "attestation.keys: Required value: send the keys that the cluster publishes";
            Refusal::new(Code::AttestationRefused, detail)
        })?;
        let claims = self.token.verify(keys).ok_or(Unattested::Signature);
        let claims = claims.map_err(refused)?;
        check_for_us(&claims, now).map_err(refused)?;
        let shortened_subject = shortened(&claims.subject);
        let is_issuer = (1..=LONGEST_ISSUER).contains(&claims.issuer.len())
            && claims.issuer.bytes().all(|b| b.is_ascii_graphic());
        if !is_issuer {
            return Err(refused(Unattested::Issuer(shortened(&claims.issuer))));
        }
        let subject = ServiceAccount::parse(&claims.subject);
        let subject = subject.ok_or_else(|| refused(Unattested::Subject(shortened_subject)))?;
        Ok(Attestation {
            issuer: claims.issuer,
            subject,
            keys: keys.clone(),
        })
    }

    /// Whether the token is one of this attestation.
    fn is_of(&self, known: &Attestation, now: Timestamp) -> Result<(), Unattested> {
        let claims = self.token.verify(&known.keys);
        let claims = claims.ok_or(Unattested::Signature)?;
        if claims.issuer != known.issuer {
            return Err(Unattested::Issuer(shortened(&claims.issuer)));
        }
        if claims.subject != known.subject.as_str() {
            return Err(Unattested::Subject(shortened(&claims.subject)));
        }
        check_for_us(&claims, now)
    }
}

fn check_for_us(claims: &Claims, now: Timestamp) -> Result<(), Unattested> {
    if claims.audience.len() != 1 || !claims.audience.contains(AUDIENCE) {
        return Err(Unattested::Audience);
    }
    Ok(check_times(claims, now, LONGEST_VALIDITY)?)
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(100).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// What a session changes of how a cluster is attested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attested {
    /// Nothing: it is not attested, and the token that it showed is of these keys, if it showed one that could be.
    Not(Option<Thumbprint>),
    /// It is, as before.
    Still,
    /// It published other keys, which count from now on.
    KeysReplaced(Thumbprint),
    /// It begins, or begins anew, by consent.
    Begun(Thumbprint),
}

impl Attested {
    /// What is news of it, in the words of the audit.
    pub fn in_words(&self) -> Option<String> {
        match self {
            Self::Not(_) | Self::Still => None,
            Self::KeysReplaced(to) => Some(format!("other keys of the cluster: {to}")),
            Self::Begun(to) => Some(format!("attested anew: {to}")),
        }
    }
}

impl Cluster {
    /// A session is to be opened by whoever proved that they have the cluster's key, and shows this. One that is attested needs a
    /// token by which it is the same cluster. Where attestation begins, sessions of before are over.
    pub fn attest(&mut self, shown: Option<&Shown>, now: Timestamp) -> Result<Attested, Refusal> {
        let offered = shown.map(|shown| shown.offered(now));
        let offered = offered.and_then(Result::ok);
        let print = offered.as_ref().map(Attestation::thumbprint);
        if let Some(print) = &print
            && self.attest_anew.as_ref() == Some(print)
        {
            self.attest_anew = None;
            self.epoch += 1;
            self.attestation = offered;
            return Ok(Attested::Begun(print.clone()));
        }
        let Some(known) = &self.attestation else {
            return Ok(Attested::Not(print));
        };
        let shown = shown.ok_or_else(|| self.needs_token())?;
        if let Err(why) = shown.is_of(known, now) {
            return Err(self.other_cluster(known, &why, print.as_ref()));
        }
        // The same issuer and subject, as one token is of both sets of keys.
        match (offered, print) {
            (Some(offered), Some(print)) if offered.keys != known.keys => {
                self.attestation = Some(offered);
                Ok(Attested::KeysReplaced(print))
            }
            _ => Ok(Attested::Still),
        }
    }

    fn needs_token(&self) -> Refusal {
        let name = &self.name;
        let detail = format!(
            "cluster {name} is attested, so a session needs a token of its ServiceAccount: set edge.broker.service_account_token_file to the file of a projected token with audience {AUDIENCE}, as the chart does"
        );
        Refusal::new(Code::AttestationRequired, detail)
    }

    fn other_cluster(
        &self,
        known: &Attestation,
        why: &Unattested,
        offered: Option<&Thumbprint>,
    ) -> Refusal {
        let Attestation {
            issuer, subject, ..
        } = known;
        let is_other = matches!(
            why,
            Unattested::Signature | Unattested::Issuer(_) | Unattested::Subject(_)
        );
        let mut detail = format!("cluster {} is attested: {why}", self.name);
        if is_other {
            detail += &format!(
                "; it must be of {subject} and {issuer:?}, and signed by a key that the broker has of the cluster"
            );
        }
        if let (true, Some(offered), Some(identity)) = (is_other, offered, self.identity()) {
            let (name, key) = (&self.name, &identity.key);
            detail += &format!(
                ". If its keys, its issuer or its ServiceAccount were replaced while it was away, compare with its controller's log: `cfgw broker accept {name} --key {key} --attest-anew {offered}`"
            );
        }
        Refusal::new(Code::AttestationRefused, detail)
    }
}

/// What a controller shows of where it runs.
#[async_trait]
pub trait Attestor: fmt::Debug + Send + Sync {
    /// A token of the program's own ServiceAccount for [`AUDIENCE`], as it is now.
    async fn token(&self) -> Result<SecretString, PortError>;

    /// The keys that the cluster publishes for such tokens (RFC 7517), of at most [`LARGEST_KEY_SET`] bytes.
    async fn published_keys(&self) -> Result<Vec<u8>, PortError>;
}

#[cfg(test)]
mod tests;
