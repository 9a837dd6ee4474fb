//! Services that ask to be exposed, as routes to the default Gateway of a class.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::class::JudgedClass;
use super::view::View;
use super::{ClassResolution, Refusal, RefusedService};
use crate::gateway::{
    BackendRef, Exposure, GATEWAY_GROUP, Gateway, PARAMETERS_KIND, PORT_ANNOTATION, ParentRef,
    PathMatch, PatternRoom, Route, RouteKind, RouteMatch, RouteSource, Rule, RulePolicy, Service,
    ServiceParameters,
};
use crate::names::{ObjectKey, ObjectRef};
use crate::status::Reason;

/// What the Services that ask come to.
#[derive(Debug, Default)]
pub(super) struct Exposed {
    pub(super) routes: Vec<Arc<Route>>,
    /// Those without a Gateway to go to.
    pub(super) refused: Vec<RefusedService>,
}

/// Where Services of a class go.
struct Place<'s> {
    class: &'s str,
    parameters: &'s ObjectKey,
    said: &'s ServiceParameters,
}

/// Makes a route of each Service that asks and may. Its Gateway is that of the first class, by name, that selects its
/// namespace.
pub(super) fn exposed<'s>(
    view: &View<'s>,
    classes: &BTreeMap<&'s str, JudgedClass<'s>>,
) -> Exposed {
    let services = view.snapshot.services.items().iter();
    let mut asking = services
        .filter_map(|service| Some((service, service.exposure.as_deref()?)))
        .peekable();
    let mut exposed = Exposed::default();
    if asking.peek().is_none() {
        return exposed;
    }
    let places: Vec<Place<'_>> = classes
        .iter()
        .filter_map(|(class, judged)| {
            let parameters = judged.parameters?;
            Some(Place {
                class,
                parameters: &parameters.key,
                said: parameters.services.as_ref()?,
            })
        })
        .collect();
    let mut classes = classes.values().map(|class| &class.resolution);
    let pending = classes.find_map(pending);
    let gateways = view.snapshot.gateways.items().iter();
    let gateways: BTreeMap<&ObjectKey, &Gateway> = gateways.map(|g| (&g.key, g)).collect();
    for (service, exposure) in asking {
        match gateway_for(service, &places, pending, &gateways, view) {
            Ok(gateway) => exposed
                .routes
                .push(Arc::new(route(service, exposure, gateway))),
            Err((reason, problem)) => exposed.refused.push(RefusedService {
                service: service.key.clone(),
                generation: exposure.generation,
                is_load_balancer: exposure.is_load_balancer,
                refusal: Refusal::new(reason, format!("Service {}: {problem}", service.key)),
            }),
        }
    }
    exposed
}

/// Why it is not known yet what a class says.
fn pending(class: &ClassResolution) -> Option<&str> {
    let refusal = class.refusal.as_ref();
    let refusal = refusal.filter(|refusal| refusal.reason == Reason::Pending);
    refusal.map(|refusal| refusal.message.as_str())
}

fn gateway_for<'s>(
    service: &Service,
    places: &[Place<'s>],
    pending: Option<&str>,
    gateways: &BTreeMap<&ObjectKey, &Gateway>,
    view: &View<'_>,
) -> Result<&'s ObjectKey, (Reason, String)> {
    let namespace = &service.key.namespace;
    for place in places {
        let is_selected = match &place.said.namespaces {
            None => *namespace == place.said.gateway.namespace,
            Some(selector) if selector.rules.is_empty() => true,
            Some(selector) => match (view.labels(namespace), view.unread_namespace(namespace)) {
                (Some(labels), _) => selector.selects(labels),
                (None, None) => false,
                (None, Some(why)) => {
                    let problem = format!(
                        "whether its namespace may expose Services depends on labels that are not known: {why}"
                    );
                    return Err((Reason::Pending, problem));
                }
            },
        };
        if is_selected {
            return place.gateway(gateways, view);
        }
    }
    Err(match (pending, places) {
        (Some(why), _) => (Reason::Pending, why.to_owned()),
        (None, []) => (
            Reason::NoMatchingParent,
            format!(
                "no GatewayClass has a default Gateway for Services; ask whoever runs the cluster to set spec.services.gateway in the {PARAMETERS_KIND} that a GatewayClass names"
            ),
        ),
        (None, [place, ..]) => (
            Reason::NamespaceNotPermitted,
            format!(
                "metadata.namespace: Forbidden: {namespace}: Services of this namespace are not exposed; ask whoever runs the cluster to have it selected by spec.services.namespaceSelector of {PARAMETERS_KIND} {}, or make an HTTPRoute",
                place.parameters
            ),
        ),
    })
}

impl<'s> Place<'s> {
    /// The Gateway must be of the class: where the parameters cannot be read, the Gateways of their class are those that
    /// lose nothing.
    fn gateway(
        &self,
        gateways: &BTreeMap<&ObjectKey, &Gateway>,
        view: &View<'_>,
    ) -> Result<&'s ObjectKey, (Reason, String)> {
        let key = &self.said.gateway;
        let field = format!(
            "spec.services.gateway of {PARAMETERS_KIND} {}",
            self.parameters
        );
        match gateways.get(key) {
            Some(gateway) if gateway.class == self.class => Ok(key),
            Some(_) => Err((
                Reason::NoMatchingParent,
                format!(
                    "{field}: Invalid value: {key}: must be a Gateway of GatewayClass {}; ask whoever runs the cluster to name one",
                    self.class
                ),
            )),
            None => match view.snapshot.unreadable.why(&gateway_ref(key)) {
                Some(why) => Err((
                    Reason::Pending,
                    format!("{field}: Gateway {key} could not be read: {why}"),
                )),
                None => Err((
                    Reason::NoMatchingParent,
                    format!(
                        "{field}: Not found: Gateway {key}; ask whoever runs the cluster to create it"
                    ),
                )),
            },
        }
    }
}

fn gateway_ref(key: &ObjectKey) -> ObjectRef {
    ObjectRef {
        group: GATEWAY_GROUP.to_owned(),
        kind: "Gateway".to_owned(),
        key: key.clone(),
    }
}

/// Every request for one of the hostnames goes to the Service.
fn route(service: &Service, exposure: &Exposure, gateway: &ObjectKey) -> Route {
    let everything = RouteMatch {
        path: PathMatch::Prefix("/".to_owned()),
        method: None,
        headers: Vec::new(),
        query: Vec::new(),
    };
    let backend = BackendRef {
        target: ObjectRef {
            group: String::new(),
            kind: "Service".to_owned(),
            key: service.key.clone(),
        },
        port: exposure.port,
        weight: 1,
        filters: Vec::new(),
        field: format!("metadata.annotations[{PORT_ANNOTATION}]"),
    };
    Route {
        kind: RouteKind::Http,
        source: RouteSource::Service {
            is_load_balancer: exposure.is_load_balancer,
        },
        key: service.key.clone(),
        generation: exposure.generation,
        created: exposure.created,
        parents: vec![ParentRef {
            target: gateway_ref(gateway),
            namespace_written: true,
            section: None,
            port: None,
        }],
        hostnames: exposure.hostnames.clone(),
        rules: vec![Rule {
            matches: vec![everything],
            filters: Vec::new(),
            policy: RulePolicy::default(),
            backends: vec![backend],
        }],
        pattern_room: PatternRoom::default(),
        uses: Vec::new(),
        field_errors: exposure.field_errors.clone(),
    }
}
