//! An edge in memory: every name has a zone and nobody else is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use async_trait::async_trait;

use crate::edge::{
    EdgeError, EdgeErrorKind, EdgeIntent, EdgeStatus, HostnameOutcome, TunnelStatus,
};
use crate::names::{ObjectKey, TunnelId};
use crate::ports::Edge;
use crate::secret::ConnectorToken;

/// [`Edge`] that makes every intent true at once, and keeps them.
#[derive(Debug, Default)]
pub struct FakeEdge(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    held: BTreeMap<ObjectKey, EdgeIntent>,
    rotations: BTreeMap<ObjectKey, u32>,
    stated: Vec<EdgeIntent>,
    refusals: BTreeMap<Option<ObjectKey>, EdgeError>,
}

impl FakeEdge {
    /// Fails every later call for a Gateway (`None`: every call at all) with this error, or no longer.
    pub fn fail(&self, gateway: Option<ObjectKey>, refusal: Option<EdgeError>) {
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
    pub fn leave(&self, intent: EdgeIntent) {
        let mut state = self.0.lock().expect("lock");
        state.held.insert(intent.gateway.clone(), intent);
    }

    fn state(
        &self,
        gateway: Option<&ObjectKey>,
    ) -> Result<std::sync::MutexGuard<'_, State>, EdgeError> {
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

fn status_of(intent: &EdgeIntent) -> EdgeStatus {
    let id = tunnel_of(&intent.gateway);
    let yielded = intent.yielded.iter().map(|(hostname, by)| {
        (
            hostname.clone(),
            HostnameOutcome::Claimed { by: by.clone() },
        )
    });
    let served = intent.hostnames.iter().map(|hostname| {
        let managed = intent.dns.manages(hostname);
        let outcome = if managed {
            HostnameOutcome::Applied
        } else {
            HostnameOutcome::NotManaged
        };
        (hostname.clone(), outcome)
    });
    EdgeStatus {
        tunnels: vec![TunnelStatus {
            id,
            address: id.address(),
        }],
        hostnames: yielded.chain(served).collect(),
        ..EdgeStatus::default()
    }
}

#[async_trait]
impl Edge for FakeEdge {
    async fn reconcile(&self, intent: &EdgeIntent) -> Result<EdgeStatus, EdgeError> {
        self.0.lock().expect("lock").stated.push(intent.clone());
        let mut state = self.state(Some(&intent.gateway))?;
        state.held.insert(intent.gateway.clone(), intent.clone());
        Ok(status_of(intent))
    }

    async fn owned(&self) -> Result<BTreeSet<ObjectKey>, EdgeError> {
        Ok(self.state(None)?.held.keys().cloned().collect())
    }

    async fn connector_token(&self, gateway: &ObjectKey) -> Result<ConnectorToken, EdgeError> {
        let state = self.state(Some(gateway))?;
        if !state.held.contains_key(gateway) {
            let message = format!("Gateway {gateway} has no tunnel");
            return Err(EdgeError::new(EdgeErrorKind::NotFound, message));
        }
        let rotation = state.rotations.get(gateway).copied().unwrap_or(0);
        Ok(ConnectorToken::new(format!("{gateway} {rotation}")))
    }

    async fn rotate(&self, gateway: &ObjectKey) -> Result<ConnectorToken, EdgeError> {
        *self
            .state(Some(gateway))?
            .rotations
            .entry(gateway.clone())
            .or_default() += 1;
        self.connector_token(gateway).await
    }

    async fn forget(&self, gateway: &ObjectKey) -> Result<(), EdgeError> {
        self.state(Some(gateway))?.held.remove(gateway);
        Ok(())
    }
}
