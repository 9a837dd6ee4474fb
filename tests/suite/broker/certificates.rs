//! Certificates of listeners behind a broker: sent where they are granted and asked for, shown by the edge, and kept no longer.

use std::sync::Arc;
use std::time::Duration;

use domain::ObjectKey;
use domain::broker::ClusterName;
use domain::broker::ports::Intents;
use domain::edge::certificates::CertificateOutcome;
use domain::ports::Edge;
use rcgen::{CertificateParams, KeyPair};
use standin::cloud::Plan;
use tests::broker::{Broker, EAST, Enrolled, Member, certificate, grant_certificates};
use tests::manifests::{class, route, secret, service};
use tests::origin::Origin;
use tests::process::Cfgw;
use tests::world::{ACCOUNT, World, within};

const GATEWAY: &str = "gateway default/my-gateway";
const CONDITION: &str = "cloudflare-gateway-controller.io/Certificates";
const WAIT: Duration = Duration::from_secs(20);

/// Named at the broker as the installation is named in its settings: the name is in tunnels and marks.
const CLUSTER: Member = Member("test");

/// A Secret with a new certificate.
fn pair() -> String {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["app.example.com".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    let indented = |text: &str| text.replace('\n', "\n    ");
    format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: cert, namespace: default}}
type: kubernetes.io/tls
stringData:
  tls.crt: |
    {}
  tls.key: |
    {}
",
        indented(&certificate.pem()),
        indented(&key.serialize_pem()),
    )
}

/// Certificates are to be uploaded; `credentials` names the Secret of a cluster with its own.
fn parameters(credentials: &str) -> String {
    format!(
        "apiVersion: cloudflare-gateway-controller.io/v1
kind: CloudflareGatewayParameters
metadata: {{name: parameters, namespace: default}}
spec:
  {credentials}
  certificates: {{upload: true}}
"
    )
}

const WITH_CERTIFICATE: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: my-gateway, namespace: default}
spec:
  gatewayClassName: cloudflare
  infrastructure:
    parametersRef: {group: cloudflare-gateway-controller.io, kind: CloudflareGatewayParameters, name: parameters}
  listeners:
    - name: https
      protocol: HTTPS
      port: 443
      tls: {certificateRefs: [{name: cert}]}
";

/// A GatewayClass without credentials, whose Gateways may have their certificates uploaded.
fn class_that_uploads() -> String {
    "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: cloudflare}
spec:
  controllerName: cloudflare-gateway-controller.io/controller
  parametersRef: {group: cloudflare-gateway-controller.io, kind: CloudflareGatewayParameters, name: parameters, namespace: default}
"
    .to_owned()
}

async fn world() -> (World, Origin) {
    let origin = Origin::start("app").await;
    let world = World::start_paying(Plan::Paid).await;
    world.write("app.yaml", &service("app", &[origin.address]));
    world.write("route.yaml", &route("app", "app.example.com", "app"));
    world.write("cert.yaml", &pair());
    world.write("gateway.yaml", WITH_CERTIFICATE);
    (world, origin)
}

fn of_gateway() -> (ClusterName, ObjectKey) {
    let key = ObjectKey::new("default", "my-gateway");
    (Enrolled::of(CLUSTER).cluster, key)
}

