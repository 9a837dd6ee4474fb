//! Hostile traffic: what is meant to be read in two ways, to get past a rule, to deceive an endpoint or to
//! exhaust the proxy. Each row is refused with the right status, or served in the one way that is safe; it
//! is logged at most once and without what was sent; and the next request is served as if nothing had been.
//!
//! An edge that does not keep the tunnel protocol is played in the connector's own tests.

mod downgrade;
mod endpoints;
mod flood;
mod headers;
mod paths;
mod reframing;
mod rig;
mod secrets;
mod smuggling;
mod upgrades;
