//! TLS in front of endpoints that speak none.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A running front; stops when dropped.
pub struct TlsFront {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its certificate, which is its own authority.
    pub ca_pem: String,
    task: JoinHandle<()>,
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TlsFront {
    /// Stands before endpoints, each with the name by which it is asked for, and offers these protocols.
    pub async fn before(endpoints: &[(&str, SocketAddr)], alpn: &[&str]) -> Self {
        let names = endpoints.iter().map(|(name, _)| (*name).to_owned());
        let params = CertificateParams::new(names.collect::<Vec<_>>()).expect("names");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a key of the certificate");
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let endpoints = endpoints.iter().map(|(name, at)| ((*name).to_owned(), *at));
        let endpoints: Arc<[(String, SocketAddr)]> = endpoints.collect();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, endpoints) = (acceptor.clone(), endpoints.clone());
                tokio::spawn(async move {
                    // A connection that is refused or breaks off is no concern of the front.
                    let _ = serve(&acceptor, &endpoints, stream).await;
                });
            }
        });
        Self {
            address,
            ca_pem: certificate.pem(),
            task,
        }
    }
}

async fn serve(
    acceptor: &TlsAcceptor,
    endpoints: &[(String, SocketAddr)],
    stream: TcpStream,
) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let asked = stream.get_ref().1.server_name();
    let named = endpoints.iter().find(|(name, _)| Some(&**name) == asked);
    let Some((_, endpoint)) = named else {
        return Ok(());
    };
    let mut endpoint = TcpStream::connect(endpoint).await?;
    copy_bidirectional(&mut stream, &mut endpoint).await?;
    Ok(())
}
