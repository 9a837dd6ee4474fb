//! Carrying certificates to the edge. Each change is noted in the tunnel's ingress document at once, so that
//! no later one is needed to know what is ours.
//!
//! A certificate has its id only once it is uploaded, so the note comes second and may fail. Then what was
//! just uploaded is removed again: whether the note was written or not, the next reconcile finds either
//! nothing or a note of nothing. What cannot be removed either, or took the place of one that requests are
//! answered with, stays and is remembered until it is noted; nothing else is uploaded before that.

use std::collections::{BTreeMap, BTreeSet};

use super::DirectEdge;
use super::cache::CachedApi;
use super::memory::GatewayMemory;
use crate::edge::certificates::{
    self, CertificateChange, CertificateIntent, CertificateOutcome, Note, NoteKey,
};
use crate::edge::objects::{IngressDocument, Zone};
use crate::edge::plan::Observed;
use crate::edge::ports::Certificates;
use crate::edge::{EdgeError, EdgeErrorKind, EdgeIntent, HostnameOutcome, Policy};
use crate::names::{Hostname, ObjectKey, TunnelId};
use crate::secret::CloudflareCredentials;

/// What came of it.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) outcomes: BTreeMap<ObjectKey, CertificateOutcome>,
    /// Failures that may pass.
    pub(super) failures: Vec<EdgeError>,
}

/// Keys of one tunnel's notes.
pub(super) struct NoteKeys {
    /// Of the API token in use: new notes are made with it.
    own: NoteKey,
    /// Of those that were in use before: their notes are still ours.
    former: Vec<NoteKey>,
}

impl NoteKeys {
    fn all(&self) -> impl Iterator<Item = &NoteKey> {
        [&self.own].into_iter().chain(&self.former)
    }
}

/// One Gateway's certificates on their way.
struct Carrier<'a> {
    api: &'a CachedApi,
    pairs: &'a dyn Certificates,
    /// Whether what is not wanted goes.
    prune: bool,
    tunnel: TunnelId,
    document: IngressDocument,
    keys: NoteKeys,
    /// What is ours, noted or not.
    notes: BTreeSet<Note>,
    /// What the document surely notes, with a tag of today's token.
    noted: BTreeSet<Note>,
    zones: BTreeMap<ObjectKey, Vec<String>>,
    problems: BTreeMap<ObjectKey, String>,
    failures: Vec<EdgeError>,
}

impl DirectEdge {
    /// Makes the intent's certificates true, after all else: they are not needed for requests to flow, and only
    /// what became of the records tells which names the Gateway has.
    pub(super) async fn show_certificates(
        &self,
        api: &CachedApi,
        intent: &EdgeIntent,
        observed: &Observed,
        tunnel: TunnelId,
        hostnames: &BTreeMap<Hostname, HostnameOutcome>,
        keys: NoteKeys,
    ) -> Shown {
        let Some(wanted) = &intent.certificates else {
            return Shown::default();
        };
        let records = with_records(hostnames);
        let wanted: &BTreeSet<_> = &wanted
            .iter()
            .map(|one| one.with_records(&records))
            .collect();
        let Some(pairs) = self.certificates.as_deref() else {
            let outcomes = wanted.iter();
            let outcomes =
                outcomes.map(|one| (one.secret.clone(), CertificateOutcome::NotAvailable));
            return Shown {
                outcomes: outcomes.collect(),
                failures: Vec::new(),
            };
        };
        let found = observed.tunnel.as_ref().map(|tunnel| &tunnel.ingress);
        let has_notes = match found {
            Some(Ok(document)) => !Note::all(document.as_ref(), keys.all()).is_empty(),
            Some(Err(_)) | None => false,
        };
        let unnoted = self.unnoted(tunnel);
        if wanted.is_empty() && !has_notes && unnoted.is_empty() {
            return Shown::default();
        }
        // The plan that was just carried out may have put another document.
        let (document, zones) = match (readable(api, tunnel).await, &observed.zones) {
            (Ok(document), Ok(zones)) => (document, zones),
            (Err(error), _) => return all_failed(wanted, &error),
            (_, Err(error)) => return all_failed(wanted, error),
        };
        let noted = Note::all(Some(&document), [&keys.own]);
        let ours = Note::all(Some(&document), keys.all());
        let mut carrier = Carrier {
            api,
            pairs,
            prune: intent.policy != Policy::UpsertOnly && are_known(hostnames),
            tunnel,
            notes: with_unnoted(&ours, &unnoted),
            noted,
            document,
            keys,
            zones: BTreeMap::new(),
            problems: BTreeMap::new(),
            failures: Vec::new(),
        };
        let shown = carrier
            .run(wanted, zones.iter().map(|zone| &zone.zone))
            .await;
        self.remember_unnoted(tunnel, &carrier.notes - &carrier.noted);
        shown
    }

    /// Certificates of a tunnel's Gateway that its document does not note, as far as this process knows.
    fn unnoted(&self, tunnel: TunnelId) -> BTreeSet<Note> {
        let memory = self.memory();
        memory.unnoted.get(&tunnel).cloned().unwrap_or_default()
    }

