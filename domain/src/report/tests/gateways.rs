use crate::attachment::tests::fixtures::*;
use crate::edge::{HostnameOutcome, IngressOutcome};
use crate::error::PortErrorKind;
use crate::gateway::{
    FieldErrorKind, Gateway, GatewayParameters, OWN_GROUP, PARAMETERS_KIND, Protocol, RouteKind,
};
use crate::report::{GatewayFacts, report};
use crate::snapshot::{ClusterSnapshot, Reading};
use crate::status::{ConditionType, Part, Reason, StatusUpdate, Truth};
use crate::workload::WorkloadStatus;

fn status(cluster: &ClusterSnapshot, known: GatewayFacts) -> StatusUpdate {
    let mut updates = report(&resolved(cluster), &facts(known)).into_iter();
    let status = updates.find(|update| update.object.kind == "Gateway");
    status.expect("a status of the Gateway")
}

fn good() -> Gateway {
    gateway(EDGE).listening(https("web"))
}

fn with_route() -> ClusterSnapshot {
    shop().with(http_route("shop/store").to(EDGE).named("app.example.com"))
}

#[test]
fn a_class_is_accepted_or_says_why_not() {
    let bad = empty_cluster().with(class().credentials(object("", "ConfigMap", "infra/cf")));
    let cases = [
        (cluster(), Truth::True, Reason::Accepted),
        (bad, Truth::False, Reason::InvalidParameters),
    ];
    for (cluster, truth, reason) in cases {
        let updates = report(&resolved(&cluster), &facts(serving(&[])));
        let [StatusUpdate { object, parts, .. }] = updates.as_slice() else {
            panic!("{updates:?}");
        };
        assert_eq!(object.to_string(), "GatewayClass cloudflare");
        let conditions = &parts[0].conditions;
        assert_eq!(
            verdict(conditions, ConditionType::Accepted),
            (truth, reason)
        );
        assert_eq!(conditions[0].generation, 3);
    }
}

#[test]
fn a_class_names_what_of_its_parameters_has_no_effect() {
    let target = object(OWN_GROUP, PARAMETERS_KIND, "infra/p");
    let with = |field_errors| {
        let own = GatewayParameters {
            key: key("infra/p"),
            credentials: Some(object("", "Secret", "infra/cf")),
            field_errors,
            ..parameters()
        };
        let class = class().credentials(target.clone());
        empty_cluster().with(class).with(own)
    };
    for (field, told) in [
        (None, "GatewayClass cloudflare is served by this controller"),
        (
            Some("spec.tunnel.x"),
            "; without effect in its parameters: spec.tunnel.x: cannot be acted upon",
        ),
    ] {
        let unsupported = |field| field_error(field, FieldErrorKind::Unsupported);
        let cluster = with(field.map(unsupported).into_iter().collect());
        let updates = report(&resolved(&cluster), &facts(serving(&[])));
        let accepted = condition(&updates[0].parts[0].conditions, ConditionType::Accepted);
        assert_eq!(accepted.truth, Truth::True);
        assert!(accepted.message.ends_with(told), "{}", accepted.message);
    }
}

#[test]
fn a_gateway_is_accepted_with_or_without_some_listeners_or_says_why_not() {
    let tcp = || listener("tcp", Protocol::Other("TCP".into()), 9000);
    let addresses =
        |gateway: Gateway| gateway.flawed("spec.addresses", FieldErrorKind::Unsupported);
    let refused_class = empty_cluster()
        .with(class().credentials(object("", "Secret", "infra/cf")))
        .secret_reading("infra/cf", Reading::Absent);
    let cases = [
        (cluster().with(good()), Truth::True, Reason::Accepted),
        (
            cluster().with(good().listening(tcp())),
            Truth::True,
            Reason::ListenersNotValid,
        ),
        (
            cluster().with(gateway(EDGE).listening(tcp())),
            Truth::False,
            Reason::ListenersNotValid,
        ),
        (
            cluster().with(addresses(good())),
            Truth::False,
            Reason::UnsupportedAddress,
        ),
        (
            refused_class.with(good()),
            Truth::False,
            Reason::InvalidParameters,
        ),
    ];
    for (cluster, truth, reason) in cases {
        let status = status(&cluster, serving(&[]));
        let found = verdict(&status.parts[0].conditions, ConditionType::Accepted);
        assert_eq!(found, (truth, reason));
    }
}

fn edge_says(kind: PortErrorKind) -> GatewayFacts {
    GatewayFacts {
        edge: Some(Err(edge_error(kind))),
        ..serving(&[])
    }
}

