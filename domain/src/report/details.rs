//! What a CloudflareGatewayStatus says of its Gateway.

use super::certificates::Certificates;
use super::edge_view::{EdgeView, Known};
use super::{Context, dns};
use crate::attachment::GatewayResolution;
use crate::edge::HostnameOutcome;
use crate::gateway::{DnsPolicy, GATEWAY_STATUS_KIND, OWN_GROUP};
use crate::names::{Hostname, ObjectRef};
use crate::status::{
    GatewayDetails, HostnameDetail, HostnameDetails, LISTED_CONNECTORS, LISTED_HOSTNAMES,
    LISTED_OBJECTS, LONGEST_MESSAGE, Part, StatusUpdate, Truth, TunnelDetails,
};
use crate::workload::{ConnectedReplica, ManagedObject, WorkloadStatus};

/// The object of the same name, with the Gateway's own conditions.
pub(super) fn status(
    gateway: &GatewayResolution,
    status: &StatusUpdate,
    context: &Context<'_>,
) -> StatusUpdate {
    let key = &gateway.gateway.key;
    let own = status.parts.iter().find(|part| part.part == Part::Object);
    StatusUpdate {
        object: ObjectRef {
            group: OWN_GROUP.to_owned(),
            kind: GATEWAY_STATUS_KIND.to_owned(),
            key: key.clone(),
        },
        addresses: Vec::new(),
        details: Some(Box::new(details(gateway, context))),
        parts: own.cloned().into_iter().collect(),
    }
}

fn details(gateway: &GatewayResolution, context: &Context<'_>) -> GatewayDetails {
    let edge = context.edge(&gateway.gateway.key);
    let facts = context.facts.get(&gateway.gateway.key);
    let workload = edge.workload();
    let tunnel = edge.status().and_then(|status| status.tunnels.first());
    GatewayDetails {
        tunnel: tunnel.map(|tunnel| TunnelDetails {
            id: tunnel.id,
            name: tunnel.name.clone(),
        }),
        ready_replicas: workload.map_or(0, |workload| workload.ready),
        connectors: workload.and_then(connectors),
        rotation: facts.and_then(|facts| facts.rotation.clone()),
        manages_dns: gateway.parameters.dns != DnsPolicy::Off,
        handled: facts.and_then(|facts| facts.handled.clone()),
        hostnames: hostnames(gateway, &edge),
        inventory: workload.and_then(inventory),
    }
}

/// A replica that takes traffic has a connection. Where fewer than these have told of theirs, as after another instance
/// has begun to lead, the others are not known to have none.
fn connectors(workload: &WorkloadStatus) -> Option<Vec<ConnectedReplica>> {
    let told = &workload.connectors;
    let are_all = told.len() >= workload.ready as usize;
    are_all.then(|| told.iter().take(LISTED_CONNECTORS).cloned().collect())
}

fn inventory(workload: &WorkloadStatus) -> Option<Vec<ManagedObject>> {
    let objects = workload.objects.as_ref()?.iter();
    Some(objects.take(LISTED_OBJECTS).cloned().collect())
}

fn hostnames(gateway: &GatewayResolution, edge: &EdgeView<'_>) -> HostnameDetails {
    let key = &gateway.gateway.key;
    let certificates = Certificates::new(gateway, edge);
    let verdicts = gateway.hostnames.keys().map(|hostname| {
        let verdict = dns::of_hostname(hostname, key, edge);
        HostnameDetail {
            hostname: hostname.clone(),
            zone: edge.zone(hostname).map(|zone| zone.name.clone()),
            record: record(hostname, edge),
            certificate: certificates.of(hostname),
            truth: verdict.truth,
            reason: verdict.reason,
            message: match verdict.truth {
                Truth::True => String::new(),
                Truth::False | Truth::Unknown => shortened(&verdict.message),
            },
        }
    });
    let mut listed: Vec<HostnameDetail> = verdicts.collect();
    let total = listed.len();
    let is_applied = |it: &HostnameDetail| it.truth == Truth::True;
    let applied = listed.iter().filter(|it| is_applied(it)).count();
    // The order by name stays among those that are alike.
    listed.sort_by_key(is_applied);
    listed.truncate(LISTED_HOSTNAMES);
    HostnameDetails {
        total,
        applied,
        listed,
    }
}

fn record(hostname: &Hostname, edge: &EdgeView<'_>) -> Option<String> {
    let (Known::Now(outcome) | Known::Earlier(outcome, _)) = edge.outcome(hostname) else {
        return None;
    };
    match outcome {
        HostnameOutcome::Applied => {
            let address = edge.addresses().into_iter().next()?;
            Some(format!("CNAME {address}"))
        }
        HostnameOutcome::Conflict { found } | HostnameOutcome::Adoptable { found, .. } => {
            Some(shortened(found))
        }
        _ => None,
    }
}

fn shortened(message: &str) -> String {
    match message.char_indices().nth(LONGEST_MESSAGE) {
        None => message.to_owned(),
        Some(_) => {
            let kept = message.chars().take(LONGEST_MESSAGE - 1);
            kept.chain(['…']).collect()
        }
    }
}
