//! Changes in the folder under load, and what they cost at Cloudflare.

use std::time::{Duration, Instant};

use tests::load::Load;
use tests::manifests::{gateway, route, route_with, service};
use tests::origin::Origin;
use tests::world::{ACCOUNT, World, within};

async fn world() -> (World, Origin, Origin) {
    let (one, two) = (Origin::start("one").await, Origin::start("two").await);
    let world = World::start_alone().await;
    world.write("gateway.yaml", &gateway(&world.token, ACCOUNT));
    world.write("one.yaml", &service("one", &[one.address]));
    world.write("two.yaml", &service("two", &[two.address]));
    world.write("route.yaml", &route("app", "app.example.com", "one"));
    (world, one, two)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_changes_under_load_fail_no_request_and_are_served_within_a_second() {
    let (world, _one, _two) = world().await;
    let _cfgw = world.cfgw().await;
    world.answers("https://app.example.com/").await;
    let client = world.client.clone();
    let load = Load::start(8, Duration::from_millis(5), move || {
        let client = client.clone();
        async move {
            match client.get("https://app.example.com/").await {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(format!("{} {}", answer.status, answer.body)),
                Err(error) => Err(error),
            }
        }
    });

    let mut slowest = Duration::ZERO;
    for n in 0..200 {
        let wanted = if n % 2 == 0 { "two" } else { "one" };
        let began = Instant::now();
        if n % 10 == 9 {
            // A new hostname while the other one is under load.
            let host = format!("n{n}.example.com");
            world.write("extra.yaml", &route("extra", &host, wanted));
            world
                .answers_with(&format!("https://{host}/"), wanted)
                .await;
        } else {
            world.write("route.yaml", &route("app", "app.example.com", wanted));
            world.answers_with("https://app.example.com/", wanted).await;
        }
        slowest = slowest.max(began.elapsed());
    }

    let report = load.stop().await;
    println!(
        "200 changes: slowest served after {slowest:?}; {} requests under load",
        report.requests
    );
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    assert!(
        slowest < Duration::from_secs(1),
        "slowest change took {slowest:?}"
    );
    world.remove("extra.yaml");
    within(
        Duration::from_secs(5),
        "the record goes with its route",
        || async { (world.records().len() == 1).then_some(()) },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn path_weight_and_endpoint_changes_make_no_call_to_cloudflare() {
    let (world, _one, two) = world().await;
    let _cfgw = world.cfgw().await;
    world.answers("https://app.example.com/").await;
    world.settled().await;
    let before = world.calls().len();

    let by_path = "    - matches: [{path: {type: PathPrefix, value: /two}}]\n      backendRefs: [{name: two, port: 80}]\n    - backendRefs: [{name: one, port: 80}]\n";
    world.write(
        "route.yaml",
        &route_with("app", "my-gateway", &["app.example.com"], by_path),
    );
    world
        .answers_with("https://app.example.com/two", "two")
        .await;

    let by_weight =
        "    - backendRefs: [{name: one, port: 80, weight: 0}, {name: two, port: 80, weight: 5}]\n";
    world.write(
        "route.yaml",
        &route_with("app", "my-gateway", &["app.example.com"], by_weight),
    );
    world.answers_with("https://app.example.com/", "two").await;

    world.write("route.yaml", &route("app", "app.example.com", "one"));
    world.answers_with("https://app.example.com/", "one").await;
    world.write("one.yaml", &service("one", &[two.address]));
    world.answers_with("https://app.example.com/", "two").await;

    tokio::time::sleep(Duration::from_millis(500)).await;
    let calls = world.calls().split_off(before);
    assert!(calls.is_empty(), "{calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_of_new_hostnames_is_one_batch_and_one_document() {
    let (world, _one, _two) = world().await;
    let _cfgw = world.cfgw().await;
    world.answers("https://app.example.com/").await;
    world.settled().await;
    let before = world.calls().len();

    let hosts: Vec<String> = (0..16).map(|n| format!("h{n}.example.com")).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let rules = "    - backendRefs: [{name: two, port: 80}]\n";
    world.write(
        "many.yaml",
        &route_with("many", "my-gateway", &hosts, rules),
    );
    for host in &hosts {
        world.answers_with(&format!("https://{host}/"), "two").await;
    }

    let writes: Vec<_> = world
        .calls()
        .split_off(before)
        .into_iter()
        .filter(|c| c.write)
        .collect();
    let of = |end: &str| writes.iter().filter(|c| c.path.ends_with(end)).count();
    assert_eq!(
        (
            of("/dns_records/batch"),
            of("/configurations"),
            writes.len()
        ),
        (1, 1, 2),
        "{writes:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_removed_while_nothing_runs_is_cleaned_up_at_the_next_start() {
    let (world, _one, _two) = world().await;
    let cfgw = world.cfgw().await;
    world.answers("https://app.example.com/").await;
    cfgw.kill().await;
    let documents = gateway(&world.token, ACCOUNT);
    let without_gateway: Vec<&str> = documents
        .split("---\n")
        .filter(|d| !d.contains("kind: Gateway\n"))
        .collect();
    world.write("gateway.yaml", &without_gateway.join("---\n"));

    let _cfgw = world.spawn();
    within(
        Duration::from_secs(10),
        "tunnel and record are gone",
        || async { (world.tunnels().is_empty() && world.records().is_empty()).then_some(()) },
    )
    .await;
}
