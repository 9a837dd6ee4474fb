//! As much HTTP/1.1 as a load and an origin need: cheap, so that the subject has the machine.

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest head.
const MAX_HEAD: usize = 64 * 1024;

/// The length of the head at the front of `bytes`, with its empty line.
pub(crate) fn head_length(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|at| at + 4)
}

/// A kept connection of a client.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: std::net::SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(4096),
        })
    }

    /// Sends a request and reads all of the answer. An answer that is not a 200 with a length is an error.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the connection was closed before an answer");
            }
            if let Some(head) = head_length(&self.buffer) {
                break head;
            }
            anyhow::ensure!(
                self.buffer.len() < MAX_HEAD,
                "the answer's head is too long"
            );
        };
        let total = head + body_length(&self.buffer[..head])?;
        while self.buffer.len() < total {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the connection was closed within an answer");
            }
        }
        Ok(())
    }
}

impl Connection {
    /// Sends a request; the name and value of the cookie that its answer sets.
    pub(crate) async fn ask_for_cookie(&mut self, request: &[u8]) -> anyhow::Result<String> {
        self.ask(request).await?;
        let answer = String::from_utf8_lossy(&self.buffer);
        let cookie = answer.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_cookie = name.eq_ignore_ascii_case("set-cookie");
            is_cookie.then(|| {
                value
                    .split(';')
                    .next()
                    .unwrap_or_default()
                    .trim()
                    .to_owned()
            })
        });
        cookie.context("the answer sets no cookie")
    }
}

fn body_length(head: &[u8]) -> anyhow::Result<usize> {
    let head = std::str::from_utf8(head)?;
    let status = head.lines().next().unwrap_or_default();
    anyhow::ensure!(status.contains(" 200 "), "the answer is {status:?}");
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    length.with_context(|| format!("an answer without a length: {head:?}"))
}
