//! Certificates of listeners: what is wrong with one, and which of them the edge should show.

use std::collections::{BTreeMap, BTreeSet};

use super::conflict::AttachedRoutes;
use super::view::{Secret, View, out_of_reach};
use super::{GatewayResolution, ListenerResolution, Uploads};
use crate::certificate::{CERTIFICATE_KEY, PRIVATE_KEY_KEY, TlsPair};
use crate::edge::certificates::CertificateIntent;
use crate::gateway::Protocol;
use crate::names::{Hostname, ObjectKey, ObjectRef};

/// Why a listener cannot use a Secret. One that was not read yet refuses nothing.
pub(super) fn problem(secret: &ObjectRef, view: &View<'_>) -> Option<String> {
    match view.secret(&secret.key) {
        Secret::Unknown => None,
        Secret::OutOfReach => Some(out_of_reach(secret)),
        Secret::Missing => Some(format!("{secret} does not exist; create it")),
        Secret::Present(facts) => match &facts.tls {
            TlsPair::Usable(_) => None,
            TlsPair::Malformed(problem) => Some(format!("{secret}: {problem}")),
            TlsPair::Absent => Some(format!(
                "{secret} needs a certificate chain under {CERTIFICATE_KEY} and its key under {PRIVATE_KEY_KEY}, both in PEM"
            )),
        },
    }
}

/// Certificates of the HTTPS listeners that serve; `None` where a Secret was not read, so that nothing at
/// the edge is thought to be unwanted.
pub(super) fn wanted(
    gateway: &GatewayResolution,
    attached: &[AttachedRoutes],
    view: &View<'_>,
) -> Option<BTreeSet<CertificateIntent>> {
    let own = &gateway.gateway.key.namespace;
    let is_own = |found: &ListenerResolution| {
        let set = found.set.as_ref();
        set.is_none_or(|set| set.namespace == *own)
    };
    let mut wanted: BTreeMap<&ObjectKey, CertificateIntent> = BTreeMap::new();
    let listeners = gateway.listeners.iter().zip(attached);
    let https = listeners.filter(|(found, _)| {
        found.listener.protocol == Protocol::Https && may_upload(gateway, found)
    });
    for (found, attached) in https {
        for secret in &found.certificates {
            let facts = match view.secret(&secret.key) {
                Secret::Unknown => return None,
                Secret::Missing | Secret::OutOfReach => continue,
                Secret::Present(facts) => facts,
            };
            let (true, TlsPair::Usable(certificate)) = (found.is_served(), &facts.tls) else {
                continue;
            };
            let intent = wanted
                .entry(&secret.key)
                .or_insert_with(|| CertificateIntent {
                    secret: secret.key.clone(),
                    fingerprint: certificate.fingerprint.clone(),
                    names: certificate.names.clone(),
                    hosts: BTreeSet::new(),
                    // A ListenerSet of another namespace has no more names than its listeners.
                    any_name: gateway.parameters.uploads == Uploads::AnyName && is_own(found),
                });
            intent.hosts.extend(hosts(found, attached));
        }
    }
    Some(wanted.into_values().collect())
}

/// Whether the namespace that a listener is in may have certificates at the edge.
fn may_upload(gateway: &GatewayResolution, found: &ListenerResolution) -> bool {
    let Some(set) = &found.set else {
        return true;
    };
    let mut sets = gateway.listener_sets.iter();
    sets.any(|it| it.set.key == *set && it.may_upload)
}

/// The hostnames that a listener's certificate may be shown for: those of its routes. A wildcard counts only
/// where the listener is limited to a hostname, as the wildcard is then within it.
fn hosts(found: &ListenerResolution, attached: &AttachedRoutes) -> Vec<Hostname> {
    let has_hostname = found.listener.hostname.is_some();
    let hostnames = attached.routes().iter().flat_map(|route| &route.hostnames);
    let counting = hostnames.filter(|hostname| has_hostname || !hostname.is_wildcard());
    counting.cloned().collect()
}
