//! What stands before the bytes of a QUIC stream: a signature, a version, and the head of a request or
//! response as one Cap'n Proto message.

use capnp::message::ReaderOptions;
use capnp::text;
use http::{HeaderName, HeaderValue, Response, StatusCode, request};
use tokio::io::{AsyncRead, AsyncReadExt};
use tunnel_schema::quic_metadata_protocol_capnp::{
    ConnectionType, connect_request as wire_request, connect_response as wire_response,
};

use super::RequestKind;
use crate::edge::body::BoxError;
use crate::edge::headers::MalformedResponse;

/// Begins a stream that carries a request and its answer.
pub(in crate::edge) const DATA_SIGNATURE: [u8; 6] = [0x0A, 0x36, 0xCD, 0x12, 0xA1, 0x3E];
/// Begins a stream that carries RPC.
pub(in crate::edge) const RPC_SIGNATURE: [u8; 6] = [0x52, 0xBB, 0x82, 0x5C, 0xDB, 0x65];
/// Follows [`DATA_SIGNATURE`].
pub(in crate::edge) const VERSION: [u8; 2] = *b"01";
/// Key of the request's method.
pub(in crate::edge) const METHOD: &str = "HttpMethod";
/// Key of the request's host.
pub(in crate::edge) const HOST: &str = "HttpHost";
/// Key of the response's status, in decimal.
pub(in crate::edge) const STATUS: &str = "HttpStatus";
/// Key of a header, before its name; one for each value.
pub(in crate::edge) const HEADER: &str = "HttpHeader:";

/// Longest head that is read, in bytes.
const HEAD_LIMIT: usize = 4 << 20;
/// Most segments of a message. Heads come in one or a few.
const SEGMENT_LIMIT: usize = 512;

/// The first bytes of a stream with this request.
pub(super) fn connect_request(kind: RequestKind, head: &request::Parts) -> Vec<u8> {
    let mut message = capnp::message::Builder::new_default();
    let mut request = message.init_root::<wire_request::Builder<'_>>();
    request.set_dest(head.uri.to_string().as_str());
    request.set_type(match kind {
        RequestKind::Http => ConnectionType::Http,
        RequestKind::WebSocket => ConnectionType::Websocket,
    });
    let host = head.uri.authority().map_or("", |host| host.as_str());
    let mut pairs = vec![
        (METHOD.to_owned(), head.method.as_str().as_bytes()),
        (HOST.to_owned(), host.as_bytes()),
    ];
    for (name, value) in &head.headers {
        pairs.push((format!("{HEADER}{name}"), value.as_bytes()));
    }
    let count = u32::try_from(pairs.len()).expect("headers are limited to far fewer");
    let mut metadata = request.init_metadata(count);
    for (index, (key, value)) in (0..).zip(&pairs) {
        let mut pair = metadata.reborrow().get(index);
        pair.set_key(key.as_str());
        // Header values are bytes, and the other side takes text for bytes too.
        pair.set_val(text::Reader(value));
    }
    let mut bytes = [&DATA_SIGNATURE[..], &VERSION].concat();
    bytes.extend(capnp::serialize::write_message_to_words(&message));
    bytes
}

/// Why there is no head of a response.
pub(super) enum ReadFailure {
    /// The stream ended or was reset.
    Stream(BoxError),
    /// It does not follow the protocol.
    Malformed(MalformedResponse),
    /// The connector's own failure, in its words.
    Connector(String),
}

impl From<std::io::Error> for ReadFailure {
    fn from(error: std::io::Error) -> Self {
        Self::Stream(error.into())
    }
}

const fn malformed(what: &'static str) -> ReadFailure {
    ReadFailure::Malformed(MalformedResponse::ConnectResponse(what))
}

/// Reads the head of a response and not a byte more.
pub(super) async fn read_response(
    from: &mut (impl AsyncRead + Unpin),
) -> Result<Response<()>, ReadFailure> {
    let mut preamble = [0; DATA_SIGNATURE.len() + VERSION.len()];
    from.read_exact(&mut preamble).await?;
    if preamble[..DATA_SIGNATURE.len()] != DATA_SIGNATURE {
        return Err(malformed("another signature"));
    }
    let message = read_message(from).await?;
    let message = message.ok_or(malformed("its message has no possible size"))?;
    connect_response(&message).map_err(|_| malformed("its message breaks the schema"))?
}

/// Reads one framed message; none if its size passes the limits.
pub(in crate::edge) async fn read_message(
    from: &mut (impl AsyncRead + Unpin),
) -> std::io::Result<Option<Vec<u8>>> {
    let segments = from.read_u32_le().await?;
    let segments = usize::try_from(segments)
        .unwrap_or(usize::MAX)
        .saturating_add(1);
    if segments > SEGMENT_LIMIT {
        return Ok(None);
    }
    // The table of sizes is padded to a whole word.
    let mut bytes = vec![0; 4 + 4 * segments + 4 * ((segments + 1) % 2)];
    let count = u32::try_from(segments - 1).expect("below the limit");
    bytes[..4].copy_from_slice(&count.to_le_bytes());
    from.read_exact(&mut bytes[4..]).await?;
    let sizes = bytes[4..4 + 4 * segments].as_chunks::<4>().0.iter();
    let words: u64 = sizes.map(|size| u64::from(u32::from_le_bytes(*size))).sum();
    let length = usize::try_from(words * 8).unwrap_or(usize::MAX);
    if length > HEAD_LIMIT {
        return Ok(None);
    }
    let table = bytes.len();
    bytes.resize(table + length, 0);
    from.read_exact(&mut bytes[table..]).await?;
    Ok(Some(bytes))
}

fn connect_response(message: &[u8]) -> capnp::Result<Result<Response<()>, ReadFailure>> {
    let message = capnp::serialize::read_message_from_flat_slice(
        &mut &message[..],
        ReaderOptions::default(),
    )?;
    let response = message.get_root::<wire_response::Reader<'_>>()?;
    let error = response.get_error()?;
    if !error.is_empty() {
        let error = String::from_utf8_lossy(error.as_bytes()).into_owned();
        return Ok(Err(ReadFailure::Connector(error)));
    }
    let mut status = None;
    let mut origin = Response::new(());
    for pair in response.get_metadata()? {
        let (key, value) = (pair.get_key()?, pair.get_val()?.as_bytes());
        let Ok(key) = key.to_str() else {
            return Ok(Err(malformed("a key is no text")));
        };
        if key == STATUS {
            status = StatusCode::from_bytes(value).ok();
        } else if let Some(name) = key.strip_prefix(HEADER) {
            let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_bytes(value),
            ) else {
                return Ok(Err(malformed("a header is none")));
            };
            origin.headers_mut().append(name, value);
        }
    }
    let Some(status) = status else {
        return Ok(Err(malformed("no status")));
    };
    *origin.status_mut() = status;
    Ok(Ok(origin))
}
