//! Requests of visitors over HTTP/2: their heads and bodies both ways, as the edge and the connector write
//! them. Everything else passes as it comes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use standin::ca::CertificateAuthority;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{EDGE_NAME, client_tls, server_tls};

/// Names of a control stream and a pushed configuration.
const UPGRADE: &str = "cf-cloudflared-proxy-connection-upgrade";

/// Header fields in the order sent.
pub type Fields = Vec<(String, String)>;

/// A request of the edge and the connector's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Method of the request.
    pub method: String,
    /// Its URI.
    pub uri: String,
    /// Its header.
    pub headers: Fields,
    /// Its body, which is text in what is recorded.
    pub body: String,
    /// Status of the answer.
    pub status: u16,
    /// Its header.
    pub answer_headers: Fields,
    /// Its body.
    pub answer_body: String,
}

type Body = UnsyncBoxBody<Bytes, hyper::Error>;
type Kept = Arc<Mutex<Vec<Exchange>>>;

/// A running relay of one connection.
pub struct RequestRecorder {
    /// Where the connector dials.
    pub address: SocketAddr,
    exchanges: Kept,
}

impl RequestRecorder {
    /// Relays one connection to `edge`, under certificates of this authority.
    pub async fn start(authority: &CertificateAuthority, edge: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let acceptor = TlsAcceptor::from(Arc::new(server_tls(authority)));
        let connector = TlsConnector::from(Arc::new(client_tls(authority.pem())));
        let exchanges = Kept::default();
        let kept = exchanges.clone();
        tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.expect("a connector dials");
            let inner = acceptor.accept(tcp).await.expect("it trusts the relay");
            let (sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(inner))
                    .await
                    .expect("the connector speaks HTTP/2");
            tokio::spawn(connection);
            let tcp = TcpStream::connect(edge).await.expect("the edge listens");
            let name = ServerName::try_from(EDGE_NAME).expect("a constant");
            let outer = connector.connect(name, tcp).await.expect("trust");
            let service = service_fn(move |request| relay(sender.clone(), request, kept.clone()));
            // How it ends is of no interest.
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(outer), service)
                .await;
        });
        Self { address, exchanges }
    }

    /// Exchanges that have ended.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.exchanges.lock().expect("lock").clone()
    }
}

async fn relay(
    mut connector: SendRequest<Body>,
    request: Request<Incoming>,
    kept: Kept,
) -> Result<Response<Body>, hyper::Error> {
    if request.headers().contains_key(UPGRADE) {
        let answer = connector
            .send_request(request.map(BodyExt::boxed_unsync))
            .await?;
        return Ok(answer.map(BodyExt::boxed_unsync));
    }
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let said = (
        head.method.to_string(),
        head.uri.to_string(),
        fields(&head.headers),
    );
    let request = Request::from_parts(head, full(body.clone()));
    let (head, answer) = connector.send_request(request).await?.into_parts();
    let answer = answer.collect().await?.to_bytes();
    kept.lock().expect("lock").push(Exchange {
        method: said.0,
        uri: said.1,
        headers: said.2,
        body: text(&body),
        status: head.status.as_u16(),
        answer_headers: fields(&head.headers),
        answer_body: text(&answer),
    });
    Ok(Response::from_parts(head, full(answer)))
}

impl Exchange {
    /// The request again.
    pub fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::from(self.body.clone()));
        *request.method_mut() = self.method.parse().expect("a method");
        *request.uri_mut() = self.uri.parse().expect("a URI");
        *request.headers_mut() = header_map(&self.headers);
        request
    }

    /// The answer again.
    pub fn answer(&self) -> Response<Full<Bytes>> {
        let mut answer = Response::new(Full::from(self.answer_body.clone()));
        *answer.status_mut() = self.status.try_into().expect("a status");
        *answer.headers_mut() = header_map(&self.answer_headers);
        answer
    }
}

/// The fields of a header.
pub fn fields(headers: &HeaderMap) -> Fields {
    let text = |value: &HeaderValue| text(value.as_bytes());
    let pairs = headers.iter();
    pairs
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect()
}

/// A header of these fields.
pub fn header_map(fields: &Fields) -> HeaderMap {
    let pairs = fields.iter().map(|(name, value)| {
        let name: HeaderName = name.parse().expect("a name");
        (name, HeaderValue::from_str(value).expect("a value"))
    });
    pairs.collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("what is recorded is text")
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}
