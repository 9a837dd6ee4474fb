//! Services that ask to be exposed.

use super::fixtures::*;
use super::tenants::{class_parameters, shared_gateway, tenant, with_parameters};
use crate::attachment::{Resolution, Retained, retained, unread_claims};
use crate::gateway::{
    AllowedNamespaces, FieldErrorKind, Gateway, GatewayParameters, LabelSelector, SelectorRule,
    Service, ServiceParameters, Tenant,
};
use crate::names::{AllowedHostnames, Timestamp};
use crate::route_table::BackendTarget;
use crate::snapshot::{ClusterSnapshot, Reading, UnreadableObject};
use crate::status::Reason;

const APP: &str = "shop/app";

fn of_team(team: &str) -> LabelSelector {
    let rule = SelectorRule::In("team".to_owned(), vec![team.to_owned()]);
    LabelSelector { rules: vec![rule] }
}

fn exposing(namespaces: Option<LabelSelector>) -> GatewayParameters {
    GatewayParameters {
        services: Some(ServiceParameters {
            gateway: key(EDGE),
            namespaces,
        }),
        ..class_parameters()
    }
}

/// Class with default Gateway `shop/edge`, which takes routes of all namespaces.
fn cluster_with(parameters: GatewayParameters) -> ClusterSnapshot {
    with_parameters(parameters).with(shared_gateway())
}

fn app(name: &str) -> Service {
    service(name).port(8080).asking(&["app.example.com"])
}

/// Why a Service is not exposed, with or without a Gateway to go to.
fn refusal_of(resolution: &Resolution, service: &str) -> Option<(Reason, String)> {
    let mut refused = resolution.refused_services.iter();
    match refused.find(|refused| refused.service == key(service)) {
        Some(found) => Some((found.refusal.reason, found.refusal.message.clone())),
        None => resolution.refused(service),
    }
}

#[test]
fn a_service_that_asks_is_a_route_of_the_default_gateway() {
    let cluster = cluster_with(exposing(None)).with(app(APP));
    let resolution = resolved(&cluster);
    assert_eq!(refusal_of(&resolution, APP), None);
    let gateway = resolution.gateway(EDGE);
    let names: Vec<_> = gateway.hostnames.iter().collect();
    assert_eq!(names, [(&host("app.example.com"), &Timestamp(100))]);
    let route = &gateway.table.listeners[0].routes[0];
    let backend = &route.rules[0].backends[0];
    let BackendTarget::Upstream(upstream) = &backend.target else {
        panic!("{backend:?}");
    };
    assert_eq!((&upstream.service, upstream.port), (&key(APP), 8080));
    let object = resolution.routes[0].route.object();
    assert_eq!((object.kind.as_str(), &object.key), ("Service", &key(APP)));

    let removed = cluster_with(exposing(None)).with(service(APP).port(8080));
    let resolution = resolved(&removed);
    assert!(resolution.gateway(EDGE).hostnames.is_empty());
    assert!(resolution.routes.is_empty() && resolution.refused_services.is_empty());
}

#[test]
fn the_operator_says_which_services_are_exposed() {
    let everybody = LabelSelector::default;
    let closed = || gateway(EDGE).listening(https("web"));
    let permitting = |names: &[&str]| GatewayParameters {
        tenants: Some(vec![Tenant {
            hostnames: AllowedHostnames::listed(names.iter().map(|name| host(name))),
            ..tenant(None)
        }]),
        ..exposing(Some(everybody()))
    };
    let of_another_class = || Gateway {
        class: "another".to_owned(),
        ..shared_gateway()
    };
    let words: Words = &[
        "Service evil/app",
        "spec.services.namespaceSelector",
        "infra/p",
    ];
    let not_permitted: Expected = Some((Reason::NamespaceNotPermitted, words));
    let table: Vec<(&str, GatewayParameters, Gateway, &str, Expected)> = vec![
        ("own namespace", exposing(None), shared_gateway(), APP, None),
        (
            "another",
            exposing(None),
            shared_gateway(),
            "evil/app",
            not_permitted,
        ),
        (
            "every namespace",
            exposing(Some(everybody())),
            shared_gateway(),
            "evil/app",
            None,
        ),
        (
            "a selected one",
            exposing(Some(of_team("shop"))),
            shared_gateway(),
            APP,
            None,
        ),
        (
            "one that is not",
            exposing(Some(of_team("shop"))),
            shared_gateway(),
            "evil/app",
            not_permitted,
        ),
        (
            "no labels",
            exposing(Some(of_team("shop"))),
            shared_gateway(),
            "nowhere/app",
            Some((Reason::NamespaceNotPermitted, &[])),
        ),
        (
            "nothing set",
            class_parameters(),
            shared_gateway(),
            APP,
            Some((
                Reason::NoMatchingParent,
                &["Service shop/app", "spec.services.gateway"],
            )),
        ),
        (
            "a Gateway of another class",
            exposing(None),
            of_another_class(),
            APP,
            Some((
                Reason::NoMatchingParent,
                &["shop/edge", "GatewayClass cloudflare"],
            )),
        ),
        (
            "no such Gateway",
            exposing(None),
            gateway("shop/other"),
            APP,
            Some((Reason::NoMatchingParent, &["Not found: Gateway shop/edge"])),
        ),
        (
            "a listener for its own namespace",
            exposing(Some(everybody())),
            closed(),
            "evil/app",
            Some((
                Reason::NotAllowedByListeners,
                &["Service evil/app: Gateway shop/edge: listener web"],
            )),
        ),
        (
            "a name that is permitted",
            permitting(&["app.example.com"]),
            shared_gateway(),
            APP,
            None,
        ),
        (
            "a name that is not",
            permitting(&["shop.example.com"]),
            shared_gateway(),
            APP,
            Some((
                Reason::HostnameNotPermitted,
                &["metadata.annotations[cloudflare-gateway-controller.io/hostname]: Forbidden"],
            )),
        ),
    ];
    for (given, parameters, gateway, name, expected) in table {
        let cluster = with_parameters(parameters).with(gateway).with(app(name));
        assert_verdict(given, refusal_of(&resolved(&cluster), name), expected);
    }
}

