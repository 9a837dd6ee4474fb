//! Endpoints: those that keep what reaches them, and those that answer byte by byte or frame by frame.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use domain::route_table::UpstreamProtocol::{self, H2c, Http1};
use http::uri::{Authority, PathAndQuery};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
pub(super) const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

const PREFACE: usize = 24;
/// The largest frame without a setting for larger ones.
const FRAME: usize = 16 << 10;

/// A frame of HTTP/2.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields as literals that go into no table, without Huffman coding (RFC 7541 §6.2.2).
pub(super) fn literal(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name.as_bytes(), *value] {
            let mut rest = text.len();
            if rest < 127 {
                block.push(rest as u8);
            } else {
                block.push(127);
                rest -= 127;
                while rest >= 128 {
                    block.push((rest % 128) as u8 | 128);
                    rest /= 128;
                }
                block.push(rest as u8);
            }
            block.extend_from_slice(text);
        }
    }
    block
}

/// A request as an endpoint got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reached {
    /// Method and target.
    pub(super) line: String,
    /// In their order; over HTTP/2 the authority is the host.
    pub(super) fields: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Vec<(String, Vec<u8>)>,
}

impl Reached {
    pub(super) fn values(&self, name: &str) -> Vec<&[u8]> {
        let named = self.fields.iter().filter(|(found, _)| found == name);
        named.map(|(_, value)| &value[..]).collect()
    }
}

type Notes = Arc<Mutex<Vec<Reached>>>;

/// An endpoint that keeps the requests that reach it, and answers all of them with 200.
pub(super) struct Recorder {
    pub(super) at: SocketAddr,
    notes: Notes,
}

impl Recorder {
    pub(super) async fn start(protocol: UpstreamProtocol) -> Self {
        let notes = Notes::default();
        let kept = Arc::clone(&notes);
        let at = serve(move |stream, _| {
            let notes = Arc::clone(&kept);
            async move {
                match protocol {
                    Http1 | UpstreamProtocol::Negotiated => record_http1(stream, notes).await,
                    H2c => record_h2c(stream, notes).await,
                }
            }
        })
        .await;
        Self { at, notes }
    }

    /// What has reached it since the last call.
    pub(super) fn take(&self) -> Vec<Reached> {
        std::mem::take(&mut *self.notes.lock().unwrap())
    }
}

/// Calls `each` with every connection and the number of those before it.
pub(super) async fn serve<F>(each: impl Fn(TcpStream, usize) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut count = 0;
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(each(stream, count));
            count += 1;
        }
    });
    at
}

type Buffered = BufReader<TcpStream>;

/// A line without its end. `None` at the connection's end.
async fn line(io: &mut Buffered) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    io.read_until(b'\n', &mut line).await.ok()?;
    line.ends_with(b"\r\n").then(|| {
        line.truncate(line.len() - 2);
        line
    })
}

async fn lines(io: &mut Buffered) -> Option<Vec<Vec<u8>>> {
    let mut lines = Vec::new();
    loop {
        let line = line(io).await?;
        if line.is_empty() {
            return Some(lines);
        }
        lines.push(line);
    }
}

fn field(line: &[u8]) -> (String, Vec<u8>) {
    let colon = line.iter().position(|byte| *byte == b':').expect("a colon");
    let name = String::from_utf8_lossy(&line[..colon]).into_owned();
    (name, line[colon + 1..].trim_ascii().to_vec())
}

async fn record_http1(stream: TcpStream, notes: Notes) {
    let mut io = BufReader::new(stream);
    while let Some(request) = read_http1(&mut io).await {
        notes.lock().unwrap().push(request);
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        if io.write_all(answer).await.is_err() {
            return;
        }
    }
}

async fn read_http1(io: &mut Buffered) -> Option<Reached> {
    let head = lines(io).await?;
    let (first, fields) = head.split_first()?;
    let first = String::from_utf8_lossy(first).into_owned();
    let mut reached = Reached {
        line: first.strip_suffix(" HTTP/1.1")?.to_owned(),
        fields: fields.iter().map(|line| field(line)).collect(),
        body: Vec::new(),
        trailers: Vec::new(),
    };
    let length = reached.values("content-length").first().map(|l| text(l));
    if !reached.values("transfer-encoding").is_empty() {
        while let size @ 1.. = usize::from_str_radix(&text(&line(io).await?), 16).ok()? {
            let at = reached.body.len();
            reached.body.resize(at + size, 0);
            io.read_exact(&mut reached.body[at..]).await.ok()?;
            line(io).await?;
        }
        let trailers = lines(io).await?;
        reached.trailers = trailers.iter().map(|line| field(line)).collect();
    } else if let Some(length) = length {
        reached.body.resize(length.parse().ok()?, 0);
        io.read_exact(&mut reached.body).await.ok()?;
    }
    Some(reached)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn fields(map: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.as_str().to_owned(), value.as_bytes().to_vec())
    };
    map.iter().map(field).collect()
}

