//! Custom certificates at the edge: which zones get which, and which of those that are there are ours.
//!
//! Cloudflare's custom certificates have no comment and no name, and no field tells whose they are. So what
//! a Gateway uploaded is noted in its own tunnel's ingress document: one rule for each certificate, with a
//! hostname under `certificates.invalid` (RFC 6761, section 6.4: it never resolves) made of the
//! fingerprint, a tag, the certificate's id and the zone's. The note outlives this process and goes with the
//! tunnel. A certificate without a note is somebody else's and is never changed or removed.
//!
//! The tag is a keyed hash, because others can write into the document too, and a note makes us remove what it names.
//! Its key comes from the API token ([`NoteKey`]). A rule without a right tag is no note.

use std::collections::{BTreeMap, BTreeSet};

use hmac::{Hmac, Mac};
use secrecy::ExposeSecret;
use sha2::Sha256;

use super::objects::{IngressDocument, IngressRule, Zone};
use crate::certificate::Fingerprint;
use crate::names::{CertificateId, Hostname, ObjectKey, TunnelId, ZoneId};
use crate::secret::CloudflareCredentials;

/// Where the notes' hostnames lie.
const NOTES: &str = "certificates.invalid";

/// What the rule of a note does with requests, which never come.
const SERVICE: &str = "http_status:404";

/// A certificate that the edge should show, by reference. Its key is never part of an intent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CertificateIntent {
    /// The Secret with the pair.
    pub secret: ObjectKey,
    /// Of the chain that the Secret held when it was looked at.
    pub fingerprint: Fingerprint,
    /// DNS names of the certificate.
    pub names: BTreeSet<Hostname>,
    /// Hostnames for which the Gateway wants it shown: those of the routes on the listeners that name it.
    pub hosts: BTreeSet<Hostname>,
    /// Whether it is shown for every name that it has, whoever has the records.
    pub any_name: bool,
}

impl CertificateIntent {
    /// The same, for those hostnames alone that the Gateway has the record of.
    pub fn with_records(&self, records: &BTreeSet<Hostname>) -> Self {
        Self {
            hosts: self.hosts.intersection(records).cloned().collect(),
            ..self.clone()
        }
    }

    /// Whether it is to be uploaded to a zone: it has names there, and the Gateway has each of them. Cloudflare
    /// shows a certificate to the visitors of all of its names in the zone, whoever serves them.
    pub fn is_for(&self, zone: &Zone) -> bool {
        self.names_in(zone).next().is_some() && self.without_record(zone).next().is_none()
    }

    /// Names that it has in a zone, and that the Gateway does not have.
    pub fn without_record(&self, zone: &Zone) -> impl Iterator<Item = Hostname> {
        let names = self.names_in(zone);
        names.filter(|name| !self.any_name && !self.hosts.contains(name))
    }

    /// Names that it has in a zone. Of a wildcard above the zone that is the zone's apex alone, as a wildcard is for
    /// one label.
    fn names_in(&self, zone: &Zone) -> impl Iterator<Item = Hostname> {
        let above = zone.name.split_once('.').map(|(_, above)| above);
        self.names.iter().filter_map(move |name| {
            if above.is_some() && name.wildcard_suffix() == above {
                Hostname::parse(&zone.name).ok()
            } else {
                name.is_within(&zone.name).then(|| name.clone())
            }
        })
    }
}

/// What became of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateOutcome {
    /// It is at the edge, in these zones.
    Uploaded {
        /// Names of the zones.
        zones: Vec<String>,
    },
    /// No zone has a host that the certificate is for.
    NoZone,
    /// It is for names that the Gateway has no record of, so it is not shown where they are.
    WithoutRecord {
        /// Those names.
        names: BTreeSet<Hostname>,
    },
    /// It could not be uploaded, or not everywhere.
    Failed {
        /// What failed, and what would help.
        message: String,
    },
    /// Who carries out the intent has no way to the Secret.
    NotAvailable,
}

/// That a certificate in a zone is ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// The zone.
    pub zone: ZoneId,
    /// The certificate there.
    pub id: CertificateId,
    /// Of what was uploaded.
    pub fingerprint: Fingerprint,
}

/// What the tags of one tunnel's notes are made with.
///
/// It is derived from the API token. Whoever has that token may remove certificates without us; whoever only may write
/// the ingress document (another token of the account, a connector that reports its own rules) cannot make a note. The
/// tunnel's secret would not do: each proxy has it, and who may read Secrets in the proxy's namespace.
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
            service: SERVICE.to_owned(),
        })
    }
}

/// One step in one zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateChange<'a> {
    /// Upload where there is none of ours that could give way.
    Upload(&'a CertificateIntent),
    /// Put it in the place of one of ours that nobody wants any more.
    Replace(Note, &'a CertificateIntent),
    /// Remove one of ours.
    Delete(Note),
    /// Ours is gone already; only the note goes.
    Forget(Note),
}

/// What is to be done in one zone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ZonePlan<'a> {
    /// Wanted there.
    pub wanted: Vec<&'a CertificateIntent>,
    /// In order.
    pub changes: Vec<CertificateChange<'a>>,
}

