//! The token of a tunnel is replaced while requests go on, directly and behind a broker.

use std::collections::BTreeSet;
use std::time::Duration;

use tests::broker::{Broker, EAST};
use tests::load::Load;
use tests::manifests::{class_without_parameters, gateway, gateway_named, route, service};
use tests::origin::Origin;
use tests::process::Cfgw;
use tests::world::{ACCOUNT, World, within};
use uuid::Uuid;

const URL: &str = "https://app.example.com/slow/300";

/// The manifests of a Gateway that asks for a new token by this value.
fn requested(manifests: &str, value: &str) -> String {
    let group = "gateways.cloudflare-gateway-controller.io";
    let annotated = format!(
        "metadata: {{name: my-gateway, namespace: default, annotations: {{{group}/rotateTokenRequestedAt: \"{value}\"}}}}"
    );
    manifests.replace(
        "metadata: {name: my-gateway, namespace: default}",
        &annotated,
    )
}

fn load(world: &World) -> Load {
    let client = world.client.clone();
    Load::start(8, Duration::from_millis(5), move || {
        let client = client.clone();
        async move {
            match client.get(URL).await {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(format!("{} {}", answer.status, answer.body)),
                Err(error) => Err(error),
            }
        }
    })
}

/// Calls to Cloudflare that replaced a token.
fn replaced(world: &World) -> usize {
    let calls = world.calls().into_iter();
    calls
        .filter(|call| call.method == "PATCH" && call.path.contains("/cfd_tunnel/"))
        .count()
}

/// Connectors with a connection.
fn connectors(world: &World) -> BTreeSet<Uuid> {
    let tunnels = world.tunnels();
    let connections = tunnels
        .iter()
        .flat_map(|tunnel| world.standin.cloud().connections(tunnel.id));
    connections.map(|connection| connection.connector).collect()
}

/// Asks for a new token under load, and waits until a connector with it alone is left.
async fn rotates_without_a_failed_request(world: &World, cfgw: Cfgw, manifests: &str) {
    world.answers("https://app.example.com/").await;
    world.connections(4).await;
    world.settled().await;
    let (tokens, before) = (world.connector_tokens(), connectors(world));
    let load = load(world);
    tokio::time::sleep(Duration::from_millis(500)).await;

    world.write("gateway.yaml", &requested(manifests, "now"));

    within(
        Duration::from_secs(30),
        "another connector alone",
        || async {
            let now = connectors(world);
            (now.len() == 1 && now.is_disjoint(&before)).then_some(())
        },
    )
    .await;
    world.settled().await;
    let report = load.stop().await;
    println!("{} requests while the token was replaced", report.requests);
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    assert_ne!(world.connector_tokens(), tokens);
    assert_eq!(replaced(world), 1);

    // A process that knows it only from the state folder.
    cfgw.kill().await;
    let _again = world.spawn();
    world.answers("https://app.example.com/").await;
    world.settled().await;
    assert_eq!(replaced(world), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_replaced_once_under_load_and_no_request_fails() {
    let origin = Origin::start("app").await;
    let world = World::start_alone().await;
    let manifests = gateway(&world.token, ACCOUNT);
    world.write("gateway.yaml", &manifests);
    world.write("app.yaml", &service("app", &[origin.address]));
    world.write("route.yaml", &route("app", "app.example.com", "app"));
    let cfgw = world.cfgw().await;
    rotates_without_a_failed_request(&world, cfgw, &manifests).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_broker_the_broker_replaces_the_token() {
    let origin = Origin::start("app").await;
    let world = World::start_alone().await;
    let broker = Broker::start(&world).await;
    world.write("class.yaml", &class_without_parameters());
    let manifests = gateway_named("my-gateway");
    world.write("gateway.yaml", &manifests);
    world.write("app.yaml", &service("app", &[origin.address]));
    world.write("route.yaml", &route("app", "app.example.com", "app"));
    let cfgw = world
        .cfgw_behind(&broker.url(), &broker.invite(EAST).await)
        .await;
    world.answers("https://app.example.com/").await;
    world.connections(4).await;
    world.settled().await;
    let before = connectors(&world);
    world.write("gateway.yaml", &requested(&manifests, "now"));
    within(
        Duration::from_secs(30),
        "another connector alone",
        || async {
            let now = connectors(&world);
            (now.len() == 1 && now.is_disjoint(&before)).then_some(())
        },
    )
    .await;
    assert_eq!(replaced(&world), 1);
    drop(cfgw);
}
