//! The body of an answer.

mod error;
pub(crate) mod tunnel;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::admission::Admitted;
use crate::silence::Silence;
use crate::trailers;
use crate::unsent::Unsent;
use crate::upstream::{Lease, UploadHandle};
pub use error::BodyError;
use tunnel::TunnelBody;

/// Bytes of an answer that may wait in the visitor's connection, beside the frame that comes next. Over QUIC what was
/// sent waits until it is acknowledged, so this is also what a visitor gets in a round trip to the edge.
const UNSENT: usize = 256 << 10;
/// What an answer may have without being counted. Most end here.
const SMALL: u64 = 64 << 10;

/// The body of an answer: frames of the endpoint's answer as they come, trailers included; after a 101
/// the endpoint's byte stream; or a short text of the engine's own.
///
/// It yields the next frame only when it is asked for one. Dropping it before its end gives the request
/// up at the endpoint as well.
#[derive(Debug)]
pub struct ResponseBody(Kind);

#[derive(Debug)]
enum Kind {
    Text(Bytes),
    Endpoint(Download),
    Tunnel(Box<TunnelBody>),
}

/// Where an answer's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    /// Where the endpoint's connection finds it.
    OfConnection,
    /// After so many bytes, while the connection would wait until the endpoint closes it.
    AfterBytes(u64),
}

/// An endpoint's answer with all that belongs to its request.
#[derive(Debug)]
pub(crate) struct Download {
    /// What the endpoint sends; `None` after its end.
    incoming: Option<Incoming>,
    /// Bytes that are still to come, where the connection does not count them.
    left: Option<u64>,
    lease: Option<Lease>,
    /// The client's body, which may still flow.
    upload: Option<UploadHandle>,
    admitted: Option<Admitted>,
    silence: Silence,
    /// Runs until the answer has to be complete, if at all.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Whether it was counted when it began.
    is_known_large: bool,
    read: u64,
    /// Bytes that may be read; what has more is cut off.
    most: u64,
    unsent: Unsent,
}

impl Download {
    /// Counts an answer that is known to be large. `false` where there is no memory for it.
    pub(crate) fn has_room(incoming: &Incoming, admitted: &mut Admitted) -> bool {
        let bytes = incoming.size_hint().lower();
        bytes <= SMALL || admitted.try_hold_answer(bytes)
    }

