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
