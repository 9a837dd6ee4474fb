//! How tables are written and read where that needs a word.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serializer};

use super::{Upstream, UpstreamKey};

/// Reads a list that takes the room that it needs. A list of unknown length is read with room for four, and a table has
/// four lists of mostly one entry for each route.
pub(super) fn exact<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let mut list = Vec::deserialize(deserializer)?;
    list.shrink_to_fit();
    Ok(list)
}

/// Whether a part of a rule says nothing.
pub(super) fn is_default<T: Default + PartialEq>(part: &T) -> bool {
    *part == T::default()
}

/// Upstreams as a list of pairs: a key has parts, and JSON's keys are texts.
pub(super) fn serialize<S: Serializer>(
    upstreams: &BTreeMap<UpstreamKey, Upstream>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(upstreams)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<UpstreamKey, Upstream>, D::Error> {
    let pairs = Vec::<(UpstreamKey, Upstream)>::deserialize(deserializer)?;
    Ok(pairs.into_iter().collect())
}