    /// An answer that has room, the connection it comes on, and the client's body. It fails when both bodies are silent for longer
    /// than `limit`, and when it is not complete at its deadline. An answer that has ended already, as that to HEAD, has no
    /// other `end`.
    pub(crate) fn new(
        incoming: Incoming,
        end: BodyEnd,
        lease: Lease,
        upload: Option<UploadHandle>,
        admitted: Admitted,
        limit: Duration,
        deadline: Option<Instant>,
    ) -> Self {
        let left = match end {
            BodyEnd::AfterBytes(bytes) if !incoming.is_end_stream() => Some(bytes),
            BodyEnd::AfterBytes(_) | BodyEnd::OfConnection => None,
        };
        Self {
            is_known_large: incoming.size_hint().lower() > SMALL,
            incoming: Some(incoming),
            left,
            lease: Some(lease),
            upload,
            admitted: Some(admitted),
            silence: Silence::of(limit),
            deadline: deadline.map(|deadline| Box::pin(sleep_until(deadline))),
            read: 0,
            most: u64::MAX,
            unsent: Unsent::default(),
        }
    }

    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let deadline = self.deadline.as_mut();
        deadline.is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready())
            && self.incoming.is_some()
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0) || self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.left == Some(0) {
            // The connection waits for its own end, so it takes no other request.
            self.incoming = None;
            self.lease = None;
        }
        if self.is_late(cx) {
            return Poll::Ready(Some(Err(BodyError::TimedOut)));
        }
        let is_short = self.admitted.as_ref().is_some_and(Admitted::is_short);
        ready!(self.poll_sent(cx, is_short));
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(None);
        };
        let Poll::Ready(frame) = Pin::new(&mut *incoming).poll_frame(cx) else {
            let upload = self.upload.as_ref();
            let moved = || upload.map(|upload| upload.silence().0);
            ready!(self.silence.poll_over(cx, moved));
            return Poll::Ready(Some(Err(BodyError::Silent)));
        };
        self.silence.is_broken();
        let tells_end = self.lease.as_ref().is_some_and(Lease::tells_end);
        if frame.is_none() && tells_end && !incoming.is_end_stream() {
            // hyper takes RST_STREAM(NO_ERROR) for an end, which it is only behind END_STREAM (RFC 9113 §8.1).
            return Poll::Ready(Some(Err(BodyError::Cut)));
        }
        if frame.is_none() {
            self.settle();
        }
        let frame = frame.map(|frame| {
            frame
                .map(trailers::from_endpoint)
                .map_err(BodyError::Endpoint)
        });
        let frame = match self.left {
            None => frame,
            Some(left) => self.counted(frame, left),
        };
        let frame = frame.map(|frame| Ok(self.watched(frame?, is_short)));
        match self.read > self.most {
            true => Poll::Ready(Some(Err(BodyError::TooLong))),
            false => Poll::Ready(frame),
        }
    }

    /// Ready when little enough of what was read waits for the visitor.
    fn poll_sent(&mut self, cx: &mut Context<'_>, is_short: bool) -> Poll<()> {
        let waits = self.unsent.waits() as u64;
        let has_room = self.admitted.as_mut().is_none_or(|admitted| {
            if waits == 0 && !self.is_known_large {
                admitted.release_answer();
            }
            waits <= SMALL || admitted.try_hold_answer(u64::MAX)
        });
        let may_wait = if has_room && !is_short { UNSENT } else { 0 };
        self.unsent.poll_sent(cx, may_wait)
    }

    /// A frame that is known to wait until it is sent, if that matters.
    fn watched(&mut self, frame: Frame<Bytes>, is_short: bool) -> Frame<Bytes> {
        self.read += frame.data_ref().map_or(0, |data| data.len() as u64);
        match is_short || self.read > SMALL {
            true => self.unsent.watch(frame),
            false => frame,
        }
    }

    /// A frame, as far as it belongs to the body.
    fn counted(
        &mut self,
        frame: Option<Result<Frame<Bytes>, BodyError>>,
        left: u64,
    ) -> Option<Result<Frame<Bytes>, BodyError>> {
        let mut data = match frame {
            None => return Some(Err(BodyError::Short)),
            Some(Err(error)) => return Some(Err(error)),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        data.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        self.left = Some(left - data.len() as u64);
        Some(Ok(Frame::data(data)))
    }

    /// Once the answer is complete the connection is kept and a little more of the upload may follow; before, dropping
    /// both gives the request up.
    fn settle(&mut self) {
        // An HTTP/2 connection does not close while its streams are held.
        self.incoming = None;
        let claim = self.lease.take().map(Lease::release);
        let admitted = self.admitted.take();
        if let Some(upload) = self.upload.take() {
            upload.finish_after_answer((claim, admitted));
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if self.incoming.as_ref().is_none_or(Body::is_end_stream) {
            self.settle();
        }
    }
}

impl ResponseBody {
    pub(crate) fn empty() -> Self {
        Self::text(Bytes::new())
    }

    /// A text of the engine's own.
    pub(crate) fn text(text: Bytes) -> Self {
        Self(Kind::Text(text))
    }

    /// Takes the engine's own text away; returns its length. `None` where the body is an endpoint's.
    pub(crate) fn take_text(&mut self) -> Option<usize> {
        match &mut self.0 {
            Kind::Text(text) => Some(std::mem::take(text).len()),
            Kind::Endpoint(_) | Kind::Tunnel(_) => None,
        }
    }

    /// An endpoint's answer.
    pub(crate) fn endpoint(download: Download) -> Self {
        Self(Kind::Endpoint(download))
    }

    /// Cuts an endpoint's answer off after so many bytes.
    pub(crate) fn limit(&mut self, most: u64) {
        if let Kind::Endpoint(download) = &mut self.0 {
            download.most = most;
        }
    }

    /// An endpoint's byte stream.
    pub(crate) fn tunnel(tunnel: TunnelBody) -> Self {
        Self(Kind::Tunnel(Box::new(tunnel)))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.get_mut().0 {
            Kind::Text(text) if text.is_empty() => Poll::Ready(None),
            Kind::Text(text) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(text))))),
            Kind::Endpoint(download) => download.poll_frame(cx),
            Kind::Tunnel(tunnel) => tunnel.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Text(text) => text.is_empty(),
            Kind::Endpoint(download) => download.is_end_stream(),
            Kind::Tunnel(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Text(text) => SizeHint::with_exact(text.len() as u64),
            Kind::Endpoint(download) => match (download.left, &download.incoming) {
                (Some(left), _) => SizeHint::with_exact(left),
                (None, Some(incoming)) => incoming.size_hint(),
                (None, None) => SizeHint::with_exact(0),
            },
            Kind::Tunnel(_) => SizeHint::default(),
        }
    }
}
