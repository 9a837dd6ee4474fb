//! What the edge asks of the state and tells it.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{broadcast, watch};
use uuid::Uuid;

use super::{
    Cloud, ConfigSource, ConnectionRecord, EdgeEvent, RegistrationRefusal, State, Tunnel,
    TunnelConfiguration, TunnelRegistration, Zone,
};

/// Events kept for reading.
const EVENTS_KEPT: usize = 1_000;

/// Where a request for a host goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostRoute {
    /// A proxied record points to this tunnel. It may be deleted, unknown or without connections,
    /// which is Cloudflare's error 1033.
    Tunnel {
        /// The tunnel.
        tunnel: Uuid,
        /// The account of the zone.
        account: String,
    },
    /// The name has records, none of them proxied.
    NotProxied,
    /// No record answers for the name, or no zone covers it.
    NoRecord,
    /// It points to a tunnel of another account.
    ForeignAccount,
    /// It is proxied to something that is not a tunnel.
    OtherTarget,
}

impl Cloud {
    /// Whether a connector that shows this secret may join the tunnel. The cause of a refusal starts
    /// with `Unauthorized`, as Cloudflare's does, which connectors retry.
    pub fn authenticate(
        &self,
        account_tag: &str,
        tunnel: Uuid,
        secret: &[u8],
    ) -> Result<TunnelRegistration, RegistrationRefusal> {
        self.view(|state| {
            let found = state
                .tunnels
                .get(&tunnel)
                .filter(|t| t.deleted_at.is_none() && t.account == account_tag)
                .ok_or_else(|| unauthorized("Tunnel not found"))?;
            if found.secret.expose() != secret {
                return Err(unauthorized("Invalid tunnel secret"));
            }
            Ok(TunnelRegistration {
                tunnel,
                account: found.account.clone(),
                name: found.name.clone(),
                remotely_managed: found.config_src == ConfigSource::Cloudflare,
            })
        })
    }

    /// A connection registered.
    pub fn connected(&self, c: ConnectionRecord) {
        self.change(|state| {
            if let Some(tunnel) = state.tunnels.get_mut(&c.tunnel) {
                tunnel.active_since.get_or_insert(c.opened_at);
                tunnel.inactive_since = None;
            }
            state.connections.insert(c.connection, c);
        });
    }

    /// A connection ended. One that is not known is passed over.
    pub fn disconnected(&self, connection: Uuid) {
        self.change(|state| {
            let Some(gone) = state.connections.remove(&connection) else {
                return;
            };
            let last = state.connections_of(gone.tunnel).next().is_none();
            if let Some(tunnel) = state.tunnels.get_mut(&gone.tunnel).filter(|_| last) {
                tunnel.active_since = None;
                tunnel.inactive_since = Some(Timestamp::now());
            }
        });
    }

    /// The connections of a tunnel, in no particular order.
    pub fn connections(&self, tunnel: Uuid) -> Vec<ConnectionRecord> {
        self.view(|state| state.connections_of(tunnel).cloned().collect())
    }

    /// The tunnel's configuration, where one was ever put.
    pub fn configuration(&self, tunnel: Uuid) -> Option<TunnelConfiguration> {
        self.view(|state| state.tunnels.get(&tunnel)?.configuration.clone())
    }

    /// A number that grows with every change of anything.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shared.revision.subscribe()
    }

    /// Tunnels whose connections are to be closed: the API was told to clean them up, or the tunnel
    /// was deleted.
    pub fn disconnect_requests(&self) -> broadcast::Receiver<Uuid> {
        self.shared.disconnects.subscribe()
    }

    /// Where a request goes: host → proxied record → tunnel of the zone's account. `host` may carry a
    /// port and any case.
    pub fn route(&self, host: &str) -> HostRoute {
        let name = host_name(host);
        self.view(|state| {
            let Some(zone) = state.zone_of(&name) else {
                return HostRoute::NoRecord;
            };
            let records = zone.records.answering(&name);
            if records.is_empty() {
                return HostRoute::NoRecord;
            }
            let Some(record) = records.iter().find(|r| r.proxied) else {
                return HostRoute::NotProxied;
            };
            let Some(tunnel) = record.tunnel() else {
                return HostRoute::OtherTarget;
            };
            match state.tunnels.get(&tunnel) {
                Some(t) if t.account != zone.account => HostRoute::ForeignAccount,
                _ => HostRoute::Tunnel {
                    tunnel,
                    account: zone.account.clone(),
                },
            }
        })
    }

    /// The tunnel that an edge address stands for.
    pub fn tunnel_by_address(&self, ip: IpAddr) -> Option<Uuid> {
        self.view(|state| {
            let mut present = state.tunnels.values().filter(|t| t.deleted_at.is_none());
            present
                .find(|t| t.addresses().any(|address| address == ip))
                .map(|t| t.id)
        })
    }

    /// The edge addresses that stand for a tunnel, IPv4 first; none for a tunnel that is not there.
    pub fn addresses_of(&self, tunnel: Uuid) -> Vec<IpAddr> {
        self.view(|state| {
            let found = state.tunnels.get(&tunnel);
            let present = found.filter(|tunnel| tunnel.deleted_at.is_none());
            present.into_iter().flat_map(Tunnel::addresses).collect()
        })
    }

    /// Notes something for people and tests to read; the oldest notes are dropped.
    pub fn record_edge_event(&self, tunnel: Option<Uuid>, what: impl Into<String>) {
        let event = EdgeEvent {
            time: Timestamp::now(),
            tunnel,
            what: what.into(),
        };
        self.quietly(|state| {
            if state.events.len() == EVENTS_KEPT {
                state.events.pop_front();
            }
            state.events.push_back(event);
        });
    }

    /// What the edge noted, oldest first.
    pub fn edge_events(&self) -> Vec<EdgeEvent> {
        self.view(|state| state.events.iter().cloned().collect())
    }
}

impl State {
    /// Connections of one tunnel.
    pub(crate) fn connections_of(&self, tunnel: Uuid) -> impl Iterator<Item = &ConnectionRecord> {
        self.connections
            .values()
            .filter(move |c| c.tunnel == tunnel)
    }

    /// The most specific zone that covers a lower-case name.
    pub(crate) fn zone_of(&self, name: &str) -> Option<&Zone> {
        let covering = self.zones.values().filter(|zone| zone.covers(name));
        covering.max_by_key(|zone| zone.name.len())
    }
}

fn unauthorized(why: &str) -> RegistrationRefusal {
    RegistrationRefusal {
        cause: format!("Unauthorized: {why}"),
        retry_after: Duration::from_secs(5),
        should_retry: true,
    }
}

/// The name in a Host header: without port and final dot, in lower case.
fn host_name(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}