fn away_but_known() -> GatewayFacts {
    GatewayFacts {
        last_known: Some(edge_status(&[(
            "app.example.com",
            HostnameOutcome::Applied,
        )])),
        ..edge_says(PortErrorKind::Unavailable)
    }
}

#[test]
fn a_gateway_has_the_addresses_that_it_asks_for_or_says_why_not() {
    let (applied, no_zone) = (HostnameOutcome::Applied, HostnameOutcome::NoZone);
    let not_managed = HostnameOutcome::NotManaged;
    let a = "a.example.com";
    let good_reason = (Truth::True, Reason::Programmed);
    let not_usable = (Truth::False, Reason::AddressNotUsable);
    for (asked, known, addresses, expected) in [
        (&[][..], serving(&[]), &["tunnel"][..], good_reason),
        (&[""], serving(&[]), &["tunnel"], good_reason),
        (&[a], serving(&[(a, applied.clone())]), &[a], good_reason),
        (
            &["", a, a],
            serving(&[(a, applied.clone())]),
            &["tunnel", a],
            good_reason,
        ),
        (&[a], serving(&[(a, no_zone.clone())]), &[], not_usable),
        (&[a], serving(&[(a, not_managed)]), &[], not_usable),
        (
            &[a, "b.example.com"],
            serving(&[(a, no_zone), ("b.example.com", applied)]),
            &["b.example.com"],
            not_usable,
        ),
        (&["a.invalid"], serving(&[]), &[], not_usable),
        (&[a], serving(&[]), &[], (Truth::False, Reason::Pending)),
    ] {
        let asking = asked
            .iter()
            .fold(good(), |gateway, name| gateway.asking_for(name));
        let status = status(&cluster().with(asking), known);
        let found = verdict(&status.parts[0].conditions, ConditionType::Programmed);
        assert_eq!(found, expected, "{asked:?}");
        let addresses_found: Vec<&str> = status
            .addresses
            .iter()
            .map(|address| match address.ends_with("cfargotunnel.com") {
                true => "tunnel",
                false => address.as_str(),
            })
            .collect();
        assert_eq!(addresses_found, addresses, "{asked:?}");
    }
}

#[test]
fn programmed_needs_an_address_and_a_ready_replica() {
    let mut no_tunnel = serving(&[]);
    no_tunnel.edge = no_tunnel.edge.map(|status| {
        status.map(|s| crate::edge::EdgeStatus {
            tunnels: Vec::new(),
            ..s
        })
    });
    let no_replica = GatewayFacts {
        workload: WorkloadStatus {
            ready: 0,
            problems: vec!["replica 0 cannot reach the edge".to_owned()],
            ..WorkloadStatus::default()
        },
        ..serving(&[])
    };
    let some_ready = GatewayFacts {
        workload: WorkloadStatus {
            ready: 1,
            problems: vec!["replica 1 starts".to_owned()],
            ..WorkloadStatus::default()
        },
        ..serving(&[])
    };
    let known_but_forbidden = GatewayFacts {
        edge: Some(Err(edge_error(PortErrorKind::Forbidden))),
        ..away_but_known()
    };
    let known_but_stopped = GatewayFacts {
        workload: WorkloadStatus::default(),
        ..away_but_known()
    };
    let truth = |truth, reason| (truth, reason);
    let pending = truth(Truth::False, Reason::Pending);
    let programmed = truth(Truth::True, Reason::Programmed);
    let refused = |reason| truth(Truth::False, reason);
    let says = "the edge says so";
    let cases = [
        ("all there", serving(&[]), programmed, ".cfargotunnel.com"),
        ("never asked", GatewayFacts::default(), pending, "tunnel"),
        ("no tunnel", no_tunnel, pending, "tunnel"),
        (
            "no replica",
            no_replica,
            pending,
            "replica 0 cannot reach the edge",
        ),
        (
            "one of two replicas",
            some_ready,
            programmed,
            "replica 1 starts",
        ),
        (
            "no credentials",
            edge_says(PortErrorKind::Credentials),
            refused(Reason::InvalidParameters),
            says,
        ),
        (
            "a token that is not accepted",
            edge_says(PortErrorKind::Unauthenticated),
            refused(Reason::InvalidParameters),
            says,
        ),
        (
            "a permission missing",
            edge_says(PortErrorKind::Forbidden),
            refused(Reason::Forbidden),
            says,
        ),
        (
            "edge away",
            edge_says(PortErrorKind::Unavailable),
            refused(Reason::EdgeUnavailable),
            says,
        ),
        (
            "too many requests",
            edge_says(PortErrorKind::RateLimited),
            refused(Reason::EdgeUnavailable),
            says,
        ),
        (
            "broker away",
            edge_says(PortErrorKind::BrokerUnavailable),
            refused(Reason::BrokerUnavailable),
            says,
        ),
        (
            "name in use",
            edge_says(PortErrorKind::Conflict),
            pending,
            says,
        ),
        (
            "edge away, tunnel known",
            away_but_known(),
            programmed,
            "last known",
        ),
        (
            "edge away, tunnel known, no replica",
            known_but_stopped,
            pending,
            "last known",
        ),
        (
            "a permission gone, tunnel known: only the user can mend it",
            known_but_forbidden,
            refused(Reason::Forbidden),
            says,
        ),
    ];
    for (given, known, expected, words) in cases {
        let status = status(&with_route(), known);
        let found = condition(&status.parts[0].conditions, ConditionType::Programmed);
        assert_eq!((found.truth, found.reason), expected, "{given}: {found:?}");
        assert!(found.message.contains(words), "{given}: {}", found.message);
    }
}

