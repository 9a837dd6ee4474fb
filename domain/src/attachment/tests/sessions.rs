//! Sessions of rules in a table: their keys, and endpoints that drain.

use super::fixtures::*;
use crate::attachment::{GatewayDefaults, resolve};
use crate::gateway::{
    BackendKind, CONTROLLER_NAME, EndpointHost, Route, Session, SessionCarrier, SessionKey,
};
use crate::route_table::{RouteTable, UpstreamKey, UpstreamProtocol};
use crate::snapshot::ClusterSnapshot;

/// A route to the Service `shop/store` with a rule for each of these names, each with sessions.
fn with_sessions(name: &str, rules: &[&str]) -> Route {
    let mut route = http_route(name).to(EDGE).backend("shop/store", 80);
    let plain = route.rules.remove(0);
    route.rules = rules.iter().map(|_| plain.clone()).collect();
    for (rule, name) in route.rules.iter_mut().zip(rules) {
        rule.policy.session = Some(Session {
            rule: (*name).to_owned(),
            carrier: SessionCarrier::Header("x-stay".to_owned()),
            beats_weights: true,
            absolute: None,
            idle: None,
            key: None,
        });
    }
    route
}

fn store(cluster: ClusterSnapshot) -> ClusterSnapshot {
    cluster
        .with(gateway(EDGE).listening(https("web")))
        .with(service("shop/store").named_port("web", 80))
}

fn table(cluster: &ClusterSnapshot, key: Option<[u8; 32]>) -> RouteTable {
    let defaults = GatewayDefaults {
        session_key: key.map(SessionKey::new),
        ..GatewayDefaults::default()
    };
    let resolution = resolve(cluster, CONTROLLER_NAME, &defaults);
    RouteTable::clone(&resolution.gateway(EDGE).table)
}

fn keys(table: &RouteTable) -> Vec<Option<SessionKey>> {
    let routes = table.listeners.iter().flat_map(|l| &l.routes);
    let rules = routes.flat_map(|route| &route.rules);
    rules
        .map(|rule| rule.policy.session.as_ref()?.key.clone())
        .collect()
}

#[test]
fn each_rule_with_sessions_has_a_key_of_its_own_that_stays() {
    let cluster = store(cluster())
        .with(with_sessions("shop/one", &["a", "b"]))
        .with(with_sessions("shop/other", &["a"]));
    let found = keys(&table(&cluster, Some([1; 32])));
    assert_eq!(found.len(), 3);
    for (index, key) in found.iter().enumerate() {
        assert!(key.is_some() && !found[..index].contains(key), "{index}");
        assert_ne!(*key, Some(SessionKey::new([1; 32])), "not that of all");
    }
    assert_eq!(keys(&table(&cluster, Some([1; 32]))), found);
    let others = keys(&table(&cluster, Some([2; 32])));
    assert!(others.iter().all(|key| !found.contains(key)));
    assert_eq!(keys(&table(&cluster, None)), [None, None, None]);
}

#[test]
fn endpoints_that_drain_are_in_a_table_where_a_rule_has_sessions() {
    let web = || slice("shop/store", "1").port("web", 8080);
    for (given, route, slice, endpoints, draining) in [
        (
            "a terminating one beside a ready one",
            with_sessions("shop/store", &["a"]),
            web().terminating("10.0.0.1").ready("10.0.0.2"),
            &["10.0.0.2"][..],
            &["10.0.0.1"][..],
        ),
        (
            "the same without sessions",
            http_route("shop/store").to(EDGE).backend("shop/store", 80),
            web().terminating("10.0.0.1").ready("10.0.0.2"),
            &["10.0.0.2"],
            &[],
        ),
        (
            "a terminating one alone, which takes any request",
            with_sessions("shop/store", &["a"]),
            web().terminating("10.0.0.1"),
            &["10.0.0.1"],
            &[],
        ),
        (
            "one that does not serve, and one where none may be",
            with_sessions("shop/store", &["a"]),
            web()
                .unready("10.0.0.1")
                .terminating("127.0.0.1")
                .ready("10.0.0.2"),
            &["10.0.0.2"],
            &[],
        ),
    ] {
        let cluster = store(cluster()).with(route).with(slice);
        let key = UpstreamKey {
            kind: BackendKind::Service,
            service: key("shop/store"),
            port: 80,
            protocol: UpstreamProtocol::Http1,
        };
        let upstream = table(&cluster, None).upstreams[&key].clone();
        let hosts = |list: &[crate::route_table::UpstreamEndpoint]| -> Vec<String> {
            let hosts = list.iter().map(|at| match &at.host {
                EndpointHost::Address(address) => address.to_string(),
                EndpointHost::Name(name) => name.clone(),
            });
            hosts.collect()
        };
        assert_eq!(hosts(&upstream.endpoints), endpoints, "{given}");
        assert_eq!(hosts(&upstream.draining), draining, "{given}");
    }
}