/// The zones that matter: those that get a certificate, and those in which one of ours is.
pub fn zones_of<'z>(
    wanted: &BTreeSet<CertificateIntent>,
    zones: impl Iterator<Item = &'z Zone>,
    notes: &BTreeSet<Note>,
) -> BTreeMap<ZoneId, &'z Zone> {
    let matters = |zone: &&Zone| {
        notes.iter().any(|note| note.zone == zone.id) || wanted.iter().any(|one| one.is_for(zone))
    };
    zones
        .filter(matters)
        .map(|zone| (zone.id.clone(), zone))
        .collect()
}

/// Plans for one zone, in which these certificates are, ours and others'. Without `prune` nothing is removed.
pub fn plan<'a>(
    prune: bool,
    wanted: &'a BTreeSet<CertificateIntent>,
    zone: &Zone,
    notes: &BTreeSet<Note>,
    present: &BTreeSet<CertificateId>,
) -> ZonePlan<'a> {
    let wanted: Vec<_> = wanted.iter().filter(|one| one.is_for(zone)).collect();
    let ours = notes.iter().filter(|note| note.zone == zone.id);
    let (there, gone): (Vec<_>, Vec<_>) = ours.partition(|note| present.contains(&note.id));
    let mut changes: Vec<_> = gone
        .into_iter()
        .cloned()
        .map(CertificateChange::Forget)
        .collect();
    let is_wanted = |note: &Note| wanted.iter().any(|one| one.fingerprint == note.fingerprint);
    let (current, stale): (Vec<&Note>, Vec<&Note>) =
        there.into_iter().partition(|note| is_wanted(note));
    let mut stale = stale.into_iter().filter(|_| prune).cloned();
    let mut served: BTreeSet<&Fingerprint> = current.iter().map(|note| &note.fingerprint).collect();
    for one in &wanted {
        if served.insert(&one.fingerprint) {
            changes.push(match stale.next() {
                Some(note) => CertificateChange::Replace(note, one),
                None => CertificateChange::Upload(one),
            });
        }
    }
    changes.extend(stale.map(CertificateChange::Delete));
    ZonePlan { wanted, changes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::AccountId;

    fn host(text: &str) -> Hostname {
        Hostname::parse(text).unwrap()
    }

    fn certificate(secret: &str, chain: &str) -> CertificateIntent {
        CertificateIntent {
            secret: ObjectKey::new("shop", secret),
            fingerprint: Fingerprint::of(chain.as_bytes()),
            names: [host("app.example.com")].into(),
            hosts: [host("app.example.com")].into(),
            any_name: false,
        }
    }

    fn zone() -> Zone {
        Zone {
            id: ZoneId::new("0a1b"),
            name: "example.com".to_owned(),
        }
    }

    fn note(id: &str, chain: &str) -> Note {
        Note {
            zone: zone().id,
            id: CertificateId::new(id),
            fingerprint: Fingerprint::of(chain.as_bytes()),
        }
    }

    fn key_of(token: &str, tunnel: u8) -> NoteKey {
        let credentials = CloudflareCredentials {
            account: AccountId::new("acme"),
            token: token.to_owned().into(),
        };
        NoteKey::of(&credentials, TunnelId::from_bytes([tunnel; 16]))
    }

    #[test]
    fn a_note_is_read_as_it_is_written_and_other_rules_are_none() {
        let key = key_of("token", 1);
        let written = note("2458ce5a-0c35-4c7f-82c7-8e9487d3ff60", "chain");
        let rule = written.rule(&key).unwrap();
        assert_eq!(Note::read(&rule, &key).as_ref(), Some(&written));

        let own_service = |hostname: &str| IngressRule {
            hostname: host(hostname),
            service: SERVICE.to_owned(),
        };
        let Note {
            fingerprint,
            id,
            zone,
        } = &written;
        let text = rule.hostname.as_str();
        let tag = text.split('.').nth(1).unwrap();
        let of_other = |other: &NoteKey| written.rule(other).unwrap();
        for (given, other) in [
            ("a name of a user", own_service("app.example.com")),
            ("too few labels", own_service("certificates.invalid")),
            (
                "a wrong fingerprint",
                own_service("a.b.c.certificates.invalid"),
            ),
            (
                "no tag",
                own_service(&format!("{fingerprint}.{id}.{zone}.certificates.invalid")),
            ),
            (
                "a tag of another certificate",
                own_service(&format!(
                    "{fingerprint}.{tag}.other.{zone}.certificates.invalid"
                )),
            ),
            ("a tag of another tunnel", of_other(&key_of("token", 2))),
            ("a tag of another API token", of_other(&key_of("other", 1))),
            (
                "another service",
                IngressRule {
                    service: "http://edge.shop".to_owned(),
                    ..rule.clone()
                },
            ),
        ] {
            assert_eq!(Note::read(&other, &key), None, "{given}");
        }
    }

    #[test]
    fn a_certificate_goes_to_a_zone_where_the_gateway_has_every_name_of_it() {
        let app = "app.example.com";
        type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str], &'a str, bool);
        let table: [Case<'_>; 17] = [
            ("its name", &[app], &[app], "example.com", true),
            (
                "one of two names",
                &[app, "web.example.com"],
                &[app],
                "example.com",
                false,
            ),
            (
                "both",
                &[app, "web.example.com"],
                &[app, "web.example.com"],
                "example.com",
                true,
            ),
            ("no name", &[app], &[], "example.com", false),
            (
                "another name",
                &[app],
                &["web.example.com"],
                "example.com",
                false,
            ),
            (
                "the wildcard",
                &["*.example.com"],
                &["*.example.com"],
                "example.com",
                true,
            ),
            (
                "a name below the wildcard",
                &["*.example.com"],
                &[app],
                "example.com",
                false,
            ),
            (
                "the wildcard above its name",
                &[app],
                &["*.example.com"],
                "example.com",
                false,
            ),
            (
                "a wildcard of more labels",
                &["*.example.com"],
                &["*.app.example.com"],
                "example.com",
                false,
            ),
            (
                "not the apex",
                &["example.com", "*.example.com"],
                &["*.example.com"],
                "example.com",
                false,
            ),
            (
                "the apex",
                &["example.com"],
                &["example.com"],
                "example.com",
                true,
            ),
            ("another zone", &[app], &[app], "example.org", false),
            ("a zone that ends alike", &[app], &[app], "e.com", false),
            (
                "a name of another zone counts not",
                &[app, "a.example.org"],
                &[app],
                "example.com",
                true,
            ),
            (
                "a wildcard that covers the apex",
                &[app, "*.com"],
                &[app],
                "example.com",
                false,
            ),
            (
                "the apex, which a wildcard above the zone covers",
                &["*.com"],
                &["example.com"],
                "example.com",
                true,
            ),
            (
                "a name below the apex, and the wildcard is above the zone",
                &["*.com"],
                &[app],
                "example.com",
                false,
            ),
        ];
        for (given, names, hosts, zone, expected) in table {
            let set = |names: &[&str]| names.iter().map(|name| host(name)).collect();
            let one = CertificateIntent {
                names: set(names),
                hosts: set(hosts),
                ..certificate("one", "chain")
            };
            let zone = Zone {
                id: ZoneId::new("z"),
                name: zone.to_owned(),
            };
            assert_eq!(one.is_for(&zone), expected, "the Gateway has {given}");
            let for_any = CertificateIntent {
                any_name: true,
                ..one
            };
            let has_a_name = for_any.names_in(&zone).next().is_some();
            assert_eq!(for_any.is_for(&zone), has_a_name, "any name, {given}");
        }
    }

    #[test]
    fn a_zone_gets_what_is_wanted_and_loses_what_is_ours_and_stale() {
        use CertificateChange::{Delete, Forget, Replace, Upload};
        let one = certificate("one", "new");
        let (old, new) = (note("old", "old"), note("new", "new"));
        let ids = |ids: &[&str]| ids.iter().map(|id| CertificateId::new(*id)).collect();
        let wanted: BTreeSet<_> = [one.clone()].into();
        let nothing = BTreeSet::new();
        type Case<'a> = (
            &'a str,
            &'a BTreeSet<CertificateIntent>,
            Vec<Note>,
            BTreeSet<CertificateId>,
            bool,
            Vec<CertificateChange<'a>>,
        );
        let cases: Vec<Case<'_>> = vec![
            ("new", &wanted, vec![], ids(&[]), true, vec![Upload(&one)]),
            (
                "there",
                &wanted,
                vec![new.clone()],
                ids(&["new"]),
                true,
                vec![],
            ),
            (
                "another's is left alone",
                &nothing,
                vec![],
                ids(&["other"]),
                true,
                vec![],
            ),
            (
                "changed",
                &wanted,
                vec![old.clone()],
                ids(&["old"]),
                true,
                vec![Replace(old.clone(), &one)],
            ),
            (
                "changed, seen in part",
                &wanted,
                vec![old.clone()],
                ids(&["old"]),
                false,
                vec![Upload(&one)],
            ),
            (
                "removed by somebody else",
                &wanted,
                vec![new.clone()],
                ids(&[]),
                true,
                vec![Forget(new.clone()), Upload(&one)],
            ),
            (
                "no longer wanted",
                &nothing,
                vec![old.clone()],
                ids(&["old"]),
                true,
                vec![Delete(old.clone())],
            ),
            (
                "no longer seen, seen in part",
                &nothing,
                vec![old.clone()],
                ids(&["old"]),
                false,
                vec![],
            ),
        ];
        for (case, wanted, notes, present, prune, expected) in cases {
            let notes = notes.into_iter().collect();
            let planned = plan(prune, wanted, &zone(), &notes, &present);
            assert_eq!(planned.changes, expected, "{case}");
        }
    }
}
