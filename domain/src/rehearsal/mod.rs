//! The passes of [`reconcile`](crate::reconcile) over ports that write nothing: what they would change at Cloudflare.
//!
//! Nothing is reckoned here. Claims, intents, plans, hand-overs and removals are those of the controller; Cloudflare's API
//! answers as it would after each of their writes ([`crate::edge::rehearsal`]). So a rehearsal tells what a controller
//! that starts now would do. One that runs remembers more: that a record which is gone was there.
//!
//! Tokens of tunnels are not replaced in a rehearsal: when that is due the clock decides.

mod ports;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::attachment::GatewayDefaults;
use crate::edge::direct::DirectEdge;
use crate::edge::ports::{Certificates, Credentials, Edge};
use crate::edge::rehearsal::{Difference, RehearsedAccounts};
use crate::error::PortError;
use crate::gateway::{CONTROLLER_NAME, RotationParameters};
use crate::names::{Installation, ObjectKey, Timestamp};
use crate::ports::CloudflareAccounts;
use crate::reconcile::{Ports, Problem, Reconciler};
use crate::rotation::REQUEST_ANNOTATION;
use crate::snapshot::{ClusterSnapshot, Reading};
use crate::status::{ConditionType, Part, StatusUpdate, Truth};
use ports::{Nobody, Proxies, Shown, Statuses};

/// Passes that are made at most, each with all read anew. A removal waits for two of them where a name changes hands.
const ROUNDS: usize = 5;

/// After so many passes nothing waits for what others do any more.
const LONGEST_WAIT: usize = 3;

/// What is rehearsed, and with what.
pub struct Stage {
    /// The cluster as it would be, with what is known of its Secrets.
    pub snapshot: ClusterSnapshot,
    pub installation: Installation,
    pub defaults: GatewayDefaults,
    /// Only what reads is asked of them.
    pub accounts: Arc<dyn CloudflareAccounts>,
    pub credentials: Arc<dyn Credentials>,
    pub certificates: Arc<dyn Certificates>,
    /// Gateways that leave what they have when they go, or why they are not known.
    pub orphans: Result<BTreeSet<ObjectKey>, PortError>,
    pub now: Timestamp,
}

/// What an edge would have written that writes nothing.
pub trait Written: Send + Sync {
    /// From now on the proxies of a Gateway run, or they are stopped.
    fn proxies_run(&self, gateway: &ObjectKey, run: bool);

    /// How many calls would have changed something.
    fn writes(&self) -> usize;

    /// What is otherwise than it was. `gateways`: all that records may belong to.
    fn differences(&self, gateways: &BTreeSet<ObjectKey>) -> Vec<Difference>;
}

impl Written for RehearsedAccounts {
    fn proxies_run(&self, gateway: &ObjectKey, run: bool) {
        Self::proxies_run(self, gateway, run);
    }

    fn writes(&self) -> usize {
        Self::writes(self)
    }

    fn differences(&self, gateways: &BTreeSet<ObjectKey>) -> Vec<Difference> {
        Self::differences(self, gateways)
    }
}

