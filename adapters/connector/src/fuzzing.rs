//! Entry points to the parsers for the fuzz targets, which are outside the workspace. Each panics where a rule of
//! its parser does not hold.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use domain::route_table::Arrival;
use domain::secret::ConnectorToken;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};

use crate::connection::Membership;
use crate::token::Credentials;
use crate::transport::h2;
use crate::transport::quic::request;
use crate::wire::connect::{self, HeadRoom, Purpose};
use crate::wire::{frame, headers, rpc};
use crate::{ConnectorOptions, RequestBody, RequestHandler};

/// Reads a control stream. The first byte says in which pieces the rest comes.
pub fn tunnel_frame(input: &[u8]) {
    if let [piece, bytes @ ..] = input {
        let whole = messages(bytes, usize::MAX);
        assert_eq!(messages(bytes, usize::from(*piece)), whole, "{bytes:?}");
    }
}

/// Reads bytes as a control stream that comes in pieces of `piece` bytes (at least one). Returns the number
/// of messages before the first that is malformed.
fn messages(bytes: &[u8], piece: usize) -> usize {
    let mut buffer = BytesMut::new();
    let mut messages = 0;
    for piece in bytes.chunks(piece.max(1)) {
        buffer.extend_from_slice(piece);
        loop {
            match frame::take(&mut buffer) {
                Ok(Some(message)) => rpc::interpret(&message),
                Ok(None) => break,
                Err(_) => return messages,
            }
            messages += 1;
        }
    }
    messages
}

/// Reads a text as a connector token.
pub fn tunnel_token(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input)
        && let Err(error) = Credentials::read(&ConnectorToken::new(text))
    {
        assert!(
            error.to_string().len() < 100,
            "an error tells nothing of the text"
        );
    }
}

/// Headers in lines of `name:value`, of any bytes, on their way to the edge and back.
pub fn response_headers(input: &[u8]) {
    let lines = input.split(|byte| *byte == b'\n');
    let pairs: Vec<_> = lines
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((&line[..colon], &line[colon + 1..]))
        })
        .collect();
    write_and_read(&pairs);
}

/// Writes headers as the edge expects them and reads them back. What is no header is left out.
fn write_and_read(pairs: &[(&[u8], &[u8])]) {
    let mut given = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            given.append(name, value);
        }
    }
    let written = headers::serialize(&given);
    let text = written
        .to_str()
        .expect("base64 between colons and semicolons");
    let read = headers::deserialize(text);
    for (name, value) in &read {
        assert!(
            given.get_all(name).iter().any(|known| known == value),
            "nothing is made up"
        );
    }
}

/// Reads bytes as a stream of the edge over QUIC, and as the head of a request on one: most streams carry a request, and
/// nothing else begins like one.
pub fn quic_request(input: &[u8]) {
    let preamble = b"\x0A\x36\xCD\x12\xA1\x3E01";
    quic_stream(&[preamble, input].concat());
    quic_stream(input);
}

fn quic_stream(bytes: &[u8]) {
    let mut unread = bytes;
    let mut buffer = BytesMut::new();
    let reading = async {
        match connect::read_purpose(&mut unread, &mut buffer).await? {
            Purpose::Data => {
                let room = HeadRoom::default();
                let head = connect::read_request(&mut unread, &mut buffer, &room).await;
                head.map(Some)
            }
            Purpose::Calls => Ok(None),
        }
    };
    let read = reading.now_or_never().expect("all bytes are there");
    let Ok(Some(Ok(request))) = read.map(|head| head.map(|head| request::read(&head))) else {
        return;
    };
    assert!(is_for_an_endpoint(&request), "{request:?}");
    assert!(!request.headers().contains_key(header::TRANSFER_ENCODING));
}

/// Serves bytes as what the edge says on a connection over HTTP/2 after its preface.
pub fn http2_requests(bytes: &[u8]) {
    static MEMBERSHIP: OnceLock<Arc<Membership>> = OnceLock::new();
    let membership = MEMBERSHIP.get_or_init(|| {
        let token = r#"{"a":"acc","s":"c2VjcmV0","t":"6ff42ae2-765d-4adf-8112-31c55c1551ef"}"#;
        let token = ConnectorToken::new(STANDARD.encode(token));
        let credentials = Credentials::read(&token).expect("it is one");
        let membership = Membership::new(credentials, ConnectorOptions::default());
        Arc::new(membership.expect("the default options can be used"))
    });
    // Timeouts come as soon as there is nothing left to do.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let judge = Arc::new(Judge::default());
    let serving = h2::serve_bytes(Arc::clone(&judge), Arc::clone(membership), bytes);
    runtime.block_on(serving);
    assert!(
        !judge.refuses.load(Ordering::SeqCst),
        "no such request may come through"
    );
}

/// Answers with the request's body. A panic of it would be caught.
#[derive(Default)]
struct Judge {
    /// There was a request that no endpoint may get.
    refuses: AtomicBool,
}

