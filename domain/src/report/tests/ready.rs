use std::collections::BTreeSet;
use std::sync::Arc;

use crate::attachment::tests::fixtures::*;
use crate::attachment::{GatewayDefaults, resolve};
use crate::capabilities::EdgeKind;
use crate::certificate::Fingerprint;
use crate::edge::certificates::CertificateIntent;
use crate::edge::objects::ZoneState;
use crate::edge::{HostnameOutcome, ZoneStatus};
use crate::error::PortErrorKind;
use crate::gateway::{CONTROLLER_NAME, FieldErrorKind, OWN_GROUP, PARAMETERS_KIND};
use crate::report::{GatewayFacts, report};
use crate::snapshot::{ClusterSnapshot, Reading};
use crate::status::{Condition, ConditionType, Reason, StatusUpdate, Truth};
use crate::workload::WorkloadStatus;

/// Conditions of the first part of the first object of a kind.
fn conditions(cluster: &ClusterSnapshot, known: &GatewayFacts, kind: &str) -> Vec<Condition> {
    let updates = report(&resolved(cluster), &facts(known.clone()));
    let mut of_kind = updates.into_iter().filter(|it| it.object.kind == kind);
    let StatusUpdate { mut parts, .. } = of_kind.next().expect("a status of this kind");
    parts.swap_remove(0).conditions
}

fn with_route() -> ClusterSnapshot {
    shop().with(http_route("shop/store").to(EDGE).named("app.example.com"))
}

fn with_outcome(outcome: HostnameOutcome) -> GatewayFacts {
    serving(&[("app.example.com", outcome)])
}

fn edge_says(kind: PortErrorKind) -> GatewayFacts {
    GatewayFacts {
        edge: Some(Err(edge_error(kind))),
        ..serving(&[])
    }
}

