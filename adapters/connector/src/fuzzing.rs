//! Doors to the parsers for the fuzz targets, which live outside the workspace. Each panics where a rule of
//! its parser does not hold.

use bytes::BytesMut;
use domain::secret::ConnectorToken;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::token::Credentials;
use crate::wire::{frame, headers, rpc};

/// Reads bytes as a control stream that comes in pieces of `piece` bytes (at least one). Returns the number
/// of messages before the first that is malformed.
pub fn tunnel_frame(bytes: &[u8], piece: usize) -> usize {
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

/// Reads a text as a connector token. `true` where it is one.
pub fn tunnel_token(text: &str) -> bool {
    match Credentials::read(&ConnectorToken::new(text)) {
        Ok(_) => true,
        Err(error) => {
            assert!(
                error.to_string().len() < 100,
                "an error tells nothing of the text"
            );
            false
        }
    }
}

/// Writes headers as the edge expects them and reads them back. What is no header is left out.
pub fn response_headers(pairs: &[(&[u8], &[u8])]) {
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

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

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
    fn whatever_becomes_of_a_frame_its_pieces_make_no_difference() {
        for seed in frames() {
            for bytes in variants(&seed) {
                let whole = tunnel_frame(&bytes, usize::MAX);
                assert_eq!(tunnel_frame(&bytes, 7), whole, "{bytes:?}");
            }
        }
    }

    #[test]
    fn whatever_becomes_of_a_token_no_error_tells_it() {
        let json = r#"{"a":"acc","s":"c2VjcmV0","t":"6ff42ae2-765d-4adf-8112-31c55c1551ef"}"#;
        for text in variants(json.as_bytes()) {
            tunnel_token(&STANDARD.encode(text));
        }
        for text in variants(STANDARD.encode(json).as_bytes()) {
            tunnel_token(&String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn whatever_becomes_of_headers_what_is_read_is_what_was_written() {
        for value in variants(b"a=1; Path=/, \"b\" \t\xc3\xa4") {
            for name in variants(b"set-cookie") {
                response_headers(&[(&name, &value), (b"set-cookie", &value)]);
            }
        }
    }
}
