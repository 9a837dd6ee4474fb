//! Finds out whether the edge can be reached over TCP again while connections are over QUIC.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::h2;
use crate::connection::Membership;
use crate::transport_kind::TransportKind;

/// The wait doubles with every probe that fails, so many times at most.
const DOUBLINGS: u32 = 4;
/// The wait while there is no connection at all.
const SOON: Duration = Duration::from_secs(1);
/// When TCP is blocked again within this time the waits go on from where they were, so that connections
/// do not change again and again.
const STEADY: Duration = Duration::from_secs(300);

/// Probes until the connector leaves, for a choice that may change. Does nothing while HTTP/2 is chosen.
pub(crate) async fn run(membership: Arc<Membership>) {
    tokio::select! {
        () = probe(&membership) => {}
        () = membership.leave.cancelled() => {}
        () = membership.abort.cancelled() => {}
    }
}

async fn probe(membership: &Membership) {
    let chooser = &membership.chooser;
    let mut waits = 0;
    loop {
        let began = Instant::now();
        chooser.other_than(TransportKind::Http2).await;
        if began.elapsed() > STEADY {
            waits = 0;
        }
        loop {
            let wait = wait(membership.options.probe_interval, waits);
            tokio::select! {
                () = chooser.other_than(TransportKind::Quic) => break,
                () = due(membership, wait) => {}
            }
            if let Some(address) = reached(membership).await {
                membership.addresses.answered(address);
                chooser.tcp_reached();
                break;
            }
            if membership
                .status
                .borrow()
                .registered_over(TransportKind::Quic)
                > 0
            {
                waits = waits.saturating_add(1);
            }
        }
    }
}

/// Waits until it is time for a probe: after `wait`, and soon where QUIC does not get through either,
/// because then it is the edge that was away, not TCP.
async fn due(membership: &Membership, wait: Duration) {
    let began = Instant::now();
    loop {
        tokio::time::sleep(SOON.min(wait)).await;
        let works = membership
            .status
            .borrow()
            .registered_over(TransportKind::Quic)
            > 0;
        if !works || began.elapsed() >= wait {
            return;
        }
    }
}

/// The first address of the edge that proves over TCP and TLS who it is, where one does.
async fn reached(membership: &Membership) -> Option<SocketAddr> {
    let addresses = membership.addresses.known().await;
    let dial = |address| async move { (address, h2::dial(membership, address).await) };
    let mut dials: FuturesUnordered<_> = addresses.into_iter().map(dial).collect();
    while let Some((address, dialled)) = dials.next().await {
        match dialled {
            Ok(_) => return Some(address),
            Err(error) => tracing::debug!(%error, "TCP to the edge is still blocked"),
        }
    }
    None
}

fn wait(interval: Duration, waits: u32) -> Duration {
    interval.saturating_mul(2_u32.pow(waits.min(DOUBLINGS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_become_rarer_up_to_a_limit() {
        let second = Duration::from_secs(1);
        for (waits, seconds) in [(0, 1), (1, 2), (3, 8), (4, 16), (5, 16), (u32::MAX, 16)] {
            assert_eq!(wait(second, waits), second * seconds);
        }
    }
}
