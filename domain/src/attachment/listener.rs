//! Listeners of one Gateway.

use std::collections::BTreeSet;

use super::tenancy::Tenancy;
use super::view::{
    Permission, Referrer, View, is_core, kind_text, not_granted, secret_ref, unreadable_grant,
};
use super::{ListenerResolution, Refusal, certificate, reserved};
use crate::gateway::{
    AllowedKind, FieldErrorKind, Gateway, GatewayPart, Listener, Protocol, RouteKind,
};
use crate::names::{Hostname, ObjectKey, ObjectRef};
use crate::status::Reason;

/// How many Secrets the listeners of one Gateway may name together. Each is read, and read again when it changes.
pub(super) const CERTIFICATES: usize = 64;

/// Judges every listener of a Gateway, in the order written. Routes are counted later.
pub(super) fn resolve_listeners(
    gateway: &Gateway,
    tenancy: &Tenancy<'_>,
    view: &View<'_>,
) -> Vec<ListenerResolution> {
    let listeners = gateway.listeners.iter().enumerate();
    let mut named = BTreeSet::new();
    listeners
        .map(|(index, listener)| {
            let indexed = IndexedListener {
                gateway,
                listener,
                index,
            };
            let conflict = indexed.conflict();
            let (supported_kinds, unknown_kinds) = indexed.kinds();
            let (certificates, mut unresolved) = indexed.certificates(&mut named, view);
            unresolved.extend(unknown_kinds);
            ListenerResolution {
                listener: listener.clone(),
                refusal: indexed
                    .refusal()
                    .or_else(|| indexed.not_permitted(tenancy))
                    .or_else(|| conflict.clone()),
                conflict,
                unresolved: Refusal::first_of(unresolved, &RESOLVED_REFS_ORDER),
                supported_kinds,
                attached_routes: 0,
                certificates,
            }
        })
        .collect()
}

/// Certificates come first: without them the listener serves nothing.
const RESOLVED_REFS_ORDER: [Reason; 3] = [
    Reason::RefNotPermitted,
    Reason::InvalidCertificateRef,
    Reason::InvalidRouteKinds,
];

/// A listener where it stands.
struct IndexedListener<'a> {
    gateway: &'a Gateway,
    listener: &'a Listener,
    index: usize,
}

