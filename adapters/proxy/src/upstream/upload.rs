//! A request's body on its way to an endpoint.
//!
//! The body moves into the endpoint's connection, but the request stays in charge of it: it can cut the upload off when
//! the client went away, and take the body back for another attempt: while nothing was read from it, neither data nor,
//! where there is none, its end; or, towards HTTP/2, while all that was read is still kept ([`kept`]).

mod kept;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use kept::Kept;

use crate::memory::HeldMemory;
use crate::unsent::Unsent;

/// How much of a body an endpoint may take after it has answered in full, and for how long.
const AFTER_ANSWER_BYTES: u64 = 1024 * 1024;
const AFTER_ANSWER: Duration = Duration::from_secs(5);

/// Bytes of a body that may wait in an endpoint's connection, beside what the kernel holds. Endpoints that take nothing
/// would else have as much waiting as the largest head of an answer has, which hyper knows as one limit with this.
const UNSENT: usize = 32 << 10;
/// What a body may have without being counted. Most end here.
const SMALL: u64 = 16 << 10;

/// What hyper says of a request: the head of its answer, or why there is none.
pub(super) type Answer = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;

/// Any error of a request's body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body as a client sends it.
pub(crate) type ClientBody = Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>;

/// What an endpoint's connection sends.
#[derive(Debug)]
pub(crate) enum RequestBody {
    Empty,
    Upload(Upload),
}

/// Why an upload ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error("the client's body broke off")]
    Client(#[source] BoxError),
    #[error("the body is larger than allowed")]
    TooLarge,
    /// Its length was not known, it waits for the endpoint, and there is no memory for that.
    #[error("the proxy is short of memory")]
    NoMemory,
    #[error("the request was given up")]
    Cut,
}

/// Why a client's body is not sent to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UploadFault {
    Broken,
    /// It has more bytes than allowed.
    TooLarge,
    /// It waits for the endpoint, and there is no memory for that.
    NoMemory,
}

struct State {
    phase: Phase,
    /// Counts the endpoints that the body was given to; only the last one may read it.
    turn: u32,
    /// Whether an endpoint's connection has the body.
    is_read: bool,
    /// Whether any frame was read.
    touched: bool,
    /// What was read, for one more endpoint.
    kept: Kept,
    /// Bytes that have come.
    read: u64,
    /// What is counted: a body that is known to be large while it comes, another one while it waits for the endpoint.
    memory: HeldMemory,
    is_known_large: bool,
    /// Those that wait to be sent.
    unsent: Unsent,
    /// Bytes that may still come.
    remaining: Option<u64>,
    fault: Option<UploadFault>,
    reader: Option<Waker>,
    /// When the last frame came.
    last_frame: Instant,
    /// Whether the reader has asked for a frame that the client has not sent.
    is_awaited: bool,
    /// Dropped when nothing of the body will be read any more.
    ended: Option<oneshot::Sender<()>>,
}

enum Phase {
    Flowing(ClientBody),
    Done,
    Cut,
}

/// The request's side of an upload. Dropping it cuts the upload off.
pub(crate) struct UploadHandle {
    state: Arc<Mutex<State>>,
}

/// The connection's side of an upload.
pub(crate) struct Upload {
    state: Arc<Mutex<State>>,
    turn: u32,
}

impl UploadHandle {
    /// Takes charge of a body of at most `max_bytes`.
    pub(crate) fn new(body: ClientBody, max_bytes: Option<u64>, memory: HeldMemory) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                phase: Phase::Flowing(body),
                turn: 0,
                is_read: false,
                touched: false,
                kept: Kept::nothing(),
                read: 0,
                memory,
                is_known_large: false,
                unsent: Unsent::default(),
                remaining: max_bytes,
                fault: None,
                reader: None,
                last_frame: Instant::now(),
                is_awaited: false,
                ended: None,
            })),
        }
    }

    /// Counts a body that is known to be large. `false` where there is no memory for it.
    pub(crate) fn has_room(&self) -> bool {
        let mut state = self.state.lock();
        let bytes = state.size_hint().lower();
        state.is_known_large = bytes > SMALL;
        !state.is_known_large || state.memory.try_hold(bytes)
    }

    /// Keeps what is read, up to a limit, until [`answered`](Self::answered): an endpoint may refuse the request after
    /// a part of its body was sent.
    pub(crate) fn keep(&self, limit: usize, memory: HeldMemory) {
        self.state.lock().kept = Kept::up_to(limit, memory);
    }

    /// The endpoint has answered: the body goes to no other.
    pub(crate) fn answered(&self) {
        self.state.lock().kept = Kept::nothing();
    }

    /// The body for one more endpoint; an earlier one reads nothing any more.
    pub(crate) fn body(&self) -> Upload {
        let mut state = self.state.lock();
        state.turn += 1;
        state.is_read = true;
        Upload {
            state: Arc::clone(&self.state),
            turn: state.turn,
        }
    }

    /// Whether another endpoint could get the whole of it. That may end with the next frame that is read.
    pub(crate) fn is_kept(&self) -> bool {
        self.state.lock().is_kept()
    }

    /// Takes the body back: its reader reads nothing any more. `false` where nobody else can get the whole. Both at
    /// once, because over HTTP/2 the reader is a task that may still run when its request has failed.
    pub(crate) fn rewind(&self) -> bool {
        let mut state = self.state.lock();
        state.turn += 1;
        state.is_read = false;
        state.kept.rewind();
        state.is_kept()
    }

    /// Since when nothing of it has moved, and whether it is the client that is waited for.
    pub(crate) fn silence(&self) -> (Instant, bool) {
        let state = self.state.lock();
        let flows = matches!(state.phase, Phase::Flowing(_)) && state.is_read;
        (state.last_frame, flows && state.is_awaited)
    }

    /// Whether it is known beforehand how many bytes it has.
    pub(crate) fn has_known_length(&self) -> bool {
        self.state.lock().size_hint().exact().is_some()
    }

    /// Why it is not sent to its end, where that is not the endpoint's doing.
    pub(crate) fn fault(&self) -> Option<UploadFault> {
        self.state.lock().fault
    }

    /// The answer is complete: the endpoint may take a little more of the body. `claims` are held until it is done with
    /// that.
    pub(crate) fn finish_after_answer(self, claims: impl Send + 'static) {
        let (ended, end) = oneshot::channel();
        let mut state = self.state.lock();
        let flows = matches!(&state.phase, Phase::Flowing(body) if !body.is_end_stream());
        let Some(runtime) = tokio::runtime::Handle::try_current()
            .ok()
            .filter(|_| flows && state.is_read)
        else {
            drop(state);
            return;
        };
        let left = state.remaining.unwrap_or(u64::MAX);
        state.remaining = Some(left.min(AFTER_ANSWER_BYTES));
        state.ended = Some(ended);
        drop(state);
        runtime.spawn(async move {
            // Ends early when nothing is read any more.
            let _ = tokio::time::timeout(AFTER_ANSWER, end).await;
            drop(self);
            drop(claims);
        });
    }
}

