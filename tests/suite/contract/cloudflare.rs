//! Cloudflares for the suites that stand on one: the adapter over the stand-in, and the fake.

use std::sync::Arc;

use adapter_cloudflare::{ClientSettings, CloudflareClient};
use domain::edge::objects::RecordData;
use domain::ports::{CloudflareAccounts, CloudflareApi, PortError, PortErrorKind};
use domain::secret::CloudflareCredentials;
use domain::testing::{ApiCall, FakeCloudflare, Moment};
use domain::{AccountId, RecordId, TunnelId, ZoneId};
use secrecy::SecretString;
use standin::api::{ApiOptions, ApiServer};
use standin::cloud::{
    Account, ApiToken, CallMatch, Cloud, ConfigSource, ConnectionRecord, Effect, Failure, Fault,
    NewTunnel, Permission, Plan, RecordBatch, RecordFields, RecordKind, Stage, TokenStatus,
};
use uuid::Uuid;

/// The one account. Its one token is [`token`].
pub(super) const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

/// Somebody else's account.
const OTHER_ACCOUNT: &str = "fedcba9876543210fedcba9876543210";

/// The account's one zone.
pub(super) const ZONE: &str = "example.com";

/// A Cloudflare with [`ACCOUNT`] and [`ZONE`], and the ways in which the world around it changes.
pub(super) trait Cloudflare: Send + Sync {
    fn accounts(&self) -> Arc<dyn CloudflareAccounts>;

    fn zone(&self) -> ZoneId;

    /// Somebody else's zone.
    fn add_zone_of_another_account(&self, name: &str) -> ZoneId;

    /// Somebody writes a record by hand.
    fn add_record(&self, data: RecordData) -> RecordId;

    /// Somebody makes a tunnel that is configured where its connector runs.
    fn add_local_tunnel(&self, name: &str) -> TunnelId;

    /// A connector joins with four connections.
    fn connect(&self, tunnel: TunnelId);

    /// All connectors of a tunnel leave.
    fn disconnect(&self, tunnel: TunnelId);

    /// The token loses something that it needs.
    fn restrict(&self, lacking: Lacking);

    /// Every call is answered with an error of the server from now on.
    fn cut_off(&self);

    /// Every call is answered with 429 and this many seconds to wait from now on.
    fn slow_down(&self, seconds: u64);

    /// The next call, which is this write, is carried out and its answer lost.
    fn lose_the_answer(&self, write: Write);

    /// Ends what [`Cloudflare::cut_off`] began.
    fn mend(&self);
}

/// What a token lacks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lacking {
    /// Permission to read and edit DNS records.
    Dns,
    /// Permission to read and edit tunnels.
    Tunnels,
    /// It has expired.
    Everything,
}

/// A call that changes something.
#[derive(Debug, Clone, Copy)]
pub(super) enum Write {
    CreateTunnel,
    ChangeRecords,
}

/// The API with the account's token.
pub(super) fn api_of(cloudflare: &impl Cloudflare) -> Arc<dyn CloudflareApi> {
    cloudflare.accounts().open(&CloudflareCredentials {
        account: AccountId::new(ACCOUNT),
        token: SecretString::from(token()),
    })
}

/// As the fake of the credentials has it, so that either can be asked for it.
fn token() -> String {
    format!("token of {ACCOUNT}")
}

/// The adapter, speaking HTTP to the stand-in's API.
pub(super) struct StandIn {
    cloud: Cloud,
    accounts: Arc<CloudflareClient>,
    zone: String,
    /// Stops when it is dropped.
    _api: ApiServer,
}

impl StandIn {
    pub(super) async fn start() -> Self {
        let cloud = Cloud::default();
        cloud.add_account(Account {
            id: ACCOUNT.to_owned(),
            name: "Acme".to_owned(),
            plan: Plan::Free,
        });
        cloud.add_token(full_token());
        let zone = cloud.add_zone(ACCOUNT, ZONE);
        let options = ApiOptions {
            listen: ([127, 0, 0, 1], 0).into(),
            tls: None,
        };
        let api = ApiServer::start(cloud.clone(), options).await;
        let api = api.expect("the stand-in's API starts");
        let settings = ClientSettings {
            base_url: api.url(),
            ..ClientSettings::default()
        };
        let accounts = CloudflareClient::new(&settings).expect("a client of the stand-in");
        Self {
            cloud,
            accounts: Arc::new(accounts),
            zone,
            _api: api,
        }
    }

