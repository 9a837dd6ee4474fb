//! Two clusters of two tenants, which share an account and want the same hostnames.

use std::collections::BTreeMap;
use std::sync::Arc;

use adapter_broker_store::SqlStore;
use domain::broker::audit::Event;
use domain::broker::cluster::{Identity, Thumbprint, WhenExpired};
use domain::broker::credential::Version;
use domain::broker::grant::{Account, Clusters, Grant};
use domain::broker::held::{Place, Stated, Statement, Wanted};
use domain::broker::ports::{Intents as _, Invitation, Judgement, Sealed, Store, Turn};
use domain::broker::{AccountName, ClusterName, GrantName, TenantName};
use domain::edge::{EdgeIntent, Policy, ownership};
use domain::secret::ConnectorToken;
use domain::testing::Moment;
use domain::{
    AccountId, AllowedHostnames, Hostname, HostnamePatterns, Installation, InstanceId, ObjectKey,
    Timestamp, TunnelId,
};

use super::harness::{Harness, Key, Planted};
use super::rules::Rule;

/// The account at Cloudflare.
pub(crate) const ACCOUNT: &str = "acme";

const TENANTS: [&str; 2] = ["acme", "other"];
const CLUSTERS: [&str; 2] = ["east", "north"];

/// Each Gateway with the names that it may want.
const GATEWAYS: [(&str, &[&str]); 2] = [
    (
        "one",
        &["a.example.com", "b.example.com", "*.c.example.com"],
    ),
    ("two", &["d.example.com", "e.example.com"]),
];

fn cluster(index: usize) -> ClusterName {
    ClusterName::parse(CLUSTERS[index]).unwrap()
}

/// All Gateways of all clusters.
pub(crate) fn all() -> Vec<Key> {
    let of = |index| GATEWAYS.map(|(name, _)| (cluster(index), ObjectKey::new("default", name)));
    [0, 1].into_iter().flat_map(of).collect()
}

/// How a cluster is known at Cloudflare.
pub(crate) fn installation(of: &ClusterName) -> Installation {
    let number = u8::from(of.as_str() == CLUSTERS[1]) + 1;
    Installation {
        name: of.clone(),
        instance: InstanceId::from_bytes([number; 16]),
    }
}

fn event(action: &str, now: Timestamp) -> Event {
    Event {
        at: now,
        actor: "test".to_owned(),
        action: action.to_owned(),
        result: "done".to_owned(),
        ..Event::default()
    }
}

/// Enrols both clusters.
pub(crate) async fn enrol(store: &dyn Store, now: Timestamp) {
    let told = |action| event(action, now);
    for (index, tenant) in TENANTS.into_iter().enumerate() {
        let (cluster, tenant) = (cluster(index), TenantName::parse(tenant).unwrap());
        store.put_tenant(&tenant, told("tenant.put")).await.unwrap();
        let code = [u8::try_from(index).unwrap(); 32];
        let invitation = Invitation {
            cluster: cluster.clone(),
            tenant: tenant.clone(),
            when_expired: WhenExpired::Keep,
            code,
            expires: Timestamp(i64::MAX),
        };
        store
            .invite(invitation, told("cluster.invite"))
            .await
            .unwrap();
        let key = Thumbprint::parse(&format!("{index}").repeat(43)).unwrap();
        let identity = Identity {
            key: key.clone(),
            instance: installation(&cluster).instance,
        };
        let redeemed = store.redeem(&code, identity, None, "{}", now, told("cluster.redeem"));
        redeemed.await.unwrap();
        let accept = Turn::Accept {
            key,
            attest_anew: None,
        };
        let accepted = store.turn(&cluster, accept, told("cluster.accept"));
        accepted.await.unwrap();
        store
            .begin_term(&cluster, told("term.begin"))
            .await
            .unwrap();
        if index == 0 {
            account(store, &tenant, now).await;
        }
        let grant = Grant {
            name: GrantName::parse(tenant.as_str()).unwrap(),
            tenant,
            clusters: Clusters::All,
            hostnames: AllowedHostnames::listed([Hostname::parse("*.example.com").unwrap()]),
            except: HostnamePatterns::default(),
            account: Some(AccountName::parse("main").unwrap()),
            max_hostnames: None,
            max_gateways: None,
            certificates: false,
            expires: None,
        };
        store
            .put_grant(&grant, None, told("grant.put"))
            .await
            .unwrap();
    }
}

async fn account(store: &dyn Store, tenant: &TenantName, now: Timestamp) {
    let account = Account {
        name: AccountName::parse("main").unwrap(),
        tenant: tenant.clone(),
        cloudflare: AccountId::new(ACCOUNT),
        shared: true,
        zones: None,
    };
    let put = store.put_account(&account, None, event("account.put", now));
    put.await.unwrap();
    let sealed = Sealed {
        key: "none".to_owned(),
        wrapped: Vec::new(),
        ciphertext: Vec::new(),
    };
    let version = Version(1);
    let offered = store.offer(&account.name, sealed, version, event("token.put", now));
    offered.await.unwrap();
    let works = Judgement::Works {
        version,
        zones: Some(["example.com".to_owned()].into()),
    };
    let judged = store.judge(&account.name, works, now, event("token.verify", now));
    judged.await.unwrap();
}

