//! Keeps the connections of a connector: makes each one, and makes it again when it has ended.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::addresses::Failures;
use crate::connection::{ConnectionAttempt, ConnectionError, Ended, Membership};
use crate::handler::RequestHandler;
use crate::status::{ConnectionState, ConnectorStatus};
use crate::transport::choice::MovePermit;
use crate::transport::{self, probe};
use crate::transport_kind::{TransportChoice, TransportKind};
use crate::wire::rpc::RegistrationRefusal;

/// Time between the starts of connections while the first one is not registered.
const STAGGER: Duration = Duration::from_secs(1);
/// The longest wait after a first failure; grows with each further one.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
/// By what it grows. Small enough that the waits stay a fraction of the time that the edge has been away:
/// once it is back, the first of several connections is there after about a tenth of that time, and the
/// others follow it.
const GROWTH: f64 = 1.25;
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// The longest wait after connections that were accepted and lost again and again. Short, because it may be requests
/// that end them: a client that sends such requests must not keep others away for long.
const LONGEST_ALONE: Duration = Duration::from_secs(5);
/// The wait at least after a refusal that another attempt will hardly change.
const REFUSED_BACKOFF: Duration = Duration::from_secs(15);
/// The longest wait that the edge may ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(600);
/// A connection that served for so long is a good one: what failed before it is forgotten.
const LASTING: Duration = Duration::from_secs(10);
/// Connections that wait for the edge follow another's success within this time, not all at once.
const FOLLOW_WITHIN: Duration = Duration::from_secs(1);

/// Starts all connections of a connector.
pub(crate) fn start<H: RequestHandler>(membership: &Arc<Membership>, handler: Arc<H>) {
    let connections = membership.options.connections.max(1);
    let handlers = std::iter::repeat_n(handler, connections.into());
    for (index, handler) in (0..connections).zip(handlers) {
        let connection = Connection {
            membership: Arc::clone(membership),
            handler,
            index,
            ends: Ends::default(),
            failed_addresses: Failures::default(),
            over: membership.chooser.kind(),
            move_permit: None,
        };
        membership.tasks.spawn(connection.keep());
    }
    if matches!(membership.options.transport, TransportChoice::Auto { .. }) {
        membership.tasks.spawn(probe::run(Arc::clone(membership)));
        membership
            .tasks
            .spawn(tell_withheld(Arc::clone(membership)));
    }
}

/// Keeps in the status whether QUIC is withheld.
async fn tell_withheld(membership: Arc<Membership>) {
    let mut chosen = membership.chooser.watch();
    loop {
        let withheld = chosen.borrow_and_update().withheld;
        ConnectorStatus::set_quic_withheld(&membership.status, withheld);
        tokio::select! {
            changed = chosen.changed() => if changed.is_err() { return },
            () = membership.leave.cancelled() => return,
            () = membership.abort.cancelled() => return,
        }
    }
}

/// One connection by its index, over all its attempts.
struct Connection<H> {
    membership: Arc<Membership>,
    handler: Arc<H>,
    index: u8,
    ends: Ends,
    failed_addresses: Failures,
    /// The transport of the last attempt.
    over: TransportKind,
    /// Held while the connection changes its transport.
    move_permit: Option<MovePermit>,
}

/// What to do before the next attempt.
#[derive(Debug, PartialEq, Eq)]
enum Wait {
    /// For a while; less where another connection shows that the edge can be reached, or where another
    /// transport is chosen.
    ForTheEdge(Duration),
    /// For a while, whatever becomes of other connections; less where another transport is chosen.
    Alone(Duration),
    AsTold(Duration),
}

/// How often a connection ended in a row, since it last served for a while.
#[derive(Debug, Default)]
struct Ends {
    all: u32,
    /// After the edge had accepted it.
    accepted: u32,
}

impl Ends {
    /// Counts a connection that broke after it had served for a while, or that never came to be. `random`
    /// is between 0 and 1.
    ///
    /// One that had been accepted is made again at once, so that a restart of the edge costs little, but
    /// only the first time. Where connections are accepted and lost again and again, another's success says
    /// nothing: each would keep the others from ever waiting.
    fn lost(&mut self, served: Option<Duration>, random: f64) -> Wait {
        if served.is_some_and(|served| served >= LASTING) {
            *self = Self::default();
        }
        self.all = self.all.saturating_add(1);
        if served.is_none() {
            return Wait::ForTheEdge(backoff(self.all, random));
        }
        self.accepted = self.accepted.saturating_add(1);
        match self.accepted {
            1 => Wait::AsTold(Duration::ZERO),
            again => Wait::Alone(backoff(again, random).min(LONGEST_ALONE)),
        }
    }

    /// Counts a connection that the edge did not want.
    fn refused(&mut self, refusal: &RegistrationRefusal, random: f64) -> Wait {
        self.all = self.all.saturating_add(1);
        Wait::AsTold(after_refusal(refusal, backoff(self.all, random)))
    }
}

