//! XBackendTrafficPolicies: which of them holds for a backend, and what rules get of it.

use std::time::Duration;

use super::fixtures::*;
use crate::attachment::PolicyResolution;
use crate::gateway::{
    BackendSession, BackendTrafficPolicy, FieldErrorKind, MULTICLUSTER_GROUP, PolicyTarget,
    RetryConstraint, Route, Session, SessionCarrier,
};
use crate::names::{ObjectRef, Timestamp};
use crate::report::report;
use crate::snapshot::ClusterSnapshot;
use crate::status::{ConditionType, Part, Reason, Truth};

fn percent(percent: u32) -> RetryConstraint {
    RetryConstraint {
        percent,
        ..RetryConstraint::default()
    }
}

fn target(object: ObjectRef) -> PolicyTarget {
    PolicyTarget {
        object,
        section: None,
    }
}

fn store() -> ObjectRef {
    object("", "Service", "shop/store")
}

/// A policy for these objects, made at a second.
fn policy(name: &str, second: i64, targets: &[ObjectRef]) -> BackendTrafficPolicy {
    BackendTrafficPolicy {
        key: key(&format!("shop/{name}")),
        generation: 4,
        created: Timestamp(second),
        targets: targets.iter().cloned().map(target).collect(),
        retries: None,
        session: None,
        field_errors: Vec::new(),
    }
}

fn session(name: &str) -> Session {
    Session {
        rule: String::new(),
        carrier: SessionCarrier::Header(name.to_owned()),
        beats_weights: false,
        absolute: None,
        idle: None,
        key: None,
    }
}

/// Services `shop/store` and `shop/cart`, and a route to each.
fn cluster_with(policies: Vec<BackendTrafficPolicy>) -> ClusterSnapshot {
    let cluster = shop()
        .with(service("shop/cart").port(80))
        .with(http_route("shop/store").to(EDGE).backend("shop/store", 80))
        .with(http_route("shop/cart").to(EDGE).backend("shop/cart", 80));
    policies.into_iter().fold(cluster, ClusterFixture::with)
}

fn found<'r>(policies: &'r [PolicyResolution], name: &str) -> &'r PolicyResolution {
    let mut policies = policies.iter();
    let found = policies.find(|policy| policy.policy.key.name == name);
    found.expect("a policy of that name")
}

#[test]
fn the_older_policy_holds_for_a_backend_and_the_other_is_told() {
    let retrying = |name, second, share| BackendTrafficPolicy {
        retries: Some(percent(share)),
        ..policy(name, second, &[store()])
    };
    let flawed = |second| BackendTrafficPolicy {
        field_errors: vec![field_error("spec.retryConstraint", FieldErrorKind::Invalid)],
        ..retrying("flawed", second, 90)
    };
    let elsewhere = || BackendTrafficPolicy {
        retries: Some(percent(7)),
        ..policy("cart", 1, &[object("", "Service", "shop/cart")])
    };
    let import = || BackendTrafficPolicy {
        retries: Some(percent(8)),
        ..policy(
            "import",
            1,
            &[object(MULTICLUSTER_GROUP, "ServiceImport", "shop/store")],
        )
    };
    let conflicted = Some(Reason::Conflicted);
    for (given, policies, holds, told) in [
        ("one", vec![retrying("a", 2, 5)], Some(5), vec![("a", None)]),
        (
            "two: the older",
            vec![retrying("a", 2, 5), retrying("b", 1, 6)],
            Some(6),
            vec![("a", conflicted), ("b", None)],
        ),
        (
            "two of one age: by name",
            vec![retrying("b", 1, 6), retrying("a", 1, 5)],
            Some(5),
            vec![("a", None), ("b", conflicted)],
        ),
        (
            "one of another Service",
            vec![elsewhere()],
            None,
            vec![("cart", None)],
        ),
        (
            "one of a ServiceImport of that name",
            vec![import()],
            None,
            vec![],
        ),
        (
            "one that cannot be acted upon, and a younger one",
            vec![flawed(1), retrying("a", 2, 5)],
            None,
            vec![("flawed", Some(Reason::Invalid)), ("a", conflicted)],
        ),
    ] {
        let resolution = resolved(&cluster_with(policies));
        let upstreams = &resolution.gateway(EDGE).table.upstreams;
        let mut upstreams = upstreams.iter();
        let (_, upstream) = upstreams.find(|(k, _)| k.service.name == "store").unwrap();
        let share = upstream.retries.map(|retries| retries.percent);
        assert_eq!(share, holds, "{given}");
        for (name, reason) in told {
            let policy = found(&resolution.backend_traffic, name);
            let refusal = policy.refusal.as_ref().map(|refusal| refusal.reason);
            assert_eq!(refusal, reason, "{given}: {name}");
            assert_eq!(policy.ancestors, [key(EDGE)].into(), "{given}: {name}");
        }
    }
}

