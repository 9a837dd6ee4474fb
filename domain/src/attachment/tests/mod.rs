//! The rules as tables: a cluster, and what follows from it.

mod backends;
mod certificates;
mod classes;
mod exposed;
pub(crate) mod fixtures;
mod gateways;
mod guard_rails;
mod listeners;
mod order;
mod parameters;
mod parents;
mod records;
mod retained;
mod tables;
mod tenants;
mod unread;
mod uploads;
