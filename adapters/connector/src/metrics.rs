//! What connectors count.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::transport_kind::TransportKind;

/// Metrics of all connectors of a process. Clones count into the same numbers.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    registered: Family<[(&'static str, &'static str); 1], Gauge>,
    pub(crate) reconnects: Counter,
    pub(crate) requests: Counter,
}

impl Metrics {
    /// Metrics that a registry shows.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "tunnel_connections_registered",
            "Connections registered at the edge, by what carries them",
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

    /// The gauge of connections over a transport.
    pub(crate) fn connections(&self, transport: TransportKind) -> Gauge {
        let labels = [("transport", transport.as_str())];
        self.registered.get_or_create_owned(&labels)
    }

    /// Connections registered at the edge now.
    pub fn registered(&self) -> i64 {
        let transports = [TransportKind::Http2, TransportKind::Quic];
        let of = |transport| self.registered_over(transport);
        transports.into_iter().map(of).sum()
    }

    /// Those over one transport.
    pub fn registered_over(&self, transport: TransportKind) -> i64 {
        self.connections(transport).get()
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
