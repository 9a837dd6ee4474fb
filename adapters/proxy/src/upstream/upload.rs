//! A request's body on its way to an endpoint.
//!
//! The body moves into the endpoint's connection, but the request stays in charge of it: it can cut the
//! upload off when the client went away, and take the body back for another endpoint as long as nothing
//! was read from it: neither data nor, where there is none, its end.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::{BoxError, lock};

/// A body as a client sends it.
pub(crate) type ClientBody = Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>;

/// What an endpoint's connection sends.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// Nothing.
    Empty,
    /// The client's body.
    Upload(Upload),
}

/// Why an upload ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    /// The client's body broke off.
    #[error("the client's body broke off")]
    Client(#[source] BoxError),
    /// It has more bytes than allowed.
    #[error("the body is larger than allowed")]
    TooLarge,
    /// Nobody waits for the answer any more.
    #[error("the request was given up")]
    Cut,
}

/// What a client did wrong with its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UploadFault {
    /// It broke off.
    Broken,
    /// It has more bytes than allowed.
    TooLarge,
}

/// What an endpoint may have of a body that was taken back from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// Nothing, not even that it has ended.
    Nothing,
    /// All of it, for it turned out to be empty: the endpoint may have the request whole.
    EmptyWhole,
    /// Some of it, so that nobody else can get the whole.
    Some,
}

struct State {
    phase: Phase,
    /// Counts the endpoints that the body was given to; only the last one may read it.
    turn: u32,
    /// Whether any frame was read.
    touched: bool,
    /// Bytes that may still come.
    remaining: Option<u64>,
    fault: Option<UploadFault>,
    reader: Option<Waker>,
}

enum Phase {
    Flowing(ClientBody),
    Done,
    Cut,
}

/// The request's side of an upload. Dropping it cuts the upload off.
pub(crate) struct UploadHandle {
    state: Arc<Mutex<State>>,
    in_charge: bool,
}

/// The connection's side of an upload.
pub(crate) struct Upload {
    state: Arc<Mutex<State>>,
    turn: u32,
}

impl UploadHandle {
    /// Takes charge of a body of at most `max_bytes`.
    pub(crate) fn new(body: ClientBody, max_bytes: Option<u64>) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                phase: Phase::Flowing(body),
                turn: 0,
                touched: false,
                remaining: max_bytes,
                fault: None,
                reader: None,
            })),
            in_charge: true,
        }
    }

    /// The body for one more endpoint; an earlier one reads nothing any more.
    pub(crate) fn body(&self) -> Upload {
        let mut state = lock(&self.state);
        state.turn += 1;
        Upload {
            state: Arc::clone(&self.state),
            turn: state.turn,
        }
    }

    /// Takes the body back: its reader reads nothing any more. Tells what the reader may have passed on before;
    /// both at once, because over HTTP/2 the reader is a task that may still run when its request has failed.
    pub(crate) fn take_back(&self) -> Delivered {
        let mut state = lock(&self.state);
        state.turn += 1;
        match &state.phase {
            _ if state.touched => Delivered::Some,
            // Where the end is known before anything is read, a connection sends the whole request unasked.
            Phase::Flowing(body) if !body.is_end_stream() => Delivered::Nothing,
            Phase::Flowing(_) | Phase::Done => Delivered::EmptyWhole,
            Phase::Cut => Delivered::Some,
        }
    }

    /// Whether it is known beforehand how many bytes it has.
    pub(crate) fn has_known_length(&self) -> bool {
        lock(&self.state).size_hint().exact().is_some()
    }

    /// What the client did wrong, if anything.
    pub(crate) fn fault(&self) -> Option<UploadFault> {
        lock(&self.state).fault
    }

    /// The answer is complete: the endpoint may take the rest of the body or leave it.
    pub(crate) fn detach(mut self) {
        self.in_charge = false;
    }
}

impl Drop for UploadHandle {
    fn drop(&mut self) {
        if !self.in_charge {
            return;
        }
        let mut state = lock(&self.state);
        if let Phase::Done = state.phase {
            return;
        }
        let body = std::mem::replace(&mut state.phase, Phase::Cut);
        let reader = state.reader.take();
        drop(state);
        drop(body);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl std::fmt::Debug for UploadHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UploadHandle").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload").finish_non_exhaustive()
    }
}

