//! What stands behind every subject: answers each request with the same short page.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::features::ORIGIN_NAME;
use crate::http::head_length;

const PAGE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\n\
Content-Length: 100\r\n\r\n\
0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";

/// Serves until the program ends. Says where.
pub(crate) async fn start() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.set_nodelay(true)?;
                serve(stream).await
            });
        }
    });
    Ok(address)
}

/// The same over TLS 1.3, with a certificate that is its own authority and is written into the folder.
pub(crate) async fn start_tls(folder: &Path) -> anyhow::Result<(SocketAddr, PathBuf)> {
    let params = CertificateParams::new(vec![ORIGIN_NAME.to_owned()])?;
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let file = folder.join("origin.pem");
    std::fs::write(&file, certificate.pem())?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                stream.set_nodelay(true)?;
                serve(acceptor.accept(stream).await?).await
            });
        }
    });
    Ok((address, file))
}

/// Requests have no body here.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(4096);
    while stream.read_buf(&mut buffer).await? > 0 {
        while let Some(head) = head_length(&buffer) {
            buffer.drain(..head);
            stream.write_all(PAGE).await?;
        }
        stream.flush().await?;
    }
    Ok(())
}
