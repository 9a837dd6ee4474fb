//! The Certificates condition of Gateways.

use super::Verdict;
use super::edge_view::EdgeView;
use crate::attachment::{GatewayResolution, listed};
use crate::edge::certificates::{CertificateIntent, CertificateOutcome};
use crate::edge::objects::ZoneState;
use crate::edge::{HostnameOutcome, has_universal_certificate};
use crate::names::{Hostname, ObjectKey};
use crate::status::{CertificateCoverage, Reason, Truth};

/// Whether visitors are shown certificates for the hostnames: those of the listeners, where they are to be uploaded, and
/// Cloudflare's own. `None` where there is nothing to tell.
pub(super) fn verdict(gateway: &GatewayResolution, edge: &EdgeView<'_>) -> Option<Verdict> {
    let uploaded = uploaded(gateway, edge);
    let is_good = |verdict: &Verdict| verdict.truth == Truth::True;
    match uploaded {
        Some(verdict) if !is_good(&verdict) => Some(verdict),
        uploaded => universal(gateway, edge).or(uploaded),
    }
}

/// Whether the edge shows the certificates of the listeners; `None` where none is to be uploaded. Traffic
/// does not depend on it: without them the edge shows its own.
fn uploaded(gateway: &GatewayResolution, edge: &EdgeView<'_>) -> Option<Verdict> {
    let wanted = gateway.certificates.as_ref();
    let wanted = wanted.filter(|wanted| !wanted.is_empty())?;
    let Some(status) = edge.status() else {
        return Some(edge.silence());
    };
    let mut verdicts: Vec<Verdict> = wanted
        .iter()
        .map(|one| of_outcome(&one.secret, status.certificates.get(&one.secret)))
        .collect();
    verdicts.sort_by_key(|verdict| rank(verdict.truth));
    let (truth, reason) = verdicts.first().map(|worst| (worst.truth, worst.reason))?;
    let message = listed(verdicts.into_iter().map(|verdict| verdict.message));
    Some(Verdict::new(truth, reason, message))
}

/// Which certificates the edge shows for the hostnames of a Gateway.
pub(super) struct Certificates<'f> {
    edge: EdgeView<'f>,
    uploaded: Vec<&'f CertificateIntent>,
}

impl<'f> Certificates<'f> {
    pub(super) fn new(gateway: &'f GatewayResolution, edge: &EdgeView<'f>) -> Self {
        let outcomes = edge.status().map(|status| &status.certificates);
        let is_uploaded = |one: &&CertificateIntent| {
            let outcome = outcomes.and_then(|outcomes| outcomes.get(&one.secret));
            matches!(outcome, Some(CertificateOutcome::Uploaded { .. }))
        };
        let wanted = gateway.certificates.iter().flatten();
        Self {
            edge: *edge,
            uploaded: wanted.filter(is_uploaded).collect(),
        }
    }

    /// `None` where the zone of the hostname is not known.
    pub(super) fn of(&self, hostname: &Hostname) -> Option<CertificateCoverage> {
        let zone = self.edge.zone(hostname)?;
        let mut uploaded = self.uploaded.iter();
        Some(if uploaded.any(|one| one.is_valid_for(hostname)) {
            CertificateCoverage::Uploaded
        } else if zone.state == ZoneState::Partial
            || has_universal_certificate(hostname, &zone.name)
        {
            CertificateCoverage::Universal
        } else {
            CertificateCoverage::NotCovered
        })
    }
}

/// Names that are served and that neither Cloudflare's Universal certificate nor an uploaded one is for.
fn universal(gateway: &GatewayResolution, edge: &EdgeView<'_>) -> Option<Verdict> {
    let status = edge.status()?;
    let is_applied =
        |hostname: &&Hostname| status.hostnames.get(*hostname) == Some(&HostnameOutcome::Applied);
    let certificates = Certificates::new(gateway, edge);
    let names = gateway.hostnames.keys().filter(is_applied);
    let names: Vec<String> = names
        .filter(|name| certificates.of(name) == Some(CertificateCoverage::NotCovered))
        .map(ToString::to_string)
        .collect();
    if names.is_empty() {
        return None;
    }
    let message = format!(
        "Cloudflare's Universal certificate is for a zone's apex and one label below it, and not for {}; browsers show an error there unless the zone has another certificate for them. Use names of one label, turn on Total TLS or order an Advanced certificate in the dashboard, or upload one (certificates.upload)",
        listed(names)
    );
    Some(Verdict::new(Truth::False, Reason::NotCovered, message))
}

fn rank(truth: Truth) -> usize {
    match truth {
        Truth::False => 0,
        Truth::Unknown => 1,
        Truth::True => 2,
    }
}

fn of_outcome(secret: &ObjectKey, outcome: Option<&CertificateOutcome>) -> Verdict {
    let (truth, reason, problem) = match outcome {
        None => (
            Truth::Unknown,
            Reason::Pending,
            "the edge has not been asked yet".to_owned(),
        ),
        Some(CertificateOutcome::Uploaded { zones }) => (
            Truth::True,
            Reason::Applied,
            format!("the edge shows its certificate in {}", zones.join(", ")),
        ),
        Some(CertificateOutcome::NoZone) => (
            Truth::False,
            Reason::NoZone,
            "no zone has a host that the certificate is for, so the edge shows its own".to_owned(),
        ),
        Some(CertificateOutcome::WithoutRecord { names }) => (
            Truth::False,
            Reason::HostnameNotPermitted,
            format!(
                "its certificate is for {}, of which this Gateway has no record at Cloudflare, and would be shown to their visitors too; attach a route of each name to the listener, or use a certificate for the names of its routes only",
                listed(names.iter().map(ToString::to_string))
            ),
        ),
        Some(CertificateOutcome::Failed { message }) => (
            Truth::False,
            Reason::UploadFailed,
            format!("its certificate could not be uploaded: {message}"),
        ),
        Some(CertificateOutcome::WithoutKey { message }) => (
            Truth::False,
            Reason::UploadFailed,
            format!("its certificate could not be uploaded: {message}"),
        ),
        Some(CertificateOutcome::NotPermitted { message }) => (
            Truth::False,
            Reason::NotAvailable,
            format!("the edge shows its own certificate: {message}"),
        ),
        Some(CertificateOutcome::NotAvailable) => (
            Truth::False,
            Reason::NotAvailable,
            "who uploads certificates has no way to this one, so the edge shows its own; upload it in the account yourself".to_owned(),
        ),
    };
    Verdict::new(truth, reason, format!("Secret {secret}: {problem}"))
}
