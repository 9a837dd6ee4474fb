//! Bodies of requests and responses that pass through the edge. Nothing is collected: each frame is
//! asked for when the other side has room for it.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio_util::io::ReaderStream;

/// How much is read from a byte stream at once.
const CHUNK: usize = 32 * 1024;

/// Whatever a body can fail with.
pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// Any body.
pub(super) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// No bytes.
pub(super) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// These bytes.
pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    let body = Full::new(bytes.into());
    body.map_err(|never| match never {}).boxed_unsync()
}

/// What comes from a connection, trailers included.
pub(super) fn incoming(body: Incoming) -> Body {
    body.map_err(Into::into).boxed_unsync()
}

/// What can be read from a byte stream.
pub(super) fn from_reader(reader: impl AsyncRead + Send + 'static) -> Body {
    let chunks = ReaderStream::with_capacity(reader, CHUNK);
    StreamBody::new(chunks.map_ok(Frame::data).map_err(BoxError::from)).boxed_unsync()
}

/// What can be read from a byte stream that comes later; nothing, should it never come.
pub(super) fn from_later<R>(later: oneshot::Receiver<R>) -> Body
where
    R: AsyncRead + Send + 'static,
{
    let chunks = stream::once(later).flat_map(|reader| match reader {
        Ok(reader) => ReaderStream::with_capacity(reader, CHUNK).left_stream(),
        Err(_) => stream::empty().right_stream(),
    });
    StreamBody::new(chunks.map_ok(Frame::data).map_err(BoxError::from)).boxed_unsync()
}

/// Writes a body to a byte stream and closes that direction at its end. An error is the body's or
/// the stream's; the direction is then left as it is.
pub(super) async fn write_to<W>(mut body: Body, writer: &mut W) -> Result<(), BoxError>
where
    W: AsyncWrite + Unpin,
{
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            writer.write_all(&data).await?;
            writer.flush().await?;
        }
    }
    writer.shutdown().await?;
    Ok(())
}

/// A body that keeps something alive until it has ended or is given up.
pub(super) struct Guarded<G> {
    body: Body,
    guard: Option<G>,
}

impl<G: Send + Unpin + 'static> Guarded<G> {
    /// Keeps `guard` as long as `body` lasts.
    pub(super) fn wrap(body: Body, guard: G) -> Body {
        let guard = Some(guard);
        Self { body, guard }.boxed_unsync()
    }
}

impl<G: Unpin> HttpBody for Guarded<G> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(None | Some(Err(_))) = polled {
            self.guard = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