impl RequestHandler for Judge {
    type Body = RequestBody;

    async fn handle(&self, _: Arrival, request: Request<RequestBody>) -> Response<RequestBody> {
        if !is_for_an_endpoint(&request) || !request.headers().contains_key(header::HOST) {
            self.refuses.store(true, Ordering::SeqCst);
        }
        Response::new(request.into_body())
    }
}

/// A request line of HTTP/1.1 can carry its path.
fn is_for_an_endpoint<B>(request: &Request<B>) -> bool {
    let path = request.uri().path_and_query();
    let path = path.map_or("", |path| path.as_str());
    path.bytes().all(|byte| byte > b' ' && byte != 0x7f)
}

#[cfg(test)]
#[path = "../../../fuzz/corpus.rs"]
mod corpus;

#[cfg(test)]
mod tests {
    use super::*;

    /// The seed, and the seed changed, cut and repeated at each of its bytes.
    fn variants(seed: &[u8]) -> Vec<Vec<u8>> {
        let mut variants = vec![seed.to_vec()];
        for at in 0..seed.len() {
            for byte in [seed[at] ^ 1, seed[at] ^ 0x80, 0, 0xff] {
                let mut changed = seed.to_vec();
                changed[at] = byte;
                variants.push(changed);
            }
            variants.push(seed[..at].to_vec());
            variants.push([&seed[..at], &seed[..at], &seed[at..]].concat());
        }
        variants
    }

    /// The answer to a registration, two segments with nothing in the second, and a pointer astray.
    fn frames() -> [Vec<u8>; 3] {
        let answer = [
            0x12_0000_0000,
            0x0003_0001_0000_0000,
            0x0002_0000_0000_0000,
            0x03_0000_0001,
            0,
            0x0004_0002_0000_0000,
            0x25_0001_0000_0000,
            7,
            0x0001_0001_0000_0000,
            0,
            0x0002_0001_0000_0000,
            0x05_0000_0000,
            0x09_0000_0082,
            0x13_0000_0032,
            0x9948_8f2a_4a43_d613,
            0x6273_80ad_51c1_0915,
            0x3130_6d69,
            0,
            0x01_0001,
        ];
        let segments = [1, 0x00_0000_0001, 0];
        let astray = [0x01_0000_0000, u64::MAX];
        [&answer[..], &segments, &astray]
            .map(|words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect())
    }

    #[test]
    fn no_input_of_the_corpus_breaks_a_rule() {
        corpus::run(&[
            ("tunnel_frame", tunnel_frame),
            ("tunnel_token", tunnel_token),
            ("response_headers", response_headers),
            ("quic_request", quic_request),
            ("http2_requests", http2_requests),
        ]);
    }

    #[test]
    fn whatever_becomes_of_a_frame_its_pieces_make_no_difference() {
        for seed in frames() {
            for bytes in variants(&seed) {
                tunnel_frame(&[b"\x07", &bytes[..]].concat());
            }
        }
    }

    /// A request with a body and trailers, and another one without.
    fn requests() -> Vec<u8> {
        let frame = |kind, flags, stream, payload: &[u8]| {
            let length = u8::try_from(payload.len()).unwrap();
            [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
        };
        // POST and GET, https, `/`, and `a` for the host, which goes into the table and is named from there.
        let post = b"\x83\x87\x84\x41\x01a\x40\x03x-a\x01b";
        let get = b"\x82\x87\x84\xbf\xbe";
        [
            frame(4, 0, 0, b""),
            frame(1, 4, 1, post),
            frame(0, 0, 1, b"body"),
            frame(1, 5, 1, b"\xbe"),
            frame(1, 1, 3, &get[..2]),
            frame(9, 4, 3, &get[2..]),
        ]
        .concat()
    }

    #[test]
    fn whatever_becomes_of_frames_no_request_is_one_that_an_endpoint_may_not_get() {
        for bytes in variants(&requests()) {
            http2_requests(&bytes);
        }
    }

    #[test]
    fn whatever_becomes_of_a_head_over_quic_it_is_a_request_or_none() {
        for frame in frames() {
            for bytes in variants(&frame) {
                quic_request(&bytes);
            }
        }
    }

    #[test]
    fn whatever_becomes_of_a_token_no_error_tells_it() {
        let json = r#"{"a":"acc","s":"c2VjcmV0","t":"6ff42ae2-765d-4adf-8112-31c55c1551ef"}"#;
        for text in variants(json.as_bytes()) {
            tunnel_token(STANDARD.encode(text).as_bytes());
        }
        for text in variants(STANDARD.encode(json).as_bytes()) {
            tunnel_token(&text);
        }
    }

    #[test]
    fn whatever_becomes_of_headers_what_is_read_is_what_was_written() {
        for value in variants(b"a=1; Path=/, \"b\" \t\xc3\xa4") {
            for name in variants(b"set-cookie") {
                write_and_read(&[(&name, &value), (b"set-cookie", &value)]);
            }
        }
    }
}
