//! Endpoints, their connections, and how a request gets to one of them.

mod balance;
mod dial;
mod endpoint;
mod http1;
mod http2;
mod random;
mod upload;

pub(crate) use balance::{Tried, Upstream};
pub(crate) use dial::ConnectFailure;
pub(crate) use endpoint::{Choice, Endpoint, Lease, SendFailure};
pub(crate) use http1::Paced;
pub(crate) use random::random_number;
pub use upload::BoxError;
pub(crate) use upload::{ClientBody, RequestBody, UploadFault, UploadHandle};
