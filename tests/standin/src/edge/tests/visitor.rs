//! Visitors: raw HTTP/1.1 text, and hyper for the rest.

use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::HOST;
use crate::edge::Edge;
use crate::edge::body::{Body, empty};

/// TLS that trusts the edge's authority and nobody else.
pub(super) fn tls_config(edge: &Edge) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    let pem = edge.ca_pem();
    roots
        .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// The same over TCP, offering these names by ALPN.
pub(super) fn tls_connector(edge: &Edge, alpn: &[&str]) -> TlsConnector {
    let mut config = tls_config(edge);
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

/// A TLS connection to a public listener.
pub(super) async fn tls(
    edge: &Edge,
    address: SocketAddr,
    name: &str,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    tls_connector(edge, alpn).connect(name, tcp).await
}

/// Sends text to a cleartext listener and reads until the edge closes.
pub(super) async fn raw(address: SocketAddr, request: &str) -> String {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    // A reset after the response is an end too.
    let _ = super::soon("the response ends", tcp.read_to_end(&mut response)).await;
    String::from_utf8(response).unwrap()
}

/// A GET for [`HOST`] with further header lines; the edge closes after its answer.
pub(super) async fn get(edge: &Edge, path: &str, lines: &str) -> String {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{lines}\r\n");
    raw(edge.public_http(), &request).await
}

/// The status in a raw response.
pub(super) fn status(response: &str) -> u16 {
    let code = response.split(' ').nth(1).unwrap_or_default();
    code.parse()
        .unwrap_or_else(|_| panic!("no status: {response}"))
}

/// An HTTP/1.1 connection in cleartext.
pub(super) async fn http1(edge: &Edge) -> http1::SendRequest<Body> {
    let tcp = TcpStream::connect(edge.public_http()).await.unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(tcp)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// An HTTP/2 connection over TLS.
pub(super) async fn http2(edge: &Edge) -> http2::SendRequest<Body> {
    let stream = tls(edge, edge.public_https(), HOST, &["h2"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

/// A request for [`HOST`] as HTTP/1.1 wants it.
pub(super) fn request(path: &str) -> http::Request<Body> {
    let request = http::Request::get(path).header("host", HOST);
    request.body(empty()).unwrap()
}

/// A request for [`HOST`] as HTTP/2 wants it.
pub(super) fn request2(path: &str) -> http::Request<Body> {
    let request = http::Request::get(format!("https://{HOST}{path}"));
    request.body(empty()).unwrap()
}

/// The same request as a POST.
pub(super) fn post(mut request: http::Request<Body>) -> http::Request<Body> {
    *request.method_mut() = http::Method::POST;
    request
}

/// The whole body as text.
pub(super) async fn text(response: http::Response<hyper::body::Incoming>) -> String {
    let body = super::soon("the body ends", response.into_body().collect()).await;
    String::from_utf8(body.unwrap().to_bytes().to_vec()).unwrap()
}
