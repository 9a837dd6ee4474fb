//! A request's body that mirrors get too.
//!
//! Whoever reads the body sets the pace. A mirror has what it has not taken yet in a queue; when that has no room for a frame,
//! the mirror gets no further one: its body breaks off.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::memory::{HeldMemory, LARGE_BODY};
use crate::upstream::{BoxError, ClientBody};

/// Bytes of a body that may wait for a mirror, with what the frames cost.
pub(super) const MOST_WAITING: usize = LARGE_BODY;

/// What may wait without being counted. Most bodies end here.
const SMALL: usize = 16 << 10;

/// What a frame costs besides its bytes.
const FRAME: usize = size_of::<Frame<Bytes>>();

/// Data below this size is copied: a few bytes must not keep the whole buffer alive that they were read into.
const COPIED: usize = 1024;

/// The body as the request's own endpoint gets it.
pub(super) struct Tee {
    body: ClientBody,
    /// Bytes that are still to come, where that is known.
    to_come: Option<u64>,
    branches: Vec<Branch>,
}

/// The end of a mirror's queue at which frames come in. Dropping it before the body has ended breaks the mirror's body off.
struct Branch(Arc<State>);

/// The body as a mirror gets it.
pub(super) struct MirroredBody(Arc<State>);

/// What both ends of a queue share.
pub(super) struct State {
    queue: Mutex<Queue>,
    /// Told when nothing more comes in.
    ended: Notify,
}

struct Queue {
    frames: VecDeque<Frame<Bytes>>,
    waiting: usize,
    memory: HeldMemory,
    phase: Phase,
    /// Bytes that the reader has not taken, where it is known how many there are.
    left: Option<u64>,
    reader: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// All of the body is there.
    Whole,
    /// The body breaks off.
    Cut,
    /// Nobody reads it.
    Unread,
}

#[derive(Debug, thiserror::Error)]
#[error("the mirrored body breaks off")]
struct CutOff;

impl Tee {
    /// A body of which its head says that it has so many bytes.
    pub(super) fn new(body: ClientBody, announced: Option<u64>) -> Self {
        Self {
            to_come: body.size_hint().exact().or(announced),
            body,
            branches: Vec::new(),
        }
    }

    /// One more reader. No frame may have been read before.
    pub(super) fn branch(&mut self, memory: HeldMemory) -> MirroredBody {
        let state = Arc::new(State {
            queue: Mutex::new(Queue {
                frames: VecDeque::new(),
                waiting: 0,
                memory,
                phase: Phase::Open,
                left: self.to_come,
                reader: None,
            }),
            ended: Notify::new(),
        });
        self.branches.push(Branch(Arc::clone(&state)));
        MirroredBody(state)
    }

    fn end(&mut self) {
        for branch in self.branches.drain(..) {
            branch.0.close(Phase::Whole);
        }
    }
}

impl Body for Tee {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(self.body.as_mut().poll_frame(cx));
        let mut is_last = self.body.is_end_stream();
        match &frame {
            Some(Ok(frame)) => {
                self.branches.retain(|branch| branch.0.put(frame));
                if let (Some(to_come), Some(data)) = (&mut self.to_come, frame.data_ref()) {
                    *to_come = to_come.saturating_sub(data.len() as u64);
                }
                is_last |= self.to_come == Some(0) || frame.is_trailers();
            }
            Some(Err(_)) => self.branches.clear(),
            None => is_last = true,
        }
        // Nobody asks for a frame after the last byte of a known length, or after trailers.
        if is_last {
            self.end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Branch {
    fn drop(&mut self) {
        self.0.close(Phase::Cut);
    }
}

impl State {
    /// Appends a copy of a frame. `false` where the mirror gets no further one.
    fn put(&self, frame: &Frame<Bytes>) -> bool {
        let Some((copy, size)) = copied(frame) else {
            return true;
        };
        let mut queue = self.queue.lock();
        if queue.phase != Phase::Open {
            return false;
        }
        let waiting = queue.waiting + size;
        let has_room =
            waiting <= MOST_WAITING && (waiting <= SMALL || queue.memory.try_hold(u64::MAX));
        if !has_room {
            return false;
        }
        queue.waiting = waiting;
        queue.frames.push_back(copy);
        let reader = queue.reader.take();
        drop(queue);
        if let Some(reader) = reader {
            reader.wake();
        }
        true
    }

    /// Nothing more comes in; what was said first holds.
    fn close(&self, phase: Phase) {
        let mut queue = self.queue.lock();
        if queue.phase != Phase::Open {
            return;
        }
        queue.phase = phase;
        if phase == Phase::Cut {
            queue.clear();
        }
        let reader = queue.reader.take();
        drop(queue);
        self.ended.notify_one();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Waits until nothing more comes in. For one waiter.
    pub(super) async fn ended(&self) {
        self.ended.notified().await;
    }

    pub(super) fn has_ended(&self) -> bool {
        self.queue.lock().phase != Phase::Open
    }

    /// Whether the body broke off.
    pub(super) fn is_cut(&self) -> bool {
        self.queue.lock().phase == Phase::Cut
    }
}

impl Queue {
    fn clear(&mut self) {
        self.frames = VecDeque::new();
        self.waiting = 0;
        self.memory.clear();
    }
}

/// A frame once more, and what it costs to keep.
fn copied(frame: &Frame<Bytes>) -> Option<(Frame<Bytes>, usize)> {
    if let Some(data) = frame.data_ref() {
        let copy = match data.len() {
            0 => return None,
            small if small < COPIED => Bytes::copy_from_slice(data),
            _ => data.clone(),
        };
        return Some((Frame::data(copy), FRAME + data.len()));
    }
    let trailers = frame.trailers_ref()?;
    let sizes = trailers.iter();
    let size: usize = sizes
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    Some((Frame::trailers(trailers.clone()), FRAME + size))
}

impl MirroredBody {
    pub(super) fn state(&self) -> Arc<State> {
        Arc::clone(&self.0)
    }
}

impl Body for MirroredBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut queue = self.0.queue.lock();
        if let Some(frame) = queue.frames.pop_front() {
            let data = frame.data_ref().map(Bytes::len);
            queue.waiting -= match data {
                Some(bytes) => FRAME + bytes,
                // Nothing follows trailers.
                None => queue.waiting,
            };
            if let Some(left) = &mut queue.left {
                *left = left.saturating_sub(data.unwrap_or(0) as u64);
            }
            if queue.waiting == 0 {
                queue.memory.clear();
            }
            return Poll::Ready(Some(Ok(frame)));
        }
        match queue.phase {
            Phase::Whole => Poll::Ready(None),
            Phase::Cut | Phase::Unread => Poll::Ready(Some(Err(CutOff.into()))),
            Phase::Open => {
                queue.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let queue = self.0.queue.lock();
        queue.phase == Phase::Whole && queue.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.0.queue.lock().left;
        left.map(SizeHint::with_exact).unwrap_or_default()
    }
}

impl Drop for MirroredBody {
    fn drop(&mut self) {
        let mut queue = self.0.queue.lock();
        queue.clear();
        if queue.phase == Phase::Open {
            queue.phase = Phase::Unread;
        }
    }
}
