//! Authorizers that answer as a test has them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use domain::gateway::{AuthProtocol, ExternalAuth};
use domain::route_table::{TableFilter, UpstreamKey, UpstreamProtocol, UpstreamProtocol::Http1};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

use crate::endpoint::Endpoint;
use crate::rig::{Sketch, data, service, share};

pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// An authorizer that answers as it is told, and what it was asked.
pub(crate) struct Authorizer {
    pub(crate) at: SocketAddr,
    seen: Arc<Mutex<Vec<Request<Bytes>>>>,
}

impl Authorizer {
    pub(crate) async fn start(
        answer: impl Fn(&Request<Bytes>) -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (asked, answer) = (Arc::clone(&seen), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (asked, answer) = (Arc::clone(&asked), Arc::clone(&answer));
                let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                    let (asked, answer) = (Arc::clone(&asked), Arc::clone(&answer));
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await?.to_bytes();
                        let request = Request::from_parts(head, body);
                        let response = answer(&request);
                        asked.lock().unwrap().push(request);
                        Ok::<_, hyper::Error>(response)
                    }
                });
                let io = TokioIo::new(stream);
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(io, service).await;
                });
            }
        });
        Self { at, seen }
    }

    /// One that answers with a status, fields and a text.
    pub(crate) async fn saying(
        status: u16,
        fields: &'static [(&str, &str)],
        text: &'static str,
    ) -> Self {
        Self::start(move |_| says(status, fields, text)).await
    }

    pub(crate) fn take(&self) -> Vec<Request<Bytes>> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

pub(crate) fn says(status: u16, fields: &[(&str, &str)], text: &'static str) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    response.body(of_frames(vec![data(text)])).unwrap()
}

pub(crate) fn of_frames(frames: Vec<Result<Frame<Bytes>, adapter_proxy::BoxError>>) -> Body {
    let frames = frames.into_iter();
    let frames = frames.map(|frame| frame.map_err(std::io::Error::other));
    StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
}

/// Asks Service `auth` by HTTP.
pub(crate) fn by_http() -> ExternalAuth<UpstreamKey> {
    ExternalAuth {
        to: Some(service("auth")),
        protocol: AuthProtocol::Http {
            prefix: String::new(),
            request_headers: vec![],
            answer_headers: vec![],
        },
        max_body: 0,
    }
}

/// A table with one rule, its backend, and an authorizer.
pub(crate) fn sketch(
    filters: Vec<TableFilter>,
    app: &Endpoint,
    auth: (UpstreamProtocol, SocketAddr),
) -> Sketch {
    Sketch::default()
        .rule("/", filters, vec![share("app", 1)])
        .upstream("app", Http1, &[app.at])
        .upstream("auth", auth.0, &[auth.1])
}
