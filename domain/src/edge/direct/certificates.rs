//! Planning and carrying out the certificates of one Gateway.

use std::collections::{BTreeMap, BTreeSet};

use super::DirectEdge;
use super::apply::Executor;
use super::memory::GatewayMemory;
use crate::edge::cache::CachedApi;
use crate::edge::certificates::apply::CertificateWriter;
use crate::edge::certificates::plan::{CertificatesPlan, ObservedCertificates, wanted, zones_of};
use crate::edge::certificates::{CertificateIntent, CertificateOutcome, Note, NoteKey, NoteKeys};
use crate::edge::objects::IngressDocument;
use crate::edge::observed::Observed;
use crate::edge::plan::plan_certificates;
use crate::edge::{EdgeIntent, HostnameOutcome, certificates};
use crate::error::PortError;
use crate::names::{Hostname, ObjectKey, TunnelId};
use crate::secret::CloudflareCredentials;

impl DirectEdge {
    /// Makes the intent's certificates true, after all else: they are not needed for requests to flow, and only
    /// what became of the records tells which names the Gateway has. What is left of the plan says what came of it.
    pub(super) async fn show_certificates<'a>(
        &'a self,
        executor: &mut Executor<'a>,
        intent: &'a EdgeIntent,
        observed: &Observed,
        hostnames: &BTreeMap<Hostname, HostnameOutcome>,
        keys: NoteKeys,
    ) -> CertificatesPlan {
        let Some(wanted) = wanted(intent, hostnames) else {
            return CertificatesPlan::default();
        };
        let Some(pairs) = self.certificates.as_deref() else {
            return CertificatesPlan::all(&wanted, &CertificateOutcome::NotAvailable);
        };
        let (api, tunnel) = (executor.api, executor.tunnel);
        let unnoted = self.unnoted(tunnel);
        if wanted.is_empty() && unnoted.is_empty() && !has_notes(observed, &keys) {
            return CertificatesPlan::default();
        }
        // The plan that was just carried out may have put another document.
        let document = match readable(api, tunnel).await {
            Ok(document) => document,
            Err(error) => return CertificatesPlan::failed(&wanted, &error),
        };
        let writer = CertificateWriter::new(
            api,
            pairs,
            &intent.gateway,
            tunnel,
            document,
            keys,
            &unnoted,
        );
        let seen = observe(&writer, observed, &wanted).await;
        let (changes, mut planned) = plan_certificates(intent, observed, &seen, hostnames);
        executor.certificates = Some(writer);
        if let Err(error) = executor.carry_out(&changes).await {
            planned = CertificatesPlan::failed(&wanted, &error);
        }
        if let Some(writer) = executor.certificates.take() {
            self.remember_unnoted(tunnel, &writer.notes - &writer.noted);
            planned.outcomes.extend(writer.outcomes);
            planned.failures.extend(writer.failures);
        }
        planned
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

    /// Removes all certificates of a tunnel.
    pub(super) async fn clear_certificates(
        &self,
        api: &CachedApi,
        tunnel: TunnelId,
        keys: &NoteKeys,
    ) -> Result<(), PortError> {
        certificates::apply::remove(api, tunnel, keys, &self.unnoted(tunnel)).await?;
        self.remember_unnoted(tunnel, BTreeSet::new());
        Ok(())
    }
}

fn has_notes(observed: &Observed, keys: &NoteKeys) -> bool {
    match observed.tunnel.as_ref().map(|tunnel| &tunnel.ingress) {
        Some(Ok(document)) => !Note::all(document.as_ref(), keys.all()).is_empty(),
        Some(Err(_)) | None => false,
    }
}

/// Lists the certificates of each zone that matters.
async fn observe(
    writer: &CertificateWriter<'_>,
    observed: &Observed,
    wanted: &BTreeSet<CertificateIntent>,
) -> ObservedCertificates {
    let zones = observed.zones.iter().flatten().map(|zone| &zone.zone);
    let mut present = BTreeMap::new();
    for zone in zones_of(wanted, zones, &writer.notes).into_keys() {
        let listed = writer.api.uncached().custom_certificates(&zone).await;
        let ids = listed.map(|all| all.into_iter().map(|one| one.id).collect());
        present.insert(zone, ids);
    }
    ObservedCertificates {
        notes: writer.notes.clone(),
        are_noted: writer.notes == writer.noted,
        present,
    }
}

/// The document that takes the notes. Where there is none, the plan's own was refused: a note would stand in
/// a document without anything else.
async fn readable(api: &CachedApi, tunnel: TunnelId) -> Result<IngressDocument, PortError> {
    api.configuration(tunnel).await?.ok_or_else(|| {
        let message = "the tunnel has no ingress document yet, which notes what was uploaded; certificates \
                       follow once it is there";
        PortError::unavailable(message)
    })
}
