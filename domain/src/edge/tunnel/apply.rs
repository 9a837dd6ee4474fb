//! Making a tunnel.

use crate::edge::cache::CachedApi;
use crate::edge::objects::Tunnel;
use crate::edge::{EdgeError, EdgeErrorKind};
use crate::names::TunnelId;

/// A name that is taken is ours: somebody made the tunnel between our read and our call, or an earlier call
/// of ours went through without its answer.
pub(crate) async fn create(api: &CachedApi, name: &str) -> Result<TunnelId, EdgeError> {
    match api.create_tunnel(name).await {
        Ok(tunnel) => Ok(tunnel.id),
        Err(error) if error.kind == EdgeErrorKind::Conflict => {
            let found = named(api, name).await?;
            found.map(|tunnel| tunnel.id).ok_or(error)
        }
        Err(error) => Err(error),
    }
}

/// The tunnel of this very name; the API matches prefixes, and one Gateway's name can begin another's.
pub(crate) async fn named(api: &CachedApi, name: &str) -> Result<Option<Tunnel>, EdgeError> {
    let tunnels = api.tunnels(name).await?.into_iter();
    Ok(tunnels
        .filter(|tunnel| tunnel.name == name)
        .min_by_key(|tunnel| (!tunnel.remotely_configured, tunnel.id)))
}
