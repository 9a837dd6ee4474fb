//! A suspended Gateway is written by nobody and serves; what it leaves when it goes stays.

use std::time::Duration;

use standin::cloud::RecordBatch;
use tests::manifests::{gateway, route, service};
use tests::origin::Origin;
use tests::world::{ACCOUNT, World, within};

const URL: &str = "https://app.example.com/";

/// The manifests of a Gateway with one annotation of the controller.
fn annotated(manifests: &str, annotation: &str, value: &str) -> String {
    let annotated = format!(
        "metadata: {{name: my-gateway, namespace: default, annotations: {{cloudflare-gateway-controller.io/{annotation}: \"{value}\"}}}}"
    );
    let found = "metadata: {name: my-gateway, namespace: default}";
    assert!(manifests.contains(found), "{manifests}");
    manifests.replace(found, &annotated)
}

/// Calls to Cloudflare that change something.
fn writes(world: &World) -> usize {
    let calls = world.calls().into_iter();
    calls.filter(|call| call.method != "GET").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_gateway_serves_and_writes_nothing_and_leaves_all_when_it_goes() {
    let (one, two) = (Origin::start("one").await, Origin::start("two").await);
    let world = World::start_alone().await;
    let manifests = gateway(&world.token, ACCOUNT);
    world.write("gateway.yaml", &manifests);
    world.write("one.yaml", &service("one", &[one.address]));
    world.write("two.yaml", &service("two", &[two.address]));
    world.write("route.yaml", &route("app", "app.example.com", "one"));
    let cfgw = world.cfgw().await;
    world.answers_with(URL, "one").await;
    world.settled().await;

    let suspended = annotated(&manifests, "reconcile", "disabled");
    world.write("gateway.yaml", &suspended);
    let before = writes(&world);
    world.write("more.yaml", &route("more", "more.example.com", "one"));
    world.write("route.yaml", &route("app", "app.example.com", "two"));
    world.answers_with(URL, "two").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.settled().await;
    assert_eq!(writes(&world), before);
    assert_eq!(world.records().len(), 1);

    world.write(
        "gateway.yaml",
        &annotated(&manifests, "reconcile", "enabled"),
    );
    world.answers_with("https://more.example.com/", "one").await;
    world.settled().await;

    // Its document goes while it is suspended: it serves on, and the next process takes nothing away.
    world.write("gateway.yaml", &suspended);
    world.write("route.yaml", &route("app", "app.example.com", "one"));
    world.answers_with(URL, "one").await;
    let before = writes(&world);
    let without = suspended.split("---\n");
    let without: Vec<_> = without
        .filter(|it| !it.contains("kind: Gateway\n"))
        .collect();
    world.write("gateway.yaml", &without.join("---\n"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.settled().await;
    world.answers_with(URL, "one").await;
    assert!(
        cfgw.log().contains("left at Cloudflare: tunnel "),
        "{}",
        cfgw.log()
    );
    cfgw.kill().await;
    let next = world.cfgw().await;
    world.settled().await;
    assert_eq!(writes(&world), before);
    assert_eq!((world.tunnels().len(), world.records().len()), (1, 2));

    // Made again, it takes up what it had; deleted, it takes it along.
    world.write("gateway.yaml", &manifests);
    world.answers_with(URL, "one").await;
    world.settled().await;
    world.write("gateway.yaml", &without.join("---\n"));
    within(Duration::from_secs(20), "nothing is left", || async {
        (world.tunnels().is_empty() && world.records().is_empty()).then_some(())
    })
    .await;
    drop(next);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_changed_at_cloudflare_is_mended_as_soon_as_somebody_asks_for_it() {
    let origin = Origin::start("app").await;
    let world = World::start_alone().await;
    let manifests = gateway(&world.token, ACCOUNT);
    world.write("gateway.yaml", &manifests);
    world.write("app.yaml", &service("app", &[origin.address]));
    world.write("route.yaml", &route("app", "app.example.com", "app"));
    let _cfgw = world.cfgw().await;
    world.answers(URL).await;
    world.settled().await;
    let cloud = world.standin.cloud();
    let batch = RecordBatch {
        deletes: vec![world.records()[0].id.clone()],
        ..RecordBatch::default()
    };
    let zone = cloud.zones()[0].id.clone();
    cloud.change_records(&zone, batch).expect("a record");
    assert!(world.records().is_empty());
    let asked = annotated(&manifests, "reconcileRequestedAt", "now");
    world.write("gateway.yaml", &asked);
    within(Duration::from_secs(20), "the record is back", || async {
        (world.records().len() == 1).then_some(())
    })
    .await;
}