impl IndexedListener<'_> {
    fn message(&self, field: &str, problem: &str) -> String {
        format!(
            "Gateway {}: spec.listeners[{}]{field} (listener {}): {problem}",
            self.gateway.key, self.index, self.listener.name
        )
    }

    fn refuse(&self, reason: Reason, field: &str, problem: &str) -> Refusal {
        Refusal::new(reason, self.message(field, problem))
    }

    /// Why this listener cannot be served, whatever the others are. TLS is terminated by Cloudflare's
    /// edge, so HTTPS needs no `tls`, and passing TLS through is impossible.
    fn refusal(&self) -> Option<Refusal> {
        let mut refusals: Vec<Refusal> = Vec::new();
        if let Protocol::Other(name) = &self.listener.protocol {
            let problem = format!("{name} is not served; use HTTPS or HTTP");
            refusals.push(self.refuse(Reason::UnsupportedProtocol, ".protocol", &problem));
        }
        match (&self.listener.tls, &self.listener.protocol) {
            (Some(_), Protocol::Http) => {
                let problem = "Forbidden: the protocol is HTTP; remove it or use HTTPS";
                refusals.push(self.refuse(Reason::Invalid, ".tls", problem));
            }
            (Some(tls), Protocol::Https) if !tls.terminates => {
                let problem = "only Terminate is served: Cloudflare's edge terminates TLS";
                refusals.push(self.refuse(Reason::UnsupportedValue, ".tls.mode", problem));
            }
            _ => {}
        }
        if let Some(problem) = self.listener.hostname.as_ref().and_then(reserved) {
            refusals.push(self.refuse(Reason::UnsupportedValue, ".hostname", &problem));
        }
        refusals.extend(self.listener.field_errors.iter().map(|(_, field_error)| {
            let reason = match field_error.kind {
                FieldErrorKind::Invalid => Reason::Invalid,
                FieldErrorKind::Unsupported => Reason::UnsupportedValue,
            };
            let message = format!("Gateway {}: {field_error}", self.gateway.key);
            Refusal::new(reason, message)
        }));
        let order = [
            Reason::UnsupportedProtocol,
            Reason::Invalid,
            Reason::UnsupportedValue,
        ];
        Refusal::first_of(refusals, &order)
    }

    /// Why the Gateway's namespace may not have the listener's hostname.
    fn not_permitted(&self, tenancy: &Tenancy<'_>) -> Option<Refusal> {
        let problem = tenancy.forbids(self.listener.hostname.as_ref()?)?;
        Some(self.refuse(Reason::HostnameNotPermitted, ".hostname", &problem))
    }

    /// Listeners that cannot be distinguished are all refused, there is no winner
    /// (Gateway API, `Gateway.spec.listeners`, "Distinct Listeners").
    fn conflict(&self) -> Option<Refusal> {
        if !takes_part_in_conflicts(self.listener) {
            return None;
        }
        let port = self.listener.port;
        let others = || {
            let listeners = self.gateway.listeners.iter().enumerate();
            listeners
                .filter(|(index, _)| *index != self.index)
                .map(|(_, other)| other)
                .filter(|other| other.port == port && takes_part_in_conflicts(other))
        };
        let other_protocol: Vec<&str> = others()
            .filter(|other| other.protocol != self.listener.protocol)
            .map(|other| other.name.as_str())
            .collect();
        if !other_protocol.is_empty() {
            let problem = format!(
                "HTTP and HTTPS cannot share port {port} with {}; give one of them another port",
                other_protocol.join(", ")
            );
            return Some(self.refuse(Reason::ProtocolConflict, ".protocol", &problem));
        }
        let same_hostname: Vec<&str> = others()
            .filter(|other| other.hostname == self.listener.hostname)
            .map(|other| other.name.as_str())
            .collect();
        if same_hostname.is_empty() {
            return None;
        }
        let problem = format!(
            "port {port} and hostname are the same as those of {}; keep one of them or change its hostname",
            same_hostname.join(", ")
        );
        Some(self.refuse(Reason::HostnameConflict, ".hostname", &problem))
    }

    /// Kinds that the listener takes, and why others do not count.
    fn kinds(&self) -> (Vec<RouteKind>, Option<Refusal>) {
        if matches!(self.listener.protocol, Protocol::Other(_)) {
            return (Vec::new(), None);
        }
        if self.listener.kinds.is_empty() {
            return (vec![RouteKind::Http, RouteKind::Grpc], None);
        }
        let mut supported = Vec::new();
        let mut unknown = Vec::new();
        for kind in &self.listener.kinds {
            match kind {
                AllowedKind::Route(kind) if supported.contains(kind) => {}
                AllowedKind::Route(kind) => supported.push(*kind),
                AllowedKind::Other(name) => unknown.push(name.as_str()),
            }
        }
        let refusal = (!unknown.is_empty()).then(|| {
            let problem = format!(
                "{} not served; name HTTPRoute or GRPCRoute of gateway.networking.k8s.io",
                unknown.join(", ")
            );
            self.refuse(Reason::InvalidRouteKinds, ".allowedRoutes.kinds", &problem)
        });
        (supported, refusal)
    }

    /// Certificates that the listener may refer to, and what is wrong with any. `named` are those of the Gateway so
    /// far.
    fn certificates(
        &self,
        named: &mut BTreeSet<ObjectKey>,
        view: &View<'_>,
    ) -> (Vec<ObjectRef>, Vec<Refusal>) {
        let written = self.listener.tls.iter().flat_map(|tls| &tls.certificates);
        let mut permitted = Vec::new();
        let mut refusals = Vec::new();
        for (i, target) in written.enumerate() {
            let field = format!(".tls.certificateRefs[{i}]");
            match self.certificate(target, view) {
                Ok(secret) if named.len() == CERTIFICATES && !named.contains(&secret.key) => {
                    refusals.push(self.too_many_certificates(&field, &secret));
                    break;
                }
                Ok(secret) => {
                    named.insert(secret.key.clone());
                    if let Some(problem) = certificate::problem(&secret, view) {
                        let reason = Reason::InvalidCertificateRef;
                        refusals.push(self.refuse(reason, &field, &problem));
                    }
                    permitted.push(secret);
                }
                Err((reason, problem)) => refusals.push(self.refuse(reason, &field, &problem)),
            }
        }
        (permitted, refusals)
    }

    fn too_many_certificates(&self, field: &str, secret: &ObjectRef) -> Refusal {
        let problem = format!(
            "Invalid value: {}: must not be named, because a Gateway may name {CERTIFICATES} Secrets and this would be one more; name fewer, or move listeners to another Gateway",
            secret.key
        );
        self.refuse(Reason::InvalidCertificateRef, field, &problem)
    }

    fn certificate(
        &self,
        target: &ObjectRef,
        view: &View<'_>,
    ) -> Result<ObjectRef, (Reason, String)> {
        if !is_core(target, "Secret") {
            let problem = format!(
                "{} is not served; name a Secret of the core group",
                kind_text(target)
            );
            return Err((Reason::InvalidCertificateRef, problem));
        }
        let secret = secret_ref(target.key.clone());
        let from = Referrer {
            kind: "Gateway",
            namespace: &self.gateway.key.namespace,
        };
        match view.permission(from, &secret) {
            Permission::Granted | Permission::Undecided => Ok(secret),
            Permission::Unreadable(grant) => {
                Err((Reason::RefNotPermitted, unreadable_grant(&secret, grant)))
            }
            Permission::Denied => Err((Reason::RefNotPermitted, not_granted(&secret, from))),
        }
    }
}

/// A listener with a protocol or a hostname that is not served opens nothing, so it takes nothing from
/// others.
fn takes_part_in_conflicts(listener: &Listener) -> bool {
    let reserved = listener.hostname.as_ref().and_then(Hostname::reserved);
    !matches!(listener.protocol, Protocol::Other(_))
        && reserved.is_none()
        && !listener
            .field_errors
            .iter()
            .any(|(part, _)| *part == GatewayPart::ListenerHostname)
}
