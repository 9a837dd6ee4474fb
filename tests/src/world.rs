//! A whole world for one test: a stand-in Cloudflare, a folder of manifests, and `cfgw standalone` on it.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use standin::cloud::{
    Account, ApiToken, Call, Cloud, Permission, Plan, RecordBatch, RecordFields, RecordKind,
};
use standin::{Standin, StandinOptions};
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

use crate::client::{Answer, Client};
use crate::memory_group::MemoryGroup;
use crate::process::Cfgw;

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

/// A tunnel that is not deleted.
#[derive(Debug)]
pub struct TunnelSeen {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Who keeps its document.
    pub config_src: &'static str,
    /// Its ingress rules.
    pub ingress: serde_json::Value,
    /// Where the edge answers for it.
    pub address: Ipv4Addr,
}

/// A record of the zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSeen {
    /// Its id.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its content.
    pub content: String,
    /// Whether the edge answers for it.
    pub proxied: bool,
    /// Its comment.
    pub comment: String,
}

/// A condition, as the state directory tells it.
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

    /// The same with nothing beside it, for what measures time or memory.
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

    fn cloud(&self) -> &Cloud {
        self.standin.cloud()
    }

    // The folder.

    /// Writes a manifest as editors do: beside, then renamed over.
    pub fn write(&self, file: &str, text: &str) {
        let folder = self.dir.path().join("manifests");
        let beside = self.dir.path().join(format!("{file}.new"));
        std::fs::write(&beside, text).expect("the file is written");
        std::fs::rename(beside, folder.join(file)).expect("the file is renamed");
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

    /// Starts another one on the same folder, as the same instance.
    pub async fn replica(&self, name: &str) -> Cfgw {
        self.same_instance("state", name);
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

    /// The connector tokens of all tunnels that are not deleted.
    pub fn connector_tokens(&self) -> Vec<String> {
        let all = self.cloud().tunnels().into_iter();
        all.filter(|tunnel| tunnel.deleted_at.is_none())
            .map(|tunnel| tunnel.token())
            .collect()
    }

    /// Starts `cfgw standalone` behind a broker and waits until it is ready. It knows nothing of the Cloudflare
    /// API; its log goes to a file among [`World::files_of_the_cluster`].
    pub async fn cfgw_behind(&self, broker: &str, token: &str) -> Cfgw {
        let path = |name: &str| self.dir.path().join(name);
        std::fs::write(path("cluster-token"), token).expect("a new file");
        let mut settings = self.settings("state");
        settings.retain(|(key, _)| !key.contains("CLOUDFLARE"));
        let token_file = path("cluster-token").display().to_string();
        let of_broker = [
            ("EDGE__BACKEND", "broker".to_owned()),
            ("EDGE__BROKER__URL", broker.to_owned()),
            ("EDGE__BROKER__TOKEN_FILE", token_file),
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

    // What is at Cloudflare.

    /// Ids of the custom certificates of the zone.
    pub fn certificates(&self) -> Vec<String> {
        let all = self.cloud().certificates(&self.zone).into_iter();
        all.map(|certificate| certificate.id).collect()
    }

    /// Tunnels that are not deleted.
    pub fn tunnels(&self) -> Vec<TunnelSeen> {
        let all = self.cloud().tunnels().into_iter();
        all.filter(|tunnel| tunnel.deleted_at.is_none())
            .map(|tunnel| TunnelSeen {
                id: tunnel.id,
                name: tunnel.name,
                config_src: tunnel.config_src.as_str(),
                ingress: tunnel
                    .configuration
                    .map_or(serde_json::Value::Null, |c| c.document["ingress"].clone()),
                address: tunnel.address,
            })
            .collect()
    }

    /// All records of the zone.
    pub fn records(&self) -> Vec<RecordSeen> {
        let all = self.cloud().records(&self.zone);
        all.iter()
            .map(|record| RecordSeen {
                id: record.id.clone(),
                kind: record.kind.as_str().to_owned(),
                name: record.name.clone(),
                content: record.content.clone(),
                proxied: record.proxied,
                comment: record.comment.clone().unwrap_or_default(),
            })
            .collect()
    }

    /// A record with every field there is, times included.
    pub fn raw_record(&self, name: &str) -> String {
        let all = self.cloud().records(&self.zone);
        let found = all.iter().find(|record| record.name == name);
        format!(
            "{:?}",
            found.unwrap_or_else(|| panic!("{name} has no record"))
        )
    }

    /// Somebody deletes every tunnel; records stay.
    pub fn delete_tunnels(&self) {
        for tunnel in self.tunnels() {
            let deleted = self.cloud().delete_tunnel(ACCOUNT, tunnel.id);
            deleted.expect("no connection is in the way");
        }
    }

    /// API calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.cloud().calls()
    }

    /// Waits until no API call has been made for half a second.
    pub async fn settled(&self) {
        let mut before = self.calls().len();
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = self.calls().len();
            if now == before {
                return;
            }
            before = now;
        }
    }

    /// A record that somebody else made.
    pub fn foreign_record(&self, kind: &str, name: &str, content: &str) {
        let fields = RecordFields {
            kind: RecordKind::parse(kind).expect("a kind of record"),
            name: name.to_owned(),
            content: content.to_owned(),
            priority: None,
            proxied: true,
            ttl: 1,
            comment: Some("made by hand".to_owned()),
            tags: Vec::new(),
        };
        let batch = RecordBatch {
            posts: vec![fields],
            ..RecordBatch::default()
        };
        self.cloud()
            .change_records(&self.zone, batch)
            .expect("a valid record");
    }

    /// Another token, which may not write DNS.
    pub fn token_without_dns(&self) -> String {
        let value = format!("canary-{}", Uuid::new_v4().simple());
        let token = ApiToken::all_powerful(ACCOUNT, value.as_str());
        self.cloud().add_token(token.allowed([
            Permission::TunnelEdit,
            Permission::ZoneRead,
            Permission::DnsRead,
        ]));
        value
    }

    // Connections of connectors.

    /// Ids of the connections that are registered now.
    pub fn live_connections(&self) -> BTreeSet<Uuid> {
        let tunnels = self.tunnels();
        tunnels
            .iter()
            .flat_map(|t| self.cloud().connections(t.id))
            .map(|c| c.connection)
            .collect()
    }

    /// Waits until this many connections are registered.
    pub async fn connections(&self, number: usize) {
        within(
            Duration::from_secs(20),
            &format!("{number} connections"),
            || async { (self.live_connections().len() >= number).then_some(()) },
        )
        .await;
    }

    /// Cuts one connection and waits until the edge has noticed.
    pub async fn kill_connection(&self) {
        let victim = *self.live_connections().first().expect("a connection");
        self.standin.edge().kill(victim);
        within(
            Duration::from_secs(5),
            "the edge drops the connection",
            || async { (!self.live_connections().contains(&victim)).then_some(()) },
        )
        .await;
    }

    /// Makes one connection take and give nothing any more, without closing it.
    pub async fn wedge_connection(&self) -> Uuid {
        let victim = *self.live_connections().first().expect("a connection");
        self.standin.edge().wedge(victim);
        victim
    }

    /// The edge drops all connections and takes no new ones.
    pub async fn edge_away(&self) {
        self.standin.edge().leave().await;
    }

    /// The edge takes connections again.
    pub async fn edge_back(&self) {
        self.standin
            .edge()
            .come_back()
            .await
            .expect("the edge listens again");
    }

    // What the program says.

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Problems with the manifests, as the state directory tells them.
    pub fn problems(&self) -> String {
        std::fs::read_to_string(self.state().join("problems.txt")).unwrap_or_default()
    }

    /// Waits for a condition of an object (`kind namespace/name`) that is as wanted. For routes, of its
    /// first parent.
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
        let conditions = [&status["conditions"], &status["parents"][0]["conditions"]];
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
