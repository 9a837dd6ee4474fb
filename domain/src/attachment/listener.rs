//! Listeners of one Gateway, those of its ListenerSets among them.

use std::collections::{BTreeMap, BTreeSet};

use super::backend::{Policies, lead};
use super::distinct::{self, Taken};
use super::external;
use super::frontend::FrontendResolution;
use super::tenancy::Tenancy;
use super::view::{
    Permission, Referrer, View, is_core, kind_text, not_granted, secret_ref, unreadable_grant,
};
use super::{ListenerResolution, Refusal, certificate, reserved};
use crate::capabilities::EdgeKind;
use crate::gateway::{
    AllowedKind, ExternalAuth, ExternalHosts, FieldErrorKind, FilterRef, Gateway, GatewayPart,
    LISTENER_SET_KIND, Listener, ListenerSet, Protocol, RouteKind,
};
use crate::names::{ObjectKey, ObjectRef};
use crate::route_table::{Scheme, UpstreamKey};
use crate::status::Reason;

/// How many Secrets the listeners of one Gateway may name together, and those of the ListenerSets of one namespace. Each is read, and read again when it changes.
pub(super) const CERTIFICATES: usize = 64;

/// How many listeners the ListenerSets of one namespace may add to one Gateway.
const LISTENERS_OF_A_NAMESPACE: usize = 64;

/// How many listeners ListenerSets may add to one Gateway: those of many namespaces.
const LISTENERS_OF_SETS: usize = 4096;

/// The object that listeners stand in.
#[derive(Clone, Copy)]
pub(super) struct ListenerOwner<'a> {
    kind: &'static str,
    key: &'a ObjectKey,
    listeners: &'a [Listener],
    gateway: &'a Gateway,
    frontend: &'a FrontendResolution,
    /// The hosts outside of the cluster that the Gateway's class permits.
    permitted: &'a [ExternalHosts],
}

impl<'a> ListenerOwner<'a> {
    pub(super) fn set(
        set: &'a ListenerSet,
        gateway: &'a Gateway,
        (frontend, permitted): (&'a FrontendResolution, &'a [ExternalHosts]),
    ) -> Self {
        Self {
            kind: LISTENER_SET_KIND,
            key: &set.key,
            listeners: &set.listeners,
            gateway,
            frontend,
            permitted,
        }
    }

    fn gateway(
        gateway: &'a Gateway,
        (frontend, permitted): (&'a FrontendResolution, &'a [ExternalHosts]),
    ) -> Self {
        Self {
            kind: "Gateway",
            key: &gateway.key,
            listeners: &gateway.listeners,
            gateway,
            frontend,
            permitted,
        }
    }

    fn is_set(&self) -> bool {
        self.kind == LISTENER_SET_KIND
    }
}

/// Listeners of one Gateway that are judged so far, in the order of precedence. Routes are counted later.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub(super) listeners: Vec<ListenerResolution>,
    taken: Taken,
    /// Listeners of ListenerSets that were accepted, by namespace.
    accepted: BTreeMap<String, usize>,
    /// Secrets that the Gateway names.
    own_secrets: BTreeSet<ObjectKey>,
    /// Secrets that ListenerSets name, by namespace of these.
    secrets: BTreeMap<String, BTreeSet<ObjectKey>>,
}

impl Judged {
    /// The listeners of a Gateway itself.
    pub(super) fn of(
        gateway: &Gateway,
        leave: (&FrontendResolution, &[ExternalHosts]),
        tenancy: &Tenancy<'_>,
        view: &View<'_>,
    ) -> Self {
        let mut judged = Self::default();
        let owner = ListenerOwner::gateway(gateway, leave);
        judged.add(&owner, tenancy, view);
        gateway.listeners.iter().for_each(|it| judged.taken.add(it));
        judged
    }

    /// Judges every listener of an object, in the order written. `tenancy` is that of its namespace.
    pub(super) fn add(
        &mut self,
        owner: &ListenerOwner<'_>,
        tenancy: &Tenancy<'_>,
        view: &View<'_>,
    ) {
        let before = self.listeners.len();
        for (index, listener) in owner.listeners.iter().enumerate() {
            let indexed = IndexedListener {
                owner: *owner,
                listener,
                index,
            };
            let judged = self.judge(&indexed, tenancy, view);
            self.listeners.push(judged);
        }
        // Only now: among themselves none has precedence.
        for added in &self.listeners[before..] {
            if owner.is_set() && added.refusal.is_none() {
                self.taken.add(&added.listener);
            }
        }
    }

