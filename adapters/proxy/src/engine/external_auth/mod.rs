//! ExternalAuth: another service, the authorizer, is asked about a request before that goes on. Whatever goes wrong, the
//! request does not go on: only an answer that permits it lets it.
//!
//! | limit | |
//! |---|---|
//! | requests that the authorizers of one namespace are asked about at once | a quarter of [`Limits::max_in_flight`] |
//! | time for an answer | [`Limits::authorizer_timeout`], within that of the request |
//! | of the client's body | `maxSize`, at most [`domain::gateway::MOST_FORWARDED_BODY`] |
//! | of an answer's head | as of any answer ([`check_answer`]) |
//! | of the body of a denial | [`MOST_OF_DENIAL`] |
//! | of a message of gRPC | [`grpc::MOST_OF_MESSAGE`] |

mod edits;
mod gathered;
mod grpc;
mod http;
mod message;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use ::http::header::HOST;
use ::http::request::Parts;
use ::http::{HeaderName, HeaderValue, Response, Uri};
use bytes::Bytes;
use domain::gateway::{AuthProtocol, ExternalAuth};
use domain::route_table::{UpstreamKey, UpstreamProtocol};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, timeout_at};

use super::attempts::{self, Answered, Target};
use super::headers::X_FORWARDED_HOST;
use super::timing::Timing;
use super::{Asked, response};
use crate::Limits;
use crate::admission::Admitted;
use crate::body::ResponseBody;
use crate::limits::check_answer;
use crate::local_reply::LocalReply;
use crate::metrics::{AuthOutcome, GatewayMetrics};
use crate::upstream::{UploadHandle, Upstream};
use grpc::GrpcAuth;
use http::HttpAuth;

pub(super) use edits::{Edit, apply};

/// Bytes of the body of a denial that are passed on.
const MOST_OF_DENIAL: u64 = 1 << 20;

/// An ExternalAuth with its upstream.
#[derive(Debug)]
pub(super) struct ReadyAuth {
    /// `None` where it does not resolve.
    upstream: Option<Arc<Upstream>>,
    protocol: ReadyProtocol,
    max_body: usize,
    asking: Asking,
}

#[derive(Debug)]
enum ReadyProtocol {
    Http(HttpAuth),
    Grpc(GrpcAuth),
}

/// Requests that the authorizers of one namespace are asked about.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    pub(super) under_way: Arc<AtomicUsize>,
    pub(super) most: usize,
}

/// Counts a request that an authorizer is asked about; dropping it counts it out.
struct Slot<'a>(&'a AtomicUsize);

/// What an authorizer says.
pub(super) enum Verdict {
    Permitted(Permit),
    Denied(Box<Denial>),
}

/// What a permitted request goes on with.
#[derive(Debug, Default)]
pub(super) struct Permit {
    /// Of its headers.
    pub(super) request: Vec<Edit>,
    /// Of the headers of its answer.
    pub(super) answer: Vec<Edit>,
}

/// What a client gets whose request is denied.
pub(super) enum Denial {
    /// The authorizer's own answer.
    Streamed(Answered, Option<UploadHandle>),
    /// What it says that the answer is.
    Whole(Response<ResponseBody>),
}

/// What an authorizer is asked.
struct Question {
    head: Parts,
    body: Bytes,
}

/// A client's request as its authorizer is told of it.
#[derive(Clone, Copy)]
struct Told<'a> {
    asked: &'a Asked,
    /// Path and query that the client asked for, whatever a filter has made of them.
    uri: &'a Uri,
    body: &'a Bytes,
    /// How long the authorizer has.
    time: Duration,
}

impl ReadyAuth {
    pub(super) fn new(
        auth: &ExternalAuth<UpstreamKey>,
        upstream: Option<Arc<Upstream>>,
        asking: Asking,
    ) -> Self {
        Self {
            upstream,
            protocol: match &auth.protocol {
                AuthProtocol::Http {
                    prefix,
                    request_headers,
                    answer_headers,
                } => ReadyProtocol::Http(HttpAuth::new(prefix, request_headers, answer_headers)),
                AuthProtocol::Grpc { request_headers } => {
                    let service = auth.to.as_ref().map(|key| &key.service);
                    ReadyProtocol::Grpc(GrpcAuth::new(service, request_headers))
                }
            },
            max_body: usize::try_from(auth.max_body).unwrap_or(0),
            asking,
        }
    }

