//! Gateways that are served: what one pass does for them, and what the next has left to do.

use super::*;
use crate::ports::StatusSink;
use crate::status::StatusUpdate;

#[tokio::test]
async fn a_new_gateway_is_served_held_applied_and_run() {
    let bench = bench(quickstart());
    let done = bench.pass().await;
    assert!(done.settled, "{done:?}");
    assert!(bench.data_plane.table(&key("gw")).is_some());
    assert_eq!(bench.finalizer.gateways(), BTreeSet::from([key("gw")]));
    assert_eq!(bench.hostnames("gw").unwrap(), ["app.example.com"]);
    assert!(bench.workloads.proxy(&key("gw")).is_some());
    assert_eq!(bench.statuses.count(), 1);
}

#[tokio::test]
async fn a_change_that_touches_no_hostname_never_asks_the_edge() {
    let bench = bench(quickstart());
    bench.pass().await;
    let stated = bench.edge.stated().len();
    bench.edge.fail(None, Some(away()));
    bench.cluster.change(|snapshot| {
        routes(snapshot).push(route("more", "gw", 5, &["app.example.com"]));
    });
    let done = bench.pass().await;
    assert!(done.settled);
    let table = bench.data_plane.table(&key("gw")).unwrap();
    assert_eq!(table.listeners[0].routes.len(), 2, "served");
    assert_eq!(bench.edge.stated().len(), stated);
    assert_eq!(bench.workloads.ensured(), 1);
}

#[tokio::test]
async fn an_unchanged_cluster_publishes_and_states_nothing() {
    let bench = bench(quickstart());
    bench.pass().await;
    let (published, stated) = (bench.data_plane.published(), bench.edge.stated().len());
    assert!(!bench.reconciler.route_pass().await.concluded_anew);
    {
        let state = bench.reconciler.state();
        let concluded = &state.view.as_ref().unwrap().gateways[&key("gw")].table;
        let served = &state.published[&key("gw")];
        assert!(Arc::ptr_eq(concluded, served), "in memory once");
    }
    let done = bench.pass().await;
    assert_eq!(bench.data_plane.published(), published);
    assert_eq!(bench.edge.stated().len(), stated);
    assert!(done.settled && done.stated.is_empty());
    assert_eq!(
        bench.resync().await.stated,
        [key("gw")],
        "a resync states all"
    );
}

#[tokio::test]
async fn whichever_pass_sees_a_change_tells_that_the_edge_may_have_to_follow() {
    let bench = bench(quickstart());
    assert!(bench.reconciler.route_pass().await.concluded_anew);
    bench.cluster.change(|snapshot| {
        routes(snapshot).push(route("more", "gw", 5, &["more.example.com"]));
    });
    assert!(bench.reconciler.route_pass().await.concluded_anew);
    assert!(!bench.reconciler.route_pass().await.concluded_anew);
}

#[tokio::test]
async fn other_credentials_ask_the_edge_anew_and_take_nothing_away() {
    let bench = bench(quickstart());
    let credentials = |edition: &'static str| {
        bench.cluster.change(move |snapshot| {
            let annotations = &mut gateways(snapshot)[0].annotations;
            annotations.insert("credentials".to_owned(), edition.to_owned());
        });
    };
    credentials("1");
    bench.pass().await;
    assert!(bench.pass().await.stated.is_empty());

    credentials("2");
    bench.edge.fail(None, Some(away()));
    let done = bench.pass().await;
    assert_eq!((done.stated, done.settled), (vec![key("gw")], false));
    assert_eq!(bench.hostnames("gw").unwrap(), ["app.example.com"]);
    assert!(bench.workloads.proxy(&key("gw")).is_some());

    credentials("3");
    bench.edge.fail(None, None);
    assert!(bench.pass().await.settled);
    // A Secret that cannot be read for a while tells nothing.
    credentials("unread");
    assert!(bench.pass().await.stated.is_empty());
}