    fn judge(
        &mut self,
        indexed: &IndexedListener<'_>,
        tenancy: &Tenancy<'_>,
        view: &View<'_>,
    ) -> ListenerResolution {
        let owner = &indexed.owner;
        let conflict = indexed.conflict(&self.taken);
        let own = || indexed.refusal(view.edge);
        let refusal = match owner.is_set() {
            false => own()
                .or_else(|| indexed.not_permitted(tenancy))
                .or_else(|| conflict.clone()),
            // What somebody with precedence has is said first: without it nothing else would help.
            true => indexed
                .not_permitted(tenancy)
                .or_else(|| conflict.clone())
                .or_else(own)
                .or_else(|| self.too_many(indexed)),
        };
        let frontend = owner
            .frontend
            .of(owner.gateway, indexed.listener, !owner.is_set());
        let refusal = refusal.or(frontend.refusal);
        let (supported_kinds, unknown_kinds) = indexed.kinds(view.edge);
        let secrets = match owner.is_set() {
            false => &mut self.own_secrets,
            true => self.secrets.entry(owner.key.namespace.clone()).or_default(),
        };
        let (certificates, mut unresolved) = indexed.certificates(secrets, view);
        let references_suffice = unresolved.is_empty();
        unresolved.extend(frontend.unresolved);
        let mut policies = Policies::default();
        let (filters, lost) = indexed.filters(view, &mut policies);
        unresolved.extend(lost);
        unresolved.extend(unknown_kinds);
        ListenerResolution {
            listener: indexed.listener.clone(),
            set: owner.is_set().then(|| owner.key.clone()),
            refusal,
            conflict,
            unresolved: Refusal::first_of(unresolved, &RESOLVED_REFS_ORDER),
            filters,
            policies,
            supported_kinds,
            certificates,
            references_suffice,
            overlaps: false,
        }
    }

    /// Counts an accepted listener of a ListenerSet, or says why it is one too many. Those with precedence keep their
    /// place, and what one namespace has takes no room from another.
    fn too_many(&mut self, indexed: &IndexedListener<'_>) -> Option<Refusal> {
        let all: usize = self.accepted.values().sum();
        let namespace = &indexed.owner.key.namespace;
        let of_namespace = self.accepted.entry(namespace.clone()).or_default();
        let problem = if *of_namespace == LISTENERS_OF_A_NAMESPACE {
            format!(
                "Too many: the ListenerSets of one namespace may add {LISTENERS_OF_A_NAMESPACE} listeners to one Gateway, and there are as many with precedence; remove some, or use another Gateway"
            )
        } else if all == LISTENERS_OF_SETS {
            format!(
                "Too many: ListenerSets may add {LISTENERS_OF_SETS} listeners to one Gateway, and there are as many with precedence; use another Gateway"
            )
        } else {
            *of_namespace += 1;
            return None;
        };
        Some(indexed.refuse(Reason::TooManyListeners, "", &problem))
    }
}

const GRPC_NEEDS_TLS: &str =
    "gRPC needs HTTP/2, which Cloudflare takes over TLS only; use an HTTPS listener for GRPCRoutes";

/// Certificates come first: without them the listener serves nothing.
const RESOLVED_REFS_ORDER: [Reason; 7] = [
    Reason::RefNotPermitted,
    Reason::InvalidCertificateRef,
    Reason::InvalidCaCertificateKind,
    Reason::InvalidCaCertificateRef,
    Reason::InvalidListenerFilterRef,
    Reason::Pending,
    Reason::InvalidRouteKinds,
];

/// A listener where it stands.
struct IndexedListener<'a> {
    owner: ListenerOwner<'a>,
    listener: &'a Listener,
    index: usize,
}

