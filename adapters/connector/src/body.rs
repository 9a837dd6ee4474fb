//! The body of a request, over either transport.

pub(crate) mod quic;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use self::quic::QuicBody;
use crate::stalls::Progress;

/// Any error, where only its text matters.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request: frames as the client sends them, trailers included where the transport has
/// them; with a WebSocket the client's byte stream.
#[derive(Debug)]
pub struct RequestBody {
    source: Source,
    /// Notes when a part of it waits for the handler.
    progress: Option<Arc<Progress>>,
}

/// Where a body comes from.
#[derive(Debug)]
enum Source {
    Nowhere,
    Http2(Incoming),
    Quic(QuicBody),
}

/// The client, or the connection it came through, broke off in the middle of a request's body.
#[derive(Debug, thiserror::Error)]
#[error("the request's body broke off: {0}")]
pub struct RequestBodyError(#[source] BoxError);

impl RequestBody {
    pub(crate) fn none() -> Self {
        Self {
            source: Source::Nowhere,
            progress: None,
        }
    }

    pub(crate) fn http2(incoming: Incoming) -> Self {
        Self::from(Source::Http2(incoming))
    }

    pub(crate) fn quic(body: QuicBody) -> Self {
        Self::from(Source::Quic(body))
    }

    /// It waits until it is first asked for.
    fn from(source: Source) -> Self {
        let body = Self {
            source,
            progress: Progress::of_this_task(),
        };
        body.waits(!body.is_end_stream());
        body
    }

    fn waits(&self, waits: bool) {
        if let Some(progress) = &self.progress {
            progress.body_waits(waits);
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.waits(false);
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let frame = match &mut self.source {
            Source::Nowhere => Poll::Ready(None),
            Source::Http2(incoming) => Pin::new(incoming)
                .poll_frame(cx)
                .map_err(|error| RequestBodyError(error.into())),
            Source::Quic(body) => body
                .poll_data(cx)
                .map_ok(Frame::data)
                .map_err(|error| RequestBodyError(error.into())),
        };
        // As long as there is something, the rest waits until it is asked for.
        self.waits(matches!(frame, Poll::Ready(Some(Ok(_)))) && !self.is_end_stream());
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Nowhere => true,
            Source::Http2(incoming) => incoming.is_end_stream(),
            Source::Quic(body) => body.remaining() == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Nowhere => SizeHint::with_exact(0),
            Source::Http2(incoming) => incoming.size_hint(),
            Source::Quic(body) => body
                .remaining()
                .map(SizeHint::with_exact)
                .unwrap_or_default(),
        }
    }
}
