//! `cfgwctl`: what people who run Gateways ask and order, over the API server.
//!
//! - [`cli`]: the command line; [`run`]: what runs for it; [`screen`]: where lines go; [`failure`]: why a command fails.
//! - [`cluster`]: calls to the API server; [`objects`]: of its objects what is looked at; [`wait`]: for how long;
//!   [`settings`]: of the controller's settings what decides.
//! - [`reconciling`]: suspend, resume and reconcile; [`rotation`]: replace a token and watch it; [`version`];
//!   [`status`]: one screen of all; [`standalone`]: the same from a state folder; [`explain`]: the way of a request; [`check`]: what the controller needs;
//!   [`plan`]: what would change at Cloudflare; [`orphans`]: what belongs to no Gateway there;
//!   [`diagnose`]: what a report of a fault needs;
//!   [`generate`] and [`expose`]: a route for a Service.
//! - [`broker`](mod@broker): what people do at a broker, over its own API.
//!
//! A verb that acts in a cluster sets an annotation that the controller acts upon, and nothing else; `expose` makes a route. What is
//! printed is made of values by functions without input or output.

pub mod broker;
pub mod check;
pub mod cli;
pub mod cluster;
pub mod diagnose;
pub mod explain;
pub mod expose;
pub mod failure;
pub mod generate;
pub mod objects;
pub mod orphans;
pub mod plan;
pub mod reconciling;
pub mod rotation;
pub mod run;
pub mod screen;
pub mod settings;
pub mod standalone;
pub mod status;
pub mod version;
pub mod wait;