impl IndexedListener<'_> {
    fn message(&self, field: &str, problem: &str) -> String {
        format!(
            "{} {}: spec.listeners[{}]{field} (listener {}): {problem}",
            self.owner.kind, self.owner.key, self.index, self.listener.name
        )
    }

    fn refuse(&self, reason: Reason, field: &str, problem: &str) -> Refusal {
        Refusal::new(reason, self.message(field, problem))
    }

    /// What it takes; `None` where the protocol is not served.
    fn scheme(&self) -> Option<Scheme> {
        match self.listener.protocol {
            Protocol::Http => Some(Scheme::Http),
            Protocol::Https => Some(Scheme::Https),
            Protocol::Other(_) => None,
        }
    }

    /// Why this listener cannot be served, whatever the others are. TLS is terminated by Cloudflare's
    /// edge, so HTTPS needs no `tls`, and passing TLS through is impossible.
    fn refusal(&self, edge: EdgeKind) -> Option<Refusal> {
        let mut refusals: Vec<Refusal> = Vec::new();
        if let Protocol::Other(name) = &self.listener.protocol {
            let problem = format!("{name} is not served; use HTTPS or HTTP");
            refusals.push(self.refuse(Reason::UnsupportedProtocol, ".protocol", &problem));
        }
        if !self.takes_grpc(edge) && self.listener.kinds == [AllowedKind::Route(RouteKind::Grpc)] {
            let problem = format!("Invalid value: HTTP: {GRPC_NEEDS_TLS}");
            refusals.push(self.refuse(Reason::UnsupportedProtocol, ".protocol", &problem));
        }
        refusals.extend(self.unavailable(edge));
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
        refusals.extend(
            self.listener
                .field_errors
                .iter()
                .map(|(part, field_error)| {
                    let reason = match (field_error.kind, part) {
                        (FieldErrorKind::Invalid, GatewayPart::ListenerFilters) => {
                            Reason::InvalidListenerFilter
                        }
                        (FieldErrorKind::Invalid, _) => Reason::Invalid,
                        (FieldErrorKind::Unsupported, _) => Reason::UnsupportedValue,
                    };
                    let message = format!("{} {}: {field_error}", self.owner.kind, self.owner.key);
                    Refusal::new(reason, message)
                }),
        );
        let order = [
            Reason::UnsupportedProtocol,
            Reason::PortUnavailable,
            Reason::Invalid,
            Reason::InvalidListenerFilter,
            Reason::UnsupportedValue,
        ];
        Refusal::first_of(refusals, &order)
    }

    /// Why no request comes in by its port. 0 stands for one that is a field error.
    fn unavailable(&self, edge: EdgeKind) -> Option<Refusal> {
        let (scheme, port) = (self.scheme()?, self.listener.port);
        if edge == EdgeKind::TellingArrival || port == 0 || scheme.ports().contains(&port) {
            return None;
        }
        let ports: Vec<String> = scheme.ports().iter().map(u16::to_string).collect();
        let problem = format!(
            "Invalid value: {port}: must be one of {}, because Cloudflare takes {} at no other port; use one of these",
            ports.join(", "),
            self.listener.protocol.as_str()
        );
        Some(self.refuse(Reason::PortUnavailable, ".port", &problem))
    }

    /// Whether gRPC comes in by it: Cloudflare's edge takes HTTP/2 over TLS only.
    fn takes_grpc(&self, edge: EdgeKind) -> bool {
        edge == EdgeKind::TellingArrival || self.scheme() == Some(Scheme::Https)
    }

    /// Why the namespace may not have the listener's hostname. A listener of a ListenerSet has every hostname of the
    /// Gateway where it names none, which others may be meant to have; of a Gateway all hostnames are its own.
    fn not_permitted(&self, tenancy: &Tenancy<'_>) -> Option<Refusal> {
        let problem = match &self.listener.hostname {
            Some(hostname) => tenancy.forbids(hostname)?,
            None if self.owner.is_set() => tenancy.forbids_every_name()?,
            None => return None,
        };
        Some(self.refuse(Reason::HostnameNotPermitted, ".hostname", &problem))
    }

    /// Why the listener conflicts with others.
    fn conflict(&self, taken: &Taken) -> Option<Refusal> {
        let with_precedence = match self.owner.is_set() {
            true => taken.conflict(self.listener),
            false => None,
        };
        let (reason, field, problem) =
            with_precedence.or_else(|| distinct::conflict(self.owner.listeners, self.index))?;
        Some(self.refuse(reason, field, &problem))
    }

    /// Kinds that the listener takes, and why others do not count.
    fn kinds(&self, edge: EdgeKind) -> (Vec<RouteKind>, Option<Refusal>) {
        if matches!(self.listener.protocol, Protocol::Other(_)) {
            return (Vec::new(), None);
        }
        let served: &[RouteKind] = match self.takes_grpc(edge) {
            true => &[RouteKind::Http, RouteKind::Grpc],
            false => &[RouteKind::Http],
        };
        if self.listener.kinds.is_empty() {
            return (served.to_vec(), None);
        }
        let mut supported = Vec::new();
        let mut unknown = Vec::new();
        for kind in &self.listener.kinds {
            match kind {
                AllowedKind::Route(kind) if supported.contains(kind) => {}
                AllowedKind::Route(kind) if served.contains(kind) => supported.push(*kind),
                AllowedKind::Route(kind) => unknown.push(kind.as_str()),
                AllowedKind::Other(name) => unknown.push(name.as_str()),
            }
        }
        let refusal = (!unknown.is_empty()).then(|| {
            let problem = match unknown.contains(&RouteKind::Grpc.as_str()) {
                true => format!("{} not served; {GRPC_NEEDS_TLS}", unknown.join(", ")),
                false => format!(
                    "{} not served; name HTTPRoute or GRPCRoute of gateway.networking.k8s.io",
                    unknown.join(", ")
                ),
            };
            self.refuse(Reason::InvalidRouteKinds, ".allowedRoutes.kinds", &problem)
        });
        (supported, refusal)
    }

    /// The filters with where they lead, and what is wrong with any. Adds the policies that are for it.
    fn filters(
        &self,
        view: &View<'_>,
        policies: &mut Policies,
    ) -> (Vec<ExternalAuth<UpstreamKey>>, Vec<Refusal>) {
        let mut refusals = Vec::new();
        let filters = self.listener.filters.iter().map(|filter| {
            filter.resolved(|to| {
                let (key, problem) = self.authorizer(to, view, policies);
                refusals.extend(problem.map(|(reason, text)| {
                    let reason = match reason {
                        Reason::RefNotPermitted | Reason::Pending => reason,
                        _ => Reason::InvalidListenerFilterRef,
                    };
                    let message = format!(
                        "{} {}: {} (listener {}): {text}",
                        self.owner.kind, self.owner.key, to.field, self.listener.name
                    );
                    Refusal::new(reason, message)
                }));
                key
            })
        });
        (filters.collect(), refusals)
    }

    /// Where a filter leads, and what is wrong with it.
    fn authorizer(
        &self,
        to: &FilterRef,
        view: &View<'_>,
        policies: &mut Policies,
    ) -> (Option<UpstreamKey>, Option<(Reason, String)>) {
        let from = Referrer {
            kind: self.owner.kind,
            namespace: &self.owner.key.namespace,
        };
        let lead = lead(from, (&to.target, to.port, to.spoken), view, policies);
        if let (Some(key), Some(hostname)) = (&lead.key, &lead.outside) {
            let permitted = self.owner.permitted;
            if let Some(why) = external::refusal(permitted, key.backend(), hostname, view) {
                return (None, Some((why.reason, why.message)));
            }
        }
        let problem = lead.problem.map(|problem| (problem.reason, problem.text));
        (lead.key, problem)
    }

    /// Certificates that the listener may refer to, and what is wrong with any. `named` are those so far of the Gateway,
    /// or of the ListenerSets of the same namespace.
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
        let who = match self.owner.is_set() {
            false => "a Gateway may name",
            true => "the ListenerSets of one namespace may name for one Gateway",
        };
        let problem = format!(
            "Invalid value: {}: must not be named, because {who} {CERTIFICATES} Secrets and this would be one more; name fewer, or move listeners to another Gateway",
            secret.key
        );
        self.refuse(Reason::InvalidCertificateRef, field, &problem)
    }

    fn certificate(
        &self,
        target: &ObjectRef,
        view: &View<'_>,
    ) -> Result<ObjectRef, (Reason, String)> {
        let is_secret = is_core(target, "Secret");
        let secret = secret_ref(target.key.clone());
        let referred = if is_secret { &secret } else { target };
        let from = Referrer {
            kind: self.owner.kind,
            namespace: &self.owner.key.namespace,
        };
        // Whether it is permitted is said first: of what is not, nothing else is told.
        match view.permission(from, referred) {
            Permission::Granted | Permission::Undecided => {}
            Permission::Unreadable(grant) => {
                return Err((Reason::RefNotPermitted, unreadable_grant(referred, grant)));
            }
            Permission::Denied => {
                return Err((Reason::RefNotPermitted, not_granted(referred, from)));
            }
        }
        if !is_secret {
            let problem = format!(
                "{} is not served; name a Secret of the core group",
                kind_text(target)
            );
            return Err((Reason::InvalidCertificateRef, problem));
        }
        Ok(secret)
    }
}
