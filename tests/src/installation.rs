//! The product in the test cluster: a stand-in Cloudflare on the node and the chart as a user installs it. One
//! installation serves all tests of the binary, because a controller sees every Gateway of its cluster.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;
use standin::cloud::{Account, ApiToken, Plan};
use standin::{Standin, StandinOptions};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};
use uuid::Uuid;

use crate::client::Client;
use crate::cluster::{Cluster, Namespace, eventually};
use crate::world::{ACCOUNT, ZONE};

/// Namespace of the controller.
pub const NAMESPACE: &str = "cfgw-system";

/// Name of its GatewayClass.
pub const CLASS: &str = "cloudflare";

/// Replicas of the controller.
pub const REPLICAS: usize = 3;

/// The node, as pods see it.
pub const NODE: Ipv4Addr = Ipv4Addr::new(10, 10, 0, 2);

/// Pods start, images are unpacked, two processors do everything.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// Where the connectors of pods dial.
const EDGE: [Ipv4Addr; 4] = [
    Ipv4Addr::new(10, 20, 255, 1),
    Ipv4Addr::new(10, 20, 255, 2),
    Ipv4Addr::new(10, 20, 255, 3),
    Ipv4Addr::new(10, 20, 255, 4),
];

/// The stand-in outlives the test that needed it first.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));
static SHARED: OnceCell<Installation> = OnceCell::const_new();

/// Tests that take something away from all are alone; the others go side by side.
static DISTURBED: RwLock<()> = RwLock::const_new(());

/// The running product.
pub struct Installation {
    /// The cluster around it.
    pub cluster: Cluster,
    /// The stand-in.
    pub standin: Standin,
    /// A client of the stand-in's public side.
    pub client: Client,
    /// The API token, which must be seen nowhere but in its Secret.
    pub token: String,
}

/// Whether a test that was alone failed: what it left of the installation is not known.
static LEFT_OPEN: Mutex<bool> = Mutex::const_new(false);

/// The installation while no test disturbs it.
pub struct Quiet {
    _others: RwLockReadGuard<'static, ()>,
    installation: &'static Installation,
}

/// The installation for a test that disturbs it, alone.
pub struct Alone {
    _others: RwLockWriteGuard<'static, ()>,
    installation: &'static Installation,
}

impl std::ops::Deref for Quiet {
    type Target = Installation;
    fn deref(&self) -> &Installation {
        self.installation
    }
}

impl std::ops::Deref for Alone {
    type Target = Installation;
    fn deref(&self) -> &Installation {
        self.installation
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Ok(mut left_open) = LEFT_OPEN.try_lock()
        {
            *left_open = true;
        }
    }
}

/// The installation, shared with other tests.
pub async fn quiet() -> Quiet {
    let _others = DISTURBED.read().await;
    Quiet {
        _others,
        installation: whole().await,
    }
}

/// The installation, while no other test uses it.
pub async fn alone() -> Alone {
    let _others = DISTURBED.write().await;
    Alone {
        _others,
        installation: whole().await,
    }
}

/// The chart of this tree.
pub fn chart() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let chart = folder.join("../charts/cloudflare-gateway-controller");
    chart.display().to_string()
}

/// The broker's chart of this tree.
pub fn broker_chart() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let chart = folder.join("../charts/cloudflare-gateway-broker");
    chart.display().to_string()
}

/// The installation as tests expect it, whatever one before did: a test that fails costs no other one.
async fn whole() -> &'static Installation {
    let installation = shared().await;
    let mut left_open = LEFT_OPEN.lock().await;
    if *left_open {
        installation.restore().await;
        *left_open = false;
    }
    installation
}

async fn shared() -> &'static Installation {
    SHARED
        .get_or_init(|| async {
            let started = RUNTIME.spawn(Installation::start());
            started.await.expect("the installation starts")
        })
        .await
}

impl Installation {
    async fn start() -> Self {
        let cluster = Cluster::inside();
        let token = format!("canary-{}", Uuid::new_v4().simple());
        let standin = Standin::start(standin_options(&token)).await;
        let standin = standin.expect("the stand-in starts");
        let https = standin.edge().public_https();
        let client = Client::new(standin.dns_addr(), https.port(), standin.ca_pem());
        let installation = Self {
            cluster,
            standin,
            client,
            token,
        };
        installation.install().await;
        installation
    }

