//! Where a broker ends.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use adapter_broker_store::testing::Commits;
use async_trait::async_trait;
use domain::ports::PortError;
use domain::testing::{Call, Moment, Observer};
use tokio_util::sync::CancellationToken;

/// The end of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ending {
    /// Writes in its store and at Cloudflare are counted from 1.
    pub(super) write: usize,
    pub(super) moment: Moment,
}

/// The writes of one broker. Once it has ended, none begins and no call to Cloudflare is made.
#[derive(Clone)]
pub(super) struct Writes(Arc<Counted>);

struct Counted {
    ending: Option<Ending>,
    begun: AtomicUsize,
    /// The write after which it ends has begun.
    is_due: AtomicBool,
    ended: CancellationToken,
}

impl Writes {
    pub(super) fn until(ending: Option<Ending>) -> Self {
        Self(Arc::new(Counted {
            ending,
            begun: AtomicUsize::new(0),
            is_due: AtomicBool::new(false),
            ended: CancellationToken::new(),
        }))
    }

    pub(super) fn begun(&self) -> usize {
        self.0.begun.load(Ordering::SeqCst)
    }

    /// Cancelled when the broker ends.
    pub(super) fn ended(&self) -> &CancellationToken {
        &self.0.ended
    }

    async fn go_on(&self) {
        if self.0.ended.is_cancelled() {
            pending::<()>().await;
        }
    }

    async fn begin(&self) {
        self.go_on().await;
        let number = self.0.begun.fetch_add(1, Ordering::SeqCst) + 1;
        match self.0.ending {
            Some(Ending { write, moment }) if write == number => match moment {
                Moment::Before => self.0.ended.cancel(),
                Moment::After => self.0.is_due.store(true, Ordering::SeqCst),
            },
            _ => {}
        }
        self.go_on().await;
    }

    fn done(&self) {
        if self.0.is_due.load(Ordering::SeqCst) {
            self.0.ended.cancel();
        }
    }
}

#[async_trait]
impl Commits for Writes {
    async fn before(&self) {
        self.begin().await;
    }

    async fn after(&self) {
        self.done();
        self.go_on().await;
    }
}

#[async_trait]
impl Observer for Writes {
    async fn before(&self, call: &Call<'_>) -> Option<(Moment, PortError)> {
        match call.kind.is_write() {
            true => self.begin().await,
            false => self.go_on().await,
        }
        None
    }

    fn after(&self, call: &Call<'_>, _: Option<&PortError>) {
        if call.kind.is_write() {
            self.done();
        }
    }
}