impl State {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let body = match &mut self.phase {
            Phase::Flowing(body) => body,
            Phase::Done => return Poll::Ready(None),
            Phase::Cut => return Poll::Ready(Some(Err(UploadError::Cut))),
        };
        match body.as_mut().poll_frame(cx) {
            Poll::Pending => {
                match &mut self.reader {
                    Some(reader) => reader.clone_from(cx.waker()),
                    reader => *reader = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
            Poll::Ready(None) => {
                self.phase = Phase::Done;
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(frame))) => {
                self.touched = true;
                let size = frame.data_ref().map_or(0, |data| data.len() as u64);
                match self.remaining.as_mut().map(|left| left.checked_sub(size)) {
                    Some(None) => Poll::Ready(Some(Err(self.fail(UploadError::TooLarge)))),
                    Some(Some(left)) => {
                        self.remaining = Some(left);
                        Poll::Ready(Some(Ok(frame)))
                    }
                    None => Poll::Ready(Some(Ok(frame))),
                }
            }
            Poll::Ready(Some(Err(error))) => {
                self.touched = true;
                Poll::Ready(Some(Err(self.fail(UploadError::Client(error)))))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.phase {
            Phase::Flowing(body) => body.size_hint(),
            Phase::Done => SizeHint::with_exact(0),
            Phase::Cut => SizeHint::default(),
        }
    }

    fn fail(&mut self, error: UploadError) -> UploadError {
        self.phase = Phase::Cut;
        self.fault = Some(match error {
            UploadError::TooLarge => UploadFault::TooLarge,
            UploadError::Client(_) | UploadError::Cut => UploadFault::Broken,
        });
        error
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Upload(upload) => {
                let mut state = lock(&upload.state);
                if state.turn != upload.turn {
                    return Poll::Ready(Some(Err(UploadError::Cut)));
                }
                state.poll_frame(cx)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Upload(upload) => match &lock(&upload.state).phase {
                Phase::Flowing(body) => body.is_end_stream(),
                Phase::Done => true,
                Phase::Cut => false,
            },
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Upload(upload) => lock(&upload.state).size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Full, StreamBody};

    fn chunks(chunks: &[&'static str]) -> ClientBody {
        let frames: Vec<_> = chunks
            .iter()
            .map(|c| Ok::<_, BoxError>(Frame::data(Bytes::from_static(c.as_bytes()))))
            .collect();
        Box::pin(StreamBody::new(futures_util::stream::iter(frames)))
    }

    #[tokio::test]
    async fn an_untouched_body_can_be_given_to_another_endpoint() {
        let handle = UploadHandle::new(chunks(&["a", "b"]), None);
        let mut first = RequestBody::Upload(handle.body());
        assert_eq!(handle.take_back(), Delivered::Nothing);
        assert!(first.frame().await.unwrap().is_err());
        let second = RequestBody::Upload(handle.body());
        assert_eq!(second.collect().await.unwrap().to_bytes(), "ab");
        assert_eq!(handle.take_back(), Delivered::Some);
    }

    #[tokio::test]
    async fn what_was_delivered_of_a_body_is_known_when_it_is_taken_back() {
        let known_to_be_empty = || -> ClientBody {
            Box::pin(http_body_util::Empty::new().map_err(|never| match never {}))
        };
        for (given, body, frames_read, delivered) in [
            ("nothing read", chunks(&["a"]), 0, Delivered::Nothing),
            ("a part read", chunks(&["a", "b"]), 1, Delivered::Some),
            ("all read", chunks(&["a"]), 2, Delivered::Some),
            ("an empty one unread", chunks(&[]), 0, Delivered::Nothing),
            ("an empty one read", chunks(&[]), 1, Delivered::EmptyWhole),
            (
                "its end known beforehand",
                known_to_be_empty(),
                0,
                Delivered::EmptyWhole,
            ),
        ] {
            let handle = UploadHandle::new(body, None);
            let mut reader = RequestBody::Upload(handle.body());
            for _ in 0..frames_read {
                reader.frame().await;
            }
            assert_eq!(handle.take_back(), delivered, "{given}");
        }
    }

    #[tokio::test]
    async fn dropping_the_handle_cuts_the_upload_off_and_wakes_its_reader() {
        let waiting: ClientBody = Box::pin(StreamBody::new(futures_util::stream::pending::<
            Result<Frame<Bytes>, BoxError>,
        >()));
        let handle = UploadHandle::new(waiting, None);
        let mut body = RequestBody::Upload(handle.body());
        let reader = tokio::spawn(async move { body.frame().await });
        tokio::task::yield_now().await;
        drop(handle);
        let frame = reader.await.unwrap();
        assert!(matches!(frame, Some(Err(UploadError::Cut))));
    }

    #[tokio::test]
    async fn a_detached_upload_goes_on() {
        let handle = UploadHandle::new(chunks(&["a", "b"]), None);
        let body = RequestBody::Upload(handle.body());
        handle.detach();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "ab");
    }

    #[tokio::test]
    async fn a_body_above_the_limit_fails_and_says_so() {
        for (limit, fault) in [
            (4, None),
            (3, Some(UploadFault::TooLarge)),
            (0, Some(UploadFault::TooLarge)),
        ] {
            let handle = UploadHandle::new(chunks(&["ab", "cd"]), Some(limit));
            let collected = RequestBody::Upload(handle.body()).collect().await;
            assert_eq!(collected.is_err(), fault.is_some(), "{limit}");
            assert_eq!(handle.fault(), fault, "{limit}");
        }
    }

    #[test]
    fn sizes_are_those_of_the_clients_body() {
        let full: ClientBody = Box::pin(Full::new(Bytes::from("abc")).map_err(|e| match e {}));
        let handle = UploadHandle::new(full, None);
        let body = RequestBody::Upload(handle.body());
        assert_eq!(body.size_hint().exact(), Some(3));
        assert!(!body.is_end_stream());
        assert!(RequestBody::Empty.is_end_stream());
    }
}
