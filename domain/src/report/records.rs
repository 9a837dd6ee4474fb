//! The DNS condition of a Gateway: whether its hostnames have their records, and what else is to be told of them. It has
//! no conditions of their own for that, as a Gateway may have eight (Gateway API).

use super::edge_view::EdgeView;
use super::{Verdict, dns};
use crate::attachment::{GatewayResolution, listed};
use crate::edge::namesakes;
use crate::gateway::CONFIRM_REMOVAL;
use crate::names::ObjectKey;
use crate::status::{Reason, Truth};

/// The verdict over all hostnames, and what holds besides: another installation of the same name, which conflicts come
/// from, and a removal that waits.
pub(super) fn verdict(gateway: &GatewayResolution, edge: &EdgeView<'_>) -> Verdict {
    let key = &gateway.gateway.key;
    let of_names = match gateway.hostnames.is_empty() {
        true => {
            let message = "no attached route or listener names a hostname, so no record is needed";
            Verdict::new(Truth::True, Reason::NoHostname, message)
        }
        false => dns::verdict(gateway.hostnames.keys(), key, edge),
    };
    let of_names = match installation(edge) {
        Some(installation) => joined(installation, of_names),
        None => of_names,
    };
    match removal(key, edge) {
        Some(removal) => joined(of_names, removal),
        None => of_names,
    }
}

/// What is to be mended comes first; of two of that kind the first has the reason.
fn joined(one: Verdict, other: Verdict) -> Verdict {
    let (first, second) = match one.truth {
        Truth::False => (one, other),
        Truth::True | Truth::Unknown => (other, one),
    };
    Verdict {
        message: listed([first.message, second.message]),
        ..first
    }
}

/// Only where the installation is not alone with its name.
fn installation(edge: &EdgeView<'_>) -> Option<Verdict> {
    let message = namesakes::are_there(edge.status()?)?;
    Some(Verdict::new(Truth::False, Reason::NameNotUnique, message))
}

/// Records that are not removed yet, because they are many at once.
fn removal(gateway: &ObjectKey, edge: &EdgeView<'_>) -> Option<Verdict> {
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
