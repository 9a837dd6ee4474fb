//! The calls, with the rules that Cloudflare keeps.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;

use super::observer::{Call, Observer};
use super::{Account, ApiCall, FakeCloudflare, Moment, TunnelState, World, ZoneHeld};
use crate::edge::objects::{
    Connector, CustomCertificate, DnsRecord, IngressDocument, RecordBatch, RecordData, Tunnel, Zone,
};
use crate::error::{PortError, PortErrorKind};
use crate::names::{AccountId, CertificateId, RecordId, TunnelId, ZoneId};
use crate::ports::{
    BATCH_LIMIT, CertificateApi, CloudflareAccounts, CloudflareApi, DnsApi, TokenApi, TunnelApi,
};
use crate::secret::{CertificatePair, CloudflareCredentials, ConnectorToken};

impl CloudflareAccounts for FakeCloudflare {
    fn open(&self, credentials: &CloudflareCredentials) -> Arc<dyn CloudflareApi> {
        Arc::new(self.client(credentials))
    }
}

impl FakeCloudflare {
    /// The API whose calls an observer sees, and may make fail.
    pub fn open_observed(
        &self,
        credentials: &CloudflareCredentials,
        observer: Arc<dyn Observer>,
    ) -> Arc<dyn CloudflareApi> {
        Arc::new(FakeCloudflareApi {
            observer: Some(observer),
            ..self.client(credentials)
        })
    }

    fn client(&self, credentials: &CloudflareCredentials) -> FakeCloudflareApi {
        FakeCloudflareApi {
            cloudflare: self.clone(),
            account: credentials.account.clone(),
            token: credentials.token.clone(),
            observer: None,
        }
    }
}

struct FakeCloudflareApi {
    cloudflare: FakeCloudflare,
    account: AccountId,
    token: SecretString,
    observer: Option<Arc<dyn Observer>>,
}

fn refuse<T>(kind: PortErrorKind, message: &str) -> Result<T, PortError> {
    Err(PortError::new(kind, message))
}

impl FakeCloudflareApi {
    /// Makes a call, unless it is its turn to fail.
    async fn call<T: Send>(
        &self,
        call: Call<'_>,
        act: impl FnOnce(&mut World) -> Result<T, PortError> + Send,
    ) -> Result<T, PortError> {
        let ordered = match &self.observer {
            Some(observer) => observer.before(&call).await,
            None => None,
        };
        let answer = self.carry_out(&call, ordered, act);
        if let Some(observer) = &self.observer {
            observer.after(&call, answer.as_ref().err());
        }
        answer
    }

    fn carry_out<T>(
        &self,
        call: &Call<'_>,
        ordered: Option<(Moment, PortError)>,
        act: impl FnOnce(&mut World) -> Result<T, PortError>,
    ) -> Result<T, PortError> {
        let mut world = self.cloudflare.world();
        let scripted = world.failure(&self.token, call);
        match ordered.or(scripted) {
            Some((Moment::Before, error)) => Err(error),
            Some((Moment::After, error)) => act(&mut world).and(Err(error)),
            None => act(&mut world),
        }
    }

    async fn in_account<T: Send>(
        &self,
        call: Call<'_>,
        act: impl FnOnce(&mut Account) -> Result<T, PortError> + Send,
    ) -> Result<T, PortError> {
        let act = |world: &mut World| act(world.accounts.entry(self.account.clone()).or_default());
        self.call(call, act).await
    }

    /// Reads what is shown of the account, which may lag.
    async fn of_account<T: Send>(
        &self,
        call: Call<'_>,
        read: impl FnOnce(&Account) -> Result<T, PortError> + Send,
    ) -> Result<T, PortError> {
        let read = |world: &mut World| match world.seen(&self.account) {
            Some(account) => read(account),
            None => read(&Account::default()),
        };
        self.call(call, read).await
    }

