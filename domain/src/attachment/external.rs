//! Backends that are hosts outside of the cluster: XBackends, and Services of type ExternalName. Which of them a Gateway may
//! send requests to is said by the parameters of its GatewayClass.

use std::collections::{BTreeMap, BTreeSet};

use super::policy::PolicyResolution;
use super::view::View;
use super::{Refusal, listed};
use crate::gateway::{
    BackendKind, BackendName, EXPERIMENTAL_GROUP, EXTERNAL_BACKEND_KIND, ExternalBackend,
    ExternalHosts, PARAMETERS_KIND, not_external,
};
use crate::names::{Hostname, ObjectKey, ObjectRef};
use crate::route_table::UpstreamKey;
use crate::snapshot::{ClusterSnapshot, Outside};
use crate::status::Reason;

/// A reference of a route to a host outside of the cluster.
#[derive(Debug, Clone)]
pub(super) struct ExternalUse {
    pub(super) upstream: UpstreamKey,
    pub(super) hostname: Hostname,
    /// The route and the field, for messages.
    pub(super) place: String,
}

/// The host outside of the cluster that a backend stands for by this name; `None` where any name may be one. Where none may,
/// the reason is InvalidKind: such a backend is of a kind that is not served, and the API has no closer word.
pub(super) fn host(
    name: BackendName<'_>,
    written: &str,
    view: &View<'_>,
) -> Result<Option<Hostname>, Refusal> {
    match &view.snapshot.endpoint_rules.outside {
        Outside::Any => return Ok(Hostname::parse(written).ok()),
        Outside::No => {
            let message = format!(
                "{name} stands for a host outside of the cluster, which is not served here: use a Service with endpoints, or have the operator set endpoints.external_hosts"
            );
            return Err(Refusal::new(Reason::InvalidKind, message));
        }
        Outside::Permitted(_) => {}
    }
    let hostname = Hostname::parse(written.trim_end_matches('.'));
    let problem = match &hostname {
        Ok(hostname) => not_external(hostname),
        Err(_) => Some("it must be a hostname such as api.example.com, no address"),
    };
    match (hostname, problem) {
        (Ok(hostname), None) => Ok(Some(hostname)),
        (_, problem) => {
            let problem = problem.unwrap_or_default();
            let message = format!("{name}: Invalid value: {written:?}: {problem}");
            Err(Refusal::new(Reason::EndpointNotAllowed, message))
        }
    }
}

/// Why the Gateways of a class send no requests to what a backend stands for; `None` where they do, or where it stands for
/// no host outside of the cluster.
pub(super) fn refused(
    permitted: &[ExternalHosts],
    name: BackendName<'_>,
    view: &View<'_>,
) -> Option<Refusal> {
    let written = view.backends.find(name)?.external_name?;
    match host(name, written, view) {
        Ok(hostname) => refusal(permitted, name, &hostname?, view),
        Err(refusal) => Some(refusal),
    }
}

/// Why the Gateways of a class may not send requests to the host of a backend.
pub(super) fn refusal(
    permitted: &[ExternalHosts],
    name: BackendName<'_>,
    hostname: &Hostname,
    view: &View<'_>,
) -> Option<Refusal> {
    if view.snapshot.endpoint_rules.outside == Outside::Any {
        return None;
    }
    let namespace = &name.key.namespace;
    let labels = view.labels(namespace);
    for entry in permitted.iter().filter(|it| it.hostnames.allows(hostname)) {
        let is_selected = match labels {
            _ if entry.namespaces.rules.is_empty() => true,
            Some(labels) => entry.namespaces.selects(labels),
            None => match view.unread_namespace(namespace) {
                None => false,
                Some(why) => {
                    let message = format!(
                        "{name}: whether namespace {namespace} may have {hostname} depends on labels that are not known: {why}"
                    );
                    return Some(Refusal::new(Reason::Pending, message));
                }
            },
        };
        if is_selected {
            return None;
        }
    }
    let message = format!(
        "{name}: Forbidden: {hostname}: the GatewayClass does not permit this host to namespace {namespace}; ask whoever runs the cluster to list it in spec.externalHosts of the {PARAMETERS_KIND} that the GatewayClass names"
    );
    Some(Refusal::new(Reason::EndpointNotAllowed, message))
}

/// Why an XBackend is not accepted anywhere.
pub(super) fn invalid(backend: &ExternalBackend) -> Option<Refusal> {
    let mut field_errors = backend.field_errors.clone();
    field_errors.sort();
    if field_errors.is_empty() {
        return None;
    }
    let sentences = field_errors.iter().map(ToString::to_string);
    let message = format!(
        "{EXTERNAL_BACKEND_KIND} {}: {}",
        backend.key,
        listed(sentences)
    );
    Some(Refusal::new(Reason::Invalid, message))
}

/// For each XBackend, the Gateways with a route to it, and why they send it no requests.
pub(super) type Users = BTreeMap<ObjectKey, BTreeMap<ObjectKey, Option<Refusal>>>;

/// The XBackends of a snapshot. `tls` has those that are spoken to over TLS.
pub(super) fn resolved(
    snapshot: &ClusterSnapshot,
    tls: Vec<PolicyResolution>,
    mut users: Users,
) -> Vec<PolicyResolution> {
    let tls = tls.into_iter().map(|it| (it.policy.key.clone(), it));
    let mut tls: BTreeMap<ObjectKey, PolicyResolution> = tls.collect();
    let backends = snapshot.external_backends.items().iter();
    backends
        .map(|backend| {
            let of_tls = tls.remove(&backend.key);
            let of_tls = of_tls.unwrap_or_else(|| PolicyResolution {
                policy: reference(&backend.key),
                generation: backend.generation,
                refusal: None,
                references: None,
                warnings: Vec::new(),
                ancestors: BTreeSet::new(),
                refused_at: BTreeMap::new(),
                trusted: Vec::new(),
            });
            let users = users.remove(&backend.key).unwrap_or_default();
            PolicyResolution {
                refusal: invalid(backend).or(of_tls.refusal),
                ancestors: users.keys().cloned().collect(),
                refused_at: users
                    .into_iter()
                    .filter_map(|(gateway, refusal)| Some((gateway, refusal?)))
                    .collect(),
                ..of_tls
            }
        })
        .collect()
}

pub(super) fn reference(key: &ObjectKey) -> ObjectRef {
    ObjectRef {
        group: EXPERIMENTAL_GROUP.to_owned(),
        kind: EXTERNAL_BACKEND_KIND.to_owned(),
        key: key.clone(),
    }
}

/// Whether a reference is to an XBackend of another namespace, which no ReferenceGrant permits (GEP-4894).
pub(super) fn is_elsewhere(name: BackendName<'_>, namespace: &str) -> bool {
    name.kind == BackendKind::External && name.key.namespace != namespace
}
