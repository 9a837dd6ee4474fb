//! Why a body breaks off.

use std::io;

/// Why an answer broke off after its head was sent. It must not look complete to the client:
/// reset the stream, or close the connection.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the endpoint's answer broke off")]
    Endpoint(#[from] hyper::Error),
    #[error("the endpoint's answer is shorter than announced")]
    Short,
    /// The endpoint ended the answer's stream before the answer was complete, without calling it an error.
    #[error("the endpoint's answer has no end")]
    Cut,
    #[error("the endpoint was silent for too long")]
    Silent,
    /// The time that the route gives the request, or one attempt of it, is over.
    #[error("the answer was not complete in time")]
    TimedOut,
    /// It is that of an authorizer, which may be so long and no longer.
    #[error("the answer is longer than permitted")]
    TooLong,
    #[error("the endpoint's connection broke")]
    Tunnel(#[from] io::Error),
    /// The client's half of an upgraded connection broke off.
    #[error("the client's half of the connection broke off")]
    Client,
}
