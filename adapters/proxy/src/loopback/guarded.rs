//! A client's connection whose framing is judged before the parser reads it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framing::{Ambiguity, Framing};

/// What the parser reads in place of a refused line, or of what is left of one, and all that follows. A CR with
/// something else than LF behind it is an error wherever a line can be cut off, in a chunk's extension too, where the
/// parser takes a NUL by itself. So it answers 400, in its turn behind the answers that are still due; the line ends
/// make it judge at once.
const UNREADABLE: &[u8] = b"\r\0\r\n\r\n";

/// What is known of a connection on either side of the parser.
#[derive(Debug, Default)]
pub(super) struct Knowledge {
    upgraded: AtomicBool,
    refused: OnceLock<Ambiguity>,
}

impl Knowledge {
    /// Another protocol was agreed to: nothing that comes is judged any more.
    pub(super) fn upgraded(&self) {
        self.upgraded.store(true, Ordering::Relaxed);
    }

    /// Why the client's bytes were cut short, if they were.
    pub(super) fn refused(&self) -> Option<Ambiguity> {
        self.refused.get().copied()
    }
}

/// Reads like the connection inside, up to the first line that can be read in two ways.
#[derive(Debug)]
pub(super) struct Guarded<S> {
    inner: S,
    framing: Framing,
    knowledge: Arc<Knowledge>,
    /// What is left to give of [`UNREADABLE`].
    instead: &'static [u8],
}

impl<S> Guarded<S> {
    pub(super) fn new(inner: S, knowledge: Arc<Knowledge>) -> Self {
        Self {
            inner,
            framing: Framing::default(),
            knowledge,
            instead: &[],
        }
    }

    /// Judges what was read behind `old`, and cuts off what is refused.
    fn judge(&mut self, buffer: &mut ReadBuf<'_>, old: usize) -> io::Result<()> {
        let Err(refused) = self.framing.follow(&buffer.filled()[old..]) else {
            return Ok(());
        };
        let _ = self.knowledge.refused.set(refused.why);
        if self.framing.upgrade_asked() {
            // It may be of another protocol, sent too early, where our bytes would be taken for the client's.
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                refused.why.text(),
            ));
        }
        buffer.set_filled(old + refused.before);
        self.instead = UNREADABLE;
        self.give_instead(buffer);
        Ok(())
    }

    fn give_instead(&mut self, buffer: &mut ReadBuf<'_>) {
        let (now, later) = self
            .instead
            .split_at(self.instead.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.instead = later;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.knowledge.refused().is_some() {
            this.give_instead(buffer);
            return Poll::Ready(Ok(()));
        }
        let old = buffer.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buffer))?;
        if this.knowledge.upgraded.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(this.judge(buffer, old))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
