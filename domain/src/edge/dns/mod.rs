//! DNS records: proxied CNAMEs to the Gateway's tunnel.
//!
//! - `plan`: the changes of all zones; `name`: what one name's records call for.
//! - `owner`: whose a record is; `drift`: what others changed on one of ours; `adopt`: what gives way to one of ours.
//! - `guard`: holds back a removal of many names; `zone`: which zone a name lies in, and what that zone does for it.

mod adopt;
pub(crate) mod apply;
pub mod claims;
mod drift;
mod guard;
mod intent;
mod name;
pub(crate) mod owner;
pub(crate) mod plan;
mod zone;

pub use guard::HeldBack;
pub use intent::DnsIntent;
pub use plan::{RecordChange, ZoneChanges, wanted_record};
pub use zone::{ZoneStatus, has_universal_certificate, zone_of};
