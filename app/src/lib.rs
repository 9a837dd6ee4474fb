//! Composition roots and processes. The only place where concrete adapters meet.
//!
//! - [`standalone`]: a folder of manifests in, a tunnel out, no Kubernetes.
//! - [`passes`]: when a pass over the ports runs.
//! - [`workloads`]: proxies as parts of this process.
//! - [`admin`]: health, readiness and metrics over HTTP.

pub mod admin;
pub mod cli;
pub mod passes;
pub mod standalone;
pub mod system;
pub mod telemetry;
pub mod workloads;
