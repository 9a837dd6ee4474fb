//! The calls. Each that would change something changes what is kept here.

use std::sync::{Arc, MutexGuard};

use async_trait::async_trait;

use super::{Account, Change, State, Written, is_planned, planned_tunnel};
use crate::edge::api::{CertificateApi, CloudflareApi, DnsApi, TokenApi, TunnelApi};
use crate::edge::objects::{
    Connector, CustomCertificate, DnsRecord, IngressDocument, RecordBatch, Tunnel, TunnelHealth,
    Zone,
};
use crate::error::{PortError, PortErrorKind};
use crate::names::{AccountId, CertificateId, ObjectKey, RecordId, TunnelId, ZoneId};
use crate::secret::{CertificatePair, ConnectorToken};

/// One account, with one token.
pub(super) struct RehearsedApi {
    pub(super) real: Arc<dyn CloudflareApi>,
    pub(super) account: AccountId,
    pub(super) written: Arc<Written>,
}

impl RehearsedApi {
    fn state(&self) -> MutexGuard<'_, State> {
        self.written.lock()
    }

    fn with<T>(&self, act: impl FnOnce(&mut Account) -> T) -> T {
        let mut state = self.state();
        act(state.accounts.entry(self.account.clone()).or_default())
    }

    /// Counts a call that would change something. Its number, from 1.
    fn write(&self) -> u64 {
        let mut state = self.state();
        state.writes += 1;
        state.made += 1;
        state.made
    }

    /// A tunnel as it is by now.
    fn tunnel(&self, id: TunnelId) -> Option<Tunnel> {
        self.with(|account| match account.tunnels.get(&id) {
            Some(change) => change.now.clone(),
            None => account.listed.get(&id).cloned(),
        })
    }

    fn change_tunnel(&self, id: TunnelId, now: Option<Tunnel>) {
        let before = self.with(|account| account.listed.get(&id).cloned());
        self.with(|account| {
            let change = account.tunnels.entry(id);
            let change = change.or_insert(Change { before, now: None });
            change.now = now;
        });
    }

    fn gateway_of(&self, id: TunnelId) -> Option<ObjectKey> {
        self.written.gateway_of(&self.tunnel(id)?)
    }

    /// Whether a tunnel is gone by now.
    fn is_removed(&self, id: TunnelId) -> bool {
        self.with(|account| {
            let change = account.tunnels.get(&id);
            change.is_some_and(|change| change.now.is_none())
        })
    }

    fn refuse_removed(&self, id: TunnelId) -> Result<(), PortError> {
        match self.is_removed(id) {
            true => Err(not_found(format!("there is no tunnel {id}"))),
            false => Ok(()),
        }
    }
}

fn not_found(message: String) -> PortError {
    PortError::new(PortErrorKind::NotFound, message)
}

#[async_trait]
impl TunnelApi for RehearsedApi {
    async fn tunnels(&self, name_prefix: &str) -> Result<Vec<Tunnel>, PortError> {
        let mut tunnels = self.real.tunnels(name_prefix).await?;
        Ok(self.with(|account| {
            let listed = tunnels.iter().map(|tunnel| (tunnel.id, tunnel.clone()));
            account.listed.extend(listed);
            tunnels.retain(|tunnel| !account.tunnels.contains_key(&tunnel.id));
            let changed = account.tunnels.values();
            let changed = changed.filter_map(|change| change.now.clone());
            tunnels.extend(changed.filter(|tunnel| tunnel.name.starts_with(name_prefix)));
            tunnels
        }))
    }

    async fn create_tunnel(&self, name: &str) -> Result<Tunnel, PortError> {
        let tunnel = Tunnel {
            id: planned_tunnel(self.write()),
            name: name.to_owned(),
            remotely_configured: true,
            health: TunnelHealth::Inactive,
        };
        self.change_tunnel(tunnel.id, Some(tunnel.clone()));
        Ok(tunnel)
    }

    async fn delete_tunnel(&self, tunnel: TunnelId) -> Result<(), PortError> {
        self.write();
        self.refuse_removed(tunnel)?;
        self.change_tunnel(tunnel, None);
        Ok(())
    }

    async fn connectors(&self, tunnel: TunnelId) -> Result<Vec<Connector>, PortError> {
        self.refuse_removed(tunnel)?;
        if let Some(gateway) = self.gateway_of(tunnel) {
            let state = self.state();
            if state.stopped.contains(&gateway) {
                return Ok(Vec::new());
            }
            if is_planned(tunnel) {
                let runs = state.running.get(&gateway).into_iter();
                return Ok(runs.map(connector_of).collect());
            }
        }
        self.real.connectors(tunnel).await
    }

    async fn disconnect(&self, tunnel: TunnelId) -> Result<(), PortError> {
        self.write();
        self.refuse_removed(tunnel)
    }

    async fn tunnel_token(&self, tunnel: TunnelId) -> Result<ConnectorToken, PortError> {
        self.refuse_removed(tunnel)?;
        Ok(ConnectorToken::new(format!("the token of {tunnel}")))
    }

    async fn set_tunnel_secret(&self, tunnel: TunnelId, _: [u8; 32]) -> Result<(), PortError> {
        self.write();
        self.refuse_removed(tunnel)
    }

