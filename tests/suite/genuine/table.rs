//! What every way from a visitor to an endpoint must carry: one request, or one exchange, to a row.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, stream};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tests::client::Client;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// Leads to an endpoint that speaks HTTP/1.1.
pub(super) const APP: &str = "app.example.com";
/// Leads to the same endpoint, which speaks HTTP/2 there.
pub(super) const GRPC: &str = "grpc.example.com";
/// Leads to an endpoint that is gone.
pub(super) const DEAD: &str = "dead.example.com";
/// Its record points to the tunnel, but no route has it.
pub(super) const STRANGER: &str = "stranger.example.com";

const MIB: usize = 1 << 20;
/// For one row, however busy the machine.
const ROW_WITHIN: Duration = Duration::from_secs(90);

/// What went wrong.
pub(super) type Outcome = Result<(), String>;

/// The row that cloudflared does not carry: when one direction of a WebSocket ends it gives up both, and
/// what the endpoint still says is lost, unless it is faster.
pub(super) const HALF_CLOSE: &str = "WebSocket with half-close";

/// The row that QUIC cannot carry: its format has no place for trailers.
pub(super) const TRAILERS: &str = "trailers";

type Row = (&'static str, fn(&Client) -> BoxFuture<'_, Outcome>);

const ROWS: [Row; 17] = [
    ("GET", |client| get(client).boxed()),
    ("POST with a length", |client| post(client).boxed()),
    ("POST in chunks", |client| post_chunks(client).boxed()),
    ("100 MiB down", |client| down(client).boxed()),
    ("20 MiB up", |client| up(client).boxed()),
    ("first event at once", |client| events(client).boxed()),
    ("WebSocket", |client| websocket(client).boxed()),
    (HALF_CLOSE, |client| half_close(client).boxed()),
    ("answer before the request ends", |client| {
        early(client).boxed()
    }),
    ("404", |client| status(client, 404).boxed()),
    ("204", |client| status(client, 204).boxed()),
    ("HEAD", |client| head(client).boxed()),
    ("repeated Set-Cookie", |client| cookies(client).boxed()),
    ("dead origin", |client| dead(client).boxed()),
    ("host without a route", |client| stranger(client).boxed()),
    ("host without a record", |client| unknown(client).boxed()),
    (TRAILERS, |client| trailers(client).boxed()),
];

/// Goes through the table, and prints and returns what failed.
pub(super) async fn failures(driver: &str, client: &Client) -> Vec<&'static str> {
    let mut failed = Vec::new();
    for (name, row) in ROWS {
        let began = Instant::now();
        let outcome = tokio::time::timeout(ROW_WITHIN, row(client)).await;
        let outcome = outcome.unwrap_or_else(|_| Err(format!("not within {ROW_WITHIN:?}")));
        let took = began.elapsed();
        match outcome {
            Ok(()) => println!("{driver}: {name}: ok ({took:.2?})"),
            Err(why) => {
                println!("{driver}: {name}: FAILED ({took:.2?}): {why}");
                failed.push(name);
            }
        }
    }
    failed
}

fn url(path: &str) -> String {
    format!("https://{APP}{path}")
}

fn must<T: PartialEq + std::fmt::Debug>(what: &str, found: T, wanted: T) -> Outcome {
    match (found, wanted) {
        (found, wanted) if found == wanted => Ok(()),
        (found, wanted) => Err(format!("{what} is {found:?} and not {wanted:?}")),
    }
}

