//! What becomes of a cluster in statuses.

mod details;
mod gateways;
mod listener_sets;
mod ready;
mod records;
mod routes;
mod services;
