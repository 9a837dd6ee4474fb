//! How an instance competes for a Lease.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

/// The Lease, the instance that competes for it, and the times.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseOptions {
    pub namespace: String,
    pub name: String,
    /// This instance, e.g. the pod's name. Unique among all that compete.
    pub identity: String,
    /// Where this instance is reached while it leads (`host:port`). It becomes part of the Lease, after the last `_`.
    pub address: String,
    /// After this time without renewal another may take the Lease. Whole seconds, at least 1.
    pub duration: Duration,
    /// What the Lease goes with, if with anything.
    pub owner: Option<OwnerReference>,
    /// Time between renewals; a third of the duration or less leaves room for failures.
    pub renew: Duration,
}

impl LeaseOptions {
    /// `spec.holderIdentity`.
    pub(super) fn holder(&self) -> String {
        format!("{}_{}", self.identity, self.address)
    }

    /// How long after the start of a renewal this instance counts itself leader.
    pub(super) fn trusted(&self) -> Duration {
        self.duration * 2 / 3
    }
}