/// Errors come from many crates; a row prints them.
fn told(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

async fn get(client: &Client) -> Outcome {
    let answer = client.get(&url("/a%2Fb?c=d")).await?;
    must("status", answer.status, 200)?;
    must("method", answer.told("method").as_str(), "GET")?;
    must("host", answer.told("host").as_str(), APP)?;
    must("target", answer.told("target").as_str(), "/a%2Fb?c=d")
}

async fn post(client: &Client) -> Outcome {
    let text = "posted ".repeat(10_000);
    let request = client.http().post(url("/echo")).body(text.clone());
    let answer = client.send(request).await?;
    must("status", answer.status, 200)?;
    must("what came back is the same", answer.body == text, true)
}

async fn post_chunks(client: &Client) -> Outcome {
    let chunks = (0..100).map(|_| Ok::<_, Infallible>(Bytes::from(vec![b'c'; 1_000])));
    let request = client.http().post(url("/sink"));
    let answer = client
        .clone()
        .post_stream(request, stream::iter(chunks))
        .await?;
    must("bytes at the endpoint", answer.body.as_str(), "100000")
}

async fn down(client: &Client) -> Outcome {
    let size = 100 * MIB;
    let request = client.http().get(url(&format!("/bytes/{size}")));
    let response = request.timeout(ROW_WITHIN).send().await.map_err(told)?;
    must("announced", response.content_length(), Some(size as u64))?;
    let mut response = response;
    let mut came = 0;
    while let Some(chunk) = response.chunk().await.map_err(told)? {
        came += chunk.len();
    }
    must("bytes", came, size)
}

async fn up(client: &Client) -> Outcome {
    let request = client.http().post(url("/sink")).body(vec![b'u'; 20 * MIB]);
    let answer = client.send(request.timeout(ROW_WITHIN)).await?;
    must("bytes at the endpoint", answer.body, (20 * MIB).to_string())
}

async fn events(client: &Client) -> Outcome {
    let began = Instant::now();
    let request = client.http().get(url("/events/10"));
    let mut response = request.send().await.map_err(told)?;
    let first = response.chunk().await.map_err(told)?;
    let first_after = began.elapsed();
    must("first event", first, Some(Bytes::from("data: 0\n\n")))?;
    while response.chunk().await.map_err(told)?.is_some() {}
    let sooner = began.elapsed().saturating_sub(first_after);
    // Ten events take 1.8 s; held back, the first would come with the last.
    let streamed = sooner > Duration::from_millis(900);
    must("the first event came long before the last", streamed, true)
}

/// A WebSocket to the endpoint, right after the handshake.
async fn opened(client: &Client) -> Result<impl AsyncRead + AsyncWrite + Unpin + use<>, String> {
    let mut io = client.connect(APP, "http/1.1").await?;
    let upgrade = format!(
        "GET /ws HTTP/1.1\r\nHost: {APP}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    io.write_all(upgrade.as_bytes()).await.map_err(told)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.map_err(told)?);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    must("agreed", head.starts_with("http/1.1 101"), true)?;
    // RFC 6455, section 1.3: the answer to the key above.
    let accept = "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=";
    must("the key is answered", head.contains(accept), true)?;
    Ok(io)
}

async fn websocket(client: &Client) -> Outcome {
    let mut io = opened(client).await?;
    for size in [1, 100, 80_000] {
        let (sent, mut echoed) = (vec![b'a'; size], vec![0; size]);
        io.write_all(&sent).await.map_err(told)?;
        io.read_exact(&mut echoed).await.map_err(told)?;
        must("the echo is the same", echoed == sent, true)?;
    }
    Ok(())
}

async fn half_close(client: &Client) -> Outcome {
    let mut io = opened(client).await?;
    io.shutdown().await.map_err(told)?;
    let mut rest = Vec::new();
    io.read_to_end(&mut rest).await.map_err(told)?;
    must(
        "after this side's end",
        String::from_utf8_lossy(&rest).as_ref(),
        "bye",
    )
}

/// Exchanges that are counted by [`last_words`].
pub(super) const HALF_CLOSES: usize = 50;

/// How many of [`HALF_CLOSES`] WebSockets that the visitor half-closes bring the endpoint's last words.
pub(super) async fn last_words(driver: &str, client: &Client) -> usize {
    let mut came = 0;
    for _ in 0..HALF_CLOSES {
        let outcome = tokio::time::timeout(ROW_WITHIN, half_close(client)).await;
        came += usize::from(matches!(outcome, Ok(Ok(()))));
    }
    let lost = HALF_CLOSES - came;
    println!("{driver}: {lost} of {HALF_CLOSES} half-closed WebSockets lose the last words");
    came
}

async fn early(client: &Client) -> Outcome {
    let (feed, mut chunks) = mpsc::channel::<Bytes>(1);
    let chunks = stream::poll_fn(move |cx| {
        let chunk = chunks.poll_recv(cx);
        chunk.map(|chunk| chunk.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes))))
    });
    let body = reqwest::Body::wrap(StreamBody::new(chunks));
    feed.send(Bytes::from("one ")).await.map_err(told)?;
    let request = client.http().post(url("/echo")).body(body);
    let mut response = request.send().await.map_err(told)?;
    let first = response.chunk().await.map_err(told)?;
    must(
        "while the request goes on",
        first,
        Some(Bytes::from("one ")),
    )?;
    feed.send(Bytes::from("two")).await.map_err(told)?;
    drop(feed);
    must(
        "the rest",
        response.text().await.map_err(told)?.as_str(),
        "two",
    )
}

async fn status(client: &Client, status: u16) -> Outcome {
    let answer = client.get(&url(&format!("/status/{status}"))).await?;
    must("status", answer.status, status)?;
    must("body", answer.body.as_str(), "")
}

async fn head(client: &Client) -> Outcome {
    let answer = client.send(client.http().head(url("/bytes/1000"))).await?;
    must("status", answer.status, 200)?;
    let length = answer.headers.get("content-length");
    let length = length.and_then(|length| length.to_str().ok());
    must("content-length", length, Some("1000"))?;
    must("body", answer.body.as_str(), "")
}

async fn cookies(client: &Client) -> Outcome {
    let answer = client.get(&url("/cookies")).await?;
    let cookies = answer.headers.get_all("set-cookie").iter();
    let cookies: Vec<_> = cookies.filter_map(|value| value.to_str().ok()).collect();
    must("cookies", cookies, vec!["a=1; Path=/", "b=2; Path=/"])
}

async fn dead(client: &Client) -> Outcome {
    let answer = client.get(&format!("https://{DEAD}/")).await?;
    must("status", answer.status, 502)
}

async fn stranger(client: &Client) -> Outcome {
    let answer = client.get(&format!("https://{STRANGER}/")).await?;
    must("status", answer.status, 404)
}

async fn unknown(client: &Client) -> Outcome {
    let mut io = client.connect(APP, "http/1.1").await?;
    let request = "GET / HTTP/1.1\r\nHost: nobody.example.com\r\nConnection: close\r\n\r\n";
    io.write_all(request.as_bytes()).await.map_err(told)?;
    let mut answer = String::new();
    // The end may come without a goodbye of TLS.
    let _ = io.read_to_string(&mut answer).await;
    must(
        "status line",
        answer.lines().next(),
        Some("HTTP/1.1 409 Conflict"),
    )
}

async fn trailers(client: &Client) -> Outcome {
    let io = client.connect(GRPC, "h2").await?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io))
            .await
            .map_err(told)?;
    tokio::spawn(connection);
    let request = http::Request::post(format!("https://{GRPC}/trailers"))
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .body(Empty::<Bytes>::new())
        .map_err(told)?;
    let response = sender.send_request(request).await.map_err(told)?;
    must("status", response.status().as_u16(), 200)?;
    let collected = response.into_body().collect().await.map_err(told)?;
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let status = trailers.get("grpc-status");
    let status = status.and_then(|status| status.to_str().ok());
    must("body", collected.to_bytes(), Bytes::from("body"))?;
    must("trailer grpc-status", status, Some("0"))
}
