//! What the edge's streams over QUIC begin with: a preamble that says what the stream is for and, on one
//! that carries a request, its head as a Cap'n Proto message. The answer begins alike.

use std::io;

use bytes::BytesMut;
use capnp::{struct_list, text};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{Semaphore, SemaphorePermit};
use tunnel_schema::quic_metadata_protocol_capnp::{
    ConnectionType, connect_request, connect_response, metadata,
};

use super::frame::{self, Builder, Message};

/// Begins a stream with a request, and its answer.
const DATA: [u8; 6] = [0x0A, 0x36, 0xCD, 0x12, 0xA1, 0x3E];
/// Begins a stream with calls.
const CALLS: [u8; 6] = [0x52, 0xBB, 0x82, 0x5C, 0xDB, 0x65];
/// Follows [`DATA`]. The version of the peer is not looked at: there has only ever been one.
const VERSION: [u8; 2] = *b"01";

const METHOD: &[u8] = b"HttpMethod";
const HOST: &[u8] = b"HttpHost";
const STATUS: &str = "HttpStatus";
const HEADER: &str = "HttpHeader:";

/// What is wrong with a stream's beginning.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PreambleError {
    /// The stream broke or ended before it was all there.
    #[error("the stream broke: {0}")]
    Io(#[from] io::Error),
    #[error("an unknown signature")]
    Signature,
    #[error("a malformed message: {0}")]
    Malformed(#[from] capnp::Error),
    /// Method or host more than once: it is not clear which one counts.
    #[error("an entry that may be there once is there twice")]
    Twice,
    #[error("an unknown kind of request")]
    Kind(#[from] capnp::NotInSchema),
    #[error("no room for another large head")]
    NoRoom,
}

/// A head is large above that. Smaller ones have room of their own.
pub(crate) const LARGE_HEAD: usize = 4 << 10;
/// Bytes of large heads that are not all there, of all connections of a connector together.
const HEADS_UNDER_WAY: usize = 32 << 20;

/// Room for large heads that are not all there: streams progress side by side, so thousands could be nearly complete.
#[derive(Debug)]
pub(crate) struct HeadRoom(Semaphore);

impl Default for HeadRoom {
    fn default() -> Self {
        Self(Semaphore::new(HEADS_UNDER_WAY))
    }
}

impl HeadRoom {
    /// Room for the message that `buffer` begins with, unless it is a small one or its length is not known yet.
    fn take(&self, buffer: &BytesMut) -> Result<Option<SemaphorePermit<'_>>, PreambleError> {
        let Some(length) = frame::length(buffer)?.filter(|length| *length > LARGE_HEAD) else {
            return Ok(None);
        };
        let length = u32::try_from(length).map_err(|_| PreambleError::NoRoom)?;
        let room = self.0.try_acquire_many(length);
        room.map(Some).map_err(|_| PreambleError::NoRoom)
    }
}

/// What the edge opened a stream for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A request: a [`ConnectRequest`] follows.
    Data,
    /// Calls: Cap'n Proto RPC follows.
    Calls,
}

/// What kind of stream a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Http,
    /// A WebSocket: both directions are byte streams.
    WebSocket,
    /// A TCP stream of a private network, which is not served.
    Tcp,
}

/// The head of a request as the edge sends it. Nothing in it has been checked but its form; texts are
/// the bytes that were sent, because header values need not be UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConnectRequest {
    pub(crate) kind: Kind,
    /// URL; only path and query of it count.
    pub(crate) destination: Vec<u8>,
    pub(crate) method: Option<Vec<u8>>,
    pub(crate) host: Option<Vec<u8>>,
    /// One entry for each value, in the order sent.
    pub(crate) headers: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Reads what a stream is for, and for a request the version after it. Bytes beyond stay in `buffer`.
pub(crate) async fn read_purpose<R>(
    stream: &mut R,
    buffer: &mut BytesMut,
) -> Result<Purpose, PreambleError>
where
    R: AsyncRead + Unpin,
{
    fill(stream, buffer, DATA.len()).await?;
    let signature = buffer.split_to(DATA.len());
    if signature[..] == CALLS {
        return Ok(Purpose::Calls);
    }
    if signature[..] != DATA {
        return Err(PreambleError::Signature);
    }
    fill(stream, buffer, VERSION.len()).await?;
    let _version = buffer.split_to(VERSION.len());
    Ok(Purpose::Data)
}

/// Reads the head of a request. Bytes beyond it, which are the body's, stay in `buffer`.
pub(crate) async fn read_request<R>(
    stream: &mut R,
    buffer: &mut BytesMut,
    room: &HeadRoom,
) -> Result<ConnectRequest, PreambleError>
where
    R: AsyncRead + Unpin,
{
    let mut taken = None;
    loop {
        if taken.is_none() {
            taken = room.take(buffer)?;
        }
        if let Some(message) = frame::take(buffer)? {
            return ConnectRequest::decode(&message);
        }
        let held = buffer.len();
        fill(stream, buffer, held + 1).await?;
    }
}

