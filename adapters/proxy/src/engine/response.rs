//! Response head: an endpoint's answer as the client gets it, before filters.

use http::{Response, StatusCode};

use super::attempts::Answered;
use super::{framing, headers};
use crate::Limits;
use crate::admission::Admitted;
use crate::body::tunnel::TunnelBody;
use crate::body::{BodyEnd, Download, ResponseBody};
use crate::limits::check_answer;
use crate::local_reply::LocalReply;
use crate::upstream::UploadHandle;

/// An answer whose body follows, with all that belongs to its request.
pub(super) fn streamed(
    answered: Answered,
    upload: Option<UploadHandle>,
    mut admitted: Admitted,
    limits: &Limits,
) -> Result<Response<ResponseBody>, LocalReply> {
    let Answered {
        response,
        lease,
        end: deadline,
        ..
    } = answered;
    if !Download::has_room(response.body(), &mut admitted) {
        return Err(LocalReply::NoMemory);
    }
    let silence = limits.body_idle_timeout;
    fit(response, |incoming, end| {
        ResponseBody::endpoint(Download::new(
            incoming, end, lease, upload, admitted, silence, deadline,
        ))
    })
}

/// A 101, after which both sides send bytes.
pub(super) fn upgraded<T>(
    response: Response<T>,
    tunnel: TunnelBody,
) -> Result<Response<ResponseBody>, LocalReply> {
    fit(response, |_, _| ResponseBody::tunnel(tunnel))
}

fn fit<T>(
    response: Response<T>,
    body: impl FnOnce(T, BodyEnd) -> ResponseBody,
) -> Result<Response<ResponseBody>, LocalReply> {
    let (mut head, endpoint) = response.into_parts();
    check_answer(&head.headers)?;
    let end = framing::of_answer(&mut head).map_err(|_| LocalReply::BrokenAnswer)?;
    let upgraded = head.status == StatusCode::SWITCHING_PROTOCOLS;
    headers::towards_client(&mut head.headers, upgraded);
    head.extensions.clear();
    Ok(Response::from_parts(head, body(endpoint, end)))
}
