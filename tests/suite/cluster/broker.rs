//! The broker as its own chart installs it: a cluster goes behind it and back, as docs/edge-backends.md tells.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use tests::cluster::{Namespace, eventually};
use tests::installation::{self, Installation, NAMESPACE, PATIENCE};
use tests::load::Load;
use tests::world::ACCOUNT;

use super::chart::restricted;
use super::traffic::{echo_behind, requests_to};
use super::user::{gone, route};

/// Named at the broker as the installation is named in its settings: the name is in tunnels and marks.
const CLUSTER: &str = "test";
const NAME: &str = "broker-cloudflare-gateway-broker";
const KEYS: &str = "first MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// A broker in a namespace of its own.
struct Broker<'a> {
    product: &'a Installation,
    namespace: Namespace,
}

impl<'a> Broker<'a> {
    async fn install(product: &'a Installation) -> Self {
        let namespace = restricted(&product.cluster, "broker").await;
        let broker = Self { product, namespace };
        broker.furnish().await;
        broker.helm("install").await;
        broker
    }

    fn host(&self) -> String {
        format!("{NAME}.{}.svc", self.namespace.name())
    }

    /// What its README asks for before it is installed, a volume of the node, and what both sides trust.
    async fn furnish(&self) {
        let folder = self.product.cluster.state().join("broker");
        std::fs::create_dir_all(&folder).expect("a writable state");
        // The pod's user is none of the node's.
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o777)).expect("own folder");
        let made = rcgen::generate_simple_self_signed([self.host()]).expect("a certificate");
        let certificate = made.cert.pem();
        let pem = |text: &str| text.replace('\n', "\n    ");
        let objects = format!(
            "apiVersion: v1
kind: PersistentVolume
metadata: {{name: {namespace}}}
spec:
  capacity: {{storage: 1Gi}}
  accessModes: [ReadWriteOnce]
  hostPath: {{path: {folder:?}}}
  claimRef: {{namespace: {namespace}, name: {NAME}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: broker-keys}}
stringData: {{keys: {KEYS}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: cloudflare-tokens}}
stringData: {{main: {token}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: broker-tls}}
type: kubernetes.io/tls
stringData:
  tls.crt: |
    {chain}
  tls.key: |
    {key}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: cloudflare-roots}}
data:
  ca.crt: |
    {roots}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: broker-roots, namespace: {NAMESPACE}}}
data:
  ca.crt: |
    {chain}
",
            namespace = self.namespace.name(),
            folder = folder.display().to_string(),
            token = self.product.token,
            chain = pem(&certificate),
            key = pem(&made.signing_key.serialize_pem()),
            roots = pem(self.product.standin.ca_pem()),
        );
        self.product.cluster.apply(&self.within(&objects)).await;
    }

    /// The same objects, where they name no namespace in that of the broker.
    fn within(&self, objects: &str) -> String {
        let here = format!(", namespace: {}}}", self.namespace.name());
        let place = |object: &str| match object.contains("namespace: ") {
            true => object.to_owned(),
            false => object.replacen('}', &here, 1),
        };
        let objects: Vec<_> = objects.split("---\n").map(place).collect();
        objects.join("---\n")
    }

    async fn helm(&self, verb: &str) {
        let settings = [
            "keys.secretName=broker-keys".to_owned(),
            "tls.secretName=broker-tls".to_owned(),
            "tokens.secretName=cloudflare-tokens".to_owned(),
            "cloudflare.ca.configMapName=cloudflare-roots".to_owned(),
            format!("cloudflare.apiUrl={}", self.product.standin.api_url()),
            "people.enabled=true".to_owned(),
            "networkPolicy.enabled=true".to_owned(),
            "tenants[0].name=acme".to_owned(),
            "tenants[0].accounts[0].name=main".to_owned(),
            format!("tenants[0].accounts[0].cloudflare={ACCOUNT}"),
            "tenants[0].accounts[0].token_file=/etc/cfgw/tokens/main".to_owned(),
            "tenants[0].grants[0].name=all".to_owned(),
            "tenants[0].grants[0].hostnames={*}".to_owned(),
        ];
        let chart = installation::broker_chart();
        let mut arguments = vec![verb, "broker", &chart, "--wait", "--timeout=240s"];
        arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        self.helm_here(&arguments).await;
    }

    async fn helm_here(&self, arguments: &[&str]) -> String {
        let here = ["--namespace", self.namespace.name()];
        let arguments = [arguments, &here].concat();
        match self.product.cluster.helm(&arguments).await {
            Ok(said) => said,
            Err(error) => panic!("helm {arguments:?}: {error}\n{}", self.told().await),
        }
    }

    async fn told(&self) -> String {
        let deployment = format!("deployment/{NAME}");
        let mut text = String::new();
        for arguments in [&["describe", "pods,pvc"][..], &["logs", &deployment]] {
            let told = self.namespace.try_kubectl(arguments).await;
            text += &told.unwrap_or_else(|error| error);
        }
        text
    }

    /// One of the commands that the notes of the chart name.
    async fn command(&self, words: &[&str]) -> String {
        let deployment = format!("deployment/{NAME}");
        let before = ["exec", &deployment, "--", "/cfgw", "broker"];
        self.namespace.kubectl(&[&before, words].concat()).await
    }

    /// The controllers ask this broker from now on, by a code that is good once.
    async fn takes_over(&self) {
        let invited = self.command(&["invite", CLUSTER, "--tenant", "acme"]).await;
        let code = format!("edge.broker.code={}", invited.trim());
        let url = format!("edge.broker.url=https://{}:8443", self.host());
        let settings = [
            "--set=edge.backend=broker",
            "--set=edge.broker.ca.configMapName=broker-roots",
            "--set",
            &url,
            "--set",
            &code,
            // Its credentials are not used any more.
            "--set=credentials.secretName=",
        ];
        let chart = installation::chart();
        let upgrade = self
            .product
            .helm_with_values(&["upgrade"], &chart, &settings);
        tokio::join!(upgrade, self.accept());
    }

    /// Accepts the key that came with the code.
    async fn accept(&self) {
        let key = eventually("a key to be accepted", PATIENCE, || async {
            let clusters = self.command(&["clusters"]).await;
            let asking = clusters.lines().find(|line| line.contains("asking"));
            let key = asking.and_then(|line| line.split_whitespace().nth(5));
            key.map(str::to_owned).ok_or(clusters)
        })
        .await;
        self.command(&["accept", CLUSTER, "--key", &key]).await;
    }

    /// Removes the release, and what it keeps.
    async fn remove(&self) {
        self.helm_here(&["uninstall", "broker", "--wait", "--timeout=120s"])
            .await;
        let claim = format!("pvc/{NAME}");
        let kept = ["get", &claim, "--output=name"];
        assert!(self.namespace.kubectl(&kept).await.contains(NAME));
        self.namespace.kubectl(&["delete", &claim]).await;
        let volume = ["delete", "persistentvolume", self.namespace.name()];
        self.product.cluster.kubectl(&volume).await;
        let roots = ["delete", "configmap/broker-roots", "--namespace", NAMESPACE];
        self.product.cluster.kubectl(&roots).await;
    }
}

