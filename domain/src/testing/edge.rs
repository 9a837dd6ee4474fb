//! An edge in memory: every name has a zone and nobody else is there, unless a test says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use async_trait::async_trait;

use crate::edge::{
    Changes, EdgeIntent, EdgeStatus, Holdings, HostnameOutcome, Partial, Policy, TunnelStatus,
};
use crate::error::{PortError, PortErrorKind};
use crate::names::{Hostname, ObjectKey, TunnelId};
use crate::ports::Edge;
use crate::secret::{ConnectorToken, TokenHash};

/// An intent for these names, as it is where all of the cluster was seen and no other Gateway asks for one of them.
///
/// # Panics
/// A name is none.
pub fn intent(gateway: ObjectKey, hostnames: &[&str]) -> EdgeIntent {
    let hostnames = hostnames.iter();
    let hostnames = hostnames.map(|name| Hostname::parse(name).expect("a hostname"));
    EdgeIntent {
        hostnames: hostnames.collect(),
        ..EdgeIntent::new(gateway)
    }
}

/// [`Edge`] that makes every intent true at once, as far as nothing stands in the way, and keeps them.
#[derive(Debug, Default)]
pub struct FakeEdge(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    held: BTreeMap<ObjectKey, EdgeIntent>,
    /// Names that lead to a Gateway's tunnel.
    records: BTreeMap<Hostname, ObjectKey>,
    in_the_way: BTreeMap<Hostname, HostnameOutcome>,
    rotations: BTreeMap<ObjectKey, u32>,
    closings: BTreeMap<ObjectKey, u32>,
    /// Tunnels that others are connected to.
    connected: BTreeSet<TunnelId>,
    stated: Vec<EdgeIntent>,
    refusals: BTreeMap<Option<ObjectKey>, PortError>,
}

impl FakeEdge {
    /// Fails every later call for a Gateway (`None`: every call at all) with this error, or no longer.
    pub fn fail(&self, gateway: Option<ObjectKey>, refusal: Option<PortError>) {
        let mut state = self.0.lock().expect("lock");
        match refusal {
            Some(refusal) => state.refusals.insert(gateway, refusal),
            None => state.refusals.remove(&gateway),
        };
    }

    /// Every intent stated so far, refused ones too, in order.
    pub fn stated(&self) -> Vec<EdgeIntent> {
        self.0.lock().expect("lock").stated.clone()
    }

    /// What is true for a Gateway now.
    pub fn held(&self, gateway: &ObjectKey) -> Option<EdgeIntent> {
        self.0.lock().expect("lock").held.get(gateway).cloned()
    }

    /// Lets the edge hold something for a Gateway, as an earlier process would have left it.
    pub fn leave(&self, intent: &EdgeIntent) {
        self.0.lock().expect("lock").apply(intent);
    }

    /// How often a Gateway's token was replaced.
    pub fn rotations(&self, gateway: &ObjectKey) -> u32 {
        let state = self.0.lock().expect("lock");
        state.rotations.get(gateway).copied().unwrap_or(0)
    }

    /// How often the connections to a Gateway's tunnel were closed.
    pub fn closings(&self, gateway: &ObjectKey) -> u32 {
        let state = self.0.lock().expect("lock");
        state.closings.get(gateway).copied().unwrap_or(0)
    }

    /// Connects somebody's connector to a tunnel.
    pub fn connect(&self, tunnel: TunnelId) {
        self.0.lock().expect("lock").connected.insert(tunnel);
    }

    /// Takes a Gateway's tunnel away behind our back; its records stay.
    pub fn lose_tunnel(&self, gateway: &ObjectKey) {
        self.0.lock().expect("lock").held.remove(gateway);
    }

    /// Lets a name come to nothing from now on, whoever asks for it (a record of somebody else, no zone, a
    /// missing permission), or no longer.
    pub fn stand_in_the_way(&self, hostname: Hostname, outcome: Option<HostnameOutcome>) {
        let mut state = self.0.lock().expect("lock");
        match outcome {
            Some(outcome) => state.in_the_way.insert(hostname, outcome),
            None => state.in_the_way.remove(&hostname),
        };
    }

    /// Names that lead to a tunnel now.
    pub fn records(&self) -> BTreeMap<Hostname, TunnelId> {
        let state = self.0.lock().expect("lock");
        let records = state.records.iter();
        records
            .map(|(hostname, holder)| (hostname.clone(), tunnel_of(holder)))
            .collect()
    }

    fn state(
        &self,
        gateway: Option<&ObjectKey>,
    ) -> Result<std::sync::MutexGuard<'_, State>, PortError> {
        let state = self.0.lock().expect("lock");
        let of_gateway = gateway.and_then(|gateway| state.refusals.get(&Some(gateway.clone())));
        match of_gateway.or_else(|| state.refusals.get(&None)) {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(state),
        }
    }
}

/// The same for the same Gateway: a sum over its key in the first bytes.
fn tunnel_of(gateway: &ObjectKey) -> TunnelId {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in gateway.to_string().bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&hash.to_be_bytes());
    TunnelId::from_bytes(bytes)
}