impl<H: RequestHandler> Connection<H> {
    /// Runs until the connector leaves or is dropped.
    async fn keep(mut self) {
        let membership = Arc::clone(&self.membership);
        tokio::select! {
            () = membership.abort.cancelled() => {}
            () = async {
                self.wait_for_the_first().await;
                while !membership.leave.is_cancelled() {
                    self.attempt().await;
                }
            } => {}
        }
        self.tell(ConnectionState::Stopped);
    }

    /// The first connection finds out whether the token is good before the others try it as well.
    async fn wait_for_the_first(&self) {
        if self.index == 0 {
            return;
        }
        let mut status = self.membership.status.subscribe();
        let registered = async {
            // The board is there as long as this connection.
            let _ = status.wait_for(|status| status.registered() > 0).await;
        };
        tokio::select! {
            () = registered => {}
            () = tokio::time::sleep(STAGGER * u32::from(self.index)) => {}
            () = self.membership.leave.cancelled() => {}
        }
    }

    /// One attempt, and the wait before the next one.
    async fn attempt(&mut self) {
        self.tell(ConnectionState::Connecting);
        self.choose_transport();
        let taken = tokio::select! {
            taken = self.membership.addresses.take(self.index, &mut self.failed_addresses) => taken,
            () = self.membership.leave.cancelled() => return,
        };
        let lease = match taken {
            Ok(lease) => lease,
            Err(error) => {
                let wait = self.ends.lost(None, random());
                return self.back_off(&wait, error.to_string(), false).await;
            }
        };
        let previous = u8::try_from(self.ends.all).unwrap_or(u8::MAX);
        let attempt = Arc::new(ConnectionAttempt::new(
            Arc::clone(&self.membership),
            self.index,
            previous,
            lease.address(),
            self.over,
            self.move_permit.take(),
        ));
        let ended = tokio::select! {
            ended = transport::serve(Arc::clone(&self.handler), Arc::clone(&attempt)) => ended,
            // A connection that is registered leaves by itself; one that is not has nothing to finish.
            () = self.left_unregistered(&attempt) => Ended::Left,
        };
        drop(lease);
        self.move_permit = attempt.take_permit();
        let (wait, error, disowned) = match ended {
            Ended::Left => return,
            Ended::Moved(permit) => {
                self.move_permit = Some(permit);
                return;
            }
            Ended::Lost(error) => {
                self.note_blocked(&attempt, &error).await;
                (self.lost(&attempt, &error), error.to_string(), false)
            }
            Ended::Refused(refusal) => (
                self.refused(&attempt, &refusal),
                format!("the edge refused the connection: {}", refusal.cause),
                refusal.disowns(),
            ),
        };
        self.membership.options.metrics.reconnects.inc();
        self.back_off(&wait, error, disowned).await;
    }

    /// What failed over one transport says nothing about another.
    fn choose_transport(&mut self) {
        let over = self.membership.chooser.kind();
        if over != self.over {
            self.over = over;
            self.ends = Ends::default();
            self.failed_addresses.forget();
        }
    }

    /// Lets the choice of the transport know of an attempt that TCP did not carry. While any connection
    /// works over TCP it is not what fails.
    async fn note_blocked(&self, attempt: &ConnectionAttempt, error: &ConnectionError) {
        let membership = &*self.membership;
        let works = membership
            .status
            .borrow()
            .registered_over(TransportKind::Http2)
            > 0;
        if attempt.over == TransportKind::Http2 && error.is_unanswered() && !works {
            let known = membership.addresses.known().await;
            membership.chooser.tcp_failed(attempt.edge, &known);
        }
    }

    async fn left_unregistered(&self, attempt: &ConnectionAttempt) {
        self.membership.leave.cancelled().await;
        if attempt.served().is_some() {
            std::future::pending::<()>().await;
        }
    }

    /// Notes a connection that broke or never came to be.
    fn lost(&mut self, attempt: &ConnectionAttempt, error: &ConnectionError) -> Wait {
        let served = attempt.served();
        let wait = self.ends.lost(served, random());
        if served.is_some() {
            self.failed_addresses.forget();
        }
        if error.is_unanswered() {
            self.failed_addresses.count_unanswered(attempt.edge);
        } else if wait != Wait::AsTold(Duration::ZERO) {
            self.failed_addresses.count(attempt.edge);
        }
        wait
    }

    /// Notes a connection that the edge did not want.
    fn refused(&mut self, attempt: &ConnectionAttempt, refusal: &RegistrationRefusal) -> Wait {
        self.failed_addresses.count(attempt.edge);
        self.ends.refused(refusal, random())
    }

