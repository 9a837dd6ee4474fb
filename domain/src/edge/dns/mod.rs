//! DNS records: proxied CNAMEs to the Gateway's tunnel.

mod intent;

pub use intent::DnsIntent;
