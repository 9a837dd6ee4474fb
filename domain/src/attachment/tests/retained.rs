//! Objects that could not be read: whom they concern, and what is told of them.

use std::collections::BTreeSet;

use super::fixtures::*;
use crate::attachment::{Retained, retained, unread_claims};
use crate::gateway::{
    AllowedNamespaces, GATEWAY_GROUP, LabelSelector, OWN_GROUP, PARAMETERS_KIND, SelectorRule,
};
use crate::names::{ObjectKey, ObjectRef, Timestamp};
use crate::report::report;
use crate::snapshot::{ClusterSnapshot, Reading, UnreadableObject};
use crate::status::{Condition, ConditionType, Reason, Truth};

const WHY: &str = "spec: it is nested too deep";

trait UnreadableFixture {
    fn unreadable(self, object: ObjectRef) -> Self;
    fn unreadable_route(self, name: &str, parents: Option<&[&str]>) -> Self;
}

impl UnreadableFixture for ClusterSnapshot {
    fn unreadable(mut self, object: ObjectRef) -> Self {
        let found = UnreadableObject {
            why: WHY.to_owned(),
            parents: None,
        };
        self.unreadable.objects.insert(object, found);
        self
    }

    fn unreadable_route(mut self, name: &str, parents: Option<&[&str]>) -> Self {
        let found = UnreadableObject {
            why: WHY.to_owned(),
            parents: parents.map(|parents| {
                let gateway = |name: &&str| object(GATEWAY_GROUP, "Gateway", name);
                parents.iter().map(gateway).collect()
            }),
        };
        let route = object(GATEWAY_GROUP, "HTTPRoute", name);
        self.unreadable.objects.insert(route, found);
        self
    }
}

fn namespace_ref(name: &str) -> ObjectRef {
    ObjectRef {
        group: String::new(),
        kind: "Namespace".to_owned(),
        key: ObjectKey::new("", name),
    }
}

/// Gateways `shop/own` with parameters `shop/p`, `shop/bare`, `infra/all` that takes all routes and names a Secret
/// in `shop`, and `infra/some` that takes those of namespaces with the label `team=shop`.
fn gateways() -> ClusterSnapshot {
    let certificate = object("", "Secret", "shop/cert");
    let team = SelectorRule::In("team".to_owned(), vec!["shop".to_owned()]);
    let selector = LabelSelector { rules: vec![team] };
    let own = object(OWN_GROUP, PARAMETERS_KIND, "shop/p");
    cluster()
        .with(gateway("shop/own").listening(https("web")).parameters(own))
        .with(gateway("shop/bare").listening(https("web")))
        .with(
            gateway("infra/all").listening(
                https("web")
                    .open_to(AllowedNamespaces::All)
                    .certificate(certificate),
            ),
        )
        .with(
            gateway("infra/some")
                .listening(https("web").open_to(AllowedNamespaces::Selector(selector))),
        )
        .with(namespace("shop", &[("team", "shop")]))
        .with(namespace("evil", &[]))
}

