//! Which route attaches to which listener, and why not: the Gateway API's rules over one snapshot.
//!
//! [`resolve`] keeps a reason for everything it drops, so that a status is a projection of its result
//! ([`report`](crate::report)) and no path forgets a condition.
//!
//! - `backend_tls`: how Services are spoken to over TLS.
//! - `policy_targets`: whether what such a policy is for is there; `policy_ancestors`: on how many Gateways it holds.
//! - `authorities`: references to certificate authorities.
//! - `backend_traffic`: how many retries they get, and whose visitors stay; `policy`: what both have in common.
//! - `certificate`: what listeners may refer to, and what of it the edge should show.
//! - `client_certificate`: what a Gateway shows to backends.
//! - `class`, `listener`, `gateway`: what of our classes, listeners and Gateways is accepted.
//! - `frontend`: what a Gateway asks of visitors.
//! - `address`: which of the addresses that a Gateway asks for it may have.
//! - `distinct`: listeners that cannot be told apart.
//! - `overlap`: HTTPS listeners of one port whose hostnames overlap.
//! - `listener_set`: which ListenerSets add listeners to a Gateway.
//! - `parameters`, `credentials`: what a Gateway says of itself beyond the API, and whose account it uses.
//! - `tenancy`: what the operator lets each namespace have.
//! - `namespaces`: whether a Gateway or a listener lets a namespace in.
//! - `parent`: which listeners a parentRef of a route names, and whether they take it.
//! - `paths`: which paths of its hostnames the dashboard shows.
//! - `patterns`: what the regular expressions of a Gateway's routes may take.
//! - `conflict`: HTTPRoute and GRPCRoute on one hostname.
//! - `validation`: what in a route cannot be served.
//! - `backend`: where its backends lead.
//! - `external`: hosts outside of the cluster as backends.
//! - `exposed`: Services that ask to be exposed, as routes.
//! - `assembly`: attaches each route to its parents, and fills in what follows for the Gateways.
//! - `view`: what all of them look up; `unread`: what could not be read; `retained`: which Gateways lose nothing by it.

mod address;
mod assembly;
mod authorities;
mod backend;
mod backend_tls;
mod backend_traffic;
mod certificate;
mod class;
mod client_certificate;
mod conflict;
mod credentials;
mod distinct;
mod exposed;
mod external;
mod frontend;
mod gateway;
mod guard_rails;
mod listener;
mod listener_set;
mod namespaces;
mod overlap;
mod parameters;
mod parent;
mod paths;
mod patterns;
mod policy;
mod policy_ancestors;
mod policy_targets;
mod records;
mod retained;
mod tenancy;
#[cfg(test)]
pub(crate) mod tests;
mod unread;
mod validation;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::capabilities::{DataPlaneKind, EdgeKind};
use crate::edge::certificates::CertificateIntent;
use crate::edge::tunnel::DashboardPaths;
use crate::gateway::{
    ApiKind, ExternalAuth, Gateway, Listener, ListenerSet, ParentRef, Reconciling, Route, RouteKind,
};
use crate::names::{Hostname, ObjectKey, ObjectRef, Timestamp};
use crate::route_table::{RouteTable, UpstreamKey};
use crate::snapshot::{ClusterSnapshot, ObjectKind, Reading};
use crate::status::Reason;

use assembly::{Assembly, judged, settle};
use backend::Policies;
use class::{JudgedClass, resolve_class};
use exposed::exposed;
use listener_set::ListenerSets;
use tenancy::Tenancies;
use unread::unread;
use validation::Validated;
use view::{View, classes_of, gateways_of};

pub use address::AddressResolution;
pub use client_certificate::ClientCertificateResolution;
pub use credentials::{all_credentials_references, credentials_reference};
pub use frontend::FrontendResolution;
pub(crate) use gateway::{refused_listeners, unserved_listeners};
pub use parameters::{GatewayDefaults, ParametersResolution, Uploads};
pub(crate) use policy::MOST_ANCESTORS;
pub use policy::PolicyResolution;
pub use retained::{Retained, retained, unread_claims};

