//! Requests to the cluster IP of a Service in place of its endpoints.

use super::fixtures::*;
use crate::attachment::{GatewayDefaults, resolve};
use crate::gateway::{
    CONTROLLER_NAME, EndpointHost, GatewayParameters, OWN_GROUP, PARAMETERS_KIND, Route,
    RoutingType, Session, SessionCarrier, SessionKey,
};
use crate::report::report;
use crate::route_table::{RouteTable, UpstreamEndpoint};
use crate::snapshot::ClusterSnapshot;
use crate::status::{ConditionType, Reason, Truth};

fn at(address: &str, port: u16) -> UpstreamEndpoint {
    UpstreamEndpoint {
        host: EndpointHost::Address(address.parse().unwrap()),
        port,
    }
}

fn saying(routing_type: Option<RoutingType>) -> GatewayParameters {
    GatewayParameters {
        routing_type,
        ..parameters()
    }
}

/// Service `shop/store` with a cluster IP and an endpoint, and a Gateway with these parameters.
fn cluster_with(routing_type: Option<RoutingType>) -> ClusterSnapshot {
    let edge = gateway(EDGE).listening(https("web")).parameters(object(
        OWN_GROUP,
        PARAMETERS_KIND,
        "shop/p",
    ));
    cluster()
        .with(saying(routing_type))
        .with(edge)
        .with(service("shop/store").port(80).at("10.96.0.7"))
        .with(slice("shop/store", "1").port("", 8080).ready("10.0.0.1"))
}

fn table(cluster: &ClusterSnapshot) -> RouteTable {
    let defaults = GatewayDefaults {
        session_key: Some(SessionKey::new([1; 32])),
        ..GatewayDefaults::default()
    };
    let resolution = resolve(cluster, CONTROLLER_NAME, &defaults);
    RouteTable::clone(&resolution.gateway(EDGE).table)
}

fn route() -> Route {
    http_route("shop/store").to(EDGE).backend("shop/store", 80)
}

#[test]
fn requests_go_to_the_cluster_ip_where_the_parameters_say_so_and_there_is_one() {
    let by_service = || cluster_with(Some(RoutingType::Service));
    let headless = || {
        let mut cluster = by_service();
        cluster.services = Default::default();
        cluster.with(service("shop/store").port(80))
    };
    let nowhere = || {
        let mut cluster = by_service();
        cluster.services = Default::default();
        cluster.with(service("shop/store").port(80).at("169.254.169.254"))
    };
    for (given, cluster, expected) in [
        (
            "nothing is said",
            cluster_with(None),
            vec![at("10.0.0.1", 8080)],
        ),
        (
            "Endpoint",
            cluster_with(Some(RoutingType::Endpoint)),
            vec![at("10.0.0.1", 8080)],
        ),
        ("Service", by_service(), vec![at("10.96.0.7", 80)]),
        ("a headless Service", headless(), vec![at("10.0.0.1", 8080)]),
        ("an address where no request may go", nowhere(), vec![]),
    ] {
        let table = table(&cluster.with(route()));
        let upstream = table.upstreams.values().next().unwrap();
        assert_eq!(upstream.endpoints, expected, "{given}");
    }
}

#[test]
fn a_rule_with_sessions_is_told_that_a_cluster_ip_keeps_none() {
    let with_session = || {
        let mut route = route();
        route.rules[0].policy.session = Some(Session {
            rule: "spec.rules[0]".to_owned(),
            carrier: SessionCarrier::Header("x-stay".to_owned()),
            beats_weights: false,
            absolute: None,
            idle: None,
            key: None,
        });
        route
    };
    for (given, routing_type, route, is_kept, is_told) in [
        (
            "endpoints",
            RoutingType::Endpoint,
            with_session(),
            true,
            false,
        ),
        (
            "a cluster IP",
            RoutingType::Service,
            with_session(),
            false,
            true,
        ),
        (
            "without sessions",
            RoutingType::Service,
            route(),
            false,
            false,
        ),
    ] {
        let cluster = cluster_with(Some(routing_type)).with(route);
        let table = table(&cluster);
        let session = table.listeners[0].routes[0].rules[0].policy.session.clone();
        let has_key = session.is_some_and(|session| session.key.is_some());
        assert_eq!(has_key, is_kept, "{given}");
        let updates = report(&resolved(&cluster), &facts(serving(&[])));
        let conditions = parts_of(updates, "HTTPRoute").remove(0).conditions;
        let told = conditions
            .iter()
            .find(|condition| condition.kind == ConditionType::Sessions);
        assert_eq!(told.is_some(), is_told, "{given}");
        if let Some(told) = told {
            assert_eq!(
                (told.truth, told.reason),
                (Truth::False, Reason::UnsupportedValue)
            );
            for word in [
                "HTTPRoute shop/store: spec.rules[0]",
                "Gateway shop/edge",
                "Endpoint",
            ] {
                assert!(told.message.contains(word), "{word}: {}", told.message);
            }
        }
    }
}
