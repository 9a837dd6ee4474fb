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
    let cfgw = world
        .cfgw_behind(&broker.url(), &broker.invite(EAST).await)
        .await;

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
    let text_of = |name: &str| {
        let found = files.iter().find(|(path, _)| path.ends_with(name));
        found.expect("a file of that name").1.trim().to_owned()
    };
    let own = [
        ("cluster-code", text_of("cluster-code")),
        ("broker-key", text_of("broker-key")),
    ];
    for (path, text) in &files {
        assert!(!text.contains(&world.token), "{}", path.display());
        for (name, secret) in &own {
            let is_its_own = path.ends_with(name);
            assert!(is_its_own || !text.contains(secret), "{}", path.display());
        }
    }
    // The broker keeps the token sealed, and the code not at all.
    for entry in std::fs::read_dir(broker.files()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let holds = |secret: &str| {
            bytes
                .windows(secret.len())
                .any(|it| it == secret.as_bytes())
        };
        let is_given = path.ends_with("cloudflare-token");
        assert!(is_given || !holds(&world.token), "{}", path.display());
        assert!(!holds(&own[0].1) && !holds(&own[1].1), "{}", path.display());
    }
}
