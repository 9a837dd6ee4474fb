//! The way of a visitor's request: host, tunnel, connection, answer.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{CONNECTION, HOST, HeaderValue, UPGRADE};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, request};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use rustls::pki_types::CertificateDer;
use uuid::Uuid;

use super::Shared;
use super::body::{Body, Guarded, empty, incoming};
use super::errors::EdgeError;
use super::headers::{self, Ray, Scheme};
use super::line::{RequestKind, SendFailure};
use super::registry::InFlight;
use super::websocket::{self, Handover};
use crate::cloud::HostRoute;

/// How a request came to the edge.
#[derive(Debug, Clone)]
pub(super) struct Visit {
    pub(super) visitor: IpAddr,
    pub(super) scheme: Scheme,
    /// The tunnel whose own address it came to, where that alone decides.
    pub(super) direct: Option<Uuid>,
    /// The port that it came to and the server name of its TLS handshake, where connectors are told these.
    pub(super) port: Option<u16>,
    pub(super) server_name: Option<Arc<str>>,
    /// The certificates that the visitor showed, its own first, where connectors are told these.
    pub(super) shown: Option<Arc<[CertificateDer<'static>]>>,
}

/// The connector refuses the visitor, whose connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connector refuses the visitor")]
pub(super) struct Refused;

/// Answers one request; an error of the edge is an answer too.
///
/// # Errors
/// Only where connectors are told of arrivals: then one may refuse a visitor.
pub(super) async fn answer(
    shared: Arc<Shared>,
    visit: Visit,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refused> {
    let ray = Ray::new();
    let may_refuse = visit.port.is_some();
    let mut response = match from_origin(&shared, visit, request, &ray).await {
        Ok(response) => response,
        Err(error) => {
            tracing::debug!(%error, ?ray, "no answer from the origin");
            error.page()
        }
    };
    if may_refuse && response.headers().contains_key(headers::ARRIVAL_REFUSED) {
        return Err(Refused);
    }
    headers::sign(response.headers_mut(), &ray);
    Ok(response)
}

async fn from_origin(
    shared: &Shared,
    visit: Visit,
    request: Request<Incoming>,
    ray: &Ray,
) -> Result<Response<Body>, EdgeError> {
    let authority = authority(request.uri(), request.headers())?;
    if visit.direct.is_none() {
        require_name(&authority)?;
    }
    let tunnel = tunnel(shared, &visit, &authority)?;
    let mut passage = Passage::new(request, authority, &visit, ray)?;
    let sent = send(shared, tunnel, &mut passage);
    let (response, in_flight) = tokio::time::timeout(shared.answer_within, sent)
        .await
        .map_err(|_| EdgeError::TooSlow)??;
    passage.finish(response, in_flight)
}

/// The host that the visitor asks for, exactly as written, port included.
/// RFC 9112, section 3.2.2: the target's authority goes before Host. RFC 9112, section 3.2: a request
/// without Host, or with more than one, is answered 400.
fn authority(target: &Uri, headers: &HeaderMap) -> Result<Authority, EdgeError> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(EdgeError::BadRequest("several Host headers"));
    }
    let authority = match (target.authority(), host) {
        (Some(authority), _) => authority.clone(),
        (None, Some(host)) => Authority::try_from(host.as_bytes())
            .map_err(|_| EdgeError::BadRequest("Host is not a host"))?,
        (None, None) => return Err(EdgeError::BadRequest("no Host")),
    };
    let name = authority.host();
    let port_follows = authority.as_str().len() > name.len();
    if authority.as_str().contains('@') || (port_follows && authority.port_u16().is_none()) {
        return Err(EdgeError::BadRequest("Host is not a host and a port"));
    }
    Ok(authority)
}

/// Refuses a host that can have no record.
fn require_name(authority: &Authority) -> Result<(), EdgeError> {
    let name = authority.host();
    let literal = name.trim_start_matches('[').trim_end_matches(']');
    if literal.parse::<IpAddr>().is_ok() {
        return Err(EdgeError::AddressAsHost);
    }
    let of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if name.is_empty() || !name.bytes().all(of_a_name) {
        return Err(EdgeError::BadRequest("Host is not a DNS name"));
    }
    Ok(())
}