    async fn of_tunnel<T: Send>(
        &self,
        call: ApiCall,
        tunnel: TunnelId,
        read: impl FnOnce(&TunnelState) -> T + Send,
    ) -> Result<T, PortError> {
        let read = |account: &Account| match account.tunnels.get(&tunnel) {
            Some(state) => Ok(read(state)),
            None => refuse(PortErrorKind::NotFound, "tunnel not found"),
        };
        self.of_account(Call::of_tunnel(call, tunnel), read).await
    }

    async fn in_tunnel<T: Send>(
        &self,
        call: ApiCall,
        tunnel: TunnelId,
        act: impl FnOnce(&mut TunnelState) -> T + Send,
    ) -> Result<T, PortError> {
        let act = |account: &mut Account| match account.tunnels.get_mut(&tunnel) {
            Some(state) => Ok(act(state)),
            None => refuse(PortErrorKind::NotFound, "tunnel not found"),
        };
        self.in_account(Call::of_tunnel(call, tunnel), act).await
    }
}

#[async_trait]
impl TunnelApi for FakeCloudflareApi {
    async fn tunnels(&self, name_prefix: &str) -> Result<Vec<Tunnel>, PortError> {
        self.of_account(Call::of(ApiCall::Tunnels), |account| {
            let tunnels = account.tunnels.values().map(|state| &state.tunnel);
            let named = tunnels.filter(|tunnel| tunnel.name.starts_with(name_prefix));
            Ok(named.cloned().collect())
        })
        .await
    }

    async fn create_tunnel(&self, name: &str) -> Result<Tunnel, PortError> {
        self.call(Call::named(ApiCall::CreateTunnel, name), |world| {
            let state = world.new_tunnel(name, true);
            let account = world.accounts.entry(self.account.clone()).or_default();
            if account
                .tunnels
                .values()
                .any(|other| other.tunnel.name == name)
            {
                let message = "You already have a tunnel with this name";
                return refuse(PortErrorKind::Conflict, message);
            }
            let tunnel = state.tunnel.clone();
            account.tunnels.insert(tunnel.id, state);
            Ok(tunnel)
        })
        .await
    }

    async fn delete_tunnel(&self, tunnel: TunnelId) -> Result<(), PortError> {
        self.in_account(Call::of_tunnel(ApiCall::DeleteTunnel, tunnel), |account| {
            match account.tunnels.get(&tunnel) {
                None => return refuse(PortErrorKind::NotFound, "tunnel not found"),
                Some(state) if !state.connectors.is_empty() => {
                    return refuse(PortErrorKind::Conflict, "tunnel has active connections");
                }
                Some(_) => {}
            }
            account.tunnels.remove(&tunnel);
            Ok(())
        })
        .await
    }

    async fn connectors(&self, tunnel: TunnelId) -> Result<Vec<Connector>, PortError> {
        self.of_tunnel(ApiCall::Connectors, tunnel, |state| {
            state.connectors.clone()
        })
        .await
    }

    async fn disconnect(&self, tunnel: TunnelId) -> Result<(), PortError> {
        self.in_tunnel(ApiCall::Disconnect, tunnel, TunnelState::disconnect)
            .await
    }

    async fn tunnel_token(&self, tunnel: TunnelId) -> Result<ConnectorToken, PortError> {
        self.of_tunnel(ApiCall::TunnelToken, tunnel, |state| state.token(tunnel))
            .await
    }

    async fn set_tunnel_secret(&self, tunnel: TunnelId, secret: [u8; 32]) -> Result<(), PortError> {
        self.in_tunnel(ApiCall::SetTunnelSecret, tunnel, |state| {
            state.secret = secret;
            state.replaced += 1;
        })
        .await
    }

