//! A stand-in's API with one account, the adapter over it, and the direct edge over that.

use std::collections::BTreeMap;
use std::sync::Arc;

use adapter_cloudflare::{ClientSettings, CloudflareClient};
use async_trait::async_trait;
use domain::edge::direct::DirectEdge;
use domain::edge::{EdgeIntent, EdgeStatus, HostnameOutcome};
use domain::ports::{Certificates, Edge, PortError};
use domain::secret::CertificatePair;
use domain::testing::{FixedEntropy, StaticCredentials, installation};
use domain::{Hostname, ObjectKey};
use standin::api::{ApiOptions, ApiServer};
use standin::cloud::{Account, ApiToken, Cloud, Plan, RecordBatch, RecordFields, RecordKind};

pub(super) const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

/// The one certificate that any Secret holds.
pub(super) struct OnePair(pub(super) CertificatePair);

#[async_trait]
impl Certificates for OnePair {
    async fn pair(&self, _: &ObjectKey) -> Result<CertificatePair, PortError> {
        let CertificatePair {
            chain,
            key,
            fingerprint,
        } = &self.0;
        Ok(CertificatePair {
            chain: chain.clone(),
            key: key.clone(),
            fingerprint: fingerprint.clone(),
        })
    }
}

pub(super) struct Rig {
    pub(super) cloud: Cloud,
    /// Ids of the zones, by name.
    pub(super) zones: BTreeMap<String, String>,
    pub(super) edge: Arc<dyn Edge>,
    accounts: Arc<CloudflareClient>,
    /// Stops when it is dropped.
    _api: ApiServer,
}

pub(super) fn token() -> ApiToken {
    ApiToken {
        id: "0".repeat(32),
        ..ApiToken::all_powerful(ACCOUNT, format!("token of {ACCOUNT}"))
    }
}

pub(super) fn key() -> ObjectKey {
    ObjectKey::new("default", "gw")
}

pub(super) fn host(name: &str) -> Hostname {
    Hostname::parse(name).unwrap()
}

impl Rig {
    pub(super) async fn start(token: ApiToken, zones: &[&str]) -> Self {
        let cloud = Cloud::default();
        cloud.add_account(Account {
            id: ACCOUNT.to_owned(),
            name: "Acme".to_owned(),
            plan: Plan::Paid,
        });
        cloud.add_token(token);
        let zones = zones.iter();
        let zones = zones.map(|name| ((*name).to_owned(), cloud.add_zone(ACCOUNT, name)));
        let zones = zones.collect();
        let options = ApiOptions {
            listen: ([127, 0, 0, 1], 0).into(),
            tls: None,
        };
        let api = ApiServer::start(cloud.clone(), options).await.unwrap();
        let settings = ClientSettings {
            base_url: api.url(),
            ..ClientSettings::default()
        };
        let accounts = Arc::new(CloudflareClient::new(&settings).unwrap());
        let edge = Arc::new(direct(&accounts).remembering());
        Self {
            cloud,
            zones,
            edge,
            accounts,
            _api: api,
        }
    }

    /// The edge of a new process, which remembers nothing.
    pub(super) fn restart(&mut self) {
        self.edge = Arc::new(direct(&self.accounts).remembering());
    }

    /// The same, which uploads a certificate.
    pub(super) fn with_certificate(mut self, pair: CertificatePair) -> Self {
        let edge = direct(&self.accounts).with_certificates(Arc::new(OnePair(pair)));
        self.edge = Arc::new(edge.remembering());
        self
    }

    /// As at a resync: everything is read again.
    pub(super) async fn reconcile(&self, intent: &EdgeIntent) -> EdgeStatus {
        self.edge.begin_resync();
        self.edge.reconcile(intent).await.unwrap()
    }

    /// Somebody writes records by hand.
    pub(super) fn change(&self, batch: RecordBatch) {
        let changed = self.cloud.change_records(&self.zones["example.com"], batch);
        changed.expect("a change that the API takes");
    }

    pub(super) fn record_id(&self, name: &str) -> Option<String> {
        let records = self.cloud.records(&self.zones["example.com"]);
        let found = records.iter().find(|record| record.name == name);
        found.map(|record| record.id.clone())
    }
}

fn direct(accounts: &Arc<CloudflareClient>) -> DirectEdge {
    DirectEdge::new(
        accounts.clone(),
        Arc::new(StaticCredentials::for_all(ACCOUNT)),
        Arc::new(FixedEntropy::default()),
        installation("home"),
    )
}

pub(super) fn fields(kind: &str, name: &str, content: &str, comment: &str) -> RecordFields {
    RecordFields {
        kind: RecordKind::parse(kind).unwrap(),
        name: name.to_owned(),
        content: content.to_owned(),
        priority: None,
        proxied: false,
        ttl: 300,
        comment: Some(comment.to_owned()),
        tags: Vec::new(),
    }
}

/// What became of a name, in a word, and what is told of it.
pub(super) fn told(status: &EdgeStatus, name: &str) -> (&'static str, String) {
    match &status.hostnames[&host(name)] {
        HostnameOutcome::Applied => match status.repaired.get(&host(name)) {
            Some(was) => ("repaired", was.clone()),
            None => ("right", String::new()),
        },
        HostnameOutcome::Drifted { difference } => ("drifted", difference.clone()),
        HostnameOutcome::Conflict { found } => ("conflict", found.clone()),
        other => ("other", format!("{other:?}")),
    }
}
