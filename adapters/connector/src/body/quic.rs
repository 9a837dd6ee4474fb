//! The body of a request over QUIC: what follows its head on the stream.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use quinn::RecvStream;
use tokio::sync::oneshot;

/// Bytes of a body that are handed on at once, at most.
pub(crate) const CHUNK: usize = 64 << 10;

/// Time for the edge to end its half of a stream when nothing more is wanted of it.
pub(crate) const END_WITHIN: Duration = Duration::from_secs(1);

/// The bytes of a stream.
pub(crate) type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send + Sync>>;

/// The bytes of a body as they arrive. One whose length is known has exactly that many: what is beyond
/// could be taken for another request further on.
pub(crate) struct QuicBody {
    /// With where they go once the body is whole; nowhere after that.
    chunks: Option<(Chunks, oneshot::Sender<Chunks>)>,
    remaining: Option<u64>,
}

/// The edge's half of a stream behind a request's body. It is to be kept until the answer is sent and
/// [`Unread::end`] to be awaited then: dropping it sooner would tell the edge to stop, though it may have
/// done nothing but not said yet that it has ended.
pub(crate) enum Unread {
    /// There is no body.
    Everything(RecvStream),
    /// It comes once the body is whole.
    BehindBody(oneshot::Receiver<Chunks>),
}

impl Unread {
    /// Waits for the end of the edge's half, but not for long. Where the body was given up before it was
    /// whole, there is nothing to wait for. Whatever comes before the end is not wanted.
    pub(crate) async fn end(self) {
        let ended = async {
            match self {
                Self::Everything(mut recv) => drop(recv.read_chunk(CHUNK, true).await),
                Self::BehindBody(mut whole) => {
                    if let Ok(mut chunks) = whole.try_recv() {
                        chunks.next().await;
                    }
                }
            }
        };
        // Where it does not end, it is told to stop.
        let _ = tokio::time::timeout(END_WITHIN, ended).await;
    }
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error(transparent)]
    Stream(#[from] quinn::ReadError),
    #[error("it ended {0} bytes before its length")]
    Short(u64),
    #[error("it goes on after its length")]
    Long,
}

impl QuicBody {
    /// What was read of the stream along with the head, then the rest. `length` in bytes where it is
    /// known.
    pub(crate) fn new(read: Bytes, recv: RecvStream, length: Option<u64>) -> (Self, Unread) {
        let begun = (!read.is_empty()).then_some(Ok(read));
        let rest = stream::unfold(recv, |mut recv| async move {
            let chunk = recv.read_chunk(CHUNK, true).await.transpose()?;
            Some((chunk.map(|chunk| chunk.bytes).map_err(Into::into), recv))
        });
        Self::of(stream::iter(begun).chain(rest), length)
    }

    fn of(
        chunks: impl Stream<Item = Result<Bytes, BodyError>> + Send + Sync + 'static,
        length: Option<u64>,
    ) -> (Self, Unread) {
        let (whole, unread) = oneshot::channel();
        let mut body = Self {
            chunks: Some((Box::pin(chunks), whole)),
            remaining: length,
        };
        body.note_whole();
        (body, Unread::BehindBody(unread))
    }

    /// Hands the stream on where nothing more of it is the body's.
    fn note_whole(&mut self) {
        if self.remaining == Some(0)
            && let Some((chunks, whole)) = self.chunks.take()
        {
            // An error says that the answer is there already, and the end does not matter.
            let _ = whole.send(chunks);
        }
    }

    /// Bytes that are still to come, where that is known.
    pub(crate) fn remaining(&self) -> Option<u64> {
        self.remaining
    }

    pub(crate) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        let Some((chunks, _)) = &mut self.chunks else {
            return Poll::Ready(None);
        };
        let chunk = ready!(chunks.as_mut().poll_next(cx));
        Poll::Ready(match (chunk, &mut self.remaining) {
            (Some(Ok(chunk)), Some(remaining)) => {
                let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
                match remaining.checked_sub(length) {
                    Some(left) => {
                        *remaining = left;
                        self.note_whole();
                        Some(Ok(chunk))
                    }
                    None => Some(Err(BodyError::Long)),
                }
            }
            (None, Some(remaining)) => Some(Err(BodyError::Short(*remaining))),
            (chunk, _) => chunk,
        })
    }
}

impl fmt::Debug for QuicBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuicBody")
            .field("remaining", &self.remaining)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read from a body of these chunks, and how it ends.
    async fn read(chunks: &[&'static str], length: Option<u64>) -> (String, String) {
        let chunks: Vec<_> = chunks
            .iter()
            .map(|c| Ok(Bytes::from_static(c.as_bytes())))
            .collect();
        let (mut body, _) = QuicBody::of(stream::iter(chunks), length);
        let mut seen = String::new();
        loop {
            match std::future::poll_fn(|cx| body.poll_data(cx)).await {
                Some(Ok(chunk)) => seen.push_str(std::str::from_utf8(&chunk).unwrap()),
                Some(Err(error)) => return (seen, error.to_string()),
                None => return (seen, "end".to_owned()),
            }
        }
    }

    #[tokio::test]
    async fn a_body_is_as_long_as_it_was_said_to_be() {
        for (chunks, length, seen, end) in [
            (&["ab", "c"][..], None, "abc", "end"),
            (&["ab", "c"], Some(3), "abc", "end"),
            (&["ab"], Some(3), "ab", "it ended 1 bytes before its length"),
            (&["ab", "cd"], Some(3), "ab", "it goes on after its length"),
            (&[], Some(0), "", "end"),
        ] {
            let then = (seen.to_owned(), end.to_owned());
            assert_eq!(read(chunks, length).await, then, "{chunks:?} {length:?}");
        }
    }
}