/// Applies the Gateway API's rules to a snapshot. The order of objects in it does not matter.
pub fn resolve(
    snapshot: &ClusterSnapshot,
    controller: &str,
    defaults: &GatewayDefaults,
) -> Resolution {
    let view = View::new(snapshot, defaults.edge);
    let classes: BTreeMap<&str, JudgedClass<'_>> = classes_of(snapshot, controller)
        .map(|class| (class.name.as_str(), resolve_class(class, &view, defaults)))
        .collect();
    let mut tenancies = Tenancies::new(&view, &classes);
    let mut over_limit = tenancies.over_limit(gateways_of(snapshot, controller));
    let sets = ListenerSets::new(snapshot);
    let mut gateways: BTreeMap<ObjectKey, GatewayResolution> = BTreeMap::new();
    for gateway in gateways_of(snapshot, controller) {
        let class = classes.get(gateway.class.as_str());
        let tenancy = tenancies.of(&gateway.class, &gateway.key.namespace);
        let over_limit = over_limit.remove(&gateway.key);
        let mut judged = judged(gateway, class, tenancy, over_limit, &view, defaults);
        let tenancy = |namespace| tenancies.of(&gateway.class, namespace);
        judged.add_sets(sets.of(&gateway.key), tenancy, &view);
        gateways.insert(gateway.key.clone(), judged.resolution);
    }
    let exposed = exposed(&view, &classes);
    let routes = snapshot.routes.items().iter();
    let mut routes: Vec<&Arc<Route>> = routes.chain(&exposed.routes).collect();
    routes.sort_by_key(|route| (route.created, &route.key, route.kind, route.source));
    let validated = routes
        .into_iter()
        .map(|route| Validated::of(route, DataPlaneKind::Native));
    let validated: Vec<Validated> = validated.collect();
    let routes: Vec<&Arc<Route>> = validated.iter().map(|it| &it.route).collect();
    let mut assembly = Assembly::new(&gateways, &sets, &validated, tenancies, &view);
    let mut resolved: Vec<RouteResolution> =
        (0..routes.len()).map(|i| assembly.attach(i)).collect();
    let mut of_tls = assembly.ancestors(&resolved, |policies| &policies.tls);
    let of_traffic = assembly.ancestors(&resolved, |policies| &policies.traffic);
    let users = assembly.users_of_external(&resolved);
    let without_room = policy_ancestors::without_room(&mut of_tls, &gateways);
    let Assembly {
        backends, attached, ..
    } = assembly;
    policy_ancestors::tell(&mut resolved, &backends, &without_room, &view);
    for (key, gateway) in &mut gateways {
        let attached = attached.get(key).map_or(&[][..], Vec::as_slice);
        settle(gateway, attached, &routes, &backends, &without_room, &view);
    }
    let classes = classes.into_iter();
    let (inline, backend_tls) = view.tls.resolved(of_tls);
    Resolution {
        classes: classes
            .map(|(name, class)| (name.to_owned(), class.resolution))
            .collect(),
        gateways: Arc::new(gateways),
        routes: resolved,
        backend_tls,
        backend_traffic: view.traffic.resolved(of_traffic),
        external_backends: external::resolved(snapshot, inline, users),
        api_kinds: snapshot.api_kinds.clone(),
        refused_services: exposed.refused,
        unread: unread(snapshot, controller),
    }
}

/// A negative verdict: the condition's reason and its message. With [`Reason::Pending`] it is not decided
/// yet: nothing is attached, and the condition is Unknown, not False.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why, as a word.
    pub reason: Reason,
    /// Why, as a sentence that names object, field and remedy.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }

    /// One refusal for several: the reason that stands first in `order`, and all messages, those of that
    /// reason first. `None` where there is none.
    fn first_of(refusals: Vec<Self>, order: &[Reason]) -> Option<Self> {
        let rank = |refusal: &Self| {
            let place = order.iter().position(|reason| *reason == refusal.reason);
            place.unwrap_or(order.len())
        };
        let mut refusals = refusals;
        refusals.sort_by_key(rank);
        refusals.dedup();
        let reason = refusals.first()?.reason;
        let messages = refusals.into_iter().map(|refusal| refusal.message);
        Some(Self::new(reason, listed(messages)))
    }
}