    async fn adopt_tunnel(
        &self,
        tunnel: TunnelId,
        name: &str,
        _: [u8; 32],
    ) -> Result<(), PortError> {
        self.write();
        let found = self.tunnel(tunnel);
        let found = found.ok_or_else(|| not_found(format!("there is no tunnel {tunnel}")))?;
        let name = name.to_owned();
        self.change_tunnel(tunnel, Some(Tunnel { name, ..found }));
        Ok(())
    }

    async fn configuration(&self, tunnel: TunnelId) -> Result<Option<IngressDocument>, PortError> {
        self.refuse_removed(tunnel)?;
        let known = self.with(|account| {
            let change = account.documents.get(&tunnel);
            change.map(|change| change.now.clone())
        });
        match known {
            Some(document) => Ok(document),
            None if is_planned(tunnel) => Ok(None),
            None => self.real.configuration(tunnel).await,
        }
    }

    async fn configure(
        &self,
        tunnel: TunnelId,
        document: &IngressDocument,
    ) -> Result<(), PortError> {
        let before = self.configuration(tunnel).await?;
        self.write();
        self.with(|account| {
            let change = account.documents.entry(tunnel);
            let change = change.or_insert(Change { before, now: None });
            change.now = Some(document.clone());
        });
        Ok(())
    }
}

/// Which stands for the proxies of a Gateway.
fn connector_of(gateway: &ObjectKey) -> Connector {
    Connector {
        id: gateway.to_string(),
        connections: 1,
    }
}

#[async_trait]
impl DnsApi for RehearsedApi {
    async fn zones(&self) -> Result<Vec<Zone>, PortError> {
        self.real.zones().await
    }

    async fn zone_named(&self, name: &str) -> Result<Option<Zone>, PortError> {
        self.real.zone_named(name).await
    }

    async fn records(&self, zone: &ZoneId) -> Result<Vec<DnsRecord>, PortError> {
        let known = self.with(|account| {
            let change = account.zones.get(zone);
            change.map(|change| change.now.clone())
        });
        match known {
            Some(records) => Ok(records),
            None => self.real.records(zone).await,
        }
    }

    async fn change_records(&self, zone: &ZoneId, batch: &RecordBatch) -> Result<(), PortError> {
        let before = self.records(zone).await?;
        let number = self.write();
        let now = carried_out(zone, before.clone(), batch, number)?;
        self.with(|account| {
            let change = account.zones.entry(zone.clone());
            let change = change.or_insert(Change {
                before,
                now: Vec::new(),
            });
            change.now = now;
        });
        Ok(())
    }
}

/// The records of a zone after a batch.
fn carried_out(
    zone: &ZoneId,
    mut records: Vec<DnsRecord>,
    batch: &RecordBatch,
    number: u64,
) -> Result<Vec<DnsRecord>, PortError> {
    let missing = |id: &RecordId| {
        not_found(format!(
            "there is no record {id} in the zone with id {zone}"
        ))
    };
    for id in &batch.deletes {
        let found = records.iter().position(|record| record.id == *id);
        records.remove(found.ok_or_else(|| missing(id))?);
    }
    for (id, data) in &batch.puts {
        let mut found = records.iter_mut();
        let found = found.find(|record| record.id == *id);
        found.ok_or_else(|| missing(id))?.data = data.clone();
    }
    for (index, data) in batch.posts.iter().enumerate() {
        records.push(DnsRecord {
            id: RecordId::new(format!("planned-{number}-{index}")),
            data: data.clone(),
        });
    }
    Ok(records)
}

#[async_trait]
impl CertificateApi for RehearsedApi {
    async fn custom_certificates(
        &self,
        zone: &ZoneId,
    ) -> Result<Vec<CustomCertificate>, PortError> {
        let mut certificates = self.real.custom_certificates(zone).await?;
        self.with(|account| {
            let Some(changes) = account.certificates.get(zone) else {
                return;
            };
            certificates.retain(|one| !changes.removed.contains(&one.id));
            certificates.extend(changes.made.values().cloned());
        });
        Ok(certificates)
    }

    async fn upload_certificate(
        &self,
        zone: &ZoneId,
        pair: &CertificatePair,
    ) -> Result<CertificateId, PortError> {
        let id = CertificateId::new(format!("planned-{}", self.write()));
        let made = CustomCertificate {
            id: id.clone(),
            // What it is for is not looked at here; the differences show its fingerprint.
            hosts: vec![pair.fingerprint.to_string()],
        };
        self.with(|account| {
            let changes = account.certificates.entry(zone.clone()).or_default();
            changes.made.insert(id.clone(), made);
        });
        Ok(id)
    }

    async fn replace_certificate(
        &self,
        zone: &ZoneId,
        certificate: &CertificateId,
        pair: &CertificatePair,
    ) -> Result<CertificateId, PortError> {
        self.delete_certificate(zone, certificate).await?;
        self.upload_certificate(zone, pair).await
    }

    async fn delete_certificate(
        &self,
        zone: &ZoneId,
        certificate: &CertificateId,
    ) -> Result<(), PortError> {
        self.write();
        self.with(|account| {
            let changes = account.certificates.entry(zone.clone()).or_default();
            if changes.made.remove(certificate).is_none() {
                changes.removed.insert(certificate.clone());
            }
        });
        Ok(())
    }
}

#[async_trait]
impl TokenApi for RehearsedApi {
    async fn verify_token(&self) -> Result<(), PortError> {
        self.real.verify_token().await
    }
}
