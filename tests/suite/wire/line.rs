//! An edge that sends requests byte by byte, over HTTP/2 and over QUIC.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adapter_connector::{Connector, TransportChoice};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use capnp::message::ReaderOptions;
use capnp::text;
use standin::ca::CertificateAuthority;
use tempfile::TempDir;
use tests::recorder::{quic, server_tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tunnel_schema::quic_metadata_protocol_capnp::{
    ConnectionType, connect_request, connect_response,
};

use super::endpoint::{DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, frame, literal};
use super::table::connector;
use tests::routing::Rule;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const ACK: u8 = 1;
/// What a stream of a request begins with over QUIC.
const REQUEST: &[u8] = b"\x0A\x36\xCD\x12\xA1\x3E01";
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A name and a value, of any bytes.
pub(super) type Field<'a> = (&'a str, &'a [u8]);

/// The body of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body<'a> {
    None,
    /// With `Content-Length`.
    Length(&'a [u8]),
    /// Without.
    Unknown(&'a [u8]),
    /// Without, and trailers after it, which QUIC has not.
    Trailers(&'a [u8], &'a [Field<'a>]),
}

impl Body<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Length(data) | Self::Unknown(data) | Self::Trailers(data, _) => data.len(),
        }
    }
}

/// A request of a visitor, as the edge passes it on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a [u8],
    pub(super) fields: &'a [Field<'a>],
    pub(super) body: Body<'a>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// With this status; 0 over HTTP/2 for one that is not 200, 204, 304, 400, 404 or 500.
    Answered(u16),
    /// Its stream was reset.
    Reset,
}

/// An edge with one connector.
pub(super) struct Line {
    carrier: Carrier,
    _connector: Connector,
    _authority: TempDir,
}

enum Carrier {
    Http2 {
        stream: Box<TlsStream<TcpStream>>,
        next: u32,
    },
    Quic {
        connection: quinn::Connection,
        _endpoint: quinn::Endpoint,
        _control: (quinn::SendStream, quinn::RecvStream),
    },
}

impl Line {
    pub(super) async fn start(transport: TransportChoice, rules: &[Rule]) -> Self {
        let folder = TempDir::new().unwrap();
        let authority = CertificateAuthority::open_or_create(folder.path()).unwrap();
        let start = |at: SocketAddr| {
            let token = serde_json::json!({
                "a": standin::ACCOUNT_ID,
                "t": uuid::Uuid::from_u128(1),
                "s": STANDARD.encode([7_u8; 32]),
            });
            let token = STANDARD.encode(token.to_string());
            connector(transport, vec![at], authority.pem(), token, rules)
        };
        let (connector, carrier) = match transport {
            TransportChoice::Quic => over_quic(&authority, start).await,
            _ => over_http2(&authority, start).await,
        };
        Self {
            carrier,
            _connector: connector,
            _authority: folder,
        }
    }

    /// Sends a request and waits for the end of its stream. The end of the connection is a failure.
    pub(super) async fn send(&mut self, request: Request<'_>) -> Ended {
        let ended = match &mut self.carrier {
            Carrier::Http2 { stream, next } => {
                *next += 2;
                timeout(PATIENCE, send_over_http2(stream, *next, request)).await
            }
            Carrier::Quic { connection, .. } => {
                timeout(PATIENCE, send_over_quic(connection, request)).await
            }
        };
        ended.unwrap_or_else(|_| panic!("no end of {request:?}"))
    }
}

async fn over_http2(
    authority: &CertificateAuthority,
    start: impl FnOnce(SocketAddr) -> Connector,
) -> (Connector, Carrier) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connector = start(listener.local_addr().unwrap());
    let (tcp, _) = listener.accept().await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server_tls(authority)));
    let mut stream = Box::new(acceptor.accept(tcp).await.unwrap());
    stream.write_all(PREFACE).await.unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, b"")).await.unwrap();
    (connector, Carrier::Http2 { stream, next: 1 })
}

async fn over_quic(
    authority: &CertificateAuthority,
    start: impl FnOnce(SocketAddr) -> Connector,
) -> (Connector, Carrier) {
    let endpoint = quic::listen(authority);
    let connector = start(endpoint.local_addr().unwrap());
    let connection = endpoint.accept().await.unwrap().await.unwrap();
    let control = connection.accept_bi().await.unwrap();
    let carrier = Carrier::Quic {
        connection,
        _endpoint: endpoint,
        _control: control,
    };
    (connector, carrier)
}

