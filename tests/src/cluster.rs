//! The test cluster, from inside: `tests/cluster/run exec` starts the test binary in the cluster's namespaces, so that
//! pods, Services and the stand-in are reached as anything on the node reaches them. The real kubectl speaks to the API.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use uuid::Uuid;

/// The image that the chart names, made of the `cfgw` of this build.
pub const CFGW_IMAGE: &str = "ghcr.io/cloudflare-gateway-controller/cfgw:0.1.0";

/// Pause between two looks at something that is awaited.
const GLANCE: Duration = Duration::from_millis(200);

/// The cluster that this process runs inside of.
#[derive(Debug, Clone)]
pub struct Cluster {
    state: PathBuf,
}

/// A component of Kubernetes that a test can take away.
#[derive(Debug, Clone, Copy)]
pub enum Component {
    /// Nobody can read or write anything while it is away.
    Apiserver,
    /// No Deployment makes pods, no EndpointSlice changes while it is away.
    ControllerManager,
    /// Pods run on unwatched while it is away.
    Kubelet,
    /// No new pod gets a node while it is away.
    Scheduler,
}

impl Component {
    fn name(self) -> &'static str {
        match self {
            Self::Apiserver => "apiserver",
            Self::ControllerManager => "controller-manager",
            Self::Kubelet => "kubelet",
            Self::Scheduler => "scheduler",
        }
    }
}

/// A request as the API server's audit log has it, at level Metadata.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    /// `ResponseStarted` for watches, `ResponseComplete`, `Panic`.
    pub stage: String,
    /// When the request came, by the clock of this machine. A watch that ends is told long after.
    pub request_received_timestamp: jiff::Timestamp,
    /// When it came to that stage.
    pub stage_timestamp: jiff::Timestamp,
    /// As in RBAC: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// Who asked.
    pub user: AuditUser,
    /// What was asked for; absent for paths that name no object.
    #[serde(default)]
    pub object_ref: Option<AuditObject>,
    /// HTTP answer.
    #[serde(default)]
    pub response_status: Option<AuditStatus>,
}

/// Who made a request.
#[derive(Debug, Clone, Deserialize)]
pub struct AuditUser {
    /// `system:serviceaccount:<namespace>:<name>` for a ServiceAccount.
    pub username: String,
}

/// What a request was about. Absent fields are empty.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuditObject {
    /// Empty for the core group.
    pub api_group: String,
    /// In the plural, as in RBAC.
    pub resource: String,
    /// `status`, `log`; empty for the object itself.
    pub subresource: String,
    /// Empty for all namespaces and for objects that are in none.
    pub namespace: String,
    /// Empty where many objects were meant.
    pub name: String,
}

/// How a request was answered.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct AuditStatus {
    /// HTTP status.
    pub code: u16,
}

impl Cluster {
    /// The cluster around this process.
    ///
    /// # Panics
    /// Outside of a cluster.
    pub fn inside() -> Self {
        let state = std::env::var_os("CFGW_CLUSTER_STATE")
            .expect("not inside of a test cluster: run these tests by `tests/run cluster`");
        Self {
            state: state.into(),
        }
    }

    /// Folder with logs and the audit log.
    pub fn state(&self) -> &Path {
        &self.state
    }

    fn program(&self, name: &str) -> PathBuf {
        self.state.join("bin").join(name)
    }

