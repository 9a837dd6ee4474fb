//! Statuses from resolutions.
use std::collections::BTreeMap;

use super::{GatewayFacts, Resolution};
use crate::names::ObjectKey;
use crate::status::StatusUpdate;

/// The statuses of every object of ours.
pub fn report(
    _resolution: &Resolution,
    _facts: &BTreeMap<ObjectKey, GatewayFacts>,
) -> Vec<StatusUpdate> {
    Vec::new()
}
