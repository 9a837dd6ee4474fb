//! An HTTP/2 endpoint that is written frame by frame, for what no server does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::endpoint;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const INTERNAL_ERROR: u32 = 2;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;

const PREFACE: usize = 24;

/// A frame of the proxy's.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// A connection of the proxy's. Frames that cannot be sent are lost: the proxy closed it.
pub(crate) struct Frames(TcpStream);

impl Frames {
    /// Does what every connection begins with.
    pub(crate) async fn open(mut stream: TcpStream) -> Self {
        let mut preface = [0; PREFACE];
        let _ = stream.read_exact(&mut preface).await;
        let mut frames = Self(stream);
        frames.send(SETTINGS, 0, 0, &[]).await;
        frames
    }

    /// The next frame. `None` at the connection's end.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        if kind == SETTINGS && flags & ACK == 0 {
            self.send(SETTINGS, ACK, 0, &[]).await;
        }
        let stream = u32::from_be_bytes(stream);
        Some(Frame {
            kind,
            flags,
            stream,
            payload,
        })
    }

    /// The stream of the next request whose head has come.
    pub(crate) async fn next_request(&mut self) -> Option<u32> {
        loop {
            let frame = self.next().await?;
            if frame.kind == HEADERS {
                return Some(frame.stream);
            }
        }
    }

    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
        let mut frame = vec![a, b, c, kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        let _ = self.0.write_all(&frame).await;
    }

    /// The head of an answer with status 200.
    pub(crate) async fn answer(&mut self, stream: u32, flags: u8) {
        // The eighth entry of HPACK's table is `:status: 200`.
        self.send(HEADERS, END_HEADERS | flags, stream, &[0x88])
            .await;
    }

    pub(crate) async fn reset(&mut self, stream: u32, reason: u32) {
        self.send(RST_STREAM, 0, stream, &reason.to_be_bytes())
            .await;
    }

    /// Says that streams above `last` were not processed.
    pub(crate) async fn go_away(&mut self, last: u32, reason: u32) {
        let payload = [last.to_be_bytes(), reason.to_be_bytes()].concat();
        self.send(GOAWAY, 0, 0, &payload).await;
    }

    /// Lets the proxy send more than the 64 KiB that it may send at first.
    pub(crate) async fn widen(&mut self, stream: u32) {
        let more = (1_u32 << 20).to_be_bytes();
        self.send(WINDOW_UPDATE, 0, 0, &more).await;
        self.send(WINDOW_UPDATE, 0, stream, &more).await;
    }

    /// Reads until the proxy closes.
    pub(crate) async fn drain(&mut self) {
        while self.next().await.is_some() {}
    }
}

/// An endpoint that has `each` done with every connection, and the number of its connections so far.
pub(crate) async fn start<F>(
    each: impl Fn(Frames, usize) -> F + Send + Sync + 'static,
) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let (each, count) = (Arc::new(each), Arc::new(AtomicUsize::new(0)));
    endpoint::bare(move |stream| {
        let number = count.fetch_add(1, SeqCst);
        let each = Arc::clone(&each);
        async move { each(Frames::open(stream).await, number).await }
    })
    .await
}
