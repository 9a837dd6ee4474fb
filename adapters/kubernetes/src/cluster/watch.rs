//! One watch: a complete list, then its changes, for as long as the process runs.
//!
//! - `wire`: what lists and events look like; `trouble`: how failures are counted.

mod news;
mod trouble;
mod wire;

use std::sync::Arc;

use kube::Client;
use kube::api::{ListParams, WatchParams};
use kube::core::Request;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};
use tokio::task::spawn_blocking;
use tokio::time::{Duration, Instant, sleep, timeout_at};
use tokio_util::compat::FuturesAsyncReadCompatExt;

use super::raw::RawObject;
use super::times::WatchTimes;
use crate::kind::Endpoint;
pub(crate) use news::News;
use trouble::{Failure, Stage, Trouble};
pub(super) use wire::{Event, Page};

/// Objects in one page of a list: bounds the memory that reading takes.
const PAGE: u32 = 500;

/// Seconds after which the API server ends a watch, so that a connection that is dead unnoticed is replaced.
const WATCH_SECONDS: u32 = 240;

/// How much longer than [`WATCH_SECONDS`] a silent connection is waited for.
const GRACE: Duration = Duration::from_secs(15);

/// The longest silence within an answer: that of a watch in which nothing happens.
pub(crate) const LONGEST_SILENCE: Duration =
    Duration::from_secs(WATCH_SECONDS as u64 + GRACE.as_secs());

