//! What becomes of a cluster in statuses.

mod gateways;
mod records;
mod routes;
