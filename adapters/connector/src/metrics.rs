//! What connectors count.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Metrics of all connectors of a process. Clones count into the same numbers.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(crate) registered: Gauge,
    pub(crate) reconnects: Counter,
    pub(crate) requests: Counter,
}

impl Metrics {
    /// Metrics that a registry shows.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "tunnel_connections_registered",
            "Connections registered at the edge",
            metrics.registered.clone(),
        );
        registry.register(
            "tunnel_reconnects",
            "Connections that were lost or refused and are made again",
            metrics.reconnects.clone(),
        );
        registry.register(
            "tunnel_requests",
            "Requests that came through tunnels",
            metrics.requests.clone(),
        );
        metrics
    }

    /// Connections registered at the edge now.
    pub fn registered(&self) -> i64 {
        self.registered.get()
    }

    /// Connections made again after they were lost or refused.
    pub fn reconnects(&self) -> u64 {
        self.reconnects.get()
    }

    /// Requests that came through tunnels, WebSockets included.
    pub fn requests(&self) -> u64 {
        self.requests.get()
    }
}
