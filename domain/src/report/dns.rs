//! The DNS condition of routes and Gateways.

use super::Verdict;
use super::edge_view::{EdgeView, Known};
use crate::attachment::listed;
use crate::edge::objects::ZoneState;
use crate::edge::{HostnameOutcome, ZoneStatus, namesakes};
use crate::names::{Hostname, ObjectKey};
use crate::status::{Reason, Truth};

/// The verdict over some hostnames of one Gateway, of which there is at least one: the worst that holds
/// for any, naming every hostname that is not as it should be.
pub(super) fn verdict<'h>(
    hostnames: impl IntoIterator<Item = &'h Hostname>,
    gateway: &ObjectKey,
    edge: &EdgeView<'_>,
) -> Verdict {
    let mut verdicts: Vec<Verdict> = hostnames
        .into_iter()
        .map(|hostname| of_hostname(hostname, gateway, edge))
        .collect();
    verdicts.sort_by_key(|verdict| rank(verdict.reason));
    let Some(worst) = verdicts.first() else {
        return edge.silence();
    };
    let (truth, reason) = (worst.truth, worst.reason);
    let total = verdicts.len();
    let good = verdicts.iter().filter(|v| v.truth == Truth::True).count();
    let is_mixed = (1..total).contains(&good);
    if is_mixed {
        verdicts.retain(|verdict| verdict.truth != Truth::True);
    }
    let mut messages: Vec<String> = verdicts.into_iter().map(|v| v.message).collect();
    messages.dedup();
    let message = match listed(messages) {
        text if is_mixed => {
            format!("{text}; {good} of {total} hostnames have their record")
        }
        text => text,
    };
    Verdict::new(truth, reason, message)
}

/// What the user must mend comes first, then what is not known, then what is fine.
fn rank(reason: Reason) -> usize {
    const ORDER: [Reason; 14] = [
        Reason::HostnameNotPermitted,
        Reason::RecordConflict,
        Reason::RecordDrift,
        Reason::ClaimedByOther,
        Reason::Forbidden,
        Reason::Refused,
        Reason::InvalidParameters,
        Reason::NoZone,
        Reason::ZoneNotServed,
        Reason::BrokerUnavailable,
        Reason::EdgeUnavailable,
        Reason::Pending,
        Reason::NotManaged,
        Reason::Applied,
    ];
    let place = ORDER.iter().position(|other| *other == reason);
    place.unwrap_or(ORDER.len())
}

pub(super) fn of_hostname(
    hostname: &Hostname,
    gateway: &ObjectKey,
    edge: &EdgeView<'_>,
) -> Verdict {
    match edge.outcome(hostname) {
        Known::Now(HostnameOutcome::Applied) => of_zone(hostname, edge)
            .unwrap_or_else(|| of_outcome(hostname, &HostnameOutcome::Applied, gateway)),
        Known::Now(outcome) => of_outcome(hostname, outcome, gateway),
        Known::Earlier(outcome, why) => {
            let verdict = of_outcome(hostname, outcome, gateway);
            let message = format!(
                "{} (last known; nothing newer is known: {why})",
                verdict.message
            );
            Verdict { message, ..verdict }
        }
        Known::Nothing => {
            let silence = edge.silence();
            let message = format!("{hostname}: {}", silence.message);
            Verdict { message, ..silence }
        }
    }
}

/// Why a hostname does not lead to Cloudflare though it has its record: the zone is not served, or not by Cloudflare.
fn of_zone(hostname: &Hostname, edge: &EdgeView<'_>) -> Option<Verdict> {
    let ZoneStatus { name, state } = edge.zone(hostname)?;
    let (truth, problem) = match state {
        ZoneState::Active | ZoneState::Unseen => return None,
        ZoneState::Pending => (
            Truth::False,
            format!(
                "its record is there, and zone {name} is pending: its name servers are not Cloudflare's; set those that the dashboard shows at the domain's registrar"
            ),
        ),
        ZoneState::Paused => (
            Truth::False,
            format!(
                "its record is there, and zone {name} is paused, so Cloudflare proxies nothing of it; choose \"Resume Cloudflare\" in the dashboard"
            ),
        ),
        ZoneState::Partial => (
            Truth::Unknown,
            format!(
                "its record is there, and the DNS of zone {name} is served elsewhere (CNAME set-up); make a CNAME from {hostname} to {hostname}.cdn.cloudflare.net there"
            ),
        ),
    };
    let message = format!("{hostname}: {problem}");
    Some(Verdict::new(truth, Reason::ZoneNotServed, message))
}

fn of_outcome(hostname: &Hostname, outcome: &HostnameOutcome, gateway: &ObjectKey) -> Verdict {
    let (truth, reason, message) = match outcome {
        HostnameOutcome::Applied => (
            Truth::True,
            Reason::Applied,
            format!("{hostname} leads to the tunnel of Gateway {gateway}"),
        ),
        HostnameOutcome::Conflict { found } => (
            Truth::False,
            Reason::RecordConflict,
            format!(
                "{hostname}: the zone has {found}, which does not have the mark of this installation and stays as it is; remove that record, name {hostname} in spec.dns.adopt of the CloudflareGatewayParameters, or use another hostname"
            ),
        ),
        HostnameOutcome::Adoptable { found, code } => (
            Truth::False,
            Reason::RecordConflict,
            format!(
                "{hostname}: the zone has {found}; adopting the name would replace that by a proxied CNAME to the tunnel of Gateway {gateway}. To have it done, set confirm: {code} at {hostname} in spec.dns.adopt"
            ),
        ),
        HostnameOutcome::Drifted { difference } => (
            Truth::False,
            Reason::RecordDrift,
            format!(
                "{hostname}: its record was changed by others and stays so, as spec.dns.driftPolicy says: {difference}; put it right, or set driftPolicy: Repair"
            ),
        ),
        HostnameOutcome::Paused { because } => (
            Truth::False,
            Reason::RecordDrift,
            format!(
                "{hostname}: nothing is done for it while the record of {because} is changed, as spec.dns.driftPolicy: Pause says"
            ),
        ),
        HostnameOutcome::Namesake { tunnel } => (
            Truth::False,
            Reason::RecordConflict,
            namesakes::holds(hostname, tunnel),
        ),
        HostnameOutcome::Claimed { by } => (
            Truth::False,
            Reason::ClaimedByOther,
            format!(
                "{hostname}: an older claim of Gateway {by} holds it; use another hostname or remove it there"
            ),
        ),
        HostnameOutcome::NoZone => (
            Truth::False,
            Reason::NoZone,
            format!(
                "{hostname}: no zone that the API token can see covers it; add the zone to the account, let the token see it, or use another hostname"
            ),
        ),
        HostnameOutcome::Forbidden { message } => {
            let text = format!("{hostname}: {message}; give the API token this permission");
            (Truth::False, Reason::Forbidden, text)
        }
        HostnameOutcome::Refused { message } => {
            let text = format!("{hostname}: {message}");
            (Truth::False, Reason::Refused, text)
        }
        HostnameOutcome::NotPermitted { message } => {
            let text = format!("{hostname}: {message}");
            (Truth::False, Reason::HostnameNotPermitted, text)
        }
        HostnameOutcome::NotManaged => (
            Truth::Unknown,
            Reason::NotManaged,
            format!(
                "{hostname}: its record is managed elsewhere, as the Gateway's parameters say; point it to the Gateway's address yourself"
            ),
        ),
        HostnameOutcome::Unknown { message } => {
            let text = format!("{hostname}: {message}");
            (Truth::Unknown, Reason::EdgeUnavailable, text)
        }
    };
    Verdict::new(truth, reason, message)
}
