//! Clusters by intention. Names are written `namespace/name`; what a test does not say is as in the
//! smallest cluster that works.

use std::collections::BTreeMap;

use crate::attachment::{
    GatewayFacts, GatewayResolution, ListenerResolution, ParentResolution, Resolution, resolve,
};
use crate::edge::{EdgeError, EdgeErrorKind, EdgeStatus, HostnameOutcome, TunnelStatus};
use crate::gateway::{
    ACCOUNT_ID_KEY, API_TOKEN_KEY, AllowedKind, AllowedNamespaces, AppProtocol, BackendRef,
    CONTROLLER_NAME, Defect, DefectKind, Endpoint, EndpointHost, EndpointSlice, Filter,
    GATEWAY_GROUP, Gateway, GatewayClass, GrantFrom, GrantTo, Listener, ListenerTls, Namespace,
    ParentRef, PathMatch, Protocol, ReferenceGrant, Route, RouteKind, RouteMatch, Rule, Service,
    ServicePort,
};
use crate::names::{Hostname, ObjectKey, ObjectRef, Timestamp, TunnelId};
use crate::ports::WorkloadStatus;
use crate::snapshot::{ClusterSnapshot, Reading, SecretFacts};
use crate::status::{Condition, ConditionType, Reason, Truth};

pub(super) const EDGE: &str = "shop/edge";

/// What a message must say.
pub(super) type Words = &'static [&'static str];

/// A reason with what its message must say, or no refusal.
pub(super) type Expected = Option<(Reason, Words)>;

pub(super) fn key(text: &str) -> ObjectKey {
    let (namespace, name) = text.split_once('/').expect("namespace/name");
    ObjectKey::new(namespace, name)
}

pub(super) fn host(text: &str) -> Hostname {
    Hostname::parse(text).expect("a hostname")
}

pub(super) fn object(group: &str, kind: &str, name: &str) -> ObjectRef {
    ObjectRef {
        group: group.to_owned(),
        kind: kind.to_owned(),
        key: key(name),
    }
}

fn defect(field: &str, kind: DefectKind) -> Defect {
    Defect {
        field: field.to_owned(),
        kind,
        message: "cannot be acted upon".to_owned(),
    }
}

/// An object of a snapshot.
pub(super) enum Object {
    Class(GatewayClass),
    Gateway(Gateway),
    Route(Route),
    Service(Service),
    Slice(EndpointSlice),
    Grant(ReferenceGrant),
    Namespace(Namespace),
}

macro_rules! object {
    ($($type:ty => $variant:ident,)*) => {
        $(impl From<$type> for Object {
            fn from(value: $type) -> Self {
                Self::$variant(value)
            }
        })*
    };
}

object! {
    GatewayClass => Class,
    Gateway => Gateway,
    Route => Route,
    Service => Service,
    EndpointSlice => Slice,
    ReferenceGrant => Grant,
    Namespace => Namespace,
}

/// A cluster without any object.
pub(super) fn empty_cluster() -> ClusterSnapshot {
    ClusterSnapshot::default()
}

/// A cluster with our class, `cloudflare`.
pub(super) fn cluster() -> ClusterSnapshot {
    empty_cluster().with(class())
}

/// A cluster with Gateway `shop/edge` (one HTTPS listener `web` without a hostname) and Service
/// `shop/store` on port 80.
pub(super) fn shop() -> ClusterSnapshot {
    cluster()
        .with(gateway(EDGE).listening(https("web")))
        .with(service("shop/store").port(80))
}

fn add<T>(reading: &mut Reading<Vec<T>>, value: T) {
    match reading {
        Reading::Known(values) => values.push(value),
        Reading::Absent | Reading::Unknown(_) => *reading = Reading::Known(vec![value]),
    }
}

pub(super) trait ClusterFixture {
    fn with(self, object: impl Into<Object>) -> Self;
    fn secret(self, name: &str, keys: &[&str]) -> Self;
    fn secret_reading(self, name: &str, reading: Reading<SecretFacts>) -> Self;
    fn serving_external_names(self) -> Self;
}

