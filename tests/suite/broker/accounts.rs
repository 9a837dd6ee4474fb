//! A Gateway whose hostnames are in two Cloudflare accounts has a tunnel in each.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::edge::HostnameOutcome;
use domain::ports::Edge;
use domain::secret::ConnectorToken;
use domain::{Hostname, ObjectKey};
use standin::cloud::{Account, ApiToken, CallMatch, Effect, Failure, Fault, Plan, Stage};
use tests::broker::{Broker, EAST};
use tests::manifests::{class_without_parameters, gateway_named, route, service};
use tests::origin::Origin;
use tests::world::{ACCOUNT, World, within};

/// The second account. Its one zone is `example.org`.
const OTHER: &str = "fedcba9876543210fedcba9876543210";

/// A world with both, and a broker that may use both for every hostname.
async fn two_accounts() -> (World, Broker) {
    let world = World::start().await;
    let cloud = world.standin.cloud();
    cloud.add_account(Account {
        id: OTHER.to_owned(),
        name: "other".to_owned(),
        plan: Plan::Free,
    });
    cloud.add_zone(OTHER, "example.org");
    cloud.add_token(ApiToken::all_powerful(OTHER, "canary-other"));
    let mut broker = Broker::start(&world).await;
    let path = |name: &str| broker.files().join(name);
    std::fs::write(path("other-token"), "canary-other").unwrap();
    let seed = format!(
        "tenants:
- name: acme
  accounts:
  - {{name: main, cloudflare: '{ACCOUNT}', token_file: {:?}}}
  - {{name: other, cloudflare: '{OTHER}', token_file: {:?}}}
  grants: [{{name: all, hostnames: ['*']}}]
",
        path("cloudflare-token"),
        path("other-token")
    );
    std::fs::write(path("seed.yaml"), seed).unwrap();
    broker.restart().await;
    (world, broker)
}

/// Every call for the tunnels of the second account goes wrong.
fn cut_off_other(world: &World, effect: Effect) {
    let on = CallMatch {
        path: format!("/accounts/{OTHER}/"),
        times: u64::MAX,
        ..CallMatch::default()
    };
    world.standin.cloud().inject(Fault { on, effect });
}

fn fails(failure: Failure) -> Effect {
    let stage = Stage::BeforeCommit;
    Effect::Fail { stage, failure }
}

fn name(text: &str) -> Hostname {
    Hostname::parse(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_serves_hostnames_of_two_accounts_and_one_that_is_away_stops_no_other() {
    let origin = Origin::start("app").await;
    let (world, broker) = two_accounts().await;
    cut_off_other(&world, fails(Failure::ServerError));
    world.write("class.yaml", &class_without_parameters());
    world.write("gateway.yaml", &gateway_named("my-gateway"));
    world.write("app.yaml", &service("app", &[origin.address]));
    world.write("one.yaml", &route("one", "app.example.com", "app"));
    world.write("two.yaml", &route("two", "app.example.org", "app"));
    let code = broker.invite(EAST).await;
    let _cfgw = world.cfgw_behind(&broker.url(), &code).await;
    world.answers("https://app.example.com/").await;
    assert_eq!(world.tunnels().len(), 1, "the other account is away");

    world.standin.cloud().clear_faults();
    world.answers("https://app.example.org/").await;
    world.answers("https://app.example.com/").await;
    assert_eq!(world.tunnels().len(), 2);

    // Cloudflare wants no call in one account for long. The other one goes on, and what is served is served.
    cut_off_other(&world, Effect::RateLimited { retry_after: 600 });
    world.write("three.yaml", &route("three", "new.example.com", "app"));
    world.write("four.yaml", &route("four", "new.example.org", "app"));
    world.answers("https://new.example.com/").await;
    for url in ["https://app.example.org/", "https://app.example.com/"] {
        world.answers(url).await;
    }
    let calls = world.calls().into_iter();
    let refused = calls.filter(|call| call.path.contains(OTHER) && call.status == Some(429));
    assert!(refused.count() <= 2, "the pause is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_tunnels_of_a_gateway_get_another_token_and_go_after_their_records() {
    let (world, broker) = two_accounts().await;
    let east = broker.client(EAST).await;
    let gateway = ObjectKey::new("default", "one");
    let names = ["a.example.com", "a.example.org"];
    let intent = domain::testing::intent(gateway.clone(), &names);
    let status = east.reconcile(&intent).await.unwrap();
    for hostname in names {
        assert_eq!(status.hostnames[&name(hostname)], HostnameOutcome::Applied);
        let mut tunnels = status.tunnels.iter();
        let leads_to = tunnels.find(|tunnel| tunnel.hostnames.contains(&name(hostname)));
        let zones = world.standin.cloud().zones();
        let mut records = zones.iter().flat_map(|zone| zone.records.iter());
        let record = records.find(|record| record.name == hostname);
        assert_eq!(record.unwrap().content, leads_to.unwrap().address);
    }
    let token = east.connector_token(&gateway).await.unwrap();
    let parts = |token: &ConnectorToken| -> BTreeSet<String> {
        let tunnels = token.tunnels();
        tunnels.map(|token| token.expose().to_owned()).collect()
    };
    let before = parts(&token);
    assert_eq!(before.len(), 2);

    // One is replaced and the other is not, at first.
    let on = CallMatch {
        method: Some("PATCH".to_owned()),
        path: format!("/accounts/{OTHER}/"),
        ..CallMatch::default()
    };
    let effect = fails(Failure::ServerError);
    world.standin.cloud().inject(Fault { on, effect });
    let _ = east.retire_token(&gateway, token.hash()).await;
    let after = within(Duration::from_secs(30), "both are replaced", || async {
        let now = parts(&east.connector_token(&gateway).await.ok()?);
        now.is_disjoint(&before).then_some(now)
    })
    .await;
    let replaced = || {
        let calls = world.calls().into_iter();
        calls.filter(|call| call.method == "PATCH").count()
    };
    assert_eq!((after.len(), replaced()), (2, 3), "one failed");
    east.retire_token(&gateway, token.hash()).await.unwrap();
    assert_eq!(replaced(), 3, "it was replaced already");

    world.standin.cloud().forget_calls();
    assert_eq!(east.remove(&gateway).await, Ok(()));
    assert_eq!(world.tunnels().len(), 0);
    let zones = world.standin.cloud().zones();
    for account in [ACCOUNT, OTHER] {
        let zone = zones.iter().find(|zone| zone.account == account).unwrap();
        assert!(zone.records.is_empty(), "{account}");
        let first = |method: &str, part: &str| {
            let calls = world.calls();
            let found = calls
                .iter()
                .position(|call| call.method == method && call.path.contains(part));
            found.expect("a call")
        };
        let records = first("POST", &format!("/zones/{}/", zone.id));
        let tunnel = first("DELETE", &format!("/accounts/{account}/cfd_tunnel/"));
        assert!(records < tunnel, "records go first in {account}");
    }
}
