//! A listener's certificate on its way to the edge.

use rcgen::{CertificateParams, KeyPair};
use standin::cloud::Plan;
use tests::manifests::{class, route, secret, service};
use tests::origin::Origin;
use tests::world::{ACCOUNT, World, within};

const CONDITION: &str = "cloudflare-gateway-controller.io/Certificates";

fn manifests(world: &World, upload: bool) -> String {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["app.example.com".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    let indented = |text: &str| text.replace('\n', "\n    ");
    format!(
        "{}---\n{}---
apiVersion: v1
kind: Secret
metadata: {{name: cert, namespace: default}}
type: kubernetes.io/tls
stringData:
  tls.crt: |
    {}
  tls.key: |
    {}
---
apiVersion: cloudflare-gateway-controller.io/v1
kind: CloudflareGatewayParameters
metadata: {{name: parameters, namespace: default}}
spec:
  secretRef: {{name: cloudflare-creds}}
  certificates: {{upload: {upload}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: my-gateway, namespace: default}}
spec:
  gatewayClassName: cloudflare
  infrastructure:
    parametersRef: {{group: cloudflare-gateway-controller.io, kind: CloudflareGatewayParameters, name: parameters}}
  listeners:
    - name: https
      protocol: HTTPS
      port: 443
      tls: {{certificateRefs: [{{name: cert}}]}}
",
        secret("cloudflare-creds", &world.token, ACCOUNT),
        class(),
        indented(&certificate.pem()),
        indented(&key.serialize_pem()),
    )
}

async fn world(plan: Plan) -> (World, Origin) {
    let origin = Origin::start("app").await;
    let world = World::start_paying(plan).await;
    world.write("app.yaml", &service("app", &[origin.address]));
    world.write("route.yaml", &route("app", "app.example.com", "app"));
    (world, origin)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_shown_replaced_and_gone_with_its_gateway() {
    let (world, _origin) = world(Plan::Paid).await;
    world.write("gateway.yaml", &manifests(&world, true));
    let _cfgw = world.cfgw().await;
    let gateway = "gateway default/my-gateway";
    let uploaded = world.condition(gateway, CONDITION, |seen| seen.status == "True");
    let message = uploaded.await.message;
    assert!(message.contains("example.com"), "{message}");
    let before = world.certificates();
    assert_eq!(before.len(), 1);
    world.write("gateway.yaml", &manifests(&world, true));
    within(
        std::time::Duration::from_secs(20),
        "the new one",
        || async {
            let now = world.certificates();
            (now.len() == 1 && now != before).then_some(())
        },
    )
    .await;
    world.remove("gateway.yaml");
    world.write(
        "credentials.yaml",
        &secret("cloudflare-creds", &world.token, ACCOUNT),
    );
    world.write("class.yaml", &class());
    within(std::time::Duration::from_secs(20), "none left", || async {
        world.certificates().is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_pays_for_none_is_told_so_and_served_all_the_same() {
    let (world, _origin) = world(Plan::Free).await;
    world.write("gateway.yaml", &manifests(&world, true));
    let _cfgw = world.cfgw().await;
    let gateway = "gateway default/my-gateway";
    let refused = world.condition(gateway, CONDITION, |seen| seen.reason == "UploadFailed");
    assert_eq!(refused.await.status, "False");
    let programmed = world.condition(gateway, "Programmed", |seen| seen.status == "True");
    programmed.await;
    world.answers("https://app.example.com/").await;
}
