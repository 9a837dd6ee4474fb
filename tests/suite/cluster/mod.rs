//! What only a true Kubernetes can show. These tests run inside of the test cluster's namespaces.

mod bystander;
mod edits;
mod hostile;
mod node;
mod outage;
mod permissions;
mod scale;
mod traffic;
mod user;
