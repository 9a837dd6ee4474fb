//! How the proxies of a Gateway are to run.

use crate::gateway::{GatewayParameters, Infrastructure, Replica, Resources};

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

/// How the proxy of a Gateway is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkloadStatus {
    /// Replicas with the full route table and at least one connection to the edge.
    pub ready: u32,
    /// Why others are not ready, for the user; empty when all are.
    pub problems: Vec<String>,
    /// Told by [`Workloads::ensure`](crate::ports::Workloads::ensure): something is left to do that has to wait for replicas, so the call is
    /// to be repeated.
    pub unfinished: bool,
}