#[test]
fn a_gateway_that_is_not_served_is_not_programmed_and_has_no_conditions_of_the_edge() {
    let locked = https("web").certificate(object("", "Secret", "infra/cert"));
    let cases = [
        (
            "refused",
            good().flawed("spec.addresses", FieldErrorKind::Unsupported),
            Reason::Invalid,
        ),
        (
            "wrong parameters",
            good().parameters(object("", "ConfigMap", "shop/x")),
            Reason::InvalidParameters,
        ),
        ("deleting", good().deleting(), Reason::Pending),
        (
            "no listener that serves",
            gateway(EDGE).listening(locked),
            Reason::Invalid,
        ),
    ];
    for (given, gateway, reason) in cases {
        let status = status(&cluster().with(gateway), serving(&[]));
        let found = verdict(&status.parts[0].conditions, ConditionType::Programmed);
        assert_eq!(found, (Truth::False, reason), "{given}");
        let conditions = &status.parts[0].conditions;
        let mut kinds = conditions.iter().map(|condition| condition.kind);
        assert!(!kinds.any(|kind| kind == ConditionType::Dns), "{given}");
    }
}

#[test]
fn the_addresses_are_those_of_the_tunnels_also_while_the_edge_is_away() {
    let address = "07070707-0707-0707-0707-070707070707.cfargotunnel.com";
    let cases = [
        (serving(&[]), vec![address]),
        (away_but_known(), vec![address]),
        (GatewayFacts::default(), vec![]),
    ];
    for (known, expected) in cases {
        assert_eq!(status(&with_route(), known).addresses, expected);
    }
}

#[test]
fn programmed_tells_what_the_dashboard_does_not_show() {
    let many = IngressOutcome::CatchAll { hostnames: 1200 };
    for (ingress, told) in [
        (IngressOutcome::Complete, ""),
        (IngressOutcome::WithoutPaths, "hostnames without paths"),
        (many, "one rule for all 1200"),
    ] {
        let mut edge = edge_status(&[]);
        edge.ingress = ingress;
        let known = GatewayFacts {
            edge: Some(Ok(edge)),
            ..serving(&[])
        };
        let status = status(&with_route(), known);
        let found = condition(&status.parts[0].conditions, ConditionType::Programmed);
        assert_eq!(found.truth, Truth::True);
        assert_eq!(found.message.contains("dashboard"), !told.is_empty());
        assert!(found.message.contains(told), "{}", found.message);
    }
}

#[test]
fn dns_of_a_gateway_is_the_worst_of_its_hostnames() {
    let two = with_route().with(http_route("shop/b").to(EDGE).named("b.example.com"));
    let applied = || ("app.example.com", HostnameOutcome::Applied);
    let all = serving(&[applied(), ("b.example.com", HostnameOutcome::Applied)]);
    let one = serving(&[applied(), ("b.example.com", HostnameOutcome::NoZone)]);
    let cases = [
        (
            "no hostname",
            shop(),
            serving(&[]),
            Truth::True,
            Reason::NoHostname,
        ),
        ("all", two.clone(), all, Truth::True, Reason::Applied),
        ("one without a zone", two, one, Truth::False, Reason::NoZone),
    ];
    for (given, cluster, known, truth, reason) in cases {
        let status = status(&cluster, known);
        let found = verdict(&status.parts[0].conditions, ConditionType::Dns);
        assert_eq!(found, (truth, reason), "{given}");
    }
}

