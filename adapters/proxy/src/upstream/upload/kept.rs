//! What was read of a body, for the case that the endpoint did nothing with it.

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

use crate::memory::HeldMemory;

/// Data below this size is copied: a few bytes must not keep the whole buffer alive that they were read into.
const SMALL: usize = 1024;

/// What keeping a frame costs besides its bytes.
pub(super) const FRAME: usize = size_of::<Bytes>();

/// Frames in the order in which they were read. Large data is shared with what is being sent.
pub(super) struct Kept {
    data: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    /// How many of the frames the present reader has.
    given: usize,
    /// Bytes that may still be kept; `None` where some were not.
    room: Option<usize>,
    memory: Option<HeldMemory>,
}

impl Kept {
    /// Keeps nothing, not even a frame.
    pub(super) fn nothing() -> Self {
        Self {
            data: Vec::new(),
            trailers: None,
            given: 0,
            room: None,
            memory: None,
        }
    }

    /// Keeps that many bytes, which are counted in `memory`.
    pub(super) fn up_to(limit: usize, memory: HeldMemory) -> Self {
        Self {
            room: Some(limit),
            memory: Some(memory),
            ..Self::nothing()
        }
    }

    /// Whether nothing is missing of what was read.
    pub(super) fn is_whole(&self) -> bool {
        self.room.is_some()
    }

    /// Keeps a frame that the present reader gets. One that has no room ends the keeping.
    pub(super) fn add(&mut self, frame: &Frame<Bytes>) {
        let Some(room) = self.room else {
            return;
        };
        let size = FRAME + size_of_frame(frame);
        let Some(left) = room.checked_sub(size) else {
            *self = Self::nothing();
            return;
        };
        self.room = Some(left);
        if let Some(memory) = &mut self.memory {
            memory.grow(size);
        }
        if let Some(data) = frame.data_ref() {
            self.data.push(match data.len() {
                ..SMALL => Bytes::copy_from_slice(data),
                _ => data.clone(),
            });
        }
        self.trailers = frame.trailers_ref().cloned();
        self.given += 1;
    }

    /// Starts from the beginning, for another reader.
    pub(super) fn rewind(&mut self) {
        self.given = 0;
    }

    /// The next frame that the present reader does not have.
    pub(super) fn next(&mut self) -> Option<Frame<Bytes>> {
        let frame = match self.data.get(self.given) {
            Some(data) => Frame::data(data.clone()),
            None if self.given == self.data.len() => Frame::trailers(self.trailers.clone()?),
            None => return None,
        };
        self.given += 1;
        Some(frame)
    }

    /// Whether the present reader has all of them.
    pub(super) fn is_given(&self) -> bool {
        self.given == self.data.len() + usize::from(self.trailers.is_some())
    }

    /// Bytes of data that the present reader does not have.
    pub(super) fn left(&self) -> u64 {
        let left = self.data.get(self.given..).unwrap_or_default();
        left.iter().map(|data| data.len() as u64).sum()
    }
}

fn size_of_frame(frame: &Frame<Bytes>) -> usize {
    match (frame.data_ref(), frame.trailers_ref()) {
        (Some(data), _) => data.len(),
        (None, Some(trailers)) => trailers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum(),
        (None, None) => 0,
    }
}
