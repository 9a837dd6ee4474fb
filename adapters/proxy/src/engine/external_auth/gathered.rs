//! A client's body that an authorizer gets before the backend does.

use std::pin::Pin;
use std::task::{Context, Poll};

use ::http::HeaderMap;
use ::http::header::CONTENT_LENGTH;
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout, timeout_at};

use crate::engine::Asked;
use crate::local_reply::LocalReply;
use crate::memory::HeldMemory;
use crate::upstream::ClientBody;
use crate::{BoxError, Limits};

/// What a body may have without being counted.
const SMALL: usize = 16 << 10;

/// A body that was read whole.
struct Gathered {
    data: Bytes,
    trailers: Option<HeaderMap>,
    _held: HeldMemory,
}

/// Reads a body of at most `most` bytes whole, and leaves it to be read once more. Reads nothing where `most` is 0, and nothing
/// of a request to upgrade, which has no body.
pub(super) async fn gather(
    asked: &mut Asked,
    most: usize,
    limits: &Limits,
    end: Option<Instant>,
) -> Result<Bytes, LocalReply> {
    if most == 0 || asked.upgrade.is_some() {
        return Ok(Bytes::new());
    }
    let Some(body) = asked.body.take() else {
        return Ok(Bytes::new());
    };
    let length = asked.head.headers.get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > most as u64) {
        return Err(LocalReply::BodyTooLarge);
    }
    let held = asked.admitted.memory.part();
    let reading = read(body, most, held, limits);
    let gathered = match end {
        None => reading.await?,
        Some(end) => {
            let read = timeout_at(end, reading).await;
            read.unwrap_or(Err(LocalReply::RequestTimeout))?
        }
    };
    let data = gathered.data.clone();
    let is_empty = data.is_empty() && gathered.trailers.is_none();
    asked.body = (!is_empty).then(|| -> ClientBody { Box::pin(gathered) });
    Ok(data)
}

async fn read(
    mut body: ClientBody,
    most: usize,
    mut held: HeldMemory,
    limits: &Limits,
) -> Result<Gathered, LocalReply> {
    let most = limits.max_body_bytes.map_or(most, |max| {
        usize::try_from(max).map_or(most, |max| max.min(most))
    });
    let mut data = BytesMut::new();
    let mut trailers = None;
    while trailers.is_none() {
        let frame = timeout(limits.body_idle_timeout, body.frame()).await;
        let frame = match frame.map_err(|_| LocalReply::SlowRequest)? {
            None => break,
            Some(frame) => frame.map_err(|_| LocalReply::BrokenRequest)?,
        };
        match frame.into_data() {
            Ok(more) if data.len() + more.len() > most => return Err(LocalReply::BodyTooLarge),
            Ok(more) => data.extend_from_slice(&more),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
        if data.len() > SMALL && !held.try_hold(most as u64) {
            return Err(LocalReply::NoMemory);
        }
    }
    Ok(Gathered {
        data: data.freeze(),
        trailers,
        _held: held,
    })
}

impl Body for Gathered {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !self.data.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.data)))));
        }
        Poll::Ready(self.trailers.take().map(Frame::trailers).map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty() && self.trailers.is_none()
    }

    /// With trailers the length is not told: over HTTP/1.1 they come only after a body in chunks.
    fn size_hint(&self) -> SizeHint {
        match self.trailers {
            None => SizeHint::with_exact(self.data.len() as u64),
            Some(_) => SizeHint::default(),
        }
    }
}
