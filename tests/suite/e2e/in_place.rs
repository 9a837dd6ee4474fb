//! Edits in place of what routes refer to: each reaches traffic within a second and touches nothing else.

use std::time::{Duration, Instant};

use tests::load::Load;
use tests::manifests::{class, route, secret, service};
use tests::origin::Origin;
use tests::world::{ACCOUNT, World, within};

use crate::wire::backend_tls;

const PATIENCE: Duration = Duration::from_secs(10);

/// Tasks with one request after the other.
const TASKS: usize = 4;

/// A Gateway that takes routes and ListenerSets of every namespace.
const GATEWAY: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: my-gateway, namespace: default}
spec:
  gatewayClassName: cloudflare
  allowedListeners: {namespaces: {from: All}}
  listeners:
    - {name: https, protocol: HTTPS, port: 443, allowedRoutes: {namespaces: {from: All}}}
";

/// A ConfigMap or Secret with this authority.
fn authority(kind: &str, name: &str, pem: &str) -> String {
    let data = match kind {
        "Secret" => "stringData",
        _ => "data",
    };
    let pem = pem.lines().map(|line| format!("    {line}\n"));
    let pem: String = pem.collect();
    format!(
        "apiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: default}}\n{data}:\n  ca.crt: |\n{pem}"
    )
}

/// BackendTLSPolicy `default/<service>` that trusts an object of the same name.
fn policy(service: &str, kind: &str, hostname: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {{name: {service}, namespace: default}}
spec:
  targetRefs: [{{group: '', kind: Service, name: {service}}}]
  validation:
    hostname: {hostname}
    caCertificateRefs: [{{group: '', kind: {kind}, name: {service}}}]
"
    )
}

/// Lets HTTPRoutes of a namespace refer to Services in `default`.
fn grant(from: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {{name: grant, namespace: default}}
spec:
  from: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: {from}}}]
  to: [{{group: '', kind: Service}}]
"
    )
}

/// Where its port is another one, requests fall to the Gateway's own listener, which has no route for the hostname.
fn listener_set(port: u16) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {{name: set, namespace: team}}
spec:
  parentRef: {{name: my-gateway, namespace: default}}
  listeners:
    - {{name: https, protocol: HTTPS, port: {port}, hostname: set.example.com}}
"
    )
}

/// A route of namespace `team` to Service `default/plain`.
fn of_team(name: &str, parent: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: team}}
spec:
  parentRefs: [{parent}]
  hostnames: [{name}.example.com]
  rules: [{{backendRefs: [{{name: plain, namespace: default, port: 80}}]}}]
"
    )
}

/// Waits until requests for a host get this status, and tells how long that took.
async fn becomes(world: &World, host: &str, status: u16) -> Duration {
    let began = Instant::now();
    let url = format!("https://{host}.example.com/");
    within(PATIENCE, &format!("{status} at {url}"), || async {
        let answer = world.client.get(&url).await;
        answer.is_ok_and(|it| it.status == status).then_some(())
    })
    .await;
    began.elapsed()
}

