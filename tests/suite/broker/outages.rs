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
/// What a broker has under way when it dies is another one's after 30 s, which has a while for it.
const TAKES_OVER: Duration = Duration::from_secs(45);

const KEPT: &str = "https://app.example.com/";

/// A cluster behind a broker that serves two names.
struct Scene {
    world: World,
    brokers: Vec<Broker>,
    /// Before the broker, where it is one.
    front: Option<Front>,
    _origin: Origin,
    _cfgw: Cfgw,
}

impl Scene {
    async fn set() -> Self {
        let world = World::start().await;
        let broker = Broker::start(&world).await;
        let front = Front::before(broker.address()).await;
        Self::behind(world, vec![broker], Some(front)).await
    }

    /// Two brokers on one store.
    async fn set_of_two(store: &str) -> Self {
        let world = World::start().await;
        let mut brokers = Vec::new();
        for _ in 0..2 {
            brokers.push(Broker::start_on(&world, Some(store), &[]).await);
        }
        Self::behind(world, brokers, None).await
    }

    async fn behind(world: World, brokers: Vec<Broker>, front: Option<Front>) -> Self {
        let origin = Origin::start("app").await;
        let urls: Vec<String> = match &front {
            Some(front) => vec![front.url()],
            None => brokers.iter().map(Broker::url).collect(),
        };
        world.write("class.yaml", &class_without_parameters());
        world.write("gateway.yaml", &gateway_named("my-gateway"));
        world.write("app.yaml", &service("app", &[origin.address]));
        world.write("route.yaml", &route("kept", "app.example.com", "app"));
        world.write("going.yaml", &route("going", "going.example.com", "app"));
        let code = brokers[0].invite(EAST).await;
        let cfgw = world.cfgw_behind(&urls.join(","), &code).await;
        world.answers(KEPT).await;
        world.answers("https://going.example.com/").await;
        Self {
            world,
            brokers,
            front,
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
        let front = self.front.as_ref().expect("one broker");
        front.go(way);
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

        front.go(Way::Through);
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
    scene.brokers[0].kill().await;
    let coming = "httproute default/coming";
    let unavailable = |c: &tests::world::ConditionSeen| c.reason == "BrokerUnavailable";
    scene.world.condition(coming, DNS, unavailable).await;
    scene.brokers[0].restart().await;

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
    let Some(server) = crate::postgres::Postgres::start() else {
        return;
    };
    let mut scene = Scene::set_of_two(&server.address()).await;
    scene.world.settled().await;
    let load = scene.load();
    for (away, name) in [(0, "first"), (1, "second")] {
        let before = scene.world.calls().len();
        scene.world.standin.cloud().inject(Fault {
            on: CallMatch::next("POST", "dns_records/batch"),
            effect: Effect::Slow { milliseconds: 1500 },
        });
        let host = format!("{name}.example.com");
        let world = &scene.world;
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
        // The controller waits for an answer of the one that it asked, and either of them does the work.
        scene.brokers[away].kill().await;
        let world = &scene.world;
        let is_true = |c: &tests::world::ConditionSeen| c.status == "True";
        let url = format!("https://{host}/");
        within(TAKES_OVER, "the other one goes on", || async {
            let answer = world.client.get(&url).await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
        world
            .condition("httproute default/coming", DNS, is_true)
            .await;
        scene.brokers[away].restart().await;
    }
    assert_eq!(scene.world.tunnels().len(), 1, "nothing was done twice");
    let report = load.stop().await;
    assert!(report.failures.is_empty(), "{:?}", report.failures);
}
