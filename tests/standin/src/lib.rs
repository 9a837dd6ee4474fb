//! A stand-in Cloudflare: API, DNS and edge, for tests and the demo.

pub mod api;
pub mod cloud;
pub mod dns;
pub mod edge;
