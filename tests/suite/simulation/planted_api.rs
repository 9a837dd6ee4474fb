//! Cloudflare's API as a cluster sees it with a planted fault.

use std::sync::Arc;

use async_trait::async_trait;
use domain::edge::objects::{
    Connector, CustomCertificate, DnsRecord, IngressDocument, RecordBatch, Tunnel, Zone,
};
use domain::ports::{CertificateApi, CloudflareApi, DnsApi, PortError, TokenApi, TunnelApi};
use domain::secret::{CertificatePair, ConnectorToken};
use domain::{CertificateId, TunnelId, ZoneId};

use super::installations::ClusterId;
use super::planted::Planted;

pub(crate) struct PlantedApi {
    pub(crate) api: Arc<dyn CloudflareApi>,
    pub(crate) planted: Planted,
    pub(crate) cluster: ClusterId,
}

#[async_trait]
impl DnsApi for PlantedApi {
    async fn zones(&self) -> Result<Vec<Zone>, PortError> {
        self.api.zones().await
    }

    async fn zone_named(&self, name: &str) -> Result<Option<Zone>, PortError> {
        self.api.zone_named(name).await
    }

    async fn records(&self, zone: &ZoneId) -> Result<Vec<DnsRecord>, PortError> {
        let records = match self.api.records(zone).await {
            Err(_) if self.planted == Planted::FailedReadIsEmpty => Vec::new(),
            records => records?,
        };
        let records = records.into_iter();
        let shown = records.map(|record| self.planted.shown_record(record, self.cluster));
        Ok(shown.collect())
    }

    async fn change_records(&self, zone: &ZoneId, batch: &RecordBatch) -> Result<(), PortError> {
        for batch in self.planted.made(batch) {
            self.api.change_records(zone, &batch).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl TunnelApi for PlantedApi {
    async fn tunnels(&self, name_prefix: &str) -> Result<Vec<Tunnel>, PortError> {
        self.api.tunnels(name_prefix).await
    }

    async fn create_tunnel(&self, name: &str) -> Result<Tunnel, PortError> {
        self.api.create_tunnel(name).await
    }

    async fn delete_tunnel(&self, tunnel: TunnelId) -> Result<(), PortError> {
        self.api.delete_tunnel(tunnel).await
    }

    async fn connectors(&self, tunnel: TunnelId) -> Result<Vec<Connector>, PortError> {
        self.api.connectors(tunnel).await
    }

    async fn disconnect(&self, tunnel: TunnelId) -> Result<(), PortError> {
        self.api.disconnect(tunnel).await
    }

    async fn tunnel_token(&self, tunnel: TunnelId) -> Result<ConnectorToken, PortError> {
        self.api.tunnel_token(tunnel).await
    }

    async fn set_tunnel_secret(&self, tunnel: TunnelId, secret: [u8; 32]) -> Result<(), PortError> {
        self.api.set_tunnel_secret(tunnel, secret).await
    }

    async fn adopt_tunnel(
        &self,
        tunnel: TunnelId,
        name: &str,
        secret: [u8; 32],
    ) -> Result<(), PortError> {
        self.api.adopt_tunnel(tunnel, name, secret).await
    }

    async fn configuration(&self, tunnel: TunnelId) -> Result<Option<IngressDocument>, PortError> {
        self.api.configuration(tunnel).await
    }

    async fn configure(
        &self,
        tunnel: TunnelId,
        document: &IngressDocument,
    ) -> Result<(), PortError> {
        self.api.configure(tunnel, document).await
    }
}

#[async_trait]
impl CertificateApi for PlantedApi {
    async fn custom_certificates(
        &self,
        zone: &ZoneId,
    ) -> Result<Vec<CustomCertificate>, PortError> {
        self.api.custom_certificates(zone).await
    }

    async fn upload_certificate(
        &self,
        zone: &ZoneId,
        pair: &CertificatePair,
    ) -> Result<CertificateId, PortError> {
        self.api.upload_certificate(zone, pair).await
    }

    async fn replace_certificate(
        &self,
        zone: &ZoneId,
        certificate: &CertificateId,
        pair: &CertificatePair,
    ) -> Result<CertificateId, PortError> {
        self.api.replace_certificate(zone, certificate, pair).await
    }

    async fn delete_certificate(
        &self,
        zone: &ZoneId,
        certificate: &CertificateId,
    ) -> Result<(), PortError> {
        self.api.delete_certificate(zone, certificate).await
    }
}

#[async_trait]
impl TokenApi for PlantedApi {
    async fn verify_token(&self) -> Result<(), PortError> {
        self.api.verify_token().await
    }
}