    fn inject(&self, on: CallMatch, effect: Effect) {
        self.cloud.inject(Fault { on, effect });
    }
}

/// Always with the same id: given to the stand-in again, it replaces itself.
fn full_token() -> ApiToken {
    ApiToken {
        id: "0".repeat(32),
        ..ApiToken::all_powerful(ACCOUNT, token())
    }
}

fn every_call() -> CallMatch {
    CallMatch {
        times: u64::MAX,
        ..CallMatch::default()
    }
}

fn uuid(tunnel: TunnelId) -> Uuid {
    Uuid::from_bytes(*tunnel.as_bytes())
}

impl Cloudflare for StandIn {
    fn accounts(&self) -> Arc<dyn CloudflareAccounts> {
        self.accounts.clone()
    }

    fn zone(&self) -> ZoneId {
        ZoneId::new(&self.zone)
    }

    fn add_zone_of_another_account(&self, name: &str) -> ZoneId {
        self.cloud.add_account(Account {
            id: OTHER_ACCOUNT.to_owned(),
            name: "Umbrella".to_owned(),
            plan: Plan::Free,
        });
        ZoneId::new(self.cloud.add_zone(OTHER_ACCOUNT, name))
    }

    fn add_record(&self, data: RecordData) -> RecordId {
        let fields = RecordFields {
            kind: RecordKind::parse(&data.kind).expect("a type of this test"),
            name: data.name,
            content: data.content,
            priority: None,
            proxied: data.proxied,
            ttl: data.ttl,
            comment: Some(data.comment),
            tags: Vec::new(),
        };
        let batch = RecordBatch {
            posts: vec![fields],
            ..RecordBatch::default()
        };
        let added = self.cloud.change_records(&self.zone, batch);
        RecordId::new(&added.expect("a record of this test").posts[0].id)
    }

    fn add_local_tunnel(&self, name: &str) -> TunnelId {
        let new = NewTunnel {
            name: name.to_owned(),
            config_src: ConfigSource::Local,
            secret: None,
        };
        let made = self.cloud.create_tunnel(ACCOUNT, new);
        TunnelId::from_bytes(made.expect("a free name").id.into_bytes())
    }

    fn connect(&self, tunnel: TunnelId) {
        let connector = Uuid::new_v4();
        let found = self.cloud.tunnel(ACCOUNT, uuid(tunnel));
        let opened_at = found.expect("a tunnel of this test").created_at;
        for index in 0..4 {
            self.cloud.connected(ConnectionRecord {
                connection: Uuid::new_v4(),
                tunnel: uuid(tunnel),
                connector,
                index,
                colo: "sim01".to_owned(),
                client_version: "test".to_owned(),
                arch: "linux_amd64".to_owned(),
                features: Vec::new(),
                origin_ip: [127, 0, 0, 1].into(),
                opened_at,
            });
        }
    }

    fn disconnect(&self, tunnel: TunnelId) {
        for one in self.cloud.connections(uuid(tunnel)) {
            self.cloud.disconnected(one.connection);
        }
    }

    fn restrict(&self, lacking: Lacking) {
        use Permission::{DnsEdit, TunnelEdit, ZoneRead};
        let token = full_token();
        self.cloud.add_token(match lacking {
            Lacking::Dns => token.allowed([TunnelEdit, ZoneRead]),
            Lacking::Tunnels => token.allowed([DnsEdit, ZoneRead]),
            Lacking::Everything => token.in_state(TokenStatus::Expired),
        });
    }

    fn cut_off(&self) {
        let effect = Effect::Fail {
            stage: Stage::BeforeCommit,
            failure: Failure::ServerError,
        };
        self.inject(every_call(), effect);
    }

    fn slow_down(&self, seconds: u64) {
        let effect = Effect::RateLimited {
            retry_after: seconds,
        };
        self.inject(every_call(), effect);
    }

