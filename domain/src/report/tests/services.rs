//! Statuses of Services that ask to be exposed.

use crate::attachment::tests::fixtures::*;
use crate::edge::HostnameOutcome;
use crate::error::PortErrorKind;
use crate::gateway::{GatewayParameters, OWN_GROUP, PARAMETERS_KIND, Service, ServiceParameters};
use crate::names::Hostname;
use crate::report::{GatewayFacts, report};
use crate::snapshot::ClusterSnapshot;
use crate::status::{ConditionType, Part, Reason, StatusUpdate, Truth};

const APP: &str = "shop/app";

/// Gateway `shop/edge` is the default one of the class.
fn cluster_with(service: Service) -> ClusterSnapshot {
    let parameters = GatewayParameters {
        services: Some(ServiceParameters {
            gateway: key(EDGE),
            namespaces: None,
        }),
        ..parameters()
    };
    empty_cluster()
        .with(class().credentials(object(OWN_GROUP, PARAMETERS_KIND, "shop/p")))
        .with(parameters)
        .with(gateway(EDGE).listening(https("web")))
        .with(service)
}

fn status(cluster: &ClusterSnapshot, known: GatewayFacts) -> StatusUpdate {
    let updates = report(&resolved(cluster), &facts(known));
    let mut services = updates.into_iter().filter(|it| it.object.kind == "Service");
    let status = services.next().expect("a status of the Service");
    assert!(services.next().is_none());
    status
}

/// What is told of its load balancer; `None` where that is left as it is.
fn told(status: &StatusUpdate) -> Option<Vec<&str>> {
    let mut parts = status.parts.iter();
    parts.find_map(|part| match &part.part {
        Part::LoadBalancer { hostnames } => Some(hostnames.iter().map(Hostname::as_str).collect()),
        _ => None,
    })
}

#[test]
fn a_service_gets_the_conditions_of_a_route() {
    let app = service(APP).port(80).asking(&["app.example.com"]);
    let applied = [("app.example.com", HostnameOutcome::Applied)];
    let status = status(&cluster_with(app), serving(&applied));
    assert_eq!(
        (status.object.group.as_str(), &status.object.key),
        ("", &key(APP))
    );
    let [part] = status.parts.as_slice() else {
        panic!("{:?}", status.parts);
    };
    assert_eq!(part.gateway, Some(key(EDGE)));
    for kind in [
        ConditionType::Accepted,
        ConditionType::Dns,
        ConditionType::Ready,
    ] {
        assert_eq!(verdict(&part.conditions, kind).0, Truth::True, "{kind:?}");
    }
}

#[test]
fn a_load_balancer_tells_the_hostnames_that_lead_to_it() {
    let names = ["a.example.com", "b.example.com", "*.w.example.com"];
    let app = || service(APP).port(80).balancing(&names);
    let all = |b: HostnameOutcome| {
        serving(&[
            (names[0], HostnameOutcome::Applied),
            (names[1], b),
            (names[2], HostnameOutcome::Applied),
        ])
    };
    let portless = service(APP).balancing(&names);
    let unready = GatewayFacts {
        workload: Default::default(),
        ..all(HostnameOutcome::Applied)
    };
    let silent = GatewayFacts {
        edge: Some(Err(edge_error(PortErrorKind::Unavailable))),
        ..all(HostnameOutcome::Applied)
    };
    let earlier = GatewayFacts {
        last_known: Some(edge_status(&[
            (names[0], HostnameOutcome::Applied),
            (names[1], HostnameOutcome::NoZone),
        ])),
        ..silent.clone()
    };
    let both = Some(vec![names[0], names[1]]);
    for (given, service, facts, expected) in [
        (
            "all lead here",
            app(),
            all(HostnameOutcome::Applied),
            both.clone(),
        ),
        (
            "managed elsewhere",
            app(),
            all(HostnameOutcome::NotManaged),
            both,
        ),
        (
            "no zone",
            app(),
            all(HostnameOutcome::NoZone),
            Some(vec![names[0]]),
        ),
        (
            "no port",
            portless,
            all(HostnameOutcome::Applied),
            Some(vec![]),
        ),
        ("no proxy", app(), unready, None),
        ("nothing known", app(), silent, None),
        ("known from before", app(), earlier, Some(vec![names[0]])),
        ("not asked yet", app(), GatewayFacts::default(), None),
    ] {
        let status = status(&cluster_with(service), facts);
        let found = told(&status);
        assert_eq!(found, expected, "{given}: {:?}", status.parts);
    }
}

#[test]
fn a_service_without_a_gateway_is_told_so() {
    let app = service("evil/app").port(80).asking(&["app.example.com"]);
    let balancing = service("evil/app").port(80).balancing(&["app.example.com"]);
    for (service, tells) in [(app, None), (balancing, Some(vec![]))] {
        let status = status(&cluster_with(service), GatewayFacts::default());
        assert_eq!(told(&status), tells);
        let own = status.parts.iter().find(|it| it.part == Part::Object);
        let accepted = verdict(&own.expect("its own").conditions, ConditionType::Accepted);
        assert_eq!(accepted, (Truth::False, Reason::NamespaceNotPermitted));
    }
    let mut unread = cluster_with(service(APP).port(80).balancing(&["app.example.com"]));
    unread.gateways = Default::default();
    let edge = object(crate::gateway::GATEWAY_GROUP, "Gateway", EDGE);
    unread.unreadable.objects.insert(edge, Default::default());
    let status = status(&unread, GatewayFacts::default());
    assert_eq!(told(&status), None, "what it tells stays");
}
