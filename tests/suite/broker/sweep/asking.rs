//! Requests byte by byte: clients normalise paths, and some of these must not be.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request with all that is in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Request {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<String>,
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Request {
    /// The bytes of it.
    pub(super) fn text(&self, address: SocketAddr) -> String {
        let Self {
            method,
            target,
            headers,
            body,
        } = self;
        let mut text = format!("{method} {target} HTTP/1.1\r\nhost: {address}\r\n");
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        let body = body.as_deref().unwrap_or_default();
        let length = body.len();
        format!("{text}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
    }

    /// Sends it on a connection of its own.
    pub(super) async fn send(&self, address: SocketAddr) -> Answer {
        let answer = tokio::time::timeout(Duration::from_secs(30), async {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(self.text(address).as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer).into_owned())
        });
        let answer = answer.await.expect("an answer in time");
        Answer::read(&answer.expect("an answer"))
    }
}

impl Answer {
    fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a whole answer");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let headers = lines.filter_map(|line| line.split_once(": "));
        Self {
            status: status.and_then(|it| it.parse().ok()).expect("a status"),
            headers: headers
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        }
    }

    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(other, _)| other == name)?;
        Some(value)
    }

    /// The type of the problem that it is, which has its status.
    pub(super) fn problem(&self) -> Option<String> {
        let media_type = self.header("content-type");
        if media_type != Some("application/problem+json") {
            return None;
        }
        let problem: Value = serde_json::from_str(&self.body).ok()?;
        let is_whole = problem["status"] == self.status && problem["title"].is_string();
        Some(problem["type"].as_str().filter(|_| is_whole)?.to_owned())
    }

    /// All of it in one text.
    pub(super) fn text(&self) -> String {
        format!("{} {:?}\n{}", self.status, self.headers, self.body)
    }
}