/// What is rehearsed over an edge that plans by itself: that of a cluster behind a broker.
pub struct Cluster {
    /// As it would be, with what is known of its Secrets.
    pub snapshot: ClusterSnapshot,
    pub defaults: GatewayDefaults,
    /// Gateways that leave what they have when they go, or why they are not known.
    pub orphans: Result<BTreeSet<ObjectKey>, PortError>,
    pub now: Timestamp,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsed {
    pub differences: Vec<Difference>,
    /// What failed, and what it is about.
    pub problems: Vec<Problem>,
    /// What is told of objects for which not everything is as they ask, as `Gateway default/web: DNS=False (Conflict): …`.
    pub told: Vec<String>,
    /// Why nothing is changed at all: a kind of object could not be read.
    pub withheld: Option<String>,
    /// Calls that would change something, those that cancel each other out among them.
    pub writes: usize,
}

/// Makes the passes.
pub async fn rehearse(stage: Stage) -> Rehearsed {
    let accounts = RehearsedAccounts::new(stage.accounts, stage.installation.clone());
    let accounts = Arc::new(accounts);
    let entropy = Arc::new(Nobody {
        now: stage.now,
        orphans: Ok(BTreeSet::new()),
    });
    let edge = DirectEdge::new(
        accounts.clone(),
        stage.credentials,
        entropy,
        stage.installation,
    );
    let edge = Arc::new(edge.with_certificates(stage.certificates).remembering());
    let cluster = Cluster {
        snapshot: stage.snapshot,
        defaults: stage.defaults,
        orphans: stage.orphans,
        now: stage.now,
    };
    rehearse_over(cluster, edge, accounts).await
}

/// The same over an edge that writes nothing, and what it would have written.
pub async fn rehearse_over(
    cluster: Cluster,
    edge: Arc<dyn Edge>,
    written: Arc<dyn Written>,
) -> Rehearsed {
    let gateways = present(&cluster.snapshot);
    let statuses = Arc::new(Statuses::default());
    let nobody = Arc::new(Nobody {
        now: cluster.now,
        orphans: cluster.orphans,
    });
    let ports = Ports {
        cluster: Arc::new(Shown(Arc::new(without_rotations(cluster.snapshot)))),
        statuses: statuses.clone(),
        finalizer: nobody.clone(),
        leadership: nobody.clone(),
        workloads: Arc::new(Proxies(written.clone())),
        data_plane: nobody.clone(),
        edge,
        rotations: nobody.clone(),
        orphans: nobody.clone(),
        events: nobody.clone(),
        clock: nobody,
    };
    let reconciler = Reconciler::new(ports, CONTROLLER_NAME).with_defaults(cluster.defaults);
    let (withheld, problems) = passes(&reconciler, &*written).await;
    reconciler.status_pass().await;
    Rehearsed {
        differences: written.differences(&gateways),
        problems,
        told: statuses.take().iter().flat_map(told).collect(),
        withheld,
        writes: written.writes(),
    }
}

/// Passes until nothing is left to do, or nothing more comes of it. Why none changes anything, and what failed in the
/// last one.
async fn passes(reconciler: &Reconciler, accounts: &dyn Written) -> (Option<String>, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut written = 0;
    for round in 0..ROUNDS {
        let routes = reconciler.route_pass().await;
        let edge = reconciler.edge_pass(round > 0).await;
        problems = routes.problems;
        problems.extend(edge.problems);
        if routes.withheld.is_some() || edge.settled {
            return (routes.withheld, problems);
        }
        let wrote = accounts.writes() > written;
        written = accounts.writes();
        // What still fails by now fails again: nothing waits longer.
        if round >= LONGEST_WAIT && !wrote {
            break;
        }
    }
    (None, problems)
}

fn present(snapshot: &ClusterSnapshot) -> BTreeSet<ObjectKey> {
    let gateways = snapshot.gateways.items().iter();
    let gateways = gateways.filter(|gateway| !gateway.deleting);
    gateways.map(|gateway| gateway.key.clone()).collect()
}

fn without_rotations(mut snapshot: ClusterSnapshot) -> ClusterSnapshot {
    if let Reading::Known(parameters) = &mut snapshot.parameters {
        for one in parameters {
            one.rotation = RotationParameters {
                is_enabled: Some(false),
                schedule: None,
            };
        }
    }
    if let Reading::Known(gateways) = &mut snapshot.gateways {
        for gateway in gateways {
            gateway.annotations.remove(REQUEST_ANNOTATION);
        }
    }
    snapshot
}

/// Conditions that say what is not made as the object asks. What depends on proxies is not known here.
const TOLD: [ConditionType; 6] = [
    ConditionType::Accepted,
    ConditionType::ResolvedRefs,
    ConditionType::PartiallyInvalid,
    ConditionType::Dns,
    ConditionType::Certificates,
    ConditionType::Parameters,
];

fn told(update: &StatusUpdate) -> Vec<String> {
    let mut told = Vec::new();
    for part in &update.parts {
        let place = match &part.part {
            Part::Object | Part::ListenerSets { .. } | Part::LoadBalancer { .. } => String::new(),
            Part::Listener { name, .. } => format!(" listener {name}"),
            Part::Parent(parent) => format!(" on {}", parent.target),
        };
        for condition in &part.conditions {
            let is_bad = match condition.kind {
                ConditionType::PartiallyInvalid => condition.truth == Truth::True,
                _ => condition.truth == Truth::False,
            };
            if is_bad && TOLD.contains(&condition.kind) {
                told.push(format!(
                    "{}{place}: {}={} ({}): {}",
                    update.object,
                    short(condition.kind.as_str()),
                    condition.truth.as_str(),
                    condition.reason.as_str(),
                    condition.message
                ));
            }
        }
    }
    told
}

/// The type of a condition without its domain.
fn short(kind: &str) -> &str {
    kind.rsplit('/').next().unwrap_or(kind)
}
