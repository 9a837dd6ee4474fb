//! The edge of a cluster behind a broker, which is asked for plans and told nothing.
//!
//! The key of the cluster is that of its Secret, or of the state folder, which the user must be able to read. It is not sent: each
//! request has a proof that is good for it alone, so that whoever writes the address of the broker into a Deployment gets nothing
//! that is of use elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use adapter_broker::identity::key::ClusterKey;
use adapter_broker::{BrokerEdge, ClientSettings};
use async_trait::async_trait;
use domain::broker::attestation::Attestor;
use domain::broker::plan::Planned;
use domain::edge::rehearsal::Difference;
use domain::edge::{EdgeIntent, EdgeStatus, Partial};
use domain::ports::{Clock, Edge, Entropy, PortError, PortErrorKind};
use domain::rehearsal::Written;
use domain::secret::{ConnectorToken, TokenHash};
use domain::{InstanceId, ObjectKey, Timestamp};
use secrecy::SecretString;

use crate::failure::Failure;

/// How a broker is reached, and as whom.
pub(crate) struct Place {
    pub(crate) urls: Vec<String>,
    pub(crate) roots: Vec<u8>,
    pub(crate) key: ClusterKey,
    pub(crate) instance: InstanceId,
    /// A token of the controller's ServiceAccount, where the broker knows the cluster by such.
    pub(crate) token: Option<SecretString>,
}

/// Shows one token that was asked for, and no keys: whoever plans has none replaced.
#[derive(Debug)]
struct Requested(SecretString);

#[async_trait]
impl Attestor for Requested {
    async fn token(&self) -> Result<SecretString, PortError> {
        Ok(self.0.clone())
    }

    async fn published_keys(&self) -> Result<Vec<u8>, PortError> {
        let message = "a plan needs none";
        Err(PortError::new(PortErrorKind::NotFound, message))
    }
}

/// Plans that a broker made, by Gateway: the last of each counts.
pub(crate) struct Behind {
    broker: BrokerEdge,
    planned: Mutex<BTreeMap<ObjectKey, (Option<EdgeIntent>, Planned)>>,
}

struct System;

impl Clock for System {
    fn now(&self) -> Timestamp {
        Timestamp(jiff::Timestamp::now().as_second())
    }
}

impl Entropy for System {
    fn secret(&self) -> [u8; 32] {
        adapter_broker::identity::random()
    }
}

impl Behind {
    /// A client; no request is made yet.
    ///
    /// # Errors
    /// The address or the certificates cannot be used.
    pub(crate) fn new(place: Place) -> Result<Self, Failure> {
        let settings = ClientSettings {
            base_urls: place.urls,
            key: place.key,
            code: None,
            instance: place.instance,
            attestor: place.token.map(|token| Arc::new(Requested(token)) as _),
            extra_roots: place.roots,
            request_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(60),
            heartbeat: Duration::from_secs(30),
        };
        let broker = BrokerEdge::new(&settings, Arc::new(System), Arc::new(System));
        Ok(Self {
            broker: broker
                .map_err(|error| Failure::usage(error, "correct --broker-url or --broker-ca"))?,
            planned: Mutex::default(),
        })
    }

    fn planned(&self) -> MutexGuard<'_, BTreeMap<ObjectKey, (Option<EdgeIntent>, Planned)>> {
        let planned = self.planned.lock();
        planned.expect("nothing panics while it holds this lock")
    }

    /// Asks once for each statement.
    async fn plan(
        &self,
        gateway: &ObjectKey,
        intent: Option<&EdgeIntent>,
    ) -> Result<EdgeStatus, PortError> {
        if let Some((asked, planned)) = self.planned().get(gateway)
            && asked.as_ref() == intent
        {
            return planned.outcome.clone();
        }
        let planned = self.broker.plan(gateway, intent).await?;
        let outcome = planned.outcome.clone();
        self.planned()
            .insert(gateway.clone(), (intent.cloned(), planned));
        outcome
    }
}

#[async_trait]
impl Edge for Behind {
    async fn reconcile(&self, intent: &EdgeIntent) -> Result<EdgeStatus, PortError> {
        self.plan(&intent.gateway, Some(intent)).await
    }

    async fn owned(&self) -> Result<BTreeSet<ObjectKey>, Partial<BTreeSet<ObjectKey>>> {
        let mut owned = self.broker.owned().await?;
        // What a plan removed is gone for the next pass.
        let planned = self.planned();
        let removed = |(intent, planned): &(Option<EdgeIntent>, Planned)| {
            intent.is_none() && planned.outcome.is_ok()
        };
        owned.retain(|gateway| !planned.get(gateway).is_some_and(removed));
        Ok(owned)
    }

    /// A secret that nothing here needs.
    async fn connector_token(&self, gateway: &ObjectKey) -> Result<ConnectorToken, PortError> {
        Ok(ConnectorToken::new(format!("the token of {gateway}")))
    }

    async fn retire_token(&self, _: &ObjectKey, _: TokenHash) -> Result<(), PortError> {
        Ok(())
    }

    async fn close_connections(&self, _: &ObjectKey) -> Result<(), PortError> {
        Ok(())
    }

    async fn remove(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.plan(gateway, None).await.map(drop)
    }

    /// What belongs to nobody is not planned.
    async fn sweep(&self, _: &BTreeSet<ObjectKey>) -> Result<BTreeSet<String>, PortError> {
        Ok(BTreeSet::new())
    }
}

impl Written for Behind {
    fn proxies_run(&self, _: &ObjectKey, _: bool) {}

    fn writes(&self) -> usize {
        let planned = self.planned();
        planned.values().map(|(_, planned)| planned.writes).sum()
    }

    fn differences(&self, _: &BTreeSet<ObjectKey>) -> Vec<Difference> {
        let planned = self.planned();
        let all = planned
            .values()
            .flat_map(|(_, planned)| &planned.differences);
        all.cloned().collect()
    }
}
