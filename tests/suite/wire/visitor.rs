//! What a visitor sees of an answer over HTTP/1.1.

use tests::raw_answers::Then;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// An answer to its end, or to where it broke off.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) status: u16,
    pub(super) fields: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
    pub(super) is_whole: bool,
}

impl Seen {
    pub(super) fn values(&self, name: &str) -> Vec<&[u8]> {
        let named = self.fields.iter().filter(|(found, _)| found == name);
        named.map(|(_, value)| &value[..]).collect()
    }

    /// The same in the words of a table.
    pub(super) fn told(&self) -> Then {
        if self.status == 502 {
            return Then::BadGateway;
        }
        if !self.is_whole {
            return Then::Cut;
        }
        let text = |bytes: &[u8]| &*String::from_utf8_lossy(bytes).into_owned().leak();
        let lengths = self.values("content-length");
        let length = match lengths[..] {
            [] => None,
            [one] => Some(text(one)),
            _ => Some("more than one"),
        };
        Then::Whole(self.status, length, text(&self.body))
    }
}

/// Whether a visitor has got what it should. What breaks an answer off may overtake its head, and the edge then answers 502:
/// what must not happen is an answer that looks whole. A 304 may leave its length out (RFC 9110 §8.6).
pub(super) fn is_right(told: Then, wanted: Then) -> bool {
    match (told, wanted) {
        (Then::BadGateway, Then::Cut) | (Then::Whole(304, None, ""), Then::Whole(304, ..)) => true,
        _ => told == wanted,
    }
}

/// Sends a request without a body and reads until the other side closes.
pub(super) async fn ask(
    io: &mut (impl AsyncRead + AsyncWrite + Unpin),
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
) -> Seen {
    let fields = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"));
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n{}\r\n",
        fields.collect::<String>()
    );
    io.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    // An error is the end of an answer that breaks off.
    let _ = io.read_to_end(&mut bytes).await;
    // What breaks an answer off may overtake its head.
    read(&bytes, method).unwrap_or(Seen {
        status: 0,
        fields: Vec::new(),
        body: Vec::new(),
        is_whole: false,
    })
}

/// The final answer, if there is one.
fn read(mut bytes: &[u8], method: &str) -> Option<Seen> {
    loop {
        let end = find(bytes, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status: u16 = head.get(9..12)?.parse().ok()?;
        let rest = &bytes[end + 4..];
        if (100..200).contains(&status) && status != 101 {
            bytes = rest;
            continue;
        }
        let fields = bytes[..end].split(|byte| *byte == b'\n').skip(1);
        let field = |line: &[u8]| {
            let colon = find(line, b":")?;
            let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
            Some((name, line[colon + 1..].trim_ascii().to_vec()))
        };
        let mut seen = Seen {
            status,
            fields: fields.filter_map(field).collect(),
            body: Vec::new(),
            is_whole: true,
        };
        if method != "HEAD" && status != 204 && status != 304 {
            (seen.body, seen.is_whole) = body(&seen, rest);
        }
        return Some(seen);
    }
}

fn body(seen: &Seen, bytes: &[u8]) -> (Vec<u8>, bool) {
    if !seen.values("transfer-encoding").is_empty() {
        return chunks(bytes);
    }
    let length = seen.values("content-length").first().copied();
    let length: Option<usize> =
        length.and_then(|length| String::from_utf8_lossy(length).parse().ok());
    match length {
        Some(length) => (bytes.to_vec(), bytes.len() == length),
        None => (bytes.to_vec(), true),
    }
}

fn chunks(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let size = find(bytes, b"\r\n").and_then(|end| {
            let digits = String::from_utf8_lossy(&bytes[..end]).into_owned();
            Some((usize::from_str_radix(&digits, 16).ok()?, end + 2))
        });
        match size {
            Some((0, _)) => return (body, true),
            Some((size, at)) if bytes.len() >= at + size + 2 => {
                body.extend(&bytes[at..at + size]);
                bytes = &bytes[at + size + 2..];
            }
            _ => return (body, false),
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