/// A world with a host for each kind of object that is edited, and one that nothing of it concerns.
async fn world(plain: &Origin, steady: &Origin) -> (World, String) {
    let world = World::start_alone().await;
    let (at, bundle) = backend_tls::endpoint().await;
    let token = secret("cloudflare-creds", &world.token, ACCOUNT);
    world.write(
        "gateway.yaml",
        &format!("{token}---\n{}---\n{GATEWAY}", class()),
    );
    for (name, kind) in [("map", "ConfigMap"), ("secret", "Secret")] {
        let text = [
            service(name, &[at]),
            route(name, &format!("{name}.example.com"), name),
            policy(name, kind, "store.internal"),
        ];
        world.write(&format!("{name}-app.yaml"), &text.join("---\n"));
        world.write(
            &format!("{name}.yaml"),
            &authority(kind, name, bundle.as_pem()),
        );
    }
    // By itself, because it is edited.
    world.write("policy.yaml", &policy("map", "ConfigMap", "store.internal"));
    let app = [
        service("map", &[at]),
        route("map", "map.example.com", "map"),
    ];
    world.write("map-app.yaml", &app.join("---\n"));
    world.write("plain.yaml", &service("plain", &[plain.address]));
    world.write("grant.yaml", &grant("team"));
    let of_gateway = "{name: my-gateway, namespace: default}";
    world.write("granted.yaml", &of_team("granted", of_gateway));
    world.write("set.yaml", &listener_set(443));
    world.write(
        "of-set.yaml",
        &of_team("set", "{kind: ListenerSet, name: set}"),
    );
    let of_steady = [
        service("steady", &[steady.address]),
        route("steady", "steady.example.com", "steady"),
    ];
    world.write("steady.yaml", &of_steady.join("---\n"));
    (world, bundle.as_pem().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_in_place_of_what_a_route_refers_to_is_served_within_a_second_and_alone() {
    let (plain, steady) = (Origin::start("plain").await, Origin::start("steady").await);
    let (world, own) = world(&plain, &steady).await;
    let (_, other) = backend_tls::endpoint().await;
    let _cfgw = world.cfgw().await;
    for host in ["map", "secret", "granted", "set", "steady"] {
        becomes(&world, host, 200).await;
    }
    world.settled().await;
    let client = world.client.clone();
    let load = Load::start(TASKS, Duration::from_millis(5), move || {
        let client = client.clone();
        async move {
            match client.get("https://steady.example.com/").await {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(format!("{} {}", answer.status, answer.body)),
                Err(error) => Err(error),
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let status_of_steady = || {
        let mut written = world.written().into_iter();
        let found = written.find(|(path, _)| path.ends_with("httproute/default/steady.json"));
        found.map(|(_, text)| text)
    };
    let before = (world.calls().len(), status_of_steady());

    let map = |pem: &str| authority("ConfigMap", "map", pem);
    let secret = |pem: &str| authority("Secret", "secret", pem);
    let of_map = |hostname| policy("map", "ConfigMap", hostname);
    let mut slowest = (Duration::ZERO, "");
    for (what, file, text, host, status) in [
        ("ConfigMap", "map.yaml", map(other.as_pem()), "map", 502),
        ("ConfigMap", "map.yaml", map(&own), "map", 200),
        (
            "Secret",
            "secret.yaml",
            secret(other.as_pem()),
            "secret",
            502,
        ),
        ("Secret", "secret.yaml", secret(&own), "secret", 200),
        ("policy", "policy.yaml", of_map("cart.internal"), "map", 502),
        (
            "policy",
            "policy.yaml",
            of_map("store.internal"),
            "map",
            200,
        ),
        ("grant", "grant.yaml", grant("nobody"), "granted", 500),
        ("grant", "grant.yaml", grant("team"), "granted", 200),
        ("ListenerSet", "set.yaml", listener_set(8443), "set", 404),
        ("ListenerSet", "set.yaml", listener_set(443), "set", 200),
    ] {
        world.write(file, &text);
        let took = becomes(&world, host, status).await;
        slowest = slowest.max((took, what));
    }
    let after = (world.calls().len(), status_of_steady());
    assert_eq!(after, before, "calls, and the status of another route");

    let report = load.stop().await;
    println!(
        "edits in place: slowest {slowest:?}; {} requests beside",
        report.requests
    );
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    assert!(slowest.0 < Duration::from_secs(1), "{slowest:?}");
    assert!(steady.connections() <= TASKS as u64, "they are kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_becomes_invalid_says_so_itself_and_on_the_routes_that_it_affects() {
    const AFFECTED: &str = "cloudflare-gateway-controller.io/BackendTLSPolicyAffected";
    let (plain, steady) = (Origin::start("plain").await, Origin::start("steady").await);
    let (world, own) = world(&plain, &steady).await;
    let _cfgw = world.cfgw().await;
    becomes(&world, "map", 200).await;
    let (of_policy, of_route) = ("backendtlspolicy default/map", "httproute default/map");
    let good = |object, kind| world.condition(object, kind, |it| it.reason != "Invalid");
    assert_eq!(good(of_policy, "Accepted").await.status, "True");
    assert!(
        good(of_route, AFFECTED)
            .await
            .message
            .contains("default/map")
    );
    let no_authority = authority("ConfigMap", "map", "nothing");
    for (what, file, text, reason) in [
        (
            "its authority",
            "map.yaml",
            &no_authority,
            "NoValidCACertificate",
        ),
        (
            "itself",
            "policy.yaml",
            &policy("map", "ConfigMap", "'*'"),
            "Invalid",
        ),
    ] {
        let before = match file {
            "map.yaml" => authority("ConfigMap", "map", &own),
            _ => policy("map", "ConfigMap", "store.internal"),
        };
        world.write(file, text);
        becomes(&world, "map", 500).await;
        let accepted = world.condition(of_policy, "Accepted", |it| it.reason == reason);
        assert_eq!(accepted.await.status, "False", "{what}");
        let affected = world.condition(of_route, AFFECTED, |it| it.reason == "Invalid");
        assert!(affected.await.message.contains("default/map"), "{what}");
        let refs = world.condition(of_route, "ResolvedRefs", |it| it.status == "False");
        assert_eq!(refs.await.reason, "UnsupportedProtocol", "{what}");
        world.write(file, &before);
        becomes(&world, "map", 200).await;
        world
            .condition(of_policy, "Accepted", |it| it.status == "True")
            .await;
        world
            .condition(of_route, "ResolvedRefs", |it| it.status == "True")
            .await;
    }
}
