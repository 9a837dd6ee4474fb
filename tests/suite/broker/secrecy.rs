//! The credentials stay with the broker.

use tests::broker::{Broker, EAST};
use tests::manifests::{class_without_parameters, gateway_named, route, service};
use tests::origin::Origin;
use tests::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_behind_a_broker_serves_and_never_gets_the_credentials() {
    let origin = Origin::start("app").await;
    let world = World::start().await;
    let broker = Broker::start(&world).await;
    world.write("class.yaml", &class_without_parameters());
    world.write("gateway.yaml", &gateway_named("my-gateway"));
    world.write("app.yaml", &service("app", &[origin.address]));
    world.write("route.yaml", &route("app", "app.example.com", "app"));
    let cfgw = world.cfgw_behind(&broker.url(), EAST.token).await;

    world.answers("https://app.example.com/").await;
    for (object, condition) in [
        ("gatewayclass cloudflare", "Accepted"),
        ("gateway default/my-gateway", "Programmed"),
        (
            "httproute default/app",
            "cloudflare-gateway-controller.io/DNS",
        ),
    ] {
        let is_true = |c: &tests::world::ConditionSeen| c.status == "True";
        world.condition(object, condition, is_true).await;
    }
    let name = &world.tunnels()[0].name;
    assert!(name.contains("/clusters/east/"), "{name}");

    assert!(world.token.starts_with("canary-"));
    let shown = cfgw.environment_and_arguments();
    assert!(shown.contains("EDGE__BROKER__URL"), "{shown}");
    assert!(!shown.contains(&world.token), "{shown}");
    assert!(!cfgw.metrics().await.contains(&world.token));
    let files = world.files_of_the_cluster();
    let log = files.iter().find(|(path, _)| path.ends_with("state.log"));
    assert!(log.is_some_and(|(_, text)| text.contains("standalone started")));
    for (path, text) in files {
        assert!(!text.contains(&world.token), "{}", path.display());
        // The connector token and the cluster's own are secrets too.
        if path.file_name().is_some_and(|name| name != "cluster-token") {
            assert!(!text.contains(EAST.token), "{}", path.display());
        }
    }
}
