//! Bounds the calls under way, and passes on what is left of their answers.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{BoxError, Layer, Service};

use super::Remover;

/// For the calls of one client. A call is under way until its answer was read or dropped. Watches are not counted,
/// because they last: their number is bounded by what is watched.
#[derive(Debug, Clone)]
pub(super) struct AnswerLayer {
    calls: Arc<Semaphore>,
}

impl AnswerLayer {
    pub(super) fn new(calls: usize) -> Self {
        Self {
            calls: Arc::new(Semaphore::new(calls)),
        }
    }
}

impl<S> Layer<S> for AnswerLayer {
    type Service = AnswerService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AnswerService {
            inner,
            calls: self.calls.clone(),
        }
    }
}

#[derive(Debug)]
pub(super) struct AnswerService<S> {
    inner: S,
    calls: Arc<Semaphore>,
}

impl<S, R, B> Service<Request<R>> for AnswerService<S>
where
    S: Service<Request<R>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Unpin,
{
    type Response = Response<Answer<B>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        let calls = (!is_watch(&request)).then(|| self.calls.clone());
        // Nothing is sent before this is polled.
        let answer = self.inner.call(request);
        Box::pin(async move {
            let permit = match calls {
                Some(calls) => Some(calls.acquire_owned().await?),
                None => None,
            };
            let answer = answer.await.map_err(Into::into)?;
            Ok(answer.map(|body| Answer {
                body,
                remover: Remover::default(),
                _permit: permit,
            }))
        })
    }
}

fn is_watch<R>(request: &Request<R>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query.split('&').any(|parameter| parameter == "watch=true")
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Answer<B> {
    body: B,
    remover: Remover,
    _permit: Option<OwnedSemaphorePermit>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let remover = &mut self.remover;
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| frame.map_data(|piece| Bytes::from(remover.pass(&piece))))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
