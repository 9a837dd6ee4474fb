//! Carrying certificates to the edge. Each change is noted in the tunnel's ingress document at once, so that
//! no later one is needed to know what is ours.

use std::collections::{BTreeMap, BTreeSet};

use super::DirectEdge;
use crate::edge::certificates::{
    self, CertificateChange, CertificateIntent, CertificateOutcome, Note,
};
use crate::edge::objects::{IngressDocument, Zone};
use crate::edge::plan::Observed;
use crate::edge::{EdgeError, EdgeErrorKind, EdgeIntent};
use crate::names::{ObjectKey, TunnelId};
use crate::ports::{Certificates, CloudflareApi};

/// What came of it.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) outcomes: BTreeMap<ObjectKey, CertificateOutcome>,
    /// Failures that may pass.
    pub(super) failures: Vec<EdgeError>,
}

/// One Gateway's certificates on their way.
struct Carrier<'a> {
    api: &'a dyn CloudflareApi,
    pairs: &'a dyn Certificates,
    intent: &'a EdgeIntent,
    tunnel: TunnelId,
    document: IngressDocument,
    notes: BTreeSet<Note>,
    zones: BTreeMap<ObjectKey, Vec<String>>,
    problems: BTreeMap<ObjectKey, String>,
    failures: Vec<EdgeError>,
}

impl DirectEdge {
    /// Makes the intent's certificates true, after all else: they are not needed for requests to flow.
    pub(super) async fn show_certificates(
        &self,
        api: &dyn CloudflareApi,
        intent: &EdgeIntent,
        observed: &Observed,
        tunnel: TunnelId,
    ) -> Shown {
        let Some(wanted) = &intent.certificates else {
            return Shown::default();
        };
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
            Some(Ok(document)) => !Note::all(document.as_ref()).is_empty(),
            Some(Err(_)) => false,
            None => false,
        };
        if wanted.is_empty() && !has_notes {
            return Shown::default();
        }
        // The plan that was just carried out may have put another document.
        match (api.configuration(tunnel).await, observed.zones.clone()) {
            (Ok(document), Ok(zones)) => {
                let carrier = Carrier {
                    api,
                    pairs,
                    intent,
                    tunnel,
                    notes: Note::all(document.as_ref()),
                    document: document.unwrap_or_default(),
                    zones: BTreeMap::new(),
                    problems: BTreeMap::new(),
                    failures: Vec::new(),
                };
                carrier
                    .run(wanted, zones.iter().map(|zone| &zone.zone))
                    .await
            }
            (Err(error), _) | (_, Err(error)) => all_failed(wanted, &error),
        }
    }
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
        mut self,
        wanted: &BTreeSet<CertificateIntent>,
        zones: impl Iterator<Item = &'z Zone>,
    ) -> Shown {
        let zones = certificates::zones_of(self.intent, wanted, zones, &self.notes);
        for zone in zones.into_values() {
            self.zone(wanted, zone).await;
        }
        let outcome = |one: &CertificateIntent| match (
            self.problems.get(&one.secret),
            self.zones.get(&one.secret),
        ) {
            (Some(message), _) => CertificateOutcome::Failed {
                message: message.clone(),
            },
            (None, Some(zones)) => CertificateOutcome::Uploaded {
                zones: zones.clone(),
            },
            (None, None) => CertificateOutcome::NoZone,
        };
        Shown {
            outcomes: wanted
                .iter()
                .map(|one| (one.secret.clone(), outcome(one)))
                .collect(),
            failures: self.failures,
        }
    }

    async fn zone(&mut self, wanted: &BTreeSet<CertificateIntent>, zone: &Zone) {
        let present = match self.api.custom_certificates(&zone.id).await {
            Ok(present) => present.into_iter().map(|one| one.id).collect(),
            Err(error) => {
                let dns = &self.intent.dns;
                let concerned = wanted.iter().filter(|one| one.is_for(zone, dns));
                for one in concerned {
                    self.fail(one, zone, &error);
                }
                return self.note_failure(error);
            }
        };
        let notes = self.notes.clone();
        let plan = certificates::plan(self.intent, wanted, zone, &notes, &present);
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
            CertificateChange::Forget(note) => self.noted(Some(note), None).await,
            CertificateChange::Delete(note) => {
                gone_is_fine(self.api.delete_certificate(&zone.id, &note.id).await)?;
                self.noted(Some(note), None).await
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
            None => self.api.upload_certificate(&zone.id, &pair).await?,
            Some(note) => {
                let replaced = self.api.replace_certificate(&zone.id, &note.id, &pair);
                replaced.await?
            }
        };
        let note = Note {
            zone: zone.id.clone(),
            id,
            // What was uploaded, which may be newer than what the intent was made from.
            fingerprint: pair.fingerprint.clone(),
        };
        self.noted(before, Some(note)).await
    }

    /// Keeps the notes as the document has them.
    async fn noted(&mut self, gone: Option<&Note>, new: Option<Note>) -> Result<(), EdgeError> {
        if let Some(gone) = gone {
            self.notes.remove(gone);
        }
        self.notes.extend(new);
        let rules = &mut self.document.rules;
        rules.retain(|rule| Note::read(rule).is_none());
        rules.extend(self.notes.iter().filter_map(Note::rule));
        self.api.configure(self.tunnel, &self.document).await
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

/// Removes every certificate that these tunnels' documents note.
pub(super) async fn clear(api: &dyn CloudflareApi, tunnel: TunnelId) -> Result<(), EdgeError> {
    let document = match api.configuration(tunnel).await {
        Err(error) if error.kind == EdgeErrorKind::NotFound => return Ok(()),
        answer => answer?,
    };
    for note in Note::all(document.as_ref()) {
        gone_is_fine(api.delete_certificate(&note.zone, &note.id).await)?;
    }
    Ok(())
}

fn gone_is_fine(result: Result<(), EdgeError>) -> Result<(), EdgeError> {
    match result {
        Err(error) if error.kind == EdgeErrorKind::NotFound => Ok(()),
        other => other,
    }
}
