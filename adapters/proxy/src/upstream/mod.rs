//! Endpoints, their connections, and how a request gets to one of them.

mod balance;
mod dial;
mod endpoint;
mod http1;
mod http2;
mod random;
mod upload;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

pub(crate) use balance::{Tried, Upstream};
pub(crate) use dial::ConnectFailure;
pub(crate) use endpoint::{Choice, Endpoint, Lease, SendFailure};
pub(crate) use http1::Paced;
pub(crate) use random::random_number;
pub(crate) use upload::{ClientBody, RequestBody, UploadFault, UploadHandle};

/// What hyper says of a request: the head of its answer, or why there is none.
type Answer = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;