/// Sentences in one message, at most [`LISTED`] of them: a condition's message is limited to 32,768
/// characters (Kubernetes `metav1.Condition`), and more is not readable.
pub(crate) fn listed(sentences: impl IntoIterator<Item = String>) -> String {
    let mut sentences = sentences.into_iter();
    let shown: Vec<String> = sentences.by_ref().take(LISTED).collect();
    let more = sentences.count();
    let text = shown.join("; ");
    if more == 0 {
        text
    } else {
        format!("{text}; and {more} more")
    }
}

/// Why a hostname cannot be published, if it is a reserved one.
fn reserved(hostname: &Hostname) -> Option<String> {
    let name = hostname.reserved()?;
    Some(format!(
        "Invalid value: {hostname}: must not be {name} or lie below it, because that name is reserved; use a hostname of a zone in your Cloudflare account"
    ))
}

/// How many sentences a message lists.
const LISTED: usize = 16;

/// Everything that follows from one snapshot for the classes of our controller.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolution {
    /// Our classes, by name.
    pub classes: BTreeMap<String, ClassResolution>,
    /// Gateways of our classes. Shared, because they outlive the rest.
    pub gateways: Arc<BTreeMap<ObjectKey, GatewayResolution>>,
    /// All routes, those of Services among them, oldest first. One without a parent among our Gateways has no parents here: it may have
    /// had one earlier, and the status of that must go.
    pub routes: Vec<RouteResolution>,
    /// All BackendTLSPolicies, the older ones first.
    pub backend_tls: Vec<PolicyResolution>,
    /// All XBackendTrafficPolicies, alike.
    pub backend_traffic: Vec<PolicyResolution>,
    /// All XBackends.
    pub external_backends: Vec<PolicyResolution>,
    /// The Gateway API's own kinds, as the cluster has them.
    pub api_kinds: Reading<Vec<ApiKind>>,
    /// Services that ask to be exposed and have no Gateway to go to.
    pub refused_services: Vec<RefusedService>,
    /// Kinds that could not be read and that the result depends on, with the reason. What is missing here
    /// because of them is unknown, not absent: see [`Resolution::is_complete`].
    pub unread: BTreeMap<ObjectKind, String>,
}

impl Resolution {
    /// Whether everything was read. From an incomplete resolution no route table may be published and no
    /// edge intent be made: what is there stays. Its statuses may be written, [`report`](crate::report::report) leaves out or
    /// calls Unknown what is not known.
    pub fn is_complete(&self) -> bool {
        self.unread.is_empty()
    }

    /// ConfigMaps and Secrets that the verdicts depend on: the Secrets of
    /// [`referenced_secrets`](Self::referenced_secrets), and where the certificate authorities are that routes of ours
    /// need. The source should follow these.
    pub fn referenced_objects(&self) -> BTreeSet<ObjectRef> {
        let secrets = self.referenced_secrets().into_iter();
        secrets.chain(self.trusted_objects()).collect()
    }

    /// ConfigMaps and Secrets with the certificate authorities that routes of ours need, and those for visitors.
    pub fn trusted_objects(&self) -> BTreeSet<ObjectRef> {
        let policies = self.backend_tls.iter().chain(&self.external_backends);
        let needed = policies.filter(|policy| !policy.ancestors.is_empty());
        let of_policies = needed.flat_map(|policy| &policy.trusted);
        let gateways = self.gateways.values();
        let of_gateways = gateways.flat_map(|gateway| &gateway.frontend.trusted);
        of_policies.chain(of_gateways).cloned().collect()
    }

