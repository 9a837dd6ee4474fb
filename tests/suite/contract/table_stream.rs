//! The table stream: a controller that leads, and for each Gateway a proxy that is ready.

use std::collections::BTreeMap;
use std::sync::Arc;

use adapter_table_stream::Leader;
use async_trait::async_trait;
use domain::ObjectKey;
use domain::ports::{DataPlane, Delivery, PortError};
use domain::route_table::RouteTable;

use super::gateway;
use rig::{Cluster, Instance, Proxy, eventually};

// That of the adapter's own tests.
#[path = "../../../adapters/table-stream/tests/stream/rig.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "the adapter's own tests use all of it"
)]
mod rig;

pub(crate) struct Streamed {
    controller: Instance,
    proxies: BTreeMap<ObjectKey, Proxy>,
    _cluster: Cluster,
}

impl Streamed {
    pub(crate) async fn start() -> Self {
        let cluster = Cluster::new();
        let controller = cluster.instance(Leader::Here { term: 1 }).await;
        let names = ["web", "one", "other"];
        let tokens = names.map(|name| (name.to_owned(), gateway(name)));
        *cluster.tokens.0.lock().expect("a lock") = tokens.into();
        let mut proxies = BTreeMap::new();
        for name in names {
            let proxy = cluster.proxy_with(name, controller.address, name, Arc::default());
            proxy.client.set_ready(true);
            eventually("the proxy is known as ready", || {
                let replicas = controller.server.replicas(&gateway(name));
                replicas.iter().any(|replica| replica.ready)
            })
            .await;
            proxies.insert(gateway(name), proxy);
        }
        Self {
            controller,
            proxies,
            _cluster: cluster,
        }
    }

    /// What the proxy serves once it has acknowledged what was published last.
    pub(crate) async fn once_delivered(&self, gateway: &ObjectKey) -> Option<Arc<RouteTable>> {
        eventually("it is delivered", || {
            self.delivery(gateway) == Delivery::Served
        })
        .await;
        self.proxies[gateway].sink.table(gateway)
    }
}

#[async_trait]
impl DataPlane for Streamed {
    async fn publish(&self, table: Arc<RouteTable>) -> Result<(), PortError> {
        self.controller.server.publish(table).await
    }

    async fn withdraw(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.controller.server.withdraw(gateway).await
    }

    fn delivery(&self, gateway: &ObjectKey) -> Delivery {
        self.controller.server.delivery(gateway)
    }
}
