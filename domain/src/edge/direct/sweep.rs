//! Finding what no tunnel leads to any more: records of Gateways that are gone and whose tunnel is gone too,
//! and what a Gateway left behind in an account that it moved away from.
//!
//! A record's mark says that it is this installation's, but not which Gateway's. So the Gateways that may
//! have records are told from outside, and those with a tunnel are added: they are found by it. What is left
//! is looked at twice, the second time right before it is removed.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::DirectEdge;
use crate::edge::cache::CachedApi;
use crate::edge::dns::owner::mark_of;
use crate::edge::objects::{DnsRecord, Tunnel, TunnelHealth};
use crate::edge::ownership::{self, RecordMark};
use crate::edge::{dns, tunnel};
use crate::error::{PortError, PortErrorKind};
use crate::names::{AccountId, ObjectKey, ZoneId};
use crate::secret::CloudflareCredentials;

/// What was found in one account.
struct Account<'a> {
    api: &'a CachedApi,
    installation: RecordMark,
    /// Marks of the Gateways that may have records here.
    kept: BTreeSet<RecordMark>,
    /// Zones that are known though they may not be listed.
    known: BTreeSet<ZoneId>,
}

/// Whether a Gateway that moved away still has something in its former account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Left {
    Nothing,
    Something,
}

impl DirectEdge {
    /// Sweeps every account that credentials are there for. Each zone is read with the first token that
    /// shows it. One that fails, or whose credentials cannot be had, does not stop the others.
    pub(super) async fn sweep_everywhere(
        &self,
        live: &BTreeSet<ObjectKey>,
    ) -> Result<BTreeSet<String>, PortError> {
        let mut swept = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let (all, mut failed) = self.all_credentials().await;
        for credentials in each_once(&all) {
            let account = self.sweep_account(credentials, live, &mut seen, &mut swept);
            failed = failed.or(account.await.err());
        }
        for former in self.former_credentials(&all) {
            match self
                .sweep_account(&former, live, &mut seen, &mut swept)
                .await
            {
                Ok(Left::Something) => {}
                Ok(Left::Nothing) => self.forget_former(&former),
                // The token is not accepted there any more.
                Err(error) if is_shut_out(&error) => self.forget_former(&former),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(swept),
        }
    }

    /// Credentials that a Gateway was moved away from and that no Gateway has any more.
    fn former_credentials(&self, all: &[CloudflareCredentials]) -> Vec<CloudflareCredentials> {
        let mut former = self.memory().former.clone();
        former.retain(|former| !all.iter().any(|known| known.is_same(former)));
        former
    }

    fn forget_former(&self, gone: &CloudflareCredentials) {
        self.memory().former.retain(|former| !former.is_same(gone));
    }

    async fn sweep_account(
        &self,
        credentials: &CloudflareCredentials,
        live: &BTreeSet<ObjectKey>,
        seen: &mut BTreeSet<ZoneId>,
        swept: &mut BTreeSet<String>,
    ) -> Result<Left, PortError> {
        let api = self.open(credentials, "no Gateway and no tunnel led to it");
        api.tunnels(&ownership::tunnel_prefix(&self.installation.name))
            .await?;
        let _in_account = self.lock_account(&credentials.account).await;
        let moved = self.moved_away(&credentials.account, live).await;
        let mut left = Left::Nothing;
        for gateway in &moved {
            let written = self.zones_written(gateway, &credentials.account);
            let cleared = self.clear_former_account(&api, credentials, gateway, &written);
            left = left.max(cleared.await?);
        }
        let at_home = live.difference(&moved);
        let marks = at_home.map(|gateway| RecordMark::of(&self.installation, gateway));
        let mut account = Account {
            api: &api,
            installation: RecordMark::of_installation(&self.installation),
            kept: marks.collect(),
            known: self.known_zones(&credentials.account),
        };
        let suspect = account.suspect_zones(seen).await?;
        if suspect.is_empty() {
            return Ok(left);
        }
        // A tunnel is made before its records, so the tunnels are listed after the records.
        api.clear_tunnels();
        let tunnels = self.own_tunnels(&api).await?;
        let known = tunnels.iter().map(|(gateway, _)| gateway);
        let known = known.map(|gateway| RecordMark::of(&self.installation, gateway));
        account.kept.extend(known);
        for (zone, records) in suspect {
            swept.extend(account.remove(&zone, &records).await?);
        }
        Ok(left)
    }

    /// Live Gateways that are served from another account by now, as they were last reconciled and as their
    /// credentials still say.
    async fn moved_away(
        &self,
        account: &AccountId,
        live: &BTreeSet<ObjectKey>,
    ) -> BTreeSet<ObjectKey> {
        let elsewhere: Vec<(ObjectKey, AccountId)> = {
            let memory = self.memory();
            let known = live
                .iter()
                .filter_map(|gateway| Some((gateway, memory.gateways.get(gateway)?)));
            known
                .map(|(gateway, of)| (gateway.clone(), of.credentials.account.clone()))
                .filter(|(_, home)| home != account)
                .collect()
        };
        let mut moved = BTreeSet::new();
        for (gateway, home) in elsewhere {
            let now = self.credentials.of(&gateway).await;
            if now.is_ok_and(|now| now.account == home) {
                moved.insert(gateway);
            }
        }
        moved
    }

    /// Removes what a Gateway left in this account, once no proxy holds its old tunnel any more.
    async fn clear_former_account(
        &self,
        api: &CachedApi,
        credentials: &CloudflareCredentials,
        gateway: &ObjectKey,
        written: &BTreeSet<ZoneId>,
    ) -> Result<Left, PortError> {
        let tunnels = self.own_tunnels(api).await?.into_iter();
        let left: Vec<Tunnel> = tunnels
            .filter(|(owner, _)| owner == gateway)
            .map(|(_, tunnel)| tunnel)
            .collect();
        for tunnel in &left {
            // In use still: the next resync looks again.
            if tunnel::apply::connected(api, tunnel.id).await? > 0 {
                return Ok(Left::Something);
            }
        }
        if left.is_empty() {
            return Ok(Left::Nothing);
        }
        api.clear();
        let why = format!("Gateway {gateway} has moved to another account");
        let api = &self.open(credentials, why);
        self.clear_account(api, credentials, gateway, &left, written)
            .await?;
        Ok(Left::Nothing)
    }

    /// Asks for each tunnel until a connector is found. A list that says that a tunnel is healthy is believed.
    pub(super) async fn has_connectors_anywhere(&self) -> Result<bool, PortError> {
        let (all, missing) = self.all_credentials().await;
        for credentials in each_once(&all) {
            let api = self.open_with(credentials, Arc::default(), "");
            for (_, found) in self.own_tunnels(&api).await? {
                let is_up = matches!(found.health, TunnelHealth::Healthy | TunnelHealth::Degraded);
                if is_up || tunnel::apply::connected(&api, found.id).await? > 0 {
                    return Ok(true);
                }
            }
        }
        missing.map_or(Ok(false), Err)
    }

    pub(super) async fn own_tunnels(
        &self,
        api: &CachedApi,
    ) -> Result<Vec<(ObjectKey, Tunnel)>, PortError> {
        let prefix = ownership::tunnel_prefix(&self.installation.name);
        let tunnels = api.tunnels(&prefix).await?.into_iter();
        Ok(tunnels
            .filter_map(|tunnel| {
                let gateway = ownership::gateway_of_tunnel(&self.installation, &tunnel.name)?;
                Some((gateway, tunnel))
            })
            .collect())
    }
}

impl Account<'_> {
    /// Zones with records of this installation that are nobody's, as far as is known yet, with the zone's
    /// records read for this very sweep.
    async fn suspect_zones(
        &self,
        seen: &mut BTreeSet<ZoneId>,
    ) -> Result<Vec<(ZoneId, Vec<DnsRecord>)>, PortError> {
        let mut suspect = Vec::new();
        let zones: BTreeSet<ZoneId> = match self.api.zones().await {
            Ok(zones) if !zones.is_empty() => zones.into_iter().map(|zone| zone.id).collect(),
            Ok(_) => self.known.clone(),
            Err(error) if error.kind == PortErrorKind::Forbidden => self.known.clone(),
            Err(error) => return Err(error),
        };
        for zone in zones {
            if !seen.insert(zone.clone()) {
                continue;
            }
            let records = match self.api.records(&zone).await {
                Ok(records) if self.lost(&records).is_empty() => continue,
                Ok(_) => self.api.records_now(&zone).await?,
                // A zone that may not be read could not have been written to.
                Err(error) if error.kind == PortErrorKind::Forbidden => {
                    seen.remove(&zone);
                    continue;
                }
                Err(error) => return Err(error),
            };
            suspect.push((zone, records));
        }
        Ok(suspect)
    }