    async fn adopt_tunnel(
        &self,
        tunnel: TunnelId,
        name: &str,
        secret: [u8; 32],
    ) -> Result<(), PortError> {
        self.in_account(Call::of_tunnel(ApiCall::AdoptTunnel, tunnel), |account| {
            let mut others = account.tunnels.iter().filter(|(id, _)| **id != tunnel);
            if others.any(|(_, other)| other.tunnel.name == name) {
                let message = "You already have a tunnel with this name";
                return refuse(PortErrorKind::Conflict, message);
            }
            let Some(state) = account.tunnels.get_mut(&tunnel) else {
                return refuse(PortErrorKind::NotFound, "tunnel not found");
            };
            name.clone_into(&mut state.tunnel.name);
            state.secret = secret;
            Ok(())
        })
        .await
    }

    async fn configuration(&self, tunnel: TunnelId) -> Result<Option<IngressDocument>, PortError> {
        self.of_tunnel(ApiCall::Configuration, tunnel, |state| {
            state.configuration.clone()
        })
        .await
    }

    async fn configure(
        &self,
        tunnel: TunnelId,
        document: &IngressDocument,
    ) -> Result<(), PortError> {
        self.in_tunnel(ApiCall::Configure, tunnel, |state| {
            state.configuration = Some(document.clone());
            state.tunnel.remotely_configured = true;
        })
        .await
    }
}

#[async_trait]
impl DnsApi for FakeCloudflareApi {
    async fn zones(&self) -> Result<Vec<Zone>, PortError> {
        self.of_account(Call::of(ApiCall::Zones), |account| {
            let zones = account.zones.iter().filter(|_| !account.lists_no_zone);
            Ok(zones.map(|(id, zone)| zone.seen(id)).collect())
        })
        .await
    }

    async fn zone_named(&self, name: &str) -> Result<Option<Zone>, PortError> {
        self.of_account(Call::of(ApiCall::ZoneNamed), |account| {
            let mut zones = account.zones.iter();
            let found = zones.find(|(_, zone)| zone.name == name);
            Ok(found.map(|(id, zone)| zone.seen(id)))
        })
        .await
    }

    async fn records(&self, zone: &ZoneId) -> Result<Vec<DnsRecord>, PortError> {
        self.of_account(
            Call::in_zone(ApiCall::Records, zone),
            |account| match account.zones.get(zone) {
                Some(state) => Ok(state.records.clone()),
                None => refuse(PortErrorKind::NotFound, "zone not found"),
            },
        )
        .await
    }