async fn record_h2c(stream: TcpStream, notes: Notes) {
    let service = service_fn(move |request: Request<Incoming>| {
        let notes = Arc::clone(&notes);
        async move {
            let (head, body) = request.into_parts();
            let target = head.uri.path_and_query().map_or("", PathAndQuery::as_str);
            let mut all = vec![(
                "host".to_owned(),
                head.uri.authority().map_or("", Authority::as_str).into(),
            )];
            all.extend(fields(&head.headers));
            // A request whose body breaks off does not count as one that reached the endpoint.
            if let Ok(body) = body.collect().await {
                let trailers = body.trailers().map(fields).unwrap_or_default();
                notes.lock().unwrap().push(Reached {
                    line: format!("{} {target}", head.method),
                    fields: all,
                    body: body.to_bytes().to_vec(),
                    trailers,
                });
            }
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }
    });
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Answers the requests of each connection with these bytes, and closes after the first or keeps it open.
pub(super) async fn answering(answer: Vec<u8>, closes: bool) -> SocketAddr {
    serve(move |stream, _| {
        let answer = answer.clone();
        async move {
            let mut io = BufReader::new(stream);
            while lines(&mut io).await.is_some() {
                if io.write_all(&answer).await.is_err() || closes {
                    let _ = io.shutdown().await;
                    return;
                }
            }
        }
    })
    .await
}

/// Answers the requests of all connections with one of these after the other, and again from the first.
pub(super) async fn answering_in_turn(answers: Vec<Vec<u8>>) -> SocketAddr {
    let next = Arc::new(AtomicUsize::new(0));
    serve(move |stream, _| {
        let (answers, next) = (answers.clone(), Arc::clone(&next));
        async move {
            let mut io = BufReader::new(stream);
            while lines(&mut io).await.is_some() {
                let turn = next.fetch_add(1, SeqCst) % answers.len();
                if io.write_all(&answers[turn]).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

/// What an endpoint says over HTTP/2.
#[derive(Debug, Clone)]
pub(super) enum Said {
    Head(Vec<(String, Vec<u8>)>),
    Data(Vec<u8>),
    Reset(u32),
    /// The last stream that it processed: none, or the request's.
    GoAway {
        processed: bool,
    },
    /// The connection ends without a word.
    Close,
}

/// Says this to the first request of each connection. The last word ends the stream, if it is a head or data.
pub(super) async fn saying(words: Vec<Said>) -> SocketAddr {
    serve(move |stream, _| {
        let words = words.clone();
        async move {
            let mut frames = Frames::open(stream).await;
            if let Some(stream) = frames.next_request().await {
                frames.say(stream, &words).await;
                frames.drain().await;
            }
        }
    })
    .await
}

/// Ends the first `endings` requests so, one on each connection, and answers others with 200. Counts the requests.
pub(super) async fn ending(
    how: Option<Said>,
    endings: usize,
    protocol: UpstreamProtocol,
    seen: Arc<AtomicUsize>,
) -> SocketAddr {
    serve(move |stream, _| {
        let (how, seen) = (how.clone(), Arc::clone(&seen));
        async move {
            if protocol == H2c {
                let mut frames = Frames::open(stream).await;
                while let Some(stream) = frames.next_request().await {
                    if seen.fetch_add(1, SeqCst) >= endings {
                        let ok = Said::Head(vec![(":status".to_owned(), b"200".to_vec())]);
                        frames.say(stream, &[ok]).await;
                    } else if let Some(how) = &how {
                        frames.say(stream, std::slice::from_ref(how)).await;
                    } else {
                        return;
                    }
                }
                return;
            }
            let mut io = BufReader::new(stream);
            while read_http1(&mut io).await.is_some() {
                if seen.fetch_add(1, SeqCst) < endings {
                    return;
                }
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                let _ = io.write_all(answer).await;
            }
        }
    })
    .await
}

/// A connection of the proxy's over HTTP/2. Frames that cannot be sent are lost: the proxy closed it.
struct Frames(TcpStream);

impl Frames {
    async fn open(mut stream: TcpStream) -> Self {
        let _ = stream.read_exact(&mut [0; PREFACE]).await;
        let mut frames = Self(stream);
        frames.send(SETTINGS, 0, 0, &[]).await;
        frames
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let _ = self.0.write_all(&frame(kind, flags, stream, payload)).await;
    }

    /// The stream of the next request that has come to its end.
    async fn next_request(&mut self) -> Option<u32> {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let [a, b, c, kind, flags, of @ ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            self.0.read_exact(&mut payload).await.ok()?;
            if kind == SETTINGS && flags & ACK == 0 {
                self.send(SETTINGS, ACK, 0, &[]).await;
            }
            if matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
                return Some(u32::from_be_bytes(of));
            }
        }
    }

    async fn say(&mut self, stream: u32, words: &[Said]) {
        for (at, said) in words.iter().enumerate() {
            let end = if at + 1 == words.len() { END_STREAM } else { 0 };
            match said {
                Said::Head(fields) => self.head(stream, end, fields).await,
                Said::Data(data) => self.send(DATA, end, stream, data).await,
                Said::Reset(reason) => {
                    self.send(RST_STREAM, 0, stream, &reason.to_be_bytes())
                        .await;
                }
                Said::GoAway { processed } => {
                    let last = if *processed { stream } else { 0 };
                    let payload = [last.to_be_bytes(), 0_u32.to_be_bytes()].concat();
                    self.send(GOAWAY, 0, 0, &payload).await;
                }
                Said::Close => {
                    let _ = self.0.shutdown().await;
                }
            }
        }
    }

    async fn head(&mut self, stream: u32, end: u8, fields: &[(String, Vec<u8>)]) {
        let fields: Vec<_> = fields.iter().map(|(n, v)| (n.as_str(), &v[..])).collect();
        let block = literal(&fields);
        let count = block.len().div_ceil(FRAME).max(1);
        for at in 0..count {
            let part = &block[at * FRAME..block.len().min((at + 1) * FRAME)];
            let flags = if at + 1 == count { END_HEADERS } else { 0 };
            let (kind, flags) = match at {
                0 => (HEADERS, flags | end),
                _ => (CONTINUATION, flags),
            };
            self.send(kind, flags, stream, part).await;
        }
    }

    async fn drain(&mut self) {
        while self.next_request().await.is_some() {}
    }
}