/// Reads one object that was found at an endpoint. Runs on threads where it may take its time.
pub(crate) type Reader<T> = Arc<dyn Fn(&Endpoint, &RawObject<'_>) -> T + Send + Sync>;

pub(crate) struct Watch<T> {
    pub(crate) client: Client,
    /// Where the kind may be, best first.
    pub(crate) endpoints: Vec<Endpoint>,
    /// What is watched, for messages.
    pub(crate) name: String,
    /// Only `metadata` is asked for.
    pub(crate) metadata_only: bool,
    pub(crate) reader: Reader<T>,
    pub(crate) times: WatchTimes,
}

/// A list, and where to go on from.
struct Listing<T> {
    endpoint: Endpoint,
    objects: Vec<T>,
    version: String,
}

/// A watch that runs.
struct Run<T, F> {
    watch: Watch<T>,
    tell: F,
    trouble: Trouble,
    /// A list that is passed on once the watch is known to work.
    held: Option<Vec<T>>,
}

impl<T: Send + 'static> Watch<T> {
    /// Calls `tell` for all news, without end. `tell` must not block.
    pub(crate) async fn run(self, tell: impl FnMut(News<T>) + Send) {
        let run = Run {
            trouble: Trouble::new(self.name.clone(), self.times),
            watch: self,
            tell,
            held: None,
        };
        run.go_on().await;
    }

    /// What is there now, without a watch.
    pub(super) async fn once(&self) -> News<T> {
        match self.list().await {
            Ok(listing) => News::Listed(listing.objects),
            Err(failure) if failure.is_absent() => News::Absent,
            Err(failure) => News::Failing(failure.to_string()),
        }
    }

    async fn list(&self) -> Result<Listing<T>, Failure> {
        let mut endpoints = self.endpoints.iter().peekable();
        loop {
            let endpoint = endpoints.next().expect("a kind is somewhere");
            match self.list_at(endpoint).await {
                Err(failure) if failure.is_absent() && endpoints.peek().is_some() => {}
                answer => return answer,
            }
        }
    }

    async fn list_at(&self, endpoint: &Endpoint) -> Result<Listing<T>, Failure> {
        let mut params = ListParams::default().limit(PAGE);
        let mut objects = Vec::new();
        loop {
            let request = Request::new(&endpoint.path);
            let request = match self.metadata_only {
                true => request.list_metadata(&params),
                false => request.list(&params),
            };
            let request = request.map_err(kube::Error::BuildRequest)?;
            let text = self.client.request_text(request).await?;
            let page = self.read(endpoint, move |reader| Page::read(&text, reader));
            let page = page.await?;
            objects.extend(page.items);
            if page.token.is_empty() {
                return Ok(Listing {
                    endpoint: endpoint.clone(),
                    objects,
                    version: page.version,
                });
            }
            params = params.continue_token(&page.token);
        }
    }

    /// Reads an answer beside the threads that wait for input: what users write may take a while to be judged.
    async fn read<R: Send + 'static>(
        &self,
        endpoint: &Endpoint,
        read: impl FnOnce(&dyn Fn(&RawObject<'_>) -> T) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, Failure> {
        let (reader, endpoint) = (self.reader.clone(), endpoint.clone());
        let done = spawn_blocking(move || read(&|object| reader(&endpoint, object))).await;
        done.unwrap_or(Err(Failure::Answer("reading it was stopped")))
    }

    async fn begin(
        &self,
        endpoint: &Endpoint,
        version: &str,
    ) -> Result<impl AsyncBufRead + Send + use<T>, Failure> {
        let params = WatchParams::default().timeout(WATCH_SECONDS);
        let request = Request::new(&endpoint.path);
        let request = match self.metadata_only {
            true => request.watch_metadata(&params, version),
            false => request.watch(&params, version),
        };
        let request = request.map_err(kube::Error::BuildRequest)?;
        let answer = self.client.request_stream(request).await?;
        Ok(Box::pin(answer.compat()))
    }
}

impl<T: Send + 'static, F: FnMut(News<T>) + Send> Run<T, F> {
    async fn go_on(mut self) {
        let mut was_there = false;
        loop {
            match self.watch.list().await {
                Ok(listing) => {
                    was_there = true;
                    self.held = Some(listing.objects);
                    self.passed(Stage::List);
                    self.follow(&listing.endpoint, listing.version).await;
                }
                // A kind that was there counts as gone only after it was missing for a while.
                Err(failure) if failure.is_absent() && (!was_there || self.trouble.lasts()) => {
                    was_there = false;
                    self.trouble.end();
                    (self.tell)(News::Absent);
                    sleep(self.watch.times.look_again).await;
                }
                Err(failure) => self.failed(Stage::List, &failure).await,
            }
        }
    }

    /// Watches from a version on, again and again, until it is time to list anew.
    async fn follow(&mut self, endpoint: &Endpoint, mut version: String) {
        loop {
            let stream = match self.watch.begin(endpoint, &version).await {
                Ok(stream) => stream,
                Err(failure) => {
                    self.failed(Stage::Begin, &failure).await;
                    if failure.needs_list() {
                        return;
                    }
                    continue;
                }
            };
            self.passed(Stage::Begin);
            if let Err(failure) = self.read_events(endpoint, stream, &mut version).await {
                self.failed(Stage::Events, &failure).await;
                if failure.needs_list() {
                    return;
                }
            }
        }
    }

    /// Takes events until the watch ends. One that ends at once and brings nothing has failed.
    async fn read_events(
        &mut self,
        endpoint: &Endpoint,
        mut stream: impl AsyncBufRead + Unpin + Send,
        version: &mut String,
    ) -> Result<(), Failure> {
        let began = Instant::now();
        let mut works = false;
        let mut line = Vec::new();
        loop {
            let patience = match works {
                true => LONGEST_SILENCE,
                false => self.watch.times.works_after,
            };
            // Cut short, it leaves in `line` what was read so far.
            let read = timeout_at(began + patience, stream.read_until(b'\n', &mut line)).await;
            match read {
                Err(_) if works => return Ok(()),
                Err(_) => {
                    works = true;
                    self.passed(Stage::Events);
                    continue;
                }
                Ok(read) => read.map_err(kube::Error::ReadEvents)?,
            };
            if line.last() != Some(&b'\n') {
                let at_once = Failure::Answer("the API server ends the watch at once");
                return works.then_some(()).ok_or(at_once);
            }
            let text = std::mem::take(&mut line);
            let read = self
                .watch
                .read(endpoint, move |reader| Event::read(&text, reader));
            let Event {
                version: seen,
                news,
            } = read.await?;
            *version = seen;
            works = true;
            self.passed(Stage::Events);
            if let Some(news) = news {
                (self.tell)(news);
            }
        }
    }

    /// A stage went well.
    fn passed(&mut self, stage: Stage) {
        let was_told = self.trouble.passed(stage);
        if self.trouble.is_told() {
            return;
        }
        match self.held.take() {
            Some(objects) => (self.tell)(News::Listed(objects)),
            None if was_told => (self.tell)(News::Alive),
            None => {}
        }
    }

    /// Reports failures once they have lasted for long enough, and waits before the next attempt.
    async fn failed(&mut self, stage: Stage, failure: &Failure) {
        let pause = self.trouble.met(stage, failure);
        if self.trouble.is_told() {
            (self.tell)(News::Failing(failure.to_string()));
        }
        sleep(pause).await;
    }
}
