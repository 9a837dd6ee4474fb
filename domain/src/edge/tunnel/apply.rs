//! Making and removing a tunnel.

use crate::edge::cache::CachedApi;
use crate::edge::gone_is_fine;
use crate::edge::objects::Tunnel;
use crate::error::{PortError, PortErrorKind};
use crate::names::{Installation, ObjectKey, TunnelId};

/// A name that is taken is ours: somebody made the tunnel between our read and our call, or an earlier call
/// of ours went through without its answer.
pub(crate) async fn create(api: &CachedApi, name: &str) -> Result<TunnelId, PortError> {
    match api.create_tunnel(name).await {
        Ok(tunnel) => Ok(tunnel.id),
        Err(error) if error.kind == PortErrorKind::Conflict => {
            let found = named(api, name).await?;
            found.map(|tunnel| tunnel.id).ok_or(error)
        }
        Err(error) => Err(error),
    }
}

/// The tunnel of this very name; the API matches prefixes, and one Gateway's name can begin another's.
pub(crate) async fn named(api: &CachedApi, name: &str) -> Result<Option<Tunnel>, PortError> {
    let tunnels = api.tunnels(name).await?.into_iter();
    Ok(tunnels
        .filter(|tunnel| tunnel.name == name)
        .min_by_key(|tunnel| (!tunnel.remotely_configured, tunnel.id)))
}

/// How many connectors are connected to a tunnel. None is to one that is gone.
pub(crate) async fn connected(api: &CachedApi, tunnel: TunnelId) -> Result<usize, PortError> {
    let connectors = match api.uncached().connectors(tunnel).await {
        Err(error) if error.kind == PortErrorKind::NotFound => return Ok(0),
        connectors => connectors?.into_iter(),
    };
    Ok(connectors.filter(|one| one.connections > 0).count())
}

/// Our own proxies were stopped before, and their connections closed. Connections that are still there
/// are those of another installation of this name, which serves through the tunnel. Then nothing of it is removed.
pub(crate) async fn require_unused(
    installation: &Installation,
    api: &CachedApi,
    gateway: &ObjectKey,
    tunnel: &Tunnel,
) -> Result<(), PortError> {
    let connected = connected(api, tunnel.id).await?;
    if connected == 0 {
        return Ok(());
    }
    let message = format!(
        "nothing was removed, because {connected} connectors that are not of this installation's proxies are \
         connected to tunnel {}. Where a copy of installation {} runs elsewhere (a cloned cluster or state folder), \
         stop it, or give it another `installation` name and an instance id of its own; otherwise Gateway {gateway} \
         is removed once they have left",
        tunnel.id, installation
    );
    Err(PortError::new(PortErrorKind::Conflict, message))
}

/// Closes its connections and deletes it.
pub(crate) async fn remove(api: &CachedApi, tunnel: TunnelId) -> Result<(), PortError> {
    gone_is_fine(api.uncached().disconnect(tunnel).await)?;
    gone_is_fine(api.delete_tunnel(tunnel).await)
}