#[test]
fn a_policy_tells_the_gateways_with_a_route_to_its_target_and_no_other() {
    let cluster = cluster_with(vec![
        policy("store", 1, &[store(), object("", "Service", "shop/cart")]),
        policy("nobody", 1, &[object("", "Service", "shop/none")]),
    ]);
    for (name, entries) in [("store", 1), ("nobody", 0)] {
        let updates = report(&resolved(&cluster), &facts(serving(&[])));
        let mut updates = updates.iter();
        let update = updates
            .find(|it| it.object.key.name == name && it.object.kind == "XBackendTrafficPolicy");
        let update = update.expect("a status");
        assert_eq!(update.object.group, "gateway.networking.x-k8s.io");
        assert_eq!(update.parts.len(), entries, "{name}");
        for part in &update.parts {
            assert!(matches!(&part.part, Part::Parent(gateway) if gateway.target.key == key(EDGE)));
            let told = part.conditions.iter();
            let told: Vec<_> = told.map(|it| (it.kind, it.truth, it.generation)).collect();
            assert_eq!(told, [(ConditionType::Accepted, Truth::True, 4)]);
        }
    }
}

#[test]
fn a_rule_has_the_sessions_of_its_backends_unless_it_says_so_itself() {
    let asking = |is_named| BackendTrafficPolicy {
        session: Some(BackendSession {
            session: Session {
                absolute: Some(Duration::from_secs(60)),
                ..session("x-policy")
            },
            is_named,
        }),
        ..policy("stay", 1, &[store()])
    };
    let two_backends = || {
        let route = http_route("shop/split").to(EDGE);
        route.backend("shop/cart", 80).backend("shop/store", 80)
    };
    let own = || {
        let mut route = http_route("shop/split").to(EDGE).backend("shop/store", 80);
        route.rules[0].policy.session = Some(session("x-own"));
        route
    };
    let elsewhere = || http_route("shop/split").to(EDGE).backend("shop/cart", 80);
    let name_of = |cluster: &ClusterSnapshot| {
        let resolution = resolved(cluster);
        let routes = resolution.gateway(EDGE).table.listeners[0].routes.clone();
        let mut routes = routes.into_iter();
        let route = routes.find(|route| route.key.name == "split").unwrap();
        let session = route.rules[0].policy.session.clone()?;
        match session.carrier {
            SessionCarrier::Header(name) => Some(name),
            SessionCarrier::Cookie(cookie) => panic!("{cookie:?}"),
        }
    };
    let rows: Vec<(&str, Route, bool, Option<&str>)> = vec![
        (
            "one of two backends",
            two_backends(),
            true,
            Some("x-policy"),
        ),
        ("its own", own(), true, Some("x-own")),
        ("another backend", elsewhere(), true, None),
    ];
    for (given, route, is_named, expected) in rows {
        let cluster = cluster_with(vec![asking(is_named)]).with(route);
        assert_eq!(name_of(&cluster).as_deref(), expected, "{given}");
    }
    let cluster = cluster_with(vec![asking(false)]).with(two_backends());
    let generated = name_of(&cluster).unwrap();
    assert!(generated.starts_with("cfgw-session-"), "{generated}");
}
