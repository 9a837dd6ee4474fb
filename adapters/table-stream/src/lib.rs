//! Route tables from the controller to its proxies.
//!
//! A proxy holds one HTTP/2 request open to the controller that leads, with frames both ways: it is told the
//! table of its Gateway, whole or as a difference to what it acknowledged, and says what it serves.
//!
//! - [`wire`]: what is said, as values.
//! - `frames`: how a frame is cut out of a body.
//! - `delta`: the difference between two tables.
//! - [`server`]: the controller's side, a `DataPlane` that knows which replicas serve what.
//! - [`client`]: the proxy's side, which keeps the last table in a file.
//! - [`authority`]: the certificates under which both meet.
//!
//! Who a proxy is follows from its token alone; a token is good for the table of one Gateway.

pub mod authority;
pub mod client;
mod delta;
mod frames;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod server;
pub mod wire;

pub use authority::{Authority, AuthorityError, SERVER_NAME, ServerIdentity};
pub use client::{ClientOptions, TableClient};
pub use server::{LISTENER_LIMITS, Leader, ReplicaStatus, ServerOptions, TableServer};
pub use wire::Version;
