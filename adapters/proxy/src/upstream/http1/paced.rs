//! A connection that hands out a bounded piece at a time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take};
use tokio::net::TcpStream;

/// Most bytes of one read. hyper doubles its buffer whenever a read fills it, up to the size of the largest head; one
/// byte less than a full buffer of 64 KiB keeps it there, so that an answer nobody takes holds no more.
const PIECE: u64 = 64 * 1024 - 1;

/// A connection to an endpoint of which no read takes more than [`PIECE`] bytes.
#[derive(Debug)]
pub(crate) struct Paced(Take<TcpStream>);

impl Paced {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(stream.take(PIECE))
    }

    /// The connection itself.
    pub(crate) fn into_inner(self) -> TcpStream {
        self.0.into_inner()
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        Pin::new(self.get_mut().0.get_mut())
    }
}

impl AsyncRead for Paced {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let pieces = &mut self.get_mut().0;
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
        self.stream().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.get_ref().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}
