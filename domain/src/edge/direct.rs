//! The edge without a broker: plans over what the Cloudflare API shows and carries the plan out.
//!
//! One reconcile reads the Gateway's tunnel, its ingress document, the list of zones, and every zone that
//! matters: the zones of wanted names and those in which something of this Gateway was seen before. The
//! first reconcile of a Gateway in this process reads all zones, to find what an earlier process left. So a
//! repeated reconcile makes no write and [`READS_BESIDE_ZONES`] reads and one for each zone. Nothing read is
//! kept for the next reconcile: an answer is as true as the edge's own.
//!
//! A tunnel is known by its name, so a creation whose answer was lost is found again and never repeated. A
//! tunnel of that name that somebody made with a local configuration is adopted as it is: its records stay
//! true, connectors join it all the same, and putting an ingress document turns it into a remotely configured
//! one. Cloudflare keeps names unique; should it ever list two tunnels of one name, the remotely configured
//! one with the lowest id is used, and forgetting the Gateway removes both.

mod apply;
mod forget;
mod observe;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;

use crate::edge::mark::{self, RecordMark};
use crate::edge::{EdgeError, EdgeErrorKind, EdgeIntent, EdgeStatus, TunnelStatus, plan};
use crate::names::{InstallationName, ObjectKey, TunnelId, ZoneId};
use crate::ports::{CloudflareAccounts, CloudflareApi, Credentials, Edge, Entropy};
use crate::secret::{CloudflareCredentials, ConnectorToken};

/// Reads of one reconcile of a Gateway that has its tunnel, beside one for each zone: tunnels,
/// configuration, zones.
pub const READS_BESIDE_ZONES: usize = 3;

/// [`Edge`] over the Cloudflare API.
pub struct DirectEdge {
    accounts: Arc<dyn CloudflareAccounts>,
    credentials: Arc<dyn Credentials>,
    entropy: Arc<dyn Entropy>,
    installation: InstallationName,
    memory: Mutex<Memory>,
}

/// What is remembered between calls. None of it is needed for correctness after a restart.
#[derive(Default)]
struct Memory {
    gateways: BTreeMap<ObjectKey, GatewayMemory>,
    /// Gateways that a call is at work on.
    busy: BTreeSet<ObjectKey>,
}

/// What is remembered of one Gateway.
struct GatewayMemory {
    /// What it was last reconciled with: a Gateway and its Secret are often deleted together, and what is
    /// at the edge can still be removed then.
    credentials: CloudflareCredentials,
    tunnel: TunnelId,
    /// Zones in which something of it may be; `None` until all zones were listed once.
    zones: Option<BTreeSet<ZoneId>>,
}

/// The right to work on a Gateway: two plans at a time for one Gateway could each undo the other's.
struct Turn<'a> {
    edge: &'a DirectEdge,
    gateway: ObjectKey,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.edge.memory().busy.remove(&self.gateway);
    }
}

impl DirectEdge {
    /// An edge for one installation.
    pub fn new(
        accounts: Arc<dyn CloudflareAccounts>,
        credentials: Arc<dyn Credentials>,
        entropy: Arc<dyn Entropy>,
        installation: InstallationName,
    ) -> Self {
        Self {
            accounts,
            credentials,
            entropy,
            installation,
            memory: Mutex::default(),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory
            .lock()
            .expect("nothing panics while it holds this lock")
    }

    fn turn(&self, gateway: &ObjectKey) -> Result<Turn<'_>, EdgeError> {
        if self.memory().busy.insert(gateway.clone()) {
            let gateway = gateway.clone();
            return Ok(Turn {
                edge: self,
                gateway,
            });
        }
        Err(EdgeError::new(
            EdgeErrorKind::Conflict,
            format!("Gateway {gateway} is being worked on at the edge already; try again"),
        ))
    }

    async fn api_of(&self, gateway: &ObjectKey) -> Result<Arc<dyn CloudflareApi>, EdgeError> {
        let credentials = self.credentials.of(gateway).await?;
        Ok(self.accounts.open(&credentials))
    }

