//! Opening a stream.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use crate::authority::SERVER_NAME;
use crate::frames::{FRAMES, FrameBody, FrameReader, FrameSender};
use crate::wire::{Denial, LARGEST_TABLE, PATH};

/// Settings of a [`TableClient`](super::TableClient).
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Address of the controller, `host:port`; any of its instances.
    pub address: String,
    /// File with the proxy's token; read before each connection, because it is replaced as it ages.
    pub token_file: PathBuf,
    /// File with the certificates of the controller's authority, in PEM; read before each connection.
    pub ca_file: PathBuf,
    /// Folder for the last table; it outlives the process, not the pod.
    pub state_dir: PathBuf,
    /// Name of this replica, unique within its Gateway: the pod's.
    pub replica: String,
}

/// How long all of it may take. The controller asks the cluster about the token meanwhile.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Bytes that may be under way: a table of some MiB should not take a round trip for each 64 KiB.
const WINDOW: u32 = 4 << 20;

/// Longest answer that is read where there is no stream, in bytes.
const LONGEST_DENIAL: usize = 16 << 10;

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("{file} cannot be read: {source}")]
    File { file: String, source: io::Error },
    #[error("{0} holds no certificates in PEM")]
    Certificates(String),
    #[error("{0} holds no token")]
    Token(String),
    #[error("no connection: {0}")]
    Connect(io::Error),
    #[error("no trusted connection: {0}")]
    Tls(io::Error),
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
    #[error("the connection broke: {0}")]
    Http(#[from] hyper::Error),
    #[error("the controller says {status}: {message}")]
    Denied { status: StatusCode, message: String },
    #[error("another instance leads: {0}")]
    Elsewhere(String),
    #[error("the controller did not answer within {} s", TIMEOUT.as_secs())]
    Timeout,
}

pub(super) struct Dialled {
    pub(super) sender: FrameSender,
    pub(super) reader: FrameReader,
    /// Moves its bytes; closes the connection when dropped.
    pub(super) connection: AbortOnDropHandle<()>,
}

/// Opens a stream at this address. Whatever the address, the server must be the controller.
pub(super) async fn dial(options: &ClientOptions, address: &str) -> Result<Dialled, DialError> {
    let dialled = tokio::time::timeout(TIMEOUT, open(options, address));
    dialled.await.unwrap_or(Err(DialError::Timeout))
}

async fn open(options: &ClientOptions, address: &str) -> Result<Dialled, DialError> {
    let tls = TlsConnector::from(tls_config(&options.ca_file).await?);
    let token = read_token(&options.token_file).await?;
    let stream = TcpStream::connect(address)
        .await
        .map_err(DialError::Connect)?;
    // Acknowledgements are small and awaited. A socket that refuses this works all the same.
    drop(stream.set_nodelay(true));
    let name = ServerName::try_from(SERVER_NAME).expect("the server name is a DNS name");
    let stream = tls.connect(name, stream).await.map_err(DialError::Tls)?;
    let (mut requests, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .handshake(TokioIo::new(stream))
        .await?;
    let connection = AbortOnDropHandle::new(tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection to the controller broke");
        }
    }));
    let (sender, body) = FrameBody::channel();
    let answer = requests
        .send_request(request(&token, body, options)?)
        .await?;
    if answer.status() != StatusCode::OK {
        return Err(denied(answer).await);
    }
    let reader = FrameReader::new(answer.into_body(), LARGEST_TABLE);
    Ok(Dialled {
        sender,
        reader,
        connection,
    })
}

fn request(
    token: &SecretString,
    body: FrameBody,
    options: &ClientOptions,
) -> Result<Request<FrameBody>, DialError> {
    let bearer = format!("Bearer {}", token.expose_secret());
    let mut bearer = HeaderValue::try_from(bearer)
        .map_err(|_| DialError::Token(options.token_file.display().to_string()))?;
    bearer.set_sensitive(true);
    let mut request = Request::new(body);
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = Uri::builder()
        .scheme("https")
        .authority(SERVER_NAME)
        .path_and_query(PATH)
        .build()
        .expect("its parts are constants");
    let headers = request.headers_mut();
    headers.insert(AUTHORIZATION, bearer);
    let kind = HeaderValue::from_static(FRAMES);
    headers.insert(CONTENT_TYPE, kind);
    Ok(request)
}

async fn denied(answer: Response<Incoming>) -> DialError {
    let status = answer.status();
    if status == StatusCode::TEMPORARY_REDIRECT {
        let location = answer.headers().get(LOCATION);
        let location = location.and_then(|value| value.to_str().ok()?.parse::<Uri>().ok());
        if let Some(leader) = location.as_ref().and_then(Uri::authority) {
            return DialError::Elsewhere(leader.to_string());
        }
    }
    let body = Limited::new(answer.into_body(), LONGEST_DENIAL)
        .collect()
        .await;
    let body = body
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let denial = serde_json::from_slice::<Denial>(&body);
    let message = denial.map_or_else(|_| "no reason given".to_owned(), |d| d.message);
    DialError::Denied { status, message }
}

async fn tls_config(ca_file: &Path) -> Result<Arc<ClientConfig>, DialError> {
    let pem = read(ca_file).await?;
    let unusable = || DialError::Certificates(ca_file.display().to_string());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| unusable())?;
        roots.add(certificate).map_err(|_| unusable())?;
    }
    if roots.is_empty() {
        return Err(unusable());
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

async fn read_token(file: &Path) -> Result<SecretString, DialError> {
    let bytes = read(file).await?;
    let token = String::from_utf8(bytes).unwrap_or_default();
    match token.trim() {
        "" => Err(DialError::Token(file.display().to_string())),
        token => Ok(token.into()),
    }
}

async fn read(file: &Path) -> Result<Vec<u8>, DialError> {
    tokio::fs::read(file)
        .await
        .map_err(|source| DialError::File {
            file: file.display().to_string(),
            source,
        })
}
