//! What is kept of rotations, in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use async_trait::async_trait;

use crate::names::ObjectKey;
use crate::ports::{PortError, RotationStore};
use crate::rotation::{RotationState, Stage};
use crate::secret::TokenHash;

/// [`RotationStore`] that can be read and emptied.
#[derive(Debug, Default)]
pub struct FakeRotations(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    states: BTreeMap<ObjectKey, RotationState>,
    saved: usize,
    /// Tokens that were kept as the ones to be replaced.
    begun: BTreeMap<ObjectKey, BTreeSet<TokenHash>>,
    refusal: Option<PortError>,
}

impl FakeRotations {
    /// Fails every later call with this error, or no longer.
    pub fn fail(&self, refusal: Option<PortError>) {
        self.0.lock().expect("lock").refusal = refusal;
    }

    /// What is kept of a Gateway.
    pub fn kept(&self, gateway: &ObjectKey) -> Option<RotationState> {
        self.0.lock().expect("lock").states.get(gateway).cloned()
    }

    /// How often something was kept.
    pub fn saved(&self) -> usize {
        self.0.lock().expect("lock").saved
    }

    /// How many tokens of a Gateway were kept as the ones to be replaced.
    pub fn begun(&self, gateway: &ObjectKey) -> usize {
        let kept = self.0.lock().expect("lock");
        kept.begun.get(gateway).map_or(0, BTreeSet::len)
    }

    /// Loses everything.
    pub fn lose(&self) {
        self.0.lock().expect("lock").states.clear();
    }

    fn states(&self) -> Result<std::sync::MutexGuard<'_, Kept>, PortError> {
        let kept = self.0.lock().expect("lock");
        match &kept.refusal {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(kept),
        }
    }
}

#[async_trait]
impl RotationStore for FakeRotations {
    async fn load(&self, gateway: &ObjectKey) -> Result<Option<RotationState>, PortError> {
        Ok(self.states()?.states.get(gateway).cloned())
    }

    async fn save(&self, gateway: &ObjectKey, state: &RotationState) -> Result<(), PortError> {
        let mut kept = self.states()?;
        kept.saved += 1;
        if let Stage::Replace(token) = state.stage {
            kept.begun.entry(gateway.clone()).or_default().insert(token);
        }
        kept.states.insert(gateway.clone(), state.clone());
        Ok(())
    }

    async fn forget(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.states()?.states.remove(gateway);
        Ok(())
    }
}
