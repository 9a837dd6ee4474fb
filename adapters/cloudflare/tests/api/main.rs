//! The client against a server that answers as Cloudflare does.

#![allow(
    clippy::unwrap_used,
    reason = "what a test cannot go on without may panic"
)]

mod calls;
mod failures;
mod fields;
mod limits;
mod paging;
mod secrets;
mod support;
mod tls;
