//! A folder of manifests as the cluster.
