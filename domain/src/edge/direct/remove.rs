//! Removing what a Gateway holds at the edge: its records, then its tunnel. The tunnel goes last, because it
//! is what the Gateway is found by.

use std::collections::{BTreeMap, BTreeSet};

use super::{DirectEdge, zones};
use crate::edge::cache::CachedApi;
use crate::edge::dns::owner::own_records;
use crate::edge::objects::{IngressDocument, Tunnel};
use crate::edge::ownership::{self, RecordMark};
use crate::edge::{Holdings, dns, tunnel};
use crate::error::{PortError, PortErrorKind};
use crate::names::{AccountId, ObjectKey, ZoneId};
use crate::secret::CloudflareCredentials;

/// Credentials that can be tried for a Gateway which may be gone, and whether an account belongs to it for
/// sure, so that its records are looked for even without a tunnel.
struct Candidate {
    credentials: CloudflareCredentials,
    own: bool,
}

/// What the search for a Gateway has come to.
#[derive(Default)]
struct Search {
    /// Whether its tunnel was seen.
    found: bool,
    /// Whether an account was read that is its own for sure.
    own_read: bool,
    /// Why an account of its own was not.
    own_unread: Option<PortError>,
    read: BTreeSet<AccountId>,
    /// Why others were not.
    unread: BTreeMap<AccountId, PortError>,
}

impl Search {
    fn failed(&mut self, candidate: Candidate, error: PortError) {
        match candidate.own {
            true => self.own_unread = self.own_unread.take().or(Some(error)),
            false => {
                self.unread.insert(candidate.credentials.account, error);
            }
        }
    }

    /// Where the Gateway's own account was read, what others hide does not matter: should something of it be
    /// there after all, [`Edge::owned`](crate::ports::Edge::owned) finds it once they can be read. `missing`:
    /// why there are credentials that could not even be tried.
    fn outcome(self, missing: Option<PortError>) -> Result<(), PortError> {
        let elsewhere = self.unread.into_values().next().or(missing);
        let elsewhere = elsewhere.filter(|_| !self.own_read);
        match self.own_unread.or(elsewhere) {
            Some(error) if !self.found => Err(error),
            _ => Ok(()),
        }
    }
}

impl DirectEdge {
    /// Removes the Gateway from every account in which its tunnel is found, and from its own. Its own account
    /// must be read, and every other where that one is not known, unless the tunnel was found elsewhere.
    pub(super) async fn remove_everywhere(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        let name = ownership::tunnel_name(&self.installation, gateway);
        let (candidates, missing) = self.candidates(gateway).await?;
        let mut search = Search::default();
        for candidate in candidates {
            let account = &candidate.credentials.account;
            if search.read.contains(account) {
                continue;
            }
            let api = self.open(&candidate.credentials, format!("Gateway {gateway} is gone"));
            api.clear();
            let tunnels = match tunnels_named(&api, &name).await {
                Ok(tunnels) => tunnels,
                Err(error) => {
                    search.failed(candidate, error);
                    continue;
                }
            };
            if candidate.own || !tunnels.is_empty() {
                let _in_account = self.lock_account(account).await;
                let written = self.zones_written(gateway, account);
                let credentials = &candidate.credentials;
                self.clear_account(&api, credentials, gateway, &tunnels, &written)
                    .await?;
            }
            search.found |= !tunnels.is_empty();
            search.own_read |= candidate.own;
            search.unread.remove(account);
            search.read.insert(account.clone());
        }
        search.outcome(missing)
    }

    /// What is found of a Gateway with its own credentials, read anew.
    pub(super) async fn holdings_of(&self, gateway: &ObjectKey) -> Result<Holdings, PortError> {
        let name = ownership::tunnel_name(&self.installation, gateway);
        let mark = RecordMark::of(&self.installation, gateway);
        let api = self.api_of(gateway).await?;
        let tunnels = tunnels_named(&api, &name).await?.into_iter();
        let mut holdings = Holdings {
            tunnels: tunnels.map(|tunnel| tunnel.id).collect(),
            records: BTreeSet::new(),
        };
        let ids: Vec<_> = holdings.tunnels.iter().copied().collect();
        for zone in api.zones().await? {
            let records = match api.records(&zone.id).await {
                Err(error) if is_forbidden(&error) => continue,
                records => records?,
            };
            let own = own_records(&records, mark, &ids).into_iter();
            let names = own.map(|record| record.data.name.clone());
            holdings.records.extend(names);
        }
        Ok(holdings)
    }

