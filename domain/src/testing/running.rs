//! Proxies in memory: which run, and what they serve.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::error::PortError;
use crate::names::{ObjectKey, TunnelId};
use crate::ports::{DataPlane, Delivery, Workloads};
use crate::route_table::RouteTable;
use crate::secret::ConnectorToken;
use crate::workload::{WorkloadSpec, WorkloadStatus};

/// [`Workloads`] whose proxies are ready at once.
#[derive(Debug, Default)]
pub struct FakeWorkloads(Mutex<Proxies>);

#[derive(Debug, Default)]
struct Proxies {
    running: BTreeMap<ObjectKey, (TunnelId, ConnectorToken)>,
    /// Proxies that are no Gateway's any more.
    released: BTreeMap<ObjectKey, (TunnelId, ConnectorToken)>,
    specs: BTreeMap<ObjectKey, WorkloadSpec>,
    ensured: usize,
    unfinished: bool,
    /// Replicas still hold connections with another token.
    takes_token: bool,
    status: Option<WorkloadStatus>,
    refusal: Option<PortError>,
}

impl FakeWorkloads {
    /// Fails every later call with this error, or no longer.
    pub fn fail(&self, refusal: Option<PortError>) {
        self.0.lock().expect("lock").refusal = refusal;
    }

    /// Leaves something to do in every later call, or no longer.
    pub fn leave_unfinished(&self, unfinished: bool) {
        self.0.lock().expect("lock").unfinished = unfinished;
    }

    /// Lets replicas hold their connections with other tokens from now on, or no longer.
    pub fn take_token_slowly(&self, slowly: bool) {
        self.0.lock().expect("lock").takes_token = slowly;
    }

    /// Says this of how proxies that run are doing from now on, or that they are ready.
    pub fn tell(&self, status: Option<WorkloadStatus>) {
        self.0.lock().expect("lock").status = status;
    }

    /// Tunnel and token of a proxy that runs.
    pub fn proxy(&self, gateway: &ObjectKey) -> Option<(TunnelId, ConnectorToken)> {
        self.0.lock().expect("lock").running.get(gateway).cloned()
    }

    /// Tunnel and token of a proxy that runs on and was let go of.
    pub fn released(&self, gateway: &ObjectKey) -> Option<(TunnelId, ConnectorToken)> {
        self.0.lock().expect("lock").released.get(gateway).cloned()
    }

    /// How a Gateway's proxy was last asked to run.
    pub fn spec(&self, gateway: &ObjectKey) -> Option<WorkloadSpec> {
        self.0.lock().expect("lock").specs.get(gateway).cloned()
    }

    /// How often a proxy was asked to run.
    pub fn ensured(&self) -> usize {
        self.0.lock().expect("lock").ensured
    }

    fn proxies(&self) -> Result<std::sync::MutexGuard<'_, Proxies>, PortError> {
        let proxies = self.0.lock().expect("lock");
        match &proxies.refusal {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(proxies),
        }
    }
}

fn ready() -> WorkloadStatus {
    WorkloadStatus {
        ready: 1,
        ..WorkloadStatus::default()
    }
}

#[async_trait]
impl Workloads for FakeWorkloads {
    async fn ensure(
        &self,
        gateway: &ObjectKey,
        spec: &WorkloadSpec,
        tunnel: TunnelId,
        token: &ConnectorToken,
    ) -> Result<WorkloadStatus, PortError> {
        let mut proxies = self.proxies()?;
        proxies.ensured += 1;
        proxies.specs.insert(gateway.clone(), spec.clone());
        let proxy = (tunnel, token.clone());
        proxies.released.remove(gateway);
        if !(token.is_partial() && proxies.running.contains_key(gateway)) {
            proxies.running.insert(gateway.clone(), proxy);
        }
        Ok(WorkloadStatus {
            unfinished: proxies.unfinished,
            holds_token: !proxies.takes_token,
            ..ready()
        })
    }

    async fn release(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        let mut proxies = self.proxies()?;
        let proxy = proxies.running.remove(gateway);
        proxies
            .released
            .extend(proxy.map(|proxy| (gateway.clone(), proxy)));
        Ok(())
    }

    async fn stop(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.proxies()?.running.remove(gateway);
        Ok(())
    }

    async fn status(&self, gateway: &ObjectKey) -> WorkloadStatus {
        let proxies = self.0.lock().expect("lock");
        match proxies.running.contains_key(gateway) {
            true => proxies.status.clone().unwrap_or_else(ready),
            false => WorkloadStatus::default(),
        }
    }

    async fn running(&self) -> Result<BTreeSet<ObjectKey>, PortError> {
        Ok(self.proxies()?.running.keys().cloned().collect())
    }
}

/// [`DataPlane`] that keeps what it was given.
#[derive(Debug, Default)]
pub struct FakeDataPlane(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    served: BTreeMap<ObjectKey, Arc<RouteTable>>,
    published: usize,
    refusal: Option<PortError>,
    deliveries: BTreeMap<ObjectKey, Delivery>,
}

impl FakeDataPlane {
    /// Says this of how far the tables of a Gateway have come, from now on.
    pub fn deliver(&self, gateway: &ObjectKey, delivery: Delivery) {
        let mut tables = self.0.lock().expect("lock");
        tables.deliveries.insert(gateway.clone(), delivery);
    }

    /// Fails every later call with this error, or no longer.
    pub fn fail(&self, refusal: Option<PortError>) {
        self.0.lock().expect("lock").refusal = refusal;
    }

    /// The table that a Gateway serves.
    pub fn table(&self, gateway: &ObjectKey) -> Option<Arc<RouteTable>> {
        self.0.lock().expect("lock").served.get(gateway).cloned()
    }

    /// How many tables were published.
    pub fn published(&self) -> usize {
        self.0.lock().expect("lock").published
    }

    fn tables(&self) -> Result<std::sync::MutexGuard<'_, Tables>, PortError> {
        let tables = self.0.lock().expect("lock");
        match &tables.refusal {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(tables),
        }
    }
}

#[async_trait]
impl DataPlane for FakeDataPlane {
    async fn publish(&self, table: Arc<RouteTable>) -> Result<(), PortError> {
        let mut tables = self.tables()?;
        tables.published += 1;
        tables.served.insert(table.gateway.clone(), table);
        Ok(())
    }

    async fn withdraw(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.tables()?.served.remove(gateway);
        Ok(())
    }

    fn delivery(&self, gateway: &ObjectKey) -> Delivery {
        let tables = self.0.lock().expect("lock");
        tables.deliveries.get(gateway).cloned().unwrap_or_default()
    }
}
