//! Filters of rules and backends, made ready when a table is loaded. Each acts in the order written, in the phases that its
//! arm below says: [`on_request`] and [`on_answer`].

mod header_modifier;
mod redirect;

use domain::gateway::{Filter, PathMatch, Redirect};
use domain::route_table::Arrival;
use http::request::Parts;
use http::{HeaderMap, Response};

use crate::body::ResponseBody;
use crate::local_reply::LocalReply;
use header_modifier::HeaderEdits;

/// A filter with its names and values parsed.
#[derive(Debug)]
pub(super) enum ReadyFilter {
    RequestHeaders(HeaderEdits),
    ResponseHeaders(HeaderEdits),
    Redirect(Redirect),
}

impl ReadyFilter {
    pub(super) fn new(filter: &Filter) -> Self {
        match filter {
            Filter::RequestHeaders(modifier) => Self::RequestHeaders(HeaderEdits::new(modifier)),
            Filter::ResponseHeaders(modifier) => Self::ResponseHeaders(HeaderEdits::new(modifier)),
            Filter::Redirect(redirect) => Self::Redirect(redirect.clone()),
        }
    }
}

/// Request head. `Some` where a filter answers: neither the filters after it nor a backend sees the request then. In a
/// `Box`, so that requests without an answer do not move the room for one.
#[inline]
pub(super) fn on_request(
    filters: &[ReadyFilter],
    matched: &PathMatch,
    arrival: &Arrival,
    head: &mut Parts,
) -> Result<Option<Box<Response<ResponseBody>>>, LocalReply> {
    for filter in filters {
        match filter {
            ReadyFilter::RequestHeaders(edits) => edits.apply_to_request(&mut head.headers),
            ReadyFilter::ResponseHeaders(_) => {}
            ReadyFilter::Redirect(to) => {
                let answer = redirect::answer(to, matched, arrival, &head.uri)?;
                return Ok(Some(Box::new(answer)));
            }
        }
    }
    Ok(None)
}

/// Response head: of an endpoint's answer, or of that of a filter. What the proxy answers because it cannot serve a request
/// passes no filter.
#[inline]
pub(super) fn on_answer(filters: &[ReadyFilter], headers: &mut HeaderMap) {
    for filter in filters {
        match filter {
            ReadyFilter::ResponseHeaders(edits) => edits.apply_to_answer(headers),
            ReadyFilter::RequestHeaders(_) | ReadyFilter::Redirect(_) => {}
        }
    }
}
