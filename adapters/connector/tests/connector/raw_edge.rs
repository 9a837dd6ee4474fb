//! An edge that sends frames of HTTP/2 as they are given, byte by byte.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use adapter_connector::{Connector, ConnectorOptions, EdgeAddresses};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::edge::Edge;
use crate::rig::{Echo, options, token};

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PRIORITY_FLAG: u8 = 0x20;

/// A field of a request, name and value as they go over the connection.
pub(crate) type Field<'a> = (&'a [u8], &'a [u8]);

/// A GET of a path without anything else.
pub(crate) fn get(path: &[u8]) -> [Field<'_>; 4] {
    [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"app.example.com"),
        (b":path", path),
    ]
}

/// What a field is written as (RFC 7541 section 6).
#[derive(Clone, Copy)]
pub(crate) enum As {
    /// A literal that goes into the dynamic table.
    Indexed = 0x40,
    /// A literal that does not.
    Literal = 0x00,
}

/// Fields as they go over the connection, without Huffman coding.
pub(crate) fn block(written: As, fields: &[Field<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(written as u8);
        for text in [name, value] {
            length(&mut bytes, text.len());
            bytes.extend(*text);
        }
    }
    bytes
}

/// An integer with a prefix of seven bits (RFC 7541 section 5.1).
fn length(bytes: &mut Vec<u8>, length: usize) {
    match u8::try_from(length) {
        Ok(short) if short < 127 => bytes.push(short),
        _ => {
            bytes.push(127);
            let mut rest = length - 127;
            while rest >= 128 {
                bytes.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            bytes.push(u8::try_from(rest).unwrap());
        }
    }
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With an answer.
    Answered,
    /// By RST_STREAM.
    Reset,
}

/// One connection of a connector, which serves on it as long as nothing ends it.
pub(crate) struct RawEdge {
    stream: TlsStream<TcpStream>,
    /// Kept, because dropping it closes the connection.
    _connector: Connector,
    pub(crate) handler: Arc<Echo>,
    next: u32,
    ended: BTreeMap<u32, Ended>,
}

impl RawEdge {
    pub(crate) async fn start() -> Self {
        let mut edge = Edge::silent();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        edge.addresses.push(listener.local_addr().unwrap());
        let handler = Arc::new(Echo::default());
        let options = ConnectorOptions {
            edge: EdgeAddresses::Given(edge.addresses.clone()),
            // There is no control stream: the time for it must not run out.
            rpc_timeout: Duration::from_secs(600),
            silence: Duration::from_secs(600),
            ..options(&edge, 1)
        };
        let connector = Connector::start(&token(), options, Arc::clone(&handler)).unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(edge.tls.clone()));
        let mut raw = Self {
            stream: acceptor.accept(tcp).await.unwrap(),
            _connector: connector,
            handler,
            next: 1,
            ended: BTreeMap::new(),
        };
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        raw.stream.write_all(preface).await.unwrap();
        raw.frame(SETTINGS, 0, 0, b"").await;
        raw
    }

    /// The number of a new stream.
    pub(crate) fn stream(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    /// Sends a frame.
    pub(crate) async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.stream
            .write_all(&[&head, payload].concat())
            .await
            .unwrap();
    }

    /// Sends a request without a body; tells its stream.
    pub(crate) async fn send(&mut self, block: &[u8]) -> u32 {
        let stream = self.stream();
        self.frame(HEADERS, END_STREAM | END_HEADERS, stream, block)
            .await;
        stream
    }

    /// Waits until a stream has ended. The end of the connection is a failure, with these words.
    pub(crate) async fn ended(&mut self, stream: u32, what: &str) -> Ended {
        self.stream.flush().await.unwrap();
        loop {
            if let Some(ended) = self.ended.remove(&stream) {
                return ended;
            }
            let read = tokio::time::timeout(LIMIT, self.read()).await;
            let read = read.unwrap_or_else(|_| panic!("{what}: no end of stream {stream}"));
            let (kind, flags, of, payload) =
                read.unwrap_or_else(|error| panic!("{what}: the connection ended: {error}"));
            match kind {
                GOAWAY => panic!("{what}: GOAWAY {}", payload.escape_ascii()),
                SETTINGS if flags & 1 == 0 => self.frame(SETTINGS, 1, 0, b"").await,
                PING if flags & 1 == 0 => self.frame(PING, 1, 0, &payload).await,
                RST_STREAM => {
                    self.ended.insert(of, Ended::Reset);
                }
                // A reset may follow an answer that did not need the whole request.
                DATA | HEADERS if flags & END_STREAM != 0 => {
                    self.ended.entry(of).or_insert(Ended::Answered);
                }
                _ => {}
            }
        }
    }

    /// Whether a request is answered now, or the connection has ended.
    pub(crate) async fn serves(&mut self, what: &str) -> bool {
        let stream = self.stream();
        let block = block(As::Literal, &get(b"/"));
        let flags = END_STREAM | END_HEADERS;
        let length = u8::try_from(block.len()).unwrap();
        let head = [
            &[0, 0, length, HEADERS, flags][..],
            &stream.to_be_bytes()[..],
        ]
        .concat();
        let bytes = [head, block].concat();
        if self.stream.write_all(&bytes).await.is_err() || self.stream.flush().await.is_err() {
            return false;
        }
        loop {
            let read = tokio::time::timeout(LIMIT, self.read()).await;
            let read = read.unwrap_or_else(|_| panic!("{what}: neither an answer nor an end"));
            let Ok((kind, flags, of, payload)) = read else {
                return false;
            };
            match kind {
                // An edge that says goodbye is told so, without an error.
                GOAWAY if payload[4..8] != [0; 4] => return false,
                HEADERS if of == stream => return true,
                // It fails where the connection has ended, which the next read tells.
                SETTINGS if flags & 1 == 0 => {
                    let _ = self
                        .stream
                        .write_all(&[0, 0, 0, SETTINGS, 1, 0, 0, 0, 0])
                        .await;
                }
                _ => {}
            }
        }
    }

    async fn read(&mut self) -> std::io::Result<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).await?;
        let of = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Ok((head[3], head[4], of, payload))
    }
}