    fn lost<'r>(&self, records: &'r [DnsRecord]) -> Vec<&'r DnsRecord> {
        let ours = records.iter().filter(|record| {
            // With words of others beside the mark it may be a copy that somebody made.
            let has_words = RecordMark::parse(&record.data.comment).is_none();
            mark_of(record).is_some_and(|mark| {
                !has_words
                    && mark.is_same_installation(self.installation)
                    && !self.kept.contains(&mark)
            })
        });
        ours.collect()
    }

    async fn remove(
        &self,
        zone: &ZoneId,
        records: &[DnsRecord],
    ) -> Result<BTreeSet<String>, PortError> {
        let lost = self.lost(records);
        let ids: Vec<_> = lost.iter().map(|record| record.id.clone()).collect();
        dns::apply::delete_records(self.api, zone, &ids).await?;
        let names = lost.into_iter().map(|record| record.data.name.clone());
        Ok(names.collect())
    }
}

fn each_once(all: &[CloudflareCredentials]) -> Vec<&CloudflareCredentials> {
    let mut once: Vec<&CloudflareCredentials> = Vec::new();
    for credentials in all {
        if !once.iter().any(|known| known.is_same(credentials)) {
            once.push(credentials);
        }
    }
    once
}

fn is_shut_out(error: &PortError) -> bool {
    matches!(
        error.kind,
        PortErrorKind::Forbidden | PortErrorKind::Unauthenticated
    )
}