async fn send_over_http2(
    io: &mut TlsStream<TcpStream>,
    stream: u32,
    request: Request<'_>,
) -> Ended {
    let mut fields: Vec<Field<'_>> = vec![
        (":method", request.method.as_bytes()),
        (":scheme", b"https"),
        (":authority", b"app.example.com"),
        (":path", request.path),
    ];
    fields.extend(request.fields);
    let length;
    let (data, trailers) = match request.body {
        Body::None => (None, None),
        Body::Length(data) => {
            length = data.len().to_string();
            fields.push(("content-length", length.as_bytes()));
            (Some(data), None)
        }
        Body::Unknown(data) => (Some(data), None),
        Body::Trailers(data, trailers) => (Some(data), Some(trailers)),
    };
    let mut frames = Vec::new();
    let end = |is_last: bool| if is_last { END_STREAM } else { 0 };
    let flags = END_HEADERS | end(data.is_none());
    frames.extend(frame(HEADERS, flags, stream, &literal(&fields)));
    if let Some(data) = data {
        frames.extend(frame(DATA, end(trailers.is_none()), stream, data));
    }
    if let Some(trailers) = trailers {
        let flags = END_HEADERS | END_STREAM;
        frames.extend(frame(HEADERS, flags, stream, &literal(trailers)));
    }
    io.write_all(&frames).await.unwrap();
    io.flush().await.unwrap();
    ended_over_http2(io, stream).await
}

async fn ended_over_http2(io: &mut TlsStream<TcpStream>, stream: u32) -> Ended {
    let mut status = None;
    loop {
        let mut head = [0; 9];
        io.read_exact(&mut head)
            .await
            .expect("the connection is open");
        let [a, b, c, kind, flags, of @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        io.read_exact(&mut payload).await.unwrap();
        let of = u32::from_be_bytes(of);
        match kind {
            GOAWAY => panic!("GOAWAY {}", payload.escape_ascii()),
            SETTINGS if flags & ACK == 0 => {
                io.write_all(&frame(SETTINGS, ACK, 0, b"")).await.unwrap();
            }
            PING if flags & ACK == 0 => {
                io.write_all(&frame(PING, ACK, 0, &payload)).await.unwrap();
            }
            RST_STREAM if of == stream => return Ended::Reset,
            HEADERS if of == stream && status.is_none() => {
                status = Some(known_status(&payload));
            }
            _ => {}
        }
        if of == stream && matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            return Ended::Answered(status.unwrap());
        }
    }
}

/// The first field of an answer, where it is one of the static table (RFC 7541, appendix A). Changes of the dynamic
/// table's size may stand before it.
fn known_status(block: &[u8]) -> u16 {
    match block.iter().find(|byte| *byte & 0xe0 != 0x20) {
        Some(0x88) => 200,
        Some(0x89) => 204,
        Some(0x8b) => 304,
        Some(0x8c) => 400,
        Some(0x8d) => 404,
        Some(0x8e) => 500,
        _ => 0,
    }
}

async fn send_over_quic(connection: &quinn::Connection, request: Request<'_>) -> Ended {
    let mut entries = vec![
        ("HttpMethod".to_owned(), request.method.as_bytes().to_vec()),
        ("HttpHost".to_owned(), b"app.example.com".to_vec()),
    ];
    for (name, value) in request.fields {
        entries.push((format!("HttpHeader:{name}"), value.to_vec()));
    }
    let data = match request.body {
        Body::None => &b""[..],
        Body::Length(data) => {
            let length = data.len().to_string().into_bytes();
            entries.push(("HttpHeader:content-length".to_owned(), length));
            data
        }
        Body::Unknown(data) | Body::Trailers(data, _) => {
            let name = "HttpHeader:transfer-encoding".to_owned();
            entries.push((name, b"chunked".to_vec()));
            data
        }
    };
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    let head = head_over_quic(request.path, &entries);
    send.write_all(&[REQUEST, &head, data].concat())
        .await
        .unwrap();
    // Who refuses a request may not want the rest of it.
    let _ = send.finish();
    let Ok(answer) = recv.read_to_end(1 << 20).await else {
        return Ended::Reset;
    };
    let mut message = answer.get(REQUEST.len()..).expect("an answer");
    let options = ReaderOptions::new();
    let message = capnp::serialize::read_message_from_flat_slice(&mut message, options).unwrap();
    let root = message.get_root::<connect_response::Reader<'_>>().unwrap();
    for entry in root.get_metadata().unwrap() {
        let key = entry.get_key().unwrap().to_string().unwrap();
        if key == "HttpStatus" {
            let status = entry.get_val().unwrap().to_string().unwrap();
            return Ended::Answered(status.parse().unwrap());
        }
    }
    panic!("an answer without a status")
}

fn head_over_quic(path: &[u8], entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut message = capnp::message::Builder::new_default();
    let mut root = message.init_root::<connect_request::Builder<'_>>();
    let destination = [b"https://app.example.com", path].concat();
    root.set_dest(text::Reader(&destination));
    root.set_type(ConnectionType::Http);
    let mut list = root.init_metadata(u32::try_from(entries.len()).unwrap());
    for (at, (key, value)) in (0..).zip(entries) {
        let mut entry = list.reborrow().get(at);
        entry.set_key(text::Reader(key.as_bytes()));
        entry.set_val(text::Reader(value));
    }
    capnp::serialize::write_message_to_words(&message)
}
