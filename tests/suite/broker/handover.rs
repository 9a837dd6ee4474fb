//! A cluster with credentials of its own goes behind a broker, and leaves it again: tunnel and records stay what they are.

use std::time::Duration;

use tests::broker::{Broker, Member};
use tests::manifests::{class, class_without_parameters, gateway_named, route, secret, service};
use tests::origin::Origin;
use tests::process::Cfgw;
use tests::world::{ACCOUNT, World, within};

/// Named at the broker as the installation is named in its settings: the name is in tunnels and marks.
const CLUSTER: Member = Member("test");
const KEPT: &str = "https://app.example.com/";
const COMING: &str = "coming.example.com";

/// Tunnels and records with their ids and what they lead to, and how much was written for that.
fn seen(world: &World) -> (String, usize) {
    let holdings = format!("{:?} {:?}", world.tunnels(), world.records());
    let writes = world.calls().iter().filter(|call| call.write).count();
    (holdings, writes)
}

fn with_own_credentials(world: &World) {
    world.write(
        "credentials.yaml",
        &secret("cloudflare-creds", &world.token, ACCOUNT),
    );
    world.write("class.yaml", &class());
}

async fn ended(mut cfgw: Cfgw) {
    cfgw.terminate().await;
    assert!(cfgw.ended(Duration::from_secs(20)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_goes_behind_a_broker_and_back_and_keeps_its_tunnel_and_records() {
    let origin = Origin::start("app").await;
    let world = World::start().await;
    let broker = Broker::start(&world).await;
    with_own_credentials(&world);
    world.write("gateway.yaml", &gateway_named("my-gateway"));
    world.write("app.yaml", &service("app", &[origin.address]));
    world.write("route.yaml", &route("kept", "app.example.com", "app"));
    let direct = world.cfgw().await;
    world.answers(KEPT).await;
    world.settled().await;
    ended(direct).await;
    let before = seen(&world);

    world.remove("credentials.yaml");
    world.write("class.yaml", &class_without_parameters());
    let code = broker.invite(CLUSTER).await;
    let behind = world.cfgw_behind(&broker.url(), &code).await;
    world.answers(KEPT).await;
    world.settled().await;
    assert_eq!(seen(&world), before);
    world.write("coming.yaml", &route("coming", COMING, "app"));
    world.answers(&format!("https://{COMING}/")).await;
    world.settled().await;
    ended(behind).await;
    let before = seen(&world);

    let told = broker.command(&["release", CLUSTER.0]).await;
    assert!(told.contains("stays as it is"), "{told}");
    with_own_credentials(&world);
    let _direct = world.cfgw().await;
    world.answers(KEPT).await;
    world.settled().await;
    assert_eq!(seen(&world), before);
    world.remove("coming.yaml");
    within(Duration::from_secs(20), "its record is gone", || async {
        let records = world.records();
        let gone = records.iter().all(|record| record.name != COMING);
        gone.then_some(())
    })
    .await;
    let listed = broker.command(&["clusters"]).await;
    assert!(listed.contains("released"), "{listed}");
}
