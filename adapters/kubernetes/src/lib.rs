//! Kubernetes as the cluster.

pub mod workloads;
