//! What is told of a Gateway's records besides whether they are there: drift, a removal that waits, and names that the
//! Universal certificate is not for. Each is a condition only where there is something to tell.

use super::Verdict;
use super::edge_view::EdgeView;
use crate::attachment::{GatewayResolution, listed};
use crate::edge::certificates::CertificateOutcome;
use crate::edge::objects::ZoneState;
use crate::edge::{HostnameOutcome, has_universal_certificate};
use crate::gateway::CONFIRM_REMOVAL;
use crate::names::{Hostname, ObjectKey};
use crate::status::{Reason, Truth};

/// What others changed on records of ours, when the records were last read.
pub(super) fn drift(edge: &EdgeView<'_>) -> Option<Verdict> {
    let status = edge.status()?;
    let left = status.hostnames.iter();
    let left = left.filter_map(|(hostname, outcome)| match outcome {
        HostnameOutcome::Drifted { difference } => Some(format!("{hostname}: {difference}")),
        _ => None,
    });
    let left: Vec<String> = left.collect();
    let repaired = status.repaired.iter();
    let repaired = repaired.map(|(hostname, was)| format!("{hostname}: {was}"));
    let repaired: Vec<String> = repaired.collect();
    match (left.is_empty(), repaired.is_empty()) {
        (true, true) => None,
        (true, false) => {
            let count = repaired.len();
            let message = format!("{count} records were put right: {}", listed(repaired));
            Some(Verdict::new(Truth::True, Reason::DriftRepaired, message))
        }
        (false, _) => {
            let count = left.len();
            let message = format!(
                "{count} records were changed by others and stay so, as spec.dns.driftPolicy says: {}",
                listed(left)
            );
            Some(Verdict::new(Truth::False, Reason::RecordDrift, message))
        }
    }
}

/// Records that are not removed yet, because they are many at once.
pub(super) fn removal(gateway: &ObjectKey, edge: &EdgeView<'_>) -> Option<Verdict> {
    let held = edge.status()?.held_back.as_ref()?;
    let names = held.names.iter().map(ToString::to_string);
    let message = format!(
        "the records of {} of {} names are not wanted any more and stay until you confirm it, because that is more than 5 and more than 30 %: {}; confirm it with kubectl annotate gateway -n {} {} --overwrite {CONFIRM_REMOVAL}={}",
        held.names.len(),
        held.of,
        listed(names),
        gateway.namespace,
        gateway.name,
        held.code
    );
    Some(Verdict::new(Truth::False, Reason::HeldBack, message))
}

/// Names that are served and that neither Cloudflare's Universal certificate nor an uploaded one is for. What other
/// certificates the zone has cannot be seen with the permissions of the token.
pub(super) fn universal_certificate(
    gateway: &GatewayResolution,
    edge: &EdgeView<'_>,
) -> Option<Verdict> {
    let status = edge.status()?;
    let is_applied =
        |hostname: &&Hostname| status.hostnames.get(*hostname) == Some(&HostnameOutcome::Applied);
    // In a partial zone each proxied name gets a certificate of its own.
    let is_uncovered = |hostname: &&Hostname| {
        edge.zone(hostname).is_some_and(|zone| {
            zone.state != ZoneState::Partial && !has_universal_certificate(hostname, &zone.name)
        })
    };
    let uploaded = gateway.certificates.iter().flatten().filter(|one| {
        let outcome = status.certificates.get(&one.secret);
        matches!(outcome, Some(CertificateOutcome::Uploaded { .. }))
    });
    let uploaded: Vec<_> = uploaded.collect();
    let is_uploaded = |hostname: &Hostname| uploaded.iter().any(|one| one.is_valid_for(hostname));
    let names = gateway
        .hostnames
        .keys()
        .filter(is_applied)
        .filter(is_uncovered);
    let names: Vec<String> = names
        .filter(|hostname| !is_uploaded(hostname))
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
