//! Frames in a body: four bytes with the length (big endian), then so many bytes of JSON.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Serialize;
use tokio::sync::mpsc;

/// Type of a body of frames.
pub(crate) const FRAMES: &str = "application/vnd.cloudflare-gateway-controller.frames+json";

const PREFIX: usize = 4;

/// Why no further frame comes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("the stream broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the stream ended within a frame")]
    Cut,
    #[error("a frame of {length} bytes is longer than the {limit} that are taken")]
    TooLong { length: usize, limit: usize },
}

pub(crate) fn encode(frame: &impl Serialize) -> Bytes {
    let mut written = BytesMut::zeroed(PREFIX).writer();
    serde_json::to_writer(&mut written, frame)
        .expect("frames have only text keys and buffers in memory take all");
    let mut written = written.into_inner();
    let length = u32::try_from(written.len() - PREFIX).expect("a frame is below 4 GiB");
    written[..PREFIX].copy_from_slice(&length.to_be_bytes());
    written.freeze()
}

/// Cuts a body into frames.
#[derive(Debug)]
pub(crate) struct FrameReader<B = Incoming> {
    body: B,
    read: BytesMut,
    limit: usize,
    heard: Instant,
}

impl<B: Body<Data = Bytes, Error = hyper::Error> + Unpin> FrameReader<B> {
    /// Takes frames of up to `limit` bytes.
    pub(crate) fn new(body: B, limit: usize) -> Self {
        Self {
            body,
            read: BytesMut::new(),
            limit,
            heard: Instant::now(),
        }
    }

    /// How long nothing came, not even a part of a frame.
    pub(crate) fn silence(&self) -> Duration {
        self.heard.elapsed()
    }

    /// The JSON of the next frame; `None` where the body ends between two. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        loop {
            if let Some(frame) = self.take()? {
                return Ok(Some(frame));
            }
            match self.body.frame().await.transpose()? {
                Some(frame) => {
                    self.heard = Instant::now();
                    if let Ok(data) = frame.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
                None if self.read.is_empty() => return Ok(None),
                None => return Err(FrameError::Cut),
            }
        }
    }

    fn take(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(prefix) = self.read.first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*prefix) as usize;
        if length > self.limit {
            let limit = self.limit;
            return Err(FrameError::TooLong { length, limit });
        }
        if self.read.len() < PREFIX + length {
            return Ok(None);
        }
        self.read.advance(PREFIX);
        let frame = self.read.split_to(length).freeze();
        if self.read.is_empty() {
            // A whole table's buffer is not kept for heartbeats.
            self.read = BytesMut::new();
        }
        Ok(Some(frame))
    }
}

/// A body that is written frame by frame; it ends when the sender is dropped.
#[derive(Debug)]
pub(crate) struct FrameBody(mpsc::Receiver<Bytes>);

/// Frames that may wait until the other side reads.
const WAITING: usize = 4;

impl FrameBody {
    pub(crate) fn channel() -> (FrameSender, Self) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (FrameSender(sender), Self(receiver))
    }
}

/// Writes into a [`FrameBody`].
#[derive(Debug)]
pub(crate) struct FrameSender(mpsc::Sender<Bytes>);

impl FrameSender {
    /// Queues a frame; waits while the other side reads nothing. `false` where the stream is gone.
    pub(crate) async fn send(&self, frame: &impl Serialize) -> bool {
        self.send_encoded(encode(frame)).await
    }

    /// The same with a frame that was written before.
    pub(crate) async fn send_encoded(&self, frame: Bytes) -> bool {
        self.0.send(frame).await.is_ok()
    }

    /// Queues a frame unless older ones still wait: a side that does not read needs no sign of life.
    pub(crate) fn send_if_idle(&self, frame: &impl Serialize) {
        if self.0.capacity() == WAITING {
            // The receiver may be gone; the reading half reports that.
            drop(self.0.try_send(encode(frame)));
        }
    }
}

impl Body for FrameBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let next = self.0.poll_recv(context);
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::Chunks;

    async fn read(bytes: &[u8], chunk: usize, limit: usize) -> Result<Vec<Bytes>, FrameError> {
        let mut reader = FrameReader::new(Chunks::of(bytes, chunk), limit);
        let mut frames = Vec::new();
        while let Some(frame) = reader.next().await? {
            frames.push(frame);
        }
        Ok(frames)
    }

    #[tokio::test]
    async fn frames_are_the_same_however_the_body_is_cut() {
        let written = [encode(&"one"), encode(&""), encode(&"three")].concat();
        for chunk in 1..written.len() {
            let frames = read(&written, chunk, 16).await.unwrap();
            assert_eq!(frames, [&b"\"one\""[..], b"\"\"", b"\"three\""], "{chunk}");
        }
    }

    #[tokio::test]
    async fn a_cut_or_overlong_frame_is_an_error() {
        let written = encode(&"hello");
        for (bytes, limit, then) in [
            (&written[..6], 16, "the stream ended within a frame"),
            (&written[..2], 16, "the stream ended within a frame"),
            (
                &written[..],
                5,
                "a frame of 7 bytes is longer than the 5 that are taken",
            ),
        ] {
            let error = read(bytes, 3, limit).await.unwrap_err();
            assert_eq!(error.to_string(), then);
        }
    }
}