    fn remember_unnoted(&self, tunnel: TunnelId, notes: BTreeSet<Note>) {
        let mut memory = self.memory();
        match notes.is_empty() {
            true => memory.unnoted.remove(&tunnel),
            false => memory.unnoted.insert(tunnel, notes),
        };
    }

    /// Keys for the notes of a Gateway's tunnel: of these credentials, and of those that this process knows it had
    /// before.
    pub(super) fn note_keys(
        &self,
        gateway: &ObjectKey,
        credentials: &CloudflareCredentials,
        tunnel: TunnelId,
    ) -> NoteKeys {
        let memory = self.memory();
        let known = memory.gateways.get(gateway);
        let known = known.into_iter().flat_map(GatewayMemory::tokens);
        let former = known.filter(|known| !known.is_same(credentials));
        NoteKeys {
            own: NoteKey::of(credentials, tunnel),
            former: former.map(|known| NoteKey::of(known, tunnel)).collect(),
        }
    }

    /// Removes every certificate that a tunnel's document notes, and those that it should.
    pub(super) async fn clear_certificates(
        &self,
        api: &CachedApi,
        tunnel: TunnelId,
        keys: &NoteKeys,
    ) -> Result<(), EdgeError> {
        let document = match api.configuration(tunnel).await {
            Err(error) if error.kind == EdgeErrorKind::NotFound => None,
            answer => answer?,
        };
        let noted = Note::all(document.as_ref(), keys.all());
        for note in &noted | &self.unnoted(tunnel) {
            gone_is_fine(api.delete_certificate(&note.zone, &note.id).await)?;
        }
        self.remember_unnoted(tunnel, BTreeSet::new());
        Ok(())
    }
}

/// Names that the Gateway has the record of.
fn with_records(hostnames: &BTreeMap<Hostname, HostnameOutcome>) -> BTreeSet<Hostname> {
    let applied = hostnames.iter();
    let applied = applied.filter(|(_, outcome)| **outcome == HostnameOutcome::Applied);
    applied.map(|(hostname, _)| hostname.clone()).collect()
}

/// Whether no name may turn out to be the Gateway's after all.
fn are_known(hostnames: &BTreeMap<Hostname, HostnameOutcome>) -> bool {
    let mut outcomes = hostnames.values();
    !outcomes.any(|outcome| matches!(outcome, HostnameOutcome::Unknown { .. }))
}

/// What the document notes, and what it should: a certificate that was replaced under its own id is what it
/// is now.
fn with_unnoted(noted: &BTreeSet<Note>, unnoted: &BTreeSet<Note>) -> BTreeSet<Note> {
    let is_newer = |old: &Note| {
        let mut newer = unnoted.iter();
        newer.any(|new| (&new.zone, &new.id) == (&old.zone, &old.id))
    };
    let old = noted.iter().filter(|old| !is_newer(old)).cloned();
    old.chain(unnoted.iter().cloned()).collect()
}

/// The document that takes the notes. Where there is none, the plan's own was refused: a note would stand in
/// a document without anything else.
async fn readable(api: &CachedApi, tunnel: TunnelId) -> Result<IngressDocument, EdgeError> {
    api.configuration(tunnel).await?.ok_or_else(|| {
        let message = "the tunnel has no ingress document yet, which notes what was uploaded; certificates \
                       follow once it is there";
        EdgeError::new(EdgeErrorKind::Unavailable, message)
    })
}

fn all_failed(wanted: &BTreeSet<CertificateIntent>, error: &EdgeError) -> Shown {
    let message = error.message.clone();
    let failed = CertificateOutcome::Failed { message };
    let outcomes = wanted
        .iter()
        .map(|one| (one.secret.clone(), failed.clone()));
    Shown {
        outcomes: outcomes.collect(),
        failures: error
            .kind
            .is_transient()
            .then(|| error.clone())
            .into_iter()
            .collect(),
    }
}

