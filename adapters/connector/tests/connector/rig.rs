//! A connector at an edge, with a handler that shows what it was given.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use adapter_connector::{
    Connector, ConnectorOptions, EdgeAddresses, EdgeRoots, RequestBody, RequestHandler,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;
use domain::route_table::Arrival;
use domain::secret::ConnectorToken;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::sync::Semaphore;

use crate::edge::{Connection, Edge, TestBody};

pub(crate) const ACCOUNT: &str = "699d98642c564d2e855e9661899b7252";
pub(crate) const SECRET: &[u8] = b"a secret of thirty-two bytes !!!";

/// A connector at an edge.
pub(crate) struct Rig {
    pub(crate) edge: Edge,
    pub(crate) connector: Connector,
    pub(crate) handler: Arc<Echo>,
}

/// Answers by path.
pub(crate) struct Echo {
    /// Requests to `/wait` that have begun.
    pub(crate) waiting: AtomicUsize,
    /// Requests to `/wait` that were given up.
    pub(crate) given_up: Arc<AtomicUsize>,
    /// Lets them go on.
    pub(crate) go_on: Semaphore,
}

impl Default for Echo {
    fn default() -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            given_up: Arc::default(),
            go_on: Semaphore::new(0),
        }
    }
}

/// Counts a handler that is dropped before its end.
struct Unfinished(Option<Arc<AtomicUsize>>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(given_up) = self.0.take() {
            given_up.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl RequestHandler for Echo {
    type Body = TestBody;

    async fn handle(&self, arrival: Arrival, request: Request<RequestBody>) -> Response<TestBody> {
        let (head, body) = request.into_parts();
        let body = body.map_err(std::io::Error::other).boxed_unsync();
        match head.uri.path() {
            "/wait" => {
                self.waiting.fetch_add(1, Ordering::SeqCst);
                let mut unfinished = Unfinished(Some(Arc::clone(&self.given_up)));
                self.go_on.acquire().await.unwrap().forget();
                unfinished.0 = None;
                Response::new(text("waited"))
            }
            "/panic" => panic!("as asked"),
            "/broken" => {
                let frames = [Ok(Frame::data("half".into())), Err(broken())];
                let frames = futures_util::stream::iter(frames);
                Response::new(StreamBody::new(frames).boxed_unsync())
            }
            "/trailers" => {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", "0".parse().unwrap());
                let frames = [
                    Ok(Frame::data("body".into())),
                    Ok(Frame::trailers(trailers)),
                ];
                let frames = futures_util::stream::iter(frames);
                Response::new(StreamBody::new(frames).boxed_unsync())
            }
            "/many-lines" => {
                let mut answer = Response::new(text("many"));
                for n in 0..LINES {
                    let name = http::HeaderName::try_from(format!("x-{n}")).unwrap();
                    let value = "v".repeat(LINE).parse().unwrap();
                    answer.headers_mut().insert(name, value);
                }
                answer
            }
            "/socket" => Response::builder()
                .status(101)
                .header("upgraded-to", head.headers["upgrade"].clone())
                .body(body)
                .unwrap(),
            _ => Response::builder()
                .status(201)
                .header("set-cookie", "a=1")
                .header("set-cookie", "b=2")
                .header("seen-host", head.headers["host"].clone())
                .header("seen-connector", head.headers["cf-warp-tag-id"].clone())
                .header("seen-arrival", format!("{arrival:?}"))
                .body(body)
                .unwrap(),
        }
    }
}

/// Header lines of the answer to `/many-lines`, and the length of their values: 128 KiB at least.
pub(crate) const LINES: usize = 4000;
const LINE: usize = 32;

fn broken() -> std::io::Error {
    std::io::Error::other("as asked")
}

pub(crate) fn text(text: &'static str) -> TestBody {
    Full::new(Bytes::from_static(text.as_bytes()))
        .map_err(|never| match never {})
        .boxed_unsync()
}

pub(crate) fn token() -> ConnectorToken {
    let secret = STANDARD.encode(SECRET);
    let json =
        format!(r#"{{"a":"{ACCOUNT}","s":"{secret}","t":"6ff42ae2-765d-4adf-8112-31c55c1551ef"}}"#);
    ConnectorToken::new(STANDARD.encode(json))
}

pub(crate) fn options(edge: &Edge, connections: u8) -> ConnectorOptions {
    ConnectorOptions {
        edge: EdgeAddresses::Given(edge.addresses.clone()),
        roots: EdgeRoots::Only(edge.ca_pem.clone()),
        connections,
        silence: Duration::from_secs(2),
        grace: Duration::from_secs(10),
        ..ConnectorOptions::default()
    }
}

impl Rig {
    /// An edge with as many addresses as the connector has connections, all registered.
    pub(crate) async fn start(connections: u8) -> Self {
        let edge = Edge::start(usize::from(connections)).await;
        let rig = Self::at(edge, connections);
        rig.registered(usize::from(connections)).await;
        rig
    }

    pub(crate) fn at(edge: Edge, connections: u8) -> Self {
        let handler = Arc::new(Echo::default());
        let options = options(&edge, connections);
        let connector = Connector::start(&token(), options, Arc::clone(&handler)).unwrap();
        Self {
            edge,
            connector,
            handler,
        }
    }

    /// Waits until so many connections are registered on both sides.
    pub(crate) async fn registered(&self, connections: usize) -> Vec<Arc<Connection>> {
        within(Duration::from_secs(20), "connections registered", || {
            let live = self.edge.registered();
            let known = self.connector.status().borrow().registered();
            (live.len() == connections && known == connections).then_some(live)
        })
        .await
    }

    /// The one connection of a rig that has one.
    pub(crate) fn connection(&self) -> Arc<Connection> {
        self.edge.registered().pop().expect("a connection")
    }
}

/// Asks every 10 ms until the answer is there.
pub(crate) async fn within<T>(limit: Duration, what: &str, ask: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn get(path: &str) -> Request<TestBody> {
    Request::get(format!("https://app.example.com{path}"))
        .body(text(""))
        .unwrap()
}

/// The headers that an answer has for the client.
pub(crate) fn for_client(response: &Response<Incoming>) -> HeaderMap {
    let text = response.headers()["cf-cloudflared-response-headers"]
        .to_str()
        .unwrap();
    let read = |part: &str| STANDARD_NO_PAD.decode(part).unwrap();
    let mut headers = HeaderMap::new();
    for pair in text.split(';').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once(':').unwrap();
        let name = http::HeaderName::from_bytes(&read(name)).unwrap();
        headers.append(name, http::HeaderValue::from_bytes(&read(value)).unwrap());
    }
    headers
}

pub(crate) async fn body(response: Response<Incoming>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}
