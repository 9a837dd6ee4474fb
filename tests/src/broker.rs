//! `cfgw broker` as a process, with files of its own.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adapter_broker::identity::key::ClusterKey;
use adapter_broker::identity::{digest, proof, unpredictable};
use adapter_broker::seal::Envelopes;
use adapter_broker::seal::written::WrittenKeys;
use adapter_broker::{BrokerEdge, ClientSettings};
use adapter_broker_store::SqlStore;
use app::system::{SystemClock, SystemEntropy};
use async_trait::async_trait;
use config::{BrokerSettings, ProgramSettings};
use domain::broker::audit::Event;
use domain::broker::cluster::{Identity, Standing, Thumbprint, WhenExpired};
use domain::broker::credential::Version;
use domain::broker::grant::{Account, Clusters, Grant};
use domain::broker::ports::{Invitation, Judgement, Seal, Sealed, Store, Turn};
use domain::broker::{AccountName, ClusterName, GrantName, TenantName};
use domain::certificate::Fingerprint;
use domain::edge::certificates::CertificateIntent;
use domain::ports::{Certificates, Clock, PortError};
use domain::secret::CertificatePair;
use domain::{
    AccountId, AllowedHostnames, Hostname, HostnamePatterns, InstanceId, ObjectKey, Timestamp,
};
use rcgen::{CertificateParams, KeyPair};
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

use crate::process::{Cfgw, free_address};
use crate::world::{ACCOUNT, World};

