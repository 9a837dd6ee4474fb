//! The quickstart, from manifests to an answered request.

use std::time::Duration;

use tests::origin::Origin;
use tests::world::{ACCOUNT, World, within};

/// Tunnels, ingress document, zones, records, connector token.
const READS_OF_A_START: usize = 5;

async fn quickstart() -> (World, Origin) {
    let origin = Origin::start("app").await;
    let world = World::start().await;
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/examples/quickstart/quickstart.yaml"
    );
    let manifests = std::fs::read_to_string(folder).expect("the quickstart is part of the project");
    let manifests = manifests
        .replace("your-api-token", &world.token)
        .replace("your-account-id", ACCOUNT);
    world.write("quickstart.yaml", &manifests);
    world.write(
        "app.yaml",
        &tests::manifests::service("my-service", &[origin.address]),
    );
    (world, origin)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_reaches_the_app_with_host_and_path_unchanged() {
    let (world, _origin) = quickstart().await;
    let _cfgw = world.cfgw().await;

    let answer = world
        .answers("https://app.example.com/some/path%2Fwith?q=1&q=2")
        .await;

    assert_eq!(answer.told("name"), "app");
    assert_eq!(answer.told("host"), "app.example.com");
    assert_eq!(answer.told("target"), "/some/path%2Fwith?q=1&q=2");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tunnel_one_document_and_one_record_are_made() {
    let (world, _origin) = quickstart().await;
    let _cfgw = world.cfgw().await;
    world.answers("https://app.example.com/").await;

    let tunnels = world.tunnels();
    assert_eq!(tunnels.len(), 1, "{tunnels:?}");
    let tunnel = &tunnels[0];
    assert_eq!(
        tunnel.name,
        format!(
            "cloudflare-gateway-controller.io/clusters/test/instances/{}/namespaces/default/gateways/my-gateway",
            world.instance()
        )
    );
    assert_eq!(tunnel.config_src, "cloudflare");
    assert_eq!(
        tunnel.ingress,
        serde_json::json!([
            {"hostname": "app.example.com", "service": "http://my-gateway.default"},
            {"service": "http_status:404"},
        ])
    );

    let records = world.records();
    assert_eq!(records.len(), 1, "{records:?}");
    let record = &records[0];
    assert_eq!(
        (record.kind.as_str(), record.name.as_str()),
        ("CNAME", "app.example.com")
    );
    assert_eq!(record.content, format!("{}.cfargotunnel.com", tunnel.id));
    assert!(record.proxied);
    assert!(
        record.comment.starts_with("cfgw1 ") && record.comment.len() <= 100,
        "{}",
        record.comment
    );

    let by_name = world
        .client
        .resolve("app.example.com")
        .await
        .expect("the name resolves");
    assert_eq!(by_name, vec![std::net::IpAddr::V4(tunnel.address)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_reconcile_writes_nothing_and_reads_a_constant_number_of_times() {
    let (world, _origin) = quickstart().await;
    let cfgw = world.cfgw().await;
    world.answers("https://app.example.com/").await;
    cfgw.kill().await;

    for _ in 0..2 {
        let before = world.calls().len();
        let cfgw = world.cfgw().await;
        let calls = within(
            Duration::from_secs(10),
            "the pass after a restart",
            || async {
                let calls = world.calls().split_off(before);
                (calls.len() >= READS_OF_A_START).then_some(calls)
            },
        )
        .await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let all = world.calls().split_off(before);
        assert_eq!(all.iter().filter(|c| c.write).count(), 0, "{all:?}");
        assert_eq!(all.len(), READS_OF_A_START, "{calls:?}");
        cfgw.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_say_that_all_is_well() {
    let (world, _origin) = quickstart().await;
    let _cfgw = world.cfgw().await;
    world.answers("https://app.example.com/").await;
    for (object, condition) in [
        ("gatewayclass cloudflare", "Accepted"),
        ("gateway default/my-gateway", "Accepted"),
        ("gateway default/my-gateway", "Programmed"),
        ("httproute default/my-route", "Accepted"),
        ("httproute default/my-route", "ResolvedRefs"),
        (
            "httproute default/my-route",
            "cloudflare-gateway-controller.io/DNS",
        ),
    ] {
        world
            .condition(object, condition, |c| c.status == "True")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_command_shows_every_object_with_its_conditions() {
    let (world, _origin) = quickstart().await;
    let _cfgw = world.cfgw().await;
    world.answers("https://app.example.com/").await;
    world
        .condition("gateway default/my-gateway", "Programmed", |c| {
            c.status == "True"
        })
        .await;

    let shown = world.status_command().await;

    let address = format!("{}.cfargotunnel.com", world.tunnels()[0].id);
    for wanted in [
        "GatewayClass cloudflare",
        "Gateway default/my-gateway",
        "HTTPRoute default/my-route",
        &address,
    ] {
        assert!(shown.contains(wanted), "{wanted} is not in\n{shown}");
    }
}
