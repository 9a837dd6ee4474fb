//! A stand-in Cloudflare: API, DNS and edge, for tests and the demo.

pub mod ca;
pub mod cloud;
pub mod edge;