impl ClusterFixture for ClusterSnapshot {
    fn with(mut self, object: impl Into<Object>) -> Self {
        match object.into() {
            Object::Class(class) => add(&mut self.classes, class),
            Object::Gateway(gateway) => add(&mut self.gateways, gateway),
            Object::Route(route) => add(&mut self.routes, route),
            Object::Service(service) => add(&mut self.services, service),
            Object::Slice(slice) => add(&mut self.endpoint_slices, slice),
            Object::Grant(grant) => add(&mut self.grants, grant),
            Object::Namespace(namespace) => add(&mut self.namespaces, namespace),
        }
        self
    }

    fn secret(self, name: &str, keys: &[&str]) -> Self {
        let keys = keys.iter().map(ToString::to_string).collect();
        self.secret_reading(name, Reading::Known(SecretFacts { keys }))
    }

    fn secret_reading(mut self, name: &str, reading: Reading<SecretFacts>) -> Self {
        self.secrets.insert(object("", "Secret", name), reading);
        self
    }

    fn serving_external_names(mut self) -> Self {
        self.external_names = true;
        self
    }
}

pub(super) const CREDENTIAL_KEYS: [&str; 2] = [API_TOKEN_KEY, ACCOUNT_ID_KEY];

/// Class `cloudflare` of our controller, without parameters.
pub(super) fn class() -> GatewayClass {
    GatewayClass {
        name: "cloudflare".to_owned(),
        generation: 3,
        controller: CONTROLLER_NAME.to_owned(),
        parameters: None,
        defects: Vec::new(),
    }
}

pub(super) trait ClassFixture {
    fn credentials(self, target: ObjectRef) -> Self;
    fn flawed(self, field: &str, kind: DefectKind) -> Self;
}

impl ClassFixture for GatewayClass {
    fn credentials(mut self, target: ObjectRef) -> Self {
        self.parameters = Some(target);
        self
    }

    fn flawed(mut self, field: &str, kind: DefectKind) -> Self {
        self.defects.push(defect(field, kind));
        self
    }
}

/// A Gateway of class `cloudflare` without listeners.
pub(super) fn gateway(name: &str) -> Gateway {
    Gateway {
        key: key(name),
        generation: 5,
        created: Timestamp(0),
        deleting: false,
        class: "cloudflare".to_owned(),
        listeners: Vec::new(),
        parameters: None,
        annotations: BTreeMap::new(),
        defects: Vec::new(),
    }
}

pub(super) trait GatewayFixture {
    fn listening(self, listener: Listener) -> Self;
    fn flawed(self, field: &str, kind: DefectKind) -> Self;
    fn parameters(self, target: ObjectRef) -> Self;
    fn deleting(self) -> Self;
}

impl GatewayFixture for Gateway {
    fn listening(mut self, listener: Listener) -> Self {
        self.listeners.push(listener);
        self
    }

    fn flawed(mut self, field: &str, kind: DefectKind) -> Self {
        self.defects.push(defect(field, kind));
        self
    }

    fn parameters(mut self, target: ObjectRef) -> Self {
        self.parameters = Some(target);
        self
    }

    fn deleting(mut self) -> Self {
        self.deleting = true;
        self
    }
}

/// An HTTPS listener on port 443 without `tls`, open to its own namespace.
pub(super) fn https(name: &str) -> Listener {
    listener(name, Protocol::Https, 443)
}

/// An HTTP listener on port 80, open to its own namespace.
pub(super) fn http(name: &str) -> Listener {
    listener(name, Protocol::Http, 80)
}

pub(super) fn listener(name: &str, protocol: Protocol, port: u16) -> Listener {
    Listener {
        name: name.to_owned(),
        hostname: None,
        port,
        protocol,
        tls: None,
        namespaces: AllowedNamespaces::Same,
        kinds: Vec::new(),
        defects: Vec::new(),
    }
}

