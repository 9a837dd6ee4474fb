//! What the rules look up in a snapshot.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::backend_tls::{BackendTls, TlsVerdict};
use super::backend_traffic::BackendTraffic;
use crate::capabilities::EdgeKind;
use crate::gateway::{
    BackendName, GATEWAY_GROUP, Gateway, GatewayClass, ReferenceGrant, RoutingType,
};
use crate::names::{ObjectKey, ObjectRef};
use crate::route_table::{BackendIndex, Upstream, UpstreamKey};
use crate::snapshot::{ClusterSnapshot, Reading, SecretFacts};

/// A snapshot, indexed for the questions that the rules ask.
pub(super) struct View<'s> {
    pub(super) snapshot: &'s ClusterSnapshot,
    pub(super) backends: BackendIndex<'s>,
    pub(super) tls: BackendTls<'s>,
    pub(super) traffic: BackendTraffic<'s>,
    /// What is before the proxies.
    pub(super) edge: EdgeKind,
    grants: HashMap<&'s str, Vec<&'s ReferenceGrant>>,
    /// For a namespace, a grant in it that could not be read.
    unreadable_grants: HashMap<&'s str, &'s ObjectKey>,
    namespaces: HashMap<&'s str, &'s BTreeMap<String, String>>,
}

/// Who refers to an object: its kind (in the group of the Gateway API) and its namespace.
#[derive(Clone, Copy)]
pub(super) struct Referrer<'a> {
    pub(super) kind: &'a str,
    pub(super) namespace: &'a str,
}

/// Whether a reference is permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permission<'s> {
    Granted,
    Denied,
    /// This ReferenceGrant could not be read; no other grants it.
    Unreadable(&'s ObjectKey),
    /// ReferenceGrants could not be read.
    Undecided,
}

impl<'s> View<'s> {
    pub(super) fn new(snapshot: &'s ClusterSnapshot, edge: EdgeKind) -> Self {
        let mut grants: HashMap<_, Vec<_>> = HashMap::new();
        for grant in snapshot.grants.items() {
            let namespace = grant.key.namespace.as_str();
            grants.entry(namespace).or_default().push(grant);
        }
        let namespaces = snapshot.namespaces.items().iter();
        let backends = BackendIndex::new(snapshot);
        Self {
            snapshot,
            edge,
            tls: BackendTls::new(snapshot, &backends),
            traffic: BackendTraffic::new(snapshot),
            backends,
            grants,
            unreadable_grants: snapshot
                .unreadable
                .of_kind(GATEWAY_GROUP, "ReferenceGrant")
                .map(|(grant, _)| (grant.namespace.as_str(), grant))
                .collect(),
            namespaces: namespaces.map(|n| (n.name.as_str(), &n.labels)).collect(),
        }
    }

    /// Whether a port of a backend is spoken to over TLS.
    pub(super) fn tls_of(&self, name: BackendName<'_>, port: u16) -> TlsVerdict {
        self.tls.of(name, self.port_name(name, port))
    }

    /// The name of a port; empty where it has none.
    pub(super) fn port_name(&self, name: BackendName<'_>, port: u16) -> &'s str {
        let backend = self.backends.find(name);
        let declared = backend.and_then(|backend| backend.port(port));
        declared.map_or("", |declared| &declared.name)
    }

    /// What stands behind a port, with or without endpoints that drain. Where it is not known how that is to be
    /// spoken to, it has no endpoint.
    pub(super) fn upstream(
        &self,
        key: &UpstreamKey,
        has_draining: bool,
        routing: RoutingType,
    ) -> Upstream {
        let by_address = match routing {
            RoutingType::Service => self.backends.upstream_by_cluster_ip(key),
            RoutingType::Endpoint => None,
        };
        let mut upstream = by_address.unwrap_or_else(|| match has_draining {
            true => self.backends.upstream_with_sessions(key),
            false => self.backends.upstream(key),
        });
        let policy = self.traffic.of(key.backend());
        upstream.retries = policy.and_then(|policy| policy.retries);
        match self.tls_of(key.backend(), key.port) {
            TlsVerdict::ClearText => upstream,
            TlsVerdict::Tls(tls) => Upstream {
                tls: Some(tls),
                ..upstream
            },
            TlsVerdict::Awaited | TlsVerdict::Unusable(_) => Upstream::default(),
        }
    }

    /// Labels of a namespace that was read.
    pub(super) fn labels(&self, namespace: &str) -> Option<&'s BTreeMap<String, String>> {
        self.namespaces.get(namespace).copied()
    }

