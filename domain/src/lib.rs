//! What must be true, computed from what was seen: Gateway API semantics, route tables, edge plans and
//! statuses. Values in, values out: no I/O, no clock, no randomness, no framework types. The one async
//! part is a pass over the ports ([`reconcile`]), without timers.
//!
//! Read in this order:
//! 1. [`capabilities`]: the features of the Gateway API, and which of them a data plane serves.
//!    [`gateway`]: what the cluster says; [`snapshot`]: one complete view of it.
//! 2. [`attachment`]: which route attaches to which listener, and why not.
//! 3. [`route_table`]: what a proxy needs to route, and the matcher that answers a request.
//! 4. [`edge`]: what must be true at Cloudflare, what is, and the plan between the two.
//!    [`broker`]: which cluster may have what at the edge, where a broker stands between.
//! 5. [`rotation`]: when the token of a tunnel is replaced. [`workload`]: how the proxies of a Gateway are to run.
//!    [`certificate`]: what may be known of a listener's certificate.
//! 6. [`status`]: conditions and reasons as the Gateway API names them; [`report`]: the statuses that follow.
//!    [`endpoint_policy`]: which addresses a proxy may connect to.
//! 7. [`ports`]: the traits the outside world implements ([`error`]: why they fail); [`reconcile`]: the pass that uses them.
//!    [`rehearsal`]: the same passes over ports that write nothing.

pub mod attachment;
pub mod broker;
pub mod capabilities;
pub mod certificate;
mod duration;
pub mod edge;
pub mod endpoint_policy;
pub mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod gateway;
pub mod names;
pub mod ports;
pub mod reconcile;
pub mod rehearsal;
pub mod report;
pub mod rotation;
pub mod route_table;
pub mod secret;
pub mod snapshot;
pub mod status;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod workload;

pub use names::{
    AccountId, AllowedHostnames, CertificateId, Hostname, HostnamePatterns, Installation,
    InstallationName, InstanceId, ObjectKey, ObjectRef, RecordId, Timestamp, TunnelId, ZoneId,
};