impl Drop for UploadHandle {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        if let Phase::Done = state.phase {
            return;
        }
        let body = std::mem::replace(&mut state.phase, Phase::Cut);
        state.kept = Kept::nothing();
        state.ended = None;
        let reader = state.reader.take();
        drop(state);
        drop(body);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        if state.turn == self.turn {
            state.is_read = false;
            state.ended = None;
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
    fn is_kept(&self) -> bool {
        let is_whole = !self.touched || self.kept.is_whole();
        is_whole && !matches!(self.phase, Phase::Cut)
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        if let Some(frame) = self.kept.next() {
            return Poll::Ready(Some(Ok(frame)));
        }
        let body = match &mut self.phase {
            Phase::Flowing(body) => body,
            Phase::Done => return Poll::Ready(None),
            Phase::Cut => return Poll::Ready(Some(Err(UploadError::Cut))),
        };
        if self.unsent.poll_sent(cx, UNSENT).is_pending() {
            self.is_awaited = false;
            self.wake_later(cx);
            return Poll::Pending;
        }
        let Poll::Ready(frame) = body.as_mut().poll_frame(cx) else {
            self.is_awaited = true;
            self.wake_later(cx);
            return Poll::Pending;
        };
        self.is_awaited = false;
        self.last_frame = Instant::now();
        Poll::Ready(match frame {
            None => {
                self.phase = Phase::Done;
                self.ended = None;
                self.memory.clear();
                None
            }
            Some(Ok(frame)) => Some(self.account(frame)),
            Some(Err(error)) => {
                self.touched = true;
                Some(Err(self.fail(UploadError::Client(error))))
            }
        })
    }

    /// Cutting the upload off wakes this reader.
    fn wake_later(&mut self, cx: &Context<'_>) {
        match &mut self.reader {
            Some(reader) => reader.clone_from(cx.waker()),
            reader => *reader = Some(cx.waker().clone()),
        }
    }

    /// Counts a frame that was read.
    fn account(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, UploadError> {
        self.touched = true;
        let size = frame.data_ref().map_or(0, |data| data.len() as u64);
        if let Some(remaining) = &mut self.remaining {
            match remaining.checked_sub(size) {
                Some(left) => *remaining = left,
                None => return Err(self.fail(UploadError::TooLarge)),
            }
        }
        self.read += size;
        self.kept.add(&frame);
        if self.read <= SMALL {
            return Ok(frame);
        }
        match self.has_room_for_what_waits() {
            true => Ok(self.unsent.watch(frame)),
            false => Err(self.fail(UploadError::NoMemory)),
        }
    }

    fn has_room_for_what_waits(&mut self) -> bool {
        let waits = self.unsent.waits() as u64;
        if waits == 0 && !self.is_known_large {
            self.memory.clear();
        }
        waits <= SMALL || self.memory.try_hold(u64::MAX)
    }

    fn is_end_stream(&self) -> bool {
        self.kept.is_given()
            && match &self.phase {
                Phase::Flowing(body) => body.is_end_stream(),
                Phase::Done => true,
                Phase::Cut => false,
            }
    }

    fn size_hint(&self) -> SizeHint {
        let coming = match &self.phase {
            Phase::Flowing(body) => body.size_hint(),
            Phase::Done => SizeHint::with_exact(0),
            Phase::Cut => SizeHint::default(),
        };
        match coming.exact() {
            Some(bytes) => SizeHint::with_exact(bytes + self.kept.left()),
            None => SizeHint::default(),
        }
    }

    fn fail(&mut self, error: UploadError) -> UploadError {
        self.phase = Phase::Cut;
        self.ended = None;
        self.fault = Some(match error {
            UploadError::TooLarge => UploadFault::TooLarge,
            UploadError::NoMemory => UploadFault::NoMemory,
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
                let mut state = upload.state.lock();
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
            Self::Upload(upload) => upload.state.lock().is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Upload(upload) => upload.state.lock().size_hint(),
        }
    }
}

#[cfg(test)]
mod tests;