    /// Why a namespace without known labels may have some all the same.
    pub(super) fn unread_namespace(&self, namespace: &str) -> Option<&'s str> {
        let unreadable = &self.snapshot.unreadable;
        match &self.snapshot.namespaces {
            Reading::Unknown(why) => Some(why),
            Reading::Known(_) | Reading::Absent => unreadable.why(&namespace_ref(namespace)),
        }
    }

    /// A reference within a namespace needs no grant, one across namespaces needs one in the namespace
    /// referred to (Gateway API, ReferenceGrant).
    pub(super) fn permission(&self, from: Referrer<'_>, target: &ObjectRef) -> Permission<'s> {
        if from.namespace == target.key.namespace {
            return Permission::Granted;
        }
        if self.snapshot.grants.is_unknown() {
            return Permission::Undecided;
        }
        let grants = self.grants.get(target.key.namespace.as_str());
        let permitted = grants
            .into_iter()
            .flatten()
            .any(|grant| grant.permits(GATEWAY_GROUP, from.kind, from.namespace, target));
        let unreadable = || self.unreadable_grants.get(target.key.namespace.as_str());
        match permitted {
            true => Permission::Granted,
            false => unreadable().map_or(Permission::Denied, |grant| Permission::Unreadable(grant)),
        }
    }

    /// What is known of a Secret.
    pub(super) fn secret(&self, key: &ObjectKey) -> Secret<'s> {
        let namespaces = self.snapshot.secret_namespaces.as_ref();
        if namespaces.is_some_and(|namespaces| !namespaces.contains(&key.namespace)) {
            return Secret::OutOfReach;
        }
        match self.snapshot.secrets.get(&secret_ref(key.clone())) {
            Some(Reading::Known(facts)) => Secret::Present(facts),
            Some(Reading::Absent) => Secret::Missing,
            Some(Reading::Unknown(_)) | None => Secret::Unknown,
        }
    }
}

/// What is known of a Secret. One that was not followed yet is unknown.
pub(super) enum Secret<'s> {
    Present(&'s SecretFacts),
    Missing,
    /// Secrets of its namespace may not be read.
    OutOfReach,
    Unknown,
}

/// Why a reference counts as not permitted.
pub(super) fn unreadable_grant(target: &ObjectRef, grant: &ObjectKey) -> String {
    format!(
        "whether {target} may be referred to is not known, because ReferenceGrant {grant} cannot be read; write it anew"
    )
}

/// What permits a reference that is denied.
pub(super) fn not_granted(target: &ObjectRef, from: Referrer<'_>) -> String {
    format!(
        "{target} may not be referred to; add a ReferenceGrant in namespace {} from {} in namespace {} to {}",
        target.key.namespace, from.kind, from.namespace, target.kind
    )
}

/// Why a Secret cannot be used whose namespace may not be read.
pub(super) fn out_of_reach(secret: &ObjectRef) -> String {
    format!(
        "{secret}: Secrets of namespace {} are not read; add it to the setting secrets.namespaces, or keep the Secret in a namespace that is listed there",
        secret.key.namespace
    )
}

/// Whether a reference is to this kind of the core group, which may be written as nothing or as `core`.
pub(super) fn is_core(target: &ObjectRef, kind: &str) -> bool {
    matches!(target.group.as_str(), "" | "core") && target.kind == kind
}

/// A reference to a Secret, its group spelled as grants and sources spell it.
pub(super) fn secret_ref(key: ObjectKey) -> ObjectRef {
    ObjectRef {
        group: String::new(),
        kind: "Secret".to_owned(),
        key,
    }
}

pub(super) fn namespace_ref(name: &str) -> ObjectRef {
    ObjectRef {
        group: String::new(),
        kind: "Namespace".to_owned(),
        key: ObjectKey::new("", name),
    }
}

/// Group and kind of a reference, for messages.
pub(super) fn kind_text(target: &ObjectRef) -> String {
    if target.group.is_empty() {
        target.kind.clone()
    } else {
        format!("{}/{}", target.group, target.kind)
    }
}

/// Classes of a controller.
pub(super) fn classes_of<'s>(
    snapshot: &'s ClusterSnapshot,
    controller: &str,
) -> impl Iterator<Item = &'s GatewayClass> {
    let classes = snapshot.classes.items().iter();
    classes.filter(move |class| class.controller == controller)
}

/// Gateways of the classes of a controller.
pub(super) fn gateways_of<'s>(
    snapshot: &'s ClusterSnapshot,
    controller: &str,
) -> impl Iterator<Item = &'s Gateway> {
    let classes: HashSet<&str> = classes_of(snapshot, controller)
        .map(|class| class.name.as_str())
        .collect();
    let gateways = snapshot.gateways.items().iter();
    gateways.filter(move |gateway| classes.contains(gateway.class.as_str()))
}
