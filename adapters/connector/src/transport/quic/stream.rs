//! A stream that the edge opened: a request and its answer, or calls.

use std::sync::Arc;

use bytes::BytesMut;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use quinn::{RecvStream, SendStream, VarInt};
use serde::de::IgnoredAny;

use super::request::{self, Expected};
use crate::body::quic::{CHUNK, END_WITHIN, QuicBody, Unread};
use crate::body::{BoxError, RequestBody};
use crate::connection::Membership;
use crate::exchange::{self, Upgrade};
use crate::handler::RequestHandler;
use crate::stalls::Progress;
use crate::wire::calls::{self, Applied};
use crate::wire::connect::{
    self, ConnectRequest, HeadRoom, Kind, LARGE_HEAD, PreambleError, Purpose,
};
use crate::wire::headers::is_of_the_hop;

/// The code with which connections are closed and streams reset.
pub(super) const NO_ERROR: VarInt = VarInt::from_u32(0);
/// Room for what a stream begins with; it grows where that is longer.
const HEAD_ROOM: usize = LARGE_HEAD;

/// Serves a stream to its end: until the edge has all of the answer, or gave it up.
pub(super) async fn serve<H: RequestHandler>(
    handler: Arc<H>,
    membership: Arc<Membership>,
    send: SendStream,
    mut recv: RecvStream,
) {
    let mut answer = Answer(Some(send));
    let mut buffer = BytesMut::with_capacity(HEAD_ROOM);
    let limit = membership.options.head_timeout;
    let beginning = begin(&mut recv, &mut buffer, &membership.heads);
    let beginning = tokio::time::timeout(limit, beginning);
    let head = match beginning.await {
        Ok(Ok(Some(head))) => head,
        Ok(Ok(None)) => return calls(&membership, answer, recv, buffer).await,
        // What a visitor can cause must not fill the log.
        Ok(Err(error @ PreambleError::Io(_))) => {
            return tracing::debug!(%error, "a stream of the edge did not begin");
        }
        Ok(Err(PreambleError::NoRoom)) => return turn_away(answer, recv).await,
        Ok(Err(error)) => return tracing::warn!(%error, "a stream of the edge was refused"),
        Err(_) => return tracing::debug!("a stream of the edge was given up: it did not begin"),
    };
    membership.options.metrics.requests.inc();
    let exchange = Exchange {
        handler: &*handler,
        membership: &membership,
        upgrade: match head.kind {
            Kind::WebSocket => Upgrade::WebSocket,
            Kind::Http | Kind::Tcp => Upgrade::None,
        },
    };
    let Some(given_up) = answer.0.as_ref().map(SendStream::stopped) else {
        return;
    };
    tokio::select! {
        answered = exchange.run(&head, &mut answer, recv, buffer) => match answered {
            Ok(unread) => {
                answer.finish().await;
                if let Some(unread) = unread {
                    unread.end().await;
                }
            }
            Err(error) => tracing::debug!(error, "an answer broke off"),
        },
        _ = given_up => tracing::debug!("the edge gave a request up"),
    }
}

/// Reads what a stream is for: the head of a request, or `None` for calls.
async fn begin(
    recv: &mut RecvStream,
    buffer: &mut BytesMut,
    room: &HeadRoom,
) -> Result<Option<ConnectRequest>, PreambleError> {
    match connect::read_purpose(recv, buffer).await? {
        Purpose::Calls => Ok(None),
        Purpose::Data => connect::read_request(recv, buffer, room).await.map(Some),
    }
}

/// The connector's half of a stream. Unless it is finished it is reset when it is dropped, so that the
/// edge never takes a part for the whole.
struct Answer(Option<SendStream>);

impl Answer {
    fn stream(&mut self) -> Result<&mut SendStream, BoxError> {
        self.0.as_mut().ok_or_else(|| "the stream has ended".into())
    }

    /// Ends the stream, and waits until the edge has all of it.
    async fn finish(&mut self) {
        if let Some(mut send) = self.0.take()
            && send.finish().is_ok()
        {
            // However it ends, there is nothing more to do.
            let _ = send.stopped().await;
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(mut send) = self.0.take() {
            // An error says that it has ended already.
            let _ = send.reset(NO_ERROR);
        }
    }
}

/// A request with what is needed to answer it.
struct Exchange<'a, H> {
    handler: &'a H,
    membership: &'a Membership,
    upgrade: Upgrade,
}