    async fn back_off(&self, wait: &Wait, error: String, disowned: bool) {
        tracing::warn!(index = self.index, error, ?wait, "connection ended");
        if *wait != Wait::AsTold(Duration::ZERO) {
            self.tell(ConnectionState::BackingOff { error, disowned });
        }
        let waited = async {
            match *wait {
                Wait::AsTold(wait) => tokio::time::sleep(wait).await,
                Wait::ForTheEdge(wait) => tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = self.another_reached_the_edge() => {}
                    () = self.membership.chooser.other_than(self.over) => {}
                },
                Wait::Alone(wait) => tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = self.membership.chooser.other_than(self.over) => {}
                },
            }
        };
        tokio::select! {
            () = waited => {}
            () = self.membership.leave.cancelled() => {}
        }
    }

    async fn another_reached_the_edge(&self) {
        self.membership.edge_reached.notified().await;
        tokio::time::sleep(FOLLOW_WITHIN.mul_f64(random())).await;
    }

    fn tell(&self, state: ConnectionState) {
        ConnectorStatus::set(&self.membership.status, self.index, state);
    }
}

/// Exponential backoff with full jitter: evenly spread between nothing and a limit that grows with
/// every failure. `random` is between 0 and 1.
fn backoff(failures: u32, random: f64) -> Duration {
    let growths = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
    let limit = FIRST_BACKOFF.as_secs_f64() * GROWTH.powi(growths);
    Duration::from_secs_f64(limit.min(LONGEST_BACKOFF.as_secs_f64()) * random)
}

/// How long to wait after a refusal. The edge's own word counts. A connection that it has already, or a
/// tunnel that it does not know yet, is a matter of seconds; anything else hardly changes by itself.
fn after_refusal(refusal: &RegistrationRefusal, backoff: Duration) -> Duration {
    let told = refusal.retry_after.min(LONGEST_RETRY_AFTER);
    let passing = refusal.cause == "EDUPCONN" || refusal.cause.contains("Unauthorized");
    if passing || (refusal.should_retry && !told.is_zero()) {
        told.max(backoff)
    } else {
        told.max(backoff).max(REFUSED_BACKOFF)
    }
}

/// A number from 0 to 1, evenly spread.
fn random() -> f64 {
    let [a, b, c, d, ..] = Uuid::new_v4().into_bytes();
    f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_the_backoff_grows_up_to_half_a_minute() {
        for (failures, milliseconds) in [
            (0, 500),
            (1, 500),
            (2, 625),
            (3, 781),
            (10, 3725),
            (19, 27755),
            (20, 30000),
            (u32::MAX, 30000),
        ] {
            assert_eq!(backoff(failures, 1.0).as_millis(), milliseconds);
            assert_eq!(backoff(failures, 0.0), Duration::ZERO);
        }
    }

    #[test]
    fn a_lost_connection_waits_for_the_edge_only_where_the_edge_had_not_accepted_it() {
        let seconds = Duration::from_secs;
        let (lasted, accepted) = (Some(LASTING), Some(seconds(1)));
        let at_once = || Wait::AsTold(seconds(0));
        let edge = |ends| Wait::ForTheEdge(backoff(ends, 1.0));
        let alone = |ends| Wait::Alone(backoff(ends, 1.0).min(LONGEST_ALONE));
        // How the connection ended, time after time: what it had served, and the wait that follows.
        for (given, ends) in [
            ("it never got there", vec![(None, edge(1)), (None, edge(2))]),
            (
                "it lasted, each time",
                vec![(lasted, at_once()), (lasted, at_once())],
            ),
            (
                "it is accepted and lost, time after time",
                vec![
                    (accepted, at_once()),
                    (accepted, alone(2)),
                    (accepted, alone(3)),
                    (lasted, at_once()),
                ],
            ),
            (
                "the edge is away, comes back, and goes again",
                vec![
                    (None, edge(1)),
                    (None, edge(2)),
                    (accepted, at_once()),
                    (None, edge(4)),
                    (accepted, alone(2)),
                ],
            ),
        ] {
            let mut counted = Ends::default();
            for (served, then) in ends {
                assert_eq!(counted.lost(served, 1.0), then, "{given}");
            }
        }
    }

    #[test]
    fn a_refusal_is_retried_when_another_attempt_has_a_chance() {
        let seconds = Duration::from_secs;
        for (cause, should_retry, retry_after, then) in [
            ("EDUPCONN", false, 0, 1),
            ("Unauthorized: Invalid tunnel secret", false, 0, 1),
            ("EDUPCONN", true, 4, 4),
            ("Overloaded", true, 3, 3),
            ("Overloaded", true, 0, 15),
            ("Tunnel not found", false, 0, 15),
            ("Tunnel not found", false, 60, 60),
            ("Tunnel not found", true, 100_000, 600),
        ] {
            let refusal = RegistrationRefusal {
                cause: cause.to_owned(),
                retry_after: seconds(retry_after),
                should_retry,
            };
            assert_eq!(
                after_refusal(&refusal, seconds(1)),
                seconds(then),
                "{cause}"
            );
        }
    }

    #[test]
    fn a_random_number_is_from_nought_to_one() {
        for _ in 0..1000 {
            assert!((0.0..=1.0).contains(&random()));
        }
    }
}