    /// Secrets that the verdicts depend on: credentials of classes and Gateways, and certificates of listeners and towards
    /// backends as far as references to them are permitted.
    pub fn referenced_secrets(&self) -> BTreeSet<ObjectRef> {
        let of_classes = self.classes.values().flat_map(|class| &class.credentials);
        let gateways = self.gateways.values();
        let of_gateways = gateways.flat_map(|gateway| &gateway.parameters.credentials);
        let credentials = of_classes.chain(of_gateways);
        let certificates = self
            .gateways
            .values()
            .flat_map(|gateway| &gateway.listeners)
            .flat_map(|listener| &listener.certificates);
        let gateways = self.gateways.values();
        let shown = gateways.flat_map(|gateway| &gateway.client_certificate);
        let shown = shown.flat_map(|certificate| &certificate.secret);
        credentials
            .chain(certificates)
            .chain(shown)
            .cloned()
            .collect()
    }
}

/// A GatewayClass of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassResolution {
    pub generation: i64,
    /// The Secret with the credentials of its Gateways, where it or its parameters name one.
    pub credentials: Option<ObjectRef>,
    /// Fields of its parameters that are accepted and have no effect, as sentences.
    pub without_effect: Vec<String>,
    /// Why it is not accepted.
    pub refusal: Option<Refusal>,
}

/// A Gateway of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayResolution {
    pub gateway: Gateway,
    /// Why it is not accepted as a whole. Single bad listeners do not refuse it while a good one remains.
    pub refusal: Option<Refusal>,
    /// In the order of precedence: its own in the order written, then those of the ListenerSets that it lets in.
    pub listeners: Vec<ListenerResolution>,
    /// Addresses that it asks for, in the order written.
    pub addresses: Vec<AddressResolution>,
    /// The ListenerSets that name it, in the order of precedence.
    pub listener_sets: Vec<ListenerSetResolution>,
    /// Effective hostnames of accepted routes on listeners that serve, with the age of the oldest route
    /// that asks for each, and those that it asks for as addresses, with its own age. Of a Gateway that is not served for now, those on its accepted listeners.
    pub hostnames: BTreeMap<Hostname, Timestamp>,
    /// Paths of these that the dashboard shows.
    pub paths: DashboardPaths,
    /// What its parameters, or their defaults, say.
    pub parameters: ParametersResolution,
    /// Whether and when it is reconciled, as its annotations say.
    pub reconciling: Reconciling,
    /// The edition of the Secret with its credentials (see [`crate::snapshot::SecretFacts::edition`]); `None`
    /// where it names none or that one was not read.
    pub credentials: Option<u64>,
    /// The namespace of that Secret; `None` where it names none.
    pub credentials_namespace: Option<String>,
    /// What is before its proxies.
    pub edge: EdgeKind,
    /// Certificates that the edge should show; `None` where a Secret with one was not read.
    pub certificates: Option<BTreeSet<CertificateIntent>>,
    /// The certificate that is shown to backends; `None` where it names none.
    pub client_certificate: Option<ClientCertificateResolution>,
    /// What came of what it asks of visitors.
    pub frontend: FrontendResolution,
    /// Certificate authorities of its backends are about to be read for the first time: until then its table is not to be
    /// published, so that what is served stays.
    pub awaits_trust: bool,
    /// What its proxies need. Empty of listeners where none is accepted: then there is neither tunnel
    /// nor proxy.
    pub table: Arc<RouteTable>,
}

impl GatewayResolution {
    /// The listeners that stand in the Gateway itself.
    pub fn own_listeners(&self) -> &[ListenerResolution] {
        let listeners = self.listeners.iter();
        let own = listeners.take_while(|listener| listener.set.is_none());
        &self.listeners[..own.count()]
    }

    /// The listeners of one ListenerSet.
    pub fn listeners_of(&self, set: &ObjectKey) -> impl Iterator<Item = &ListenerResolution> {
        let listeners = self.listeners.iter();
        listeners.filter(move |listener| listener.set.as_ref() == Some(set))
    }

    /// Whether it gets a tunnel and a proxy: accepted, with a valid listener, and not being deleted.
    pub fn is_served(&self) -> bool {
        self.refusal.is_none() && !self.gateway.deleting && !self.table.listeners.is_empty()
    }
}

