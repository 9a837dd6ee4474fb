//! Frames of a body that were read and are not sent yet.
//!
//! Requests: an endpoint that takes nothing has a few frames waiting in its connection (`upload.rs` says how many), and
//! the rest waits at the edge.
//!
//! Answers: a visitor that does not read has a few frames waiting in the connection to the edge (`body.rs` says how many).
//! While memory is short the next frame is read from the endpoint when the one before has been sent. Visitors that read
//! get on, so that their requests end and make room.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::Frame;

/// Frames of one body that wait to be sent, if any was watched.
#[derive(Debug, Default)]
pub(crate) struct Unsent(Option<Arc<Watched>>);

#[derive(Debug, Default)]
struct Watched {
    waits: AtomicUsize,
    reader: AtomicWaker,
}

/// Data that says when it is not needed any more.
struct Telling {
    data: Bytes,
    watched: Arc<Watched>,
}

impl Unsent {
    /// Ready when no more than so many bytes of watched frames wait to be sent.
    pub(crate) fn poll_sent(&self, cx: &mut Context<'_>, bytes: usize) -> Poll<()> {
        let Some(watched) = &self.0 else {
            return Poll::Ready(());
        };
        watched.reader.register(cx.waker());
        if watched.waits.load(SeqCst) > bytes {
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Bytes of watched frames that wait to be sent.
    pub(crate) fn waits(&self) -> usize {
        let watched = self.0.as_ref();
        watched.map_or(0, |watched| watched.waits.load(SeqCst))
    }

    /// Watches this frame. Trailers end a body and need no watching.
    pub(crate) fn watch(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        let watched = self.0.get_or_insert_default();
        frame.map_data(|data| {
            watched.waits.fetch_add(data.len(), SeqCst);
            Bytes::from_owner(Telling {
                data,
                watched: Arc::clone(watched),
            })
        })
    }
}

impl AsRef<[u8]> for Telling {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.watched.waits.fetch_sub(self.data.len(), SeqCst);
        self.watched.reader.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn the_next_frame_waits_for_the_one_before() {
        let mut unsent = Unsent::default();
        poll_fn(|cx| unsent.poll_sent(cx, 0)).await;

        let frame = unsent.watch(Frame::data(Bytes::from_static(b"abc")));
        let data = frame.into_data().unwrap();
        assert_eq!(data, "abc");
        poll_fn(|cx| unsent.poll_sent(cx, 3)).await;
        let part = data.slice(1..);
        drop(data);

        let waiting = tokio::spawn(async move { poll_fn(|cx| unsent.poll_sent(cx, 0)).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "a part of it is still there");
        drop(part);
        waiting.await.unwrap();
    }
}
