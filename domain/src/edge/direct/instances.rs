//! The direct edges of all installations of one name.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::DirectEdge;
use crate::edge::api::CloudflareAccounts;
use crate::edge::ownership;
use crate::edge::ports::{Credentials, Edge, Edges, Entropy, Journal, OwnedGateway};
use crate::error::PortError;
use crate::names::{Installation, InstallationName, InstanceId};

/// Edges that are kept, at most. What one remembers is no more than what another reads again.
const KEPT: usize = 8;

/// [`Edges`] over the Cloudflare API.
pub struct DirectEdges {
    accounts: Arc<dyn CloudflareAccounts>,
    credentials: Arc<dyn Credentials>,
    entropy: Arc<dyn Entropy>,
    name: InstallationName,
    journal: Option<Arc<dyn Journal>>,
    /// The last used comes last.
    kept: Mutex<Vec<(InstanceId, Arc<DirectEdge>)>>,
}

impl DirectEdges {
    /// Edges of the installations of a name.
    pub fn new(
        accounts: Arc<dyn CloudflareAccounts>,
        credentials: Arc<dyn Credentials>,
        entropy: Arc<dyn Entropy>,
        name: InstallationName,
    ) -> Self {
        Self {
            accounts,
            credentials,
            entropy,
            name,
            journal: None,
            kept: Mutex::default(),
        }
    }

    /// Tells what each of them removes and writes, and why.
    pub fn with_journal(mut self, journal: Arc<dyn Journal>) -> Self {
        self.journal = Some(journal);
        self
    }

    fn made(&self, instance: InstanceId) -> Arc<DirectEdge> {
        let installation = Installation {
            name: self.name.clone(),
            instance,
        };
        let edge = DirectEdge::new(
            self.accounts.clone(),
            self.credentials.clone(),
            self.entropy.clone(),
            installation,
        );
        Arc::new(match &self.journal {
            Some(journal) => edge.with_journal(journal.clone()),
            None => edge,
        })
    }
}

#[async_trait]
impl Edges for DirectEdges {
    fn of(&self, instance: InstanceId) -> Arc<dyn Edge> {
        let mut kept = self
            .kept
            .lock()
            .expect("nothing panics while it holds this lock");
        let known = kept.iter().position(|(known, _)| *known == instance);
        let edge = match known {
            Some(place) => kept.remove(place).1,
            None => self.made(instance),
        };
        // One that is at work is kept: it knows which Gateways it works on.
        let unused = |(_, edge): &(InstanceId, Arc<DirectEdge>)| Arc::strong_count(edge) == 1;
        if kept.len() >= KEPT
            && let Some(place) = kept.iter().position(unused)
        {
            kept.remove(place);
        }
        kept.push((instance, edge.clone()));
        edge
    }

    async fn owned(&self) -> Result<Vec<OwnedGateway>, PortError> {
        let all = self.credentials.all().await;
        let all = all.map_err(|partial| partial.error)?;
        let mut held = Vec::new();
        let mut seen = Vec::new();
        for credentials in all {
            if seen.contains(&credentials.account) {
                continue;
            }
            let api = self.accounts.open(&credentials);
            let tunnels = api.tunnels(&ownership::tunnel_prefix(&self.name)).await?;
            held.extend(tunnels.iter().filter_map(|tunnel| {
                let (instance, gateway) = ownership::owner_of_tunnel(&self.name, &tunnel.name)?;
                Some(OwnedGateway {
                    instance,
                    gateway,
                    is_down: tunnel.is_down(),
                })
            }));
            seen.push(credentials.account);
        }
        Ok(held)
    }
}
