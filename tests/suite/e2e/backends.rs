//! Backends that are no plain Service, and policies for backends, from a folder of manifests through the tunnel.

use std::time::Duration;

use tests::manifests::{gateway, route, route_with, service};
use tests::origin::Origin;
use tests::world::{ACCOUNT, World, within};

/// ServiceImport `default/<name>` with port 80, and an EndpointSlice of it.
fn service_import(name: &str, origin: &Origin) -> String {
    format!(
        "apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceImport
metadata: {{name: {name}, namespace: default}}
spec: {{type: ClusterSetIP, ips: [10.96.0.9], ports: [{{name: http, port: 80, protocol: TCP}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: imported-{name}
  namespace: default
  labels: {{multicluster.kubernetes.io/service-name: {name}, multicluster.kubernetes.io/source-cluster: east}}
addressType: IPv4
ports: [{{name: http, port: {port}}}]
endpoints: [{{addresses: [\"{ip}\"]}}]
",
        port = origin.address.port(),
        ip = origin.address.ip(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_import_is_a_backend_beside_a_service_of_its_name() {
    let world = World::start_alone().await;
    let (here, there) = (Origin::start("here").await, Origin::start("there").await);
    world.write("gateway.yaml", &gateway(&world.token, ACCOUNT));
    world.write("service.yaml", &service("app", &[here.address]));
    world.write("import.yaml", &service_import("app", &there));
    let rules = "    - matches: [{path: {value: /all}}]
      backendRefs: [{group: multicluster.x-k8s.io, kind: ServiceImport, name: app, port: 80}]
    - backendRefs: [{name: app, port: 80}]
";
    let host = "app.example.com";
    world.write(
        "route.yaml",
        &route_with("app", "my-gateway", &[host], rules),
    );
    let _cfgw = world.cfgw().await;
    world.answers_with("https://app.example.com/", "here").await;
    world
        .answers_with("https://app.example.com/all", "there")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_whose_parameters_say_so_sends_requests_to_cluster_ips() {
    let world = World::start_alone().await;
    let (endpoint, mesh) = (Origin::start("endpoint").await, Origin::start("mesh").await);
    // The cluster IP is an address of this machine, so that something answers there at the port of the Service.
    let port = mesh.address.port();
    let app = service("app", &[endpoint.address])
        .replace("port: 80,", &format!("port: {port},"))
        .replace("spec:\n  ports", "spec:\n  clusterIP: 127.0.0.1\n  ports");
    world.write("service.yaml", &app);
    let route =
        route("app", "app.example.com", "app").replace("port: 80", &format!("port: {port}"));
    world.write("route.yaml", &route);
    let gateway = gateway(&world.token, ACCOUNT);
    world.write("gateway.yaml", &gateway);
    let _cfgw = world.cfgw().await;
    world
        .answers_with("https://app.example.com/", "endpoint")
        .await;

    let parameters = "apiVersion: cloudflare-gateway-controller.io/v1
kind: CloudflareGatewayParameters
metadata: {name: meshed, namespace: default}
spec: {routingType: Service}
";
    world.write("parameters.yaml", parameters);
    let named = "  infrastructure: {parametersRef: {group: cloudflare-gateway-controller.io, kind: CloudflareGatewayParameters, name: meshed}}\n  listeners:";
    world.write("gateway.yaml", &gateway.replacen("  listeners:", named, 1));
    world.answers_with("https://app.example.com/", "mesh").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_for_a_service_says_so_in_its_status_and_gives_its_visitors_sessions() {
    let world = World::start_alone().await;
    let origin = Origin::start("one").await;
    world.write("gateway.yaml", &gateway(&world.token, ACCOUNT));
    world.write("service.yaml", &service("app", &[origin.address]));
    world.write("route.yaml", &route("app", "app.example.com", "app"));
    let policy = "apiVersion: gateway.networking.x-k8s.io/v1alpha1
kind: XBackendTrafficPolicy
metadata: {name: stay, namespace: default}
spec:
  targetRefs: [{group: '', kind: Service, name: app}]
  sessionPersistence: {cookie: {name: stay}}
";
    world.write("policy.yaml", policy);
    let _cfgw = world.cfgw().await;
    world.answers_with("https://app.example.com/", "one").await;
    within(Duration::from_secs(10), "no cookie comes", || async {
        let answer = world.answers("https://app.example.com/").await;
        let cookie = answer.headers.get("set-cookie")?.to_str().ok()?;
        cookie.starts_with("stay=").then_some(())
    })
    .await;
    let mut written = world.written().into_iter();
    let status =
        written.find(|(path, _)| path.ends_with("xbackendtrafficpolicy/default/stay.json"));
    let (_, status) = status.expect("a status");
    assert!(status.contains("\"ancestorRef\""), "{status}");
    assert!(status.contains("\"Accepted\""), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_by_its_name_is_a_backend_of_a_folder_of_manifests() {
    let world = World::start_alone().await;
    let (named, external) = (
        Origin::start("named").await,
        Origin::start("external").await,
    );
    world.write("gateway.yaml", &gateway(&world.token, ACCOUNT));
    let backend = format!(
        "apiVersion: gateway.networking.x-k8s.io/v1alpha1
kind: XBackend
metadata: {{name: api, namespace: default}}
spec:
  type: ExternalHostname
  port: {{number: {}}}
  externalHostname: {{hostname: localhost}}
---
apiVersion: v1
kind: Service
metadata: {{name: other, namespace: default}}
spec: {{type: ExternalName, externalName: localhost}}
",
        named.address.port()
    );
    world.write("backend.yaml", &backend);
    let rules = format!(
        "    - matches: [{{path: {{value: /service}}}}]
      backendRefs: [{{name: other, port: {}}}]
    - backendRefs: [{{group: gateway.networking.x-k8s.io, kind: XBackend, name: api}}]
",
        external.address.port()
    );
    let host = "app.example.com";
    world.write(
        "route.yaml",
        &route_with("app", "my-gateway", &[host], &rules),
    );
    let _cfgw = world.cfgw().await;
    world
        .answers_with("https://app.example.com/", "named")
        .await;
    world
        .answers_with("https://app.example.com/service", "external")
        .await;
}
