//! The engine of one Gateway: from a request to an answer, in these phases:
//!
//! 1. request head: `headers` and limits, the rule that takes it, the rule's `filters`;
//! 2. backend: one by weight, its own filters;
//! 3. `attempts`: endpoints, each within its `timing`;
//! 4. `response` head: the filters of the backend, then of the rule;
//! 5. body: `crate::body`, a `tunnel` after a 101.

mod attempts;
mod filters;
mod framing;
mod headers;
mod refusal_log;
mod respond;
mod response;
mod table;
mod timing;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use domain::endpoint_policy::EndpointPolicy;
use domain::gateway::PathMatch;
use domain::route_table::{
    Arrival, Matcher, RequestHead, RouteTable, Selected, UpstreamProtocol, canonical_path,
};
use http::header::HeaderValue;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use parking_lot::{Mutex, MutexGuard};

use crate::admission::Admitted;
use crate::body::{ResponseBody, tunnel};
use crate::local_reply::LocalReply;
use crate::memory;
use crate::metrics::GatewayMetrics;
use crate::trailers;
use crate::upstream::{ClientBody, UploadHandle, Upstream, random_number};
use crate::{BoxError, Limits, Memory};
use attempts::Answered;
use refusal_log::RefusalLog;
use table::{Endpoints, ReadyBackend, ReadyRule, ReadyTable};
use timing::Timing;

pub(crate) use headers::requested_upgrade;

/// How long a client may take nothing of an answer while memory is short.
const SHORT_PATIENCE: Duration = Duration::from_secs(10);

/// Serves the requests of one Gateway from one route table.
#[derive(Debug)]
pub struct Engine {
    table: ArcSwapOption<ReadyTable>,
    present: Mutex<Present>,
    /// Calls that set or clear the table, so far.
    calls: AtomicU64,
    limits: Arc<Limits>,
    policy: EndpointPolicy,
    memory: Arc<Memory>,
    metrics: Arc<GatewayMetrics>,
    refusals: RefusalLog,
}

/// What belongs to the present table, and which call it came by.
#[derive(Debug, Default)]
struct Present {
    endpoints: Endpoints,
    call: u64,
}

/// Where a request goes whose rule is known. Moved once, where an `async fn` in between would copy the request and the
/// answer.
enum Way<'t> {
    /// To a backend's endpoints, within these times.
    Backend(&'t Upstream, Timing),
    /// Nowhere: a filter has answered.
    Answered(Box<Response<ResponseBody>>),
}

/// A client's request, taken apart.
struct Asked {
    arrival: Arrival,
    head: Parts,
    body: Option<ClientBody>,
    upgrade: Option<HeaderValue>,
    admitted: Admitted,
}

