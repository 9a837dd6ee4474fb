//! The body of a request over QUIC: what follows its head on the stream.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Stream, stream};
use quinn::RecvStream;

/// Bytes of a body that are handed on at once, at most.
const CHUNK: usize = 64 << 10;

/// The bytes of a body as they arrive. One whose length is known has exactly that many: what is beyond
/// could be taken for another request further on.
pub(crate) struct QuicBody {
    chunks: Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send + Sync>>,
    remaining: Option<u64>,
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The stream was reset, or its connection ended.
    #[error(transparent)]
    Stream(#[from] quinn::ReadError),
    /// It ended before its time.
    #[error("it ended {0} bytes before its length")]
    Short(u64),
    /// It did not end in time.
    #[error("it goes on after its length")]
    Long,
}

impl QuicBody {
    /// What was read of the stream along with the head, then the rest. `length` in bytes where it is
    /// known.
    pub(crate) fn new(read: Bytes, recv: RecvStream, length: Option<u64>) -> Self {
        let begun = (!read.is_empty()).then_some(Ok(read));
        let rest = stream::unfold(recv, |mut recv| async move {
            let chunk = recv.read_chunk(CHUNK, true).await.transpose()?;
            Some((chunk.map(|chunk| chunk.bytes).map_err(Into::into), recv))
        });
        let chunks = stream::iter(begun);
        Self::of(futures_util::StreamExt::chain(chunks, rest), length)
    }

    fn of(
        chunks: impl Stream<Item = Result<Bytes, BodyError>> + Send + Sync + 'static,
        length: Option<u64>,
    ) -> Self {
        Self {
            chunks: Box::pin(chunks),
            remaining: length,
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
        if self.remaining == Some(0) {
            return Poll::Ready(None);
        }
        let chunk = ready!(self.chunks.as_mut().poll_next(cx));
        Poll::Ready(match (chunk, &mut self.remaining) {
            (Some(Ok(chunk)), Some(remaining)) => {
                let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
                match remaining.checked_sub(length) {
                    Some(left) => {
                        *remaining = left;
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
        let mut body = QuicBody::of(stream::iter(chunks), length);
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
