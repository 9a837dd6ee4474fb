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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::ownership::tunnel_name;
    use crate::error::PortErrorKind;
    use crate::names::ObjectKey;
    use crate::testing::{ApiCall, FakeCloudflare, FixedEntropy, StaticCredentials};

    fn over(cloudflare: &FakeCloudflare, credentials: Arc<StaticCredentials>) -> DirectEdges {
        DirectEdges::new(
            Arc::new(cloudflare.clone()),
            credentials,
            Arc::new(FixedEntropy::default()),
            InstallationName::parse("home").unwrap(),
        )
    }

    fn instance(number: usize) -> InstanceId {
        InstanceId::from_bytes([u8::try_from(number).unwrap(); 16])
    }

    #[test]
    fn the_last_used_edges_are_kept_and_those_at_work() {
        let of_all = Arc::new(StaticCredentials::for_all("acme"));
        let edges = over(&FakeCloudflare::default(), of_all);
        let kept = || {
            let kept = edges.kept.lock().unwrap();
            let mut kept: Vec<_> = kept.iter().map(|(id, _)| *id).collect();
            kept.sort();
            kept
        };
        for number in (0..KEPT).chain([0, KEPT]) {
            drop(edges.of(instance(number)));
        }
        let expected: Vec<_> = [0].into_iter().chain(2..=KEPT).map(instance).collect();
        assert_eq!(kept(), expected, "1 was used before all others");

        let at_work = edges.of(instance(2));
        for number in 100..100 + KEPT {
            drop(edges.of(instance(number)));
        }
        assert_eq!(kept().len(), KEPT);
        let again = edges.of(instance(2));
        assert!(std::ptr::addr_eq(
            Arc::as_ptr(&at_work),
            Arc::as_ptr(&again)
        ));
    }

    #[tokio::test]
    async fn tunnels_of_every_instance_are_found_and_each_account_is_asked_once() {
        let cloudflare = FakeCloudflare::default();
        let credentials = Arc::new(StaticCredentials::for_all("acme"));
        let gateway = ObjectKey::new("shop", "edge");
        let own = Some(gateway.clone());
        credentials.set_token(own, "acme", "another token of the same account");
        credentials.set(Some(ObjectKey::new("shop", "other")), Some("other"));
        for (account, number) in [("acme", 1), ("other", 2)] {
            let of = Installation {
                name: InstallationName::parse("home").unwrap(),
                instance: instance(number),
            };
            let tunnel = cloudflare.add_tunnel(account, &tunnel_name(&of, &gateway), true);
            cloudflare.add_tunnel(account, "home page", true);
            if account == "other" {
                cloudflare.connect(tunnel, "a replica");
                cloudflare.disconnect_all(tunnel);
            }
        }
        let edges = over(&cloudflare, credentials);
        let found: Vec<_> = edges.owned().await.unwrap();
        let expected = [1, 2].map(|number| OwnedGateway {
            instance: instance(number),
            gateway: gateway.clone(),
            is_down: number == 2,
        });
        assert_eq!(found, expected);
        assert_eq!(cloudflare.calls()[&ApiCall::Tunnels], 2);

        let refusal = PortError::new(PortErrorKind::Forbidden, "no");
        cloudflare.fail_every(ApiCall::Tunnels, None, refusal.clone());
        assert_eq!(edges.owned().await, Err(refusal));
    }
}
