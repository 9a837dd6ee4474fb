//! Endpoints, their connections, and how a request gets to one of them.

mod balance;
mod dial;
mod endpoint;
mod http1;
mod http2;
mod names;
mod outlier;
mod random;
mod retry_budget;
mod stream;
mod tls;
mod upload;

pub(crate) use balance::{Tried, Upstream};
pub(crate) use dial::{ConnectFailure, Reach};
pub(crate) use endpoint::{Choice, Endpoint, Lease, SendFailure};
pub(crate) use http1::Paced;
pub(crate) use random::random_number;
pub(crate) use retry_budget::RetryBudget;
pub(crate) use stream::{ReadSide, WriteSide};
pub(crate) use tls::{ShownCertificate, Tls, roots};
pub use upload::BoxError;
pub(crate) use upload::{ClientBody, RequestBody, UploadFault, UploadHandle};
