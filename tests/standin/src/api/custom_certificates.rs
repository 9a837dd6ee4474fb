//! `/zones/{zone}/custom_certificates`.
//! Cloudflare API documentation: "Custom Certificates (SSL)".

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::caller::Caller;
use super::envelope::{Answer, ApiError, Fields, Page, Params, Reply, read_body};
use crate::cloud::{CertificateRefusal, Cloud, CustomCertificate, NewCertificate, Permission};

impl From<CertificateRefusal> for ApiError {
    fn from(refusal: CertificateRefusal) -> Self {
        let (status, code) = match refusal {
            CertificateRefusal::NotFound => (StatusCode::NOT_FOUND, 1_001),
            CertificateRefusal::NotInPlan => (StatusCode::FORBIDDEN, 1_003),
            CertificateRefusal::BadCertificate => (StatusCode::BAD_REQUEST, 1_004),
            CertificateRefusal::BadKey => (StatusCode::BAD_REQUEST, 1_005),
            CertificateRefusal::Mismatch => (StatusCode::BAD_REQUEST, 1_006),
        };
        Self::new(status, code, refusal.to_string())
    }
}

/// `GET …/custom_certificates`: at most 50 to a page.
pub(super) async fn list(
    State(cloud): State<Cloud>,
    Extension(caller): Extension<Caller>,
    Path(zone): Path<String>,
    Query(params): Query<Params>,
) -> Answer {
    caller.on_zone(&cloud, &zone, Permission::CertificatesEdit)?;
    let page = Page::read(&params, 20, 50)?;
    Ok(Reply::page(&cloud.certificates(&zone), page, show))
}

/// `GET …/custom_certificates/{certificate}`.
pub(super) async fn get(
    State(cloud): State<Cloud>,
    Extension(caller): Extension<Caller>,
    Path((zone, certificate)): Path<(String, String)>,
) -> Answer {
    caller.on_zone(&cloud, &zone, Permission::CertificatesEdit)?;
    let found = cloud.certificate(&zone, &certificate)?;
    Ok(Reply::one(show(&found)))
}

/// `POST …/custom_certificates`.
pub(super) async fn create(
    State(cloud): State<Cloud>,
    Extension(caller): Extension<Caller>,
    Path(zone): Path<String>,
    body: Bytes,
) -> Answer {
    caller.on_zone(&cloud, &zone, Permission::CertificatesEdit)?;
    let made = cloud.add_certificate(&zone, &uploaded(&body)?)?;
    Ok(Reply::one(show(&made)))
}

/// `PATCH …/custom_certificates/{certificate}`: another pair in its place, which gets an id of its own.
pub(super) async fn replace(
    State(cloud): State<Cloud>,
    Extension(caller): Extension<Caller>,
    Path((zone, certificate)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    caller.on_zone(&cloud, &zone, Permission::CertificatesEdit)?;
    let made = cloud.replace_certificate(&zone, &certificate, &uploaded(&body)?)?;
    Ok(Reply::one(show(&made)))
}

/// `DELETE …/custom_certificates/{certificate}`.
pub(super) async fn delete(
    State(cloud): State<Cloud>,
    Extension(caller): Extension<Caller>,
    Path((zone, certificate)): Path<(String, String)>,
) -> Answer {
    caller.on_zone(&cloud, &zone, Permission::CertificatesEdit)?;
    cloud.delete_certificate(&zone, &certificate)?;
    Ok(Reply::one(json!({ "id": certificate })))
}

fn uploaded(body: &Bytes) -> Result<NewCertificate, ApiError> {
    let body = read_body(body)?;
    let fields = Fields::of(&body)?;
    let required = |key: &str| fields.text(key)?.ok_or_else(ApiError::bad_body);
    let method = fields.text("bundle_method")?;
    let known = ["ubiquitous", "optimal", "force"];
    if method.is_some_and(|method| !known.contains(&method.as_str())) {
        return Err(ApiError::bad_body());
    }
    Ok(NewCertificate {
        certificate: required("certificate")?,
        private_key: SecretString::from(required("private_key")?),
    })
}

fn show(certificate: &CustomCertificate) -> Value {
    json!({
        "id": certificate.id,
        "zone_id": certificate.zone,
        "hosts": certificate.hosts,
        "issuer": certificate.issuer,
        "signature": "SHA256WithRSA",
        "status": "active",
        "bundle_method": "force",
        "priority": 0,
        "expires_on": certificate.expires_on,
        "uploaded_on": certificate.uploaded_on,
        "modified_on": certificate.modified_on,
    })
}
