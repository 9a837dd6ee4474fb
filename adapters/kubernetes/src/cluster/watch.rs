//! One watch: a complete list, then its changes, for as long as the process runs.
//!
//! Objects come as JSON: whatever is in them, the list and the watch go on.

use std::time::Duration;

use futures_util::StreamExt;
use kube::Client;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::Request;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::WatchTimes;
use super::kind::Endpoint;
use crate::failure::{is_absent, is_expired, told};

/// Objects in one page of a list: bounds the memory that reading takes.
const PAGE: u32 = 500;

/// Seconds after which the API server ends a watch, so that a connection that is dead unnoticed is replaced.
const WATCH_SECONDS: u32 = 240;

/// How much longer than [`WATCH_SECONDS`] a silent connection is waited for.
const GRACE: Duration = Duration::from_secs(15);

/// The longest time in which nothing comes of an answer that goes on: that of a watch in which nothing happens.
pub(crate) const LONGEST_SILENCE: Duration =
    Duration::from_secs(WATCH_SECONDS as u64 + GRACE.as_secs());

/// What a watch has to say.
#[derive(Debug)]
pub(crate) enum News {
    /// All objects there are; others are gone.
    Listed(Vec<Value>),
    /// One is new or changed.
    Put(Value),
    /// One is gone.
    Gone(Value),
    /// What was said before still holds.
    Alive,
    /// The kind does not exist here.
    Absent,
    /// Reading fails, and has for a while.
    Failing(String),
}

/// What to watch.
pub(crate) struct Watch {
    pub(crate) client: Client,
    /// Where the kind may be, best first.
    pub(crate) endpoints: Vec<Endpoint>,
    /// `kind` of the objects: items of a list do not carry it.
    pub(crate) kind: &'static str,
    /// Restricts it to some objects.
    pub(crate) field_selector: Option<String>,
    pub(crate) times: WatchTimes,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMeta,
    #[serde(default)]
    items: Option<Vec<Value>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PageMeta {
    resource_version: String,
    r#continue: String,
}

/// A list, and where to go on from.
struct Listing {
    endpoint: Endpoint,
    objects: Vec<Value>,
    version: String,
}

/// Why a watch ended without a failure of the connection.
enum Ended {
    /// At its time: it goes on from the last version.
    InTime,
    /// The last version is too old: list again.
    Expired,
}

impl Watch {
    /// Tells of everything, forever. `tell` must not block.
    pub(crate) async fn run(self, mut tell: impl FnMut(News) + Send) {
        let mut trouble = Trouble::new(self.times);
        let mut was_there = false;
        loop {
            let listing = match self.list().await {
                Ok(listing) => listing,
                // What was there does not count as gone at the first word of it.
                Err(error) if is_absent(&error) && (!was_there || trouble.lasts()) => {
                    was_there = false;
                    trouble = Trouble::new(self.times);
                    tell(News::Absent);
                    sleep(self.times.look_again).await;
                    continue;
                }
                Err(error) => {
                    trouble.met(&error, &mut tell).await;
                    continue;
                }
            };
            trouble = Trouble::new(self.times);
            was_there = true;
            tell(News::Listed(listing.objects));
            self.follow(&listing.endpoint, listing.version, &mut trouble, &mut tell)
                .await;
        }
    }

    /// Watches from a version on, again and again, until it is time to list anew.
    async fn follow(
        &self,
        endpoint: &Endpoint,
        mut version: String,
        trouble: &mut Trouble,
        tell: &mut (impl FnMut(News) + Send),
    ) {
        loop {
            let ended = self.watch(endpoint, &mut version, trouble, tell).await;
            match ended {
                Ok(Ended::InTime) => {}
                Ok(Ended::Expired) => return,
                Err(error) if is_expired(&error) || is_absent(&error) => return,
                Err(error) => trouble.met(&error, tell).await,
            }
        }
    }

    async fn list(&self) -> Result<Listing, kube::Error> {
        let mut endpoints = self.endpoints.iter().peekable();
        loop {
            let endpoint = endpoints.next().expect("a kind is somewhere");
            match self.list_at(endpoint).await {
                Err(error) if is_absent(&error) && endpoints.peek().is_some() => {}
                answer => return answer,
            }
        }
    }