impl<H: RequestHandler> Exchange<'_, H> {
    /// Has the request answered and sends the answer. Where the handler has none, the answer says why.
    /// What is left of the edge's half is to be kept until all is sent. An error is one after which the
    /// stream is to be reset.
    async fn run(
        &self,
        head: &ConnectRequest,
        answer: &mut Answer,
        recv: RecvStream,
        buffer: BytesMut,
    ) -> Result<Option<Unread>, BoxError> {
        if head.kind == Kind::Tcp {
            let error = "TCP streams are not served";
            tracing::warn!(error, "a stream of the edge was refused");
            refuse(answer, error, StatusCode::BAD_GATEWAY).await?;
            return Ok(None);
        }
        let request = match request::read(head) {
            Ok(request) => request,
            Err(refused) => {
                let error = refused.to_string();
                tracing::warn!(error, "a request of the edge was refused");
                refuse(answer, &error, refused.status()).await?;
                return Ok(None);
            }
        };
        let (request, unread) = with_body(request, recv, buffer);
        let connector_id = &self.membership.connector_id_header;
        match exchange::handled(self.handler, connector_id, self.upgrade, request).await {
            Ok(response) => send(answer, response).await?,
            Err(StatusCode::BAD_REQUEST) => {
                let error = "the request has no usable host";
                refuse(answer, error, StatusCode::BAD_REQUEST).await?;
            }
            Err(status) => refuse(answer, "the request could not be answered", status).await?,
        }
        Ok(Some(unread))
    }
}

/// Gives a request the body that is to be expected; returns what is behind it on the stream too.
fn with_body(
    request: Request<Expected>,
    recv: RecvStream,
    buffer: BytesMut,
) -> (Request<RequestBody>, Unread) {
    let (head, expected) = request.into_parts();
    let length = match expected {
        Expected::Nothing => {
            let request = Request::from_parts(head, RequestBody::none());
            return (request, Unread::Everything(recv));
        }
        Expected::Length(length) => Some(length),
        Expected::UntilEnd => None,
    };
    let (body, unread) = QuicBody::new(buffer.freeze(), recv, length);
    (Request::from_parts(head, RequestBody::quic(body)), unread)
}

async fn refuse(answer: &mut Answer, error: &str, status: StatusCode) -> Result<(), BoxError> {
    let head = connect::response(error, status.as_u16(), std::iter::empty());
    Ok(answer.stream()?.write_all(&head).await?)
}

/// Answers a request whose head there is no room for: the client may come again. The rest of it is read and dropped,
/// because an edge may not look at an answer before it has sent the whole head.
async fn turn_away(mut answer: Answer, mut recv: RecvStream) {
    tracing::debug!("a request was turned away: too many large heads are on their way");
    let retry = [("retry-after", &b"1"[..])].into_iter();
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let head = connect::response("", status.as_u16(), retry);
    if let Ok(stream) = answer.stream()
        && stream.write_all(&head).await.is_ok()
    {
        answer.finish().await;
    }
    let rest = async { while let Ok(Some(_)) = recv.read_chunk(CHUNK, true).await {} };
    let _ = tokio::time::timeout(END_WITHIN, rest).await;
}

/// Sends an answer. There is no place for trailers.
async fn send<B>(answer: &mut Answer, response: Response<B>) -> Result<(), BoxError>
where
    B: http_body::Body<Data = bytes::Bytes, Error: Into<BoxError>>,
{
    let (head, body) = response.into_parts();
    let headers: Vec<_> = head
        .headers
        .iter()
        .filter(|(name, _)| !is_of_the_hop(name.as_str()))
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    let written = connect::response("", head.status.as_u16(), headers.into_iter());
    let stream = answer.stream()?;
    stream.write_all(&written).await?;
    let mut body = std::pin::pin!(body.map_err(Into::<BoxError>::into));
    let progress = Progress::of_this_task();
    let waits = |waits| {
        if let Some(progress) = &progress {
            progress.answer_waits(waits);
        }
    };
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            waits(true);
            stream.write_chunk(data).await?;
            waits(false);
        }
    }
    Ok(())
}

/// Answers the calls of a stream. They are a matter of moments.
async fn calls(membership: &Membership, mut answer: Answer, recv: RecvStream, mut read: BytesMut) {
    let Ok(send) = answer.stream() else {
        return;
    };
    let mut stream = tokio::io::join(recv, send);
    let serving = calls::serve(&mut stream, &mut read, |version, json| {
        note_configuration(membership, version, json)
    });
    match tokio::time::timeout(membership.options.rpc_timeout, serving).await {
        Ok(Ok(())) => answer.finish().await,
        Ok(Err(error)) => tracing::warn!(%error, "calls of the edge broke off"),
        Err(_) => tracing::debug!("calls of the edge were given up: they did not end"),
    }
}

fn note_configuration(membership: &Membership, version: i32, json: &[u8]) -> Applied {
    if serde_json::from_slice::<IgnoredAny>(json).is_err() {
        return Applied {
            version: membership.configuration.newest(),
            error: "the configuration is not JSON",
        };
    }
    let version = membership.configuration.pushed(version);
    tracing::debug!(version, "configuration pushed");
    Applied { version, error: "" }
}
