//! Keys of a transit engine.

use std::sync::Arc;

use adapter_kms::{VaultKeys, VaultSettings};
use domain::broker::ports::{KeyWrap, Wrapped};
use domain::ports::PortErrorKind;
use secrecy::ExposeSecret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::data_key;
use crate::transit::{TOKEN, Vault};

fn keys(settings: VaultSettings) -> VaultKeys {
    VaultKeys::new(settings).unwrap()
}

#[tokio::test]
async fn a_double_of_vault_wraps_data_keys_by_the_newest_version_of_its_key() {
    let vault = Vault::double().await;
    let keys = VaultSettings {
        namespace: Some("team/a".to_owned()),
        ..vault.settings()
    };
    it_wraps_by_the_newest_version(&vault, &self::keys(keys)).await;
    for request in vault.requests().await {
        let namespace = request.headers.get("x-vault-namespace").unwrap();
        assert_eq!(namespace, "team/a");
        assert!(!request.url.as_str().contains(TOKEN));
    }
}

#[tokio::test]
async fn a_genuine_vault_wraps_data_keys_by_the_newest_version_of_its_key() {
    if let Some(vault) = Vault::genuine().await {
        it_wraps_by_the_newest_version(&vault, &keys(vault.settings())).await;
    }
}

async fn it_wraps_by_the_newest_version(vault: &Vault, keys: &VaultKeys) {
    let wrapped = keys.wrap(&data_key(1)).await.unwrap();
    assert_eq!(wrapped.key, "vault:transit/cfgw:v1");
    assert_eq!(keys.current().await.unwrap(), wrapped.key);
    assert!(keys.has(&wrapped.key) && !keys.has("vault:transit/other:v1"));
    let opened = keys.unwrap(&wrapped).await.unwrap();
    assert_eq!(opened.expose_secret(), [1; 32]);
    vault.rotate().await;
    assert_eq!(keys.current().await.unwrap(), "vault:transit/cfgw:v2");
    let newer = keys.wrap(&data_key(2)).await.unwrap();
    assert_eq!(newer.key, "vault:transit/cfgw:v2");
    for (wrapped, byte) in [(&wrapped, 1), (&newer, 2)] {
        let opened = keys.unwrap(wrapped).await.unwrap();
        assert_eq!(opened.expose_secret(), [byte; 32]);
    }
    let mut changed = wrapped.bytes.clone();
    changed.truncate(changed.len() - 8);
    for bytes in [
        changed,
        b"vault:v9:AAAA".to_vec(),
        b"none".to_vec(),
        vec![0xff],
    ] {
        let refused = keys
            .unwrap(&Wrapped {
                bytes,
                ..wrapped.clone()
            })
            .await
            .unwrap_err();
        assert_eq!(refused.kind, PortErrorKind::Credentials, "{refused}");
    }
    // Another token counts as soon as it is in the file.
    std::fs::write(vault.token_file(), "hvs.old").unwrap();
    let refused = keys.unwrap(&wrapped).await.unwrap_err();
    assert_eq!(refused.kind, PortErrorKind::Unavailable, "{refused}");
    assert!(!refused.message.contains("hvs.old"), "{refused}");
    std::fs::write(vault.token_file(), TOKEN).unwrap();
    assert!(keys.unwrap(&wrapped).await.is_ok());
}

#[tokio::test]
async fn whatever_is_wrong_with_vault_is_told_without_its_address_or_what_it_said() {
    let vault = Vault::double().await;
    let good = keys(vault.settings()).wrap(&data_key(1)).await.unwrap();
    for (status, body) in [
        (503, r#"{"errors":["Vault is sealed at canary.internal"]}"#),
        (500, "canary.internal"),
        (429, r#"{"errors":["canary.internal"]}"#),
        (307, ""),
        (200, "canary.internal"),
        (200, r#"{"data":{"plaintext":"canary.internal"}}"#),
        (
            200,
            r#"{"data":{"ciphertext":"canary.internal","plaintext":1}}"#,
        ),
    ] {
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(status).set_body_string(body);
        let answer = answer.insert_header("location", "http://127.0.0.1:1/");
        Mock::given(wiremock::matchers::any())
            .respond_with(answer)
            .mount(&server)
            .await;
        let keys = keys(VaultSettings {
            address: server.uri(),
            ..vault.settings()
        });
        let unwrapped = keys.unwrap(&good).await.map(|_| ());
        let wrapped = keys.wrap(&data_key(1)).await.map(|_| ());
        for refused in [unwrapped, wrapped] {
            let refused = refused.unwrap_err();
            assert!(
                !refused.message.contains("canary"),
                "{status} {body}: {refused}"
            );
            assert!(
                !refused.message.contains("127.0.0.1"),
                "{status} {body}: {refused}"
            );
        }
    }
    let nobody = keys(VaultSettings {
        address: "http://127.0.0.1:1".to_owned(),
        ..vault.settings()
    });
    let away = nobody.unwrap(&good).await.unwrap_err();
    assert_eq!(away.kind, PortErrorKind::Unavailable);
    assert!(!away.message.contains("127.0.0.1"), "{away}");
    for token in ["", "two words", "canary\u{e9}"] {
        std::fs::write(vault.token_file(), token).unwrap();
        let refused = keys(vault.settings()).unwrap(&good).await.unwrap_err();
        assert!(!refused.message.contains("canary"), "{refused}");
    }
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_once_its_file_names_it() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let vault = Vault::double().await;
    let names = vec!["localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let (pem, der) = (made.cert.pem(), made.cert.der().clone());
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let server = rustls::ServerConfig::builder().with_no_client_auth();
    let acceptor =
        tokio_rustls::TlsAcceptor::from(Arc::new(server.with_single_cert(vec![der], key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut read = [0; 4096];
            let _ = stream.read(&mut read).await;
            let body = r#"{"data":{"ciphertext":"vault:v1:AAAA"}}"#;
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length";
            let answer = format!("{head}: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    let ca_file = vault.folder.path().join("ca.pem");
    let other = rcgen::generate_simple_self_signed(vec!["other".to_owned()]).unwrap();
    std::fs::write(&ca_file, other.cert.pem()).unwrap();
    let keys = keys(VaultSettings {
        address: format!("https://localhost:{port}"),
        ca_file: Some(ca_file.clone()),
        ..vault.settings()
    });
    assert!(keys.current().await.is_err());
    std::fs::write(&ca_file, pem).unwrap();
    assert_eq!(keys.current().await.unwrap(), "vault:transit/cfgw:v1");
}
