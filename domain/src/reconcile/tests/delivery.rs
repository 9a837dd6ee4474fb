//! Statuses while tables are on their way to the proxies.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, Semaphore};

use super::*;
use crate::names::TunnelId;
use crate::ports::{Delivery, Workloads};
use crate::reconcile::promises::{Deliveries, WrittenStatuses};
use crate::secret::ConnectorToken;
use crate::status::{Condition, ConditionType, Part, StatusPart, StatusUpdate, Truth};
use crate::workload::WorkloadSpec;

use ConditionType::{Accepted, Conflicted, Dns, PartiallyInvalid, Programmed, Ready, ResolvedRefs};
use Truth::{False, True, Unknown};

/// Type, truth and generation of a condition.
type Said = (ConditionType, Truth, i64);

fn conditions(said: &[Said]) -> Vec<Condition> {
    let conditions = said.iter().map(|(kind, truth, generation)| Condition {
        kind: *kind,
        truth: *truth,
        reason: Reason::Accepted,
        message: format!("generation {generation}"),
        generation: *generation,
    });
    conditions.collect()
}

fn said(conditions: &[Condition]) -> Vec<Said> {
    let said = conditions.iter().map(|c| (c.kind, c.truth, c.generation));
    said.collect()
}

fn update(kind: &str, name: &str, parts: Vec<StatusPart>) -> StatusUpdate {
    StatusUpdate {
        details: None,
        object: ObjectRef {
            group: GATEWAY_GROUP.to_owned(),
            kind: kind.to_owned(),
            key: key(name),
        },
        addresses: Vec::new(),
        parts,
    }
}

fn of_gateway(said: &[Said]) -> StatusUpdate {
    update(
        "Gateway",
        "gw",
        vec![StatusPart {
            part: Part::Object,
            gateway: Some(key("gw")),
            conditions: conditions(said),
        }],
    )
}

/// Status of a route with these parents.
fn of_route(parents: &[(&str, &[Said])]) -> StatusUpdate {
    let parents = parents.iter().map(|(gateway, said)| StatusPart {
        part: Part::Parent(route("r", gateway, 1, &[]).parents[0].clone()),
        gateway: Some(key(gateway)),
        conditions: conditions(said),
    });
    update("HTTPRoute", "r", parents.collect())
}

fn all_said(update: &StatusUpdate) -> Vec<Said> {
    let parts = update.parts.iter().flat_map(|part| said(&part.conditions));
    parts.collect()
}

/// What is written of `now` after `before`, with `gw` delivered so far.
fn written(
    before: Option<StatusUpdate>,
    delivery: Delivery,
    now: StatusUpdate,
) -> Option<StatusUpdate> {
    let mut written = WrittenStatuses::default();
    written.remember(written.due(
        before.into_iter().collect(),
        &Deliveries::new(),
        &BTreeSet::new(),
    ));
    let deliveries = Deliveries::from([(key("gw"), delivery)]);
    written
        .due(vec![now], &deliveries, &BTreeSet::new())
        .updates
        .pop()
}

#[test]
fn a_status_of_a_gateway_waits_only_for_what_it_newly_promises() {
    for (given, before, now, then) in [
        ("a first promise", None, vec![(Programmed, True, 1)], None),
        (
            "a promise of an earlier process with bad news",
            None,
            vec![(Programmed, True, 1), (Accepted, False, 1)],
            Some(vec![(Programmed, True, 1), (Accepted, False, 1)]),
        ),
        (
            "no promise",
            None,
            vec![(Accepted, True, 1), (Programmed, False, 1)],
            Some(vec![(Accepted, True, 1), (Programmed, False, 1)]),
        ),
        (
            "a promise that was made before",
            Some(vec![(Programmed, True, 1), (Dns, False, 1)]),
            vec![(Programmed, True, 1), (Dns, True, 1)],
            Some(vec![(Programmed, True, 1), (Dns, True, 1)]),
        ),
        (
            "a promise after none",
            Some(vec![(Programmed, False, 1)]),
            vec![(Programmed, True, 1)],
            Some(vec![(Programmed, False, 1)]),
        ),
        (
            "a promise for a new generation, with bad news",
            Some(vec![(Programmed, True, 1), (Conflicted, False, 1)]),
            vec![(Programmed, True, 2), (Conflicted, True, 2)],
            Some(vec![(Programmed, True, 1), (Conflicted, True, 2)]),
        ),
        (
            "a promise that is taken back",
            Some(vec![(Programmed, True, 1)]),
            vec![(Programmed, False, 1)],
            Some(vec![(Programmed, False, 1)]),
        ),
    ] {
        let before = before.map(|said| of_gateway(&said));
        let update = of_gateway(&now);
        let found = written(before.clone(), Delivery::Pending, update.clone());
        assert_eq!(found.as_ref().map(all_said), then, "{given}");
        let found = written(before, Delivery::Served, update.clone());
        assert_eq!(found, Some(update), "{given}, once served");
    }
}