#[test]
fn an_unreadable_object_spares_the_gateways_that_it_could_concern_and_no_others() {
    let earlier = http_route("evil/r").to("infra/some");
    let api = |kind: &str, name: &str| object(GATEWAY_GROUP, kind, name);
    let by_class = {
        let mut by_class = gateways();
        if let Reading::Known(classes) = &mut by_class.classes {
            classes[0].parameters = Some(object(OWN_GROUP, PARAMETERS_KIND, "infra/p"));
        }
        by_class
    };
    let all = ["infra/all", "infra/some", "shop/bare", "shop/own"];
    let table: Vec<(&str, ClusterSnapshot, &[&str])> = vec![
        ("nothing", gateways(), &[]),
        (
            "a Gateway",
            gateways().unreadable(api("Gateway", "shop/own")),
            &["shop/own"],
        ),
        (
            "a Gateway that is not shown",
            gateways().unreadable(api("Gateway", "evil/g")),
            &["evil/g"],
        ),
        (
            "parameters of one Gateway",
            gateways().unreadable(object(OWN_GROUP, PARAMETERS_KIND, "shop/p")),
            &["shop/own"],
        ),
        (
            "parameters that nobody names",
            gateways().unreadable(object(OWN_GROUP, PARAMETERS_KIND, "evil/p")),
            &[],
        ),
        (
            "parameters of the class",
            by_class.unreadable(object(OWN_GROUP, PARAMETERS_KIND, "infra/p")),
            &all,
        ),
        (
            "a route with parents",
            gateways().unreadable_route("evil/r", Some(&["infra/all"])),
            &["infra/all"],
        ),
        (
            "a route without parents",
            gateways().unreadable_route("evil/r", Some(&[])),
            &[],
        ),
        (
            "a route of a namespace that one Gateway takes",
            gateways().unreadable_route("evil/r", None),
            &["infra/all"],
        ),
        (
            "a route of a selected namespace",
            gateways().unreadable_route("shop/r", None),
            &all,
        ),
        (
            "a route of a namespace that was not read",
            gateways().unreadable_route("new/r", None),
            &["infra/all", "infra/some"],
        ),
        (
            "a route that named another Gateway earlier",
            gateways()
                .with(earlier)
                .unreadable_route("evil/r", Some(&["infra/all"])),
            &["infra/all", "infra/some"],
        ),
        (
            "a grant",
            gateways().unreadable(api("ReferenceGrant", "shop/g")),
            &["infra/all"],
        ),
        (
            "a grant that nobody needs",
            gateways().unreadable(api("ReferenceGrant", "evil/g")),
            &[],
        ),
        (
            "a Namespace",
            gateways().unreadable(namespace_ref("evil")),
            &["infra/some"],
        ),
        (
            "a Service",
            gateways().unreadable(object("", "Service", "shop/s")),
            &[],
        ),
        (
            "an EndpointSlice",
            gateways().unreadable(object("discovery.k8s.io", "EndpointSlice", "shop/s")),
            &[],
        ),
    ];
    for (given, snapshot, expected) in table {
        let expected: BTreeSet<ObjectKey> = expected.iter().map(|name| key(name)).collect();
        assert_eq!(retained(&snapshot), Retained::Only(expected), "{given}");
    }
}

#[test]
fn all_gateways_are_spared_where_nobody_knows_what_is_missing() {
    type Change = fn(&mut ClusterSnapshot);
    let changes: [(&str, Change); 5] = [
        ("a file", |c| {
            c.unreadable.nameless = Some("a.yaml".to_owned());
        }),
        ("Gateways", |c| {
            c.gateways = Reading::Unknown(WHY.to_owned());
        }),
        ("routes", |c| c.routes = Reading::Absent),
        ("classes", |c| c.classes = Reading::Absent),
        ("parameters", |c| {
            c.parameters = Reading::Unknown(WHY.to_owned());
        }),
    ];
    for (missing, change) in changes {
        let mut snapshot = gateways();
        change(&mut snapshot);
        assert_eq!(retained(&snapshot), Retained::All, "{missing}");
    }
}

#[test]
fn routes_claim_their_names_for_a_gateway_that_was_never_read() {
    let gateway_ref = object(GATEWAY_GROUP, "Gateway", "shop/lost");
    let route = |name: &str, created: i64| {
        let route = http_route(name).to("shop/lost").born(created);
        route.named("app.example.com")
    };
    let snapshot = gateways()
        .unreadable(gateway_ref)
        .unreadable(object(GATEWAY_GROUP, "Gateway", "shop/own"))
        .unreadable(object(GATEWAY_GROUP, "HTTPRoute", "shop/route"))
        .with(route("shop/a", 7))
        .with(route("shop/b", 3))
        .with(http_route("shop/c").to("shop/own").named("own.example.com"));
    let names = [(host("app.example.com"), Timestamp(3))].into();
    assert_eq!(unread_claims(&snapshot), [(key("shop/lost"), names)].into());
}

fn conditions(snapshot: &ClusterSnapshot) -> Vec<Condition> {
    let updates = report(&resolved(snapshot), &facts(serving(&[])));
    updates
        .into_iter()
        .filter(|update| update.object.kind != "GatewayClass")
        .flat_map(|mut update| update.parts.remove(0).conditions)
        .collect()
}

