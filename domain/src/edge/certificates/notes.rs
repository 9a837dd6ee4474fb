//! Notes in the ingress document of a tunnel: which certificates are ours.

use std::collections::BTreeSet;

use hmac::{Hmac, Mac};
use secrecy::ExposeSecret;
use sha2::Sha256;

use crate::certificate::Fingerprint;
use crate::edge::objects::{IngressDocument, IngressRule};
use crate::names::{CertificateId, Hostname, TunnelId, ZoneId};
use crate::secret::CloudflareCredentials;

/// Where the notes' hostnames lie.
const NOTES: &str = "certificates.invalid";

/// What the rule of a note does with requests, which never come.
pub(super) const SERVICE: &str = "http_status:404";

/// That a certificate in a zone is ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    pub zone: ZoneId,
    pub id: CertificateId,
    /// Of what was uploaded.
    pub fingerprint: Fingerprint,
}

/// What the tags of one tunnel's notes are made with.
///
/// It is derived from the API token, with which certificates can be removed anyway. Without it no note can be made, even
/// where the ingress document can be written (by another token of the account, or a connector that reports its own
/// rules). The tunnel's secret would not do: proxies have it, and all who may read Secrets in their namespace.
pub struct NoteKey(Hmac<Sha256>);

impl NoteKey {
    /// The key for the notes of a tunnel.
    pub fn of(credentials: &CloudflareCredentials, tunnel: TunnelId) -> Self {
        let token = credentials.token.expose_secret();
        let mut key = Hmac::<Sha256>::new_from_slice(token.as_bytes())
            .expect("HMAC takes a key of any length");
        key.update(b"cfgw certificate note ");
        key.update(tunnel.as_bytes());
        Self(key)
    }

    /// 128 bits in hexadecimal: short enough for a DNS label.
    fn tag(&self, note: &Note) -> String {
        let mut hmac = self.0.clone();
        for part in [
            &note.fingerprint.to_string(),
            note.id.as_str(),
            note.zone.as_str(),
        ] {
            hmac.update(part.as_bytes());
            hmac.update(b" ");
        }
        let digest = hmac.finalize().into_bytes();
        digest[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

impl Note {
    /// The note that a rule of the ingress document is, if it is one: it says what we would have written.
    pub fn read(rule: &IngressRule, key: &NoteKey) -> Option<Self> {
        let labels = rule
            .hostname
            .as_str()
            .strip_suffix(NOTES)?
            .strip_suffix('.')?;
        let mut labels = labels.split('.');
        let fingerprint = Fingerprint::parse(labels.next()?)?;
        let _tag = labels.next()?;
        let id = CertificateId::new(labels.next()?);
        // The ids of a test's zones hold dots.
        let zone: Vec<&str> = labels.collect();
        let note = Self {
            zone: ZoneId::new(zone.join(".")),
            id,
            fingerprint,
        };
        (note.rule(key).as_ref() == Some(rule)).then_some(note)
    }

    /// All notes of a document whose tags were made with one of these keys.
    pub fn all<'k>(
        document: Option<&IngressDocument>,
        keys: impl IntoIterator<Item = &'k NoteKey>,
    ) -> BTreeSet<Self> {
        let rules = document.map_or(&[][..], |document| &document.rules);
        let keys = keys.into_iter();
        keys.flat_map(|key| rules.iter().filter_map(|rule| Self::read(rule, key)))
            .collect()
    }

    /// The rule that keeps it; `None` for ids that fit into no hostname.
    pub fn rule(&self, key: &NoteKey) -> Option<IngressRule> {
        let tag = key.tag(self);
        let text = format!(
            "{}.{tag}.{}.{}.{NOTES}",
            self.fingerprint, self.id, self.zone
        );
        Some(IngressRule {
            hostname: Hostname::parse(&text).ok()?,
            path: None,
            service: SERVICE.to_owned(),
        })
    }
}

/// Keys of one tunnel's notes.
pub(crate) struct NoteKeys {
    /// Of the API token in use: new notes are made with it.
    pub(crate) own: NoteKey,
    /// Of those that were in use before: their notes are still ours.
    pub(crate) former: Vec<NoteKey>,
}

impl NoteKeys {
    pub(crate) fn all(&self) -> impl Iterator<Item = &NoteKey> {
        [&self.own].into_iter().chain(&self.former)
    }
}

/// What the document notes, and what it should: a certificate that was replaced under its own id is what it
/// is now.
pub(crate) fn with_unnoted(noted: &BTreeSet<Note>, unnoted: &BTreeSet<Note>) -> BTreeSet<Note> {
    let is_newer = |old: &Note| {
        let mut newer = unnoted.iter();
        newer.any(|new| (&new.zone, &new.id) == (&old.zone, &old.id))
    };
    let old = noted.iter().filter(|old| !is_newer(old)).cloned();
    old.chain(unnoted.iter().cloned()).collect()
}
