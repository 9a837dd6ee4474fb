//! The rules as tables: a cluster, and what follows from it.

mod backend_tls;
mod backend_traffic;
mod backends;
mod certificates;
mod classes;
mod client_certificate;
mod exposed;
mod external;
pub(crate) mod fixtures;
mod frontend;
mod gateways;
mod guard_rails;
mod listener_sets;
mod listeners;
mod order;
mod parameters;
mod parents;
mod records;
mod retained;
mod routing_type;
mod service_imports;
mod sessions;
mod tables;
mod tenants;
mod unread;
mod uploads;
