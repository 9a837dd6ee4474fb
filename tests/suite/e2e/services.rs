//! A Service with one annotation is served, and leaves nothing.

use std::net::SocketAddr;
use std::time::Duration;

use tests::manifests::{gateway_named, secret, service};
use tests::origin::Origin;
use tests::world::{ACCOUNT, World, within};

/// A class whose default Gateway is `default/my-gateway`, and that Gateway.
fn exposing(world: &World) -> String {
    format!(
        "{}---
apiVersion: cloudflare-gateway-controller.io/v1
kind: CloudflareGatewayParameters
metadata: {{name: of-class, namespace: default}}
spec:
  secretRef: {{name: cloudflare-creds}}
  services: {{gateway: {{name: my-gateway}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: cloudflare}}
spec:
  controllerName: cloudflare-gateway-controller.io/controller
  parametersRef: {{group: cloudflare-gateway-controller.io, kind: CloudflareGatewayParameters, name: of-class, namespace: default}}
---
{}",
        secret("cloudflare-creds", &world.token, ACCOUNT),
        gateway_named("my-gateway")
    )
}

fn annotated(endpoint: SocketAddr, hostnames: &str) -> String {
    let plain = "metadata: {name: one, namespace: default}\nspec:\n";
    let asking = format!(
        "metadata: {{name: one, namespace: default, annotations: {{cloudflare-gateway-controller.io/hostname: \"{hostnames}\"}}}}
spec:
  type: LoadBalancer
  loadBalancerClass: cloudflare-gateway-controller.io/tunnel
"
    );
    let service = service("one", &[endpoint]);
    assert!(service.contains(plain), "{service}");
    service.replacen(plain, &asking, 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_annotated_service_is_served_and_leaves_nothing() {
    let world = World::start().await;
    let origin = Origin::start("one").await;
    world.write("gateway.yaml", &exposing(&world));
    world.write(
        "one.yaml",
        &annotated(origin.address, "app.example.com, b.example.com"),
    );
    let _cfgw = world.cfgw().await;
    world
        .answers_with("https://app.example.com/path", "one")
        .await;
    world.answers_with("https://b.example.com/", "one").await;
    let object = "service default/one";
    world
        .condition(object, "Ready", |it| it.status == "True")
        .await;
    let shown = world.status_command().await;
    assert!(
        shown.contains("Service default/one on default/my-gateway"),
        "{shown}"
    );
    let status = || {
        let files = world.files_of_the_cluster().into_iter();
        let mut files = files.filter(|(path, _)| path.ends_with("service/default/one.json"));
        files.next().map(|(_, text)| text).unwrap_or_default()
    };
    assert!(
        status().contains("\"hostname\": \"b.example.com\""),
        "{}",
        status()
    );

    world.write(
        "one.yaml",
        &annotated(origin.address, "app.example.com, not a name"),
    );
    let refused = world
        .condition(object, "Accepted", |it| it.status == "False")
        .await;
    assert!(
        refused.message.contains("\"not a name\""),
        "{}",
        refused.message
    );
    within(
        Duration::from_secs(10),
        "it is refused as a whole",
        || async {
            (world.records().is_empty() && !status().contains("\"hostname\": \"app")).then_some(())
        },
    )
    .await;

    world.write("one.yaml", &annotated(origin.address, "app.example.com"));
    world.answers_with("https://app.example.com/", "one").await;
    world.write("one.yaml", &service("one", &[origin.address]));
    within(Duration::from_secs(10), "nothing is left of it", || async {
        (world.records().is_empty() && status().is_empty()).then_some(())
    })
    .await;
}
