//! Filters of rules and backends, made ready when a table is loaded. Each acts in the order written, in the phases that its
//! arm below says: [`on_request`] and [`on_answer`].

mod cors;
mod header_modifier;
mod path;
mod redirect;
mod rewrite;

use domain::gateway::{Filter, PathMatch, Redirect};
use domain::route_table::{Arrival, TableFilter};
use http::request::Parts;
use http::{HeaderMap, Response, Uri};

use super::external_auth::{self, Edit, ReadyAuth};
use super::mirror::{Copied, ReadyMirror};
use super::table::ReadyUpstreams;
use crate::body::ResponseBody;
use crate::local_reply::LocalReply;
use cors::{Asking, ReadyCors};
use header_modifier::HeaderEdits;
use rewrite::ReadyRewrite;

/// A filter with its names and values parsed.
#[derive(Debug)]
pub(super) enum ReadyFilter {
    RequestHeaders(HeaderEdits),
    ResponseHeaders(HeaderEdits),
    Redirect(Redirect),
    Rewrite(ReadyRewrite),
    Cors(ReadyCors),
    Mirror(ReadyMirror),
    ExternalAuth(ReadyAuth),
}

/// What filters of the request's head leave for those after them.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// What the client asked for, where a filter has changed that.
    pub(super) asked_for: Option<Uri>,
    /// For the answer.
    asking: Asking,
    /// Of the headers of the answer, as authorizers have it.
    pub(super) edits: Vec<Edit>,
    /// To be sent when the request is.
    pub(super) copies: Vec<Copied>,
}

impl Noted {
    /// Last of all, whoever has answered.
    pub(super) fn finish(&self, headers: &mut HeaderMap) {
        if !self.edits.is_empty() {
            // What has no room in an answer is left out.
            let _ = external_auth::apply(&self.edits, headers);
        }
    }
}

impl ReadyFilter {
    /// `None` for a mirror whose upstream is not in the table.
    pub(super) fn new(filter: &TableFilter, upstreams: &mut ReadyUpstreams<'_>) -> Option<Self> {
        Some(match filter {
            Filter::RequestHeaders(modifier) => Self::RequestHeaders(HeaderEdits::new(modifier)),
            Filter::ResponseHeaders(modifier) => Self::ResponseHeaders(HeaderEdits::new(modifier)),
            Filter::Redirect(redirect) => Self::Redirect(redirect.clone()),
            Filter::Rewrite(rewrite) => Self::Rewrite(ReadyRewrite::new(rewrite)),
            Filter::Cors(cors) => Self::Cors(ReadyCors::new(cors)),
            Filter::Mirror(mirror) => Self::Mirror(upstreams.mirror(mirror)?),
            Filter::ExternalAuth(auth) => Self::ExternalAuth(upstreams.external_auth(auth)),
        })
    }
}

/// How far a request has come.
pub(super) enum Step<'f> {
    /// Past all filters.
    Done,
    /// A filter answers: neither the filters after it nor a backend sees the request. In a `Box`, so that requests without an
    /// answer do not move the room for one.
    Answered(Box<Response<ResponseBody>>),
    /// An authorizer is to be asked; then the filter at this position acts.
    Ask(&'f ReadyAuth, usize),
}

/// Request head: the filters from a position on.
#[inline]
pub(super) fn on_request<'f>(
    filters: &'f [ReadyFilter],
    from: usize,
    matched: &PathMatch,
    arrival: &Arrival,
    head: &mut Parts,
    noted: &mut Noted,
) -> Result<Step<'f>, LocalReply> {
    for (position, filter) in filters.iter().enumerate().skip(from) {
        match filter {
            ReadyFilter::RequestHeaders(edits) => edits.apply_to_request(&mut head.headers),
            ReadyFilter::ResponseHeaders(_) => {}
            ReadyFilter::Redirect(to) => {
                let asked_for = noted.asked_for.as_ref().unwrap_or(&head.uri);
                let answer = redirect::answer(to, matched, arrival, asked_for)?;
                return Ok(Step::Answered(Box::new(answer)));
            }
            ReadyFilter::Cors(cors) => {
                if let Some(answer) = cors.preflight(head, &mut noted.asking) {
                    return Ok(Step::Answered(Box::new(answer)));
                }
            }
            ReadyFilter::Mirror(mirror) => noted.copies.extend(mirror.copy(head)),
            ReadyFilter::Rewrite(to) => to.apply(matched, &mut noted.asked_for, head)?,
            ReadyFilter::ExternalAuth(auth) => return Ok(Step::Ask(auth, position + 1)),
        }
    }
    Ok(Step::Done)
}

/// Response head: of an endpoint's answer, or of that of a filter.
#[inline]
pub(super) fn on_answer(filters: &[ReadyFilter], noted: &Noted, headers: &mut HeaderMap) {
    for filter in filters {
        match filter {
            ReadyFilter::ResponseHeaders(edits) => edits.apply_to_answer(headers),
            ReadyFilter::Cors(cors) => cors.apply_to_answer(&noted.asking, headers),
            ReadyFilter::RequestHeaders(_)
            | ReadyFilter::Redirect(_)
            | ReadyFilter::Rewrite(_)
            | ReadyFilter::Mirror(_)
            | ReadyFilter::ExternalAuth(_) => {}
        }
    }
}

/// The same of what the proxy answers because it cannot serve a request, or an authorizer because it denies it: that passes no filter but CORS, so that a script may
/// read why. Nothing happens where the request did not come as far as its filter.
pub(super) fn on_refusal(filters: &[ReadyFilter], noted: &Noted, headers: &mut HeaderMap) {
    for filter in filters {
        if let ReadyFilter::Cors(cors) = filter {
            cors.apply_to_answer(&noted.asking, headers);
        }
    }
}