    /// Nothing while others are connected to a tunnel. Records of every zone first. Where one zone fails the tunnel stays, and with it the way to find the
    /// rest.
    ///
    /// A zone that the token sees and may not read could not have been written to with it, so it is passed
    /// over, unless it is one of those that were `written` to: the permission was there and went.
    pub(super) async fn clear_account(
        &self,
        api: &CachedApi,
        credentials: &CloudflareCredentials,
        gateway: &ObjectKey,
        tunnels: &[Tunnel],
        written: &BTreeSet<ZoneId>,
    ) -> Result<(), PortError> {
        for tunnel in tunnels {
            tunnel::apply::require_unused(&self.installation, api, gateway, tunnel).await?;
        }
        let mark = RecordMark::of(&self.installation, gateway);
        let ids: Vec<_> = tunnels.iter().map(|tunnel| tunnel.id).collect();
        let mut failed = None;
        let zones = self.zones_of(api, gateway, tunnels, written).await?;
        for zone in zones {
            let cleared = match api.records(&zone).await {
                Ok(records) => {
                    let own = own_records(&records, mark, &ids);
                    let ids: Vec<_> = own.into_iter().map(|record| record.id.clone()).collect();
                    dns::apply::delete_records(api, &zone, &ids).await
                }
                Err(error) if is_forbidden(&error) && !written.contains(&zone) => Ok(()),
                Err(error) => Err(error),
            };
            failed = failed.or(cleared.err());
        }
        if let Some(error) = failed {
            return Err(error);
        }
        for tunnel in tunnels {
            let keys = self.note_keys(gateway, credentials, tunnel.id);
            self.clear_certificates(api, tunnel.id, &keys).await?;
            tunnel::apply::remove(api, tunnel.id).await?;
        }
        Ok(())
    }

    /// Zones in which something of the Gateway may be: all that the token lists, or else those of the names that its
    /// ingress document shows, those that its parameters name by id, and those that were `written` to.
    async fn zones_of(
        &self,
        api: &CachedApi,
        gateway: &ObjectKey,
        tunnels: &[Tunnel],
        written: &BTreeSet<ZoneId>,
    ) -> Result<BTreeSet<ZoneId>, PortError> {
        let ids = self.memory().zone_ids.get(gateway).cloned();
        let mut documents = Vec::new();
        for tunnel in tunnels {
            documents.extend(api.last_configuration(tunnel.id).await?);
        }
        let names = documents.iter().flat_map(IngressDocument::hostnames);
        let found = zones::find(api, &names.collect(), &ids.unwrap_or_default()).await?;
        match found.unseen {
            Some(error) if !is_forbidden(&error) => return Err(error),
            _ => {}
        }
        let found = found.found.into_iter().map(|zone| zone.id);
        Ok(found.chain(written.iter().cloned()).collect())
    }

    /// The Gateway's own credentials if they can be had, those it was last reconciled with, and all others:
    /// a Gateway that is gone refers to none, and one whose credentials were changed may have left something
    /// in another account. In an account of its own no other token is tried, which may see fewer zones.
    /// Besides, why there may be more.
    async fn candidates(
        &self,
        gateway: &ObjectKey,
    ) -> Result<(Vec<Candidate>, Option<PortError>), PortError> {
        let own = self.credentials.of(gateway).await;
        let (all, missing) = self.all_credentials().await;
        let remembered = {
            let memory = self.memory();
            let of_gateway = memory.gateways.get(gateway);
            of_gateway.map(|memory| memory.credentials.clone())
        };
        let refusal = own.as_ref().err().or(missing.as_ref()).cloned();
        let mut own_accounts = BTreeSet::new();
        let mut candidates: Vec<_> = own
            .into_iter()
            .chain(remembered)
            .filter(|credentials| own_accounts.insert(credentials.account.clone()))
            .map(|credentials| Candidate {
                credentials,
                own: true,
            })
            .collect();
        let others = all.into_iter();
        let others = others.filter(|other| !own_accounts.contains(&other.account));
        candidates.extend(others.map(|credentials| Candidate {
            credentials,
            own: false,
        }));
        match refusal {
            Some(error) if candidates.is_empty() => Err(error),
            _ => Ok((candidates, missing)),
        }
    }
}

async fn tunnels_named(api: &CachedApi, name: &str) -> Result<Vec<Tunnel>, PortError> {
    let mut tunnels = api.tunnels(name).await?;
    tunnels.retain(|tunnel| tunnel.name == name);
    Ok(tunnels)
}

fn is_forbidden(error: &PortError) -> bool {
    error.kind == PortErrorKind::Forbidden
}
