use crate::attachment::tests::fixtures::*;
use crate::error::PortErrorKind;
use crate::gateway::{AllowedNamespaces, GATEWAY_GROUP, LISTENER_SET_KIND, ParentRef, RouteKind};
use crate::report::{GatewayFacts, report};
use crate::snapshot::{ClusterSnapshot, Reading};
use crate::status::{ConditionType, Part, Reason, StatusPart, StatusUpdate, Truth};

const SET: &str = "apps/own";

/// Gateway `shop/edge` with ListenerSet `apps/own`: `app` for `app.org`, and `same`, whose hostname the Gateway has. A
/// route on both, and one on the Gateway.
fn with_set(allowed: AllowedNamespaces) -> ClusterSnapshot {
    let edge = gateway(EDGE)
        .listening(
            https("web")
                .named("web.org")
                .open_to(AllowedNamespaces::All),
        )
        .admitting(allowed);
    let set = listener_set(SET)
        .adding(https("app").named("app.org"))
        .adding(https("same").named("web.org"));
    let through = ParentRef {
        target: object(GATEWAY_GROUP, LISTENER_SET_KIND, SET),
        ..parent(SET)
    };
    cluster()
        .with(edge)
        .with(set)
        .with(http_route("apps/both").to(EDGE).through(through))
        .with(http_route("apps/one").to(EDGE))
}

fn statuses(cluster: &ClusterSnapshot, known: GatewayFacts) -> Vec<StatusUpdate> {
    report(&resolved(cluster), &facts(known))
}

fn parts(cluster: &ClusterSnapshot, known: GatewayFacts) -> Vec<StatusPart> {
    parts_of(statuses(cluster, known), LISTENER_SET_KIND)
}

fn attached(updates: Vec<StatusUpdate>) -> Option<u32> {
    let mut parts = parts_of(updates, "Gateway").into_iter();
    parts.find_map(|part| match part.part {
        Part::ListenerSets { attached } => Some(attached),
        _ => None,
    })
}

#[test]
fn a_set_tells_of_itself_and_of_each_of_its_listeners() {
    let cluster = with_set(AllowedNamespaces::All);
    let parts = parts(&cluster, serving(&[]));
    let [whole, app, same] = parts.as_slice() else {
        panic!("{parts:?}");
    };
    assert!(parts.iter().all(|part| part.gateway == Some(key(EDGE))));
    let expected = |part: &StatusPart, expected: &[(ConditionType, Truth, Reason)]| {
        for (kind, truth, reason) in expected {
            assert_eq!(verdict(&part.conditions, *kind), (*truth, *reason));
            assert_eq!(condition(&part.conditions, *kind).generation, 9);
        }
    };
    use ConditionType::{Accepted, Conflicted, Programmed, Ready, ResolvedRefs};
    assert_eq!(whole.part, Part::Object);
    expected(
        whole,
        &[
            (Accepted, Truth::True, Reason::ListenersNotValid),
            (Programmed, Truth::True, Reason::Programmed),
            (Ready, Truth::False, Reason::ReconciliationFailed),
        ],
    );
    let of = |name: &str, attached_routes| Part::Listener {
        name: name.to_owned(),
        supported_kinds: vec![RouteKind::Http, RouteKind::Grpc],
        attached_routes,
    };
    assert_eq!(app.part, of("app", 1));
    expected(
        app,
        &[
            (Accepted, Truth::True, Reason::Accepted),
            (Programmed, Truth::True, Reason::Programmed),
            (ResolvedRefs, Truth::True, Reason::ResolvedRefs),
            (Conflicted, Truth::False, Reason::NoConflicts),
        ],
    );
    assert_eq!(same.part, of("same", 1));
    expected(
        same,
        &[
            (Accepted, Truth::False, Reason::HostnameConflict),
            (Programmed, Truth::False, Reason::HostnameConflict),
            (Conflicted, Truth::True, Reason::HostnameConflict),
        ],
    );
}

#[test]
fn a_set_is_as_far_as_its_gateway() {
    let mut refused = with_set(AllowedNamespaces::All);
    if let Reading::Known(gateways) = &mut refused.gateways {
        gateways[0].parameters = Some(object("example.com", "Parameters", "shop/p"));
    }
    let mut unknown_class = with_set(AllowedNamespaces::All);
    if let Reading::Known(classes) = &mut unknown_class.classes {
        classes[0].parameters = Some(object("", "ConfigMap", "infra/cf"));
    }
    let open = || with_set(AllowedNamespaces::All);
    let failing = || GatewayFacts {
        edge: Some(Err(edge_error(PortErrorKind::Forbidden))),
        ..GatewayFacts::default()
    };
    let accepted = (Truth::True, Reason::ListenersNotValid);
    let not = |reason| (Truth::False, reason);
    let table = [
        (
            "not let in",
            with_set(AllowedNamespaces::Same),
            serving(&[]),
            not(Reason::NotAllowed),
            not(Reason::NotAllowed),
        ),
        (
            "the Gateway is not accepted",
            refused,
            serving(&[]),
            not(Reason::ParentNotAccepted),
            not(Reason::ParentNotProgrammed),
        ),
        (
            "the tunnel is not made yet",
            open(),
            GatewayFacts::default(),
            accepted,
            not(Reason::ParentNotProgrammed),
        ),
        (
            "the edge refuses",
            open(),
            failing(),
            accepted,
            not(Reason::ParentNotProgrammed),
        ),
        (
            "served",
            open(),
            serving(&[]),
            accepted,
            (Truth::True, Reason::Programmed),
        ),
    ];
    for (given, cluster, known, accepted, programmed) in table {
        let parts = parts(&cluster, known);
        let conditions = &parts[0].conditions;
        let found = |kind| verdict(conditions, kind);
        assert_eq!(found(ConditionType::Accepted), accepted, "{given}");
        assert_eq!(found(ConditionType::Programmed), programmed, "{given}");
    }
}

#[test]
fn a_gateway_counts_the_sets_that_are_accepted_and_is_not_worse_for_their_listeners() {
    let lost = listener_set("zoo/lost").adding(https("app").named("web.org"));
    let cluster = with_set(AllowedNamespaces::All).with(lost);
    let updates = statuses(&cluster, serving(&[]));
    assert_eq!(
        attached(updates.clone()),
        Some(1),
        "the other has no listener"
    );
    let parts = parts_of(updates, "Gateway");
    let conditions = &parts[0].conditions;
    let accepted = (Truth::True, Reason::Accepted);
    assert_eq!(verdict(conditions, ConditionType::Accepted), accepted);
    assert_eq!(verdict(conditions, ConditionType::Ready).0, Truth::True);
    let counts: Vec<u32> = parts
        .iter()
        .filter_map(|part| match &part.part {
            Part::Listener {
                attached_routes, ..
            } => Some(*attached_routes),
            _ => None,
        })
        .collect();
    assert_eq!(
        counts,
        [2],
        "its own listener, with the routes that name the Gateway"
    );
    let closed = with_set(AllowedNamespaces::None);
    assert_eq!(attached(statuses(&closed, serving(&[]))), None);
}
