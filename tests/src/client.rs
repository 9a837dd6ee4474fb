//! A client of the stand-in's public side, as a browser would be one: it finds the address by the
//! stand-in's DNS, so a name resolves only if the product made it resolve, and trusts the stand-in's
//! authority.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use http_body_util::StreamBody;
use hyper::body::Frame;
use reqwest::dns::{Name, Resolve, Resolving};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// What a request came back with.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Response headers.
    pub headers: reqwest::header::HeaderMap,
    /// The whole body.
    pub body: String,
}

impl Answer {
    /// A field of the JSON with which an [`crate::origin::Origin`] answers.
    pub fn told(&self, field: &str) -> String {
        let json: serde_json::Value = serde_json::from_str(&self.body)
            .unwrap_or_else(|_| panic!("not an endpoint's answer: {} {}", self.status, self.body));
        json[field]
            .as_str()
            .map_or_else(|| json[field].to_string(), str::to_owned)
    }
}

/// The client. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    names: Names,
    ca_pem: String,
    https_port: u16,
    http: reqwest::Client,
}

impl Client {
    /// `dns` is the stand-in's name server, the port that of its public TLS listener.
    pub fn new(dns: SocketAddr, https_port: u16, ca_pem: &str) -> Self {
        let names = Names {
            resolver: Arc::new(resolver(dns)),
            https_port,
        };
        let ca = reqwest::Certificate::from_pem(ca_pem.as_bytes())
            .expect("the stand-in's authority is PEM");
        let http = reqwest::Client::builder()
            .tls_certs_only([ca])
            .dns_resolver(Arc::new(names.clone()))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(30))
            .no_proxy()
            .build()
            .expect("client settings are constants");
        Self {
            names,
            ca_pem: ca_pem.to_owned(),
            https_port,
            http,
        }
    }

    /// The HTTP client itself, for requests with bodies and headers.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// GET. The error says what failed.
    pub async fn get(&self, url: &str) -> Result<Answer, String> {
        self.send(self.http.get(url)).await
    }

    /// Any request.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, String> {
        let told = |e: reqwest::Error| format!("{e:?}");
        let response = request.send().await.map_err(told)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.text().await.map_err(told)?;
        Ok(Answer {
            status,
            headers,
            body,
        })
    }

    /// A request with a body of chunks.
    pub async fn post_stream<S>(
        self,
        request: reqwest::RequestBuilder,
        chunks: S,
    ) -> Result<Answer, String>
    where
        S: Stream<Item = Result<Bytes, Infallible>> + Send + Sync + 'static,
    {
        let body = StreamBody::new(chunks.map(|chunk| chunk.map(Frame::data)));
        let request = request.body(reqwest::Body::wrap(body));
        self.send(request).await
    }

    /// Addresses that a name resolves to.
    pub async fn resolve(&self, name: &str) -> Result<Vec<std::net::IpAddr>, String> {
        self.names.look_up(name).await
    }

    /// A TLS connection to the public listener of a name. `alpn` as offered: `h2`, `http/1.1`.
    pub async fn connect(&self, name: &str, alpn: &str) -> Result<TlsStream<TcpStream>, String> {
        let addresses = self.resolve(name).await?;
        let address = *addresses
            .first()
            .ok_or_else(|| format!("{name} has no address"))?;
        let roots = roots(&self.ca_pem)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let tcp = TcpStream::connect((address, self.https_port))
            .await
            .map_err(|e| e.to_string())?;
        let server = ServerName::try_from(name.to_owned()).map_err(|e| e.to_string())?;
        tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(server, tcp)
            .await
            .map_err(|e| e.to_string())
    }
}

/// A store with the certificates of a PEM text.
pub fn roots(pem: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots
            .add(certificate.map_err(|e| e.to_string())?)
            .map_err(|e| e.to_string())?;
    }
    Ok(roots)
}

fn resolver(dns: SocketAddr) -> TokioResolver {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = dns.port();
        connection
    });
    let server = NameServerConfig::new(dns.ip(), true, connections.to_vec());
    let config = ResolverConfig::from_name_servers(vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    // Each question is asked: a cached answer would hide a record that has gone.
    builder.options_mut().cache_size = 0;
    builder.options_mut().timeout = Duration::from_secs(2);
    builder
        .build()
        .expect("a resolver with one given name server")
}

#[derive(Clone)]
struct Names {
    resolver: Arc<TokioResolver>,
    https_port: u16,
}

impl Names {
    async fn look_up(&self, name: &str) -> Result<Vec<std::net::IpAddr>, String> {
        let found = self
            .resolver
            .lookup_ip(format!("{name}."))
            .await
            .map_err(|e| e.to_string())?;
        Ok(found.iter().collect())
    }
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let names = self.clone();
        Box::pin(async move {
            // The port stands in for 443: a URL without a port keeps the Host header as a browser sends it.
            let found = names.look_up(name.as_str()).await?;
            let port = names.https_port;
            let addresses: Vec<_> = found
                .into_iter()
                .map(|ip| SocketAddr::new(ip, port))
                .collect();
            Ok(Box::new(addresses.into_iter()) as reqwest::dns::Addrs)
        })
    }
}
