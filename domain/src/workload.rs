//! How the proxies of a Gateway are to run.

use std::collections::BTreeMap;

use crate::gateway::{GatewayParameters, Infrastructure};

/// Replicas of a Gateway whose parameters name none: one may go while the other serves.
pub const DEFAULT_REPLICAS: u32 = 2;

/// What the pods of a Gateway's proxies look like, as far as users decide it. The same value asks for the
/// same pods.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkloadSpec {
    /// How many, and where.
    pub replicas: Replicas,
    /// CPU and memory of each.
    pub resources: Resources,
    /// Seconds for which a new replica must have been ready before the next old one is replaced.
    pub min_ready_seconds: u32,
    /// Labels and annotations of every object that is made for the Gateway. They never replace those by which
    /// the objects are found.
    pub infrastructure: Infrastructure,
}

/// How many replicas, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replicas {
    /// So many alike, spread over nodes and zones by the cluster.
    Alike(u32),
    /// One for each name, with its own place.
    Named(Vec<Replica>),
}

impl Default for Replicas {
    fn default() -> Self {
        Self::Alike(DEFAULT_REPLICAS)
    }
}

impl Replicas {
    /// How many there should be.
    pub fn count(&self) -> usize {
        match self {
            Self::Alike(count) => *count as usize,
            Self::Named(replicas) => replicas.len(),
        }
    }
}

/// A replica with a name of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replica {
    /// A DNS label, unique in its Gateway.
    pub name: String,
    /// Runs only in this zone (`topology.kubernetes.io/zone`).
    pub zone: Option<String>,
    /// Runs only on nodes with these labels.
    pub node_selector: BTreeMap<String, String>,
}

/// Compute resources of a container, by name (`cpu`, `memory`), as Kubernetes quantities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resources {
    /// What the scheduler sets aside.
    pub requests: BTreeMap<String, String>,
    /// What it may not pass.
    pub limits: BTreeMap<String, String>,
}

impl Default for Resources {
    /// Little to begin with; memory is bounded, so that one proxy cannot starve its node, CPU is not, because
    /// a bound slows down requests that the node has time for.
    fn default() -> Self {
        let quantity = |(name, quantity): (&str, &str)| (name.to_owned(), quantity.to_owned());
        Self {
            requests: [("cpu", "50m"), ("memory", "64Mi")].map(quantity).into(),
            limits: [("memory", "512Mi")].map(quantity).into(),
        }
    }
}

impl WorkloadSpec {
    /// What a Gateway asks for: what its own parameters say, else those of its class, else the defaults.
    pub fn of(
        infrastructure: Infrastructure,
        own: Option<&GatewayParameters>,
        of_class: Option<&GatewayParameters>,
    ) -> Self {
        let layers = || own.into_iter().chain(of_class);
        let named = layers().find_map(|p| p.replicas.clone());
        let resources = layers().find_map(|p| p.resources.clone());
        Self {
            replicas: named.map_or_else(Replicas::default, Replicas::Named),
            resources: resources.unwrap_or_default(),
            min_ready_seconds: layers()
                .find_map(|p| p.min_ready_seconds)
                .unwrap_or_default(),
            infrastructure,
        }
    }
}