#[test]
fn every_condition_carries_the_generation_of_the_gateway() {
    let status = status(&with_route(), serving(&[]));
    assert_eq!(status.parts[0].conditions.len(), 4, "{status:?}");
    for condition in status.conditions() {
        assert_eq!(condition.generation, 5, "{condition:?}");
    }
}

#[test]
fn listeners_report_in_the_order_written_what_became_of_each() {
    let edge = gateway(EDGE)
        .listening(https("good").named("a.org"))
        .listening(http("twin").named("b.org"))
        .listening(http("twin-too").named("b.org"))
        .listening(https("locked").certificate(object("", "Secret", "infra/cert")))
        .listening(listener("tcp", Protocol::Other("TCP".into()), 9000));
    let status = status(&cluster().with(edge), serving(&[]));
    type Row = (&'static str, [(Truth, Reason); 4]);
    let yes = |reason| (Truth::True, reason);
    let no = |reason| (Truth::False, reason);
    let resolved = yes(Reason::ResolvedRefs);
    let accepted = yes(Reason::Accepted);
    let calm = no(Reason::NoConflicts);
    let twin = [
        no(Reason::HostnameConflict),
        no(Reason::Invalid),
        resolved,
        yes(Reason::HostnameConflict),
    ];
    let expected: [Row; 5] = [
        ("good", [accepted, yes(Reason::Programmed), resolved, calm]),
        ("twin", twin),
        ("twin-too", twin),
        (
            "locked",
            [
                accepted,
                no(Reason::Invalid),
                no(Reason::RefNotPermitted),
                calm,
            ],
        ),
        (
            "tcp",
            [
                no(Reason::UnsupportedProtocol),
                no(Reason::Invalid),
                resolved,
                calm,
            ],
        ),
    ];
    for (part, (expected, verdicts)) in status.parts[1..].iter().zip(expected) {
        let Part::Listener {
            name,
            supported_kinds,
            ..
        } = &part.part
        else {
            panic!("{part:?}");
        };
        let kinds = [
            ConditionType::Accepted,
            ConditionType::Programmed,
            ConditionType::ResolvedRefs,
            ConditionType::Conflicted,
        ];
        let found = kinds.map(|kind| verdict(&part.conditions, kind));
        assert_eq!((name.as_str(), found), (expected, verdicts));
        // Only where it is True: `locked` is for every name, and so for that of `good`.
        let overlap = ConditionType::OverlappingTlsConfig;
        let mut overlaps = part.conditions.iter().filter(|it| it.kind == overlap);
        match name.as_str() {
            "good" | "locked" => {
                let found = verdict(&part.conditions, overlap);
                assert_eq!(found, yes(Reason::OverlappingHostnames));
            }
            _ => assert_eq!(overlaps.next(), None, "{name}"),
        }
        match name.as_str() {
            "good" => assert_eq!(*supported_kinds, [RouteKind::Http, RouteKind::Grpc]),
            "tcp" => assert_eq!(*supported_kinds, []),
            _ => {}
        }
    }
    assert_eq!(status.parts.len(), 6);
}

#[test]
fn references_are_undecided_only_where_a_grant_may_be_needed_that_was_not_read() {
    for (secret, truth) in [("shop/cert", Truth::True), ("infra/cert", Truth::Unknown)] {
        let listener = https("web").certificate(object("", "Secret", secret));
        let mut cluster = cluster().with(gateway(EDGE).listening(listener));
        cluster = cluster.certificate(secret, &["app.example.com"]);
        cluster.grants = Reading::Unknown("timeout".to_owned());
        let status = status(&cluster, serving(&[]));
        let found = verdict(&status.parts[1].conditions, ConditionType::ResolvedRefs);
        assert_eq!(found.0, truth, "{secret}");
    }
}

#[test]
fn a_route_that_lost_every_hostname_is_not_counted() {
    let taken = HostnameOutcome::Claimed {
        by: key("apps/other"),
    };
    let cases = [(HostnameOutcome::Applied, 1), (taken, 0)];
    for (outcome, count) in cases {
        let status = status(&with_route(), serving(&[("app.example.com", outcome)]));
        let Part::Listener {
            attached_routes, ..
        } = status.parts[1].part
        else {
            panic!("{status:?}");
        };
        assert_eq!(attached_routes, count);
    }
}
