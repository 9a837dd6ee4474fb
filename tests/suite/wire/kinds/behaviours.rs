//! What may pass through a rule, and how it has to come out.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::HeaderMap;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use reqwest::RequestBuilder;
use tests::websocket::Socket;
use tests::world::within;

use super::super::line::PATIENCE;
use super::{Kind, Site};

const MIB: u64 = 1 << 20;
/// A long body.
const LONG: u64 = 64 * MIB;
/// What a proxy may hold of one, in whatever buffers.
const FLAT: u64 = 32 * MIB;

/// How a request or its answer is out of the ordinary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    Head,
    /// 103 and 102 before the answer.
    Hints,
    Trailers,
    Upgrade,
    /// An answer before the request's body has come.
    EarlyAnswer,
    /// The visitor goes away while it sends a body.
    GoneUploading,
    /// The visitor goes away while it gets a body.
    GoneDownloading,
    /// A long body down and up.
    Streams,
}

impl Behaviour {
    pub(super) const ALL: [Self; 8] = [
        Self::Head,
        Self::Hints,
        Self::Trailers,
        Self::Upgrade,
        Self::EarlyAnswer,
        Self::GoneUploading,
        Self::GoneDownloading,
        Self::Streams,
    ];
}

/// A request of a row, to a kind's route.
pub(super) struct Given<'s> {
    pub(super) site: &'s Site,
    pub(super) kind: Kind,
    pub(super) host: String,
}

/// Figures to be printed, or what was wrong.
type Told = Result<String, String>;

/// What a test wants to hold.
fn want(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

/// So many chunks of a mebibyte.
fn chunks(count: usize) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + Sync + 'static {
    let chunk = Bytes::from(vec![b'u'; 1 << 20]);
    stream::repeat(Ok(chunk)).take(count)
}

fn body(
    chunks: impl Stream<Item = Result<Bytes, Infallible>> + Send + Sync + 'static,
) -> reqwest::Body {
    let frames = chunks.map(|chunk| chunk.map(Frame::data));
    reqwest::Body::wrap(StreamBody::new(frames))
}