impl State {
    fn apply(&mut self, intent: &EdgeIntent) -> EdgeStatus {
        let gateway = &intent.gateway;
        let id = tunnel_of(gateway);
        let mut hostnames = BTreeMap::new();
        let mut changes = Changes::default();
        let before = self.held.insert(gateway.clone(), intent.clone());
        if before.is_none() {
            changes.add(format_args!("made tunnel {gateway}"));
        }
        if before.is_none_or(|before| before.hostnames != intent.hostnames) {
            changes.add("wrote ingress rules");
        }
        for (hostname, by) in &intent.dns.lost_to {
            let by = by.clone();
            hostnames.insert(hostname.clone(), HostnameOutcome::Claimed { by });
        }
        for hostname in &intent.hostnames {
            let outcome = self.outcome(intent, hostname);
            if outcome == HostnameOutcome::Applied {
                let before = self.records.insert(hostname.clone(), gateway.clone());
                if before.as_ref() != Some(gateway) {
                    changes.add(format_args!("made record {hostname}"));
                }
            }
            hostnames.insert(hostname.clone(), outcome);
        }
        let is_unwanted = |hostname: &Hostname, holder: &ObjectKey| {
            let is_wanted = || intent.hostnames.contains(hostname) && intent.dns.manages(hostname);
            holder == gateway && !is_wanted()
        };
        let kept = (intent.policy == Policy::KeepRecords).then(|| {
            let records = self.records.iter();
            let unwanted = records.filter(|(hostname, holder)| is_unwanted(hostname, holder));
            unwanted.map(|(hostname, _)| hostname.clone()).collect()
        });
        if intent.policy == Policy::Sync {
            self.records.retain(|hostname, holder| {
                !is_unwanted(hostname, holder) || intent.dns.lost_to.contains_key(hostname)
            });
        }
        let address = id.address();
        EdgeStatus {
            tunnels: vec![TunnelStatus {
                id,
                name: gateway.to_string(),
                address,
                hostnames: intent.hostnames.clone(),
            }],
            hostnames,
            unwanted_kept: kept,
            changes,
            ..EdgeStatus::default()
        }
    }

    fn outcome(&self, intent: &EdgeIntent, hostname: &Hostname) -> HostnameOutcome {
        if !intent.dns.manages(hostname) {
            return HostnameOutcome::NotManaged;
        }
        if let Some(outcome) = self.in_the_way.get(hostname) {
            return outcome.clone();
        }
        match self.records.get(hostname) {
            Some(holder) if *holder != intent.gateway && intent.policy == Policy::UpsertOnly => {
                HostnameOutcome::Unknown {
                    message: format!("{hostname} has a record of Gateway {holder}"),
                }
            }
            _ => HostnameOutcome::Applied,
        }
    }
}

#[async_trait]
impl Edge for FakeEdge {
    /// Refuses nobody but those whose calls fail for their credentials.
    async fn admit(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        let refusal = self.state(Some(gateway)).err();
        match refusal {
            Some(refusal)
                if matches!(
                    refusal.kind,
                    PortErrorKind::Unauthenticated | PortErrorKind::Credentials
                ) =>
            {
                Err(refusal)
            }
            _ => Ok(()),
        }
    }

    async fn reconcile(&self, intent: &EdgeIntent) -> Result<EdgeStatus, PortError> {
        self.0.lock().expect("lock").stated.push(intent.clone());
        let mut state = self.state(Some(&intent.gateway))?;
        Ok(state.apply(intent))
    }

    async fn owned(&self) -> Result<BTreeSet<ObjectKey>, Partial<BTreeSet<ObjectKey>>> {
        Ok(self.state(None)?.held.keys().cloned().collect())
    }

    async fn connector_token(&self, gateway: &ObjectKey) -> Result<ConnectorToken, PortError> {
        let state = self.state(Some(gateway))?;
        if !state.held.contains_key(gateway) {
            let message = format!("Gateway {gateway} has no tunnel");
            return Err(PortError::new(PortErrorKind::NotFound, message));
        }
        let rotation = state.rotations.get(gateway).copied().unwrap_or(0);
        Ok(ConnectorToken::new(format!("{gateway} {rotation}")))
    }

    async fn retire_token(&self, gateway: &ObjectKey, retired: TokenHash) -> Result<(), PortError> {
        if self.connector_token(gateway).await?.hash() == retired {
            let mut state = self.state(Some(gateway))?;
            *state.rotations.entry(gateway.clone()).or_default() += 1;
        }
        Ok(())
    }

    async fn close_connections(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.connector_token(gateway).await?;
        let mut state = self.state(Some(gateway))?;
        *state.closings.entry(gateway.clone()).or_default() += 1;
        Ok(())
    }

    async fn holdings(&self, gateway: &ObjectKey) -> Result<Holdings, PortError> {
        let state = self.state(Some(gateway))?;
        let held = state.held.contains_key(gateway);
        let records = state
            .records
            .iter()
            .filter(|(_, holder)| *holder == gateway);
        Ok(Holdings {
            tunnels: held.then(|| tunnel_of(gateway)).into_iter().collect(),
            records: records.map(|(hostname, _)| hostname.to_string()).collect(),
        })
    }

    async fn has_connectors(&self) -> Result<bool, PortError> {
        Ok(!self.state(None)?.connected.is_empty())
    }

    async fn remove(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        let mut state = self.state(Some(gateway))?;
        if state.connected.contains(&tunnel_of(gateway)) {
            let message = "others are connected to the tunnel";
            return Err(PortError::new(PortErrorKind::Conflict, message));
        }
        state.held.remove(gateway);
        state.records.retain(|_, holder| holder != gateway);
        Ok(())
    }

    async fn sweep(&self, live: &BTreeSet<ObjectKey>) -> Result<BTreeSet<String>, PortError> {
        let mut state = self.state(None)?;
        let State { held, records, .. } = &mut *state;
        let mut gone = BTreeSet::new();
        records.retain(|hostname, holder| {
            let stays = live.contains(holder) || held.contains_key(holder);
            if !stays {
                gone.insert(hostname.to_string());
            }
            stays
        });
        Ok(gone)
    }
}
