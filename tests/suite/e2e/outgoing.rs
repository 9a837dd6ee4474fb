//! APIs are called through a proxy where nothing else leads out, with a private certificate authority.

use std::net::SocketAddr;
use std::time::Duration;

use tests::broker::{Broker, EAST};
use tests::forward_proxy::{ForwardProxy, PASSWORD};
use tests::manifests::{class_without_parameters, gateway, gateway_named, route, service};
use tests::origin::Origin;
use tests::process::free_address;
use tests::world::{ACCOUNT, World, within};

/// Names that only the proxy can resolve.
const API: &str = "api.cloudflare.test";
const BROKER: &str = "broker.test";

const URL: &str = "https://app.example.com/";

fn api_of(world: &World) -> SocketAddr {
    let url = world.standin.api_url();
    let authority = url
        .strip_prefix("http://")
        .and_then(|rest| rest.split('/').next());
    authority
        .and_then(|it| it.parse().ok())
        .expect("an address")
}

/// The settings of a program that calls the API by its name.
fn through(world: &World, proxy: &ForwardProxy, url: String) -> Vec<(&'static str, String)> {
    let path = world.standin.api_url();
    let path = path.splitn(4, '/').nth(3).unwrap_or_default();
    vec![
        ("HTTPS_PROXY", url),
        ("CFGW_CLOUDFLARE__BASE_URL", format!("https://{API}/{path}")),
        (
            "CFGW_CLOUDFLARE__CA_FILE",
            world.write_beside("proxy-ca.pem", proxy.root()),
        ),
        ("CFGW_LOG__FILTER", "debug".to_owned()),
    ]
}

async fn app(world: &World) -> Origin {
    let origin = Origin::start("one").await;
    world.write("one.yaml", &service("one", &[origin.address]));
    world.write("route.yaml", &route("app", "app.example.com", "one"));
    origin
}

fn assert_untold(world: &World, secret: &str) {
    for (path, text) in world.written() {
        assert!(
            !text.contains(secret),
            "{} holds the password",
            path.display()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_to_cloudflare_goes_through_the_proxy_and_its_password_is_seen_nowhere() {
    let world = World::start().await;
    let _origin = app(&world).await;
    world.write("gateway.yaml", &gateway(&world.token, ACCOUNT));
    let proxy = ForwardProxy::start(&[(API, api_of(&world))]).await;

    let wrong = through(&world, &proxy, proxy.url_with("canary-that-is-wrong"));
    let cfgw = world.cfgw_with(&wrong).await;
    let object = "gateway default/my-gateway";
    let told = world
        .condition(object, "Programmed", |it| it.reason == "EdgeUnavailable")
        .await;
    assert!(told.message.contains("proxy"), "{}", told.message);
    assert_eq!(proxy.tunnels(), Vec::<String>::new());
    assert_untold(&world, "canary-that-is-wrong");
    cfgw.kill().await;

    let _cfgw = world.cfgw_with(&through(&world, &proxy, proxy.url())).await;
    world.answers(URL).await;
    let tunnels = proxy.tunnels();
    assert!(!tunnels.is_empty());
    assert!(
        tunnels.iter().all(|it| *it == format!("{API}:443")),
        "{tunnels:?}"
    );
    assert_untold(&world, PASSWORD);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_no_proxy_is_called_directly() {
    let world = World::start().await;
    let _origin = app(&world).await;
    world.write("gateway.yaml", &gateway(&world.token, ACCOUNT));
    let proxy = ForwardProxy::start(&[(API, api_of(&world))]).await;
    let beside = proxy.beside(API).await;
    let mut settings = through(&world, &proxy, format!("http://{}", free_address()));
    let url = settings[1]
        .1
        .replace(API, &format!("localhost:{}", beside.port()));
    settings[1].1 = url;
    settings.push(("NO_PROXY", "localhost,.example.com,10.0.0.0/8".to_owned()));
    let _cfgw = world.cfgw_with(&settings).await;
    world.answers(URL).await;
    assert_eq!(proxy.tunnels(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_and_its_clusters_use_the_proxy() {
    let world = World::start().await;
    let _origin = app(&world).await;
    let manifests = [class_without_parameters(), gateway_named("my-gateway")];
    world.write("gateway.yaml", &manifests.join("---\n"));
    let to_api = ForwardProxy::start(&[(API, api_of(&world))]).await;
    let broker = Broker::start_with(&world, &through(&world, &to_api, to_api.url())).await;
    let to_broker = ForwardProxy::start(&[(BROKER, broker.address())]).await;
    let own = [
        ("HTTPS_PROXY", to_broker.url()),
        (
            "CFGW_EDGE__BROKER__CA_FILE",
            world.write_beside("broker-ca.pem", to_broker.root()),
        ),
    ];
    let url = format!("https://{BROKER}");
    let code = broker.invite(EAST).await;
    let _cfgw = world.cfgw_behind_with(&url, &code, &own).await;
    world.answers(URL).await;
    within(
        Duration::from_secs(5),
        "both went through a proxy",
        || async {
            let used = [to_api.tunnels(), to_broker.tunnels()];
            used.iter().all(|tunnels| !tunnels.is_empty()).then_some(())
        },
    )
    .await;
    assert_untold(&world, PASSWORD);
}