pub(super) trait ListenerFixture {
    fn named(self, hostname: &str) -> Self;
    fn on(self, port: u16) -> Self;
    fn open_to(self, namespaces: AllowedNamespaces) -> Self;
    fn taking(self, kind: AllowedKind) -> Self;
    fn certificate(self, target: ObjectRef) -> Self;
    fn passing_tls_through(self) -> Self;
    fn flawed(self, field: &str, kind: DefectKind) -> Self;
}

impl ListenerFixture for Listener {
    fn named(mut self, hostname: &str) -> Self {
        self.hostname = Some(host(hostname));
        self
    }

    fn on(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    fn open_to(mut self, namespaces: AllowedNamespaces) -> Self {
        self.namespaces = namespaces;
        self
    }

    fn taking(mut self, kind: AllowedKind) -> Self {
        self.kinds.push(kind);
        self
    }

    fn certificate(mut self, target: ObjectRef) -> Self {
        let tls = self.tls.get_or_insert(ListenerTls {
            terminates: true,
            certificates: Vec::new(),
        });
        tls.certificates.push(target);
        self
    }

    fn passing_tls_through(mut self) -> Self {
        self.tls = Some(ListenerTls {
            terminates: false,
            certificates: Vec::new(),
        });
        self
    }

    fn flawed(mut self, field: &str, kind: DefectKind) -> Self {
        self.defects.push(defect(field, kind));
        self
    }
}

/// An HTTPRoute without parents, with one rule for `/` without backends.
pub(super) fn http_route(name: &str) -> Route {
    route(RouteKind::Http, name)
}

/// A GRPCRoute without parents, with one rule for everything without backends.
pub(super) fn grpc_route(name: &str) -> Route {
    route(RouteKind::Grpc, name)
}

fn route(kind: RouteKind, name: &str) -> Route {
    Route {
        kind,
        key: key(name),
        generation: 7,
        created: Timestamp(100),
        parents: Vec::new(),
        hostnames: Vec::new(),
        rules: vec![rule(PathMatch::Prefix("/".to_owned()))],
        defects: Vec::new(),
    }
}

pub(super) fn rule(path: PathMatch) -> Rule {
    Rule {
        matches: vec![path_match(path)],
        filters: Vec::new(),
        backends: Vec::new(),
    }
}

pub(super) fn path_match(path: PathMatch) -> RouteMatch {
    RouteMatch {
        path,
        method: None,
        headers: Vec::new(),
        query: Vec::new(),
    }
}

pub(super) fn parent(gateway: &str) -> ParentRef {
    ParentRef {
        target: object(GATEWAY_GROUP, "Gateway", gateway),
        namespace_written: true,
        section: None,
        port: None,
    }
}

pub(super) trait RouteFixture {
    fn to(self, gateway: &str) -> Self;
    fn to_section(self, gateway: &str, section: &str) -> Self;
    fn through(self, parent: ParentRef) -> Self;
    fn named(self, hostname: &str) -> Self;
    fn born(self, second: i64) -> Self;
    fn rule(self, rule: Rule) -> Self;
    fn filter(self, filter: Filter) -> Self;
    fn backend(self, service: &str, port: u16) -> Self;
    fn backend_ref(self, target: ObjectRef, port: Option<u16>) -> Self;
    fn flawed(self, field: &str, kind: DefectKind) -> Self;
}

impl RouteFixture for Route {
    fn to(self, gateway: &str) -> Self {
        self.through(parent(gateway))
    }

    fn to_section(self, gateway: &str, section: &str) -> Self {
        let section = Some(section.to_owned());
        self.through(ParentRef {
            section,
            ..parent(gateway)
        })
    }

    fn through(mut self, parent: ParentRef) -> Self {
        self.parents.push(parent);
        self
    }

    fn named(mut self, hostname: &str) -> Self {
        self.hostnames.push(host(hostname));
        self
    }

    fn born(mut self, second: i64) -> Self {
        self.created = Timestamp(second);
        self
    }

    fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    fn filter(mut self, filter: Filter) -> Self {
        let rule = self.rules.last_mut().expect("a rule");
        rule.filters.push(filter);
        self
    }

