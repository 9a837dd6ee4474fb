//! What clusters are told, and what they do for it.

use std::time::{Duration, Instant};

use app::system::SystemClock;
use domain::broker::audit::Event;
use domain::broker::grant::Grant;
use domain::broker::ports::{Clusters, Grants, Turn};
use domain::broker::{ClusterName, GrantName, TenantName};
use domain::ports::Clock;
use domain::{AllowedHostnames, Hostname, HostnamePatterns, InstanceId};
use serde_json::{Value, json};
use tests::broker::{Broker, EAST, Enrolled, RawCluster};
use tests::manifests::{class_without_parameters, gateway_named, route, service};
use tests::origin::Origin;
use tests::world::{ConditionSeen, World};

const DNS: &str = "cloudflare-gateway-controller.io/DNS";

fn event() -> Event {
    Event {
        at: SystemClock.now(),
        actor: "test".to_owned(),
        ..Event::default()
    }
}

/// The one grant of the tenant `acme` is for these hostnames from now on.
async fn grant(broker: &Broker, hostnames: &[&str]) {
    let hostnames = hostnames.iter().map(|name| Hostname::parse(name).unwrap());
    let grant = Grant {
        name: GrantName::parse("all").unwrap(),
        tenant: TenantName::parse("acme").unwrap(),
        clusters: domain::broker::grant::Clusters::All,
        hostnames: AllowedHostnames::listed(hostnames),
        except: HostnamePatterns::default(),
        account: None,
        max_hostnames: None,
        max_gateways: None,
        certificates: false,
        expires: None,
    };
    let seen = broker.store.grants(&grant.tenant).await.unwrap();
    let put = broker.store.put_grant(&grant, seen.first(), event());
    put.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_told_does_not_wait_for_its_next_pass() {
    let origin = Origin::start("app").await;
    let world = World::start().await;
    let broker = Broker::start(&world).await;
    grant(&broker, &["granted.example.com"]).await;
    world.write("class.yaml", &class_without_parameters());
    world.write("gateway.yaml", &gateway_named("my-gateway"));
    world.write("app.yaml", &service("app", &[origin.address]));
    world.write(
        "granted.yaml",
        &route("granted", "granted.example.com", "app"),
    );
    world.write("later.yaml", &route("later", "later.example.com", "app"));
    let code = broker.invite(EAST).await;
    // Nothing is looked at again by itself.
    let never = ["CFGW_RESYNC_INTERVAL", "CFGW_EDGE__BROKER__HEARTBEAT"];
    let never = never.map(|key| (key, "1h".to_owned()));
    let cfgw = world.cfgw_behind_with(&broker.url(), &code, &never).await;
    world.answers("https://granted.example.com/").await;
    let later = "httproute default/later";
    let because = |reason: &'static str| move |c: &ConditionSeen| c.reason == reason;
    world
        .condition(later, DNS, because("HostnameNotPermitted"))
        .await;

    grant(&broker, &["*.example.com"]).await;
    world.answers("https://later.example.com/").await;
    let is_true = |c: &ConditionSeen| c.status == "True";
    world.condition(later, DNS, is_true).await;

    grant(&broker, &["later.example.com"]).await;
    let granted = "httproute default/granted";
    world
        .condition(granted, DNS, because("HostnameNotPermitted"))
        .await;

    let east = Enrolled::of(EAST).cluster;
    broker
        .store
        .turn(&east, Turn::Revoke, event())
        .await
        .unwrap();
    let refused = |c: &ConditionSeen| c.message.contains("does not serve this cluster any more");
    world.condition(later, DNS, refused).await;
    assert!(
        cfgw.log()
            .contains("the broker does not serve this cluster any more")
    );
    world.answers("https://later.example.com/").await;
}

/// What is told after a sequence, as `kind`.
async fn kinds(raw: &RawCluster, since: u64) -> (Vec<String>, Value) {
    let path = format!("/v1/events?since={since}");
    let answer = raw.ask_for(&path, 20).await;
    let events = answer["events"].as_array().into_iter().flatten();
    let kinds = events.map(|event| event["kind"].as_str().unwrap().to_owned());
    (kinds.collect(), answer.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_for_events_waits_for_one_of_its_own_cluster() {
    let world = World::start().await;
    let broker = Broker::start(&world).await;
    let east = RawCluster::open(&broker, &Enrolled::of(EAST)).await;
    let other = Enrolled {
        tenant: "other",
        cluster: ClusterName::parse("other").unwrap(),
        instance: InstanceId::from_bytes([2; 16]),
    };
    let other = RawCluster::open(&broker, &other).await;
    let began = east.ask_for("/v1/events", 0).await;
    assert_eq!(began["events"], json!([]));
    let last = began["last"].as_u64().unwrap();
    let of_other = other.ask_for("/v1/events", 0).await;
    let of_other = of_other["last"].as_u64().unwrap();

    let asked = Instant::now();
    let soon = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        grant(&broker, &["a.example.com"]).await;
    };
    let ((kinds_of_east, answer), ()) = tokio::join!(kinds(&east, last), soon);
    assert_eq!(kinds_of_east, ["grants_changed"], "{answer}");
    assert!(asked.elapsed() >= Duration::from_secs(1), "it waited");
    assert!(asked.elapsed() < Duration::from_secs(10), "and no longer");
    assert_eq!(answer["missed"], false);

    let east_is = Enrolled::of(EAST).cluster;
    let soon = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let turned = broker.store.turn(&east_is, Turn::Quarantine, event());
        turned.await.unwrap();
    };
    let ((kinds_of_east, _), ()) = tokio::join!(kinds(&east, last + 1), soon);
    assert_eq!(kinds_of_east, ["quarantined"]);
    let refused = east.ask_for("/v1/events", 0).await;
    assert!(
        refused["type"].as_str().unwrap().ends_with("/session_over"),
        "{refused}"
    );

    let found = other
        .ask_for(&format!("/v1/events?since={of_other}"), 0)
        .await;
    assert_eq!(
        found["events"],
        json!([]),
        "nothing of it is another tenant's"
    );
    // As if the store were one from before.
    let path = format!("/v1/events?since={}", of_other + 9);
    assert_eq!(other.ask_for(&path, 20).await["missed"], true);
}
