//! The status of a connector.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use domain::names::TunnelId;
use tokio::sync::watch;
use uuid::Uuid;

use crate::transport_kind::TransportKind;

/// The problem that is shown where QUIC is withheld.
const QUIC_WITHHELD: &str = "TCP to the edge fails at every address; QUIC is not used in its place, \
    because gRPC needs trailers, which QUIC's requests do not have";

/// A connector and its connections at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorStatus {
    /// Names this connector among those of its tunnel; made anew at every start.
    pub connector_id: Uuid,
    pub tunnel: TunnelId,
    /// One entry for each connection it keeps, by index.
    pub connections: Vec<ConnectionStatus>,
    /// TCP to the edge fails at every address, and QUIC, which could help, is not used because requests
    /// need trailers.
    pub quic_withheld: bool,
}

/// One connection of a connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionStatus {
    /// Number of the connection, from 0; stays when the connection is made again.
    pub index: u8,
    /// Where it is in its life.
    pub state: ConnectionState,
}

/// Where a connection is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionState {
    /// On its way to being registered.
    Connecting,
    /// The edge sends requests.
    Registered {
        /// Where the edge is, as it calls itself.
        location: String,
        edge: SocketAddr,
        /// What carries the connection.
        transport: TransportKind,
    },
    /// It ended or never came to be, and is tried again after a while.
    BackingOff {
        /// Why, in one sentence.
        error: String,
        /// Whether the edge does not know the tunnel (any more), or refuses its token.
        disowned: bool,
    },
    /// The connector is shutting down.
    Stopped,
}

impl ConnectorStatus {
    pub(crate) fn new(connector_id: Uuid, tunnel: TunnelId, connections: u8) -> Self {
        let connection = |index| ConnectionStatus {
            index,
            state: ConnectionState::Connecting,
        };
        Self {
            connector_id,
            tunnel,
            connections: (0..connections).map(connection).collect(),
            quic_withheld: false,
        }
    }

    /// How many connections are registered over a transport.
    pub fn registered_over(&self, transport: TransportKind) -> usize {
        let over = |c: &&ConnectionStatus| c.transport() == Some(transport);
        self.connections.iter().filter(over).count()
    }

    /// How many connections are registered.
    pub fn registered(&self) -> usize {
        let registered = |c: &&ConnectionStatus| c.is_registered();
        self.connections.iter().filter(registered).count()
    }

    /// Whether the edge says of any connection that there is no such tunnel, or that the token is not its: nothing
    /// that the connector does can mend that.
    pub fn is_disowned(&self) -> bool {
        let disowned = |c: &ConnectionStatus| {
            matches!(c.state, ConnectionState::BackingOff { disowned: true, .. })
        };
        self.connections.iter().any(disowned)
    }

    /// Why connections are missing: each reason once, in a stable order, and last whether QUIC was not
    /// tried.
    pub fn problems(&self) -> Vec<String> {
        let errors: BTreeSet<&String> = self
            .connections
            .iter()
            .filter_map(|connection| match &connection.state {
                ConnectionState::BackingOff { error, .. } => Some(error),
                _ => None,
            })
            .collect();
        let withheld = self.quic_withheld.then(|| QUIC_WITHHELD.to_owned());
        errors.into_iter().cloned().chain(withheld).collect()
    }

    /// Sets whether QUIC is withheld.
    pub(crate) fn set_quic_withheld(board: &watch::Sender<Self>, withheld: bool) {
        board.send_if_modified(|status| {
            std::mem::replace(&mut status.quic_withheld, withheld) != withheld
        });
    }

    /// Sets the state of one connection, and notifies the watchers if it is another one.
    pub(crate) fn set(board: &watch::Sender<Self>, index: u8, state: ConnectionState) {
        board.send_if_modified(|status| {
            let Some(connection) = status.connections.get_mut(usize::from(index)) else {
                return false;
            };
            let differs = connection.state != state;
            connection.state = state;
            differs
        });
    }
}

impl ConnectionStatus {
    /// What carries it while it is registered.
    pub fn transport(&self) -> Option<TransportKind> {
        match self.state {
            ConnectionState::Registered { transport, .. } => Some(transport),
            _ => None,
        }
    }

    /// Whether the edge sends it requests.
    pub fn is_registered(&self) -> bool {
        matches!(self.state, ConnectionState::Registered { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_once_however_many_connections_have_it() {
        let status = ConnectorStatus::new(Uuid::nil(), TunnelId::from_bytes([1; 16]), 4);
        let (board, watcher) = watch::channel(status);
        let backing_off = |error: &str| ConnectionState::BackingOff {
            error: error.to_owned(),
            disowned: false,
        };
        let edge = SocketAddr::from(([127, 0, 0, 1], 7844));
        let location = "lab".to_owned();
        ConnectorStatus::set(&board, 0, backing_off("refused"));
        let registered = ConnectionState::Registered {
            location,
            edge,
            transport: TransportKind::Quic,
        };
        ConnectorStatus::set(&board, 1, registered);
        ConnectorStatus::set(&board, 2, backing_off("refused"));
        ConnectorStatus::set(&board, 9, backing_off("no such connection"));

        assert_eq!(watcher.borrow().problems(), ["refused"]);
        assert_eq!(watcher.borrow().registered(), 1);
        for (transport, connections) in [(TransportKind::Quic, 1), (TransportKind::Http2, 0)] {
            assert_eq!(watcher.borrow().registered_over(transport), connections);
        }
        ConnectorStatus::set_quic_withheld(&board, true);
        assert_eq!(watcher.borrow().problems(), ["refused", QUIC_WITHHELD]);
        assert!(!watcher.borrow().is_disowned());
        let error = "Unauthorized: Tunnel not found".to_owned();
        let disowned = true;
        ConnectorStatus::set(&board, 2, ConnectionState::BackingOff { error, disowned });
        assert!(watcher.borrow().is_disowned());
    }
}