impl Given<'_> {
    /// Sends what the behaviour says. Nothing of it is left afterwards.
    pub(super) async fn pass(&self, behaviour: Behaviour) -> Told {
        let mirrored = self.site.copy.requests();
        let figures = match behaviour {
            Behaviour::Head => self.head().await?,
            Behaviour::Hints => self.hints().await?,
            Behaviour::Trailers => self.trailers().await?,
            Behaviour::Upgrade => self.upgrade().await?,
            Behaviour::EarlyAnswer => self.early_answer().await?,
            Behaviour::GoneUploading => self.gone_uploading().await?,
            Behaviour::GoneDownloading => self.gone_downloading().await?,
            Behaviour::Streams => self.streams().await?,
        };
        if self.kind.name == "mirror" && behaviour != Behaviour::Upgrade {
            let copied = || async { (self.site.copy.requests() > mirrored).then_some(()) };
            within(PATIENCE, "a copy comes to the mirror", copied).await;
        }
        self.nothing_is_left().await;
        Ok(figures)
    }

    /// A request of a page of another origin, as CORS has it.
    fn request(&self, method: http::Method, path: &str) -> RequestBuilder {
        let url = format!("https://{}{path}", self.host);
        let request = self.site.world.client.http().request(method, url);
        let request = request.header("origin", "https://a.example");
        request.timeout(Duration::from_secs(300))
    }

    async fn send(&self, request: RequestBuilder) -> Result<reqwest::Response, String> {
        let sent = tokio::time::timeout(PATIENCE, request.send()).await;
        let sent = sent.map_err(|_| "no answer in time".to_owned())?;
        sent.map_err(|error| format!("{error:?}"))
    }

    /// Whether the status is this one, or that of the filter which answers, and whether the answer shows the filter.
    fn check(&self, status: u16, wanted: u16, headers: &HeaderMap) -> Result<(), String> {
        let wanted = if self.kind.answers_itself() {
            302
        } else {
            wanted
        };
        want(status == wanted, || format!("{status}"))?;
        let Some((name, value)) = self.kind.mark else {
            return Ok(());
        };
        let found = headers.get(name).and_then(|value| value.to_str().ok());
        let is_marked = found.is_some_and(|found| found.starts_with(value));
        // The endpoint with hints does not say what it was asked for.
        let is_silent =
            !headers.contains_key("x-host") && name.starts_with("x-") && name != "x-mark";
        want(is_marked || is_silent, || format!("{name} is {found:?}"))
    }

    async fn head(&self) -> Told {
        let answer = self.send(self.request(http::Method::HEAD, "/")).await?;
        self.check(answer.status().as_u16(), 200, answer.headers())?;
        let length = answer.headers().contains_key("content-length");
        want(length || self.kind.answers_itself(), || "no length".into())?;
        let body = answer.bytes().await.map_err(|error| format!("{error:?}"))?;
        want(body.is_empty(), || format!("{body:?}")).map(|()| String::new())
    }

    async fn hints(&self) -> Told {
        let answer = self.send(self.request(http::Method::GET, "/hints")).await?;
        self.check(answer.status().as_u16(), 200, answer.headers())?;
        let body = answer.bytes().await.map_err(|error| format!("{error:?}"))?;
        let is_right = self.kind.answers_itself() || body == "ok";
        want(is_right, || format!("{body:?}")).map(|()| String::new())
    }

    async fn trailers(&self) -> Told {
        let told = |error: hyper::Error| format!("{error:?}");
        let io = self.site.world.client.connect(&self.host, "h2").await?;
        let (executor, io) = (TokioExecutor::new(), TokioIo::new(io));
        let handshake = hyper::client::conn::http2::handshake(executor, io).await;
        let (mut sender, connection) = handshake.map_err(told)?;
        tokio::spawn(connection);
        let request = http::Request::get(format!("https://{}/trailers", self.host))
            .header("te", "trailers")
            .header("origin", "https://a.example")
            .body(Empty::<Bytes>::new())
            .map_err(|error| error.to_string())?;
        let (head, body) = sender
            .send_request(request)
            .await
            .map_err(told)?
            .into_parts();
        self.check(head.status.as_u16(), 200, &head.headers)?;
        let whole = body.collect().await.map_err(told)?;
        let trailers = whole.trailers().cloned().unwrap_or_default();
        let is_right = self.kind.answers_itself() || trailers.contains_key("grpc-status");
        want(is_right, || format!("{trailers:?}")).map(|()| String::new())
    }

    async fn upgrade(&self) -> Told {
        let client = &self.site.world.client;
        let lines = "Origin: https://a.example\r\n";
        let opened = Socket::open(client, &self.host, "/ws", lines).await;
        if self.kind.answers_itself() {
            let head = opened.err().unwrap_or_default();
            want(head.starts_with("http/1.1 302"), || head)?;
            return Ok(String::new());
        }
        let mut socket = opened?;
        if let Some((name, value)) = self.kind.mark {
            let line = format!("\r\n{name}: {value}");
            want(socket.head.contains(&line), || socket.head.clone())?;
        }
        for size in [1, 100, 80_000] {
            socket.echo(&vec![b'a'; size]).await?;
        }
        let last = socket.finish().await.map_err(|error| error.to_string())?;
        want(last == b"bye", || format!("{last:?}")).map(|()| String::new())
    }

    async fn early_answer(&self) -> Told {
        let request = self.request(http::Method::POST, "/status/403");
        let request = request.body(body(chunks(usize::MAX)));
        let answer = self.send(request).await?;
        self.check(answer.status().as_u16(), 403, answer.headers())?;
        Ok(String::new())
    }

    async fn gone_uploading(&self) -> Told {
        let broken = self.site.app.broken();
        let before = self.site.app.requests();
        let request = self.request(http::Method::POST, "/sink");
        let request = request.body(body(chunks(1).chain(stream::pending())));
        let upload = tokio::spawn(request.send());
        if self.kind.answers_itself() {
            let answer = upload.await.map_err(|error| error.to_string())?;
            let answer = answer.map_err(|error| format!("{error:?}"))?;
            self.check(answer.status().as_u16(), 200, answer.headers())?;
            return Ok(String::new());
        }
        let come = || async { (self.site.app.requests() > before).then_some(()) };
        within(PATIENCE, "the request reaches the endpoint", come).await;
        upload.abort();
        let gone = || async { (self.site.app.broken() > broken).then_some(()) };
        within(PATIENCE, "the endpoint sees that the body breaks off", gone).await;
        Ok(String::new())
    }

    async fn gone_downloading(&self) -> Told {
        let path = format!("/bytes/{}", 1024 * MIB);
        let before = self.site.app.bytes_taken();
        let mut answer = self.send(self.request(http::Method::GET, &path)).await?;
        self.check(answer.status().as_u16(), 200, answer.headers())?;
        let first = answer.chunk().await.map_err(|error| format!("{error:?}"))?;
        drop((first, answer));
        self.nothing_is_left().await;
        let taken = self.site.app.bytes_taken() - before;
        want(taken < 256 * MIB, || format!("{taken} bytes for nobody"))?;
        Ok(String::new())
    }

    async fn streams(&self) -> Told {
        let cfgw = &self.site.cfgw;
        let at_rest = cfgw.resident_bytes();
        let request = self.request(http::Method::GET, &format!("/bytes/{LONG}"));
        let mut answer = self.send(request).await?;
        self.check(answer.status().as_u16(), 200, answer.headers())?;
        let (mut down, mut most) = (0, 0);
        while let Some(chunk) = answer.chunk().await.map_err(|error| format!("{error:?}"))? {
            let before = down / (4 * MIB);
            down += chunk.len() as u64;
            if down / (4 * MIB) > before {
                most = most.max(cfgw.resident_bytes());
            }
        }
        want(down == LONG, || format!("{down} bytes down"))?;
        let count = usize::try_from(LONG / MIB).expect("a small number");
        let request = self.request(http::Method::POST, "/sink");
        let client = self.site.world.client.clone();
        let upload = tokio::spawn(client.post_stream(request, chunks(count)));
        while !upload.is_finished() {
            most = most.max(cfgw.resident_bytes());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let answer = upload.await.map_err(|error| error.to_string())??;
        want(answer.body == LONG.to_string(), || answer.body.clone())?;
        let grown = most.saturating_sub(at_rest);
        want(grown < FLAT, || {
            format!("{} MiB more resident", grown / MIB)
        })?;
        Ok(format!(
            " (64 MiB down and up: {} MiB more resident)",
            grown / MIB
        ))
    }

    /// The proxy serves nothing any more.
    async fn nothing_is_left(&self) {
        within(PATIENCE, "no request is in flight", || async {
            let metrics = self.site.cfgw.metrics().await;
            let line = metrics
                .lines()
                .find(|line| line.starts_with("cfgw_proxy_in_flight{"))?;
            line.ends_with(" 0").then_some(())
        })
        .await;
    }
}
