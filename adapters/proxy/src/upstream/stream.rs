//! The byte stream of a connection to an endpoint, in clear text or over TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_rustls::client::TlsStream;
use tokio_util::io::poll_read_buf;

/// The name of HTTP/2 in ALPN (RFC 9113 §3.2).
pub(super) const H2: &[u8] = b"h2";

#[derive(Debug)]
pub(crate) enum Stream {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// The connection below.
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Clear(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Whether the endpoint chose HTTP/2 by ALPN.
    pub(super) fn chose_http2(&self) -> bool {
        match self {
            Self::Clear(_) => false,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(H2),
        }
    }

    /// The two directions, each on its own.
    pub(crate) fn into_split(self) -> (ReadSide, WriteSide) {
        match self {
            Self::Clear(stream) => {
                let (read, write) = stream.into_split();
                (ReadSide::Clear(read), WriteSide::Clear(write))
            }
            Self::Tls(stream) => {
                let (read, write) = tokio::io::split(*stream);
                (ReadSide::Tls(read), WriteSide::Tls(write))
            }
        }
    }
}

/// Each call to the stream that there is.
macro_rules! either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Clear($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Self::Tls($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read(cx, buffer))
    }
}

macro_rules! write {
    ($type:ident) => {
        impl AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                either!(self, stream => stream.poll_write(cx, bytes))
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                either!(self, stream => stream.poll_write_vectored(cx, slices))
            }

            fn is_write_vectored(&self) -> bool {
                match self {
                    Self::Clear(stream) => stream.is_write_vectored(),
                    Self::Tls(stream) => stream.is_write_vectored(),
                }
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                either!(self, stream => stream.poll_flush(cx))
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                either!(self, stream => stream.poll_shutdown(cx))
            }
        }
    };
}

write!(Stream);
write!(WriteSide);

/// What an endpoint sends.
#[derive(Debug)]
pub(crate) enum ReadSide {
    Clear(OwnedReadHalf),
    Tls(ReadHalf<TlsStream<TcpStream>>),
}

/// What an endpoint is sent.
#[derive(Debug)]
pub(crate) enum WriteSide {
    Clear(OwnedWriteHalf),
    Tls(WriteHalf<TlsStream<TcpStream>>),
}

impl ReadSide {
    /// Reads what there is, up to `most` bytes at a time; 0 at the end. While there is nothing `buffer` takes no room.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Clear(read) => loop {
                std::task::ready!(read.as_ref().poll_read_ready(cx))?;
                buffer.reserve(most);
                match read.try_read_buf(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return Poll::Ready(result),
                }
            },
            Self::Tls(read) => {
                buffer.reserve(most);
                let polled = poll_read_buf(Pin::new(read), cx, buffer);
                if polled.is_pending() {
                    *buffer = BytesMut::new();
                }
                polled
            }
        }
    }
}
