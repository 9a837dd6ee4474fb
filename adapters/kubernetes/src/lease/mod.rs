//! Leadership by a Lease (`coordination.k8s.io/v1`).
//!
//! One instance holds the Lease and renews it; the others watch it and take it once it was given up, or was not
//! renewed for its duration by their own clock. The holder counts itself leader for two thirds of the duration after the start of
//! its last successful renewal and no longer, whether it can reach the API server or not: it has stopped
//! before another may begin, and clocks need not agree.

mod options;
mod record;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::ports::Leadership;
use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::coordination::v1::Lease as Object;
use kube::api::{Api, PostParams, WatchEvent, WatchParams};
use kube::{Client, ResourceExt};
use tokio::sync::watch::Sender;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::client::FIELD_MANAGER;
use crate::failure::{is_conflict, told};
pub use options::LeaseOptions;
use record::{Record, holder_of};

/// Competes for a Lease until it is stopped, then gives it up.
pub struct Lease {
    options: LeaseOptions,
    api: Api<Object>,
    standing: Sender<Standing>,
    /// Number of the standing that [`changed`](Lease::changed) last returned for.
    told: AtomicU64,
    /// Cancelled once this instance has stopped competing and has given up what it had.
    released: CancellationToken,
}

/// How things stand, as far as this instance knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Standing {
    /// Grows with each change.
    number: u64,
    /// The term, while this instance leads, and until when.
    leads: Option<(u64, Instant)>,
    /// `spec.holderIdentity`.
    holder: Option<String>,
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Leadership for Lease {
    /// `spec.leaseTransitions` since this instance took the Lease. It grows each time that an instance takes
    /// it, the same one after a restart too.
    fn term(&self) -> Option<u64> {
        let (term, until) = self.standing.borrow().leads?;
        (Instant::now() < until).then_some(term)
    }
}

impl Lease {
    /// Competes until `stop`. Must be called within a tokio runtime.
    pub fn start(client: Client, options: LeaseOptions, stop: CancellationToken) -> Arc<Self> {
        let lease = Arc::new(Self {
            api: Api::namespaced(client, &options.namespace),
            options,
            standing: Sender::default(),
            told: AtomicU64::new(0),
            released: CancellationToken::new(),
        });
        let runner = lease.clone();
        tokio::spawn(async move {
            stop.run_until_cancelled(runner.compete()).await;
            runner.give_up().await;
            runner.released.cancel();
        });
        lease
    }

    /// Returns once this instance was stopped and has given up the Lease, as far as the API server could be
    /// reached.
    pub async fn released(&self) {
        self.released.cancelled().await;
    }

    /// Where the leader is reached; `None` while there is none, or none is known.
    pub fn leader_address(&self) -> Option<String> {
        let standing = self.standing.borrow();
        let (_, address) = standing.holder.as_deref()?.rsplit_once('_')?;
        (!address.is_empty()).then(|| address.to_owned())
    }

    /// Returns once the term or the leader's address is another one than when it last returned. For one caller
    /// at a time; cancel safe.
    pub async fn changed(&self) {
        let mut standings = self.standing.subscribe();
        let told = self.told.load(Ordering::SeqCst);
        let newer = standings.wait_for(|standing| standing.number > told).await;
        if let Ok(standing) = newer {
            self.told.fetch_max(standing.number, Ordering::SeqCst);
        }
    }

    /// Follows until the Lease is free, leads until it is lost, and so on.
    async fn compete(&self) {
        loop {
            let free = self.wait_until_free().await;
            let started = Instant::now();
            match self.bounded(self.take(free.as_ref())).await {
                Ok(taken) => self.lead(taken, started).await,
                Err(problem) => {
                    tracing::debug!(problem, "the Lease was not taken");
                    sleep(self.options.renew).await;
                }
            }
        }
    }

    /// The Lease as it is once it may be taken; `None` where there is none.
    async fn wait_until_free(&self) -> Option<Object> {
        let mut record = Record::default();
        loop {
            match self.bounded(self.api.get_opt(&self.options.name)).await {
                Err(problem) => {
                    tracing::debug!(problem, "the Lease cannot be read");
                    sleep(self.options.renew).await;
                }
                Ok(None) => return None,
                Ok(Some(lease)) => {
                    self.note(None, holder_of(&lease));
                    let version = lease.resource_version().unwrap_or_default();
                    let free_at = record.observe(&lease, Instant::now());
                    if free_at <= Instant::now() {
                        return Some(lease);
                    }
                    tokio::select! {
                        () = sleep_until(free_at) => {}
                        () = self.wait_for_event(&version) => {}
                    }
                }
            }
        }
    }

    /// Returns once something may have happened to the Lease.
    async fn wait_for_event(&self, version: &str) {
        let params = WatchParams::default().fields(&format!("metadata.name={}", self.options.name));
        let pause = self.options.renew;
        let Ok(events) = self.api.watch(&params, version).await else {
            // No permission to watch, or no connection: looking again does as well.
            return sleep(pause).await;
        };
        let mut events = std::pin::pin!(events.into_stream());
        loop {
            match events.next().await {
                Some(Ok(WatchEvent::Bookmark(_))) => {}
                Some(Ok(
                    WatchEvent::Added(_) | WatchEvent::Modified(_) | WatchEvent::Deleted(_),
                )) => {
                    return;
                }
                Some(Ok(WatchEvent::Error(_)) | Err(_)) | None => return sleep(pause / 4).await,
            }
        }
    }

