use super::fixtures::*;
use crate::gateway::{AllowedNamespaces, LabelSelector};
use crate::report::report;
use crate::snapshot::{ClusterSnapshot, ObjectKind, Reading};
use crate::status::{ConditionType, Reason, StatusUpdate, Truth};

fn unread<T>() -> Reading<T> {
    Reading::Unknown("timeout".to_owned())
}

fn some_cluster() -> ClusterSnapshot {
    shop().with(
        http_route("shop/store")
            .to(EDGE)
            .backend("shop/store", 80)
            .backend("infra/api", 80),
    )
}

#[test]
fn a_resolution_is_complete_when_every_kind_that_it_needs_was_read() {
    type Change = fn(&mut ClusterSnapshot);
    let cases: [(Change, Option<ObjectKind>); 9] = [
        (|_| {}, None),
        (|c| c.classes = unread(), Some(ObjectKind::GatewayClass)),
        (|c| c.gateways = unread(), Some(ObjectKind::Gateway)),
        (|c| c.routes = unread(), Some(ObjectKind::Route)),
        (|c| c.grants = unread(), Some(ObjectKind::ReferenceGrant)),
        (|c| c.grants = Reading::Absent, None),
        (|c| c.services = unread(), Some(ObjectKind::Service)),
        (
            |c| c.endpoint_slices = unread(),
            Some(ObjectKind::EndpointSlice),
        ),
        (|c| c.namespaces = unread(), None),
    ];
    for (change, expected) in cases {
        let mut cluster = some_cluster();
        change(&mut cluster);
        let resolution = resolved(&cluster);
        let missing: Vec<ObjectKind> = resolution.unread.keys().copied().collect();
        assert_eq!(missing, expected.into_iter().collect::<Vec<_>>());
        assert_eq!(resolution.is_complete(), expected.is_none());
    }
}

#[test]
fn what_could_not_be_read_refuses_no_backend_and_its_condition_is_unknown() {
    let mut no_services = some_cluster();
    no_services.services = unread();
    let mut no_grants = shop().with(http_route("shop/store").to(EDGE).backend("infra/api", 80));
    no_grants.grants = unread();
    let mut own_only = shop().with(http_route("shop/store").to(EDGE).backend("shop/store", 80));
    own_only.grants = unread();
    let known_bad = some_cluster();
    let cases = [
        (
            "Services",
            no_services,
            Truth::False,
            Reason::RefNotPermitted,
        ),
        (
            "ReferenceGrants",
            no_grants,
            Truth::Unknown,
            Reason::Pending,
        ),
        (
            "grants that are not needed",
            own_only,
            Truth::True,
            Reason::ResolvedRefs,
        ),
        (
            "everything read",
            known_bad,
            Truth::False,
            Reason::RefNotPermitted,
        ),
    ];
    for (given, cluster, truth, reason) in cases {
        let parents = route_conditions(&cluster);
        let found = verdict(&parents, ConditionType::ResolvedRefs);
        assert_eq!(found, (truth, reason), "{given}");
    }
}

#[test]
fn services_that_could_not_be_read_leave_resolved_refs_unknown() {
    let mut cluster = shop().with(http_route("shop/store").to(EDGE).backend("shop/none", 80));
    cluster.services = unread();
    assert_eq!(resolved(&cluster).unresolved("shop/store"), None);
    let conditions = route_conditions(&cluster);
    let resolved = condition(&conditions, ConditionType::ResolvedRefs);
    assert_eq!(
        (resolved.truth, resolved.reason),
        (Truth::Unknown, Reason::Pending)
    );
    assert_eq!(resolved.message, "Services could not be read: timeout");
}

fn route_conditions(cluster: &ClusterSnapshot) -> Vec<crate::status::Condition> {
    let updates = report(&resolved(cluster), &facts(serving(&[])));
    parts_of(updates, "HTTPRoute").remove(0).conditions
}

#[test]
fn whether_unread_namespaces_are_selected_is_unknown() {
    let selector = AllowedNamespaces::Selector(LabelSelector::default());
    let edge = gateway(EDGE).listening(https("web").open_to(selector));
    let mut cluster = cluster().with(edge).with(http_route("apps/store").to(EDGE));
    cluster.namespaces = unread();
    let resolution = resolved(&cluster);
    assert!(!resolution.is_complete());
    let words: Words = &[
        "listener web",
        "apps is unknown",
        "could not be read: timeout",
    ];
    let refused = resolution.refused("apps/store");
    assert_verdict("Selector", refused, Some((Reason::Pending, words)));
    assert!(resolution.parents("apps/store")[0].listeners.is_empty());
    let accepted = verdict(&route_conditions(&cluster), ConditionType::Accepted);
    assert_eq!(accepted, (Truth::Unknown, Reason::Pending));
}

#[test]
fn a_listener_that_is_open_anyway_makes_the_unread_one_irrelevant() {
    let selector = AllowedNamespaces::Selector(LabelSelector::default());
    let edge = gateway(EDGE)
        .listening(https("web").open_to(selector))
        .listening(http("plain").open_to(AllowedNamespaces::All));
    let mut cluster = cluster().with(edge).with(http_route("apps/store").to(EDGE));
    cluster.namespaces = unread();
    let resolution = resolved(&cluster);
    assert_eq!(resolution.refused("apps/store"), None);
    assert_eq!(resolution.parents("apps/store")[0].listeners, ["plain"]);
}

#[test]
fn without_classes_gateways_or_routes_no_status_of_gateways_and_routes_is_reported() {
    type Change = fn(&mut ClusterSnapshot);
    let changes: [(Change, usize); 3] = [
        (|c| c.classes = unread(), 0),
        (|c| c.gateways = unread(), 1),
        (|c| c.routes = unread(), 1),
    ];
    for (change, classes) in changes {
        let mut cluster = some_cluster();
        change(&mut cluster);
        let updates = report(&resolved(&cluster), &facts(serving(&[])));
        assert_eq!(updates.len(), classes);
        let only_classes = |update: &StatusUpdate| update.object.kind == "GatewayClass";
        assert!(updates.iter().all(only_classes));
    }
}