fn tunnel(shared: &Shared, visit: &Visit, authority: &Authority) -> Result<Uuid, EdgeError> {
    if let Some(tunnel) = visit.direct {
        return Ok(tunnel);
    }
    match shared.cloud.route(authority.as_str()) {
        HostRoute::Tunnel { tunnel, .. } => Ok(tunnel),
        HostRoute::NotProxied | HostRoute::NoRecord => Err(EdgeError::UnknownHost),
        HostRoute::ForeignAccount => Err(EdgeError::ForeignAccount),
        HostRoute::OtherTarget => Err(EdgeError::OriginDns),
    }
}

/// Sends a request to one connection of the tunnel after the other, as long as sending it again can
/// do no harm (RFC 9110, section 9.2.2).
async fn send(
    shared: &Shared,
    tunnel: Uuid,
    passage: &mut Passage,
) -> Result<(Response<Body>, Arc<InFlight>), EdgeError> {
    let mut tried = Vec::new();
    loop {
        let Some(in_flight) = shared.registry.choose(tunnel, &tried) else {
            let none_at_all = tried.is_empty();
            return Err(if none_at_all {
                EdgeError::NoConnection
            } else {
                EdgeError::NoAnswer
            });
        };
        let in_flight = Arc::new(in_flight);
        let connection = in_flight.connection();
        tried.push(connection.id());
        let request = passage.request(&in_flight);
        match connection.send(passage.kind(), request).await {
            Ok(response) => return Ok((response, in_flight)),
            Err(SendFailure::Unsent(request)) => passage.take_back(*request),
            Err(SendFailure::ConnectionEnded) if passage.may_repeat() => {}
            Err(SendFailure::ConnectionEnded) => return Err(EdgeError::NoAnswer),
            Err(SendFailure::StreamFailed(error)) => {
                tracing::debug!(%error, "stream failed");
                return Err(EdgeError::NoAnswer);
            }
            Err(SendFailure::OriginUnreachable) => return Err(EdgeError::OriginUnreachable),
            Err(SendFailure::Malformed(error)) => {
                tracing::warn!(%error, "response of a connector");
                return Err(EdgeError::MalformedAnswer);
            }
        }
    }
}

/// A request on its way, with what is needed to send it once more.
struct Passage {
    head: request::Parts,
    payload: Payload,
}

/// What follows the head of a request.
enum Payload {
    Nothing,
    /// Absent once it is given away.
    Body(Option<Body>),
    /// A WebSocket: the visitor's bytes follow when the origin has agreed.
    WebSocket(OnUpgrade, Option<Handover>),
}

impl Passage {
    fn new(
        mut request: Request<Incoming>,
        authority: Authority,
        visit: &Visit,
        ray: &Ray,
    ) -> Result<Self, EdgeError> {
        if request.method() == Method::CONNECT {
            return Err(EdgeError::BadRequest("the edge is no proxy"));
        }
        let websocket = request.version() < http::Version::HTTP_2
            && request.method() == Method::GET
            && headers::asks_for_websocket(request.headers());
        let upgrade = websocket.then(|| hyper::upgrade::on(&mut request));
        let (mut head, body) = request.into_parts();
        head.uri = tunnel_uri(&head.uri, authority)?;
        head.version = http::Version::HTTP_2;
        head.extensions = http::Extensions::new();
        headers::for_connector(&mut head.headers, visit.visitor, visit.scheme, ray);
        headers::tell_arrival(&mut head.headers, visit.port, visit.server_name.as_deref());
        if let Some(shown) = &visit.shown {
            headers::tell_certificates(&mut head.headers, shown);
        }
        let payload = match upgrade {
            Some(upgrade) => {
                headers::of_websocket(&mut head.headers);
                Payload::WebSocket(upgrade, None)
            }
            None if body.is_end_stream() => Payload::Nothing,
            None => Payload::Body(Some(incoming(body))),
        };
        Ok(Self { head, payload })
    }

