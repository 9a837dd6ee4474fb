//! A stand-in's API, a folder of manifests, the passes of `cfgw standalone` over both, and `cfgwctl plan`.

use std::path::PathBuf;
use std::sync::Arc;

use adapter_cloudflare::{ClientSettings, CloudflareClient};
use adapter_manifests::{KeptOrphans, ManifestFolder, Manifests, Rotations};
use cfgwctl::plan::Plan;
use cfgwctl::plan::stage::{Access, Staged, of_folder};
use domain::edge::direct::DirectEdge;
use domain::gateway::CONTROLLER_NAME;
use domain::reconcile::{Ports, Reconciler};
use domain::testing::{
    FakeDataPlane, FakeWorkloads, FixedClock, FixedEntropy, FixedLeadership, RecordingEvents,
};
use domain::{Installation, InstallationName, Timestamp};
use standin::api::{ApiOptions, ApiServer};
use standin::cloud::{Account, ApiToken, Cloud, Plan as AccountPlan};
use tempfile::TempDir;

pub(super) const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";
pub(super) const ZONES: [&str; 2] = ["example.com", "example.org"];
const NAME: &str = "home";
const NOW: Timestamp = Timestamp(1_800_000_000);

/// Passes with all read anew, as many as nothing waits longer than.
const ROUNDS: usize = 6;

pub(super) struct Rig {
    pub(super) cloud: Cloud,
    api: ApiServer,
    dir: TempDir,
}

pub(super) fn token() -> String {
    format!("token of {ACCOUNT}")
}

impl Rig {
    pub(super) async fn start() -> Self {
        let cloud = Cloud::default();
        cloud.add_account(Account {
            id: ACCOUNT.to_owned(),
            name: "Acme".to_owned(),
            plan: AccountPlan::Paid,
        });
        cloud.add_token(ApiToken::all_powerful(ACCOUNT, token()));
        for zone in ZONES {
            cloud.add_zone(ACCOUNT, zone);
        }
        let options = ApiOptions {
            listen: ([127, 0, 0, 1], 0).into(),
            tls: None,
        };
        let api = ApiServer::start(cloud.clone(), options).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("manifests")).unwrap();
        let rig = Self { cloud, api, dir };
        // What a first start does too.
        adapter_manifests::instance_id(&rig.state(), [7; 32]).unwrap();
        rig
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("manifests")
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// The folder holds this and nothing else.
    pub(super) fn write(&self, manifests: &str) {
        std::fs::write(self.folder().join("all.yaml"), manifests).unwrap();
    }

    /// A process that starts on the folder and goes on until nothing is left to do.
    pub(super) async fn controller(&self) {
        let folder = ManifestFolder::open(self.folder(), self.state()).unwrap();
        let instance = adapter_manifests::instance_id(&self.state(), [7; 32]).unwrap();
        let installation = Installation {
            name: InstallationName::parse(NAME).unwrap(),
            instance,
        };
        let settings = ClientSettings {
            base_url: self.api.url(),
            ..ClientSettings::default()
        };
        let accounts = Arc::new(CloudflareClient::new(&settings).unwrap());
        let entropy = Arc::new(FixedEntropy::default());
        let edge = DirectEdge::new(accounts, folder.clone(), entropy, installation);
        let ports = Ports {
            cluster: folder.clone(),
            statuses: folder.clone(),
            finalizer: folder.clone(),
            leadership: Arc::new(FixedLeadership::default()),
            workloads: Arc::new(FakeWorkloads::default()),
            data_plane: Arc::new(FakeDataPlane::default()),
            edge: Arc::new(edge.with_certificates(folder.clone()).remembering()),
            rotations: Arc::new(Rotations::new(self.state())),
            orphans: Arc::new(KeptOrphans::new(&self.state())),
            events: Arc::new(RecordingEvents::default()),
            clock: Arc::new(FixedClock::at(NOW)),
        };
        let reconciler = Reconciler::new(ports, CONTROLLER_NAME);
        for round in 0..ROUNDS {
            reconciler.route_pass().await;
            if reconciler.edge_pass(round > 0).await.settled {
                return;
            }
        }
    }

    pub(super) fn api_url(&self) -> String {
        self.api.url()
    }

    /// The instance id of the installation.
    pub(super) fn instance(&self) -> String {
        let instance = adapter_manifests::instance_id(&self.state(), [7; 32]);
        instance.unwrap().to_string()
    }

    /// `cfgwctl plan -f manifests --state state`.
    pub(super) async fn plan(&self) -> Plan {
        let staged = self.staged().await;
        Plan::of(&staged.rehearse().await, staged.notes.clone())
    }

    /// What a plan of the folder is made of.
    pub(super) async fn staged(&self) -> Staged {
        let access = Access {
            url: Some(self.api.url()),
            installation: Some(InstallationName::parse(NAME).unwrap()),
            ..Access::default()
        };
        let manifests = Manifests::read(&self.folder()).unwrap();
        let staged = of_folder(manifests, &self.state(), &access, NOW).await;
        staged.unwrap_or_else(|failure| panic!("{failure}"))
    }
}