/// Reads until `buffer` holds at least `length` bytes.
async fn fill<R>(stream: &mut R, buffer: &mut BytesMut, length: usize) -> io::Result<()>
where
    R: AsyncRead + Unpin,
{
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

impl ConnectRequest {
    fn decode(message: &Message) -> Result<Self, PreambleError> {
        let root = message.get_root::<connect_request::Reader<'_>>()?;
        let mut request = Self {
            kind: match root.get_type()? {
                ConnectionType::Http => Kind::Http,
                ConnectionType::Websocket => Kind::WebSocket,
                ConnectionType::Tcp => Kind::Tcp,
            },
            destination: root.get_dest()?.as_bytes().to_vec(),
            method: None,
            host: None,
            headers: Vec::new(),
        };
        request.note(root.get_metadata()?)?;
        Ok(request)
    }

    /// Takes over the keys that are known; others are for later versions.
    fn note(
        &mut self,
        entries: struct_list::Reader<'_, metadata::Owned>,
    ) -> Result<(), PreambleError> {
        for entry in entries {
            let key = entry.get_key()?.as_bytes();
            let value = entry.get_val()?.as_bytes();
            let once = match key {
                METHOD => Some(&mut self.method),
                HOST => Some(&mut self.host),
                _ => None,
            };
            if let Some(entry) = once {
                if entry.replace(value.to_vec()).is_some() {
                    return Err(PreambleError::Twice);
                }
            } else if let Some(name) = key.strip_prefix(HEADER.as_bytes()) {
                self.headers.push((name.to_vec(), value.to_vec()));
            }
        }
        Ok(())
    }
}

/// The head of an answer, with its signature, as it goes over the stream. `error` is empty where there
/// is an answer; names and values of `headers` are ASCII and bytes as HTTP has them.
pub(crate) fn response<'a>(
    error: &str,
    status: u16,
    headers: impl ExactSizeIterator<Item = (&'a str, &'a [u8])>,
) -> Vec<u8> {
    let mut message = Builder::new_default();
    let mut root = message.init_root::<connect_response::Builder<'_>>();
    root.set_error(error);
    let count = u32::try_from(headers.len() + 1).expect("a head has fewer headers than 2^32");
    let mut entries = root.init_metadata(count);
    let mut first = entries.reborrow().get(0);
    first.set_key(STATUS);
    first.set_val(status.to_string().as_str());
    for (at, (name, value)) in (1..count).zip(headers) {
        let mut entry = entries.reborrow().get(at);
        entry.set_key(format!("{HEADER}{name}").as_str());
        entry.set_val(text::Reader(value));
    }
    let mut bytes = [&DATA[..], &VERSION[..]].concat();
    bytes.extend(frame::bytes(&message));
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A stream with a request as an edge writes it, and `rest` after its head.
    fn written(kind: ConnectionType, entries: &[(&str, &[u8])], rest: &[u8]) -> Vec<u8> {
        let mut message = Builder::new_default();
        let mut root = message.init_root::<connect_request::Builder<'_>>();
        root.set_dest("https://app.example.com/a?b=c");
        root.set_type(kind);
        let mut list = root.init_metadata(u32::try_from(entries.len()).unwrap());
        for (at, (key, value)) in (0..).zip(entries) {
            let mut entry = list.reborrow().get(at);
            entry.set_key(*key);
            entry.set_val(text::Reader(value));
        }
        [&DATA[..], &VERSION, &frame::bytes(&message), rest].concat()
    }

    /// What is read from a stream of `bytes`, and how much room the reader took.
    fn read(bytes: &mut &[u8]) -> (Result<ConnectRequest, PreambleError>, BytesMut) {
        let mut buffer = BytesMut::new();
        let reading = async {
            match read_purpose(bytes, &mut buffer).await? {
                Purpose::Data => read_request(bytes, &mut buffer, &HeadRoom::default()).await,
                Purpose::Calls => Err(PreambleError::Signature),
            }
        };
        let result = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(reading);
        (result, buffer)
    }

    #[test]
    fn a_request_is_read_with_all_its_values_and_the_body_is_left() {
        let sent = written(
            ConnectionType::Websocket,
            &[
                ("HttpMethod", b"GET"),
                ("HttpHost", b"app.example.com"),
                ("HttpHeader:X-A", b"1"),
                ("HttpHeader:X-A", b"\xff"),
                ("HttpHeader:a:b", b""),
                ("SomethingNew", b"?"),
            ],
            b"body",
        );

        let mut unread = &sent[..];
        let (request, rest) = read(&mut unread);

        let request = request.unwrap();
        assert_eq!(request.kind, Kind::WebSocket);
        assert_eq!(request.destination, b"https://app.example.com/a?b=c");
        assert_eq!(request.method.as_deref(), Some(&b"GET"[..]));
        assert_eq!(request.host.as_deref(), Some(&b"app.example.com"[..]));
        let header = |name: &[u8], value: &[u8]| (name.to_vec(), value.to_vec());
        let headers = [
            header(b"X-A", b"1"),
            header(b"X-A", b"\xff"),
            header(b"a:b", b""),
        ];
        assert_eq!(request.headers, headers);
        assert_eq!([&rest, unread].concat(), b"body");
    }

    #[test]
    fn what_begins_otherwise_is_refused() {
        let sent = written(ConnectionType::Http, &[], b"");
        for (given, then) in [
            (&b"GET / HTTP/1.1\r\n"[..], "an unknown signature"),
            (&DATA[..5], "the stream broke: unexpected end of file"),
            (&sent[..7], "the stream broke: unexpected end of file"),
            (
                &sent[..sent.len() - 1],
                "the stream broke: unexpected end of file",
            ),
        ] {
            let (read, _) = read(&mut &given[..]);
            assert_eq!(read.unwrap_err().to_string(), then, "{given:?}");
        }
    }

    #[test]
    fn a_list_with_more_entries_than_bytes_is_refused() {
        let entries = 2_000_000_u64;
        let words = [
            5 << 32,           // one segment, of five words
            0x0002_0001 << 32, // the root: one word of data, two pointers
            0,                 // data
            0,                 // no destination
            7 << 32 | 1,       // metadata: a list of structs, of no words
            entries << 2,      // its tag: so many structs without fields
        ];
        let words = words.into_iter().flat_map(u64::to_le_bytes);
        let sent: Vec<u8> = DATA.into_iter().chain(VERSION).chain(words).collect();
        let (read, _) = read(&mut &sent[..]);
        assert!(matches!(read, Err(PreambleError::Malformed(_))), "{read:?}");
    }

    #[test]
    fn an_answer_has_its_status_and_every_value() {
        let headers = [("set-cookie", &b"a=1"[..]), ("set-cookie", b"\xff")];
        let sent = response("", 101, headers.into_iter());
        assert_eq!(sent[..8], [&DATA[..], &VERSION].concat());
        let message = frame::take(&mut BytesMut::from(&sent[8..]))
            .unwrap()
            .unwrap();
        let root = message.get_root::<connect_response::Reader<'_>>().unwrap();
        assert!(root.get_error().unwrap().is_empty());
        let entries: Vec<_> = root
            .get_metadata()
            .unwrap()
            .iter()
            .map(|entry| {
                let key = entry.get_key().unwrap().as_bytes();
                (key.to_vec(), entry.get_val().unwrap().as_bytes().to_vec())
            })
            .collect();
        let entry = |key: &str, value: &[u8]| (key.as_bytes().to_vec(), value.to_vec());
        let expected = [
            entry("HttpStatus", b"101"),
            entry("HttpHeader:set-cookie", b"a=1"),
            entry("HttpHeader:set-cookie", b"\xff"),
        ];
        assert_eq!(entries, expected);
    }

    /// Room that a reader may take: the largest message, and as much again that was read with it.
    const ROOM: usize = 2 << 20;

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_take_little_room(
            bytes in proptest::collection::vec(any::<u8>(), 0..300)
        ) {
            let (_, buffer) = read(&mut &bytes[..]);
            prop_assert!(buffer.capacity() <= ROOM);
        }

        #[test]
        fn arbitrary_messages_after_the_preamble_never_panic_and_take_little_room(
            segments in 0_u32..4,
            words in proptest::collection::vec(any::<u32>(), 0..4),
            rest in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut bytes = [&DATA[..], &VERSION, &segments.to_le_bytes()].concat();
            bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
            bytes.extend(rest);
            let (_, buffer) = read(&mut &bytes[..]);
            prop_assert!(buffer.capacity() <= ROOM);
        }

        #[test]
        fn a_request_with_wrong_bytes_in_it_never_panics(
            changes in proptest::collection::vec((8_usize..200, any::<u8>()), 1..12)
        ) {
            let entries = [("HttpMethod", &b"GET"[..]), ("HttpHeader:X-A", b"1")];
            let mut bytes = written(ConnectionType::Http, &entries, b"body");
            for (at, byte) in changes {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            let (_, buffer) = read(&mut &bytes[..]);
            prop_assert!(buffer.capacity() <= ROOM);
        }
    }
}