async fn has_certificates(world: &World, number: usize, other_than: &[String]) -> Vec<String> {
    within(WAIT, "its certificates", || async {
        let now = world.certificates();
        (now.len() == number && (number == 0 || now != other_than)).then_some(now)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_behind_a_broker_is_shown_as_far_as_it_is_granted_and_its_key_is_not_kept() {
    let (world, _origin) = world().await;
    let broker = Broker::start(&world).await;
    world.write("class.yaml", &class_that_uploads());
    world.write("parameters.yaml", &parameters(""));
    let code = broker.invite(CLUSTER).await;
    let _cfgw = world.cfgw_behind(&broker.url(), &code).await;
    let refused = world.condition(GATEWAY, CONDITION, |seen| seen.reason == "NotAvailable");
    let message = refused.await.message;
    assert!(message.contains("grants no certificates"), "{message}");
    world.answers("https://app.example.com/").await;

    grant_certificates(&broker.store, true).await;
    let shown = || world.condition(GATEWAY, CONDITION, |seen| seen.status == "True");
    shown().await;
    let first = has_certificates(&world, 1, &[]).await;
    world.write("cert.yaml", &pair());
    has_certificates(&world, 1, &first).await;
    shown().await;
    let (name, key) = of_gateway();
    within(WAIT, "no key is kept", || async {
        let held = broker.store.held(&name, &key).await.unwrap().unwrap();
        ((held.pairs.len(), held.proven.len()) == (0, 1)).then_some(())
    })
    .await;

    grant_certificates(&broker.store, false).await;
    has_certificates(&world, 0, &[]).await;
    grant_certificates(&broker.store, true).await;
    has_certificates(&world, 1, &[]).await;
    world.remove("gateway.yaml");
    has_certificates(&world, 0, &[]).await;
}

async fn ended(mut cfgw: Cfgw) {
    cfgw.terminate().await;
    assert!(cfgw.ended(WAIT).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_goes_behind_a_broker_and_back_and_keeps_its_certificate() {
    let (world, _origin) = world().await;
    let broker = Broker::start(&world).await;
    grant_certificates(&broker.store, true).await;
    let own = secret("cloudflare-creds", &world.token, ACCOUNT);
    world.write("credentials.yaml", &own);
    world.write("class.yaml", &class());
    let with_secret = parameters("secretRef: {name: cloudflare-creds}");
    world.write("parameters.yaml", &with_secret);
    let shown = || world.condition(GATEWAY, CONDITION, |seen| seen.status == "True");
    let direct = world.cfgw().await;
    shown().await;
    world.settled().await;
    ended(direct).await;
    let before = world.certificates();

    world.remove("credentials.yaml");
    world.write("class.yaml", &class_that_uploads());
    world.write("parameters.yaml", &parameters(""));
    let code = broker.invite(CLUSTER).await;
    let behind = world.cfgw_behind(&broker.url(), &code).await;
    // What the broker has been told of it, not what an earlier process wrote.
    let (name, key) = of_gateway();
    within(WAIT, "the broker knows the certificate", || async {
        let held = broker.store.held(&name, &key).await.unwrap()?;
        (held.pairs.is_empty() && !held.proven.is_empty()).then_some(())
    })
    .await;
    shown().await;
    world.settled().await;
    assert_eq!(world.certificates(), before);
    ended(behind).await;

    broker.command(&["release", CLUSTER.0]).await;
    world.write("credentials.yaml", &own);
    world.write("class.yaml", &class());
    world.write("parameters.yaml", &with_secret);
    let _direct = world.cfgw().await;
    shown().await;
    world.settled().await;
    assert_eq!(world.certificates(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_sent_once_and_again_only_where_the_certificate_was_lost() {
    let world = World::start_paying(Plan::Paid).await;
    let broker = Broker::start(&world).await;
    grant_certificates(&broker.store, true).await;
    let (pair, certificate) = certificate("app.example.com");
    let east = broker.client(EAST).await.with_certificates(Arc::new(pair));
    let gateway = ObjectKey::new("default", "one");
    let mut intent = domain::testing::intent(gateway.clone(), &["app.example.com"]);
    intent.certificates = Some([certificate.clone()].into());
    let is_shown =
        |outcome: &CertificateOutcome| matches!(outcome, CertificateOutcome::Uploaded { .. });
    let version = || async {
        let name = Enrolled::of(EAST).cluster;
        let held = broker.store.held(&name, &gateway).await.unwrap();
        held.unwrap().version
    };
    for _ in 0..2 {
        let status = east.reconcile(&intent).await.unwrap();
        assert!(
            is_shown(&status.certificates[&certificate.secret]),
            "{status:?}"
        );
        assert_eq!(
            version().await,
            2,
            "the statement, and what was sent for it"
        );
    }
    let stranger = broker.client(Member("north")).await;
    let mut other = intent.clone();
    other.hostnames = ["other.example.com"]
        .map(|name| name.parse().unwrap())
        .into();
    let status = stranger.reconcile(&other).await.unwrap();
    let outcome = &status.certificates[&certificate.secret];
    assert_eq!(
        *outcome,
        CertificateOutcome::NotAvailable,
        "it has no key to send"
    );
    assert_eq!(world.certificates().len(), 1);
}