    async fn change_records(&self, zone: &ZoneId, batch: &RecordBatch) -> Result<(), PortError> {
        self.call(Call::batch(zone, batch), |world| {
            let mut next_id = world.next_id;
            let Some(state) = world.zone_of(&self.account, zone) else {
                return refuse(PortErrorKind::NotFound, "zone not found");
            };
            let after = changed(&state.records, batch, || {
                next_id += 1;
                RecordId::new(format!("record-{next_id}"))
            })?;
            state.records = after;
            world.next_id = next_id;
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl CertificateApi for FakeCloudflareApi {
    async fn custom_certificates(
        &self,
        zone: &ZoneId,
    ) -> Result<Vec<CustomCertificate>, PortError> {
        self.of_account(
            Call::in_zone(ApiCall::CustomCertificates, zone),
            |account| {
                let Some(state) = account.zones.get(zone) else {
                    return refuse(PortErrorKind::NotFound, "zone not found");
                };
                let ids = state.certificates.keys();
                Ok(ids
                    .map(|id| CustomCertificate {
                        id: id.clone(),
                        hosts: Vec::new(),
                    })
                    .collect())
            },
        )
        .await
    }

    async fn upload_certificate(
        &self,
        zone: &ZoneId,
        pair: &CertificatePair,
    ) -> Result<CertificateId, PortError> {
        self.call(Call::in_zone(ApiCall::UploadCertificate, zone), |world| {
            world.put_certificate(&self.account, zone, None, pair)
        })
        .await
    }

    async fn replace_certificate(
        &self,
        zone: &ZoneId,
        certificate: &CertificateId,
        pair: &CertificatePair,
    ) -> Result<CertificateId, PortError> {
        self.call(Call::in_zone(ApiCall::ReplaceCertificate, zone), |world| {
            world.put_certificate(&self.account, zone, Some(certificate), pair)
        })
        .await
    }

    async fn delete_certificate(
        &self,
        zone: &ZoneId,
        certificate: &CertificateId,
    ) -> Result<(), PortError> {
        self.call(Call::in_zone(ApiCall::DeleteCertificate, zone), |world| {
            let Some(state) = world.zone_of(&self.account, zone) else {
                return refuse(PortErrorKind::NotFound, "zone not found");
            };
            match state.certificates.remove(certificate) {
                Some(_) => Ok(()),
                None => refuse(PortErrorKind::NotFound, "certificate not found"),
            }
        })
        .await
    }
}

#[async_trait]
impl TokenApi for FakeCloudflareApi {
    async fn verify_token(&self) -> Result<(), PortError> {
        self.call(Call::of(ApiCall::VerifyToken), |_| Ok(())).await
    }
}

impl ZoneHeld {
    fn seen(&self, id: &ZoneId) -> Zone {
        Zone {
            id: id.clone(),
            name: self.name.clone(),
            state: self.state,
        }
    }
}

impl World {
    /// A replaced certificate gets a new id, as those of the API do.
    fn put_certificate(
        &mut self,
        account: &AccountId,
        zone: &ZoneId,
        before: Option<&CertificateId>,
        pair: &CertificatePair,
    ) -> Result<CertificateId, PortError> {
        let number = self.next_id + 1;
        let Some(state) = self.zone_of(account, zone) else {
            return refuse(PortErrorKind::NotFound, "zone not found");
        };
        if let Some(before) = before
            && state.certificates.remove(before).is_none()
        {
            return refuse(PortErrorKind::NotFound, "certificate not found");
        }
        let id = CertificateId::new(format!("certificate-{number}"));
        let fingerprint = pair.fingerprint.clone();
        state.certificates.insert(id.clone(), fingerprint);
        self.next_id = number;
        Ok(id)
    }
}

/// The records after a batch, or why none of it can be done.
fn changed(
    records: &[DnsRecord],
    batch: &RecordBatch,
    mut new_id: impl FnMut() -> RecordId,
) -> Result<Vec<DnsRecord>, PortError> {
    if batch.len() > BATCH_LIMIT {
        return refuse(PortErrorKind::Invalid, "too many operations in one batch");
    }
    let mut records = records.to_vec();
    for id in &batch.deletes {
        let before = records.len();
        records.retain(|record| record.id != *id);
        if records.len() == before {
            return refuse(PortErrorKind::NotFound, "record not found");
        }
    }
    for (id, data) in &batch.puts {
        require_room(&records, Some(id), data)?;
        match records.iter_mut().find(|record| record.id == *id) {
            Some(record) => record.data = data.clone(),
            None => return refuse(PortErrorKind::NotFound, "record not found"),
        }
    }
    for data in &batch.posts {
        require_room(&records, None, data)?;
        records.push(DnsRecord {
            id: new_id(),
            data: data.clone(),
        });
    }
    Ok(records)
}

/// A CNAME stands beside no address and no other CNAME, and no record is there twice (errors 81053, 81054,
/// 81058).
fn require_room(
    records: &[DnsRecord],
    own: Option<&RecordId>,
    data: &RecordData,
) -> Result<(), PortError> {
    let is_address = |kind: &str| ["A", "AAAA", "CNAME"].contains(&kind);
    let clashes = |other: &RecordData| {
        let same = other.kind == data.kind && other.content == data.content;
        let excludes = other.kind == "CNAME" || data.kind == "CNAME";
        same || (excludes && is_address(&other.kind) && is_address(&data.kind))
    };
    let neighbours = records
        .iter()
        .filter(|other| other.data.name == data.name && Some(&other.id) != own);
    match neighbours.map(|other| &other.data).any(clashes) {
        true => refuse(
            PortErrorKind::Conflict,
            "An A, AAAA, or CNAME record with that host already exists",
        ),
        false => Ok(()),
    }
}