    fn kind(&self) -> RequestKind {
        match self.payload {
            Payload::WebSocket(..) => RequestKind::WebSocket,
            Payload::Nothing | Payload::Body(_) => RequestKind::Http,
        }
    }

    /// The request for the next attempt.
    fn request(&mut self, in_flight: &Arc<InFlight>) -> Request<Body> {
        let body = match &mut self.payload {
            Payload::Nothing => empty(),
            Payload::Body(body) => body.take().unwrap_or_else(empty),
            Payload::WebSocket(_, slot) => {
                let (handover, body) = websocket::later();
                *slot = Some(handover);
                Guarded::wrap(body, in_flight.clone())
            }
        };
        Request::from_parts(self.head.clone(), body)
    }

    /// A request that never left has its body still.
    fn take_back(&mut self, request: Request<Body>) {
        if let Payload::Body(slot) = &mut self.payload {
            *slot = Some(request.into_body());
        }
    }

    /// Whether a request that may have been seen can be sent again.
    fn may_repeat(&self) -> bool {
        match self.payload {
            Payload::Nothing => self.head.method.is_idempotent(),
            Payload::WebSocket(..) => true,
            Payload::Body(_) => false,
        }
    }

    /// Turns the origin's response into the visitor's.
    fn finish(
        self,
        response: Response<Body>,
        in_flight: Arc<InFlight>,
    ) -> Result<Response<Body>, EdgeError> {
        let (mut head, body) = response.into_parts();
        headers::for_visitor(&mut head.headers);
        match (head.status, self.payload) {
            (StatusCode::SWITCHING_PROTOCOLS, Payload::WebSocket(upgrade, Some(handover))) => {
                tokio::spawn(websocket::carry(upgrade, handover, body, in_flight));
                Ok(switching_protocols(head.headers))
            }
            (StatusCode::SWITCHING_PROTOCOLS, _) => Err(EdgeError::MalformedAnswer),
            _ => {
                let mut response = Response::new(Guarded::wrap(body, in_flight));
                *response.status_mut() = head.status;
                *response.headers_mut() = head.headers;
                Ok(response)
            }
        }
    }
}

/// What the connector sees: the visitor's host and path, unchanged.
fn tunnel_uri(target: &Uri, authority: Authority) -> Result<Uri, EdgeError> {
    let path = target.path_and_query().cloned();
    let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
    Uri::builder()
        .scheme("https")
        .authority(authority)
        .path_and_query(path)
        .build()
        .map_err(|_| EdgeError::BadRequest("the target is not a path"))
}

fn switching_protocols(mut headers: HeaderMap) -> Response<Body> {
    headers.remove(http::header::CONTENT_LENGTH);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_taken_as_written_or_refused() {
        let bad = Err(400);
        for (target, hosts, expected) in [
            (
                "/",
                &["App.example.com:8443"][..],
                Ok("App.example.com:8443"),
            ),
            (
                "http://a.example.com/x",
                &["b.example.com"],
                Ok("a.example.com"),
            ),
            ("/", &["my_app.example.com"], Ok("my_app.example.com")),
            ("/", &[], bad),
            ("/", &["a.example.com", "a.example.com"], bad),
            ("/", &[""], bad),
            ("/", &["a b"], bad),
            ("/", &["user@example.com"], bad),
            ("/", &["example.com:http"], bad),
            ("/", &["example.com:70000"], bad),
            ("/", &["*.example.com"], bad),
            ("/", &["127.0.0.1:80"], Err(403)),
            ("/", &["[::1]:80"], Err(403)),
        ] {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(HOST, HeaderValue::from_static(host));
            }
            let found = authority(&target.parse().unwrap(), &headers);
            let found = found.and_then(|found| require_name(&found).map(|()| found));
            let found = found.map_err(|error| error.page().status().as_u16());
            let found = found
                .as_ref()
                .map(Authority::as_str)
                .map_err(|status| *status);
            assert_eq!(found, expected, "{target} {hosts:?}");
        }
    }
}
