//! Which transport connections are made over, and when that changes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::addresses::Family;
use crate::transport_kind::{TransportChoice, TransportKind};

/// Attempts that must have failed before TCP counts as blocked.
const SEVERAL: u32 = 3;
/// Addresses that must have failed: all of them, or so many where there are more. Where the edge has
/// addresses of both families each has half of these: what fails in one may work in the other.
const ENOUGH_ADDRESSES: usize = 8;

/// What is chosen at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// New connections are made over it.
    pub(crate) kind: TransportKind,
    /// QUIC would be chosen, were it not for trailers.
    pub(crate) withheld: bool,
}

/// What is known of TCP to the edge, and what follows from it.
#[derive(Debug)]
struct Evidence {
    choice: TransportChoice,
    /// Attempts over TCP that failed since one did not.
    failures: u32,
    failed: BTreeSet<SocketAddr>,
    blocked: bool,
}

impl Evidence {
    fn chosen(&self) -> Chosen {
        let (kind, withheld) = match self.choice {
            TransportChoice::Http2 => (TransportKind::Http2, false),
            TransportChoice::Quic => (TransportKind::Quic, false),
            TransportChoice::Auto { trailers_needed } if self.blocked => match trailers_needed {
                true => (TransportKind::Http2, true),
                false => (TransportKind::Quic, false),
            },
            TransportChoice::Auto { .. } => (TransportKind::Http2, false),
        };
        Chosen { kind, withheld }
    }

    fn tcp_failed(&mut self, address: SocketAddr, known: &[SocketAddr]) {
        self.failures = self.failures.saturating_add(1);
        self.failed.insert(address);
        if self.failures >= SEVERAL && self.failed_in_every_family(known) {
            self.blocked = true;
        }
    }

    fn failed_in_every_family(&self, known: &[SocketAddr]) -> bool {
        let families: BTreeSet<_> = known.iter().copied().map(Family::of).collect();
        let share = ENOUGH_ADDRESSES / families.len().max(1);
        families.into_iter().all(|family| {
            let mut enough = 0;
            let mut failed = 0;
            for address in known.iter().filter(|a| Family::of(**a) == family) {
                enough = share.min(enough + 1);
                failed += usize::from(self.failed.contains(address));
            }
            failed >= enough
        })
    }

    fn tcp_reached(&mut self) {
        self.failures = 0;
        self.failed.clear();
        self.blocked = false;
    }

    fn set_trailers_needed(&mut self, needed: bool) {
        if let TransportChoice::Auto { trailers_needed } = &mut self.choice {
            *trailers_needed = needed;
        }
    }
}

/// The choice that all connections of a connector share.
#[derive(Debug)]
pub(crate) struct Chooser {
    evidence: Mutex<Evidence>,
    chosen: watch::Sender<Chosen>,
    /// Connections leave a transport that is no longer chosen one after the other, so that the tunnel
    /// is served all the while.
    move_permit: Arc<Semaphore>,
}

/// Permits one connection to change its transport; others wait until it is dropped.
pub(crate) type MovePermit = OwnedSemaphorePermit;

impl Chooser {
    pub(crate) fn new(choice: TransportChoice) -> Self {
        let evidence = Evidence {
            choice,
            failures: 0,
            failed: BTreeSet::new(),
            blocked: false,
        };
        Self {
            chosen: watch::Sender::new(evidence.chosen()),
            evidence: Mutex::new(evidence),
            move_permit: Arc::new(Semaphore::new(1)),
        }
    }

    /// What new connections are made over.
    pub(crate) fn kind(&self) -> TransportKind {
        self.chosen.borrow().kind
    }

    /// Changes when another transport is chosen.
    pub(crate) fn watch(&self) -> watch::Receiver<Chosen> {
        self.chosen.subscribe()
    }

    /// An attempt over TCP had no answer at `address`. `known` are all addresses of the edge.
    pub(crate) fn tcp_failed(&self, address: SocketAddr, known: &[SocketAddr]) {
        self.learn(|evidence| evidence.tcp_failed(address, known));
    }

    pub(crate) fn tcp_reached(&self) {
        self.learn(Evidence::tcp_reached);
    }

    /// Whether requests need trailers from now on.
    pub(crate) fn set_trailers_needed(&self, needed: bool) {
        self.learn(|evidence| evidence.set_trailers_needed(needed));
    }

    fn learn(&self, change: impl FnOnce(&mut Evidence)) {
        let mut evidence = self.evidence.lock();
        change(&mut evidence);
        let chosen = evidence.chosen();
        let changed = self.chosen.send_if_modified(|current| {
            let changed = *current != chosen;
            *current = chosen;
            changed
        });
        if changed {
            tracing::info!(transport = %chosen.kind, withheld = chosen.withheld, "transport chosen");
        }
    }

