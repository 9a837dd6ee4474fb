//! For how long a piece of work is this broker's. Whatever is done for it at Cloudflare asks here before it changes something: a
//! broker that stood still, or that its store does not answer, writes nothing after another one may have begun.

use std::future::Future;
use std::sync::Arc;

use domain::Timestamp;
use domain::ports::{Clock, PortError};
use parking_lot::Mutex;

/// How long a piece of work is one broker's, in seconds, if the broker says nothing more. Another one takes it then: the broker is
/// gone, or its connection to the store.
pub const HELD: i64 = 30;

/// A call that begins so many seconds before that is not begun any more, as it takes a while.
const MARGIN: i64 = 5;

tokio::task_local! {
    static HOLD: Arc<Hold>;
}

/// One piece of work, by two clocks: the time of the store, by which others take it, and the machine's own, which goes on while a
/// virtual machine is suspended. What is over by one of them is over.
pub struct Hold {
    clocks: [Arc<dyn Clock>; 2],
    until: Mutex<[Timestamp; 2]>,
}

/// Two clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Moment([Timestamp; 2]);

impl Moment {
    /// By the first of both clocks.
    pub fn first(self) -> Timestamp {
        self.0[0]
    }

    /// When what is taken or held at this moment is over, by the first of both clocks.
    pub fn until(self) -> Timestamp {
        later(self.first(), HELD)
    }
}

/// What two clocks show. It is looked at before the store is asked, so that nothing is held for longer than the store says.
pub fn moment(clocks: &[Arc<dyn Clock>; 2]) -> Moment {
    Moment([clocks[0].now(), clocks[1].now()])
}

impl Hold {
    /// Work that was taken at this moment.
    pub fn since(clocks: [Arc<dyn Clock>; 2], taken: Moment) -> Arc<Self> {
        let until = Mutex::new([Timestamp(i64::MIN); 2]);
        let hold = Self { clocks, until };
        hold.extend(taken);
        Arc::new(hold)
    }

    /// The store was told at this moment that it takes longer.
    pub fn extend(&self, told: Moment) {
        *self.until.lock() = told.0.map(|told| later(told, HELD - MARGIN));
    }

    fn is_over(&self) -> bool {
        let (Moment(now), until) = (moment(&self.clocks), *self.until.lock());
        now.iter().zip(until).any(|(now, until)| *now >= until)
    }
}

/// Whether what is under way here may change something. It may where it is no piece of work.
pub fn may_write() -> Result<(), PortError> {
    let is_over = HOLD.try_with(|hold| hold.is_over());
    match is_over {
        Ok(true) => Err(PortError::unavailable(
            "not sent, as the time for this work is over and another broker may do it",
        )),
        _ => Ok(()),
    }
}

/// Does a piece of work.
pub async fn holding<F: Future>(hold: Arc<Hold>, done: F) -> F::Output {
    HOLD.scope(hold, done).await
}

fn later(moment: Timestamp, seconds: i64) -> Timestamp {
    Timestamp(moment.0.saturating_add(seconds))
}

#[cfg(test)]
mod tests {
    use domain::testing::FixedClock;

    use super::*;

    #[tokio::test]
    async fn what_was_not_extended_in_time_writes_nothing_by_whichever_clock() {
        for (of_store, of_machine, may) in [
            (0_i64, 0_i64, true),
            (24, 24, true),
            (25, 0, false),
            (0, 25, false),
            // A clock that was set back shortens nothing.
            (-3600, 24, true),
        ] {
            let clocks = [
                Arc::new(FixedClock::default()),
                Arc::new(FixedClock::default()),
            ];
            let both: [Arc<dyn Clock>; 2] = [clocks[0].clone(), clocks[1].clone()];
            let hold = Hold::since(both.clone(), moment(&both));
            let set = |later: i64| {
                clocks[0].set(Timestamp(of_store + later));
                clocks[1].set(Timestamp(of_machine + later));
            };
            set(0);
            let found = holding(hold.clone(), async { may_write().is_ok() }).await;
            assert_eq!(found, may, "{of_store} {of_machine}");
            hold.extend(moment(&both));
            set(24);
            let found = holding(hold, async { may_write().is_ok() }).await;
            assert!(found, "{of_store} {of_machine}");
        }
        assert_eq!(may_write(), Ok(()), "it is no piece of work");
    }
}
