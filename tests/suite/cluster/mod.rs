//! What only a true Kubernetes can show. These tests run inside of the test cluster's namespaces.

mod node;
mod outage;
mod permissions;
mod traffic;
mod user;
