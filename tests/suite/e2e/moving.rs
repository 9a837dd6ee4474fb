//! A Gateway gets another class, and so another Cloudflare account, while requests go on and `cfgw` is restarted.

use std::time::Duration;

use standin::cloud::{Account, ApiToken, Plan};
use tests::load::Load;
use tests::manifests::{class, gateway_named, route_with, secret, service};
use tests::origin::Origin;
use tests::world::{ACCOUNT, World, within};

/// The account that the Gateway moves to.
const OTHER: &str = "fedcba9876543210fedcba9876543210";

/// Two accounts with a class each, and a Gateway of one of them.
fn manifests(world: &World, class_name: &str) -> String {
    let other = class()
        .replace("name: cloudflare}", "name: other}")
        .replace("cloudflare-creds", "other-creds");
    format!(
        "{}---\n{}---\n{}---\n{other}---\n{}",
        secret("cloudflare-creds", &world.token, ACCOUNT),
        secret("other-creds", "token-of-other", OTHER),
        class(),
        gateway_named("my-gateway").replace(
            "gatewayClassName: cloudflare",
            &format!("gatewayClassName: {class_name}")
        )
    )
}

/// Asks by the name in the zone of one account, and where that is not served by the one in the other's.
fn load(world: &World) -> Load {
    let client = world.client.clone();
    Load::start(4, Duration::from_millis(5), move || {
        let client = client.clone();
        async move {
            let mut told = String::new();
            for zone in ["example.com", "example.org"] {
                match client.get(&format!("https://app.{zone}/")).await {
                    Ok(answer) if answer.status == 200 => return Ok(()),
                    Ok(answer) => told += &format!("{zone}: {} {}; ", answer.status, answer.body),
                    Err(error) => told += &format!("{zone}: {error}; "),
                }
            }
            Err(told)
        }
    })
}

/// Names of records and numbers of tunnels, of the first and of the other account.
fn at_cloudflare(world: &World) -> (usize, usize, usize, usize) {
    let cloud = world.standin.cloud();
    let tunnels = |account: &str| {
        let all = cloud.tunnels().into_iter();
        all.filter(|it| it.deleted_at.is_none() && it.account == account)
            .count()
    };
    let records = |name: &str| {
        let zones = cloud.zones();
        let zone = zones.iter().find(|zone| zone.name == name);
        zone.map_or(0, |zone| cloud.records(&zone.id).len())
    };
    (
        tunnels(ACCOUNT),
        records("example.com"),
        tunnels(OTHER),
        records("example.org"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_of_another_class_is_served_all_the_while_and_leaves_nothing_behind() {
    let world = World::start().await;
    let cloud = world.standin.cloud();
    cloud.add_account(Account {
        id: OTHER.to_owned(),
        name: "other".to_owned(),
        plan: Plan::Free,
    });
    cloud.add_zone(OTHER, "example.org");
    cloud.add_token(ApiToken::all_powerful(OTHER, "token-of-other"));
    let origin = Origin::start("app").await;
    let rules = "    - backendRefs: [{name: app, port: 80}]\n";
    let names = ["app.example.com", "app.example.org"];
    world.write("app.yaml", &service("app", &[origin.address]));
    world.write(
        "route.yaml",
        &route_with("my-route", "my-gateway", &names, rules),
    );
    world.write("gateway.yaml", &manifests(&world, "cloudflare"));
    let often = [("CFGW_RESYNC_INTERVAL", "10s".to_owned())];
    let cfgw = world.cfgw_with(&often).await;
    world.answers("https://app.example.com/").await;
    world.settled().await;
    assert_eq!(at_cloudflare(&world), (1, 1, 0, 0));

    let load = load(&world);
    world.write("gateway.yaml", &manifests(&world, "other"));
    world.answers("https://app.example.org/").await;
    let report = load.stop().await;
    assert_eq!(report.failures, Vec::<String>::new());
    println!("{} requests while the Gateway moved", report.requests);

    cfgw.kill().await;
    let _again = world.cfgw_with(&often).await;
    let limit = Duration::from_secs(60);
    within(limit, "nothing is left in the former account", || async {
        (at_cloudflare(&world) == (0, 0, 1, 1)).then_some(())
    })
    .await;
    world.answers("https://app.example.org/").await;
}