    fn backend(self, service: &str, port: u16) -> Self {
        self.backend_ref(object("", "Service", service), Some(port))
    }

    fn backend_ref(mut self, target: ObjectRef, port: Option<u16>) -> Self {
        let index = self.rules.len() - 1;
        let rule = self.rules.last_mut().expect("a rule");
        rule.backends.push(BackendRef {
            target,
            port,
            weight: 1,
            field: format!("spec.rules[{index}].backendRefs[{}]", rule.backends.len()),
        });
        self
    }

    fn flawed(mut self, field: &str, kind: DefectKind) -> Self {
        self.defects.push(defect(field, kind));
        self
    }
}

pub(super) fn service(name: &str) -> Service {
    Service {
        key: key(name),
        ports: Vec::new(),
        external_name: None,
    }
}

pub(super) trait ServiceFixture {
    fn port(self, port: u16) -> Self;
    fn named_port(self, name: &str, port: u16) -> Self;
    fn speaking(self, protocol: AppProtocol) -> Self;
    fn external(self, name: &str) -> Self;
}

impl ServiceFixture for Service {
    fn port(self, port: u16) -> Self {
        self.named_port("", port)
    }

    fn named_port(mut self, name: &str, port: u16) -> Self {
        self.ports.push(ServicePort {
            name: name.to_owned(),
            port,
            protocol: AppProtocol::Http1,
        });
        self
    }

    fn speaking(mut self, protocol: AppProtocol) -> Self {
        self.ports.last_mut().expect("a port").protocol = protocol;
        self
    }

    fn external(mut self, name: &str) -> Self {
        self.external_name = Some(name.to_owned());
        self
    }
}

/// A slice of the Service of the same name.
pub(super) fn slice(service: &str, suffix: &str) -> EndpointSlice {
    let service = key(service);
    EndpointSlice {
        key: ObjectKey::new(service.namespace, format!("{}-{suffix}", service.name)),
        service: service.name,
        ports: BTreeMap::new(),
        endpoints: Vec::new(),
    }
}

pub(super) trait SliceFixture {
    fn port(self, name: &str, target: u16) -> Self;
    fn ready(self, address: &str) -> Self;
    fn terminating(self, address: &str) -> Self;
    fn unready(self, address: &str) -> Self;
}

fn endpoint(address: &str, ready: bool, serving: bool) -> Endpoint {
    Endpoint {
        host: EndpointHost::Address(address.parse().expect("an address")),
        ready,
        serving,
    }
}

impl SliceFixture for EndpointSlice {
    fn port(mut self, name: &str, target: u16) -> Self {
        self.ports.insert(name.to_owned(), target);
        self
    }

    fn ready(mut self, address: &str) -> Self {
        self.endpoints.push(endpoint(address, true, true));
        self
    }

    fn terminating(mut self, address: &str) -> Self {
        self.endpoints.push(endpoint(address, false, true));
        self
    }

    fn unready(mut self, address: &str) -> Self {
        self.endpoints.push(endpoint(address, false, false));
        self
    }
}

/// A grant in `namespace` to objects of `to_kind` (core group), from `from_kind` in `from_namespace`.
pub(super) fn grant(
    namespace: &str,
    (from_kind, from_namespace): (&str, &str),
    (to_kind, name): (&str, Option<&str>),
) -> ReferenceGrant {
    ReferenceGrant {
        key: ObjectKey::new(namespace, "grant"),
        from: vec![GrantFrom {
            group: GATEWAY_GROUP.to_owned(),
            kind: from_kind.to_owned(),
            namespace: from_namespace.to_owned(),
        }],
        to: vec![GrantTo {
            group: String::new(),
            kind: to_kind.to_owned(),
            name: name.map(str::to_owned),
        }],
    }
}

pub(super) fn namespace(name: &str, labels: &[(&str, &str)]) -> Namespace {
    let labels = labels.iter();
    Namespace {
        name: name.to_owned(),
        labels: labels
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
    }
}

pub(super) fn resolved(cluster: &ClusterSnapshot) -> Resolution {
    resolve(cluster, CONTROLLER_NAME)
}

pub(super) trait ResolutionFixture {
    fn gateway(&self, name: &str) -> &GatewayResolution;
    fn listener(&self, name: &str) -> &ListenerResolution;
    /// Parents of the only route of that name.
    fn parents(&self, route: &str) -> &[ParentResolution];
    /// Why the first parent of a route is refused.
    fn refused(&self, route: &str) -> Option<(Reason, String)>;
    /// Why ResolvedRefs of a route is False.
    fn unresolved(&self, route: &str) -> Option<(Reason, String)>;
}

impl ResolutionFixture for Resolution {
    fn gateway(&self, name: &str) -> &GatewayResolution {
        &self.gateways[&key(name)]
    }