    /// Waits until another transport than `kind` is chosen.
    pub(crate) async fn other_than(&self, kind: TransportKind) {
        let mut chosen = self.watch();
        if chosen.wait_for(|chosen| chosen.kind != kind).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until a registered connection over `kind` is to be made over another, and it is its turn.
    /// One that works over HTTP/2 is left alone: it shows that TCP is not blocked.
    pub(crate) async fn time_to_move(&self, kind: TransportKind) -> MovePermit {
        if kind == TransportKind::Http2 {
            return std::future::pending().await;
        }
        loop {
            self.other_than(kind).await;
            let Ok(permit) = Arc::clone(&self.move_permit).acquire_owned().await else {
                return std::future::pending().await;
            };
            if self.kind() != kind {
                return permit;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, n], 7844))
    }

    const AUTO: TransportChoice = TransportChoice::Auto {
        trailers_needed: false,
    };
    const AUTO_WITH_TRAILERS: TransportChoice = TransportChoice::Auto {
        trailers_needed: true,
    };

    #[test]
    fn quic_is_chosen_after_several_failures_at_every_address_and_only_where_it_may_be() {
        let (http2, quic) = (TransportKind::Http2, TransportKind::Quic);
        // Addresses known, addresses failed at in this order, what is chosen, whether QUIC is withheld.
        for (choice, known, failed, kind, withheld) in [
            (AUTO, 1, &[0, 0][..], http2, false),
            (AUTO, 1, &[0, 0, 0], quic, false),
            (AUTO, 2, &[0, 0, 0, 0], http2, false),
            (AUTO, 2, &[0, 0, 1], quic, false),
            (AUTO, 4, &[0, 1, 2], http2, false),
            (AUTO, 4, &[0, 1, 2, 3], quic, false),
            (AUTO, 20, &[0, 1, 2, 3, 4, 5, 6], http2, false),
            (AUTO, 20, &[0, 1, 2, 3, 4, 5, 6, 7], quic, false),
            (AUTO_WITH_TRAILERS, 1, &[0, 0, 0], http2, true),
            (TransportChoice::Http2, 1, &[0, 0, 0], http2, false),
            (TransportChoice::Quic, 1, &[], quic, false),
        ] {
            let known: Vec<_> = (0..known).map(address).collect();
            let chooser = Chooser::new(choice);
            for failed in failed {
                chooser.tcp_failed(address(*failed), &known);
            }
            let then = Chosen { kind, withheld };
            assert_eq!(*chooser.watch().borrow(), then, "{choice:?} {failed:?}");
        }
    }

    #[test]
    fn tcp_counts_as_blocked_only_where_it_failed_in_every_family_of_the_edge() {
        let v6 = |n: u8| SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(n)], 7844));
        // Known addresses of IPv4 and IPv6, those that failed, what is chosen.
        for (known, failed, then) in [
            ((20, 20), (20, 0), TransportKind::Http2),
            ((20, 20), (20, 3), TransportKind::Http2),
            ((20, 20), (0, 20), TransportKind::Http2),
            ((20, 20), (4, 4), TransportKind::Quic),
            ((20, 1), (8, 0), TransportKind::Http2),
            ((20, 1), (4, 1), TransportKind::Quic),
            ((0, 20), (0, 8), TransportKind::Quic),
        ] {
            let of_both = |(of_v4, of_v6)| -> Vec<_> {
                (0..of_v4).map(address).chain((0..of_v6).map(v6)).collect()
            };
            let chooser = Chooser::new(AUTO);
            for failed in of_both(failed) {
                chooser.tcp_failed(failed, &of_both(known));
            }
            assert_eq!(chooser.kind(), then, "{known:?} known, {failed:?} failed");
        }
    }

    #[test]
    fn http2_is_chosen_again_when_the_edge_answers_over_tcp_or_trailers_are_needed() {
        let blocked = || {
            let chooser = Chooser::new(AUTO);
            for _ in 0..3 {
                chooser.tcp_failed(address(0), &[address(0)]);
            }
            assert_eq!(chooser.kind(), TransportKind::Quic);
            chooser
        };
        let chooser = blocked();
        chooser.tcp_reached();
        assert_eq!(chooser.kind(), TransportKind::Http2);
        chooser.tcp_failed(address(0), &[address(0)]);
        assert_eq!(chooser.kind(), TransportKind::Http2);

        let chooser = blocked();
        chooser.set_trailers_needed(true);
        let (kind, withheld) = (TransportKind::Http2, true);
        assert_eq!(*chooser.watch().borrow(), Chosen { kind, withheld });
        chooser.set_trailers_needed(false);
        assert_eq!(chooser.kind(), TransportKind::Quic);
    }

    #[tokio::test]
    async fn connections_change_their_transport_one_after_the_other() {
        let chooser = Chooser::new(AUTO);
        let first = chooser.time_to_move(TransportKind::Quic).await;
        {
            let second = chooser.time_to_move(TransportKind::Quic);
            let mut second = std::pin::pin!(second);
            assert!(futures_util::poll!(second.as_mut()).is_pending());
            drop(first);
            assert!(futures_util::poll!(second.as_mut()).is_ready());
        }
        let stays = std::pin::pin!(chooser.time_to_move(TransportKind::Http2));
        assert!(futures_util::poll!(stays).is_pending());
    }
}