impl Engine {
    /// An engine without a table: it answers 503 until one is loaded.
    /// It connects to the endpoints that `policy` permits, and shares `memory` with the other engines of the process.
    pub fn new(
        limits: Limits,
        policy: EndpointPolicy,
        memory: Arc<Memory>,
        metrics: Arc<GatewayMetrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            table: ArcSwapOption::empty(),
            present: Mutex::default(),
            calls: AtomicU64::new(0),
            limits: Arc::new(limits),
            policy,
            memory,
            metrics,
            refusals: RefusalLog::default(),
        })
    }

    /// Serves new requests from this table. Requests under way keep the one they started with. Endpoints
    /// in both tables keep their connections; an endpoint that is gone gets no new request, its idle
    /// connections are closed, the others when their request is done.
    ///
    /// Compiles the patterns that the table before did not have, so it may take a while: not for a thread
    /// that serves requests. Of calls that overlap the last one counts.
    pub fn load(&self, table: Arc<RouteTable>) {
        let call = self.next_call();
        let before = self.table.load_full();
        let before = before.as_deref().map(|before| &before.matcher);
        let matcher = Matcher::following(before, table);
        let Some(mut present) = self.enter(call) else {
            return;
        };
        let table = ReadyTable::new(
            matcher,
            &mut present.endpoints,
            self.policy,
            &self.limits,
            &self.metrics,
        );
        self.table.store(Some(Arc::new(table)));
    }

    /// Serves nothing: 503, as before the first table.
    pub fn clear(&self) {
        let Some(mut present) = self.enter(self.next_call()) else {
            return;
        };
        self.table.store(None);
        for (_, endpoint) in present.endpoints.drain() {
            endpoint.retire();
        }
    }

    fn next_call(&self) -> u64 {
        self.calls.fetch_add(1, Relaxed) + 1
    }

    /// What a call may change; `None` where a later call was faster.
    fn enter(&self, call: u64) -> Option<MutexGuard<'_, Present>> {
        let mut present = self.present.lock();
        if present.call > call {
            return None;
        }
        present.call = call;
        Some(present)
    }

    /// The table that new requests are served from.
    pub fn table(&self) -> Option<Arc<RouteTable>> {
        let table = self.table.load();
        table
            .as_ref()
            .map(|table| Arc::clone(table.matcher.table()))
    }

    /// How long a client may take nothing of an answer: as long as other silence may last, but while memory is short, or
    /// has no room for another large answer, only 10 s.
    pub fn patience(&self) -> Duration {
        match self.memory.is_short() || !self.memory.has_room_for_large() {
            true => SHORT_PATIENCE.min(self.limits.body_idle_timeout),
            false => self.limits.body_idle_timeout,
        }
    }

    /// Requests being served, upgraded ones included: a drain is over when it is 0.
    pub fn in_flight(&self) -> usize {
        self.metrics.in_flight()
    }

    /// The limits it was made with.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Answers a request. Cancel safe: dropping the future, or the answer's body before its end, gives
    /// the request up at the endpoint.
    ///
    /// A request to upgrade (WebSocket) comes with `Connection: Upgrade` and `Upgrade`, and its body is
    /// the client's byte stream. Where the endpoint agrees, the answer is a 101 whose body is the
    /// endpoint's byte stream. The end of either body ends that direction only.
    pub async fn serve<B>(&self, arrival: Arrival, request: Request<B>) -> Response<ResponseBody>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let is_grpc = respond::is_grpc(request.headers());
        let is_head = request.method() == Method::HEAD;
        let mut response = self.admit(arrival, request).await;
        if is_head {
            respond::answer_head(&mut response);
        }
        if is_grpc {
            respond::tell_grpc(&mut response);
        }
        response
    }

    /// Turns away what cannot be a request for any rule.
    async fn admit<B>(&self, arrival: Arrival, request: Request<B>) -> Response<ResponseBody>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (head, body) = request.into_parts();
        let body: Option<ClientBody> = if body.is_end_stream() {
            None
        } else {
            let underscored = self.limits.underscored_headers;
            let filter = move |frame| trailers::from_client(frame, underscored);
            Some(Box::pin(body.map_err(Into::into).map_frame(filter)))
        };
        let admitted = match self.make_room(&head) {
            Ok(admitted) => admitted,
            Err(reply) => return self.unrouted(reply),
        };
        let upgrade = requested_upgrade(&head.headers);
        let has_body = body.is_some() && upgrade.is_none();
        if head.method == Method::CONNECT {
            return self.unrouted(LocalReply::Connect);
        }
        if let Err(reply) = self.limits.check(&head, has_body) {
            return self.unrouted(reply);
        }
        let asked = Asked {
            arrival,
            head,
            body,
            upgrade,
            admitted,
        };
        self.route(asked).await
    }

    /// Counts a request in, unless there are too many or they hold too much.
    fn make_room(&self, head: &Parts) -> Result<Admitted, LocalReply> {
        let in_flight = self.metrics.admit(self.limits.max_in_flight);
        let memory = self.memory.admit(memory::cost(head));
        let (in_flight, memory) = (
            in_flight.ok_or(LocalReply::Busy)?,
            memory.ok_or(LocalReply::NoMemory)?,
        );
        Ok(Admitted::new(in_flight, memory))
    }

    /// Finds the rule and counts its answer. The rules see the head that an endpoint would get: nothing that
    /// the client forged, and nothing that it hid.
    async fn route(&self, mut asked: Asked) -> Response<ResponseBody> {
        let Some(table) = self.table.load_full() else {
            return self.unrouted(LocalReply::NoTable);
        };
        let fit = headers::towards_endpoint(
            &mut asked.head,
            &asked.arrival,
            asked.upgrade.as_ref(),
            self.limits.underscored_headers,
        );
        if !fit {
            return self.unrouted(LocalReply::Malformed);
        }
        let Ok(path) = canonical_path(asked.head.uri.path()) else {
            return self.unrouted(LocalReply::AmbiguousPath);
        };
        let Some(selected) = select(&table, &asked, &path) else {
            return self.unrouted(LocalReply::NoRoute);
        };
        let Some(rule) = table.rules.get(selected.rule_index) else {
            return self.unrouted(LocalReply::NoRoute);
        };
        let backend = selected.backend_index(random_number);
        let backend = backend.and_then(|index| rule.backends.get(index));
        let matched = &selected.matched.path;
        let answered = match self.follow(rule, matched, backend, &mut asked) {
            Ok(Way::Backend(upstream, timing)) => {
                let mut answered = if asked.upgrade.is_some() {
                    self.upgrade(upstream, asked, timing).await
                } else {
                    self.forward(upstream, asked, timing).await
                };
                if let (Ok(answer), Some(backend)) = (&mut answered, backend) {
                    filters::on_answer(&backend.filters, answer.headers_mut());
                    filters::on_answer(&rule.filters, answer.headers_mut());
                }
                answered
            }
            Ok(Way::Answered(answer)) => Ok(*answer),
            Err(reply) => Err(reply),
        };
        let response = answered.unwrap_or_else(|reply| self.refuse(reply));
        rule.answers.count(response.status());
        response
    }

    /// The phases of a request whose rule is known, before it is sent: filters on its head, and the backend.
    fn follow<'t>(
        &self,
        rule: &ReadyRule,
        matched: &PathMatch,
        backend: Option<&'t ReadyBackend>,
        asked: &mut Asked,
    ) -> Result<Way<'t>, LocalReply> {
        let timing = Timing::begin(&rule.policy.timeouts, &self.limits);
        let (arrival, head) = (&asked.arrival, &mut asked.head);
        if let Some(mut answer) = filters::on_request(&rule.filters, matched, arrival, head)? {
            filters::on_answer(&rule.filters, answer.headers_mut());
            return Ok(Way::Answered(answer));
        }
        let backend = backend.ok_or(LocalReply::NoBackend)?;
        let upstream = backend.upstream.as_deref().ok_or(LocalReply::NoBackend)?;
        match filters::on_request(&backend.filters, matched, arrival, head)? {
            Some(answer) => Ok(Way::Answered(answer)),
            None => Ok(Way::Backend(upstream, timing)),
        }
    }

    /// An ordinary request.
    async fn forward(
        &self,
        upstream: &Upstream,
        asked: Asked,
        timing: Timing,
    ) -> Result<Response<ResponseBody>, LocalReply> {
        let limits = &*self.limits;
        let part = || asked.admitted.memory.part();
        let upload = asked
            .body
            .map(|body| UploadHandle::new(body, limits.max_body_bytes, part()));
        if let Some(upload) = &upload {
            if !upload.has_room() {
                return Err(LocalReply::NoMemory);
            }
            if upstream.protocol == UpstreamProtocol::H2c {
                upload.keep(limits.max_kept_body_bytes, part());
            }
        }
        let metrics = &self.metrics;
        let sent = attempts::send(
            upstream,
            asked.head,
            upload.as_ref(),
            limits,
            metrics,
            timing,
        );
        let answered = sent.await?;
        if answered.response.status() == StatusCode::SWITCHING_PROTOCOLS {
            // It was not asked for.
            return Err(LocalReply::BrokenAnswer);
        }
        response::streamed(answered, upload, asked.admitted, limits)
    }

    /// A request to upgrade. The client's bytes wait until the endpoint has agreed.
    async fn upgrade(
        &self,
        upstream: &Upstream,
        asked: Asked,
        timing: Timing,
    ) -> Result<Response<ResponseBody>, LocalReply> {
        let Some(asked_for) = asked
            .upgrade
            .filter(|_| upstream.protocol == UpstreamProtocol::Http1)
        else {
            return Err(LocalReply::Upgrade);
        };
        let metrics = &self.metrics;
        let sent = attempts::send(upstream, asked.head, None, &self.limits, metrics, timing);
        let mut answered = sent.await?;
        let response = &mut answered.response;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return response::streamed(answered, None, asked.admitted, &self.limits);
        }
        if !headers::agrees_to(response.headers(), &asked_for) {
            return Err(LocalReply::BrokenAnswer);
        }
        let Answered {
            mut response,
            lease,
            ..
        } = answered;
        let limit = self.limits.upgrade_idle_timeout;
        let tunnel = tunnel::open(&mut response, asked.body, lease, asked.admitted, limit).await?;
        response::upgraded(response, tunnel)
    }

    /// Answers a request that does not say which host it is for.
    pub(crate) fn refuse_hostless(&self, method: &Method) -> Response<ResponseBody> {
        let mut response = self.unrouted(LocalReply::Malformed);
        if method == Method::HEAD {
            respond::answer_head(&mut response);
        }
        response
    }

    /// An answer to a request that no rule is asked about.
    fn unrouted(&self, reply: LocalReply) -> Response<ResponseBody> {
        let response = self.refuse(reply);
        self.metrics.unrouted.count(response.status());
        response
    }

    fn refuse(&self, reply: LocalReply) -> Response<ResponseBody> {
        if matches!(reply, LocalReply::Busy | LocalReply::NoMemory) {
            self.metrics.shed.fetch_add(1, Relaxed);
        }
        if reply.is_remarkable() {
            self.note_refusal(reply.text());
        }
        respond::response(reply)
    }

    /// Writes a refusal into the log. The reason is ours, nothing of the request.
    pub(crate) fn note_refusal(&self, reason: &'static str) {
        let gateway = self.table().map(|table| table.gateway.to_string());
        self.refusals.note(gateway.as_deref(), reason);
    }
}

/// The rule that takes a request.
fn select<'t>(table: &'t ReadyTable, asked: &Asked, path: &str) -> Option<Selected<'t>> {
    table.matcher.select(&RequestHead {
        scheme: asked.arrival.scheme,
        port: asked.arrival.port,
        host: &asked.arrival.host,
        method: asked.head.method.as_str(),
        path,
        query: asked.head.uri.query(),
        headers: &headers::Lookup(&asked.head.headers),
    })
}

#[cfg(test)]
mod tests {
    use domain::names::ObjectKey;

    use super::*;
    use crate::Metrics;

    #[test]
    fn of_calls_that_overlap_the_last_one_counts() {
        let metrics = Metrics::default().gateway(&ObjectKey::new("infra", "web"));
        let (policy, memory) = (EndpointPolicy::Cluster, Memory::unlimited());
        let engine = Engine::new(Limits::default(), policy, memory, metrics);
        let slow = engine.next_call();
        engine.clear();
        assert!(engine.enter(slow).is_none());
        assert!(engine.enter(engine.next_call()).is_some());
    }
}
