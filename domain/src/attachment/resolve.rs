//! The rules.
use super::Resolution;
use crate::gateway::Defect;
use crate::names::{ObjectKey, ObjectRef};
use crate::snapshot::ClusterSnapshot;

/// Applies the Gateway API's rules to a snapshot. The order of objects in it does not matter.
pub fn resolve(_snapshot: &ClusterSnapshot, _controller: &str) -> Resolution {
    Resolution::default()
}

/// The Secret that holds a Gateway's Cloudflare credentials, or why there is none.
pub fn credentials_reference(
    _snapshot: &ClusterSnapshot,
    gateway: &ObjectKey,
) -> Result<ObjectRef, Defect> {
    Err(Defect {
        field: String::new(),
        kind: crate::gateway::DefectKind::Invalid,
        message: gateway.to_string(),
    })
}