/// The tunnel of a namespace and the records of a hostname, with their ids.
fn held(product: &Installation, namespace: &Namespace, hostname: &str) -> String {
    let part = format!("/namespaces/{}/", namespace.name());
    let tunnels = product.standin.cloud().tunnels().into_iter();
    let tunnels: Vec<_> = tunnels
        .filter(|tunnel| tunnel.deleted_at.is_none() && tunnel.name.contains(&part))
        .map(|tunnel| tunnel.id)
        .collect();
    let zones = product.standin.cloud().zones();
    let records: Vec<_> = zones
        .iter()
        .flat_map(|zone| product.standin.cloud().records(&zone.id))
        .filter(|record| record.name == hostname)
        .map(|record| (record.id.clone(), record.content.clone()))
        .collect();
    format!("{tunnels:?} {records:?}")
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn a_cluster_goes_behind_a_broker_that_its_chart_installs_and_back_and_no_request_fails() {
    let product = installation::alone().await;
    let apps = restricted(&product.cluster, "brokered").await;
    let hostname = echo_behind(&product, &apps, 2).await;
    let before = held(&product, &apps, &hostname);
    let load = Load::start(
        2,
        Duration::from_millis(50),
        requests_to(&product, &hostname),
    );
    let broker = Broker::install(&product).await;
    let tested = broker
        .helm_here(&["test", "broker", "--timeout=120s"])
        .await;
    assert!(tested.contains("Phase:          Succeeded"), "{tested}");

    broker.takes_over().await;
    // The broker is replaced while the cluster is behind it, as its SQLite wants.
    broker.helm("upgrade").await;
    let deployment = format!("deployment/{NAME}");
    let restart = ["rollout", "restart", &deployment];
    broker.namespace.kubectl(&restart).await;
    let coming = format!("coming-{hostname}");
    let second = route(&coming, "").replace("my-route", "coming");
    apps.apply(&second).await;
    product.served(&format!("https://{coming}/")).await;
    assert_eq!(held(&product, &apps, &hostname), before);

    let told = broker.command(&["release", CLUSTER]).await;
    assert!(told.contains("stays as it is"), "{told}");
    let chart = installation::chart();
    product.helm_with_values(&["upgrade"], &chart, &[]).await;
    let third = route(&format!("back-{hostname}"), "").replace("my-route", "back");
    apps.apply(&third).await;
    product.served(&format!("https://back-{hostname}/")).await;
    assert_eq!(held(&product, &apps, &hostname), before);
    let done = load.stop().await;
    assert_eq!(done.failures, Vec::<String>::new());
    broker.remove().await;
    let gateway = ["delete", "gateway", "my-gateway", "--timeout=240s"];
    apps.kubectl(&gateway).await;
    for hostname in [&hostname, &coming] {
        gone(&product, &apps, hostname).await;
    }
}
