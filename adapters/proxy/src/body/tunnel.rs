//! Upgraded connections: the client's body is its byte stream, the answer's body is the endpoint's.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body::Frame;
use hyper::body::Incoming;
use hyper::upgrade::Parts;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::error::BodyError;
use crate::admission::Admitted;
use crate::local_reply::LocalReply;
use crate::silence::Silence;
use crate::upstream::{ClientBody, Lease, Paced, ReadSide, WriteSide};

/// Bytes read from an endpoint at a time. The room is taken when something is there to be read, so that
/// a silent connection holds none.
const CHUNK: usize = 16 * 1024;

/// What both directions of an open tunnel share.
struct Shared {
    _lease: Lease,
    _admitted: Admitted,
    /// When the client last sent something.
    last_upload: Mutex<Instant>,
}

/// An endpoint's byte stream. Dropping it before its end closes the connection in both directions; after
/// its end the client may go on sending.
#[derive(Debug)]
pub(crate) struct TunnelBody {
    /// What came together with the 101.
    early: Bytes,
    read: ReadSide,
    buffer: BytesMut,
    upload: JoinHandle<Result<(), BodyError>>,
    uploaded: bool,
    ended: bool,
    shared: Arc<Shared>,
    silence: Silence,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Joins the two byte streams after an endpoint's 101. They end when nothing moves in either direction for longer than
/// `limit`.
pub(crate) async fn open(
    answer: &mut Response<Incoming>,
    client: Option<ClientBody>,
    lease: Lease,
    admitted: Admitted,
    limit: Duration,
) -> Result<TunnelBody, LocalReply> {
    let upgraded = hyper::upgrade::on(answer)
        .await
        .map_err(|_| LocalReply::BrokenAnswer)?;
    let Parts { io, read_buf, .. } = upgraded
        .downcast::<TokioIo<Paced>>()
        .map_err(|_| LocalReply::BrokenAnswer)?;
    let stream = io
        .into_inner()
        .into_inner()
        .ok_or(LocalReply::BrokenAnswer)?;
    let (read, write) = stream.into_split();
    let shared = Arc::new(Shared {
        _lease: lease,
        _admitted: admitted,
        last_upload: Mutex::new(Instant::now()),
    });
    Ok(TunnelBody {
        early: read_buf,
        read,
        buffer: BytesMut::new(),
        upload: tokio::spawn(upload(client, write, Arc::clone(&shared))),
        uploaded: false,
        ended: false,
        shared,
        silence: Silence::of(limit),
    })
}

/// Sends the client's bytes to the endpoint. Their end shuts down that direction only.
async fn upload(
    client: Option<ClientBody>,
    mut write: WriteSide,
    shared: Arc<Shared>,
) -> Result<(), BodyError> {
    if let Some(mut client) = client {
        while let Some(frame) = poll_fn(|cx| client.as_mut().poll_frame(cx)).await {
            let frame = frame.map_err(|_| BodyError::Client)?;
            *shared.last_upload.lock() = Instant::now();
            if let Ok(data) = frame.into_data()
                && (write.write_all(&data).await.is_err() || write.flush().await.is_err())
            {
                // The endpoint reads no more; what it still sends is worth having.
                return Ok(());
            }
        }
    }
    // An endpoint that is gone shows on the reading side.
    let _ = write.shutdown().await;
    Ok(())
}

impl TunnelBody {
    /// The next bytes of the endpoint. An error where either side broke off.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.early.is_empty() {
            let early = std::mem::take(&mut self.early);
            return Poll::Ready(Some(Ok(Frame::data(early))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        let read = self.poll_read(cx);
        if read.is_ready() {
            self.silence.is_broken();
        }
        match read {
            Poll::Ready(Ok(0)) => {
                self.ended = true;
                return Poll::Ready(None);
            }
            Poll::Ready(Ok(_)) => {
                let data = std::mem::take(&mut self.buffer).freeze();
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            Poll::Pending => {}
        }
        if !self.uploaded
            && let Poll::Ready(result) = Pin::new(&mut self.upload).poll(cx)
        {
            self.uploaded = true;
            if let Ok(Err(error)) = result {
                return Poll::Ready(Some(Err(error)));
            }
        }
        let shared = &self.shared;
        let moved = || Some(*shared.last_upload.lock());
        ready!(self.silence.poll_over(cx, moved));
        Poll::Ready(Some(Err(BodyError::Silent)))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.read.poll_read(cx, &mut self.buffer, CHUNK)
    }
}

impl Drop for TunnelBody {
    fn drop(&mut self) {
        if !self.ended {
            self.upload.abort();
        }
    }
}
