//! Mirrored requests: copies that go to another upstream, whose answers nobody gets.
//!
//! The request that is mirrored neither waits for a mirror nor fails with it. Its body is read at the pace of its own endpoint;
//! [`tee`] passes what was read to the mirrors. Each is a task of its own, within these limits:
//!
//! | | |
//! |---|---|
//! | under way at once | [`MOST`]; a further one is dropped |
//! | of a body, waiting for a mirror | [`tee::MOST_WAITING`]; a mirror that is further behind is cut off |
//! | after the end of the request's body | [`AFTER_BODY`]; then the mirror is cut off |

mod tee;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use domain::gateway::{Share, Timeouts};
use domain::route_table::UpstreamProtocol;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::sleep;

use super::attempts::{self, Answered, Target};
use super::timing::Timing;
use crate::memory::{self, HeldMemory};
use crate::metrics::{GatewayMetrics, MirrorOutcome, MirrorSlot, Mirrors};
use crate::upstream::{ClientBody, UploadHandle, Upstream, random_number};
use crate::{Limits, Memory};
use tee::{MirroredBody, Tee};

/// Mirrored requests under way at once: of a Gateway in one proxy, and of these to one upstream.
const MOST: (usize, usize) = (500, 100);

/// How long a mirrored request may last after the body of its request has ended.
const AFTER_BODY: Duration = Duration::from_secs(30);

/// Bytes of an answer that are read after the body of the request has ended, so that the connection can be used again.
const MOST_OF_ANSWER: usize = 1 << 20;

/// A RequestMirror with its upstream.
#[derive(Debug)]
pub(super) struct ReadyMirror {
    pub(super) upstream: Arc<Upstream>,
    pub(super) share: Share,
    /// Of its Gateway.
    pub(super) mirrors: Arc<Mirrors>,
    /// Mirrored requests to the upstream under way.
    pub(super) under_way: Arc<AtomicUsize>,
}

/// A copy of a request's head that is to be sent.
#[derive(Debug)]
pub(super) struct Copied {
    upstream: Arc<Upstream>,
    head: Parts,
    slot: MirrorSlot,
}

impl ReadyMirror {
    /// A copy of the head as it is now, where this request is to be mirrored and there is room.
    pub(super) fn copy(&self, head: &Parts) -> Option<Copied> {
        if !self.share.takes(random_number()) {
            return None;
        }
        let Some(slot) = MirrorSlot::take(&self.mirrors, &self.under_way, MOST) else {
            self.mirrors.count(MirrorOutcome::Dropped);
            return None;
        };
        Some(Copied {
            upstream: Arc::clone(&self.upstream),
            head: head.clone(),
            slot,
        })
    }
}

/// Sends the copies, and returns the body that the request itself is sent with.
pub(super) fn send(
    copies: Vec<Copied>,
    body: Option<ClientBody>,
    limits: &Arc<Limits>,
    memory: &Arc<Memory>,
) -> Option<ClientBody> {
    let announced = copies.first().and_then(|copy| length(&copy.head));
    let mut tee = body.map(|body| Tee::new(body, announced));
    for copy in copies {
        let Some(held) = memory.admit(memory::cost(&copy.head)) else {
            copy.slot.mirrors().count(MirrorOutcome::Dropped);
            continue;
        };
        let body = tee.as_mut().map(|tee| tee.branch(held.part()));
        let limits = Arc::clone(limits);
        tokio::spawn(async move { copy.run(body, held, &limits).await });
    }
    tee.map(|tee| -> ClientBody { Box::pin(tee) })
}

/// The length of the body that a head announces.
fn length(head: &Parts) -> Option<u64> {
    let length = head.headers.get(CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

impl Copied {
    async fn run(self, body: Option<MirroredBody>, held: HeldMemory, limits: &Limits) {
        let Self {
            upstream,
            head,
            slot,
        } = self;
        let state = body.as_ref().map(MirroredBody::state);
        let over = async {
            if let Some(state) = &state {
                state.ended().await;
                if state.is_cut() {
                    return;
                }
            }
            sleep(AFTER_BODY).await;
        };
        let is_ended = || state.as_ref().is_none_or(|state| state.has_ended());
        let upload = body.map(|body| UploadHandle::new(Box::pin(body), None, held.part()));
        if let Some(upload) = &upload
            && upstream.protocol == UpstreamProtocol::H2c
        {
            upload.keep(limits.max_kept_body_bytes, held.part());
        }
        let mut outcome = tokio::select! {
            outcome = exchange(&upstream, head, upload, limits, is_ended) => outcome,
            () = over => MirrorOutcome::Cut,
        };
        if state.is_some_and(|state| state.is_cut()) {
            outcome = MirrorOutcome::Cut;
        }
        slot.mirrors().count(outcome);
    }
}

/// Sends a copy and reads its answer.
async fn exchange(
    upstream: &Upstream,
    head: Parts,
    upload: Option<UploadHandle>,
    limits: &Limits,
    is_ended: impl Fn() -> bool,
) -> MirrorOutcome {
    // What goes wrong here is told as the outcome of a mirror alone.
    let untold = GatewayMetrics::default();
    let target = Target {
        upstream,
        timing: Timing::begin(&Timeouts::default(), limits),
        retries: None,
        sticky: None,
    };
    let sent = attempts::send(target, head, false, upload.as_ref(), limits, &untold);
    let Ok(Answered {
        response, lease, ..
    }) = sent.await
    else {
        return MirrorOutcome::Failed;
    };
    let mut answer = response.into_body();
    let mut read = 0;
    while !answer.is_end_stream() {
        let frame = match answer.frame().await {
            None => break,
            Some(Ok(frame)) => frame,
            Some(Err(_)) => return MirrorOutcome::Answered,
        };
        if is_ended() {
            read += frame.data_ref().map_or(0, bytes::Bytes::len);
        }
        if read > MOST_OF_ANSWER {
            return MirrorOutcome::Answered;
        }
    }
    drop(answer);
    let claim = lease.release();
    if let Some(upload) = upload {
        upload.finish_after_answer(claim);
    }
    MirrorOutcome::Answered
}
