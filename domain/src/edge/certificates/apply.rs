//! Carrying certificates to the edge, and removing them. Each change is noted in the tunnel's ingress document at once, so that
//! no later one is needed to know what is ours.
//!
//! A certificate has its id only once it is uploaded, so the note comes second and may fail. Then what was
//! just uploaded is removed again: whether the note was written or not, the next reconcile finds either
//! nothing or a note of nothing. What cannot be removed either, or took the place of one that requests are
//! answered with, stays and is remembered until it is noted; nothing else is uploaded before that.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{CertificateChange, ZoneCertificates, failed, transient, without_pair};
use super::{CertificateIntent, CertificateOutcome, Note, NoteKeys, with_unnoted};
use crate::edge::cache::CachedApi;
use crate::edge::gone_is_fine;
use crate::edge::objects::{IngressDocument, Zone};
use crate::edge::ports::Certificates;
use crate::error::PortError;
use crate::names::{ObjectKey, TunnelId};

/// Why a certificate is not where it should be.
enum Failure {
    /// Its chain and key could not be had.
    Pair(PortError),
    Call(PortError),
}

impl From<PortError> for Failure {
    fn from(error: PortError) -> Self {
        Self::Call(error)
    }
}

/// One Gateway's certificates on their way.
pub(crate) struct CertificateWriter<'a> {
    pub(crate) api: &'a CachedApi,
    pairs: &'a dyn Certificates,
    gateway: &'a ObjectKey,
    tunnel: TunnelId,
    document: IngressDocument,
    keys: NoteKeys,
    pub(crate) notes: BTreeSet<Note>,
    /// What the document surely notes, with a tag of today's token.
    pub(crate) noted: BTreeSet<Note>,
    /// Certificates for which it did not go as planned.
    pub(crate) outcomes: BTreeMap<ObjectKey, CertificateOutcome>,
    /// Failures that may pass.
    pub(crate) failures: Vec<PortError>,
}

impl<'a> CertificateWriter<'a> {
    /// For the tunnel whose document this is. `unnoted`: what is ours and may not be noted in it.
    pub(crate) fn new(
        api: &'a CachedApi,
        pairs: &'a dyn Certificates,
        gateway: &'a ObjectKey,
        tunnel: TunnelId,
        document: IngressDocument,
        keys: NoteKeys,
        unnoted: &BTreeSet<Note>,
    ) -> Self {
        let noted = Note::all(Some(&document), [&keys.own]);
        let notes = with_unnoted(&Note::all(Some(&document), keys.all()), unnoted);
        Self {
            api,
            pairs,
            gateway,
            tunnel,
            document,
            keys,
            notes,
            noted,
            outcomes: BTreeMap::new(),
            failures: Vec::new(),
        }
    }

    /// Changes one zone. A change that fails stops no other.
    pub(crate) async fn change_zone(&mut self, zone: &ZoneCertificates) {
        for change in &zone.changes {
            let Err(failure) = self.change(&zone.zone, change).await else {
                continue;
            };
            if let CertificateChange::Upload(one) | CertificateChange::Replace(_, one) = change {
                let outcome = match &failure {
                    Failure::Pair(error) => without_pair(error),
                    Failure::Call(error) => failed(&zone.zone, error),
                };
                self.outcomes.insert(one.secret.clone(), outcome);
            }
            let (Failure::Pair(error) | Failure::Call(error)) = failure;
            self.failures.extend(transient(&error));
        }
    }

    async fn change(&mut self, zone: &Zone, change: &CertificateChange) -> Result<(), Failure> {
        match change {
            CertificateChange::DropNote(note) => Ok(self.note(Some(note), None).await?),
            CertificateChange::Delete(note) => {
                gone_is_fine(self.api.delete_certificate(&zone.id, &note.id).await)?;
                Ok(self.note(Some(note), None).await?)
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
    ) -> Result<(), Failure> {
        let pair = self.pairs.of_gateway(self.gateway, one).await;
        let pair = pair.map_err(Failure::Pair)?;
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
        self.api.uploaded(zone, &one.secret);
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
        Ok(noted?)
    }

    async fn note(&mut self, gone: Option<&Note>, new: Option<Note>) -> Result<(), PortError> {
        if let Some(gone) = gone {
            self.notes.remove(gone);
        }
        self.notes.extend(new);
        self.put_notes().await
    }

    /// Writes all notes with the key of today's token.
    pub(crate) async fn put_notes(&mut self) -> Result<(), PortError> {
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
}

/// Removes every certificate that a tunnel's document notes, and those that it should.
pub(crate) async fn remove(
    api: &CachedApi,
    tunnel: TunnelId,
    keys: &NoteKeys,
    unnoted: &BTreeSet<Note>,
) -> Result<(), PortError> {
    let document = api.last_configuration(tunnel).await?;
    let noted = Note::all(document.as_ref(), keys.all());
    for note in noted.union(unnoted) {
        gone_is_fine(api.delete_certificate(&note.zone, &note.id).await)?;
    }
    Ok(())
}
