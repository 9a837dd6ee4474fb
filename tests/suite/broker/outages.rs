//! The broker fails in every way: traffic flows, nothing is deleted, statuses show it, and all converges.

use std::time::Duration;

use standin::cloud::{CallMatch, Effect, Fault};
use tests::broker::{Broker, EAST};
use tests::front::{Front, Way};
use tests::load::Load;
use tests::manifests::{class_without_parameters, gateway_named, route, service};
use tests::origin::Origin;
use tests::process::Cfgw;
use tests::world::{World, within};

const DNS: &str = "cloudflare-gateway-controller.io/DNS";
const KEPT: &str = "https://app.example.com/";

/// A cluster behind a broker that serves two names.
struct Scene {
    world: World,
    broker: Broker,
    fronts: Vec<Front>,
    _origin: Origin,
    _cfgw: Cfgw,
}

impl Scene {
    async fn set() -> Self {
        Self::set_with(1).await
    }

    /// The broker has so many addresses.
    async fn set_with(addresses: usize) -> Self {
        let origin = Origin::start("app").await;
        let world = World::start().await;
        let broker = Broker::start(&world).await;
        let mut fronts = Vec::new();
        for _ in 0..addresses {
            fronts.push(Front::before(broker.address()).await);
        }
        let urls: Vec<String> = fronts.iter().map(Front::url).collect();
        world.write("class.yaml", &class_without_parameters());
        world.write("gateway.yaml", &gateway_named("my-gateway"));
        world.write("app.yaml", &service("app", &[origin.address]));
        world.write("route.yaml", &route("kept", "app.example.com", "app"));
        world.write("going.yaml", &route("going", "going.example.com", "app"));
        let code = broker.invite(EAST).await;
        let cfgw = world.cfgw_behind(&urls.join(","), &code).await;
        world.answers(KEPT).await;
        world.answers("https://going.example.com/").await;
        Self {
            world,
            broker,
            fronts,
            _origin: origin,
            _cfgw: cfgw,
        }
    }

    fn load(&self) -> Load {
        let client = self.world.client.clone();
        Load::start(2, Duration::from_millis(20), move || {
            let client = client.clone();
            async move {
                match client.get(KEPT).await {
                    Ok(answer) if answer.status == 200 => Ok(()),
                    Ok(answer) => Err(format!("{} {}", answer.status, answer.body)),
                    Err(error) => Err(error),
                }
            }
        })
    }

    /// Goes through an outage of this sort with a name that comes and one that goes.
    async fn survive(&self, way: Way) {
        let world = &self.world;
        let (tunnels, records) = (world.tunnels().len(), world.records());
        let load = self.load();
        self.fronts[0].go(way);
        world.remove("going.yaml");
        world.write("coming.yaml", &route("coming", "coming.example.com", "app"));
        for object in ["httproute default/coming", "gateway default/my-gateway"] {
            let seen = world
                .condition(object, DNS, |c| c.reason == "BrokerUnavailable")
                .await;
            assert_eq!(seen.status, "Unknown", "{object}");
            let age = "has not answered for";
            assert!(seen.message.contains(age), "{}", seen.message);
        }
        let kept = world
            .condition("httproute default/kept", DNS, |c| {
                c.message.contains("BrokerUnavailable")
            })
            .await;
        assert_eq!(kept.status, "True", "what was there is there: {kept:?}");
        if way != Way::HalfAnswer {
            assert_eq!(world.records(), records);
        }
        assert_eq!(world.tunnels().len(), tunnels);

        self.fronts[0].go(Way::Through);
        world.answers("https://coming.example.com/").await;
        within(Duration::from_secs(20), "what went has gone", || async {
            let records = world.records();
            let gone = records.iter().all(|r| r.name != "going.example.com");
            gone.then_some(())
        })
        .await;
        let settled = |c: &tests::world::ConditionSeen| {
            c.status == "True" && !c.message.contains("BrokerUnavailable")
        };
        for object in ["httproute default/coming", "httproute default/kept"] {
            world.condition(object, DNS, settled).await;
        }
        let report = load.stop().await;
        assert!(report.failures.is_empty(), "{:?}", report.failures);
        assert!(report.requests > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_stops_no_traffic_and_loses_nothing() {
    Scene::set().await.survive(Way::Away).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_does_not_answer_stops_no_traffic_and_loses_nothing() {
    Scene::set().await.survive(Way::Silent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_answers_500_stops_no_traffic_and_loses_nothing() {
    Scene::set().await.survive(Way::ServerError).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_an_answer_counts_as_none() {
    Scene::set().await.survive(Way::HalfAnswer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_restarts_in_the_middle_of_a_pass_finishes_it() {
    let mut scene = Scene::set().await;
    scene.world.settled().await;
    let load = scene.load();
    let before = scene.world.calls().len();
    scene.world.standin.cloud().inject(Fault {
        on: CallMatch::next("POST", "dns_records/batch"),
        effect: Effect::Slow { milliseconds: 3000 },
    });
    let world = &scene.world;
    world.write("coming.yaml", &route("coming", "coming.example.com", "app"));
    within(
        Duration::from_secs(10),
        "the pass writes records",
        || async {
            let calls = world.calls().split_off(before);
            let mut writes = calls.iter().filter(|call| call.write);
            writes.any(|call| call.path.contains("batch")).then_some(())
        },
    )
    .await;
    scene.broker.kill().await;
    let coming = "httproute default/coming";
    let unavailable = |c: &tests::world::ConditionSeen| c.reason == "BrokerUnavailable";
    scene.world.condition(coming, DNS, unavailable).await;
    scene.broker.restart().await;

    scene.world.answers("https://coming.example.com/").await;
    let is_true = |c: &tests::world::ConditionSeen| c.status == "True";
    scene.world.condition(coming, DNS, is_true).await;
    assert_eq!(scene.world.tunnels().len(), 1);
    assert_eq!(scene.world.records().len(), 3);
    let report = load.stop().await;
    assert!(report.failures.is_empty(), "{:?}", report.failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_of_two_goes_away_and_everything_goes_on_with_the_other() {
    let scene = Scene::set_with(2).await;
    let world = &scene.world;
    world.settled().await;
    let load = scene.load();
    for (away, other, name) in [(0, 1, "first"), (1, 0, "second")] {
        let before = world.calls().len();
        world.standin.cloud().inject(Fault {
            on: CallMatch::next("POST", "dns_records/batch"),
            effect: Effect::Slow { milliseconds: 1500 },
        });
        scene.fronts[other].go(Way::Through);
        let host = format!("{name}.example.com");
        world.write("coming.yaml", &route("coming", &host, "app"));
        within(
            Duration::from_secs(10),
            "the pass writes records",
            || async {
                let calls = world.calls().split_off(before);
                let mut writes = calls.iter().filter(|call| call.write);
                writes.any(|call| call.path.contains("batch")).then_some(())
            },
        )
        .await;
        // The controller waits for the answer at this address.
        scene.fronts[away].go(Way::Away);
        world.answers(&format!("https://{host}/")).await;
        let is_true = |c: &tests::world::ConditionSeen| c.status == "True";
        world
            .condition("httproute default/coming", DNS, is_true)
            .await;
    }
    let report = load.stop().await;
    assert!(report.failures.is_empty(), "{:?}", report.failures);
}
