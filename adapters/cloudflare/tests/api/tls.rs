//! HTTPS, with nobody having installed a rustls provider for the process.

use std::sync::Arc;

use adapter_cloudflare::ClientSettings;
use domain::ports::PortErrorKind as Kind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::support::*;

const ANSWER: &str =
    r#"{"success":true,"result":[],"result_info":{"page":1,"count":0,"total_count":0}}"#;

/// A server with a certificate of its own making; returns its URL and that certificate.
async fn https_server() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "https://localhost:{}",
        listener.local_addr().unwrap().port()
    );
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let length = ANSWER.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{ANSWER}"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (url, made.cert.pem())
}

#[tokio::test]
async fn a_root_of_ones_own_is_trusted_only_when_it_is_given() {
    let (url, root) = https_server().await;
    let trusting = ClientSettings {
        extra_roots: root.into_bytes(),
        ..settings(url.clone())
    };
    assert_eq!(logged(&trusting).0.zones().await.unwrap(), []);

    let error = expect_kind(
        logged(&settings(url)).0.zones().await,
        Kind::Unavailable,
        "unknown root",
    );
    assert!(error.message.contains("certificate"), "{error}");
    assert!(
        CryptoProvider::get_default().is_none(),
        "no provider was installed"
    );
}
