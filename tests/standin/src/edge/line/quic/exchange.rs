//! One request on a QUIC stream of its own. The end of either direction is its FIN; a direction that
//! is given up is reset, so that what is cut short never looks whole.

use futures_util::stream;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use quinn::{RecvStream, SendStream, VarInt};
use tokio_util::task::AbortOnDropHandle;

use super::metadata::{self, ReadFailure};
use super::{RequestKind, SendFailure};
use crate::edge::body::{Body, BoxError};

/// Application error code of a stream that is given up.
const GIVEN_UP: VarInt = VarInt::from_u32(0);
/// How much is read from a stream at once.
const CHUNK: usize = 64 * 1024;

/// Sends a request and waits for the head of the answer. If the caller gives up waiting, or later
/// drops the response's body before its end, both directions are reset.
pub(super) async fn exchange(
    (send, mut recv): (SendStream, RecvStream),
    kind: RequestKind,
    request: Request<Body>,
) -> Result<Response<Body>, SendFailure> {
    let (mut head, body) = request.into_parts();
    // cloudflared ignores a body that neither of the two announces.
    let announced = head.headers.contains_key(CONTENT_LENGTH);
    if kind == RequestKind::Http && !body.is_end_stream() && !announced {
        let chunked = HeaderValue::from_static("chunked");
        head.headers.insert(TRANSFER_ENCODING, chunked);
    }
    let mut upload = Upload::new(send);
    let preamble = metadata::connect_request(kind, &head);
    upload.write(&preamble).await.map_err(stream_failed)?;
    let upload = AbortOnDropHandle::new(tokio::spawn(upload.carry(body)));
    let head = metadata::read_response(&mut recv).await;
    let response = head.map_err(|failure| match failure {
        ReadFailure::Stream(error) => SendFailure::StreamFailed(error),
        ReadFailure::Malformed(malformed) => SendFailure::Malformed(malformed),
        ReadFailure::Connector(error) => {
            tracing::debug!(%error, "a connector's failure");
            SendFailure::OriginUnreachable
        }
    })?;
    Ok(response.map(|()| download(recv, upload)))
}

fn stream_failed(error: quinn::WriteError) -> SendFailure {
    SendFailure::StreamFailed(error.into())
}

/// The direction to the connector. It is reset when dropped before its end.
struct Upload {
    send: SendStream,
    whole: bool,
}

impl Upload {
    fn new(send: SendStream) -> Self {
        Self { send, whole: false }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), quinn::WriteError> {
        self.send.write_all(bytes).await
    }

    /// Carries a body until it ends, fails, or the connector wants no more of it.
    async fn carry(mut self, mut body: Body) {
        loop {
            let frame = tokio::select! {
                frame = body.frame() => frame,
                _ = self.send.stopped() => return,
            };
            match frame {
                None => break,
                Some(Err(_)) => return,
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    if self.send.write_chunk(data).await.is_err() {
                        return;
                    }
                }
            }
        }
        self.whole = self.send.finish().is_ok();
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.whole {
            // It fails only for a stream that has ended already.
            let _ = self.send.reset(GIVEN_UP);
        }
    }
}

/// The direction from the connector, as a body. An answer may end before its request has: the rest of
/// that still goes up.
fn download(recv: RecvStream, upload: AbortOnDropHandle<()>) -> Body {
    let chunks = stream::unfold(Some((recv, upload)), |open| async {
        let (mut recv, upload) = open?;
        match recv.read_chunk(CHUNK, true).await {
            Ok(Some(chunk)) => Some((Ok(Frame::data(chunk.bytes)), Some((recv, upload)))),
            Ok(None) => {
                upload.detach();
                None
            }
            Err(error) => Some((Err(BoxError::from(error)), None)),
        }
    });
    StreamBody::new(chunks).boxed_unsync()
}
