//! What only a true Kubernetes can show. These tests run inside of the test cluster's namespaces.

mod annotated_service;
mod autoscaling;
mod broker;
mod cfgwctl;
mod chart;
mod deletion;
mod edits;
mod first_gateway;
mod health;
mod hostile;
mod network;
mod node;
mod operated;
mod other_gateway;
mod outage;
mod page;
mod permissions;
mod rotation;
mod scale;
mod schema;
mod traffic;
mod user;