    /// The steps of the README, with the stand-in in Cloudflare's place.
    async fn install(&self) {
        let roots = self.cluster.state().join("standin-ca.pem");
        std::fs::write(&roots, self.standin.ca_pem()).expect("a writable state");
        let cluster = &self.cluster;
        cluster.kubectl(&["create", "namespace", NAMESPACE]).await;
        let restricted = "pod-security.kubernetes.io/enforce=restricted";
        let labelled = ["label", "namespace", NAMESPACE, restricted];
        cluster.kubectl(&labelled).await;
        cluster.apply(&self.secret("cloudflare", NAMESPACE)).await;
        let from = format!("--from-file=ca.crt={}", roots.display());
        let roots = [
            "create",
            "configmap",
            "standin-roots",
            "--namespace",
            NAMESPACE,
            &from,
        ];
        cluster.kubectl(&roots).await;
        self.helm_with_values(&["install"], &chart(), &[]).await;
    }

    /// What the chart installs, as it is for all tests.
    async fn restore(&self) {
        let verb = ["upgrade", "--install", "--reset-values"];
        self.helm_with_values(&verb, &chart(), &[]).await;
    }

    /// Installs or upgrades the release with a chart and the values of the tests, and more arguments.
    ///
    /// # Panics
    /// helm fails.
    pub async fn helm_with_values(&self, verb: &[&str], chart: &str, more: &[&str]) {
        let settings = self.values();
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        let mut arguments = [verb, &["cfgw", chart, "--namespace", NAMESPACE]].concat();
        arguments.extend(["--wait", "--timeout=300s"]);
        arguments.extend(settings);
        arguments.extend(more);
        if let Err(error) = self.cluster.helm(&arguments).await {
            let told = self.told_by_controllers().await;
            panic!("helm {verb:?}: {error}\n{told}");
        }
    }

    fn values(&self) -> Vec<String> {
        let edge: Vec<_> = self
            .standin
            .edge()
            .tunnel_addresses()
            .iter()
            .map(ToString::to_string)
            .collect();
        vec![
            "installation=test".to_owned(),
            format!("replicas={REPLICAS}"),
            format!("gatewayClass.name={CLASS}"),
            "credentials.secretName=cloudflare".to_owned(),
            format!("cloudflare.apiUrl={}", self.standin.api_url()),
            "cloudflare.ca.configMapName=standin-roots".to_owned(),
            format!("tunnel.edgeAddresses={{{}}}", edge.join(",")),
            "tunnel.ca.configMapName=standin-roots".to_owned(),
            "networkPolicy.enabled=true".to_owned(),
            "log.filter=info\\,adapter_kubernetes=debug".to_owned(),
        ]
    }