#[tokio::test]
async fn nothing_is_done_at_the_edge_without_leadership() {
    let bench = bench(quickstart());
    bench.leadership.set(None);
    bench.pass().await;
    assert!(
        bench.data_plane.table(&key("gw")).is_some(),
        "tables go out all the same"
    );
    assert!(bench.edge.stated().is_empty() && bench.finalizer.gateways().is_empty());
    bench.leadership.set(Some(2));
    bench.pass().await;
    bench.leadership.set(Some(3));
    assert_eq!(
        bench.pass().await.stated,
        [key("gw")],
        "a new term states all once"
    );
    assert!(bench.pass().await.stated.is_empty());
}

#[tokio::test]
async fn a_name_is_applied_only_once_the_proxy_knows_it() {
    let bench = bench(quickstart());
    let full = PortError::unavailable("disk full");
    bench.data_plane.fail(Some(full));
    assert!(!bench.pass().await.settled);
    assert!(bench.edge.stated().is_empty());
    bench.data_plane.fail(None);
    assert!(bench.pass().await.settled);
}

#[tokio::test]
async fn one_gateway_that_fails_does_not_stop_another() {
    let bench = bench(snapshot(
        vec![gateway("a"), gateway("b")],
        vec![
            route("ra", "a", 1, &["a.example.com"]),
            route("rb", "b", 1, &["b.example.com"]),
        ],
    ));
    let mut busy = away();
    busy.retry_after = Some(std::time::Duration::from_secs(9));
    bench.edge.fail(Some(key("a")), Some(busy.clone()));
    let done = bench.pass().await;
    assert!(!done.settled);
    let again = BTreeMap::from([(key("a"), busy.retry_after)]);
    assert_eq!(done.again, again, "only it is to be left alone for a time");
    assert_eq!(done.problems.len(), 1);
    assert!(done.problems[0].subject.contains("default/a"));
    assert_eq!(done.problems[0].gateway, Some(key("a")));
    assert!(bench.workloads.proxy(&key("b")).is_some());
    bench.edge.fail(Some(key("a")), None);
    let done = bench.pass().await;
    assert_eq!(done.stated, [key("a")], "only what failed is stated again");
    assert!(done.settled);
}

#[tokio::test]
async fn a_proxy_that_does_not_start_is_tried_again() {
    let bench = bench(quickstart());
    let no_room = PortError::unavailable("no node has room");
    bench.workloads.fail(Some(no_room.clone()));
    let told = || {
        let state = bench.reconciler.state();
        let facts = state.facts(&key("gw"), WorkloadStatus::default());
        facts.workload.problems
    };
    let done = bench.pass().await;
    assert_eq!(done.again, [(key("gw"), None)].into());
    assert_eq!(told(), ["no node has room"], "the user is to know why");
    let retry_after = Some(std::time::Duration::from_secs(7));
    bench.workloads.fail(Some(PortError {
        retry_after,
        ..no_room
    }));
    let done = bench.pass().await;
    assert_eq!(done.again, [(key("gw"), retry_after)].into());
    bench.workloads.fail(None);
    assert!(bench.pass().await.settled);
    assert!(bench.workloads.proxy(&key("gw")).is_some());
    assert!(told().is_empty());
}

#[tokio::test]
async fn a_gateway_that_the_edge_disowns_is_stated_and_run_anew_and_no_other_is() {
    let mut two = quickstart();
    gateways(&mut two).push(gateway("other"));
    routes(&mut two).push(route("r2", "other", 1, &["other.example.com"]));
    let bench = bench(two);
    bench.pass().await;
    assert!(bench.pass().await.stated.is_empty());
    bench.edge.lose_tunnel(&key("gw"));
    bench.reconciler.edge_disowned(&key("gw"));
    bench.reconciler.edge_disowned(&key("nobody"));
    let ran = bench.workloads.ensured();

    let done = bench.pass().await;

    assert_eq!(done.stated, [key("gw")]);
    assert!(bench.edge.held(&key("gw")).is_some());
    assert_eq!(bench.workloads.ensured(), ran + 1);
    assert!(bench.pass().await.stated.is_empty(), "once");
}