#[test]
fn ready_is_the_worst_of_what_the_owner_of_the_object_answers_for() {
    let ready = (Truth::True, Reason::ReconciliationSucceeded);
    let failed = (Truth::False, Reason::ReconciliationFailed);
    let progressing = (Truth::Unknown, Reason::Progressing);
    let retried = (Truth::Unknown, Reason::ProgressingWithRetry);
    let starting = GatewayFacts {
        workload: WorkloadStatus::default(),
        ..with_outcome(HostnameOutcome::Applied)
    };
    let wrong = https("two")
        .named("b.example.com")
        .certificate(object("", "Secret", "infra/cert"));
    let one_listener_refused = cluster()
        .with(gateway(EDGE).listening(https("web")).listening(wrong))
        .with(http_route("shop/store").to(EDGE).named("app.example.com"));
    let addresses = gateway(EDGE).listening(https("web"));
    let addresses = addresses.flawed("spec.addresses", FieldErrorKind::Unsupported);
    let refused = cluster()
        .with(addresses)
        .with(http_route("shop/store").to(EDGE).named("app.example.com"));
    let route_of_no_listener = shop().with(
        http_route("shop/store")
            .to_section(EDGE, "none")
            .named("app.example.com"),
    );
    let no_class = with_route()
        .with(class().credentials(object("", "Secret", "infra/cf")))
        .secret_reading("infra/cf", Reading::Absent);
    let applied = || with_outcome(HostnameOutcome::Applied);
    let unknown = with_outcome(HostnameOutcome::Unknown {
        message: "HTTP 502".to_owned(),
    });
    let overdue = || GatewayFacts {
        workload: WorkloadStatus {
            ready: 1,
            overdue: vec!["Deployment edge gets on no more".to_owned()],
            ..WorkloadStatus::default()
        },
        ..applied()
    };
    let waiting_for_a_secret = with_route()
        .with(class().credentials(object("", "Secret", "infra/cf")))
        .with(parameters());
    let mut not_covered = applied();
    if let Some(Ok(status)) = &mut not_covered.edge {
        let name = "com".to_owned();
        let state = ZoneState::Active;
        status.zones.insert(ZoneStatus { name, state });
    }
    let cases = [
        ("all is well", with_route(), applied(), [ready; 3]),
        (
            "a replica that does not become ready",
            with_route(),
            overdue(),
            [ready, failed, ready],
        ),
        (
            "a class whose Secret is not read yet",
            waiting_for_a_secret,
            applied(),
            [ready; 3],
        ),
        (
            "a name that the Universal certificate is not for",
            with_route(),
            not_covered,
            [ready; 3],
        ),
        (
            "a hostname without a zone is its route's matter",
            with_route(),
            with_outcome(HostnameOutcome::NoZone),
            [ready, ready, failed],
        ),
        (
            "a record that somebody else sees to",
            with_route(),
            with_outcome(HostnameOutcome::NotManaged),
            [ready; 3],
        ),
        (
            "a record that could not be written",
            with_route(),
            unknown,
            [ready, ready, retried],
        ),
        (
            "the edge was not asked yet",
            with_route(),
            GatewayFacts::default(),
            [ready, progressing, progressing],
        ),
        (
            "no replica is ready",
            with_route(),
            starting,
            [ready, progressing, progressing],
        ),
        (
            "the edge is away and nothing is known",
            with_route(),
            edge_says(PortErrorKind::Unavailable),
            [ready, retried, retried],
        ),
        (
            "a permission is missing",
            with_route(),
            edge_says(PortErrorKind::Forbidden),
            [ready, failed, failed],
        ),
        (
            "one of two listeners is refused",
            one_listener_refused,
            applied(),
            [ready, failed, ready],
        ),
        (
            "a Gateway that is refused",
            refused,
            applied(),
            [ready, failed, failed],
        ),
        (
            "a route that names no listener of the Gateway",
            route_of_no_listener,
            applied(),
            [ready, ready, failed],
        ),
        (
            "a class without its credentials",
            no_class,
            applied(),
            [failed, failed, failed],
        ),
    ];
    for (given, cluster, known, expected) in cases {
        for (kind, expected) in ["GatewayClass", "Gateway", "HTTPRoute"]
            .iter()
            .zip(expected)
        {
            let conditions = conditions(&cluster, &known, kind);
            let found = condition(&conditions, ConditionType::Ready);
            let (truth, reason) = (found.truth, found.reason);
            assert_eq!((truth, reason), expected, "{given}: {kind}: {found:?}");
            let mut stalled = conditions.iter().map(|condition| condition.kind);
            let stalled = stalled.any(|kind| kind == ConditionType::Stalled);
            let is_whole = *kind != "HTTPRoute";
            assert_eq!(stalled, expected == failed && is_whole, "{given}: {kind}");
            let stalled = conditions
                .iter()
                .find(|condition| condition.kind == ConditionType::Stalled);
            assert!(stalled.is_none_or(|it| it.truth == Truth::True), "{given}");
        }
    }
}

#[test]
fn ready_repeats_what_is_to_be_mended() {
    let known = with_outcome(HostnameOutcome::NoZone);
    let conditions = conditions(&with_route(), &known, "HTTPRoute");
    let dns = condition(&conditions, ConditionType::Dns);
    let ready = condition(&conditions, ConditionType::Ready);
    assert_eq!(ready.message, dns.message);
}

/// Gateway API, `RouteParentStatus`: at most eight. For Gateways see `a_gateway_has_at_most_eight_conditions`.
#[test]
fn an_object_has_room_for_a_condition_of_somebody_else() {
    let of_others = [
        ConditionType::Programmed,
        ConditionType::SupportedVersion,
        ConditionType::Grpc,
        ConditionType::Conflicted,
        ConditionType::OverlappingTlsConfig,
        ConditionType::InsecureFrontendValidationMode,
        ConditionType::Certificates,
        ConditionType::Parameters,
        ConditionType::Stalled,
        ConditionType::PartiallyInvalid,
        ConditionType::Headers,
        ConditionType::Sessions,
    ];
    let of_routes = ConditionType::ALL.iter();
    let of_routes = of_routes.filter(|kind| !of_others.contains(kind));
    assert!(of_routes.count() < 8);
}