#[test]
fn who_needs_an_unreadable_object_is_told_why() {
    let edge = || gateway(EDGE).listening(https("web"));
    let needs = |backend: &str| {
        let route = http_route("shop/store").to(EDGE).backend(backend, 80);
        cluster().with(edge()).with(route)
    };
    let parameters_ref = object(OWN_GROUP, PARAMETERS_KIND, "shop/p");
    let configured = || cluster().with(edge().parameters(parameters_ref.clone()));
    let table = [
        (
            "a Service",
            needs("shop/s").unreadable(object("", "Service", "shop/s")),
            (
                ConditionType::ResolvedRefs,
                Truth::False,
                Reason::BackendNotFound,
            ),
        ),
        (
            "a grant",
            needs("infra/s").unreadable(object(GATEWAY_GROUP, "ReferenceGrant", "infra/g")),
            (
                ConditionType::ResolvedRefs,
                Truth::False,
                Reason::RefNotPermitted,
            ),
        ),
        (
            "parameters",
            configured().unreadable(parameters_ref.clone()),
            (ConditionType::Parameters, Truth::Unknown, Reason::Pending),
        ),
        (
            "parameters that were read earlier",
            configured()
                .with(parameters())
                .unreadable(parameters_ref.clone()),
            (ConditionType::Parameters, Truth::Unknown, Reason::Pending),
        ),
    ];
    for (given, snapshot, (kind, truth, reason)) in table {
        let conditions = conditions(&snapshot);
        let found = conditions.iter().rfind(|found| found.kind == kind);
        let found = found.expect("a condition");
        assert_eq!((found.truth, found.reason), (truth, reason), "{given}");
        let named = found.message.contains("read");
        assert!(named, "{given}: {}", found.message);
    }
}

#[test]
fn a_gateway_names_64_secrets_and_the_listener_with_more_is_refused() {
    let naming = |name: &str, secrets: std::ops::Range<usize>| {
        let listener = https(name);
        secrets.fold(listener, |listener, number| {
            listener.certificate(object("", "Secret", &format!("shop/s{number}")))
        })
    };
    let mut edge = gateway(EDGE)
        .listening(naming("many", 0..63))
        .listening(naming("same", 0..63))
        .listening(naming("more", 62..70))
        .listening(naming("last", 80..81));
    for (number, listener) in edge.listeners.iter_mut().enumerate() {
        listener.port += u16::try_from(number).unwrap();
    }
    let resolution = resolved(&cluster().with(edge));
    let listeners = &resolution.gateway(EDGE).listeners;
    let refused: Vec<bool> = listeners.iter().map(|it| it.unresolved.is_some()).collect();
    assert_eq!(refused, [false, false, true, true]);
    let unresolved = listeners[2].unresolved.as_ref().expect("refused");
    assert_eq!(unresolved.reason, Reason::InvalidCertificateRef);
    for words in [
        "spec.listeners[2].tls.certificateRefs[2]",
        "Invalid value: shop/s64: must not",
        "64 Secrets",
        "another Gateway",
    ] {
        assert!(unresolved.message.contains(words), "{}", unresolved.message);
    }
    assert_eq!(resolution.referenced_secrets().len(), 64);
}

#[test]
fn secrets_of_other_namespaces_than_those_listed_are_refused() {
    let own = object("", "Secret", "shop/cert");
    let mut snapshot = cluster().with(gateway(EDGE).listening(https("web").certificate(own)));
    let unresolved = |snapshot: &ClusterSnapshot| {
        let resolution = resolved(snapshot);
        resolution.gateway(EDGE).listeners[0].unresolved.clone()
    };
    snapshot.secret_namespaces = Some(["shop".to_owned()].into());
    assert_eq!(unresolved(&snapshot), None, "it was not read yet");
    snapshot.secret_namespaces = Some(["infra".to_owned()].into());
    let refused = unresolved(&snapshot).expect("refused");
    assert_eq!(refused.reason, Reason::InvalidCertificateRef);
    assert!(
        refused.message.contains("setting secrets.namespaces"),
        "{}",
        refused.message
    );
}