    /// What kubectl prints, or what it complains about.
    pub async fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        self.run("kubectl", arguments, "").await
    }

    /// What kubectl prints; it must succeed.
    pub async fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments)
            .await
            .unwrap_or_else(|error| panic!("kubectl {arguments:?}: {error}"))
    }

    /// What helm prints, or what it complains about.
    pub async fn helm(&self, arguments: &[&str]) -> Result<String, String> {
        self.run("helm", arguments, "").await
    }

    /// An object, or a list of them, as JSON; `None` if there is no such object.
    pub async fn get(&self, arguments: &[&str]) -> Option<Value> {
        let arguments = [&["get", "--output=json", "--ignore-not-found"], arguments].concat();
        let text = self.kubectl(&arguments).await;
        if text.is_empty() {
            return None;
        }
        Some(serde_json::from_str(&text).expect("kubectl prints JSON"))
    }

    /// Applies manifests; they must be accepted.
    pub async fn apply(&self, manifests: &str) {
        self.run("kubectl", &["apply", "--filename=-"], manifests)
            .await
            .unwrap_or_else(|error| panic!("kubectl apply: {error}\n{manifests}"));
    }

    /// Creates the objects of manifests; none may be there yet.
    pub async fn create(&self, manifests: &str) {
        self.run("kubectl", &["create", "--filename=-"], manifests)
            .await
            .unwrap_or_else(|error| panic!("kubectl create: {error}"));
    }

    /// Sends an object to a path of the API server as it is. kubectl reads no manifest that is nested deep, and the API
    /// server does.
    pub async fn post(&self, path: &str, object: &str) -> Result<String, String> {
        let arguments = ["create", "--raw", path, "--filename=-"];
        self.run("kubectl", &arguments, object).await
    }

    /// Deletes the objects of manifests and waits until they are gone; those that do not exist are fine.
    pub async fn delete(&self, manifests: &str) {
        let arguments = [
            "delete",
            "--ignore-not-found",
            "--timeout=240s",
            "--filename=-",
        ];
        self.run("kubectl", &arguments, manifests)
            .await
            .unwrap_or_else(|error| panic!("kubectl delete: {error}"));
    }

    /// Makes a namespace whose name begins as given. It goes away with the value; a failed test shows first what is
    /// in it.
    pub async fn namespace(&self, prefix: &str) -> Namespace {
        let id = Uuid::new_v4().simple().to_string();
        let name = format!("{prefix}-{}", &id[..6]);
        self.kubectl(&["create", "namespace", &name]).await;
        Namespace {
            cluster: self.clone(),
            name,
        }
    }

    /// Everything asked of the API server so far. A line that is being written is left out.
    pub fn audit(&self) -> Vec<AuditEvent> {
        let text = std::fs::read_to_string(self.state.join("audit.log"))
            .expect("the API server writes an audit log");
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Kills a component and keeps it down until [`Self::start`].
    pub async fn stop(&self, component: Component) {
        let name = component.name();
        std::fs::write(self.state.join("stopped").join(name), "").expect("a writable state");
        let id =
            std::fs::read_to_string(self.state.join("pids").join(name)).expect("it was started");
        let status = Command::new("kill").args(["-KILL", &id]).status().await;
        assert!(
            status.is_ok_and(|status| status.success()),
            "{name} does not run"
        );
    }

    /// Lets a component that was stopped run again; it needs some seconds.
    pub fn start(&self, component: Component) {
        let marker = self.state.join("stopped").join(component.name());
        std::fs::remove_file(marker).expect("it was stopped");
    }

    async fn run(&self, program: &str, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut child = Command::new(self.program(program))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{program} does not start: {error}"))?;
        let mut stdin = child.stdin.take().expect("stdin is piped");
        // A program that fails early closes its input; its answer says why.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let output = child
            .wait_with_output()
            .await
            .map_err(|error| error.to_string())?;
        printed(&output)
    }
}

fn printed(output: &Output) -> Result<String, String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A namespace of one test.
#[derive(Debug)]
pub struct Namespace {
    cluster: Cluster,
    name: String,
}

