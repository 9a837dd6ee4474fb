//! Kubernetes as the cluster.
