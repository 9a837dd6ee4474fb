//! Two installations of one name in one account.

use std::time::Duration;

use tests::manifests::{class, gateway_named, route_with, secret, service};
use tests::origin::Origin;
use tests::world::{ACCOUNT, World, within};

/// A cluster with one Gateway and one route of this name.
fn cluster(world: &World, name: &str, origin: &Origin) -> Vec<(&'static str, String)> {
    let hostname = format!("{name}.example.com");
    let rules = format!("    - backendRefs: [{{name: {name}, port: 80}}]\n");
    vec![
        (
            "secret.yaml",
            secret("cloudflare-creds", &world.token, ACCOUNT),
        ),
        ("class.yaml", class()),
        ("gateway.yaml", gateway_named(name)),
        ("service.yaml", service(name, &[origin.address])),
        ("route.yaml", route_with(name, name, &[&hostname], &rules)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn two_installations_of_one_name_take_nothing_from_each_other_and_both_say_so() {
    for [first, second] in [["one", "two"], ["two", "one"]] {
        let origins = [Origin::start(first).await, Origin::start(second).await];
        let world = World::start().await;
        let manifests = cluster(&world, first, &origins[0]);
        let there = world.namesake(first, &manifests).await;
        world
            .answers(&format!("https://{first}.example.com/"))
            .await;
        let (tunnels, records) = (world.tunnels(), world.records());
        let manifests = cluster(&world, second, &origins[1]);
        let came = world.namesake(second, &manifests).await;
        for cfgw in [&there, &came] {
            within(Duration::from_secs(20), "it says so", || async {
                let log = cfgw.log();
                let said = log.contains("Where another installation is named test too");
                said.then_some(())
            })
            .await;
        }
        for name in [first, second] {
            world.answers(&format!("https://{name}.example.com/")).await;
        }
        let (tunnels_now, records_now) = (world.tunnels(), world.records());
        assert_eq!((tunnels_now.len(), records_now.len()), (2, 2));
        assert!(tunnels_now.iter().any(|one| one.id == tunnels[0].id));
        assert!(records.iter().all(|one| records_now.contains(one)));
        assert!(!there.log().contains("deleted a"), "{}", there.log());
        assert!(!came.log().contains("deleted a"), "{}", came.log());
    }
}
