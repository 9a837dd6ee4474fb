use proptest::prelude::*;

use super::fixtures::*;
use crate::gateway::{AllowedNamespaces, GATEWAY_GROUP, ListenerSet, Route};
use crate::report::report;
use crate::snapshot::{ClusterSnapshot, Reading};

const HOSTNAMES: [&str; 4] = ["*.a.org", "x.a.org", "y.a.org", "b.org"];
const GATEWAYS: [&str; 2] = ["shop/edge", "apps/edge"];
const SERVICES: [&str; 3] = ["shop/store", "apps/store", "shop/none"];

/// What distinguishes one route of a random cluster from another.
type Choice = (bool, i64, usize, usize, usize);

fn choices() -> impl Strategy<Value = Vec<Choice>> {
    let choice = (any::<bool>(), 0..3i64, 0..2usize, 0..4usize, 0..3usize);
    prop::collection::vec(choice, 0..8)
}

fn route_of(index: usize, choice: Choice) -> Route {
    let (grpc, born, gateway, hostname, service) = choice;
    let name = format!("shop/r{}", index / 2);
    let route = if grpc || index % 2 == 1 {
        grpc_route(&name)
    } else {
        http_route(&name)
    };
    route
        .born(born)
        .to(GATEWAYS[gateway])
        .named(HOSTNAMES[hostname])
        .backend(SERVICES[service], 80)
}

fn cluster_of(choices: &[Choice]) -> ClusterSnapshot {
    let open = || https("web").open_to(AllowedNamespaces::All);
    let set = |name: &str| ListenerSet {
        parent: object(GATEWAY_GROUP, "Gateway", GATEWAYS[1]),
        ..listener_set(name).adding(open().named("b.org"))
    };
    let cluster = cluster()
        .with(
            gateway(GATEWAYS[0])
                .listening(open().named("*.a.org"))
                .listening(http("plain")),
        )
        .with(
            gateway(GATEWAYS[1])
                .listening(open())
                .admitting(AllowedNamespaces::All),
        )
        .with(set("shop/one"))
        .with(set("apps/two"))
        .with(service("shop/store").port(80))
        .with(service("apps/store").port(80))
        .with(slice("shop/store", "1").port("", 8080).ready("10.0.0.2"))
        .with(slice("shop/store", "2").port("", 8080).ready("10.0.0.1"))
        .with(grant("apps", ("HTTPRoute", "shop"), ("Service", None)))
        .with(namespace("shop", &[]))
        .with(namespace("apps", &[]));
    let mut seen = Vec::new();
    let routes = choices
        .iter()
        .enumerate()
        .map(|(i, choice)| route_of(i, *choice));
    let unique = routes.filter(|route| {
        let identity = (route.kind, route.key.clone());
        let new = !seen.contains(&identity);
        seen.push(identity);
        new
    });
    unique.fold(cluster, ClusterSnapshot::with)
}

fn shuffle<T>(reading: &mut Reading<Vec<T>>, turn: usize, flip: bool) {
    if let Reading::Known(items) = reading {
        if !items.is_empty() {
            let turn = turn % items.len();
            items.rotate_left(turn);
        }
        if flip {
            items.reverse();
        }
    }
}

fn shuffled(mut cluster: ClusterSnapshot, turn: usize, flip: bool) -> ClusterSnapshot {
    shuffle(&mut cluster.gateways, turn, flip);
    shuffle(&mut cluster.listener_sets, turn, flip);
    shuffle(&mut cluster.routes, turn, flip);
    shuffle(&mut cluster.services, turn, flip);
    shuffle(&mut cluster.endpoint_slices, turn, flip);
    shuffle(&mut cluster.grants, turn, flip);
    shuffle(&mut cluster.namespaces, turn, flip);
    cluster
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_objects_does_not_matter(
        choices in choices(),
        turn in 0..8usize,
        flip in any::<bool>(),
    ) {
        let cluster = cluster_of(&choices);
        let one = resolved(&cluster);
        let other = resolved(&shuffled(cluster, turn, flip));
        prop_assert_eq!(&one, &other);
        let known = facts(serving(&[]));
        prop_assert_eq!(report(&one, &known), report(&other, &known));
    }

    #[test]
    fn no_listener_takes_both_kinds_of_route_on_one_hostname(choices in choices()) {
        for gateway in resolved(&cluster_of(&choices)).gateways.values() {
            for listener in &gateway.table.listeners {
                for (i, one) in listener.routes.iter().enumerate() {
                    for other in &listener.routes[i + 1..] {
                        let common = one.hostnames.iter().any(|a| {
                            other.hostnames.iter().any(|b| a.intersection(b).is_some())
                        });
                        prop_assert!(one.kind == other.kind || !common);
                    }
                }
            }
        }
    }
}