    /// Writes this instance into the Lease, with a new term.
    async fn take(&self, free: Option<&Object>) -> Result<Object, kube::Error> {
        let now = jiff::Timestamp::now();
        let next = record::taken(free, &self.options, now);
        match free {
            None => self.api.create(&params(), &next).await,
            Some(_) => self.api.replace(&self.options.name, &params(), &next).await,
        }
    }

    /// Renews until that fails for too long or another instance has the Lease.
    async fn lead(&self, mut lease: Object, mut renewed: Instant) {
        let term = record::term(&lease);
        tracing::info!(term, "this instance leads");
        self.note(
            Some((term, renewed + self.options.trusted())),
            Some(self.options.holder()),
        );
        loop {
            let until = renewed + self.options.trusted();
            tokio::select! {
                biased;
                () = sleep_until(until) => break,
                () = sleep(self.options.renew) => {}
            }
            let started = Instant::now();
            let renewal = self.renew(&lease);
            let renewed_lease = tokio::select! {
                biased;
                () = sleep_until(until) => break,
                renewal = renewal => renewal,
            };
            match renewed_lease {
                Renewal::Done(next) => {
                    lease = *next;
                    renewed = started;
                    let until = renewed + self.options.trusted();
                    // Only the end moves, so there is no change to report.
                    self.standing.send_if_modified(|standing| {
                        standing.leads = Some((term, until));
                        false
                    });
                }
                Renewal::Again => {}
                Renewal::Lost => break,
            }
        }
        tracing::info!(term, "this instance leads no longer");
        self.note(None, None);
    }

    async fn renew(&self, lease: &Object) -> Renewal {
        let next = record::renewed(lease, jiff::Timestamp::now());
        let params = params();
        let written = self.api.replace(&self.options.name, &params, &next);
        match timeout(self.options.renew, written).await {
            Ok(Ok(lease)) => Renewal::Done(Box::new(lease)),
            // Another writer changed it: what this instance knows of it is out of date.
            Ok(Err(error)) if is_conflict(&error) => self.after_conflict(lease).await,
            Ok(Err(error)) => {
                tracing::warn!(error = %told(&error), "the Lease was not renewed");
                Renewal::Again
            }
            Err(_) => self.after_conflict(lease).await,
        }
    }

    /// A lost answer to a renewal, or a new annotation, must not cost the leadership.
    async fn after_conflict(&self, ours: &Object) -> Renewal {
        match self.bounded(self.api.get_opt(&self.options.name)).await {
            Ok(Some(lease)) if record::is_same_term(&lease, ours) => {
                let next = record::renewed(&lease, jiff::Timestamp::now());
                match self
                    .bounded(self.api.replace(&self.options.name, &params(), &next))
                    .await
                {
                    Ok(lease) => Renewal::Done(Box::new(lease)),
                    Err(_) => Renewal::Again,
                }
            }
            Ok(_) => Renewal::Lost,
            Err(_) => Renewal::Again,
        }
    }

    /// Frees the Lease, if this instance has it. From before the call on it does not lead any more.
    async fn give_up(&self) {
        let led = self.standing.borrow().leads.map(|(term, _)| term);
        self.note(None, None);
        let Some(term) = led else {
            return;
        };
        let found = self.bounded(self.api.get_opt(&self.options.name)).await;
        let Ok(Some(lease)) = found else {
            return;
        };
        if record::term(&lease) != term || holder_of(&lease) != Some(self.options.holder()) {
            return;
        }
        let free = record::freed(&lease, jiff::Timestamp::now());
        let params = params();
        let freed = self.api.replace(&self.options.name, &params, &free);
        if let Err(problem) = self.bounded(freed).await {
            tracing::debug!(problem, "the Lease was not given up; it runs out");
        }
    }

    /// A call that is not waited for longer than a renewal takes.
    async fn bounded<T>(
        &self,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, String> {
        match timeout(self.options.renew, call).await {
            Ok(answer) => answer.map_err(|error| told(&error)),
            Err(_) => Err("the API server did not answer in time".to_owned()),
        }
    }

    fn note(&self, leads: Option<(u64, Instant)>, holder: Option<String>) {
        self.standing.send_if_modified(|standing| {
            let term = |leads: &Option<(u64, Instant)>| leads.map(|(term, _)| term);
            let is_news = term(&standing.leads) != term(&leads) || standing.holder != holder;
            standing.leads = leads;
            standing.holder = holder;
            standing.number += u64::from(is_news);
            is_news
        });
    }
}

/// How a renewal went.
enum Renewal {
    Done(Box<Object>),
    /// It is not known: try again while there is time.
    Again,
    /// Another instance has it, or it is gone.
    Lost,
}

fn params() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}