    fn lose_the_answer(&self, write: Write) {
        let path = match write {
            Write::CreateTunnel => "cfd_tunnel",
            Write::ChangeRecords => "dns_records/batch",
        };
        let effect = Effect::Fail {
            stage: Stage::AfterCommit,
            failure: Failure::CutConnection,
        };
        self.inject(CallMatch::next("POST", path), effect);
    }

    fn mend(&self) {
        self.cloud.clear_faults();
    }
}

/// The fake.
pub(super) fn in_memory_cloudflare() -> FakeCloudflare {
    let fake = FakeCloudflare::default();
    fake.add_zone(ACCOUNT, ZONE);
    fake
}

const TUNNEL_CALLS: [ApiCall; 10] = [
    ApiCall::Tunnels,
    ApiCall::CreateTunnel,
    ApiCall::DeleteTunnel,
    ApiCall::Connectors,
    ApiCall::Disconnect,
    ApiCall::TunnelToken,
    ApiCall::SetTunnelSecret,
    ApiCall::AdoptTunnel,
    ApiCall::Configuration,
    ApiCall::Configure,
];
const DNS_CALLS: [ApiCall; 2] = [ApiCall::Records, ApiCall::ChangeRecords];
const OTHER_CALLS: [ApiCall; 3] = [ApiCall::Zones, ApiCall::ZoneNamed, ApiCall::VerifyToken];

/// Fails every call of these kinds.
fn refuse(fake: &FakeCloudflare, calls: &[&[ApiCall]], error: &PortError) {
    for call in calls.iter().copied().flatten() {
        fake.fail_every(*call, None, error.clone());
    }
}

fn refusal(kind: PortErrorKind) -> PortError {
    PortError::new(kind, "as this test wants it")
}

impl Cloudflare for FakeCloudflare {
    fn accounts(&self) -> Arc<dyn CloudflareAccounts> {
        Arc::new(self.clone())
    }

    fn zone(&self) -> ZoneId {
        ZoneId::new(format!("zone-{ZONE}"))
    }

    fn add_zone_of_another_account(&self, name: &str) -> ZoneId {
        self.add_zone(OTHER_ACCOUNT, name)
    }

    fn add_record(&self, data: RecordData) -> RecordId {
        FakeCloudflare::add_record(self, &Cloudflare::zone(self), data)
    }

    fn add_local_tunnel(&self, name: &str) -> TunnelId {
        self.add_tunnel(ACCOUNT, name, false)
    }

    fn connect(&self, tunnel: TunnelId) {
        FakeCloudflare::connect(self, tunnel, "connector");
    }

    fn disconnect(&self, tunnel: TunnelId) {
        self.disconnect_all(tunnel);
    }

    fn restrict(&self, lacking: Lacking) {
        match lacking {
            Lacking::Dns => refuse(self, &[&DNS_CALLS], &refusal(PortErrorKind::Forbidden)),
            Lacking::Tunnels => {
                refuse(self, &[&TUNNEL_CALLS], &refusal(PortErrorKind::Forbidden));
            }
            Lacking::Everything => {
                let all: [&[ApiCall]; 3] = [&TUNNEL_CALLS, &DNS_CALLS, &OTHER_CALLS];
                refuse(self, &all, &refusal(PortErrorKind::Unauthenticated));
            }
        }
    }

    fn cut_off(&self) {
        let all: [&[ApiCall]; 3] = [&TUNNEL_CALLS, &DNS_CALLS, &OTHER_CALLS];
        refuse(self, &all, &refusal(PortErrorKind::Unavailable));
    }

    fn slow_down(&self, seconds: u64) {
        let all: [&[ApiCall]; 3] = [&TUNNEL_CALLS, &DNS_CALLS, &OTHER_CALLS];
        let error = PortError {
            retry_after: Some(std::time::Duration::from_secs(seconds)),
            ..refusal(PortErrorKind::RateLimited)
        };
        refuse(self, &all, &error);
    }

    fn lose_the_answer(&self, _write: Write) {
        self.fail_nth(0, Moment::After, refusal(PortErrorKind::Unavailable));
    }

    fn mend(&self) {
        self.heal();
    }
}
