//! The Certificates condition of Gateways.

use super::Verdict;
use super::edge_view::EdgeView;
use crate::attachment::{GatewayResolution, listed};
use crate::edge::certificates::CertificateOutcome;
use crate::names::ObjectKey;
use crate::status::{Reason, Truth};

/// Whether the edge shows the certificates of the listeners; `None` where none is to be uploaded. Traffic
/// does not depend on it: without them the edge shows its own.
pub(super) fn verdict(gateway: &GatewayResolution, edge: &EdgeView<'_>) -> Option<Verdict> {
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
        Some(CertificateOutcome::NotAvailable) => (
            Truth::False,
            Reason::NotAvailable,
            "certificates are not sent to the broker, so the edge shows its own; upload it in the account yourself".to_owned(),
        ),
    };
    Verdict::new(truth, reason, format!("Secret {secret}: {problem}"))
}
