//! Endpoints, their connections, and how a request gets to one of them.

mod balance;
mod dial;
mod dice;
mod endpoint;
mod http1;
mod http2;
mod upload;

pub(crate) use balance::{Tried, Upstream};
pub(crate) use dial::ConnectFailure;
pub(crate) use dice::roll;
pub(crate) use endpoint::{Choice, Endpoint, Lease, SendFailure};
pub(crate) use http1::Paced;
pub(crate) use upload::{ClientBody, RequestBody, UploadFault, UploadHandle};
