//! Custom certificates: the API, and what the edge shows of them.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use standin::cloud::Plan;
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::client::Site;

/// A new self-signed pair as a call carries it, and the certificate itself.
fn pair(names: &[&str]) -> (Value, CertificateDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let certificate = CertificateParams::new(names).unwrap();
    let certificate = certificate.self_signed(&key).unwrap();
    let body = json!({
        "certificate": certificate.pem(),
        "private_key": key.serialize_pem(),
        "bundle_method": "force",
    });
    (body, certificate.der().clone())
}

fn path(site: &Site, rest: &str) -> String {
    format!("/zones/{}/custom_certificates{rest}", site.zone)
}

/// Whether a client that trusts this certificate alone is content with what it is shown.
async fn shows(site: &Site, certificate: &CertificateDer<'static>, name: &str) -> bool {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let address = site.standin.edge().public_https();
    let tcp = TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    connector.connect(name, tcp).await.is_ok()
}

#[tokio::test]
async fn a_certificate_is_uploaded_listed_replaced_and_deleted() {
    let site = Site::with_plan(Plan::Paid).await;
    let (body, _) = pair(&["app.example.com", "*.example.com"]);
    let made = site.post(&path(&site, ""), body).await;
    let id = made.result()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        made.result()["hosts"],
        json!(["app.example.com", "*.example.com"])
    );
    let (body, _) = pair(&["app.example.com"]);
    let replaced = site
        .call("PATCH", &path(&site, &format!("/{id}")), Some(body))
        .await;
    let new = replaced.result()["id"].as_str().unwrap().to_owned();
    assert_ne!(new, id, "a replaced certificate has another id");

    let listed = site.get(&path(&site, "")).await;
    assert_eq!(listed.result().as_array().unwrap().len(), 1);
    let text = listed.body.to_string();
    assert!(
        !text.contains("PRIVATE") && !text.contains("private_key"),
        "{text}"
    );

    let gone = site
        .call("DELETE", &path(&site, &format!("/{new}")), None)
        .await;
    assert_eq!(gone.result()["id"], json!(new));
    let again = site
        .call("DELETE", &path(&site, &format!("/{new}")), None)
        .await;
    assert_eq!(again.refusal().0, 404);
}

#[tokio::test]
async fn what_cannot_be_served_is_refused() {
    let site = Site::with_plan(Plan::Paid).await;
    let (good, _) = pair(&["app.example.com"]);
    let (other, _) = pair(&["app.example.com"]);
    let with = |key: &str, value: &Value| {
        let mut body = good.clone();
        body[key] = value.clone();
        body
    };
    for (case, body) in [
        ("no PEM", with("certificate", &json!("Hello world"))),
        ("no key", with("private_key", &json!("Hello world"))),
        ("another's key", with("private_key", &other["private_key"])),
        ("unknown method", with("bundle_method", &json!("any"))),
    ] {
        let answer = site.post(&path(&site, ""), body).await;
        assert_eq!(answer.refusal().0, 400, "{case}");
    }
    let free = Site::start().await;
    let refused = free.post(&path(&free, ""), good).await;
    assert_eq!(refused.refusal().0, 403, "the plan has none");
}

#[tokio::test]
async fn the_edge_shows_the_certificate_of_the_name_that_is_asked_for() {
    let site = Site::with_plan(Plan::Paid).await;
    for name in ["app", "web"] {
        let record = json!({
            "type": "CNAME", "name": format!("{name}.example.com"), "proxied": true,
            "content": format!("{}.cfargotunnel.com", Uuid::new_v4()),
        });
        site.post(&site.records(""), record).await.result();
    }
    let (wide, wildcard) = pair(&["*.example.com"]);
    let (narrow, exact) = pair(&["app.example.com"]);
    assert!(!shows(&site, &wildcard, "web.example.com").await);
    site.post(&path(&site, ""), narrow).await.result();
    site.post(&path(&site, ""), wide).await.result();
    assert!(shows(&site, &wildcard, "web.example.com").await);
    assert!(
        shows(&site, &exact, "app.example.com").await,
        "the exact one wins"
    );
    assert!(!shows(&site, &wildcard, "app.example.com").await);
}
