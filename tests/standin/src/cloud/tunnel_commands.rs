//! What the API does with tunnels.

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::ingress::{self, BadConfiguration};
use super::{
    Cloud, ConfigSource, ConnectionRecord, State, Tunnel, TunnelConfiguration, TunnelSecret,
};

/// Why a tunnel command was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TunnelRefusal {
    /// No such tunnel in the account, or it is deleted.
    #[error("Tunnel not found")]
    NotFound,
    /// Another tunnel of the account that is not deleted has the name.
    #[error("You already have a tunnel with this name")]
    NameTaken,
    /// Connectors are connected.
    #[error("Cannot delete tunnel because it has active connections")]
    ActiveConnections,
    /// The document breaks a rule.
    #[error("Bad Configuration: {0}")]
    Configuration(#[from] BadConfiguration),
}

/// A tunnel to be made.
#[derive(Debug, Clone)]
pub struct NewTunnel {
    /// Its name.
    pub name: String,
    /// Who holds its configuration.
    pub config_src: ConfigSource,
    /// Its secret; a random one when absent.
    pub secret: Option<TunnelSecret>,
}

/// What may change about a tunnel; absent fields stay.
#[derive(Debug, Clone, Default)]
pub struct TunnelChange {
    /// New name.
    pub name: Option<String>,
    /// New secret.
    pub secret: Option<TunnelSecret>,
}

impl Cloud {
    /// Makes a tunnel and gives it an address.
    pub fn create_tunnel(&self, account: &str, new: NewTunnel) -> Result<Tunnel, TunnelRefusal> {
        self.change_tunnels(|state| {
            state.require_free_name(account, &new.name, None)?;
            let (address, address_v6) = state.next_addresses();
            let tunnel = Tunnel {
                id: Uuid::new_v4(),
                account: account.to_owned(),
                name: new.name,
                config_src: new.config_src,
                secret: new.secret.unwrap_or_else(TunnelSecret::generate),
                created_at: Timestamp::now(),
                deleted_at: None,
                configuration: None,
                address,
                address_v6,
                active_since: None,
                inactive_since: None,
            };
            state.tunnels.insert(tunnel.id, tunnel.clone());
            Ok(tunnel)
        })
    }

    /// One tunnel, deleted or not.
    pub fn tunnel(&self, account: &str, id: Uuid) -> Result<Tunnel, TunnelRefusal> {
        self.view(|state| {
            let found = state.tunnels.get(&id).filter(|t| t.account == account);
            found.cloned().ok_or(TunnelRefusal::NotFound)
        })
    }

    /// All tunnels of an account as a list shows them, deleted ones too, newest first.
    pub fn list_tunnels(&self, account: &str) -> Vec<Tunnel> {
        let mut tunnels: Vec<Tunnel> = self.quietly(|state| {
            let shown = state.stale_tunnels.list(&state.tunnels);
            shown
                .into_values()
                .filter(|t| t.account == account)
                .collect()
        });
        tunnels.sort_by(|a, b| b.created_at.cmp(&a.created_at).then(a.id.cmp(&b.id)));
        tunnels
    }

    /// Renames it or gives it a new secret. A new secret leaves present connections alone.
    pub fn change_tunnel(
        &self,
        account: &str,
        id: Uuid,
        change: TunnelChange,
    ) -> Result<Tunnel, TunnelRefusal> {
        self.change_tunnels(|state| {
            if let Some(name) = &change.name {
                state.require_free_name(account, name, Some(id))?;
            }
            let tunnel = state.present_tunnel(account, id)?;
            if let Some(name) = change.name {
                tunnel.name = name;
            }
            if let Some(secret) = change.secret {
                tunnel.secret = secret;
            }
            Ok(tunnel.clone())
        })
    }

    /// Deletes it, unless connectors are connected. Its id stays readable.
    pub fn delete_tunnel(&self, account: &str, id: Uuid) -> Result<Tunnel, TunnelRefusal> {
        let deleted = self.change_tunnels(|state| {
            let connected = state.connections_of(id).next().is_some();
            let tunnel = state.present_tunnel(account, id)?;
            if connected {
                return Err(TunnelRefusal::ActiveConnections);
            }
            tunnel.deleted_at = Some(Timestamp::now());
            Ok(tunnel.clone())
        })?;
        self.request_disconnect(id);
        Ok(deleted)
    }

    /// Forgets the connections of a tunnel, or of one of its connectors, and has the edge close them.
    /// The edge closes all of the tunnel's; connectors that were not meant come back by themselves.
    pub fn clean_up_connections(
        &self,
        account: &str,
        id: Uuid,
        connector: Option<Uuid>,
    ) -> Result<(), TunnelRefusal> {
        self.view(|state| state.known_tunnel(account, id).map(|_| ()))?;
        let meant = |c: &ConnectionRecord| connector.is_none_or(|wanted| c.connector == wanted);
        for gone in self.connections(id).into_iter().filter(meant) {
            self.disconnected(gone.connection);
        }
        self.request_disconnect(id);
        Ok(())
    }

    /// Replaces the configuration. One more than the last version, also when nothing differs.
    pub fn configure_tunnel(
        &self,
        account: &str,
        id: Uuid,
        document: Value,
    ) -> Result<TunnelConfiguration, TunnelRefusal> {
        let document = ingress::check(document)?;
        self.change_tunnels(|state| {
            let tunnel = state.present_tunnel(account, id)?;
            let last = tunnel.configuration.as_ref().map_or(0, |c| c.version);
            let configuration = TunnelConfiguration {
                version: last + 1,
                document,
            };
            tunnel.config_src = ConfigSource::Cloudflare;
            tunnel.configuration = Some(configuration.clone());
            Ok(configuration)
        })
    }

    fn change_tunnels<R>(
        &self,
        write: impl FnOnce(&mut State) -> Result<R, TunnelRefusal>,
    ) -> Result<R, TunnelRefusal> {
        let lag = self.list_lag();
        self.change(|state| {
            state.stale_tunnels.keep(&state.tunnels, lag);
            write(state)
        })
    }
}

impl State {
    fn known_tunnel(&self, account: &str, id: Uuid) -> Result<&Tunnel, TunnelRefusal> {
        let found = self.tunnels.get(&id);
        found
            .filter(|t| t.account == account && t.deleted_at.is_none())
            .ok_or(TunnelRefusal::NotFound)
    }

    fn present_tunnel(&mut self, account: &str, id: Uuid) -> Result<&mut Tunnel, TunnelRefusal> {
        let found = self.tunnels.get_mut(&id);
        found
            .filter(|t| t.account == account && t.deleted_at.is_none())
            .ok_or(TunnelRefusal::NotFound)
    }

    fn require_free_name(
        &self,
        account: &str,
        name: &str,
        except: Option<Uuid>,
    ) -> Result<(), TunnelRefusal> {
        let taken = self.tunnels.values().any(|t| {
            t.account == account && t.deleted_at.is_none() && t.name == name && Some(t.id) != except
        });
        if taken {
            Err(TunnelRefusal::NameTaken)
        } else {
            Ok(())
        }
    }
}
