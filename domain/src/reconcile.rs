//! The passes that turn what the cluster says into what runs, in three kinds that go on side by side:
//!
//! - a **route pass** reads the snapshot and hands changed route tables to the data plane. It waits for
//!   nothing else, so a path, weight or pod change is served at once, whatever the edge is doing and however many
//!   statuses there are to write.
//! - an **edge pass** grants hostnames and makes each Gateway's intent true at the edge, for the Gateways
//!   of one [`Queue`] whose intent changed. It works on what the last route pass published, so a name leads to a
//!   proxy only once the proxy knows the name.
//! - a **status pass** writes what the last route pass concluded and what the edge answered until then. What
//!   promises traffic waits until every ready replica serves the table (`promises`).
//!
//! What happens to a Gateway at the edge is decided in one place, `view::Fate`. In short: a Gateway that is gone,
//! or has lost its last valid listener, is removed; one that is refused for another reason (its credentials,
//! say) keeps what it has while its user mends it; and an incomplete view takes nothing away.
//!
//! The passes keep no time. The caller runs a route pass after each change of the cluster and after each edge
//! pass; after a route pass a status pass, and an edge pass for each queue that has something to do
//! ([`Reconciler::edge_queues`]); and calls [`Reconciler::begin_resync`] every few minutes. Two passes of one kind
//! must not run at the same time, but for edge passes of different queues: they go on side by side, so that an
//! account that is slow or blocked holds up its own queue alone.

mod edge_pass;
mod gateway_state;
mod orphaning;
mod promises;
mod queue;
mod removal;
mod rotation;
mod route_pass;
mod serve;
mod state;
mod status_pass;
mod term;
#[cfg(test)]
mod tests;
mod view;

use std::sync::{Arc, Mutex, MutexGuard};

use crate::attachment::{self, GatewayDefaults, Resolution};
use crate::names::ObjectKey;
use crate::ports::{
    Clock, ClusterSource, DataPlane, Edge, Events, Finalizer, Leadership, Orphans, RotationStore,
    StatusSink, Workloads,
};
use crate::snapshot::ClusterSnapshot;

pub use edge_pass::EdgePassReport;
pub use queue::Queue;
pub use route_pass::RoutePassReport;
use state::State;
pub use status_pass::StatusPassReport;

/// All that the passes speak to.
#[derive(Clone)]
pub struct Ports {
    pub cluster: Arc<dyn ClusterSource>,
    pub statuses: Arc<dyn StatusSink>,
    /// Keeps the objects of Gateways that have something at the edge.
    pub finalizer: Arc<dyn Finalizer>,
    /// Whether edge passes may do anything.
    pub leadership: Arc<dyn Leadership>,
    pub workloads: Arc<dyn Workloads>,
    pub data_plane: Arc<dyn DataPlane>,
    pub edge: Arc<dyn Edge>,
    pub rotations: Arc<dyn RotationStore>,
    /// Whose things stay when they go.
    pub orphans: Arc<dyn Orphans>,
    pub events: Arc<dyn Events>,
    pub clock: Arc<dyn Clock>,
}

/// The rules that a pass applies to a snapshot: [`attachment::resolve`], or a test's stand-in for it.
type Rules = fn(&ClusterSnapshot, &str, &GatewayDefaults) -> Resolution;

/// Runs passes.
pub struct Reconciler {
    ports: Ports,
    controller: String,
    defaults: GatewayDefaults,
    rules: Rules,
    state: Mutex<State>,
}

impl Reconciler {
    /// For the GatewayClasses of this controller name
    /// (usually [`CONTROLLER_NAME`](crate::gateway::CONTROLLER_NAME)).
    pub fn new(ports: Ports, controller: impl Into<String>) -> Self {
        Self {
            ports,
            controller: controller.into(),
            defaults: GatewayDefaults::default(),
            rules: attachment::resolve,
            state: Mutex::default(),
        }
    }

    /// With what holds for Gateways whose parameters do not say otherwise.
    #[must_use]
    pub fn with_defaults(mut self, defaults: GatewayDefaults) -> Self {
        self.defaults = defaults;
        self
    }

    /// The edge says of a Gateway's tunnel that there is none, or that the token is not its. The next edge pass
    /// reads and states that Gateway anew, and no other.
    pub fn edge_disowned(&self, gateway: &ObjectKey) {
        self.ports.edge.read_anew(gateway);
        self.state().disown(gateway);
    }

    /// Waits until the edge tells of Gateways that are to be stated again ([`Edge::news`]). The next edge pass does.
    pub async fn follow_edge(&self) {
        let news = self.ports.edge.news().await;
        let mut state = self.state();
        for gateway in &news {
            self.ports.edge.read_anew(gateway);
            state.state_again(gateway);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

/// A part of a pass that failed. The rest was done, and the next pass tries again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{subject}: {message}")]
pub struct Problem {
    /// The Gateway that it is about, if it is about one.
    pub gateway: Option<ObjectKey>,
    /// What was being done and for whom, e.g. `running the proxy of Gateway default/my-gateway`.
    pub subject: String,
    pub message: String,
}

impl Problem {
    fn new(subject: impl Into<String>, failure: &impl ToString) -> Self {
        Self {
            gateway: None,
            subject: subject.into(),
            message: failure.to_string(),
        }
    }

    fn of(gateway: &ObjectKey, subject: impl Into<String>, failure: &impl ToString) -> Self {
        Self {
            gateway: Some(gateway.clone()),
            ..Self::new(subject, failure)
        }
    }
}
