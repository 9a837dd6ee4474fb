//! `cfgwctl`: what people who run Gateways ask and order, over the API server.
//!
//! - [`cli`]: the command line, and what runs for it; [`screen`]: where lines go; [`failure`]: why a command fails.
//! - [`cluster`]: calls to the API server; [`objects`]: of its objects what is looked at; [`wait`]: for how long.
//! - [`reconciling`]: suspend, resume and reconcile; [`rotation`]: replace a token and watch it; [`version`].
//!
//! A verb that acts sets an annotation that the controller acts upon, and nothing else. What is printed is made of
//! values by functions without input or output.

pub mod cli;
pub mod cluster;
pub mod failure;
pub mod objects;
pub mod reconciling;
pub mod rotation;
pub mod screen;
pub mod version;
pub mod wait;