    fn listener(&self, name: &str) -> &ListenerResolution {
        let mut listeners = self.gateway(EDGE).listeners.iter();
        listeners
            .find(|listener| listener.listener.name == name)
            .expect("a listener of that name")
    }

    fn parents(&self, route: &str) -> &[ParentResolution] {
        let mut routes = self.routes.iter();
        let route = routes.find(|r| r.route.key == key(route));
        &route.expect("a route of that name").parents
    }

    fn refused(&self, route: &str) -> Option<(Reason, String)> {
        let refusal = self.parents(route)[0].refusal.clone();
        refusal.map(|refusal| (refusal.reason, refusal.message))
    }

    fn unresolved(&self, route: &str) -> Option<(Reason, String)> {
        let refusal = self.parents(route)[0].unresolved.clone();
        refusal.map(|refusal| (refusal.reason, refusal.message))
    }
}

/// Fails unless the verdict has the reason and its message every word.
#[track_caller]
pub(super) fn assert_verdict(given: &str, verdict: Option<(Reason, String)>, expected: Expected) {
    let reason = verdict.as_ref().map(|(reason, _)| *reason);
    assert_eq!(
        reason,
        expected.map(|(reason, _)| reason),
        "{given}: {verdict:?}"
    );
    if let (Some((_, message)), Some((_, words))) = (verdict, expected) {
        for word in words {
            assert!(message.contains(word), "{given}: {word:?} in {message:?}");
        }
    }
}

/// A tunnel with one ready replica, and these outcomes.
pub(super) fn serving(outcomes: &[(&str, HostnameOutcome)]) -> GatewayFacts {
    GatewayFacts {
        edge: Some(Ok(edge_status(outcomes))),
        last_known: None,
        workload: WorkloadStatus {
            ready: 1,
            problems: Vec::new(),
        },
    }
}

pub(super) fn edge_status(outcomes: &[(&str, HostnameOutcome)]) -> EdgeStatus {
    let id = TunnelId::from_bytes([7; 16]);
    EdgeStatus {
        tunnels: vec![TunnelStatus {
            id,
            address: id.address(),
        }],
        hostnames: outcomes
            .iter()
            .map(|(name, outcome)| (host(name), outcome.clone()))
            .collect(),
        ..EdgeStatus::default()
    }
}

pub(super) fn edge_error(kind: EdgeErrorKind) -> EdgeError {
    EdgeError::new(kind, "the edge says so")
}

/// Facts of Gateway `shop/edge` only.
pub(super) fn facts(facts: GatewayFacts) -> BTreeMap<ObjectKey, GatewayFacts> {
    BTreeMap::from([(key(EDGE), facts)])
}

#[track_caller]
pub(super) fn condition(conditions: &[Condition], kind: ConditionType) -> &Condition {
    let mut found = conditions.iter().filter(|condition| condition.kind == kind);
    let condition = found.next();
    assert!(found.next().is_none(), "{kind:?} twice in {conditions:?}");
    condition.unwrap_or_else(|| panic!("no {kind:?} in {conditions:?}"))
}

/// Truth and reason of a condition.
#[track_caller]
pub(super) fn verdict(conditions: &[Condition], kind: ConditionType) -> (Truth, Reason) {
    let condition = condition(conditions, kind);
    (condition.truth, condition.reason)
}
