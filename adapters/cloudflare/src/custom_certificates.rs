//! Calls about custom certificates: `/zones/{zone}/custom_certificates` (developers.cloudflare.com/api,
//! "Custom Certificates").

use async_trait::async_trait;
use domain::edge::objects::CustomCertificate;
use domain::ports::{CertificateApi, PortError};
use domain::secret::CertificatePair;
use domain::{CertificateId, ZoneId};
use reqwest::Method;
use secrecy::ExposeSecret;

use crate::call::{Call, Permission};
use crate::client::AccountClient;
use crate::wire::{NewCertificate, WireCertificate, WireCertificateId};

/// The most that the API takes.
const CERTIFICATES_PER_PAGE: &str = "50";

/// `bundle_method`, as the API has it by default: Cloudflare completes the chain and refuses a certificate that
/// browsers do not trust. With `force` it would take a self-signed one, and every visitor of its names would get
/// a TLS error.
const TRUSTED_CHAIN: &str = "ubiquitous";

#[async_trait]
impl CertificateApi for AccountClient {
    async fn custom_certificates(
        &self,
        zone: &ZoneId,
    ) -> Result<Vec<CustomCertificate>, PortError> {
        let call = certificates_call("list custom certificates", Method::GET, zone, None)
            .query("per_page", CERTIFICATES_PER_PAGE);
        let certificates: Vec<WireCertificate> = self.list(&call).await?;
        let certificates = certificates.into_iter().map(CustomCertificate::from);
        Ok(certificates.collect())
    }

    async fn upload_certificate(
        &self,
        zone: &ZoneId,
        pair: &CertificatePair,
    ) -> Result<CertificateId, PortError> {
        let call = certificates_call("upload custom certificate", Method::POST, zone, None);
        self.send_pair(call, pair).await
    }

    async fn replace_certificate(
        &self,
        zone: &ZoneId,
        certificate: &CertificateId,
        pair: &CertificatePair,
    ) -> Result<CertificateId, PortError> {
        let name = "replace custom certificate";
        let call = certificates_call(name, Method::PATCH, zone, Some(certificate));
        self.send_pair(call, pair).await
    }

    async fn delete_certificate(
        &self,
        zone: &ZoneId,
        certificate: &CertificateId,
    ) -> Result<(), PortError> {
        let name = "delete custom certificate";
        let call = certificates_call(name, Method::DELETE, zone, Some(certificate));
        self.command(call).await
    }
}

impl AccountClient {
    async fn send_pair(
        &self,
        call: Call,
        pair: &CertificatePair,
    ) -> Result<CertificateId, PortError> {
        let key = pair.key.expose_secret();
        let call = call
            .json(&NewCertificate {
                certificate: &pair.chain,
                private_key: key,
                bundle_method: TRUSTED_CHAIN,
            })
            .hiding(key);
        let made: WireCertificateId = self.fetch(&call).await?;
        Ok(CertificateId::new(made.id))
    }
}

fn certificates_call(
    name: &'static str,
    method: Method,
    zone: &ZoneId,
    certificate: Option<&CertificateId>,
) -> Call {
    let mut path = vec!["zones", zone.as_str(), "custom_certificates"];
    path.extend(certificate.map(CertificateId::as_str));
    Call::new(name, Permission::Certificates, method, &path)
}
