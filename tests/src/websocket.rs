//! A WebSocket to an [`crate::origin::Origin`], which gives back whatever bytes it gets.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::client::Client;

/// An open one.
pub struct Socket {
    io: TlsStream<TcpStream>,
    /// The head of the answer, in lower case.
    pub head: String,
}

impl Socket {
    /// Asks for one with these header lines. The error says what was answered instead.
    pub async fn open(
        client: &Client,
        host: &str,
        path: &str,
        lines: &str,
    ) -> Result<Self, String> {
        let mut io = client.connect(host, "http/1.1").await?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
        );
        let broken = |error: std::io::Error| error.to_string();
        io.write_all(request.as_bytes()).await.map_err(broken)?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(io.read_u8().await.map_err(broken)?);
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        match head.starts_with("http/1.1 101") {
            true => Ok(Self { io, head }),
            false => Err(head),
        }
    }

    /// Sends bytes and awaits the same.
    pub async fn echo(&mut self, sent: &[u8]) -> Result<(), String> {
        let mut echoed = vec![0; sent.len()];
        self.io.write_all(sent).await.map_err(|e| e.to_string())?;
        let read = self.io.read_exact(&mut echoed).await;
        read.map_err(|error| error.to_string())?;
        (echoed == sent).then_some(()).ok_or("other bytes".into())
    }

    /// Ends this side and returns what the other one says until its own end.
    pub async fn finish(mut self) -> std::io::Result<Vec<u8>> {
        self.io.shutdown().await?;
        let mut rest = Vec::new();
        self.io.read_to_end(&mut rest).await?;
        Ok(rest)
    }
}
