//! The engine of one Gateway: from a request to an answer, in these phases:
//!
//! 1. request head: `headers` and limits, the rule that takes it, the rule's `filters`, authorizers that are asked
//!    (`external_auth`, `follow`);
//! 2. backend: one by weight, its own filters; copies of the request go to each `mirror`;
//! 3. `attempts`: endpoints, each within its `timing`;
//! 4. `response` head: the filters of the backend, then of the rule;
//! 5. body: `crate::body`, a `tunnel` after a 101.

mod attempts;
mod external_auth;
mod filters;
mod fit;
mod follow;
mod framing;
mod headers;
mod mirror;
mod pools;
mod refusal_log;
mod respond;
mod response;
mod retry;
mod session;
mod table;
mod timing;
mod visitors;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use domain::endpoint_policy::EndpointPolicy;
use domain::route_table::{
    Arrival, Matcher, RequestHead, RouteTable, Selected, UpstreamProtocol, canonical_path,
};
use domain::secret::CertificatePair;
use http::header::HeaderValue;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use parking_lot::{Mutex, MutexGuard};

use crate::admission::Admitted;
use crate::body::{ResponseBody, tunnel};
use crate::local_reply::LocalReply;
use crate::memory;
use crate::metrics::GatewayMetrics;
use crate::trailers;
use crate::upstream::{ClientBody, ShownCertificate, UploadHandle, random_number};
use crate::{BoxError, Limits, Memory};
use attempts::{Answered, Target};
use filters::Noted;
use follow::{Chosen, Stage, Way};
use pools::Pools;
use refusal_log::RefusalLog;
use session::Place;
use table::{ReadyRule, ReadyTable};
use timing::Timing;
use visitors::Visitors;

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
    pools: Pools,
    call: u64,
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
        let before = before.as_deref();
        let visitors = before.map(|before| &before.visitors);
        let visitors = Visitors::following(visitors, &table.client_validation);
        let matcher = Matcher::following(before.map(|before| &before.matcher), table);
        let Some(mut present) = self.enter(call) else {
            return;
        };
        let table = ReadyTable::new(
            matcher,
            visitors,
            &mut present.pools,
            self.policy,
            &self.limits,
            &self.metrics,
        );
        self.table.store(Some(Arc::new(table)));
    }

    /// Has endpoints shown this certificate where the table says so, from now on. As [`load`](Self::load), not for a thread that
    /// serves requests.
    pub fn show(&self, certificate: Option<&CertificatePair>) {
        let shown = certificate.and_then(ShownCertificate::new);
        self.present.lock().pools.show(shown);
        // An upstream may have waited for it.
        if let Some(table) = self.table()
            && table.client_certificate().is_some()
        {
            self.load(table);
        }
    }

    /// Serves nothing: 503, as before the first table.
    pub fn clear(&self) {
        let Some(mut present) = self.enter(self.next_call()) else {
            return;
        };
        self.table.store(None);
        present.pools.clear();
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

    /// Has a request answered by its rule, and counts the answer. The rules see the head that an endpoint would get: nothing
    /// that the client forged, and nothing that it hid.
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
        if !table.visitors.admit(&asked.arrival, &asked.head.headers) {
            return self.unrouted(LocalReply::NoCertificate);
        }
        if table.matcher.is_misdirected(&asked.arrival) {
            return self.unrouted(LocalReply::Misdirected);
        }
        let mut noted = Noted::default();
        let authorizers = table.authorizers(&asked.arrival);
        if !authorizers.is_empty() {
            let passing = self.pass_listener(authorizers, asked, &mut noted);
            asked = match Box::pin(passing).await {
                Ok(asked) => asked,
                Err(response) => {
                    self.metrics.unrouted.count(response.status());
                    return *response;
                }
            };
        }
        let (selected, rule) = match find(&table, &asked) {
            Ok(found) => found,
            Err(reply) => return self.unrouted(reply),
        };
        let visit = rule.sessions.as_deref();
        let visit = visit.map(|sessions| sessions.visit(&asked.head.headers, asked.arrival.scheme));
        let held = visit.as_ref().and_then(session::Visit::backend);
        let index = held.or_else(|| selected.backend_index(random_number));
        let sticky = visit.as_ref().zip(index);
        let sticky = sticky.and_then(|(visit, backend)| visit.endpoint(backend));
        let backend = index.and_then(|index| rule.backends.get(index));
        let mut endpoint = 0;
        let matched = &selected.matched.path;
        let chosen = Chosen {
            rule,
            matched,
            backend,
            timing: Timing::begin(&rule.policy.timeouts, &self.limits),
        };
        let mut way = self.follow(&chosen, Stage::default(), &mut asked, &mut noted);
        if let Ok(Way::Ask(auth, next)) = way {
            way = Box::pin(self.ask_all(&chosen, (auth, next), &mut asked, &mut noted)).await;
        }
        let copies = std::mem::take(&mut noted.copies);
        let on_refusal = |headers: &mut HeaderMap| {
            let of_backend = backend.map_or(&[][..], |backend| &backend.filters);
            filters::on_refusal(of_backend, &noted, headers);
            filters::on_refusal(&rule.filters, &noted, headers);
        };
        let answered = match way {
            Ok(Way::Backend(mut target)) => {
                if !copies.is_empty() && asked.upgrade.is_none() {
                    let body = asked.body.take();
                    asked.body = mirror::send(copies, body, &self.limits, &self.memory);
                }
                target.sticky = sticky;
                let mut answered = if asked.upgrade.is_some() {
                    self.upgrade(target, asked, &mut endpoint).await
                } else {
                    self.forward(target, asked, &mut endpoint).await
                };
                if let (Ok(answer), Some(backend)) = (&mut answered, backend) {
                    filters::on_answer(&backend.filters, &noted, answer.headers_mut());
                    filters::on_answer(&rule.filters, &noted, answer.headers_mut());
                    if let (Some(visit), Some(backend)) = (visit, index) {
                        visit.tell(Place { backend, endpoint }, matched, answer.headers_mut());
                    }
                }
                answered
            }
            Ok(Way::Answered(answer)) => Ok(*answer),
            Ok(Way::Denied(denial)) => {
                let denied = denial.response(asked.admitted, &self.limits);
                denied.map(|mut denied| {
                    on_refusal(denied.headers_mut());
                    denied
                })
            }
            // Nothing that is still to be asked gets here; if it did, it would not be served.
            Ok(Way::Ask(..)) => Err(LocalReply::Unjudged),
            Err(reply) => Err(reply),
        };
        let mut response = answered.unwrap_or_else(|reply| {
            let mut refusal = self.refuse(reply);
            on_refusal(refusal.headers_mut());
            refusal
        });
        noted.finish(response.headers_mut());
        rule.answers.count(response.status());
        response
    }

    /// An ordinary request. Notes which endpoint of the upstream has answered.
    async fn forward(
        &self,
        target: Target<'_>,
        asked: Asked,
        endpoint: &mut usize,
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
            if target.upstream.protocol != UpstreamProtocol::Http1 || target.retries.is_some() {
                upload.keep(limits.max_kept_body_bytes, part());
            }
        }
        let metrics = &self.metrics;
        let sent = attempts::send(target, asked.head, false, upload.as_ref(), limits, metrics);
        let answered = sent.await?;
        *endpoint = answered.endpoint;
        if answered.response.status() == StatusCode::SWITCHING_PROTOCOLS {
            // It was not asked for.
            return Err(LocalReply::BrokenAnswer);
        }
        response::streamed(answered, upload, asked.admitted, limits)
    }

    /// A request to upgrade. The client's bytes wait until the endpoint has agreed.
    async fn upgrade(
        &self,
        target: Target<'_>,
        asked: Asked,
        endpoint: &mut usize,
    ) -> Result<Response<ResponseBody>, LocalReply> {
        let Some(asked_for) = asked
            .upgrade
            .filter(|_| target.upstream.protocol != UpstreamProtocol::H2c)
        else {
            return Err(LocalReply::Upgrade);
        };
        let metrics = &self.metrics;
        let sent = attempts::send(target, asked.head, true, None, &self.limits, metrics);
        let mut answered = sent.await?;
        *endpoint = answered.endpoint;
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

/// The path that a request is for, unless servers may read it in different ways.
#[inline]
fn path_of(asked: &Asked) -> Result<Cow<'_, str>, LocalReply> {
    canonical_path(asked.head.uri.path()).map_err(|_| LocalReply::AmbiguousPath)
}

/// The rule that takes a request.
#[inline]
fn find<'t>(
    table: &'t ReadyTable,
    asked: &Asked,
) -> Result<(Selected<'t>, &'t ReadyRule), LocalReply> {
    let path = path_of(asked)?;
    let selected = table.matcher.select(&RequestHead {
        scheme: asked.arrival.scheme,
        port: asked.arrival.port,
        host: &asked.arrival.host,
        method: asked.head.method.as_str(),
        path: &path,
        query: asked.head.uri.query(),
        headers: &headers::Lookup(&asked.head.headers),
    });
    let selected = selected.ok_or(LocalReply::NoRoute)?;
    let rule = table.rules.get(selected.rule_index);
    Ok((selected, rule.ok_or(LocalReply::NoRoute)?))
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
