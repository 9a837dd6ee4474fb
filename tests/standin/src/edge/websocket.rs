//! A visitor's WebSocket, whose bytes go through the tunnel unread.

use std::sync::Arc;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::ReadHalf;
use tokio::sync::oneshot;

use super::body::{self, Body};
use super::registry::InFlight;

/// Gives the visitor's bytes to the request that waits for them.
pub(super) struct Handover(oneshot::Sender<ReadHalf<TokioIo<Upgraded>>>);

/// A request body that begins when its handover is done. It is empty if that never happens.
pub(super) fn later() -> (Handover, Body) {
    let (sender, receiver) = oneshot::channel();
    (Handover(sender), body::from_later(receiver))
}

/// Carries bytes both ways until both have ended. Each direction ends by itself; a reset of either
/// side reaches the other, because nothing else keeps its half open.
pub(super) async fn carry(
    upgrade: OnUpgrade,
    handover: Handover,
    from_connector: Body,
    in_flight: Arc<InFlight>,
) {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            tracing::debug!(%error, "the visitor went before its WebSocket began");
            return;
        }
    };
    let (reader, mut writer) = tokio::io::split(TokioIo::new(upgraded));
    // A connector that has answered all it will may not want the visitor's bytes any more; the
    // visitor still wants the answer.
    let _unwanted = handover.0.send(reader);
    if let Err(error) = body::write_to(from_connector, &mut writer).await {
        tracing::debug!(%error, "WebSocket");
    }
    drop(in_flight);
}
