//! How upstreams are written: as a list of pairs, because a key has parts and JSON's keys are texts.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serializer};

use super::{Upstream, UpstreamKey};

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
