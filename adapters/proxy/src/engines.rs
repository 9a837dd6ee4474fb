//! One engine per Gateway, in one process.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use domain::endpoint_policy::EndpointPolicy;
use domain::names::ObjectKey;
use domain::ports::{DataPlane, PortError};
use domain::route_table::RouteTable;
use domain::secret::CertificatePair;
use parking_lot::Mutex;

use crate::{Engine, Limits, Memory, Metrics};

/// The engines of a process, by Gateway: the in-process data plane.
///
/// An engine may be asked for before its first table is published, and is then the one that gets it.
#[derive(Debug)]
pub struct Engines {
    engines: Mutex<HashMap<ObjectKey, Arc<Engine>>>,
    limits: Limits,
    policy: EndpointPolicy,
    memory: Arc<Memory>,
    metrics: Metrics,
}

impl Engines {
    /// No engine yet; each gets these limits, connects to the endpoints that `policy` permits, and shares `memory`.
    pub fn new(
        limits: Limits,
        policy: EndpointPolicy,
        memory: Arc<Memory>,
        metrics: Metrics,
    ) -> Self {
        Self {
            engines: Mutex::default(),
            limits,
            policy,
            memory,
            metrics,
        }
    }

    /// The engine of a Gateway; it answers 503 until its table is published.
    pub fn get(&self, gateway: &ObjectKey) -> Arc<Engine> {
        let mut engines = self.engines.lock();
        if let Some(engine) = engines.get(gateway) {
            return Arc::clone(engine);
        }
        let metrics = self.metrics.gateway(gateway);
        let engine = Engine::new(
            self.limits.clone(),
            self.policy,
            Arc::clone(&self.memory),
            metrics,
        );
        engines.insert(gateway.clone(), Arc::clone(&engine));
        engine
    }
}

#[async_trait]
impl DataPlane for Engines {
    /// A table with new patterns takes a while, so it is made ready apart from the threads that serve requests.
    async fn publish(&self, table: Arc<RouteTable>) -> Result<(), PortError> {
        let engine = self.get(&table.gateway);
        let ready = tokio::task::spawn_blocking(move || engine.load(table));
        ready
            .await
            .map_err(|error| PortError::unavailable(error.to_string()))
    }

    async fn show(
        &self,
        gateway: &ObjectKey,
        certificate: Option<Arc<CertificatePair>>,
    ) -> Result<(), PortError> {
        let engine = self.get(gateway);
        let shown = tokio::task::spawn_blocking(move || engine.show(certificate.as_deref()));
        shown
            .await
            .map_err(|error| PortError::unavailable(error.to_string()))
    }

    /// Who still holds the engine sees it answer 503. Published again, the Gateway gets the same engine
    /// while it is held.
    async fn withdraw(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        if let Some(engine) = self.engines.lock().get(gateway) {
            engine.clear();
        }
        self.drop_unused();
        Ok(())
    }
}

impl Engines {
    /// Drops engines that have no table and are not held elsewhere.
    fn drop_unused(&self) {
        self.engines.lock().retain(|gateway, engine| {
            let used = Arc::strong_count(engine) > 1 || engine.table().is_some();
            if !used {
                self.metrics.forget(gateway);
            }
            used
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn table(gateway: &ObjectKey) -> Arc<RouteTable> {
        Arc::new(RouteTable {
            client_validation: Vec::new(),
            gateway: gateway.clone(),
            listeners: Vec::new(),
            upstreams: BTreeMap::new(),
        })
    }

    #[tokio::test]
    async fn an_engine_is_the_same_from_before_its_first_table_until_nobody_holds_it() {
        let engines = Engines::new(
            Limits::default(),
            EndpointPolicy::Standalone,
            Memory::unlimited(),
            Metrics::default(),
        );
        let web = ObjectKey::new("infra", "web");

        let held = engines.get(&web);
        assert!(held.table().is_none());
        engines.publish(table(&web)).await.unwrap();
        assert!(held.table().is_some());

        engines.withdraw(&web).await.unwrap();
        assert!(held.table().is_none());
        engines.publish(table(&web)).await.unwrap();
        assert!(
            held.table().is_some(),
            "published to the engine that is held"
        );

        drop(held);
        engines.withdraw(&web).await.unwrap();
        assert!(engines.engines.lock().is_empty());
    }
}