    /// A Secret with credentials that work.
    pub fn secret(&self, name: &str, namespace: &str) -> String {
        let token = &self.token;
        format!(
            "apiVersion: v1
kind: Secret
metadata: {{name: {name}, namespace: {namespace}}}
stringData: {{CLOUDFLARE_API_TOKEN: {token}, CLOUDFLARE_ACCOUNT_ID: \"{ACCOUNT}\"}}
"
        )
    }

    /// The last lines that the controller's replicas logged.
    pub async fn told_by_controllers(&self) -> String {
        let selector = "--selector=app.kubernetes.io/name=cfgw-controller";
        let logs = [
            "logs",
            "--namespace",
            NAMESPACE,
            selector,
            "--prefix",
            "--tail=60",
        ];
        let pods = ["describe", "pods", "--namespace", NAMESPACE];
        let mut text = String::new();
        for arguments in [&pods[..], &logs[..]] {
            text += &match self.cluster.try_kubectl(arguments).await {
                Ok(told) | Err(told) => told,
            };
        }
        text
    }

    /// The name of the replica that leads, and its term, by the Lease.
    pub async fn leader(&self) -> (String, u64) {
        let lease = ["lease", "--namespace", NAMESPACE];
        eventually("a leader", PATIENCE, || async {
            let leases = self.cluster.get(&lease).await.ok_or("no Lease")?;
            let spec = &leases["items"][0]["spec"];
            let holder = spec["holderIdentity"].as_str().unwrap_or("");
            let pod = holder.split('_').next().unwrap_or("");
            match (pod.is_empty(), spec["leaseTransitions"].as_u64()) {
                (false, Some(term)) => Ok((pod.to_owned(), term)),
                _ => Err(leases.to_string()),
            }
        })
        .await
    }

    /// Asks until the edge answers 200, and gives the body.
    pub async fn served(&self, url: &str) -> String {
        eventually(url, PATIENCE, || async {
            let answer = self.client.get(url).await?;
            match answer.status {
                200 => Ok(answer.body),
                other => Err(format!("{other}: {}", answer.body)),
            }
        })
        .await
    }

    /// Kills the processes of a pod as a crash would. Needs no API server: the node's own processes are seen from
    /// inside the cluster.
    pub async fn kill_container(&self, pod: &str) {
        let mut killed = 0;
        for entry in std::fs::read_dir("/proc").expect("processes").flatten() {
            let Ok(id) = entry.file_name().to_string_lossy().parse::<u32>() else {
                continue;
            };
            // The hostname of a pod's processes is its name; the pause process only holds the namespaces.
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            let hostname = format!("HOSTNAME={pod}");
            let mut variables = environment.split(|byte| *byte == 0);
            if variables.any(|variable| variable == hostname.as_bytes()) && id > 1 {
                let status = tokio::process::Command::new("kill")
                    .args(["-KILL", &id.to_string()])
                    .status()
                    .await;
                killed += usize::from(status.is_ok_and(|status| status.success()));
            }
        }
        assert!(killed > 0, "pod {pod} has no process");
    }

    /// Tunnels that are there for a Gateway of this namespace.
    pub fn tunnels_of(&self, namespace: &str) -> usize {
        let part = format!("/namespaces/{namespace}/");
        let all = self.standin.cloud().tunnels().into_iter();
        all.filter(|tunnel| tunnel.deleted_at.is_none() && tunnel.name.contains(&part))
            .count()
    }

    /// How often tokens of Gateways of this namespace were replaced.
    pub fn replaced_tokens(&self, namespace: &str) -> usize {
        let part = format!("/namespaces/{namespace}/");
        let tunnels = self.standin.cloud().tunnels();
        let tunnels = tunnels.iter().filter(|tunnel| tunnel.name.contains(&part));
        let paths: Vec<String> = tunnels
            .map(|tunnel| format!("/cfd_tunnel/{}", tunnel.id))
            .collect();
        let calls = self.standin.cloud().calls().into_iter();
        calls
            .filter(|call| call.method == "PATCH")
            .filter(|call| paths.iter().any(|path| call.path.ends_with(path)))
            .count()
    }

    /// Records of this name.
    pub fn records_of(&self, hostname: &str) -> usize {
        let zones = self.standin.cloud().zones();
        let records = zones
            .iter()
            .flat_map(|zone| self.standin.cloud().records(&zone.id));
        records.filter(|record| record.name == hostname).count()
    }
}

fn standin_options(token: &str) -> StandinOptions {
    StandinOptions {
        api: SocketAddr::new(IpAddr::V4(NODE), 8787),
        dns: SocketAddr::new(IpAddr::V4(NODE), 53),
        account: Account {
            id: ACCOUNT.to_owned(),
            name: "test".to_owned(),
            plan: Plan::Free,
        },
        tokens: vec![ApiToken::all_powerful(ACCOUNT, token)],
        zones: vec![ZONE.to_owned()],
        tunnel_addresses: EDGE.map(|ip| SocketAddr::new(IpAddr::V4(ip), 7844)).into(),
        ..StandinOptions::default()
    }
}

impl Namespace {
    /// The condition of an object's status, once it has this truth; the object's kind and name as kubectl takes
    /// them. For a route: of its first parent.
    pub async fn condition(&self, object: &str, kind: &str, truth: &str) -> Value {
        eventually(&format!("{object}: {kind}={truth}"), PATIENCE, || async {
            let found = self.get(&[object]).await.ok_or("it is not there")?;
            let status = &found["status"];
            let all = [&status["conditions"], &status["parents"][0]["conditions"]];
            let all = all.into_iter().filter_map(Value::as_array).flatten();
            let all: Vec<_> = all.filter(|one| one["type"] == kind).collect();
            match all.iter().find(|one| one["status"] == truth) {
                Some(found) => Ok((*found).clone()),
                None => Err(status.to_string()),
            }
        })
        .await
    }
}
