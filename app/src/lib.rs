//! Composition roots and processes. The only place where concrete adapters meet.
//!
//! - [`standalone`]: a folder of manifests in, a tunnel out, no Kubernetes.
//! - [`broker`]: edge intents of many clusters in, Cloudflare credentials of its own.
//! - [`edge`]: the edge that a program is wired with.
//! - [`passes`]: when a pass over the ports runs.
//! - [`workloads`]: proxies as parts of this process.
//! - [`admin`]: health, readiness and metrics over HTTP.

pub mod admin;
pub mod broker;
pub mod cli;
pub mod edge;
pub mod passes;
pub mod standalone;
pub mod system;
pub mod telemetry;
pub mod workloads;
