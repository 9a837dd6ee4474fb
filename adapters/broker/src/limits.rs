//! What the broker's owner lets a cluster have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::edge::{EdgeError, EdgeErrorKind, EdgeIntent, EdgeStatus, HostnameOutcome};
use domain::ports::Edge;
use domain::{AllowedHostnames, Hostname, ObjectKey};

/// Limits of a cluster. Without any it may have everything that the account has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterLimits {
    /// Hostnames that it may have.
    pub hostnames: AllowedHostnames,
    /// How many Gateways, and so tunnels, it may have.
    pub max_gateways: Option<u32>,
}

impl ClusterLimits {
    /// Takes the names out of an intent that the cluster may not have, and says so of each.
    pub(crate) fn withhold(&self, intent: &mut EdgeIntent) -> BTreeMap<Hostname, HostnameOutcome> {
        let asked = std::mem::take(&mut intent.hostnames).into_iter();
        let (permitted, withheld): (BTreeSet<_>, BTreeSet<_>) =
            asked.partition(|hostname| self.hostnames.allows(hostname));
        intent.hostnames = permitted;
        let outcome = HostnameOutcome::NotPermitted {
            message: self.permitted_names(),
        };
        let withheld = withheld.into_iter();
        withheld.map(|name| (name, outcome.clone())).collect()
    }

    fn permitted_names(&self) -> String {
        let names = match &self.hostnames {
            AllowedHostnames::Any => "every hostname".to_owned(),
            AllowedHostnames::Listed(patterns) => patterns.to_string(),
        };
        format!(
            "Forbidden: the broker permits {names} to this cluster; use one of these, or ask whoever runs the broker to add yours to the cluster's hostnames"
        )
    }
}

/// The places of a cluster's Gateways, where their number is limited.
pub(crate) struct Places {
    limit: Option<u32>,
    /// Gateways that have something at Cloudflare; `None` where that is not known.
    taken: Mutex<Option<BTreeSet<ObjectKey>>>,
    /// New Gateways come one after another, so that no two take the last place.
    admission: tokio::sync::Mutex<()>,
}

impl Places {
    pub(crate) fn new(limits: &ClusterLimits) -> Self {
        Self {
            limit: limits.max_gateways,
            taken: Mutex::default(),
            admission: tokio::sync::Mutex::default(),
        }
    }

    /// Makes an intent true, if the Gateway has a place or gets one.
    pub(crate) async fn reconcile(
        &self,
        edge: &Arc<dyn Edge>,
        intent: &EdgeIntent,
    ) -> Result<EdgeStatus, EdgeError> {
        let gateway = &intent.gateway;
        let Some(limit) = self.limit.filter(|_| !self.has_place(gateway)) else {
            return edge.reconcile(intent).await;
        };
        let _admission = self.admission.lock().await;
        let taken = self.read(edge).await?;
        if !taken.contains(gateway) && taken.len() >= limit as usize {
            return Err(too_many(limit));
        }
        let answer = edge.reconcile(intent).await;
        let mut taken = self.taken();
        match (&answer, taken.as_mut()) {
            (Ok(_), Some(taken)) => {
                taken.insert(gateway.clone());
            }
            // The tunnel may be there or not: Cloudflare is asked before the next new one.
            _ => *taken = None,
        }
        drop(taken);
        answer
    }

    /// Nothing of a Gateway is left.
    pub(crate) fn free(&self, gateway: &ObjectKey) {
        if let Some(taken) = self.taken().as_mut() {
            taken.remove(gateway);
        }
    }

    fn has_place(&self, gateway: &ObjectKey) -> bool {
        let taken = self.taken();
        taken.as_ref().is_some_and(|taken| taken.contains(gateway))
    }

    /// The Gateways with a place; Cloudflare is asked for them once.
    async fn read(&self, edge: &Arc<dyn Edge>) -> Result<BTreeSet<ObjectKey>, EdgeError> {
        if let Some(taken) = self.taken().clone() {
            return Ok(taken);
        }
        let owned = edge.owned().await.map_err(|partial| partial.error)?;
        *self.taken() = Some(owned.clone());
        Ok(owned)
    }

    fn taken(&self) -> MutexGuard<'_, Option<BTreeSet<ObjectKey>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_many(limit: u32) -> EdgeError {
    let message = format!(
        "Forbidden: the broker permits {limit} Gateways to this cluster, and there are as many; delete one of them, or ask whoever runs the broker to raise the cluster's max_gateways"
    );
    EdgeError::new(EdgeErrorKind::TooManyGateways, message)
}
