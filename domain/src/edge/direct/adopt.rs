//! Taking over the tunnel that a former instance of the installation made for a Gateway, so that a rebuilt cluster keeps
//! its addresses.
//!
//! One call gives the tunnel our name and another secret: from then on it is found as if we had made it, and what is left
//! of the former instance's proxies can connect no more. Whatever happens between the steps, a tunnel has one name, and
//! who has that name goes on with it. Its records are known by the tunnel that they lead to.

use super::{DirectEdge, Work};
use crate::edge::cache::CachedApi;
use crate::edge::objects::Tunnel;
use crate::edge::ownership;
use crate::edge::tunnel;
use crate::error::{PortError, PortErrorKind};
use crate::names::TunnelId;

impl DirectEdge {
    /// Adopts it where the Gateway has no tunnel yet and that one is not in use. A process adopts each tunnel once: two
    /// that want the same one do not take it from each other in turns.
    pub(super) async fn adopt_former(
        &self,
        api: &CachedApi,
        work: &Work<'_>,
    ) -> Result<(), PortError> {
        let prefix = ownership::tunnel_prefix(&self.installation.name);
        if self.former(&api.tunnels(&prefix).await?, work).is_none() {
            return Ok(());
        }
        // What was read before may not be true any more.
        api.clear_tunnels();
        let Some(tunnel) = self.former(&api.tunnels(&prefix).await?, work) else {
            return Ok(());
        };
        if tunnel::apply::connected(api, tunnel).await? > 0 {
            return Ok(());
        }
        let secret = self.entropy.secret();
        match api.adopt_tunnel(tunnel, &work.name, secret).await {
            Err(error) if error.kind == PortErrorKind::NotFound => return Ok(()),
            adopted => adopted?,
        }
        self.memory().adopted.insert(tunnel);
        api.clear_tunnels();
        match tunnel::apply::named(api, &work.name).await? {
            Some(found) if found.id == tunnel => Ok(()),
            _ => Err(PortError::new(
                PortErrorKind::Conflict,
                format!(
                    "tunnel {tunnel} of a former instance was adopted by another installation of this name at the same time; Gateway {} gets one of its own at the next try",
                    work.intent.gateway
                ),
            )),
        }
    }

    /// The tunnel of a former instance, if the Gateway has none of its own.
    fn former(&self, tunnels: &[Tunnel], work: &Work<'_>) -> Option<TunnelId> {
        if tunnels.iter().any(|tunnel| tunnel.name == work.name) {
            return None;
        }
        let name = &self.installation.name;
        let is_former = |tunnel: &&Tunnel| {
            let owner = ownership::owner_of_tunnel(name, &tunnel.name);
            tunnel.is_down() && owner.is_some_and(|(_, of)| of == work.intent.gateway)
        };
        let adopted = &self.memory().adopted;
        let all = tunnels.iter().filter(is_former).map(|tunnel| tunnel.id);
        all.filter(|tunnel| !adopted.contains(tunnel)).min()
    }
}