/// What both clusters stated.
pub(crate) struct Stating {
    harness: Arc<Harness>,
    sequence: u64,
    /// What was written of each Gateway last.
    wanted: BTreeMap<Key, Wanted>,
}

impl Stating {
    pub(crate) fn new(harness: Arc<Harness>) -> Self {
        Self {
            harness,
            sequence: 0,
            wanted: BTreeMap::new(),
        }
    }

    /// What a Gateway is to have in the end.
    pub(crate) fn wanted(&self, key: &Key) -> Wanted {
        self.wanted.get(key).cloned().unwrap_or(Wanted::Gone)
    }

    /// Somebody states something, of which the answer may be lost.
    pub(crate) async fn state_something(&mut self) {
        let (key, statement) = self.statement();
        let Some(statement) = statement else { return };
        self.sequence += 1;
        let place = Place {
            term: 1,
            sequence: self.sequence,
        };
        let (cluster, gateway) = &key;
        let fault = self.harness.fault();
        self.harness.log(format!(
            "{cluster}/{gateway} states {statement:?} {fault:?}"
        ));
        if fault == Some(Moment::Before) {
            return;
        }
        let wanted = match &statement {
            Statement::Intent(intent) => Some(Wanted::Present(intent.clone())),
            Statement::Remove => Some(Wanted::Gone),
            Statement::Retire(_) | Statement::CloseConnections | Statement::Pairs(_) => None,
        };
        let is_retirement = matches!(statement, Statement::Retire(_));
        if self.harness.plants(Planted::AnswersBeforeItWrites) && self.sequence.is_multiple_of(7) {
            self.wanted
                .extend(wanted.map(|wanted| (key.clone(), wanted)));
            return;
        }
        // Either broker's clock may be wrong by minutes until it asked the store: nothing depends on the time of an event.
        let event = event("gateway.state", self.harness.now());
        let store: &SqlStore = &self.harness.store;
        let stated = store.state(cluster, gateway, statement, place, None, event);
        let (stated, _) = stated.await.unwrap();
        if is_retirement
            && stated == Stated::Changed
            && let Some(tunnel) = tunnel(&self.harness, &key)
        {
            *self.harness.state().retired.entry(tunnel).or_default() += 1;
        }
        self.wanted
            .extend(wanted.map(|wanted| (key.clone(), wanted)));
    }

    fn statement(&self) -> (Key, Option<Statement>) {
        let (key, names, kind) = {
            let random = &mut self.harness.state().random;
            let at = random.below(4);
            let names = random.some(GATEWAYS[at % 2].1, 60);
            (all()[at].clone(), names, random.below(100))
        };
        let statement = match kind {
            0..75 => Some(Statement::Intent(Box::new(EdgeIntent {
                hostnames: names
                    .iter()
                    .map(|it| Hostname::parse(it).unwrap())
                    .collect(),
                policy: Policy::Sync,
                ..EdgeIntent::new(key.1.clone())
            }))),
            75..88 => Some(Statement::Remove),
            _ => self.retirement(&key),
        };
        (key, statement)
    }

    fn retirement(&self, key: &Key) -> Option<Statement> {
        if !matches!(self.wanted(key), Wanted::Present(_)) {
            return None;
        }
        let token = self.harness.cloudflare.token(tunnel(&self.harness, key)?)?;
        let hash = ConnectorToken::of_tunnels(&[token], false).hash();
        Some(Statement::Retire(hash))
    }

    /// Each Gateway is held as it was stated.
    pub(crate) async fn check(&self) {
        for key in all() {
            let (cluster, gateway) = &key;
            let held = self.harness.store.held(cluster, gateway).await.unwrap();
            let place = held.as_ref().map(|held| held.wanted.clone());
            let found = place.unwrap_or(Wanted::Gone);
            let wanted = self.wanted(&key);
            self.harness
                .require(Rule::KeepsWhatWasStated, found == wanted, || {
                    format!("{cluster}/{gateway} is {found:?} and was stated as {wanted:?}")
                });
            let mut state = self.harness.state();
            if self.harness.plants(Planted::ReadsAStandby) {
                let past = state.past.entry(key.clone()).or_default();
                if past.last() != Some(&held) {
                    past.push(held.clone());
                }
            }
        }
    }
}

/// The tunnel of a Gateway.
pub(crate) fn tunnel(harness: &Harness, (cluster, gateway): &Key) -> Option<TunnelId> {
    let name = ownership::tunnel_name(&installation(cluster), gateway);
    let mut tunnels = harness.cloudflare.tunnels().into_iter();
    Some(tunnels.find(|tunnel| tunnel.name == name)?.id)
}
