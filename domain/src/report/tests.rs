//! What becomes of a cluster in statuses.

mod gateways;
mod ready;
mod records;
mod routes;
