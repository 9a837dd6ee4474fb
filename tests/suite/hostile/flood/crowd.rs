//! Many visitors at once.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tests::client::Client;
use tokio::task::JoinSet;

/// Requests on one connection of visitors.
const EACH: usize = 100;
/// Bytes of an answer that a visitor takes without reading.
const WINDOW: u32 = 64 << 10;
/// Header lines of a large head; the proxy takes 256.
const LINES: usize = 20;
/// Time for all requests of a flood to leave. A request without an answer is never counted as sent.
const ARRIVAL: Duration = Duration::from_secs(10);

/// Requests that are all alike.
#[derive(Debug, Clone, Default)]
pub(super) struct Flood {
    /// What it is.
    pub(super) what: &'static str,
    /// What it goes to.
    pub(super) service: &'static str,
    pub(super) path: &'static str,
    /// Bytes of headers.
    pub(super) head: usize,
    /// Bytes of body.
    pub(super) body: usize,
    /// Requests.
    pub(super) number: usize,
    pub(super) then: Then,
}

/// What a visitor does with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Then {
    /// Reads it.
    #[default]
    Read,
    /// Keeps it unread.
    ReadNothing,
}

/// A flood that is there. It ends when it is dropped.
pub(super) struct Crowd {
    visitors: JoinSet<()>,
    seen: Arc<Mutex<Seen>>,
}

/// What visitors have got, and how many have got nothing so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    waiting: usize,
    answers: BTreeMap<String, usize>,
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

impl Crowd {
    /// Sends a flood, so many times as large.
    pub(super) async fn start(client: &Client, flood: &Flood, times: usize) -> Self {
        let mut crowd = Self {
            visitors: JoinSet::new(),
            seen: Arc::default(),
        };
        let number = flood.number * times;
        for first in (0..number).step_by(EACH) {
            let connection = connect(client, flood).await;
            for _ in first..number.min(first + EACH) {
                crowd.visit(connection.clone(), flood.clone());
            }
        }
        crowd.settled().await;
        crowd
    }

    fn visit(&mut self, mut connection: SendRequest<Body>, flood: Flood) {
        let seen = Arc::clone(&self.seen);
        seen.lock().unwrap().waiting += 1;
        self.visitors.spawn(async move {
            let answer = connection.send_request(request(&flood)).await;
            let status = match &answer {
                Ok(answer) => answer.status().as_u16().to_string(),
                Err(_) => "no answer".to_owned(),
            };
            seen.lock().unwrap().note(status);
            if let Ok(answer) = answer {
                take(answer, flood.then).await;
            }
        });
    }

    /// Waits until nothing has been answered for a second, for those that are refused are refused at once.
    async fn settled(&self) {
        let enough = tokio::time::Instant::now() + ARRIVAL;
        let mut before = usize::MAX;
        while tokio::time::Instant::now() < enough {
            let now = self.seen.lock().unwrap().waiting;
            if now == before {
                return;
            }
            before = now;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// All visitors leave at once. What they have seen.
    pub(super) async fn end(mut self) -> Seen {
        let seen = self.seen.lock().unwrap().clone();
        self.visitors.shutdown().await;
        seen
    }
}

impl Seen {
    fn note(&mut self, answer: String) {
        self.waiting -= 1;
        *self.answers.entry(answer).or_default() += 1;
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} waiting", self.waiting)?;
        for (answer, number) in &self.answers {
            write!(f, ", {number} x {answer}")?;
        }
        Ok(())
    }
}

async fn connect(client: &Client, flood: &Flood) -> SendRequest<Body> {
    let host = format!("{}.example.com", flood.service);
    let stream = client.connect(&host, "h2").await.unwrap();
    let handshake = Builder::new(TokioExecutor::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW * 1024)
        .initial_max_send_streams(EACH)
        .handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(flood: &Flood) -> Request<Body> {
    let path = flood.path;
    let mut request = Request::post(format!("https://{}.example.com{path}", flood.service));
    if flood.head > 0 {
        let value = "x".repeat(flood.head / LINES);
        for line in 0..LINES {
            request = request.header(format!("x-large-{line}"), &value);
        }
    }
    request.body(body(flood.body)).unwrap()
}

/// Each part is made when it is asked for, so that a visitor holds little.
fn body(bytes: usize) -> Body {
    static PART: [u8; 16 << 10] = [b'u'; 16 << 10];
    if bytes == 0 {
        return Empty::new().boxed_unsync();
    }
    let parts =
        stream::iter((0..bytes / PART.len()).map(|_| Ok(Frame::data(Bytes::from_static(&PART)))));
    StreamBody::new(parts).boxed_unsync()
}

async fn take(answer: Response<Incoming>, then: Then) {
    match then {
        Then::Read => drop(answer.into_body().collect().await),
        Then::ReadNothing => {
            let _unread = answer;
            std::future::pending::<()>().await;
        }
    }
}