#[test]
fn what_is_wrong_in_a_service_refuses_it_alone() {
    let mut flawed = app("shop/flawed");
    let exposure = flawed.exposure.as_mut().unwrap();
    exposure.field_errors = vec![field_error(
        "metadata.annotations[x]",
        FieldErrorKind::Invalid,
    )];
    exposure.hostnames.clear();
    let reserved = app("shop/reserved").asking(&["a.invalid"]);
    let cluster = cluster_with(exposing(None))
        .with(flawed)
        .with(reserved)
        .with(service("shop/portless").asking(&["p.example.com"]))
        .with(app(APP));
    let resolution = resolved(&cluster);
    let words: Words = &["Service shop/flawed: metadata.annotations[x]: cannot be acted upon"];
    let expected = Some((Reason::UnsupportedValue, words));
    assert_verdict("flawed", refusal_of(&resolution, "shop/flawed"), expected);
    let expected: Expected = Some((Reason::UnsupportedValue, &["hostname]", "a.invalid"]));
    assert_verdict(
        "reserved",
        refusal_of(&resolution, "shop/reserved"),
        expected,
    );
    let expected: Expected = Some((Reason::BackendNotFound, &["Service shop/portless"]));
    assert_verdict("portless", resolution.unresolved("shop/portless"), expected);
    let names = resolution.gateway(EDGE).hostnames.keys();
    let names: Vec<&str> = names.map(crate::names::Hostname::as_str).collect();
    assert_eq!(names, ["app.example.com", "p.example.com"]);
}

#[test]
fn the_older_of_a_service_and_a_route_goes_first() {
    for (born, first) in [(50, false), (100, false), (150, true)] {
        let route = http_route(APP).to(EDGE).named("app.example.com").born(born);
        let cluster = cluster_with(exposing(None)).with(app(APP)).with(route);
        let resolution = resolved(&cluster);
        let is_service = resolution.routes[0].route.object().kind == "Service";
        assert_eq!(is_service, first, "{born}");
        assert_eq!(resolution.gateway(EDGE).table.listeners[0].routes.len(), 2);
    }
    let grpc = grpc_route("shop/calls")
        .to(EDGE)
        .named("app.example.com")
        .born(50);
    let cluster = cluster_with(exposing(None)).with(app(APP)).with(grpc);
    let expected: Expected = Some((
        Reason::HostnameConflict,
        &[
            "Service shop/app: metadata.annotations[",
            "GRPCRoute shop/calls is older",
        ],
    ));
    assert_verdict(
        "the other kind",
        refusal_of(&resolved(&cluster), APP),
        expected,
    );
}

#[test]
fn what_could_not_be_read_takes_no_service_away() {
    let unread = |object| {
        let mut cluster = cluster_with(exposing(Some(of_team("shop"))));
        let found = UnreadableObject::default();
        cluster.unreadable.objects.insert(object, found);
        cluster
    };
    let kept = Retained::Only([key(EDGE)].into());
    for (kind, name) in [("Service", "evil/app"), ("Namespace", "evil/x")] {
        assert_eq!(retained(&unread(object("", kind, name))), kept, "{kind}");
    }
    let mut unknown = cluster_with(exposing(Some(of_team("shop")))).with(app(APP));
    unknown.namespaces = Reading::Unknown("timeout".to_owned());
    let resolution = resolved(&unknown);
    assert!(!resolution.is_complete());
    assert_verdict(
        "labels",
        refusal_of(&resolution, APP),
        Some((Reason::Pending, &["timeout"])),
    );
}

#[test]
fn a_default_gateway_that_was_never_read_keeps_the_names_of_services() {
    let mut cluster = with_parameters(exposing(None)).with(app(APP));
    let edge = object(crate::gateway::GATEWAY_GROUP, "Gateway", EDGE);
    let unread = UnreadableObject::default();
    cluster.unreadable.objects.insert(edge, unread);
    let claims = unread_claims(&cluster);
    let names: Vec<_> = claims[&key(EDGE)].iter().collect();
    assert_eq!(names, [(&host("app.example.com"), &Timestamp(100))]);
    let refused = refusal_of(&resolved(&cluster), APP);
    assert_verdict(
        "unread",
        refused,
        Some((Reason::Pending, &["Gateway shop/edge"])),
    );
}

#[test]
fn the_parameters_of_a_gateway_expose_no_service() {
    let own = GatewayParameters {
        key: key("shop/own"),
        ..exposing(None)
    };
    let object = object(
        crate::gateway::OWN_GROUP,
        crate::gateway::PARAMETERS_KIND,
        "shop/own",
    );
    let gateway = gateway(EDGE)
        .listening(https("web").open_to(AllowedNamespaces::All))
        .parameters(object);
    let cluster = with_parameters(class_parameters())
        .with(own)
        .with(gateway)
        .with(app(APP));
    let resolution = resolved(&cluster);
    let expected: Expected = Some((Reason::NoMatchingParent, &[]));
    assert_verdict("a Gateway's own", refusal_of(&resolution, APP), expected);
    let told = &resolution.gateway(EDGE).parameters.without_effect;
    assert!(
        told.iter().any(|it| it.field == "spec.services"),
        "{told:?}"
    );
}
