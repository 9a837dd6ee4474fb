//! DNS records: proxied CNAMEs to the Gateway's tunnel.

pub(crate) mod apply;
pub mod claims;
mod intent;
pub(crate) mod owner;
pub(crate) mod plan;

pub use intent::DnsIntent;
pub use plan::{RecordChange, ZoneChanges, wanted_record, zone_of};