    async fn list_at(&self, endpoint: &Endpoint) -> Result<Listing, kube::Error> {
        let mut params = ListParams::default().limit(PAGE);
        params.field_selector.clone_from(&self.field_selector);
        let mut objects = Vec::new();
        loop {
            let request = Request::new(&endpoint.path).list(&params);
            let request = request.map_err(kube::Error::BuildRequest)?;
            let page = self.client.request::<Page>(request).await?;
            let items = page.items.unwrap_or_default().into_iter();
            objects.extend(items.map(|item| self.completed(endpoint, item)));
            if page.metadata.r#continue.is_empty() {
                return Ok(Listing {
                    endpoint: endpoint.clone(),
                    objects,
                    version: page.metadata.resource_version,
                });
            }
            params = params.continue_token(&page.metadata.r#continue);
        }
    }

    async fn watch(
        &self,
        endpoint: &Endpoint,
        version: &mut String,
        trouble: &mut Trouble,
        tell: &mut (impl FnMut(News) + Send),
    ) -> Result<Ended, kube::Error> {
        let mut params = WatchParams::default().timeout(WATCH_SECONDS);
        params.field_selector.clone_from(&self.field_selector);
        let request = Request::new(&endpoint.path).watch(&params, version);
        let request = request.map_err(kube::Error::BuildRequest)?;
        let events = self.client.request_events::<Value>(request).await?;
        let mut events = std::pin::pin!(events);
        *trouble = Trouble::new(self.times);
        tell(News::Alive);
        let until = Instant::now() + LONGEST_SILENCE;
        while let Ok(Some(event)) = timeout(until - Instant::now(), events.next()).await {
            let news = match event? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    note(version, &object);
                    News::Put(self.completed(endpoint, object))
                }
                WatchEvent::Deleted(object) => {
                    note(version, &object);
                    News::Gone(self.completed(endpoint, object))
                }
                WatchEvent::Bookmark(bookmark) => {
                    *version = bookmark.metadata.resource_version;
                    continue;
                }
                WatchEvent::Error(status) if status.code == 410 => return Ok(Ended::Expired),
                WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
            };
            tell(news);
        }
        Ok(Ended::InTime)
    }

    /// An item of a list with the kind and version that the list alone carries, and without what only the API
    /// server needs.
    fn completed(&self, endpoint: &Endpoint, mut object: Value) -> Value {
        if let Value::Object(fields) = &mut object {
            let mut put = |name: &str, text: &str| {
                fields.entry(name).or_insert_with(|| text.into());
            };
            put("apiVersion", endpoint.api_version);
            put("kind", self.kind);
            if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
                metadata.remove("managedFields");
            }
        }
        object
    }
}

fn note(version: &mut String, object: &Value) {
    if let Some(seen) = object["metadata"]["resourceVersion"].as_str() {
        seen.clone_into(version);
    }
}

/// Failures since reading last went well.
struct Trouble {
    times: WatchTimes,
    since: Option<Instant>,
    pause: Duration,
}

impl Trouble {
    fn new(times: WatchTimes) -> Self {
        Self {
            times,
            since: None,
            pause: times.first_pause,
        }
    }

    /// Whether it has gone on for long enough to be told.
    fn lasts(&self) -> bool {
        self.since
            .is_some_and(|since| since.elapsed() >= self.times.unknown_after)
    }

    /// Tells of it once it has gone on for long enough, and waits before the next attempt.
    async fn met(&mut self, error: &kube::Error, tell: &mut (impl FnMut(News) + Send)) {
        let since = *self.since.get_or_insert_with(Instant::now);
        let left = (since + self.times.unknown_after).saturating_duration_since(Instant::now());
        tracing::debug!(error = %told(error), "a watch failed");
        if left.is_zero() {
            tell(News::Failing(told(error)));
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(self.times.longest_pause);
        match left.is_zero() || left > pause {
            true => sleep(pause).await,
            // Not to be late with the news.
            false => sleep(left).await,
        }
    }
}
