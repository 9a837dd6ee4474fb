//! A whole world for one test: a stand-in Cloudflare, a folder of manifests, and `cfgw standalone` on it.

use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use standin::cloud::{Account, ApiToken, Plan};
use standin::{Standin, StandinOptions};
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

use crate::client::{Answer, Client};
use crate::memory_group::MemoryGroup;
use crate::process::Cfgw;

mod cloudflare;

pub use self::cloudflare::{RecordSeen, TunnelSeen};

/// The one account of a world.
pub const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

/// The one zone of a world.
pub const ZONE: &str = "example.com";

/// A world. What it started ends when it is dropped.
pub struct World {
    /// The stand-in.
    pub standin: Standin,
    /// A client of its public side.
    pub client: Client,
    /// An API token with every permission.
    pub token: String,
    zone: String,
    dir: TempDir,
    _room: SemaphorePermit<'static>,
}

/// Worlds at once: more than that on a small machine only slow each other down.
const ROOM: u32 = 3;
static GATE: Semaphore = Semaphore::const_new(ROOM as usize);

/// A condition as it stands in the state directory.
#[derive(Debug, Clone)]
pub struct ConditionSeen {
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// The reason.
    pub reason: String,
    /// The message.
    pub message: String,
}

impl World {
    /// A stand-in with one account, one token, one zone, and an empty folder.
    pub async fn start() -> Self {
        Self::start_with(1, Plan::Free).await
    }

    /// The same while no other world runs, for tests that measure time or memory.
    pub async fn start_alone() -> Self {
        Self::start_with(ROOM, Plan::Free).await
    }

    /// The same with an account that pays for this.
    pub async fn start_paying(plan: Plan) -> Self {
        Self::start_with(1, plan).await
    }

    async fn start_with(room: u32, plan: Plan) -> Self {
        let room = GATE
            .acquire_many(room)
            .await
            .expect("the gate is never closed");
        let token = format!("canary-{}", Uuid::new_v4().simple());
        let options = StandinOptions {
            account: Account {
                id: ACCOUNT.to_owned(),
                name: "test".to_owned(),
                plan,
            },
            tokens: vec![ApiToken::all_powerful(ACCOUNT, token.as_str())],
            zones: vec![ZONE.to_owned()],
            ..StandinOptions::default()
        };
        let standin = Standin::start(options).await.expect("the stand-in starts");
        let zone = standin.cloud().zones()[0].id.clone();
        let https = standin.edge().public_https();
        let client = Client::new(standin.dns_addr(), https.port(), standin.ca_pem());
        let dir = TempDir::new().expect("a temporary folder");
        std::fs::create_dir(dir.path().join("manifests")).expect("a new folder");
        std::fs::write(dir.path().join("ca.pem"), standin.ca_pem()).expect("a new file");
        Self {
            standin,
            client,
            token,
            zone,
            dir,
            _room: room,
        }
    }

    // The folder.

    /// Writes a manifest as editors do: a new file, renamed over the old one.
    pub fn write(&self, file: &str, text: &str) {
        let folder = self.dir.path().join("manifests");
        let beside = self.dir.path().join(format!("{file}.new"));
        std::fs::write(&beside, text).expect("the file is written");
        std::fs::rename(beside, folder.join(file)).expect("the file is renamed");
    }

    /// Writes a file beside the manifests, and tells where it is.
    pub fn write_beside(&self, file: &str, text: &str) -> String {
        let path = self.dir.path().join(file);
        std::fs::write(&path, text).expect("the file is written");
        path.display().to_string()
    }

    /// Removes a manifest.
    pub fn remove(&self, file: &str) {
        std::fs::remove_file(self.dir.path().join("manifests").join(file))
            .expect("the file was there");
    }

    // The program.

    /// Starts `cfgw standalone` on the folder and waits until it is ready.
    pub async fn cfgw(&self) -> Cfgw {
        let cfgw = self.spawn();
        cfgw.ready(Duration::from_secs(20)).await;
        cfgw
    }

    /// The same with settings of its own, by their environment variables.
    pub async fn cfgw_with(&self, settings: &[(&str, String)]) -> Cfgw {
        let cfgw = Cfgw::standalone(&self.settings_with(settings), self.log("state"));
        cfgw.ready(Duration::from_secs(20)).await;
        cfgw
    }

    /// The same in a cgroup.
    pub async fn cfgw_in(&self, group: &MemoryGroup, settings: &[(&str, String)]) -> Cfgw {
        let settings = self.settings_with(settings);
        let cfgw = Cfgw::standalone_in(group, &settings, self.log("state"));
        cfgw.ready(Duration::from_secs(60)).await;
        cfgw
    }

