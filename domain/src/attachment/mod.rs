//! Which route attaches to which listener, and why not: the Gateway API's rules over one snapshot.
//!
//! [`resolve`] keeps a reason for everything it drops, so that a status is a projection of its result
//! ([`report`](crate::report)) and no path forgets a condition.
//!
//! - `certificate`: what listeners may refer to, and what of it the edge should show.
//! - `class`, `listener`, `gateway`: what of our classes, listeners and Gateways is accepted.
//! - `parameters`, `credentials`: what a Gateway says of itself beyond the API, and whose account it uses.
//! - `tenancy`: what the operator lets each namespace have.
//! - `parent`: which listeners a parentRef of a route names, and whether they take it.
//! - `paths`: which paths of its hostnames the dashboard shows.
//! - `patterns`: what the regular expressions of a Gateway's routes may take.
//! - `conflict`: HTTPRoute and GRPCRoute on one hostname.
//! - `validation`: what in a route cannot be served.
//! - `backend`: where its backends lead.
//! - `exposed`: Services that ask to be exposed, as routes.
//! - `assembly`: attaches each route to its parents, and fills in what follows for the Gateways.
//! - `view`: what all of them look up; `unread`: what could not be read; `retained`: which Gateways lose nothing by it.

mod assembly;
mod backend;
mod certificate;
mod class;
mod conflict;
mod credentials;
mod exposed;
mod gateway;
mod guard_rails;
mod listener;
mod parameters;
mod parent;
mod paths;
mod patterns;
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

use crate::edge::certificates::CertificateIntent;
use crate::edge::tunnel::DashboardPaths;
use crate::gateway::{Gateway, Listener, ParentRef, Reconciling, Route, RouteKind};
use crate::names::{Hostname, ObjectKey, ObjectRef, Timestamp};
use crate::route_table::RouteTable;
use crate::snapshot::{ClusterSnapshot, ObjectKind};
use crate::status::Reason;

use assembly::{Assembly, judged, settle};
use class::{JudgedClass, resolve_class};
use exposed::exposed;
use tenancy::Tenancies;
use unread::unread;
use view::{View, classes_of, gateways_of};

pub use credentials::{all_credentials_references, credentials_reference};
pub(crate) use gateway::refused_listeners;
pub use parameters::{GatewayDefaults, ParametersResolution, Uploads};
pub use retained::{Retained, retained, unread_claims};

/// Applies the Gateway API's rules to a snapshot. The order of objects in it does not matter.
pub fn resolve(
    snapshot: &ClusterSnapshot,
    controller: &str,
    defaults: &GatewayDefaults,
) -> Resolution {
    let view = View::new(snapshot);
    let classes: BTreeMap<&str, JudgedClass<'_>> = classes_of(snapshot, controller)
        .map(|class| (class.name.as_str(), resolve_class(class, &view, defaults)))
        .collect();
    let mut tenancies = Tenancies::new(&view, &classes);
    let mut over_limit = tenancies.over_limit(gateways_of(snapshot, controller));
    let mut gateways: BTreeMap<ObjectKey, GatewayResolution> = BTreeMap::new();
    for gateway in gateways_of(snapshot, controller) {
        let class = classes.get(gateway.class.as_str());
        let tenancy = tenancies.of(&gateway.class, &gateway.key.namespace);
        let over_limit = over_limit.remove(&gateway.key);
        let judged = judged(gateway, class, tenancy, over_limit, &view, defaults);
        gateways.insert(gateway.key.clone(), judged);
    }
    let exposed = exposed(&view, &classes);
    let routes = snapshot.routes.items().iter();
    let mut routes: Vec<&Arc<Route>> = routes.chain(&exposed.routes).collect();
    routes.sort_by_key(|route| (route.created, &route.key, route.kind, route.source));
    let mut assembly = Assembly::new(&gateways, &routes, tenancies, &view);
    let resolved = (0..routes.len()).map(|i| assembly.attach(i)).collect();
    let Assembly {
        backends, attached, ..
    } = assembly;
    for (key, gateway) in &mut gateways {
        let attached = attached.get(key).map_or(&[][..], Vec::as_slice);
        settle(gateway, attached, &routes, &backends, &view);
    }
    let classes = classes.into_iter();
    Resolution {
        classes: classes
            .map(|(name, class)| (name.to_owned(), class.resolution))
            .collect(),
        gateways: Arc::new(gateways),
        routes: resolved,
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

    /// Secrets that the verdicts depend on: credentials of classes and Gateways, and certificates of listeners as far
    /// as references to them are permitted. The source should follow these.
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
        credentials.chain(certificates).cloned().collect()
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
    /// In the order written.
    pub listeners: Vec<ListenerResolution>,
    /// Effective hostnames of accepted routes on listeners that serve, with the age of the oldest route
    /// that asks for each. Of a Gateway that is not served for now, those on its accepted listeners.
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
    /// Certificates that the edge should show; `None` where a Secret with one was not read.
    pub certificates: Option<BTreeSet<CertificateIntent>>,
    /// What its proxies need. Empty of listeners where none is accepted: then there is neither tunnel
    /// nor proxy.
    pub table: Arc<RouteTable>,
}

impl GatewayResolution {
    /// Whether it gets a tunnel and a proxy: accepted, with a valid listener, and not being deleted.
    pub fn is_served(&self) -> bool {
        self.refusal.is_none() && !self.gateway.deleting && !self.table.listeners.is_empty()
    }
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerResolution {
    pub listener: Listener,
    /// Why Accepted is False.
    pub refusal: Option<Refusal>,
    /// Why Conflicted is True.
    pub conflict: Option<Refusal>,
    /// Why ResolvedRefs is False.
    pub unresolved: Option<Refusal>,
    /// Kinds that it takes.
    pub supported_kinds: Vec<RouteKind>,
    /// Routes with Accepted=True on it; counted also where the listener itself is refused.
    pub attached_routes: u32,
    /// Certificate Secrets that it may refer to, whether they are there or not.
    pub certificates: Vec<ObjectRef>,
}

impl ListenerResolution {
    /// Whether it takes traffic: accepted, and every certificate resolves. A kind of route that is not
    /// served does not stop the others.
    pub fn is_served(&self) -> bool {
        self.refusal.is_none()
            && self
                .unresolved
                .as_ref()
                .is_none_or(|refusal| refusal.reason == Reason::InvalidRouteKinds)
    }
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteResolution {
    pub route: Arc<Route>,
    /// One for each parentRef that names a Gateway of ours, in the order written.
    pub parents: Vec<ParentResolution>,
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
    /// The Gateway that the reference leads to.
    pub gateway: ObjectKey,
    /// Why it is not accepted.
    pub refusal: Option<Refusal>,
    /// Why some of its hostnames are left out, though it is accepted.
    pub partly_refused: Option<Refusal>,
    /// Why ResolvedRefs is False.
    pub unresolved: Option<Refusal>,
    /// Names of the listeners it is attached to, in the order of the Gateway; empty where it is refused.
    pub listeners: Vec<String>,
    /// Effective hostnames on those of the listeners that serve, sorted; empty where it takes every name,
    /// or where none serves.
    pub hostnames: Vec<Hostname>,
}
