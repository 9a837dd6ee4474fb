//! One request of the edge: from its headers to an arrival, and from the handler's answer to what the
//! edge expects.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use domain::capabilities::EdgeKind;
use domain::route_table::{Arrival, ConnectionRefused, Scheme};
use futures_util::FutureExt;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};

use crate::body::{BoxError, RequestBody};
use crate::handler::RequestHandler;
use crate::stalls::Progress;
use crate::wire::headers::{
    ARRIVAL_PORT, ARRIVAL_SERVER_NAME, CLIENT_ADDRESS, CLIENT_SCHEME, CONNECTION_REFUSED,
    CONNECTOR_ID, FROM_CONNECTOR, FROM_ORIGIN, RESPONSE_HEADERS, RESPONSE_META, serialize,
    strip_hop,
};

/// An answer broke off. The transport looks into an error for the code to reset the stream with; one that an endpoint
/// reset its own stream with says something else to the edge: that all is well, or that the request may be repeated.
/// So this error has no source.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off: {0}")]
struct Cut(String);

/// The body of an answer to the edge.
pub(crate) enum AnswerBody<B> {
    /// The handler's; its error resets the stream. With the progress, which notes when a part of it waits for the edge.
    Handler(Pin<Box<B>>, Option<Arc<Progress>>),
    Connector(Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>),
}

impl<B> AnswerBody<B> {
    /// A body of the connector's own.
    pub(crate) fn own(
        body: impl Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    ) -> Self {
        let body = http_body_util::BodyExt::map_err(body, Into::into);
        Self::Connector(Box::pin(body))
    }

    pub(crate) fn text(text: impl Into<Bytes>) -> Self {
        Self::own(http_body_util::Full::new(text.into()))
    }
}

impl<B> Body for AnswerBody<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Handler(body, progress) => {
                let frame = body.as_mut().poll_frame(cx);
                if let Some(progress) = progress {
                    progress.answer_waits(matches!(frame, Poll::Ready(Some(Ok(_)))));
                }
                frame.map_err(|error| Cut(error.into().to_string()).into())
            }
            Self::Connector(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Handler(body, _) => body.is_end_stream(),
            Self::Connector(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Handler(body, _) => body.size_hint(),
            Self::Connector(body) => body.size_hint(),
        }
    }
}

/// Headers of a request at most. Half as many again can be held, so that there is room for those that are
/// added on the way: to add one beyond what can be held is a panic.
pub(crate) const MAX_HEADERS: usize = 16 << 10;

/// Whether a request is one to upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upgrade {
    None,
    /// To a WebSocket: both bodies are byte streams.
    WebSocket,
}

/// Has a request answered by the handler, as the edge expects it over HTTP/2. Dropping the future gives
/// the request up.
pub(crate) async fn answer<H: RequestHandler>(
    handler: &H,
    connector_id: &HeaderValue,
    upgrade: Upgrade,
    request: Request<RequestBody>,
) -> Response<AnswerBody<H::Body>> {
    match handled(handler, connector_id, upgrade, request).await {
        Ok(response) => for_edge(response),
        Err(status) => refusal(status),
    }
}