    fn settings_with(&self, own: &[(&str, String)]) -> Vec<(String, String)> {
        let mut all = self.settings("state");
        all.retain(|(key, _)| !own.iter().any(|(own, _)| own == key));
        all.extend(
            own.iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone())),
        );
        all
    }

    /// Starts it and does not wait.
    pub fn spawn(&self) -> Cfgw {
        Cfgw::standalone(&self.settings("state"), self.log("state"))
    }

    /// Starts another one on the same folder, as the same instance and with the same key of sessions.
    pub async fn replica(&self, name: &str) -> Cfgw {
        self.same_instance("state", name);
        let path = |state: &str| self.dir.path().join(state).join("session-key");
        std::fs::copy(path("state"), path(name)).expect("a key of sessions");
        self.again(name).await
    }

    /// Starts one on a state directory that is there.
    pub async fn again(&self, name: &str) -> Cfgw {
        let cfgw = Cfgw::standalone(&self.settings(name), self.log(name));
        cfgw.ready(Duration::from_secs(20)).await;
        cfgw
    }

    /// The instance id of what [`World::cfgw`] starts.
    pub fn instance(&self) -> String {
        let text = std::fs::read_to_string(self.state().join("instance-id"));
        let text = text.expect("an instance id");
        let (id, _inode) = text.split_once(' ').expect("an id and an inode");
        id.to_owned()
    }

    /// Copies a state directory's instance id, as `cp` does.
    pub fn copy_state(&self, from: &str, to: &str) {
        let (from, to) = self.instance_files(from, to);
        std::fs::copy(from, to).expect("an instance id");
    }

    /// Gives a state directory to come the instance id of another one, as if it were no copy.
    pub fn same_instance(&self, from: &str, to: &str) {
        let (from, to) = self.instance_files(from, to);
        std::fs::hard_link(from, to).expect("an instance id");
    }

    fn instance_files(&self, from: &str, to: &str) -> (PathBuf, PathBuf) {
        let path = |state: &str| self.dir.path().join(state);
        std::fs::create_dir_all(path(to)).expect("a new folder");
        let file = "instance-id";
        (path(from).join(file), path(to).join(file))
    }

    /// Starts one on a folder and a state directory of its own, as another cluster: only the name of the installation
    /// is the same. It compares everything with the edge every two seconds.
    pub async fn namesake(&self, name: &str, manifests: &[(&str, String)]) -> Cfgw {
        let folder = self.dir.path().join(format!("{name}-manifests"));
        std::fs::create_dir(&folder).expect("a new folder");
        for (file, text) in manifests {
            std::fs::write(folder.join(file), text).expect("a new file");
        }
        let mut settings = self.settings(name);
        settings.retain(|(key, _)| key != "CFGW_MANIFESTS");
        settings.push(("CFGW_MANIFESTS".to_owned(), folder.display().to_string()));
        settings.push(("CFGW_RESYNC_INTERVAL".to_owned(), "2s".to_owned()));
        let cfgw = Cfgw::standalone(&settings, self.log(name));
        cfgw.ready(Duration::from_secs(20)).await;
        cfgw
    }

    /// Where an instance logs, by its state directory.
    fn log(&self, state: &str) -> PathBuf {
        self.dir.path().join(format!("{state}.log"))
    }

    /// Everything that the program has written: all files of its side but the manifests.
    pub fn written(&self) -> Vec<(PathBuf, String)> {
        let manifests = self.dir.path().join("manifests");
        let mut files = self.files_of_the_cluster();
        files.retain(|(path, _)| !path.starts_with(&manifests));
        files
    }

    /// Starts `cfgw standalone` behind a broker and waits until it is ready. It knows nothing of the Cloudflare
    /// API; its log goes to a file among [`World::files_of_the_cluster`].
    pub async fn cfgw_behind(&self, broker: &str, code: &str) -> Cfgw {
        self.cfgw_behind_with(broker, code, &[]).await
    }

    /// The same with settings of its own, by their environment variables.
    pub async fn cfgw_behind_with(&self, broker: &str, code: &str, own: &[(&str, String)]) -> Cfgw {
        let path = |name: &str| self.dir.path().join(name);
        std::fs::write(path("cluster-code"), code).expect("a new file");
        let mut settings = self.settings_with(own);
        settings.retain(|(key, _)| !key.contains("CLOUDFLARE"));
        let code_file = path("cluster-code").display().to_string();
        let of_broker = [
            ("EDGE__BACKEND", "broker".to_owned()),
            ("EDGE__BROKER__URL", broker.to_owned()),
            ("EDGE__BROKER__CODE_FILE", code_file),
            ("EDGE__BROKER__REQUEST_TIMEOUT", "5s".to_owned()),
            ("LOG__FILTER", "debug".to_owned()),
        ];
        settings.extend(of_broker.map(|(key, value)| (format!("CFGW_{key}"), value)));
        let cfgw = Cfgw::standalone(&settings, self.log("state"));
        cfgw.ready(Duration::from_secs(20)).await;
        cfgw
    }

    /// Every file of the cluster's side with its text: manifests, statuses, settings, log.
    pub fn files_of_the_cluster(&self) -> Vec<(PathBuf, String)> {
        let (mut folders, mut files) = (vec![self.dir.path().to_owned()], Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(bytes) = std::fs::read(&path) {
                    files.push((path, String::from_utf8_lossy(&bytes).into_owned()));
                }
            }
        }
        files
    }

    fn settings(&self, state: &str) -> Vec<(String, String)> {
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        let edge: Vec<_> = self
            .standin
            .edge()
            .tunnel_addresses()
            .iter()
            .map(ToString::to_string)
            .collect();
        [
            ("INSTALLATION", "test".to_owned()),
            ("MANIFESTS", path("manifests")),
            ("STATE_DIR", path(state)),
            ("CLOUDFLARE__BASE_URL", self.standin.api_url()),
            ("TUNNEL__EDGE", edge.join(",")),
            ("TUNNEL__CA_FILE", path("ca.pem")),
        ]
        .map(|(key, value)| (format!("CFGW_{key}"), value))
        .to_vec()
    }

    /// What `cfgw standalone status` prints.
    pub async fn status_command(&self) -> String {
        let state = self.state().display().to_string();
        crate::process::output(&["standalone", "status", "--state", &state]).await
    }

    // Requests.

    /// Asks until an endpoint answers with 200.
    pub async fn answers(&self, url: &str) -> Answer {
        self.answers_if(url, |_| true).await
    }

    /// Asks until the endpoint of this name answers with 200.
    pub async fn answers_with(&self, url: &str, name: &str) -> Answer {
        self.answers_if(url, |answer| answer.told("name") == name)
            .await
    }

    async fn answers_if(&self, url: &str, accepted: impl Fn(&Answer) -> bool) -> Answer {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let last = match self.client.get(url).await {
                Ok(answer) if answer.status == 200 && accepted(&answer) => return answer,
                Ok(answer) => format!("{} {}", answer.status, answer.body),
                Err(error) => error,
            };
            assert!(
                Instant::now() < deadline,
                "{url} is not answered as wanted: {last}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until a name resolves.
    pub async fn answers_to(&self, name: &str) {
        within(Duration::from_secs(20), name, || async {
            let found = self.client.resolve(name).await;
            found.is_ok_and(|found| !found.is_empty()).then_some(())
        })
        .await;
    }

    // What the program says.

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Problems with the manifests, from the state directory.
    pub fn problems(&self) -> String {
        std::fs::read_to_string(self.state().join("problems.txt")).unwrap_or_default()
    }

    /// Waits for a condition of an object (`kind namespace/name`) that is as wanted. For routes, of its
    /// first parent; for policies, of the first ancestor.
    pub async fn condition(
        &self,
        object: &str,
        condition: &str,
        wanted: impl Fn(&ConditionSeen) -> bool,
    ) -> ConditionSeen {
        self.condition_in("state", object, condition, wanted).await
    }

    /// The same of the instance with this state directory.
    pub async fn condition_in(
        &self,
        state: &str,
        object: &str,
        condition: &str,
        wanted: impl Fn(&ConditionSeen) -> bool,
    ) -> ConditionSeen {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let seen = self.read_condition(state, object, condition);
            if let Some(seen) = seen.as_ref().filter(|seen| wanted(seen)) {
                return seen.clone();
            }
            assert!(
                Instant::now() < deadline,
                "{object} {condition} is {seen:?}; problems: {}",
                self.problems()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn read_condition(&self, state: &str, object: &str, condition: &str) -> Option<ConditionSeen> {
        let (kind, name) = object.split_once(' ')?;
        let folder = self.dir.path().join(state).join(kind);
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).ok()?;
        let json: serde_json::Value = serde_json::from_str(&text).ok()?;
        let status = &json["status"];
        let conditions = [
            &status["conditions"],
            &status["parents"][0]["conditions"],
            &status["ancestors"][0]["conditions"],
        ];
        let mut all = conditions
            .into_iter()
            .filter_map(|list| list.as_array())
            .flatten();
        let found = all.find(|c| c["type"] == condition)?;
        let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
        Some(ConditionSeen {
            status: text("status"),
            reason: text("reason"),
            message: text("message"),
        })
    }
}

/// Asks every 20 ms until the answer is there.
pub async fn within<T, F, Fut>(limit: Duration, what: &str, ask: F) -> T
where
    F: Fn() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