/// Gateway API, GEP-1364: conditions of our own have our domain before their name. Those of kstatus have none.
#[test]
fn a_condition_is_of_the_api_or_of_kstatus_or_has_our_domain() {
    let of_the_api = [
        "Accepted",
        "SupportedVersion",
        "Programmed",
        "ResolvedRefs",
        "Conflicted",
        "OverlappingTLSConfig",
        "InsecureFrontendValidationMode",
        "PartiallyInvalid",
    ];
    for kind in ConditionType::ALL {
        let name = kind.as_str();
        let is_known = of_the_api.contains(&name) || ["Ready", "Stalled"].contains(&name);
        assert!(is_known != name.starts_with("cloudflare-gateway-controller.io/"));
    }
}

#[test]
fn a_gateway_with_grpc_routes_says_that_cloudflare_promises_nothing_where_there_is_room() {
    let defaults = |edge| GatewayDefaults {
        edge,
        ..GatewayDefaults::default()
    };
    let grpc = |cluster: ClusterSnapshot| {
        cluster.with(grpc_route("shop/calls").to(EDGE).named("g.example.com"))
    };
    let refused = grpc_route("shop/calls").to_section(EDGE, "none");
    // With a Secret that is not there, parameters of which a field has no effect, and a name without a certificate.
    let full = || {
        let mut own = parameters();
        own.field_errors = vec![field_error("spec.x", FieldErrorKind::Unsupported)];
        let mut edge = gateway(EDGE).listening(https("web")).parameters(object(
            OWN_GROUP,
            PARAMETERS_KIND,
            "shop/p",
        ));
        edge.client_certificate = Some(object("", "Secret", "shop/none"));
        let cluster = cluster().with(edge).with(own);
        cluster.secret_reading("shop/none", Reading::Absent)
    };
    use EdgeKind::{Cloudflare, TellingArrival};
    for (given, cluster, edge, is_told) in [
        ("a GRPCRoute", grpc(shop()), Cloudflare, true),
        ("none", with_route(), Cloudflare, false),
        (
            "one that is refused",
            shop().with(refused),
            Cloudflare,
            false,
        ),
        ("an edge of its own", grpc(shop()), TellingArrival, false),
        ("no room", grpc(full()), Cloudflare, false),
    ] {
        let mut resolution = resolve(&cluster, CONTROLLER_NAME, &defaults(edge));
        let is_full = given == "no room";
        if is_full {
            let wanted = CertificateIntent {
                secret: key("shop/a"),
                fingerprint: Fingerprint::of(b"a"),
                names: BTreeSet::new(),
                hosts: BTreeSet::new(),
                any_name: false,
            };
            let gateways = Arc::make_mut(&mut resolution.gateways);
            gateways.get_mut(&key(EDGE)).unwrap().certificates = Some([wanted].into());
        }
        let known = serving(&[("g.example.com", HostnameOutcome::Applied)]);
        let parts = parts_of(report(&resolution, &facts(known)), "Gateway");
        let conditions = &parts[0].conditions;
        let mut found = conditions
            .iter()
            .filter(|it| it.kind == ConditionType::Grpc);
        let found = found.next().map(|it| (it.truth, it.reason));
        let expected = is_told.then_some((Truth::Unknown, Reason::NotGuaranteed));
        assert_eq!(found, expected, "{given}");
        assert_eq!(conditions.len() == 8, is_full, "{given}: {conditions:?}");
        let (ready, _) = verdict(conditions, ConditionType::Ready);
        assert_eq!(ready == Truth::True, !is_full, "{given}");
    }
}