    /// Asks about a request, whose body is read as far as the authorizer gets it. The request has to be answered by `end`, if
    /// by any time.
    pub(super) async fn ask(
        &self,
        asked: &mut Asked,
        asked_for: Option<&Uri>,
        end: Option<Instant>,
        (limits, metrics): (&Limits, &GatewayMetrics),
    ) -> Result<Verdict, LocalReply> {
        let upstream = self.upstream.as_deref().ok_or(LocalReply::NoAuthorizer)?;
        let body = gathered::gather(asked, self.max_body, limits, end).await?;
        let _slot = self.asking.take().ok_or(LocalReply::Busy)?;
        let time = limits.authorizer_timeout;
        let by = Instant::now() + time;
        let by = end.map_or(by, |end| end.min(by));
        let question = self.question(Told {
            asked,
            uri: asked_for.unwrap_or(&asked.head.uri),
            body: &body,
            time,
        });
        let verdict = match question {
            Ok(question) => {
                let upload = upload(question.body, upstream, &asked.admitted);
                let judging = self.judge(upstream, question.head, upload, by, (limits, metrics));
                let judged = timeout_at(by, judging).await;
                judged.unwrap_or(Err(LocalReply::Unjudged))
            }
            Err(reply) => Err(reply),
        };
        metrics.asked.count(match &verdict {
            Ok(Verdict::Permitted(_)) => AuthOutcome::Permitted,
            Ok(Verdict::Denied(_)) | Err(LocalReply::Denied) => AuthOutcome::Denied,
            Err(_) => AuthOutcome::Failed,
        });
        match verdict {
            Err(LocalReply::Denied) => Err(LocalReply::Denied),
            Err(_) if end.is_some_and(|end| end <= Instant::now()) => {
                Err(LocalReply::RequestTimeout)
            }
            Err(_) => Err(LocalReply::Unjudged),
            Ok(verdict) => Ok(verdict),
        }
    }

    fn question(&self, told: Told<'_>) -> Result<Question, LocalReply> {
        match &self.protocol {
            ReadyProtocol::Http(http) => http.question(told),
            ReadyProtocol::Grpc(grpc) => grpc.question(told),
        }
    }

    async fn judge(
        &self,
        upstream: &Upstream,
        head: Parts,
        upload: Option<UploadHandle>,
        by: Instant,
        (limits, metrics): (&Limits, &GatewayMetrics),
    ) -> Result<Verdict, LocalReply> {
        let target = Target {
            upstream,
            timing: Timing::until(by, limits),
            retries: None,
            sticky: None,
        };
        let sent = attempts::send(target, head, false, upload.as_ref(), limits, metrics);
        let answered = sent.await?;
        check_answer(answered.response.headers())?;
        match &self.protocol {
            ReadyProtocol::Http(http) => http.verdict(answered, upload),
            ReadyProtocol::Grpc(_) => grpc::verdict(answered).await,
        }
    }
}

/// What a question's body is sent with; it is kept for another endpoint until it is answered.
fn upload(body: Bytes, upstream: &Upstream, admitted: &Admitted) -> Option<UploadHandle> {
    let length = body.len();
    if length == 0 {
        return None;
    }
    let body = Full::new(body).map_err(|never| match never {});
    let part = || admitted.memory.part();
    let upload = UploadHandle::new(Box::pin(body), None, part());
    if upstream.protocol != UpstreamProtocol::Http1 {
        upload.keep(length, part());
    }
    Some(upload)
}

impl Asking {
    fn take(&self) -> Option<Slot<'_>> {
        let before = self.under_way.fetch_add(1, Relaxed);
        // Dropped where there are too many.
        let slot = Slot(&self.under_way);
        (before < self.most).then_some(slot)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Denial {
    /// What the client gets. An answer that is longer than it may be is cut off.
    pub(super) fn response(
        self,
        admitted: Admitted,
        limits: &Limits,
    ) -> Result<Response<ResponseBody>, LocalReply> {
        let mut response = match self {
            Self::Whole(response) => response,
            Self::Streamed(answered, upload) => {
                if answered.response.body().size_hint().lower() > MOST_OF_DENIAL {
                    return Err(LocalReply::Unjudged);
                }
                let streamed = response::streamed(answered, upload, admitted, limits);
                let mut streamed = streamed.map_err(|_| LocalReply::Unjudged)?;
                streamed.body_mut().limit(MOST_OF_DENIAL);
                streamed
            }
        };
        response.extensions_mut().insert(LocalReply::Denied);
        Ok(response)
    }
}

impl Told<'_> {
    /// The host that the client asked for, whatever a filter has made of it.
    fn host(&self) -> Option<&HeaderValue> {
        let headers = &self.asked.head.headers;
        headers.get(X_FORWARDED_HOST).or(headers.get(HOST))
    }

    /// Path and query that the client asked for.
    fn path(&self) -> &str {
        self.uri.path_and_query().map_or("/", |path| path.as_str())
    }
}

/// Names that were checked where they were written.
fn parsed(names: &[String]) -> Box<[HeaderName]> {
    let names = names.iter();
    names.filter_map(|name| name.parse().ok()).collect()
}
