//! The client against a server that answers as Cloudflare does.

mod calls;
mod failures;
mod limits;
mod paging;
mod secrets;
mod support;
mod tls;
