//! What the broker's owner lets a cluster have.

use std::collections::{BTreeMap, BTreeSet};

use domain::edge::{EdgeIntent, EdgeStatus, HostnameOutcome};
use domain::ports::{Edges, PortError, PortErrorKind};
use domain::{AllowedHostnames, Hostname, InstanceId, ObjectKey};
use parking_lot::Mutex;

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

/// The places of a cluster's Gateways, where their number is limited. Clusters that show one token share them.
pub(crate) struct Places {
    limit: Option<u32>,
    /// Gateways that are known to have one.
    taken: Mutex<BTreeSet<Place>>,
    /// New Gateways come one after another, so that no two take the last place.
    admission: tokio::sync::Mutex<()>,
}

type Place = (InstanceId, ObjectKey);

impl Places {
    pub(crate) fn new(limits: &ClusterLimits) -> Self {
        Self {
            limit: limits.max_gateways,
            taken: Mutex::default(),
            admission: tokio::sync::Mutex::default(),
        }
    }

    /// Makes an intent true, if the Gateway has a place or gets one. Cloudflare is asked who has one before each new
    /// Gateway.
    pub(crate) async fn reconcile(
        &self,
        edges: &dyn Edges,
        instance: InstanceId,
        intent: &EdgeIntent,
    ) -> Result<EdgeStatus, PortError> {
        let place = (instance, intent.gateway.clone());
        let has_place = self.taken.lock().contains(&place);
        let Some(limit) = self.limit.filter(|_| !has_place) else {
            return edges.of(instance).reconcile(intent).await;
        };
        let _admission = self.admission.lock().await;
        let mut others = 0;
        let mut has_place = false;
        for held in edges.owned().await? {
            has_place |= (&held.instance, &held.gateway) == (&place.0, &place.1);
            // What a former instance left of this very Gateway is this Gateway's to take over.
            let left = held.is_down && held.gateway == intent.gateway;
            others += usize::from(!left);
        }
        if !has_place && others >= limit as usize {
            return Err(too_many(limit));
        }
        let answer = edges.of(instance).reconcile(intent).await;
        if answer.is_ok() {
            self.taken.lock().insert(place);
        }
        answer
    }

    /// Nothing of a Gateway is left.
    pub(crate) fn free(&self, instance: InstanceId, gateway: &ObjectKey) {
        self.taken.lock().remove(&(instance, gateway.clone()));
    }
}

fn too_many(limit: u32) -> PortError {
    let message = format!(
        "Forbidden: the broker permits {limit} Gateways to this cluster, and there are as many; delete one of them, or ask whoever runs the broker to raise the cluster's max_gateways"
    );
    PortError::new(PortErrorKind::TooManyGateways, message)
}