    /// The Gateway's tunnel, as remembered or by its name.
    async fn tunnel_id(
        &self,
        api: &dyn CloudflareApi,
        gateway: &ObjectKey,
    ) -> Result<TunnelId, EdgeError> {
        let remembered = self.memory().gateways.get(gateway).map(|m| m.tunnel);
        if let Some(tunnel) = remembered {
            return Ok(tunnel);
        }
        let name = mark::tunnel_name(&self.installation, gateway);
        match observe::tunnel(api, &name).await? {
            Some(tunnel) => Ok(tunnel.id),
            None => Err(EdgeError::new(
                EdgeErrorKind::NotFound,
                format!("Gateway {gateway} has no tunnel yet; it is made by the next reconcile"),
            )),
        }
    }

    fn zones_to_read(
        &self,
        gateway: &ObjectKey,
        credentials: &CloudflareCredentials,
    ) -> Option<BTreeSet<ZoneId>> {
        let memory = self.memory();
        let remembered = memory.gateways.get(gateway)?;
        let same_account = remembered.credentials.account == credentials.account;
        same_account.then(|| remembered.zones.clone()).flatten()
    }
}

#[async_trait]
impl Edge for DirectEdge {
    async fn reconcile(&self, intent: &EdgeIntent) -> Result<EdgeStatus, EdgeError> {
        let gateway = &intent.gateway;
        let _turn = self.turn(gateway)?;
        let credentials = self.credentials.of(gateway).await?;
        let api = self.accounts.open(&credentials);
        let name = mark::tunnel_name(&self.installation, gateway);
        let mark = RecordMark::of(&self.installation, gateway);

        let known = self.zones_to_read(gateway, &credentials);
        let observed = observe::observe(&*api, &name, intent, known.as_ref()).await?;
        let plan = plan::plan(intent, &observed, &self.installation);
        let existing = observed.tunnel.as_ref().map(|tunnel| tunnel.id);
        let applied = apply::apply(&*api, &name, mark, existing, &plan).await?;

        let zones = observe::zones_with_something(&observed, intent, mark).or(known);
        let tunnel = applied.tunnel;
        let memory = GatewayMemory {
            credentials,
            tunnel,
            zones,
        };
        self.memory().gateways.insert(gateway.clone(), memory);
        let mut failures = observe::failures(&observed, intent);
        failures.extend(applied.failures);
        let mut hostnames = plan.hostnames;
        hostnames.extend(applied.hostnames);
        Ok(EdgeStatus {
            tunnels: vec![TunnelStatus {
                id: tunnel,
                address: tunnel.address(),
            }],
            hostnames,
            ingress: applied.ingress.unwrap_or(plan.ingress),
            failures,
        })
    }

    /// Found by the names of tunnels: [`Edge::forget`] removes the tunnel last, so a Gateway that holds
    /// anything still has one.
    async fn owned(&self) -> Result<BTreeSet<ObjectKey>, EdgeError> {
        let prefix = mark::tunnel_prefix(&self.installation);
        let mut owned = BTreeSet::new();
        for credentials in forget::one_for_each_account(self.credentials.all().await?) {
            let tunnels = self.accounts.open(&credentials).tunnels(&prefix).await?;
            let gateways = tunnels
                .iter()
                .filter_map(|tunnel| mark::gateway_of_tunnel(&self.installation, &tunnel.name));
            owned.extend(gateways);
        }
        Ok(owned)
    }

    async fn connector_token(&self, gateway: &ObjectKey) -> Result<ConnectorToken, EdgeError> {
        let api = self.api_of(gateway).await?;
        let tunnel = self.tunnel_id(&*api, gateway).await?;
        api.tunnel_token(tunnel).await
    }

    async fn rotate(&self, gateway: &ObjectKey) -> Result<ConnectorToken, EdgeError> {
        let _turn = self.turn(gateway)?;
        let api = self.api_of(gateway).await?;
        let tunnel = self.tunnel_id(&*api, gateway).await?;
        api.set_tunnel_secret(tunnel, self.entropy.secret()).await?;
        api.tunnel_token(tunnel).await
    }

    async fn forget(&self, gateway: &ObjectKey) -> Result<(), EdgeError> {
        let _turn = self.turn(gateway)?;
        self.forget_everywhere(gateway).await?;
        self.memory().gateways.remove(gateway);
        Ok(())
    }

    /// Zones that another instance put something into must be found: all are read again, once.
    fn begin_term(&self) {
        for gateway in self.memory().gateways.values_mut() {
            gateway.zones = None;
        }
    }
}