/// Has a request answered by the handler. Dropping the future gives the request up.
///
/// # Errors
/// The status of the connector's own answer, where there is none of the handler's.
pub(crate) async fn handled<H: RequestHandler>(
    handler: &H,
    connector_id: &HeaderValue,
    upgrade: Upgrade,
    request: Request<RequestBody>,
) -> Result<Response<H::Body>, StatusCode> {
    let (mut head, body) = request.into_parts();
    if head.headers.len() > MAX_HEADERS {
        tracing::info!("request refused: it has too many headers");
        return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    let Some(mut arrival) = arrival(&head) else {
        tracing::info!("request refused: it has no usable host");
        return Err(StatusCode::BAD_REQUEST);
    };
    let edge = handler.edge();
    arrival.hands_certificates = edge.hands_certificates();
    if edge == EdgeKind::TellingArrival {
        arrival = told(arrival, &mut head.headers);
    }
    prepare(&mut head, connector_id, upgrade);
    let request = Request::from_parts(head, body);
    // What a panicking handler leaves behind is its own; the other requests of the connection go on.
    let handled = AssertUnwindSafe(async { handler.handle(arrival, request).await });
    let mut response = handled.catch_unwind().await.map_err(|_| {
        tracing::error!("the handler of a request panicked");
        StatusCode::BAD_GATEWAY
    })?;
    if edge == EdgeKind::TellingArrival {
        tell_refusal(&mut response);
    }
    Ok(response)
}

/// Has an edge that tells more than Cloudflare's close the connection of a client that is refused. An endpoint cannot ask
/// for it.
fn tell_refusal<B>(response: &mut Response<B>) {
    response.headers_mut().remove(CONNECTION_REFUSED);
    if response.extensions().get::<ConnectionRefused>().is_some() {
        let yes = HeaderValue::from_static("1");
        response.headers_mut().insert(CONNECTION_REFUSED, yes);
    }
}

/// An answer of the connector's own: it could not get another.
pub(crate) fn refusal<B>(status: StatusCode) -> Response<AnswerBody<B>> {
    let mut response = Response::new(AnswerBody::text(Bytes::new()));
    *response.status_mut() = status;
    response.headers_mut().insert(RESPONSE_META, FROM_CONNECTOR);
    response
}

/// What the edge says of how a request came. `None` where it has no usable host.
fn arrival(head: &Parts) -> Option<Arrival> {
    let text = |name: HeaderName| head.headers.get(name).and_then(|v| v.to_str().ok());
    let scheme = match text(CLIENT_SCHEME) {
        Some(scheme) if scheme.eq_ignore_ascii_case("http") => Scheme::Http,
        _ => Scheme::Https,
    };
    let client = text(CLIENT_ADDRESS).and_then(|a| a.trim().parse::<IpAddr>().ok());
    let authority = match head.uri.authority() {
        Some(authority) => authority.as_str(),
        None => text(header::HOST)?,
    };
    Arrival::new(scheme, authority, client)
}

/// With what an edge tells that tells more than Cloudflare's.
fn told(arrival: Arrival, headers: &mut HeaderMap) -> Arrival {
    let (port, name) = (
        headers.remove(ARRIVAL_PORT),
        headers.remove(ARRIVAL_SERVER_NAME),
    );
    let port = port.as_ref().and_then(|port| port.to_str().ok());
    let name = name.as_ref().and_then(|name| name.to_str().ok());
    arrival.told(port.and_then(|port| port.parse().ok()), name)
}

/// Makes an edge's request one of a client.
fn prepare(head: &mut Parts, connector_id: &HeaderValue, upgrade: Upgrade) {
    strip_hop(&mut head.headers);
    if let Some(authority) = head.uri.authority() {
        let host = HeaderValue::try_from(authority.as_str())
            .expect("an authority has no character that a header may not have");
        head.headers.insert(header::HOST, host);
    }
    join_cookies(&mut head.headers);
    head.headers.insert(CONNECTOR_ID, connector_id.clone());
    if upgrade == Upgrade::WebSocket {
        let upgrade = HeaderValue::from_static("Upgrade");
        head.headers.insert(header::CONNECTION, upgrade);
        let websocket = HeaderValue::from_static("websocket");
        head.headers.insert(header::UPGRADE, websocket);
        let version = HeaderValue::from_static("13");
        head.headers.insert(header::SEC_WEBSOCKET_VERSION, version);
    } else {
        head.headers.remove(header::UPGRADE);
    }
}

/// HTTP/2 may carry cookies in several fields; everything behind it knows one (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let cookies: Vec<&[u8]> = headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if cookies.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, joined);
    }
}

