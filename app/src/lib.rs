//! Composition roots and processes. The only place where concrete adapters meet.
//!
//! - [`standalone`]: a folder of manifests in, a tunnel out, no Kubernetes.
//! - [`controller`]: a Kubernetes cluster in; route tables, tunnels, records and proxies out.
//! - [`proxy`]: one replica of a Gateway's data plane, fed by a controller.
//! - [`broker`]: edge intents of many clusters in, Cloudflare credentials of its own.
//! - [`edge`]: the edge that a program is wired with.
//! - [`authority`]: the controller's certificate authority, kept in a Secret.
//! - [`passes`]: when a pass over the ports runs; `schedule`: when what failed is tried again; `problems`: what the log
//!   tells of it.
//! - [`disowned`]: which passes the edge's refusals wake, and how often.
//! - [`cli`]: the command line; `environment`: variables of the process; `core_dumps`: that it leaves none.
//! - [`workloads`]: proxies as parts of this process.
//! - `outgoing`: the proxy through which APIs are called; `listening`: where servers listen.
//! - [`admin`]: health, readiness and metrics over HTTP; `probe`: asks for them.

pub mod admin;
pub mod attestor;
pub mod authority;
pub mod broker;
pub mod cli;
mod client_certificate;
mod cluster_key;
mod connectors;
pub mod controller;
mod core_dumps;
pub mod disowned;
pub mod edge;
mod engines;
mod environment;
mod listening;
mod outgoing;
pub mod passes;
mod probe;
mod problems;
pub mod proxy;
mod schedule;
pub mod standalone;
pub mod system;
pub mod telemetry;
pub mod workloads;
