//! Two installations of one name in one account.

use std::time::Duration;

use tests::manifests::{class, gateway_named, route_with, secret, service};
use tests::origin::Origin;
use tests::process::Cfgw;
use tests::world::{ACCOUNT, World, within};

/// Longer than two resyncs of both.
const A_WHILE: Duration = Duration::from_secs(5);

/// A cluster with one Gateway and one route of this name, which leads `<name>.example.com` to an endpoint.
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

async fn logs(cfgw: &Cfgw, text: &str) {
    within(Duration::from_secs(20), text, || async {
        cfgw.log().contains(text).then_some(())
    })
    .await;
}

/// Condition and log say that the installation is not alone with its name.
async fn says_so(world: &World, state: &str, gateway: &str, cfgw: &Cfgw) {
    let object = format!("gateway default/{gateway}");
    let condition = "cloudflare-gateway-controller.io/DNS";
    // A conflict may be told before it is known where it comes from.
    let told = world.condition_in(state, &object, condition, |seen| {
        seen.reason == "NameNotUnique"
    });
    let told = told.await;
    assert_eq!(told.status, "False");
    assert!(told.message.contains("is named test too"), "{told:?}");
    logs(cfgw, "is named test too").await;
}

fn removed(cfgw: &Cfgw) -> bool {
    cfgw.log().contains("at Cloudflare: removed")
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
        says_so(&world, first, first, &there).await;
        says_so(&world, second, second, &came).await;
        for name in [first, second] {
            world.answers(&format!("https://{name}.example.com/")).await;
        }
        tokio::time::sleep(A_WHILE).await;
        let (tunnels_now, records_now) = (world.tunnels(), world.records());
        assert_eq!((tunnels_now.len(), records_now.len()), (2, 2));
        assert!(tunnels_now.iter().any(|one| one.id == tunnels[0].id));
        assert!(records.iter().all(|one| records_now.contains(one)));
        assert!(!removed(&there) && !removed(&came));
    }
}

/// How the second installation comes to be.
#[derive(Clone, Copy, PartialEq)]
enum Came {
    Later,
    AtTheSameTime,
    /// From a copy of the first one's state folder.
    Copied,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostname_of_a_gateway_of_both_stays_with_the_one_that_has_it_and_both_say_so() {
    for came in [Came::Later, Came::AtTheSameTime, Came::Copied] {
        let origins = [Origin::start("a").await, Origin::start("b").await];
        let world = World::start().await;
        let manifests = origins
            .each_ref()
            .map(|origin| cluster(&world, "app", origin));
        let url = "https://app.example.com/";
        let (a, b) = match came {
            Came::AtTheSameTime => tokio::join!(
                world.namesake("a", &manifests[0]),
                world.namesake("b", &manifests[1])
            ),
            Came::Later | Came::Copied => {
                let a = world.namesake("a", &manifests[0]).await;
                world.answers_with(url, "a").await;
                if came == Came::Copied {
                    world.copy_state("a", "b");
                }
                (a, world.namesake("b", &manifests[1]).await)
            }
        };
        says_so(&world, "a", "app", &a).await;
        says_so(&world, "b", "app", &b).await;
        let holder = world.answers(url).await.told("name").to_owned();
        assert!(came == Came::AtTheSameTime || holder == "a", "{holder}");
        let (tunnels, records) = (world.tunnels(), world.records());
        assert_eq!((tunnels.len(), records.len()), (2, 1));

        let (other, log) = if holder == "a" { ("b", &b) } else { ("a", &a) };
        let dns = "cloudflare-gateway-controller.io/DNS";
        for (object, reason) in [
            ("gateway default/app", "NameNotUnique"),
            ("httproute default/app", "RecordConflict"),
        ] {
            let lost = |seen: &tests::world::ConditionSeen| {
                let words = "another installation of the same name has the record";
                seen.reason == reason && seen.message.contains(words)
            };
            let told = world.condition_in(other, object, dns, lost).await;
            let tunnel = tunnels.iter().find(|one| told.message.contains(&one.name));
            let tunnel = tunnel.unwrap_or_else(|| panic!("it names the tunnel: {told:?}"));
            assert!(records[0].content.starts_with(&tunnel.id.to_string()));
        }
        logs(log, "another installation of the same name has the record").await;

        world.connections(8).await;
        let connections = world.live_connections();
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(world.records(), records);
        assert_eq!(world.live_connections(), connections, "8, none replaced");
        assert_eq!(connections.len(), 8);
        world.answers_with(url, &holder).await;
        assert!(!removed(&a) && !removed(&b));
    }
}

/// Both have one instance id: each takes the other's Gateway for one of its own that is gone.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_instance_twice_takes_nothing_that_is_in_use_and_both_say_so() {
    for [first, second] in [["one", "two"], ["two", "one"]] {
        let origins = [Origin::start(first).await, Origin::start(second).await];
        let world = World::start().await;
        let manifests = cluster(&world, first, &origins[0]);
        let there = world.namesake(first, &manifests).await;
        world
            .answers(&format!("https://{first}.example.com/"))
            .await;
        let (tunnels, records) = (world.tunnels(), world.records());
        world.same_instance(first, second);
        let manifests = cluster(&world, second, &origins[1]);
        let came = world.namesake(second, &manifests).await;
        for cfgw in [&there, &came] {
            logs(cfgw, "Where a copy of installation test").await;
        }
        for name in [first, second] {
            world.answers(&format!("https://{name}.example.com/")).await;
        }
        let (tunnels_now, records_now) = (world.tunnels(), world.records());
        assert_eq!((tunnels_now.len(), records_now.len()), (2, 2));
        assert!(tunnels_now.iter().any(|one| one.id == tunnels[0].id));
        assert!(records.iter().all(|one| records_now.contains(one)));
        assert!(!removed(&there) && !removed(&came));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilt_installation_takes_its_hostname_over_and_answers() {
    let origins = [Origin::start("old").await, Origin::start("new").await];
    let world = World::start().await;
    let url = "https://app.example.com/";
    let manifests = origins
        .each_ref()
        .map(|origin| cluster(&world, "app", origin));
    let mut old = world.namesake("old", &manifests[0]).await;
    world.answers_with(url, "old").await;
    let (tunnels, records) = (world.tunnels(), world.records());
    old.terminate().await;
    assert!(old.ended(Duration::from_secs(40)).await);

    let new = world.namesake("new", &manifests[1]).await;
    world.answers_with(url, "new").await;
    let records_now = world.records();
    assert_eq!(records_now.len(), 1);
    assert_eq!(records_now[0].id, records[0].id, "it was changed in place");
    let tunnels_now = world.tunnels();
    assert_eq!(tunnels_now.len(), 1);
    assert_eq!(tunnels_now[0].id, tunnels[0].id, "its address stays");
    assert_ne!(tunnels_now[0].name, tunnels[0].name);
    assert!(!removed(&new));
    logs(&new, "at Cloudflare: adopted tunnel").await;
}