impl Namespace {
    /// Its name, unlike that of any other test.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What kubectl prints in this namespace, or what it complains about.
    pub async fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let here = ["--namespace", self.name.as_str()];
        self.cluster.try_kubectl(&[&here, arguments].concat()).await
    }

    /// What kubectl prints in this namespace; it must succeed.
    pub async fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments)
            .await
            .unwrap_or_else(|error| panic!("kubectl {arguments:?} in {}: {error}", self.name))
    }

    /// An object of this namespace, or a list of them, as JSON; `None` if there is no such object.
    pub async fn get(&self, arguments: &[&str]) -> Option<Value> {
        let here = ["--namespace", self.name.as_str()];
        self.cluster.get(&[&here, arguments].concat()).await
    }

    /// Applies manifests, into this namespace where they name none; what kubectl prints, or why they are refused.
    pub async fn try_apply(&self, manifests: &str) -> Result<String, String> {
        let arguments = ["apply", "--namespace", &self.name, "--filename=-"];
        self.cluster.run("kubectl", &arguments, manifests).await
    }

    /// Has the API server judge manifests as if they were applied; what kubectl prints, or why they are refused.
    pub async fn try_dry_run(&self, manifests: &str) -> Result<String, String> {
        let arguments = [
            "apply",
            "--dry-run=server",
            "--namespace",
            &self.name,
            "--filename=-",
        ];
        self.cluster.run("kubectl", &arguments, manifests).await
    }

    /// Applies manifests; they must be accepted.
    pub async fn apply(&self, manifests: &str) {
        let applied = self.try_apply(manifests).await;
        applied.unwrap_or_else(|error| panic!("kubectl apply: {error}\n{manifests}"));
    }

    /// Creates the objects of manifests in this namespace; none may be there yet. Quicker than
    /// [`apply`](Self::apply) for many.
    pub async fn create(&self, manifests: &str) {
        let arguments = ["create", "--namespace", &self.name, "--filename=-"];
        self.cluster
            .run("kubectl", &arguments, manifests)
            .await
            .unwrap_or_else(|error| panic!("kubectl create: {error}"));
    }

    /// Waits until `kubectl wait --for=<condition>` says that it is so.
    pub async fn wait(&self, condition: &str, object: &str, within: Duration) {
        let condition = format!("--for={condition}");
        let timeout = format!("--timeout={}s", within.as_secs().max(1));
        self.kubectl(&["wait", &condition, &timeout, object]).await;
    }

    /// What a person would look at first: objects, events, logs of all pods.
    fn dump(&self) -> String {
        let mut text = String::new();
        let all = "all,endpointslices,gateways,httproutes,grpcroutes,secrets,leases";
        for arguments in [
            &["get", all, "--output=wide"][..],
            &["get", "gateways,httproutes,grpcroutes", "--output=yaml"],
            &["describe", "pods"],
            &["get", "events", "--sort-by=.lastTimestamp"],
            &[
                "logs",
                "--all-containers",
                "--prefix",
                "--tail=100",
                // All of them.
                "--selector=!no-such-label",
            ],
        ] {
            let output = std::process::Command::new(self.cluster.program("kubectl"))
                .args(["--namespace", &self.name, "--request-timeout=10s"])
                .args(arguments)
                .output();
            let Ok(output) = output else { continue };
            text.push_str(&format!("--- kubectl {}\n", arguments.join(" ")));
            text.push_str(&String::from_utf8_lossy(&output.stdout));
            text.push_str(&String::from_utf8_lossy(&output.stderr));
        }
        text
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- namespace {}\n{}---", self.name, self.dump());
        }
        let deleted = std::process::Command::new(self.cluster.program("kubectl"))
            .args(["delete", "namespace", "--wait=false", &self.name])
            .args(["--request-timeout=10s"])
            .output();
        if let Err(error) = deleted {
            eprintln!("namespace {} stays: {error}", self.name);
        }
    }
}

/// Looks again and again until there is something to see.
///
/// # Panics
/// Past the deadline, with what was awaited and what was there instead.
pub async fn eventually<T, F, S>(what: &str, within: Duration, mut look: F) -> T
where
    F: FnMut() -> S,
    S: Future<Output = Result<T, String>>,
{
    let deadline = Instant::now() + within;
    loop {
        match look().await {
            Ok(seen) => return seen,
            Err(instead) => assert!(
                Instant::now() < deadline,
                "{what}: not within {within:?}: {instead}"
            ),
        }
        tokio::time::sleep(GLANCE).await;
    }
}
