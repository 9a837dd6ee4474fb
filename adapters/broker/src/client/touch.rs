//! What goes on between the controller that leads and the broker while nothing changes.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::time::Duration;

use domain::ObjectKey;
use domain::broker::held::Place;
use domain::ports::{PortError, PortErrorKind};
use parking_lot::Mutex;
use reqwest::Method;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::calls::Ask;
use super::{BrokerEdge, Term};
use crate::wire::{EventsDocument, LeaseDocument, LeaseRequest};

/// How long is waited before the broker is asked for events again, where it did not answer.
const PAUSE: Duration = Duration::from_secs(5);

/// How often a process that does not lead looks whether it does.
const LOOKS: Duration = Duration::from_secs(1);

/// Gateways that are to be stated again.
#[derive(Debug, Default)]
pub(super) struct News {
    gateways: Mutex<BTreeSet<ObjectKey>>,
    came: Notify,
}

impl News {
    pub(super) fn add(&self, gateways: BTreeSet<ObjectKey>) {
        if !gateways.is_empty() {
            self.gateways.lock().extend(gateways);
            self.came.notify_one();
        }
    }

    /// Waits until there are some, and takes them.
    pub(super) async fn come(&self) -> BTreeSet<ObjectKey> {
        loop {
            let gateways = std::mem::take(&mut *self.gateways.lock());
            if !gateways.is_empty() {
                return gateways;
            }
            self.came.notified().await;
        }
    }
}

impl BrokerEdge {
    /// For as long as this process leads the cluster, tells the broker so, and has stated again what the broker has otherwise or
    /// tells to be otherwise. Until `stop`.
    pub async fn keep_in_touch(&self, stop: &CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.beat_on() => {}
            () = self.listen() => {}
        }
    }

    async fn beat_on(&self) {
        loop {
            tokio::time::sleep(self.until_next_heartbeat()).await;
            if let Some(place) = self.leads().await
                && let Err(error) = self.beat(place).await
            {
                tracing::debug!(%error, "the broker was not told that the cluster is there");
            }
        }
    }

    /// Give or take a fifth, so that the clusters of a broker do not all ask at once.
    fn until_next_heartbeat(&self) -> Duration {
        let [one, ..] = self.entropy.secret();
        self.heartbeat.mul_f64(0.8 + 0.4 * f64::from(one) / 255.0)
    }

    /// The place of its last statement, in its present term.
    async fn leads(&self) -> Option<Place> {
        match *self.term.lock().await {
            Term::Begun(place) => Some(place),
            Term::None | Term::Over(_) => None,
        }
    }

    /// How the term that the broker knows compares with this one.
    pub(super) async fn beat(&self, place: Place) -> Result<Ordering, PortError> {
        let listed = self.known.listed();
        let request = LeaseRequest::of(place.term, &listed);
        let ask = Ask::new(Method::PUT, &["lease"]).with(&request);
        let document: LeaseDocument = self.calls.document(ask).await?;
        let term = document.term;
        let compared = self.calls.read(document.read())?;
        let known = term.cmp(&place.term);
        let again = match known {
            Ordering::Equal => self.known.unchanged(&listed, &compared.differing),
            Ordering::Greater => {
                self.end_term(place).await;
                return Ok(known);
            }
            // Its store is one from before the term: what it tells of any statement may be of another one.
            Ordering::Less => self.begin_anew(place).await,
        };
        if !again.is_empty() {
            let gateways = again.len();
            tracing::info!(
                gateways,
                "the broker has not what was stated last; it is stated again"
            );
            self.news.add(again);
        }
        if let Some(unlisted) = self.known.news_of(compared.unlisted) {
            let names: Vec<String> = unlisted.iter().map(ToString::to_string).collect();
            let gateways = names.join(" ");
            tracing::warn!(
                gateways,
                "the broker has Gateways that this cluster has not; each stays there until it is removed by name"
            );
        }
        Ok(known)
    }

    /// Asks again and again for what the broker tells.
    async fn listen(&self) {
        let mut since = None;
        let mut is_refused = false;
        loop {
            if self.leads().await.is_none() {
                since = None;
                tokio::time::sleep(LOOKS).await;
                continue;
            }
            match self.ask_for_events(since).await {
                Ok(last) => {
                    since = Some(last);
                    is_refused = false;
                }
                Err(error) => {
                    tracing::debug!(%error, "the broker was not asked for what it tells");
                    let was_refused = is_refused;
                    is_refused = error.kind == PortErrorKind::Unauthenticated;
                    // The next statement of each is refused too, and tells so in its conditions.
                    if is_refused && !was_refused {
                        self.news.add(self.known.listed().into_keys().collect());
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Reacts to what the broker tells after a sequence. The sequence to ask with the next time.
    async fn ask_for_events(&self, since: Option<u64>) -> Result<u64, PortError> {
        let ask = Ask {
            query: since.map(|since| format!("since={since}")),
            ..Ask::new(Method::GET, &["events"])
        };
        let document: EventsDocument = self.calls.document(ask).await?;
        let (last, missed) = (document.last, document.missed);
        let told = self.calls.read(document.read())?;
        let mut again = BTreeSet::new();
        // What came before the first sequence is seen when all is stated after it.
        let mut all = missed || since.is_none();
        for (notice, detail) in told {
            let Some(notice) = notice else {
                // Of a later version: whatever it is, it is seen when all is stated again.
                all = true;
                continue;
            };
            match notice.ends() {
                true => tracing::warn!(%notice, "the broker does not serve this cluster any more"),
                false => tracing::info!(%notice, detail, "told by the broker"),
            }
            match notice.gateway() {
                Some(gateway) => drop(again.insert(gateway.clone())),
                None => all = true,
            }
        }
        if all {
            again.extend(self.known.listed().into_keys());
        }
        self.news.add(again);
        Ok(last)
    }

    /// Nobody can have begun this term since: the broker does not know it. The Gateways that were stated in it.
    async fn begin_anew(&self, unknown: Place) -> BTreeSet<ObjectKey> {
        let mut term = self.term.lock().await;
        if matches!(*term, Term::Begun(place) if place.term == unknown.term) {
            *term = Term::None;
        }
        self.known.clear()
    }
}
