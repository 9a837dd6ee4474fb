//! What a connector tells of itself.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use domain::names::TunnelId;
use tokio::sync::watch;
use uuid::Uuid;

/// A connector and its connections at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorStatus {
    /// Names this connector among those of its tunnel; made anew at every start.
    pub connector_id: Uuid,
    /// The tunnel it serves.
    pub tunnel: TunnelId,
    /// One entry for each connection it keeps, by index.
    pub connections: Vec<ConnectionStatus>,
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
        /// Its address.
        edge: SocketAddr,
    },
    /// It ended or never came to be, and is tried again after a while.
    BackingOff {
        /// Why, in one sentence.
        error: String,
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
        }
    }

    /// How many connections are registered.
    pub fn registered(&self) -> usize {
        let registered = |c: &&ConnectionStatus| c.is_registered();
        self.connections.iter().filter(registered).count()
    }

    /// Why connections are missing: each reason once, in a stable order.
    pub fn problems(&self) -> Vec<String> {
        let errors: BTreeSet<&String> = self
            .connections
            .iter()
            .filter_map(|connection| match &connection.state {
                ConnectionState::BackingOff { error } => Some(error),
                _ => None,
            })
            .collect();
        errors.into_iter().cloned().collect()
    }

    /// Sets the state of one connection, and tells the watchers if it is another one.
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
        };
        let edge = SocketAddr::from(([127, 0, 0, 1], 7844));
        let location = "lab".to_owned();
        ConnectorStatus::set(&board, 0, backing_off("refused"));
        ConnectorStatus::set(&board, 1, ConnectionState::Registered { location, edge });
        ConnectorStatus::set(&board, 2, backing_off("refused"));
        ConnectorStatus::set(&board, 9, backing_off("no such connection"));

        assert_eq!(watcher.borrow().problems(), ["refused"]);
        assert_eq!(watcher.borrow().registered(), 1);
    }
}