impl Carrier<'_> {
    async fn run<'z>(
        &mut self,
        wanted: &BTreeSet<CertificateIntent>,
        zones: impl Iterator<Item = &'z Zone>,
    ) -> Shown {
        if self.notes != self.noted
            && let Err(error) = self.put_notes().await
        {
            return all_failed(wanted, &error);
        }
        let zones: Vec<&Zone> = zones.collect();
        let mattering = certificates::zones_of(wanted, zones.iter().copied(), &self.notes);
        for zone in mattering.into_values() {
            self.zone(wanted, zone).await;
        }
        let outcome = |one: &CertificateIntent| self.outcome(one, &zones);
        Shown {
            outcomes: wanted
                .iter()
                .map(|one| (one.secret.clone(), outcome(one)))
                .collect(),
            failures: std::mem::take(&mut self.failures),
        }
    }

    fn outcome(&self, one: &CertificateIntent, zones: &[&Zone]) -> CertificateOutcome {
        if let Some(message) = self.problems.get(&one.secret) {
            let message = message.clone();
            return CertificateOutcome::Failed { message };
        }
        let names: BTreeSet<Hostname> = (zones.iter())
            .flat_map(|zone| one.without_record(zone))
            .collect();
        match self.zones.get(&one.secret) {
            _ if !names.is_empty() => CertificateOutcome::WithoutRecord { names },
            Some(zones) => CertificateOutcome::Uploaded {
                zones: zones.clone(),
            },
            None => CertificateOutcome::NoZone,
        }
    }

    async fn zone(&mut self, wanted: &BTreeSet<CertificateIntent>, zone: &Zone) {
        let present = match self.api.uncached().custom_certificates(&zone.id).await {
            Ok(present) => present.into_iter().map(|one| one.id).collect(),
            Err(error) => {
                let concerned = wanted.iter().filter(|one| one.is_for(zone));
                for one in concerned {
                    self.fail(one, zone, &error);
                }
                return self.note_failure(error);
            }
        };
        let notes = self.notes.clone();
        let plan = certificates::plan(self.prune, wanted, zone, &notes, &present);
        for one in &plan.wanted {
            let zones = self.zones.entry(one.secret.clone()).or_default();
            zones.push(zone.name.clone());
        }
        for change in plan.changes {
            if let Err(error) = self.change(zone, &change).await {
                if let CertificateChange::Upload(one) | CertificateChange::Replace(_, one) = change
                {
                    self.fail(one, zone, &error);
                }
                self.note_failure(error);
            }
        }
    }

    async fn change(
        &mut self,
        zone: &Zone,
        change: &CertificateChange<'_>,
    ) -> Result<(), EdgeError> {
        match change {
            CertificateChange::Forget(note) => self.note(Some(note), None).await,
            CertificateChange::Delete(note) => {
                gone_is_fine(self.api.delete_certificate(&zone.id, &note.id).await)?;
                self.note(Some(note), None).await
            }
            CertificateChange::Upload(one) => self.put(zone, None, one).await,
            CertificateChange::Replace(note, one) => self.put(zone, Some(note), one).await,
        }
    }

    async fn put(
        &mut self,
        zone: &Zone,
        before: Option<&Note>,
        one: &CertificateIntent,
    ) -> Result<(), EdgeError> {
        let pair = self.pairs.pair(&one.secret).await?;
        let id = match before {
            None => {
                self.api
                    .uncached()
                    .upload_certificate(&zone.id, &pair)
                    .await?
            }
            Some(note) => {
                let replaced = self
                    .api
                    .uncached()
                    .replace_certificate(&zone.id, &note.id, &pair);
                replaced.await?
            }
        };
        let note = Note {
            zone: zone.id.clone(),
            id,
            // What was uploaded, which may be newer than what the intent was made from.
            fingerprint: pair.fingerprint.clone(),
        };
        let noted = self.note(before, Some(note.clone())).await;
        if noted.is_err() && before.is_none() {
            let removed = self.api.delete_certificate(&zone.id, &note.id).await;
            if gone_is_fine(removed).is_ok() {
                self.notes.remove(&note);
            }
        }
        noted
    }

    async fn note(&mut self, gone: Option<&Note>, new: Option<Note>) -> Result<(), EdgeError> {
        if let Some(gone) = gone {
            self.notes.remove(gone);
        }
        self.notes.extend(new);
        self.put_notes().await
    }

    async fn put_notes(&mut self) -> Result<(), EdgeError> {
        let rules = &mut self.document.rules;
        rules.retain(|rule| self.keys.all().all(|key| Note::read(rule, key).is_none()));
        rules.extend(
            self.notes
                .iter()
                .filter_map(|note| note.rule(&self.keys.own)),
        );
        self.api.configure(self.tunnel, &self.document).await?;
        self.noted = self.notes.clone();
        Ok(())
    }

    fn fail(&mut self, one: &CertificateIntent, zone: &Zone, error: &EdgeError) {
        let message = format!("zone {}: {error}", zone.name);
        self.problems.insert(one.secret.clone(), message);
    }

    /// A refusal that only a user can mend is worth no further try until something changes.
    fn note_failure(&mut self, error: EdgeError) {
        if error.kind.is_transient() {
            self.failures.push(error);
        }
    }
}

fn gone_is_fine(result: Result<(), EdgeError>) -> Result<(), EdgeError> {
    match result {
        Err(error) if error.kind == EdgeErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Fingerprint;
    use crate::names::{CertificateId, ZoneId};

    #[test]
    fn a_certificate_that_was_replaced_under_its_own_id_is_not_also_what_it_was() {
        let note = |id: &str, chain: &str| Note {
            zone: ZoneId::new("zone"),
            id: CertificateId::new(id),
            fingerprint: Fingerprint::of(chain.as_bytes()),
        };
        let noted = [note("a", "old"), note("b", "other")].into();
        let all = with_unnoted(&noted, &[note("a", "new"), note("c", "third")].into());
        let expected = [note("a", "new"), note("b", "other"), note("c", "third")];
        assert_eq!(all, expected.into());
    }
}
