//! ListenerSets: listeners of another namespace at one Gateway, with traffic.

use std::time::Duration;

use tests::load::Load;
use tests::manifests::{gateway, service};
use tests::origin::Origin;
use tests::world::{ACCOUNT, World, within};

/// ListenerSet `team/<name>` of Gateway `default/my-gateway`, for one hostname.
fn listener_set(name: &str, created: &str, hostname: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {{name: {name}, namespace: team, creationTimestamp: '{created}'}}
spec:
  parentRef: {{name: my-gateway, namespace: default}}
  listeners:
    - {{name: https, protocol: HTTPS, port: 443, hostname: {hostname}}}
"
    )
}

fn route(name: &str, namespace: &str, parent: &str, hostname: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  parentRefs: [{parent}]
  hostnames: [{hostname}]
  rules: [{{backendRefs: [{{name: one, namespace: default, port: 80}}]}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {{name: {name}, namespace: default}}
spec:
  from: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: {namespace}}}]
  to: [{{group: '', kind: Service}}]
"
    )
}

fn open(gateway: &str) -> String {
    let listeners = "  listeners:";
    let allowed = format!("  allowedListeners: {{namespaces: {{from: All}}}}\n{listeners}");
    assert!(gateway.contains(listeners), "{gateway}");
    gateway.replacen(listeners, &allowed, 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_set_of_another_namespace_takes_traffic_until_it_goes() {
    let world = World::start_alone().await;
    let one = Origin::start("one").await;
    world.write("gateway.yaml", &gateway(&world.token, ACCOUNT));
    world.write("one.yaml", &service("one", &[one.address]));
    world.write(
        "set.yaml",
        &listener_set("own", "2026-01-01T00:00:00Z", "'*.example.com'"),
    );
    let of_set = "{kind: ListenerSet, name: own, sectionName: https}";
    world.write(
        "route.yaml",
        &route("app", "team", of_set, "app.example.com"),
    );
    let _cfgw = world.cfgw().await;
    let status = |file: &'static str| {
        let mut written = world.written().into_iter();
        let found = written.find(|(path, _)| path.ends_with(file));
        found.map_or_else(String::new, |(_, text)| text)
    };
    let patience = Duration::from_secs(10);
    within(patience, "the Gateway takes no ListenerSets", || async {
        status("listenerset/team/own.json")
            .contains("NotAllowed")
            .then_some(())
    })
    .await;
    assert!(world.records().is_empty(), "the hostname has no record");

    world.write("gateway.yaml", &open(&gateway(&world.token, ACCOUNT)));
    world.answers_with("https://app.example.com/", "one").await;
    within(patience, "both tell of it", || async {
        let set = status("listenerset/team/own.json");
        let gateway = status("gateway/default/my-gateway.json");
        let is_told = gateway.contains("\"attachedListenerSets\": 1");
        (set.contains("\"attachedRoutes\": 1") && is_told).then_some(())
    })
    .await;

    // A younger one with the same hostname takes nothing.
    let late = "{kind: ListenerSet, name: late}";
    world.write(
        "late.yaml",
        &listener_set("late", "2026-01-02T00:00:00Z", "'*.example.com'"),
    );
    world.write(
        "late-route.yaml",
        &route("late", "team", late, "late.example.com"),
    );
    within(patience, "it lost", || async {
        status("listenerset/team/late.json")
            .contains("HostnameConflict")
            .then_some(())
    })
    .await;
    world.answers_with("https://app.example.com/", "one").await;
    assert_eq!(world.records().len(), 1, "of the older one's route alone");

    // Once the older one goes, its place is free.
    world.remove("set.yaml");
    world.answers_with("https://late.example.com/", "one").await;
    within(patience, "the record of the other's route goes", || async {
        (world.records().len() == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_takes_over_from_one_that_goes_without_a_request_between() {
    let world = World::start_alone().await;
    let (one, two) = (Origin::start("one").await, Origin::start("two").await);
    world.write("gateway.yaml", &open(&gateway(&world.token, ACCOUNT)));
    world.write("one.yaml", &service("one", &[one.address]));
    world.write("two.yaml", &service("two", &[two.address]));
    for (set, created, backend) in [
        ("older", "2026-01-01T00:00:00Z", "one"),
        ("younger", "2026-01-02T00:00:00Z", "two"),
    ] {
        let of_set = format!("{{kind: ListenerSet, name: {set}}}");
        let route = route(set, "team", &of_set, "app.example.com");
        let route = route.replace("name: one,", &format!("name: {backend},"));
        let set_text = listener_set(set, created, "app.example.com");
        world.write(&format!("{set}.yaml"), &set_text);
        world.write(&format!("{set}-route.yaml"), &route);
    }
    let _cfgw = world.cfgw().await;
    world.answers_with("https://app.example.com/", "one").await;
    let client = world.client.clone();
    let load = Load::start(4, Duration::from_millis(2), move || {
        let client = client.clone();
        async move {
            match client.get("https://app.example.com/").await {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(format!("{} {}", answer.status, answer.body)),
                Err(error) => Err(error),
            }
        }
    });
    // Both ways: the older one goes, and comes back.
    world.remove("older.yaml");
    world.answers_with("https://app.example.com/", "two").await;
    let again = listener_set("older", "2026-01-01T00:00:00Z", "app.example.com");
    world.write("older.yaml", &again);
    world.answers_with("https://app.example.com/", "one").await;
    let report = load.stop().await;
    assert!(report.requests > 20, "{}", report.requests);
    assert!(report.failures.is_empty(), "{:?}", report.failures);
}
