//! The byte stream under an HTTP/2 tunnel connection, which tests can cut or freeze.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// How long the other side may take to end a stream that has been ended on this side.
const LINGER: Duration = Duration::from_secs(2);

const WHOLE: u8 = 0;
const FROZEN: u8 = 1;
const CUT: u8 = 2;

/// Cuts or freezes a [`SwitchedStream`].
#[derive(Default)]
pub(super) struct Switch {
    position: AtomicU8,
    stream: AtomicWaker,
    /// The stream of a frozen connection that its owner has dropped: kept open, so that the other side sees
    /// silence and not an end.
    parked: Mutex<Option<TlsStream<TcpStream>>>,
    released: CancellationToken,
}

impl Switch {
    /// From now on nothing is read or written, and nothing is closed.
    pub(super) fn freeze(&self) {
        // What is cut stays cut.
        let _ = self
            .position
            .compare_exchange(WHOLE, FROZEN, Ordering::AcqRel, Ordering::Acquire);
        self.stream.wake();
    }

    /// Ends the stream at once: the other side sees a TCP reset.
    pub(super) fn cut(&self) {
        self.position.store(CUT, Ordering::Release);
        self.stream.wake();
        self.reset_parked();
    }

    /// Whether the stream is frozen.
    pub(super) fn is_frozen(&self) -> bool {
        self.position.load(Ordering::Acquire) == FROZEN
    }

    /// Waits until the stream's owner has dropped it.
    pub(super) async fn released(&self) {
        self.released.cancelled().await;
    }

    fn park(&self, stream: TlsStream<TcpStream>) {
        *self.parked.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
        // It may have been cut in the meantime.
        if !self.is_frozen() {
            self.reset_parked();
        }
    }

    fn reset_parked(&self) {
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stream) = parked.take() {
            reset(&stream);
        }
    }
}

/// Makes the coming drop of a stream a TCP reset and not an orderly end.
fn reset(stream: &TlsStream<TcpStream>) {
    // It fails only for a socket that is gone already.
    let _ = stream.get_ref().0.set_zero_linger();
}

/// Ends a stream, but reads on until the other side has ended it too: what it still sends to a socket
/// that is closed already would be answered by a reset (RFC 9112, section 9.6).
fn linger(mut stream: TlsStream<TcpStream>) {
    let Ok(runtime) = Handle::try_current() else {
        return;
    };
    runtime.spawn(tokio::time::timeout(LINGER, async move {
        // Whatever goes wrong now, the stream ends.
        let _ = stream.shutdown().await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }));
}

/// A TLS stream with a [`Switch`].
pub(super) struct SwitchedStream {
    stream: Option<TlsStream<TcpStream>>,
    switch: Arc<Switch>,
}

impl SwitchedStream {
    /// Puts a switch into a stream.
    pub(super) fn new(stream: TlsStream<TcpStream>, switch: Arc<Switch>) -> Self {
        let stream = Some(stream);
        Self { stream, switch }
    }

    /// The stream, as long as nothing is done to it.
    fn whole(&mut self, cx: &Context<'_>) -> Poll<io::Result<Pin<&mut TlsStream<TcpStream>>>> {
        self.switch.stream.register(cx.waker());
        match (
            self.switch.position.load(Ordering::Acquire),
            &mut self.stream,
        ) {
            (WHOLE, Some(stream)) => Poll::Ready(Ok(Pin::new(stream))),
            (FROZEN, _) => Poll::Pending,
            _ => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

impl Drop for SwitchedStream {
    fn drop(&mut self) {
        let Some(stream) = self.stream.take() else {
            return;
        };
        match self.switch.position.load(Ordering::Acquire) {
            FROZEN => self.switch.park(stream),
            CUT => reset(&stream),
            _ => linger(stream),
        }
        self.switch.released.cancel();
    }
}

impl AsyncRead for SwitchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.whole(cx))?.poll_read(cx, buf)
    }
}

impl AsyncWrite for SwitchedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.whole(cx))?.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.whole(cx))?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.whole(cx))?.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.whole(cx))?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream
            .as_ref()
            .is_some_and(AsyncWrite::is_write_vectored)
    }
}
