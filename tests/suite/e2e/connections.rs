//! Connections to the edge come and go; requests do not notice.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tests::load::Load;
use tests::manifests::{gateway, route, service};
use tests::origin::Origin;
use tests::world::{ACCOUNT, World, within};

async fn world() -> (World, Origin) {
    let origin = Origin::start("app").await;
    let world = World::start_alone().await;
    world.write("gateway.yaml", &gateway(&world.token, ACCOUNT));
    world.write("app.yaml", &service("app", &[origin.address]));
    world.write("route.yaml", &route("app", "app.example.com", "app"));
    (world, origin)
}

fn load(world: &World) -> Load {
    let client = world.client.clone();
    Load::start(8, Duration::from_millis(5), move || {
        let client = client.clone();
        async move {
            match client.get("https://app.example.com/slow/30").await {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(format!("{} {}", answer.status, answer.body)),
                Err(error) => Err(error),
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn four_connections_over_quic_serve_as_configured_and_the_metrics_say_so() {
    let (world, _origin) = world().await;
    let quic = [("CFGW_TUNNEL__PROTOCOL", "quic".to_owned())];
    let cfgw = world.cfgw_with(&quic).await;
    world.answers("https://app.example.com/").await;
    world.connections(4).await;
    let load = load(&world);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let report = load.stop().await;
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    let metrics = cfgw.metrics().await;
    let told = "tunnel_connections_registered{transport=\"quic\"} 4";
    assert!(metrics.contains(told), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_four_connections_dies_and_no_new_request_fails() {
    let (world, _origin) = world().await;
    let _cfgw = world.cfgw().await;
    world.answers("https://app.example.com/").await;
    world.connections(4).await;
    world.kill_connection().await;

    // From here on: new requests only.
    let began = Instant::now();
    let load = load(&world);
    world.connections(4).await;
    println!("four connections again after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(10));
    let report = load.stop().await;
    assert!(report.failures.is_empty(), "{:?}", report.failures);
}

/// One connection falls silent: nothing arrives any more, and it is not closed.
async fn silence(protocol: &str) {
    let (world, _origin) = world().await;
    let over = [("CFGW_TUNNEL__PROTOCOL", protocol.to_owned())];
    let _cfgw = world.cfgw_with(&over).await;
    world.answers("https://app.example.com/").await;
    world.connections(4).await;
    let wedged = world.wedge_connection().await;

    let began = Instant::now();
    let load = load(&world);
    within(
        Duration::from_secs(5),
        "four connections without the wedged one",
        || async {
            let others = world
                .live_connections()
                .into_iter()
                .filter(|c| *c != wedged)
                .count();
            (others >= 4).then_some(())
        },
    )
    .await;
    let took = began.elapsed();
    let report = load.stop().await;
    println!(
        "a silent connection over {protocol} was replaced after {took:.2?}, with {} requests meanwhile",
        report.requests
    );
    assert!(report.requests > 0, "the other connections serve");
    assert!(report.failures.is_empty(), "{:?}", report.failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_over_tcp_is_replaced_within_five_seconds_and_requests_go_on() {
    silence("http2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_over_udp_is_replaced_within_five_seconds_and_requests_go_on() {
    silence("quic").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_replicas_is_terminated_under_load_and_no_request_fails() {
    let (world, _origin) = world().await;
    let mut first = world.cfgw().await;
    let _second = world.replica("second").await;
    world.answers("https://app.example.com/").await;
    world.connections(8).await;
    let load = load(&world);
    tokio::time::sleep(Duration::from_millis(300)).await;

    first.terminate().await;
    assert!(
        first.ended(Duration::from_secs(20)).await,
        "it ends without an error"
    );

    tokio::time::sleep(Duration::from_millis(300)).await;
    let report = load.stop().await;
    println!("{} requests while a replica left", report.requests);
    assert!(report.failures.is_empty(), "{:?}", report.failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_replica_is_terminated_and_requests_in_flight_finish() {
    let (world, origin) = world().await;
    let mut cfgw = world.cfgw().await;
    world.answers("https://app.example.com/").await;
    let before = origin.requests();
    let in_flight: Vec<_> = (0..10)
        .map(|_| {
            let client = world.client.clone();
            tokio::spawn(async move { client.get("https://app.example.com/slow/1500").await })
        })
        .collect();
    within(
        Duration::from_secs(5),
        "ten requests at the endpoint",
        || async { (origin.requests() >= before + 10).then_some(()) },
    )
    .await;

    cfgw.terminate().await;

    for request in in_flight {
        let answer = request
            .await
            .expect("no panic")
            .expect("the request finishes");
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    assert!(cfgw.ended(Duration::from_secs(20)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_edge_goes_away_for_ten_seconds_and_comes_back() {
    let (world, _origin) = world().await;
    let _cfgw = world.cfgw().await;
    world.answers("https://app.example.com/").await;

    world.edge_away().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    world.edge_back().await;

    let began = Instant::now();
    world.answers("https://app.example.com/").await;
    world.connections(4).await;
    println!(
        "served again {:?} after the edge came back",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_that_was_deleted_by_hand_is_made_anew_as_soon_as_the_edge_says_so() {
    let (world, _origin) = world().await;
    let _cfgw = world.cfgw().await;
    world.answers("https://app.example.com/").await;
    world.edge_away().await;
    world.delete_tunnels();

    world.edge_back().await;

    let began = Instant::now();
    world.answers("https://app.example.com/").await;
    let took = began.elapsed();
    println!("served again {took:.2?} after the edge refused the tunnel");
    assert!(took < Duration::from_secs(15), "not at the next resync");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_edge_is_found_by_dns_in_two_regions() {
    let (world, _origin) = world().await;
    let found_by_dns = [
        ("CFGW_TUNNEL__EDGE", "discover".to_owned()),
        (
            "CFGW_TUNNEL__NAME_SERVERS",
            world.standin.dns_addr().to_string(),
        ),
    ];
    let _cfgw = world.cfgw_with(&found_by_dns).await;
    world.answers("https://app.example.com/").await;
    world.connections(4).await;

    let connections = world.standin.edge().connections();
    let dialled: BTreeSet<_> = connections.iter().map(|c| c.edge_address).collect();
    assert_eq!(
        dialled.len(),
        4,
        "each connection has an address of its own: {dialled:?}"
    );
}