/// A ListenerSet that names a Gateway of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerSetResolution {
    pub set: ListenerSet,
    /// Whether the Gateway lets it in: then its listeners are among those of the Gateway, accepted or not.
    pub is_attached: bool,
    /// Whether its certificates may be uploaded where those of the Gateway are.
    pub may_upload: bool,
    /// Why it is not accepted, whatever the Gateway is.
    pub refusal: Option<Refusal>,
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerResolution {
    pub listener: Listener,
    /// The ListenerSet that it stands in; `None` where it is the Gateway.
    pub set: Option<ObjectKey>,
    /// Why Accepted is False.
    pub refusal: Option<Refusal>,
    /// Why Conflicted is True.
    pub conflict: Option<Refusal>,
    /// Why ResolvedRefs is False.
    pub unresolved: Option<Refusal>,
    /// Its filters, with where they lead.
    pub filters: Vec<ExternalAuth<UpstreamKey>>,
    /// The policies that are for where these lead.
    policies: Policies,
    /// Kinds that it takes.
    pub supported_kinds: Vec<RouteKind>,
    /// Certificate Secrets that it may refer to, whether they are there or not.
    pub certificates: Vec<ObjectRef>,
    /// Whether its references suffice to serve: each certificate resolves, and one of several certificate authorities.
    pub references_suffice: bool,
    /// Whether another accepted HTTPS listener of its port has a hostname that overlaps its own.
    pub overlaps: bool,
}

impl ListenerResolution {
    /// Its name among all listeners of the Gateway: for one of a ListenerSet with the namespace and name of that before
    /// it, as in `shop/web/https`. A name of a listener has no slash.
    pub fn id(&self) -> String {
        let name = &self.listener.name;
        match &self.set {
            Some(set) => format!("{}/{}/{name}", set.namespace, set.name),
            None => name.clone(),
        }
    }

    /// Whether it takes traffic: accepted, and every certificate resolves. A kind of route that is not
    /// served does not stop the others. With an authorizer that does not resolve it answers 500.
    pub fn is_served(&self) -> bool {
        self.refusal.is_none() && self.references_suffice
    }
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteResolution {
    pub route: Arc<Route>,
    /// One for each parentRef that leads to a Gateway of ours, in the order written.
    pub parents: Vec<ParentResolution>,
}

/// What BackendTLSPolicies say of the backends of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendTlsEffect {
    /// The policies that hold for one of them.
    pub policies: Vec<ObjectKey>,
    /// Why some of them cannot be spoken to over TLS as they must be, as a sentence.
    pub unusable: Option<String>,
}

/// A Service that asks to be exposed and has no Gateway to go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedService {
    pub service: ObjectKey,
    pub generation: i64,
    /// See [`Exposure::is_load_balancer`](crate::gateway::Exposure::is_load_balancer).
    pub is_load_balancer: bool,
    /// Why.
    pub refusal: Refusal,
}

/// A route at one of its parents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentResolution {
    pub parent: ParentRef,
    /// The Gateway that the reference leads to, itself or by way of a ListenerSet.
    pub gateway: ObjectKey,
    /// Why it is not accepted.
    pub refusal: Option<Refusal>,
    /// Why some of its rules are left out, though it is accepted.
    pub without_rules: Option<Refusal>,
    /// Why some of its hostnames are left out, though it is accepted.
    pub without_names: Option<Refusal>,
    /// Why ResolvedRefs is False.
    pub unresolved: Option<Refusal>,
    /// What BackendTLSPolicies say of its backends; `None` where there is none for them.
    pub backend_tls: Option<BackendTlsEffect>,
    /// Why some of its rules keep no session though they ask for it, as a sentence.
    pub lost_sessions: Option<String>,
    /// The listeners it is attached to ([`ListenerResolution::id`]), in the order of the Gateway; empty where it is
    /// refused.
    pub listeners: Vec<String>,
    /// Effective hostnames on those of the listeners that serve, sorted; empty where it takes every name,
    /// or where none serves.
    pub hostnames: Vec<Hostname>,
}
