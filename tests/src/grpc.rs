//! A gRPC client over one HTTP/2 connection to the edge: framed messages and trailers as they are on the wire (gRPC
//! over HTTP2).

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream;
use http::Request;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc;

use crate::client::Client;

/// One message, not compressed.
pub fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("a short message"));
    frame.put_slice(message);
    frame.freeze()
}

/// A client with one connection. Its clones share that.
#[derive(Clone)]
pub struct Caller {
    host: String,
    sender: SendRequest<UnsyncBoxBody<Bytes, Infallible>>,
}

/// A call in which both sides stream.
pub struct Streaming {
    messages: mpsc::Sender<Bytes>,
    answers: Incoming,
}

impl Streaming {
    /// Sends a message to an endpoint that gives it back, and awaits it.
    ///
    /// # Errors
    /// The call has ended, or something else came.
    pub async fn echo(&mut self, message: &[u8]) -> Result<(), String> {
        let sent = framed(message);
        let gone = |_| "the call has ended".to_owned();
        self.messages.send(sent.clone()).await.map_err(gone)?;
        let mut came = BytesMut::new();
        while came.len() < sent.len() {
            let frame = self.answers.frame().await.ok_or("the answer has ended")?;
            let frame = frame.map_err(|error| error.to_string())?;
            came.extend(frame.into_data().map_err(|_| "trailers")?);
        }
        (came == sent).then_some(()).ok_or(format!("{came:?}"))
    }
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

    /// A unary call with this message: the answer's message.
    ///
    /// # Errors
    /// The gRPC status, or what else became of it.
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
        let body = Full::new(framed(message)).boxed_unsync();
        let request = request.body(body).expect("a request");
        let broken = |error: hyper::Error| format!("{error:?}");
        self.sender.ready().await.map_err(broken)?;
        let response = self.sender.send_request(request).await;
        let (head, body) = response.map_err(broken)?.into_parts();
        let body = body.collect().await.map_err(broken)?;
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

    /// Opens a call in which both sides stream.
    ///
    /// # Errors
    /// The answer has another status than 200, or there is none.
    pub async fn stream(&mut self, method: &str) -> Result<Streaming, String> {
        let (messages, receiver) = mpsc::channel::<Bytes>(1);
        let body = stream::unfold(receiver, |mut receiver| async {
            let message = receiver.recv().await?;
            Some((Ok(Frame::data(message)), receiver))
        });
        let request = Request::post(format!("https://{}{method}", self.host))
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .body(StreamBody::new(body).boxed_unsync())
            .expect("a request");
        let response = self.sender.send_request(request).await;
        let response = response.map_err(|error| error.to_string())?;
        let status = response.status();
        (status == 200)
            .then(|| Streaming {
                messages,
                answers: response.into_body(),
            })
            .ok_or(status.to_string())
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