/// A cluster, by its name.
#[derive(Debug, Clone, Copy)]
pub struct Member(pub &'static str);

/// A cluster.
pub const EAST: Member = Member("east");

/// Another one, of the same tenant.
pub const WEST: Member = Member("west");

/// The key that tokens are sealed by.
const KEYS: &str = "first MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n";

/// A broker; killed when dropped.
pub struct Broker {
    process: Option<Cfgw>,
    address: SocketAddr,
    files: TempDir,
    environment: Vec<(String, String)>,
    /// The same that the process uses.
    pub store: SqlStore,
}

impl Broker {
    /// Starts one with a tenant that may have every hostname, in the world's account.
    pub async fn start(world: &World) -> Self {
        Self::start_with(world, &[]).await
    }

    /// The same with settings of its own, by their environment variables.
    pub async fn start_with(world: &World, environment: &[(&str, String)]) -> Self {
        Self::start_on(world, None, environment).await
    }

    /// The same on a store that others may use too; else it has a file of its own.
    pub async fn start_on(
        world: &World,
        store: Option<&str>,
        environment: &[(&str, String)],
    ) -> Self {
        let files = TempDir::new().expect("a temporary folder");
        let path = |name: &str| files.path().join(name);
        let write = |name: &str, text: &str| std::fs::write(path(name), text).expect("a new file");
        write("cloudflare-token", &world.token);
        write("keys", KEYS);
        let seed = format!(
            "tenants:
- name: acme
  accounts: [{{name: main, cloudflare: '{ACCOUNT}', token_file: {:?}}}]
  grants: [{{name: all, hostnames: ['*']}}]
",
            path("cloudflare-token")
        );
        write("seed.yaml", &seed);
        let own = format!("sqlite:{}", path("broker.db").display());
        let store = store.unwrap_or(&own);
        let settings = format!(
            "store: {store:?}
keys_file: {:?}
seed: {:?}
cloudflare: {{base_url: {}}}
",
            path("keys"),
            path("seed.yaml"),
            world.standin.api_url()
        );
        write("broker.yaml", &settings);
        let mut broker = Self {
            process: None,
            address: free_address(),
            store: SqlStore::open(store, None).await.expect("a new store"),
            files,
            environment: environment
                .iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone()))
                .collect(),
        };
        broker.restart().await;
        broker
    }

    /// Kills it, as a machine that fails would.
    pub async fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill().await;
        }
    }

    /// Has it crash, as a failed assertion in a library would.
    pub async fn abort(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.send("-ABRT").await;
            assert!(!process.ended(Duration::from_secs(10)).await);
        }
    }

    /// A file of the process, under `/proc`.
    pub fn process_file(&self, name: &str) -> String {
        let process = self.process.as_ref().expect("it runs");
        process.file(name)
    }

    /// Its metrics.
    pub async fn metrics(&self) -> String {
        let process = self.process.as_ref().expect("it runs");
        process.metrics().await
    }

    /// Kills it if it runs and starts it again at the same address.
    pub async fn restart(&mut self) {
        self.kill().await;
        let process = Cfgw::broker(&self.settings(), self.address, &self.environment);
        process.ready(Duration::from_secs(20)).await;
        self.process = Some(process);
    }

    /// Starts it again on another file than its store's: a copy of before.
    pub async fn restore(&mut self, copy: &std::path::Path) {
        self.kill().await;
        let file = self.files.path().join("broker.db");
        for rest in ["-wal", "-shm"] {
            let mut name = file.clone().into_os_string();
            name.push(rest);
            // It may be gone already.
            let _ = std::fs::remove_file(name);
        }
        std::fs::remove_file(&file).expect("the file of the store");
        std::fs::copy(copy, &file).expect("a copy of it");
        let store = format!("sqlite:{}", file.display());
        self.store = SqlStore::open(&store, None).await.expect("a store");
        self.restart().await;
    }

    /// Has it run in this process, so that clusters expire within seconds; it is killed before if it runs.
    pub async fn run_here(&mut self, stale: &str, expired: &str) -> app::broker::Broker {
        self.kill().await;
        let file = self.settings();
        let mut settings = BrokerSettings::load(Some(&file), std::iter::empty(), ());
        let settings = settings.as_mut().expect("settings of a broker");
        let parsed = "a setting";
        settings.patience.stale = stale.parse().expect(parsed);
        settings.patience.expired = expired.parse().expect(parsed);
        settings.listen = self.address.to_string().parse().expect(parsed);
        settings.admin.listen = "127.0.0.1:0".parse().expect(parsed);
        let running = app::broker::Broker::start(settings).await;
        running.expect("the broker starts")
    }

    /// What a command at its store prints; each is `cfgw broker …`.
    pub async fn command(&self, words: &[&str]) -> String {
        self.command_with(words, &[]).await
    }

    /// The same with settings of its own, by their environment variables.
    pub async fn command_with(&self, words: &[&str], own: &[(&str, String)]) -> String {
        let file = self.settings().display().to_string();
        let arguments = [&["broker"], words, &["--config", &file]].concat();
        let own = own
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()));
        let environment: Vec<_> = self.environment.iter().cloned().chain(own).collect();
        crate::process::output_with(&arguments, &environment).await
    }

    fn settings(&self) -> std::path::PathBuf {
        self.files.path().join("broker.yaml")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The folder of its files: store, keys, seed, token.
    pub fn files(&self) -> &std::path::Path {
        self.files.path()
    }

    /// The client of a cluster, which is enrolled.
    pub async fn client(&self, member: Member) -> BrokerEdge {
        let enrolled = Enrolled::of(member);
        let key = enrol(&self.store, &enrolled).await;
        self.client_with(key, enrolled.instance)
    }

    /// The client of whoever has a key.
    pub fn client_with(&self, key: ClusterKey, instance: InstanceId) -> BrokerEdge {
        let settings = client_settings(self.url(), key, instance);
        let entropy = Arc::new(SystemEntropy::default());
        let edge = BrokerEdge::new(&settings, Arc::new(SystemClock), entropy);
        edge.expect("a client of this machine")
    }

    /// A code for a cluster, which is accepted as soon as it redeemed it.
    pub async fn invite(&self, member: Member) -> String {
        let code = invited(&self.store, &Enrolled::of(member)).await;
        let (store, name) = (self.store.clone(), Enrolled::of(member).cluster);
        tokio::spawn(async move {
            loop {
                let cluster = clusters(&store).cluster(&name).await.expect("a cluster");
                if let Standing::Asking(Identity { key, .. }) = cluster.standing {
                    let turned = clusters(&store).turn(&name, accepting(key), event());
                    turned.await.expect("it asks");
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        code.expose_secret().to_owned()
    }
}

fn accepting(key: Thumbprint) -> Turn {
    let attest_anew = None;
    Turn::Accept { key, attest_anew }
}

/// What secrets are sealed with by a broker that runs in a test.
pub fn seal() -> Arc<dyn Seal> {
    let keys = WrittenKeys::parse(&SecretString::from(KEYS)).expect("keys");
    let entropy = Arc::new(SystemEntropy::default());
    Arc::new(Envelopes::new(Arc::new(keys), entropy))
}

/// Puts the grant of every hostname to the tenant `acme`, with certificates or without.
pub async fn grant_certificates(store: &dyn Store, certificates: bool) {
    let tenant = TenantName::parse("acme").expect("a name");
    let known = store.grants(&tenant).await.expect("grants");
    let seen = known.first().expect("the grant of the seed");
    let grant = Grant {
        certificates,
        ..seen.clone()
    };
    let put = store.put_grant(&grant, Some(seen), event()).await;
    put.expect("it is as it was seen");
}

/// A certificate for a name with its key, and what is stated of it.
pub fn certificate(name: &str) -> (OnePair, CertificateIntent) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    let chain = params.self_signed(&key).expect("a certificate").pem();
    let name = Hostname::parse(name).expect("a name");
    let fingerprint = Fingerprint::of(chain.as_bytes());
    let intent = CertificateIntent {
        secret: ObjectKey::new("default", "cert"),
        fingerprint: fingerprint.clone(),
        names: [name.clone()].into(),
        hosts: [name].into(),
        any_name: false,
    };
    let key = SecretString::from(key.serialize_pem());
    let pair = CertificatePair {
        chain,
        key,
        fingerprint,
    };
    (OnePair(pair), intent)
}

/// The one certificate that any Secret holds.
pub struct OnePair(pub CertificatePair);

#[async_trait]
impl Certificates for OnePair {
    async fn pair(&self, _: &ObjectKey) -> Result<CertificatePair, PortError> {
        Ok(self.0.clone())
    }
}

fn clusters(store: &SqlStore) -> &dyn Store {
    store
}

/// A cluster that is to be enrolled.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// Whose it is.
    pub tenant: &'static str,
    /// Its name.
    pub cluster: ClusterName,
    /// Which one.
    pub instance: InstanceId,
}

impl Enrolled {
    /// Of the tenant `acme`.
    pub fn of(member: Member) -> Self {
        Self {
            tenant: "acme",
            cluster: ClusterName::parse(member.0).expect("a name"),
            instance: InstanceId::from_bytes([1; 16]),
        }
    }
}

fn event() -> Event {
    Event {
        at: SystemClock.now(),
        actor: "test".to_owned(),
        ..Event::default()
    }
}

async fn invited(store: &dyn Store, enrolled: &Enrolled) -> SecretString {
    let tenant = TenantName::parse(enrolled.tenant).expect("a name");
    store.put_tenant(&tenant, event()).await.expect("a tenant");
    let code = unpredictable(&SystemEntropy::default());
    let invitation = Invitation {
        cluster: enrolled.cluster.clone(),
        tenant,
        when_expired: WhenExpired::Keep,
        code: digest(&code),
        expires: Timestamp(i64::MAX),
    };
    store.invite(invitation, event()).await.expect("a cluster");
    code
}

/// Makes a cluster with a key that is accepted.
pub async fn enrol(store: &dyn Store, enrolled: &Enrolled) -> ClusterKey {
    let code = invited(store, enrolled).await;
    let key = ClusterKey::generate();
    let identity = Identity {
        key: key.thumbprint().clone(),
        instance: enrolled.instance,
    };
    store
        .redeem(&digest(&code), identity, None, "{}", Timestamp(0), event())
        .await
        .expect("a fresh code");
    let accept = accepting(key.thumbprint().clone());
    store
        .turn(&enrolled.cluster, accept, event())
        .await
        .expect("it asks");
    key
}

/// An account of the cluster's tenant with a token that is never opened, and every hostname.
pub async fn furnish(
    store: &dyn Store,
    enrolled: &Enrolled,
    cloudflare: AccountId,
    zones: Option<BTreeSet<String>>,
) -> AccountName {
    let tenant = TenantName::parse(enrolled.tenant).expect("a name");
    let account = Account {
        name: AccountName::parse("main").expect("a name"),
        tenant: tenant.clone(),
        cloudflare,
        shared: false,
        zones: None,
    };
    let put = store.put_account(&account, None, event()).await;
    put.expect("one");
    let sealed = Sealed {
        key: "none".to_owned(),
        wrapped: Vec::new(),
        ciphertext: Vec::new(),
    };
    let version = Version(1);
    let offered = store.offer(&account.name, sealed, version, event()).await;
    offered.expect("the first token");
    let works = Judgement::Works { version, zones };
    let judged = store.judge(&account.name, works, Timestamp(0), event());
    judged.await.expect("it was offered");
    let grant = Grant {
        name: GrantName::parse("all").expect("a name"),
        tenant,
        clusters: Clusters::All,
        hostnames: AllowedHostnames::Any,
        except: HostnamePatterns::default(),
        account: None,
        max_hostnames: None,
        max_gateways: None,
        certificates: false,
        expires: None,
    };
    store
        .put_grant(&grant, None, event())
        .await
        .expect("a tenant");
    account.name
}

/// A proof of a key for one request. The URL has no query.
pub fn prove(
    key: &ClusterKey,
    method: &str,
    url: &str,
    token: Option<&str>,
    at: Timestamp,
) -> String {
    let id = unpredictable(&SystemEntropy::default());
    let request = proof::Request { method, url, token };
    key.prove(request, id.expose_secret().to_owned(), at)
}

/// A cluster with a session, which leads and writes its requests by hand.
pub struct RawCluster {
    /// The base URL of the broker.
    pub url: String,
    /// Its key.
    pub key: ClusterKey,
    /// The token of its session.
    pub token: String,
}

impl RawCluster {
    /// Enrols a cluster, opens a session and begins its first term.
    pub async fn open(broker: &Broker, enrolled: &Enrolled) -> Self {
        let mut raw = Self {
            url: broker.url(),
            key: enrol(&broker.store, enrolled).await,
            token: String::new(),
        };
        let instance = serde_json::json!({ "instance": enrolled.instance.to_string() });
        let opened = raw.post("/v1/sessions", None, &instance).await;
        let token = opened["token"].as_str().expect("a session");
        raw.token = token.to_owned();
        let nothing = serde_json::json!({});
        let begun = raw.post("/v1/terms", Some(&raw.token), &nothing).await;
        assert_eq!(begun["term"], 1);
        raw
    }

    /// Asks something within the session.
    pub async fn ask(
        &self,
        method: reqwest::Method,
        path: &str,
        body: &serde_json::Value,
    ) -> serde_json::Value {
        self.send(method, path, Some(&self.token), body).await
    }

    /// Reads something within the session. The answer may wait for so many seconds.
    pub async fn ask_for(&self, path: &str, wait: u64) -> serde_json::Value {
        let (url, token) = (format!("{}{path}", self.url), Some(&*self.token));
        let proved = url.split('?').next().expect("a path");
        let proof = prove(&self.key, "GET", proved, token, SystemClock.now());
        let call = reqwest::Client::new().get(&url).header("dpop", proof);
        let call = call.header("authorization", format!("DPoP {}", self.token));
        let call = call.header("prefer", format!("wait={wait}"));
        let answer = call.send().await.expect("an answer");
        answer.json().await.expect("a document")
    }

    async fn post(
        &self,
        path: &str,
        token: Option<&str>,
        body: &serde_json::Value,
    ) -> serde_json::Value {
        self.send(reqwest::Method::POST, path, token, body).await
    }

    async fn send(
        &self,
        method: reqwest::Method,
        path: &str,
        token: Option<&str>,
        body: &serde_json::Value,
    ) -> serde_json::Value {
        let url = format!("{}{path}", self.url);
        let proof = prove(&self.key, method.as_str(), &url, token, SystemClock.now());
        let mut call = reqwest::Client::new().request(method, url);
        call = call.header("dpop", proof);
        if let Some(token) = token {
            call = call.header("authorization", format!("DPoP {token}"));
        }
        let answer = call.json(body).send().await.expect("an answer");
        answer.json().await.expect("a document")
    }
}

/// Settings of a client on this machine.
pub fn client_settings(base_url: String, key: ClusterKey, instance: InstanceId) -> ClientSettings {
    ClientSettings {
        base_urls: vec![base_url],
        key,
        code: None,
        instance,
        attestor: None,
        extra_roots: Vec::new(),
        request_timeout: Duration::from_secs(60),
        connect_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_secs(60),
        heartbeat: Duration::from_secs(30),
    }
}
