//! A connection that hands out a bounded piece at a time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take};

use crate::upstream::stream::Stream;

/// Most bytes of one read. hyper doubles its buffer whenever a read fills it, up to the size of the largest head; one
/// byte less than a full buffer of 64 KiB keeps it there, so that an answer that is not read holds no more.
const PIECE: u64 = 64 * 1024 - 1;

/// A connection to an endpoint of which no read takes more than [`PIECE`] bytes. One that is dropped while the endpoint
/// takes nothing is reset: the kernel would go on trying to send what it holds for it.
///
/// Where the endpoint takes no more, what is written goes nowhere and is no error: an endpoint may answer a request before
/// it has come and then close (RFC 9112 §9.6), and that answer can still be read. Whether there is one, reading tells.
#[derive(Debug)]
pub(crate) struct Paced {
    /// `None` when it was taken.
    stream: Option<Take<Stream>>,
    /// Whether the last write found no room.
    is_full: bool,
    /// Whether a write failed.
    takes_no_more: bool,
}

impl Paced {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream: Some(stream.take(PIECE)),
            is_full: false,
            takes_no_more: false,
        }
    }

    /// The connection itself.
    pub(crate) fn into_inner(mut self) -> Option<Stream> {
        self.stream.take().map(Take::into_inner)
    }

    fn pieces(self: Pin<&mut Self>) -> io::Result<&mut Take<Stream>> {
        let stream = self.get_mut().stream.as_mut();
        stream.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn poll_sent(
        mut self: Pin<&mut Self>,
        length: usize,
        write: impl FnOnce(Pin<&mut Stream>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let written = match self.takes_no_more {
            true => Poll::Ready(Ok(length)),
            false => write(Pin::new(self.as_mut().pieces()?.get_mut())),
        };
        self.is_full = written.is_pending();
        self.or_nowhere(written, length)
    }

    /// What came of sending, with this in place of an error.
    fn or_nowhere<T>(&mut self, sent: Poll<io::Result<T>>, nowhere: T) -> Poll<io::Result<T>> {
        self.takes_no_more |= matches!(sent, Poll::Ready(Err(_)));
        match sent {
            Poll::Ready(Err(_)) => Poll::Ready(Ok(nowhere)),
            sent => sent,
        }
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.as_ref().filter(|_| self.is_full) {
            // One that has ended cannot be set; there is nothing to reset then.
            let _ = SockRef::from(stream.get_ref().tcp()).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Paced {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let pieces = self.pieces()?;
        pieces.set_limit(PIECE);
        Pin::new(pieces).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Paced {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_sent(bytes.len(), |stream| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        self.poll_sent(length, |stream| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        let stream = self.stream.as_ref();
        stream.is_some_and(|stream| stream.get_ref().is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.takes_no_more {
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(self.as_mut().pieces()?.get_mut()).poll_flush(cx);
        self.or_nowhere(flushed, ())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.pieces()?.get_mut()).poll_shutdown(cx)
    }
}