/// The handler's answer as the edge expects it over HTTP/2: its headers in one, the length as well as a
/// header of its own, and 200 where a WebSocket is accepted, because HTTP/2 has no 101.
fn for_edge<B>(response: Response<B>) -> Response<AnswerBody<B>> {
    let (mut head, body) = response.into_parts();
    let given = std::mem::take(&mut head.headers);
    head.headers.insert(RESPONSE_META, FROM_ORIGIN);
    head.headers.insert(RESPONSE_HEADERS, serialize(&given));
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        head.status = StatusCode::OK;
    } else if let Some(length) = given.get(header::CONTENT_LENGTH) {
        head.headers.insert(header::CONTENT_LENGTH, length.clone());
    }
    // Those of HTTP/1 connections among them mean nothing to the connection to the edge.
    head.version = http::Version::HTTP_2;
    head.extensions = http::Extensions::new();
    let body = AnswerBody::Handler(Box::pin(body), Progress::of_this_task());
    Response::from_parts(head, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(uri: &str, headers: &[(&'static str, &'static str)]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn an_edge_that_tells_more_tells_port_and_server_name() {
        for (headers, port, server_name) in [
            (&[][..], 443, None),
            (
                &[
                    ("cf-arrival-port", "8090"),
                    ("cf-arrival-server-name", "App.example.com"),
                ],
                8090,
                Some("app.example.com"),
            ),
            (&[("cf-arrival-port", "0")], 443, None),
            (&[("cf-arrival-port", "port")], 443, None),
        ] {
            let mut head = head("https://app.example.com/a", headers);
            let arrival = arrival(&head).unwrap();
            let told = told(arrival, &mut head.headers);
            assert_eq!(told.port, port, "{headers:?}");
            assert_eq!(told.server_name.as_deref(), server_name, "{headers:?}");
            assert!(head.headers.is_empty(), "endpoints do not get them");
        }
    }

    #[test]
    fn only_an_answer_of_the_proxys_own_has_a_connection_closed() {
        for (given, is_refused) in [("the proxy refuses", true), ("an endpoint says so", false)] {
            let mut response = Response::builder()
                .header("cf-arrival-refused", "1")
                .body(())
                .unwrap();
            if is_refused {
                response.extensions_mut().insert(ConnectionRefused);
            }
            tell_refusal(&mut response);
            let told = response.headers().get(CONNECTION_REFUSED);
            assert_eq!(told.is_some(), is_refused, "{given}");
        }
    }

    #[test]
    fn an_arrival_is_what_the_edge_says() {
        let client = "192.0.2.7".parse().ok();
        for (uri, headers, then) in [
            (
                "https://App.example.com./a",
                &[][..],
                Arrival::new(Scheme::Https, "app.example.com", None),
            ),
            (
                "https://app.example.com/a",
                &[
                    ("x-forwarded-proto", "http"),
                    ("cf-connecting-ip", "192.0.2.7"),
                ],
                Arrival::new(Scheme::Http, "app.example.com", client),
            ),
            (
                "/a",
                &[
                    ("host", "app.example.com:8443"),
                    ("cf-connecting-ip", "nobody"),
                ],
                Arrival::new(Scheme::Https, "app.example.com:8443", None),
            ),
            ("/a", &[], None),
            ("https://user@app.example.com/a", &[], None),
            ("https://app.example.com:0/a", &[], None),
        ] {
            assert_eq!(arrival(&head(uri, headers)), then, "{uri} {headers:?}");
        }
    }

    #[test]
    fn a_prepared_request_is_a_clients_own_with_the_connectors_name() {
        let mut head = head(
            "https://app.example.com/a",
            &[
                ("cf-cloudflared-proxy-connection-upgrade", "websocket"),
                ("cookie", "a=1"),
                ("cookie", "b=2"),
            ],
        );
        let connector_id = HeaderValue::from_static("00000000-0000-0000-0000-000000000000");
        prepare(&mut head, &connector_id, Upgrade::WebSocket);
        let expected = [
            ("cookie", "a=1; b=2"),
            ("host", "app.example.com"),
            ("cf-warp-tag-id", "00000000-0000-0000-0000-000000000000"),
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
        ];
        assert_eq!(head.headers.len(), expected.len());
        for (name, value) in expected {
            assert_eq!(head.headers[name], value, "{name}");
        }
    }

    #[tokio::test]
    async fn how_an_answer_broke_off_is_told_and_not_passed_on() {
        use http_body_util::BodyExt;
        let cause = "the endpoint reset its stream".parse::<u8>().unwrap_err();
        let frames = [Err::<Frame<Bytes>, BoxError>(cause.into())];
        let body = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
        let sent = for_edge(Response::new(body));

        let error = sent.into_body().collect().await.unwrap_err();

        assert!(error.to_string().starts_with("the answer broke off: "));
        assert!(error.source().is_none() && error.is::<Cut>());
    }

    #[test]
    fn an_accepted_websocket_goes_to_the_edge_as_200_without_a_length() {
        let response = Response::builder()
            .status(101)
            .header("sec-websocket-accept", "x")
            .header("content-length", "0")
            .body(())
            .unwrap();
        let sent = for_edge(response);
        assert_eq!(sent.status(), 200);
        assert_eq!(sent.headers().get(header::CONTENT_LENGTH), None);
        assert_eq!(sent.headers()[RESPONSE_META], FROM_ORIGIN);
    }
}
