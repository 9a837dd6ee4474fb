//! A gRPC client over one HTTP/2 connection to the edge: framed messages and trailers as they are on the wire (gRPC
//! over HTTP2).

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::client::Client;

/// One message, not compressed.
pub fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("a short message"));
    frame.put_slice(message);
    frame.freeze()
}

/// A client with one connection.
pub struct Caller {
    host: String,
    sender: SendRequest<Full<Bytes>>,
}

impl Caller {
    /// Connects to the edge; the host must resolve.
    pub async fn connect(client: &Client, host: &str) -> Result<Self, String> {
        let io = client.connect(host, "h2").await?;
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(io))
            .await
            .map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(Self {
            host: host.to_owned(),
            sender,
        })
    }

    /// A unary call with this message: the answer's message, or the gRPC status.
    ///
    /// # Panics
    /// When the connection ends.
    pub async fn call(
        &mut self,
        method: &str,
        metadata: &[(&str, &str)],
        message: &[u8],
    ) -> Result<Bytes, String> {
        let mut request = Request::post(format!("https://{}{method}", self.host))
            .header("te", "trailers")
            .header("content-type", "application/grpc");
        for (name, value) in metadata {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(framed(message))).expect("a request");
        self.sender.ready().await.expect("the connection lasts");
        let response = self.sender.send_request(request).await;
        let (head, body) = response.expect("a response").into_parts();
        let body = body.collect().await.expect("a body");
        let trailers = body.trailers().cloned().unwrap_or_default();
        let status = trailers
            .get("grpc-status")
            .or(head.headers.get("grpc-status"));
        let status = status
            .and_then(|status| status.to_str().ok())
            .unwrap_or("none");
        match status {
            "0" => Ok(body.to_bytes().slice(5..)),
            other => Err(other.to_owned()),
        }
    }

    /// Calls until there is an answer.
    ///
    /// # Panics
    /// When there is none in time.
    pub async fn served(&mut self, method: &str, message: &[u8], within: Duration) {
        let deadline = Instant::now() + within;
        while let Err(status) = self.call(method, &[], message).await {
            assert!(Instant::now() < deadline, "{method}: status {status}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