#[tokio::test]
async fn a_proxy_is_made_to_run_anew_when_only_its_shape_changes() {
    let bench = bench(quickstart());
    bench.pass().await;
    let stated = bench.edge.stated().len();
    bench.cluster.change(|snapshot| {
        let Reading::Known(gateways) = &mut snapshot.gateways else {
            panic!("known");
        };
        let labels = &mut gateways[0].infrastructure.labels;
        labels.insert("team".to_owned(), "shop".to_owned());
    });
    bench
        .workloads
        .fail(Some(PortError::unavailable("no node has room")));
    assert!(!bench.pass().await.settled);
    bench.workloads.fail(None);
    assert!(bench.pass().await.settled);
    let spec = bench.workloads.spec(&key("gw")).unwrap();
    assert!(spec.infrastructure.labels.contains_key("team"));
    let ensured = bench.workloads.ensured();
    assert!(bench.pass().await.settled);
    assert_eq!(bench.workloads.ensured(), ensured, "once is enough");
    assert!(
        bench.edge.stated().len() <= stated + 1,
        "the edge is asked again only after the failure"
    );
}

#[tokio::test]
async fn a_proxy_that_is_unfinished_is_seen_to_again_without_asking_the_edge() {
    let bench = bench(quickstart());
    bench.workloads.leave_unfinished(true);
    let done = bench.pass().await;
    assert!(!done.settled && done.problems.is_empty(), "{done:?}");
    let stated = bench.edge.stated().len();
    bench.workloads.leave_unfinished(false);
    assert!(bench.pass().await.settled);
    assert_eq!(bench.workloads.ensured(), 2);
    assert_eq!(bench.edge.stated().len(), stated);
}

#[tokio::test]
async fn a_route_pass_is_settled_once_all_was_read_and_published() {
    let bench = bench(quickstart());
    assert!(bench.reconciler.route_pass().await.settled());
    bench.cluster.change(|snapshot| {
        routes(snapshot).push(route("more", "gw", 5, &["more.example.com"]));
    });
    bench.data_plane.fail(Some(away()));
    assert!(!bench.reconciler.route_pass().await.settled());
    bench.data_plane.fail(None);
    assert!(bench.reconciler.route_pass().await.settled());
    bench
        .cluster
        .change(|snapshot| snapshot.routes = Reading::Unknown("timeout".to_owned()));
    assert!(!bench.reconciler.route_pass().await.settled());
}

#[tokio::test]
async fn the_secrets_that_verdicts_depend_on_are_followed() {
    let mut with_secret = quickstart();
    let Reading::Known(classes) = &mut with_secret.classes else {
        panic!("known");
    };
    let secret = ObjectRef {
        group: String::new(),
        kind: "Secret".to_owned(),
        key: key("cf"),
    };
    classes[0].controller = "test".to_owned();
    classes[0].parameters = Some(secret.clone());
    let mut bench = bench(with_secret);
    bench.reconciler.rules = attachment::resolve;
    bench.reconciler.route_pass().await;
    assert_eq!(bench.cluster.followed(), [secret].into());
    bench.cluster.show(quickstart());
    bench.reconciler.route_pass().await;
    assert_eq!(bench.cluster.followed(), BTreeSet::new());
}

/// Takes no status.
struct Refusing;

#[async_trait::async_trait]
impl StatusSink for Refusing {
    async fn write(&self, _: &[StatusUpdate]) -> Result<(), PortError> {
        Err(PortError::unavailable("the API server is away"))
    }
}

#[tokio::test]
async fn what_could_not_be_written_is_written_by_the_next_pass_and_then_no_more() {
    let mut bench = bench(quickstart());
    bench.reconciler.route_pass().await;
    let statuses = &mut bench.reconciler.ports.statuses;
    let sink = std::mem::replace(statuses, Arc::new(Refusing));
    assert_eq!(bench.reconciler.status_pass().await.problems.len(), 1);
    bench.reconciler.ports.statuses = sink;
    for _ in 0..2 {
        assert!(bench.reconciler.status_pass().await.problems.is_empty());
        assert_eq!(bench.statuses.count(), 1);
    }
}

#[test]
fn passes_can_be_spawned() {
    fn is_send<T: Send>(_: T) {}
    let bench = bench(quickstart());
    is_send(bench.reconciler.route_pass());
    is_send(bench.reconciler.edge_pass(false));
    is_send(bench.reconciler.status_pass());
}