#[test]
fn a_promise_of_a_listener_waits_until_that_listener_has_made_it() {
    let listener = |name: &str, attached_routes, said: &[Said]| StatusPart {
        part: Part::Listener {
            name: name.to_owned(),
            supported_kinds: Vec::new(),
            attached_routes,
        },
        gateway: Some(key("gw")),
        conditions: conditions(said),
    };
    const YES: &[Said] = &[(Programmed, True, 1)];
    const NO: &[Said] = &[(Programmed, False, 1)];
    let before = update(
        "Gateway",
        "gw",
        vec![listener("a", 1, YES), listener("b", 1, NO)],
    );
    let now = update(
        "Gateway",
        "gw",
        vec![
            listener("b", 2, YES),
            listener("a", 2, YES),
            listener("c", 0, YES),
        ],
    );
    let found = written(Some(before), Delivery::Pending, now);
    let then = [
        (Programmed, False, 1),
        (Programmed, True, 1),
        (Programmed, Unknown, 1),
    ];
    assert_eq!(found.as_ref().map(all_said), Some(then.to_vec()));
}

#[test]
fn a_promise_that_waits_says_so_and_bad_news_beside_it_does_not_wait() {
    let before = of_gateway(&[(Accepted, True, 1)]);
    let now = of_gateway(&[(Accepted, True, 1), (Programmed, True, 1), (Ready, True, 1)]);
    let found = written(Some(before), Delivery::Pending, now).expect("it is written");
    let conditions = found.parts[0].conditions.iter();
    let waiting = "the routes are on their way to the proxies";
    let told = conditions.map(|c| (c.truth, c.reason, c.message == waiting));
    let expected = [
        (True, Reason::Accepted, false),
        (Unknown, Reason::Pending, true),
        (Unknown, Reason::Progressing, true),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    for bad in [Conflicted, PartiallyInvalid] {
        let first = of_gateway(&[(Programmed, True, 1), (bad, True, 1)]);
        let found = written(None, Delivery::Pending, first);
        assert!(found.is_some(), "{bad:?}");
    }
}

#[test]
fn a_status_of_a_route_waits_for_the_gateways_that_are_behind() {
    const YES: &[Said] = &[(Accepted, True, 1), (ResolvedRefs, True, 1)];
    const BROKEN: &[Said] = &[(Accepted, True, 1), (ResolvedRefs, False, 1)];
    const EDITED: &[Said] = &[(Accepted, True, 2), (ResolvedRefs, True, 2)];
    const MENDED: &[Said] = &[(Accepted, True, 1), (ResolvedRefs, False, 1)];
    let gw = |said| of_route(&[("gw", said)]);
    for (given, before, now, then) in [
        ("new", None, gw(YES), None),
        ("new and broken", None, gw(BROKEN), Some(BROKEN.to_vec())),
        (
            "broken by a Service that went",
            Some(gw(YES)),
            gw(BROKEN),
            Some(BROKEN.to_vec()),
        ),
        ("mended", Some(gw(BROKEN)), gw(YES), Some(MENDED.to_vec())),
        ("edited", Some(gw(YES)), gw(EDITED), Some(YES.to_vec())),
        (
            "of a Gateway that is served",
            None,
            of_route(&[("other", YES)]),
            Some(YES.to_vec()),
        ),
        (
            "with a new parent",
            Some(of_route(&[("other", YES)])),
            of_route(&[("gw", YES), ("other", EDITED)]),
            Some(vec![
                (Accepted, Unknown, 1),
                (ResolvedRefs, Unknown, 1),
                (Accepted, True, 2),
                (ResolvedRefs, True, 2),
            ]),
        ),
    ] {
        let found = written(before, Delivery::Pending, now);
        assert_eq!(found.as_ref().map(all_said), then, "{given}");
    }
}

#[test]
fn laggards_are_named_where_something_new_is_promised() {
    let late = || Delivery::Late(vec!["web-7".to_owned()]);
    let message = |update: Option<StatusUpdate>| {
        let update = update.expect("it is written");
        update.parts[0].conditions[0].message.clone()
    };
    let programmed = || of_gateway(&[(Programmed, True, 1)]);
    let accepted = || of_route(&[("gw", &[(Accepted, True, 1)])]);
    let named = |update| message(update).ends_with("latest routes yet: web-7");
    assert!(named(written(None, late(), programmed())));
    assert!(named(written(Some(programmed()), late(), programmed())));
    assert!(named(written(None, late(), accepted())));
    let named_before = written(None, late(), accepted());
    assert!(named(written(named_before.clone(), late(), accepted())));
    assert!(!named(written(
        named_before.clone(),
        Delivery::Served,
        accepted()
    )));
    let mut other = accepted();
    other.parts[0].conditions[0].message = "another message".to_owned();
    let other = message(written(named_before, late(), other));
    assert_eq!(other, "another message");
    assert!(!named(written(Some(accepted()), late(), accepted())));
    let refused = of_gateway(&[(Programmed, False, 1)]);
    assert!(!named(written(None, late(), refused)));
}

/// Of the real rules: Gateway `gw` and its route, and another Gateway's.
#[tokio::test]
async fn good_news_waits_for_the_replicas_and_bad_news_of_others_does_not() {
    let mut bench = bench(snapshot(
        vec![gateway("gw"), gateway("other")],
        vec![route("r", "gw", 1, &[]), route("s", "other", 1, &[])],
    ));
    bench.reconciler.rules = |snapshot, _, defaults| {
        let mut resolution = rules(snapshot, "", defaults);
        resolution.routes = snapshot
            .routes
            .items()
            .iter()
            .map(accepted_by_all)
            .collect();
        resolution
    };
    let about = |bench: &Bench<FakeEdge>, name: &str| {
        let last = bench.statuses.last();
        last.into_iter()
            .find(|update| update.object.key.name == name)
    };
    bench.data_plane.deliver(&key("gw"), Delivery::Pending);
    bench.told().await;
    assert_eq!(about(&bench, "s"), None, "the edge was not asked yet");
    bench.reconciler.edge_pass(false).await;
    let done = bench.told().await;
    assert_eq!(done.waiting, [key("gw")]);
    assert!(done.problems.is_empty(), "waiting is not failing");
    assert_eq!(about(&bench, "r"), None);
    assert!(about(&bench, "s").is_some());

    bench.data_plane.deliver(&key("gw"), Delivery::Served);
    let done = bench.told().await;
    assert!(done.waiting.is_empty());
    assert!(about(&bench, "r").is_some());

    bench.data_plane.deliver(&key("gw"), Delivery::Pending);
    bench.told().await;
    assert!(about(&bench, "r").is_some(), "promised before");
    bench.leadership.set(None);
    let written = bench.statuses.count();
    bench.told().await;
    assert_eq!(bench.statuses.count(), written, "only the leader writes");
    bench.leadership.set(Some(2));
    bench.told().await;
    assert_eq!(about(&bench, "r"), None, "perhaps by another instance");
}

fn accepted_by_all(route: &Arc<Route>) -> attachment::RouteResolution {
    let parents = route
        .parents
        .iter()
        .map(|parent| attachment::ParentResolution {
            parent: parent.clone(),
            gateway: parent.target.key.clone(),
            without_rules: None,
            without_names: None,
            refusal: None,
            unresolved: None,
            backend_tls: None,
            lost_sessions: None,
            listeners: vec!["https".to_owned()],
            hostnames: Vec::new(),
        });
    attachment::RouteResolution {
        parents: parents.collect(),
        route: route.clone(),
    }
}

#[test]
fn a_new_leader_does_not_call_lost_what_it_has_not_looked_for() {
    let unasked = BTreeSet::from([key("gw")]);
    let of = |reason| {
        let mut update = of_gateway(&[(Accepted, True, 1), (Programmed, False, 1)]);
        update.parts[0].conditions[1].reason = reason;
        update
    };
    for (reason, asked, writes) in [
        (Reason::Pending, false, 0),
        (Reason::Pending, true, 1),
        // What is known without the edge is said at once.
        (Reason::Invalid, false, 1),
    ] {
        let unasked = if asked { &BTreeSet::new() } else { &unasked };
        let due = WrittenStatuses::default().due(vec![of(reason)], &Deliveries::new(), unasked);
        assert_eq!(due.updates.len(), writes, "{reason:?}, asked: {asked}");
    }
}

#[tokio::test]
async fn a_new_leader_does_not_call_proxies_lost_that_it_has_not_seen_to() {
    let bench = bench(quickstart());
    bench.pass().await;
    let unasked = || {
        let state = bench.reconciler.state();
        let view = state.view.clone().unwrap();
        state.unasked(&view, 7)
    };
    assert!(unasked().is_empty(), "the edge answered and the proxy runs");
    let forget = |state: &mut State| drop(state.at_edge.get_mut(&key("gw")).unwrap().take_proxy());
    forget(&mut bench.reconciler.state());
    assert_eq!(unasked(), BTreeSet::from([key("gw")]));
}

/// Proxies that take their time to tell how they are.
struct Slow {
    proxies: FakeWorkloads,
    /// The answer is known.
    asked: Notify,
    /// It may be given.
    go_on: Semaphore,
}

#[async_trait]
impl Workloads for Slow {
    async fn ensure(
        &self,
        gateway: &ObjectKey,
        spec: &WorkloadSpec,
        tunnel: TunnelId,
        token: &ConnectorToken,
    ) -> Result<WorkloadStatus, PortError> {
        self.proxies.ensure(gateway, spec, tunnel, token).await
    }

    async fn release(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.proxies.release(gateway).await
    }

    async fn stop(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.proxies.stop(gateway).await
    }

    async fn status(&self, gateway: &ObjectKey) -> WorkloadStatus {
        let status = self.proxies.status(gateway).await;
        self.asked.notify_one();
        let _ = self.go_on.acquire().await;
        status
    }

    async fn running(&self) -> Result<BTreeSet<ObjectKey>, PortError> {
        self.proxies.running().await
    }
}

#[tokio::test]
async fn an_edge_pass_that_ends_while_facts_are_gathered_makes_old_facts_no_news() {
    let slow = Arc::new(Slow {
        proxies: FakeWorkloads::default(),
        asked: Notify::new(),
        go_on: Semaphore::new(0),
    });
    let bench = bench(quickstart());
    let mut ports = bench.reconciler.ports;
    ports.workloads = slow.clone();
    let reconciler = Reconciler::new(ports, "ours");
    reconciler.route_pass().await;
    let edge = async {
        slow.asked.notified().await;
        slow.go_on.add_permits(1);
        reconciler.edge_pass(false).await;
    };
    let done = tokio::time::timeout(Duration::from_secs(10), async {
        tokio::join!(reconciler.status_pass(), edge)
    });
    assert!(done.await.is_ok(), "the Gateway is ours");
    let written = bench.statuses.last();
    let written: Vec<_> = written.iter().flat_map(all_said).collect();
    assert!(
        !written
            .iter()
            .any(|(kind, truth, _)| *kind == Programmed && *truth == False),
        "the proxy was not ready when it was asked, and nobody had asked the edge: {written:?}"
    );
}

#[test]
fn a_load_balancer_tells_new_hostnames_once_they_are_served() {
    let of_service = |hostnames: &[&str]| {
        let mut update = of_route(&[("gw", &[(Accepted, True, 0)])]);
        let hostnames = hostnames.iter().map(|name| host(name)).collect();
        update.parts.push(StatusPart {
            part: Part::LoadBalancer { hostnames },
            gateway: Some(key("gw")),
            conditions: Vec::new(),
        });
        update
    };
    let (old, new) = ("old.example.com", "new.example.com");
    for (before, delivery, then) in [
        (None, Delivery::Pending, None),
        (Some(&[old][..]), Delivery::Pending, Some(vec![old])),
        (Some(&[][..]), Delivery::Pending, Some(vec![])),
        (Some(&[old][..]), Delivery::Served, Some(vec![new, old])),
        (None, Delivery::Late(Vec::new()), Some(vec![new, old])),
    ] {
        let given = format!("{before:?} {delivery:?}");
        let found = written(before.map(of_service), delivery, of_service(&[new, old]));
        let found = found.map(|update| match update.parts.into_iter().last() {
            Some(StatusPart {
                part: Part::LoadBalancer { hostnames },
                ..
            }) => hostnames,
            other => panic!("{given}: {other:?}"),
        });
        let then = then.map(|names: Vec<&str>| names.iter().map(|name| host(name)).collect());
        assert_eq!(found, then, "{given}");
    }
}
