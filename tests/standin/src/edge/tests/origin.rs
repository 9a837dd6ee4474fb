//! The application behind the test connector. What it does is chosen by the path.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::Notify;

use crate::edge::body::{Body, BoxError, empty, full};

/// What a WebSocket server adds to its answer.
const ACCEPTED: [(&str, &str); 2] = [
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Accept", "accepted"),
];

/// Counts what it gets and waits where a test says so.
#[derive(Default)]
pub(super) struct Origin {
    pub(super) requests: AtomicU64,
    /// Lets `/held` and `/held-stream` go on.
    pub(super) release: Arc<Notify>,
    /// Bytes that `/endless` has given away.
    pub(super) given: Arc<AtomicU64>,
    /// Bytes that `/websocket-origin-ends` has read.
    pub(super) received: Arc<AtomicU64>,
    /// Request bodies that failed in `/upload`.
    pub(super) failed_uploads: AtomicU64,
    /// Answers of `/endless` that nobody wants any more.
    pub(super) abandoned: Arc<AtomicU64>,
}

impl Origin {
    pub(super) async fn answer(&self, request: Request<Body>) -> Response<Body> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        match request.uri().path() {
            "/echo" => echo(request).await,
            "/cookies" => from_origin(
                &[
                    ("Set-Cookie", "a=1"),
                    ("Set-Cookie", "b=2"),
                    ("X-Origin", "yes"),
                ],
                full("cookies"),
            ),
            "/connector-fails" => connector_failure(),
            "/no-meta" => Response::new(empty()),
            "/websocket" => from_origin(&ACCEPTED, request.into_body()),
            "/no-websocket" => from_origin(&[], full("plain")),
            "/websocket-refuses-input" => from_origin(&ACCEPTED, full("bye")),
            "/websocket-origin-ends" => {
                tokio::spawn(read_all(request.into_body(), self.received.clone()));
                from_origin(&ACCEPTED, full("bye"))
            }
            "/held" => {
                self.release.notified().await;
                from_origin(&[], full("released"))
            }
            "/held-stream" => self.held_stream(),
            "/breaks" => from_origin(&[], breaking()),
            "/trailers" => from_origin(&[("Content-Type", "application/grpc")], with_trailers()),
            "/endless" => self.endless(),
            "/upload" => self.upload(request).await,
            _ => from_origin(&[], full("hello")),
        }
    }

    fn held_stream(&self) -> Response<Body> {
        let release = self.release.clone();
        let first = stream::once(async { Ok(Frame::data(Bytes::from("first "))) });
        let rest = stream::once(async move {
            release.notified().await;
            Ok::<_, BoxError>(Frame::data(Bytes::from("last")))
        });
        from_origin(&[], StreamBody::new(first.chain(rest)).boxed_unsync())
    }

    fn endless(&self) -> Response<Body> {
        struct OnDrop(Arc<AtomicU64>);
        impl Drop for OnDrop {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let given = self.given.clone();
        let abandoned = OnDrop(self.abandoned.clone());
        let chunks = stream::repeat_with(move || {
            let _ = &abandoned;
            given.fetch_add(16 * 1024, Ordering::Relaxed);
            Ok::<_, BoxError>(Frame::data(Bytes::from_static(&[b'x'; 16 * 1024])))
        });
        from_origin(&[], StreamBody::new(chunks).boxed_unsync())
    }

    async fn upload(&self, request: Request<Body>) -> Response<Body> {
        let mut body = request.into_body();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => length += frame.data_ref().map_or(0, Bytes::len),
                Err(_) => {
                    self.failed_uploads.fetch_add(1, Ordering::Relaxed);
                    break;
                }
            }
        }
        from_origin(&[], full(length.to_string()))
    }
}

async fn read_all(mut body: Body, received: Arc<AtomicU64>) {
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        received.fetch_add(length as u64, Ordering::Relaxed);
    }
}

/// The request as text: method, authority and path, then a line for each header, then the body.
async fn echo(request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let authority = head.uri.authority().map_or("", |a| a.as_str());
    let path = head.uri.path_and_query().map_or("", |p| p.as_str());
    let mut text = format!("{} {authority} {path}\n", head.method);
    for (name, value) in &head.headers {
        text += &format!("{name}: {}\n", value.to_str().unwrap());
    }
    text += "\n";
    let body = body.collect().await.unwrap().to_bytes();
    text += std::str::from_utf8(&body).unwrap();
    from_origin(&[("Content-Type", "text/plain")], full(text))
}

fn from_origin(headers: &[(&str, &str)], body: Body) -> Response<Body> {
    let encode = |text: &str| STANDARD_NO_PAD.encode(text);
    let pairs: Vec<_> = headers
        .iter()
        .map(|(name, value)| format!("{}:{}", encode(name), encode(value)))
        .collect();
    Response::builder()
        .header("cf-cloudflared-response-meta", r#"{"src":"origin"}"#)
        .header("cf-cloudflared-response-headers", pairs.join(";"))
        .body(body)
        .unwrap()
}

fn connector_failure() -> Response<Body> {
    Response::builder()
        .status(502)
        .header("cf-cloudflared-response-meta", r#"{"src":"cloudflared"}"#)
        .body(empty())
        .unwrap()
}

fn breaking() -> Body {
    let frames: [Result<_, BoxError>; 2] = [
        Ok(Frame::data(Bytes::from("part"))),
        Err("the application broke".into()),
    ];
    // What comes first is on its way before the failure.
    let frames = stream::iter(frames).then(|frame| async {
        if frame.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        frame
    });
    StreamBody::new(frames).boxed_unsync()
}

fn with_trailers() -> Body {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let frames: [Result<_, BoxError>; 2] = [
        Ok(Frame::data(Bytes::from("message"))),
        Ok(Frame::trailers(trailers)),
    ];
    StreamBody::new(stream::iter(frames)).boxed_unsync()
}
