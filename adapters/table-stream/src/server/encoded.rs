//! The frame with a whole table: made once and shared by all streams that need it, for as long as one of them does.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use domain::route_table::RouteTable;
use parking_lot::Mutex;

use crate::frames::encode;
use crate::wire::{FORMAT, Table, ToProxy, Version};

/// The frame with the newest table of one Gateway.
#[derive(Debug, Default)]
pub(super) struct Encoded(Mutex<Option<(Version, Weak<Bytes>)>>);

/// Keeps the frame alive while a stream still has to send some of it.
struct Sent(Arc<Bytes>);

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Encoded {
    pub(super) fn of(&self, version: Version, table: &Arc<RouteTable>) -> Bytes {
        let mut last = self.0.lock();
        let known = last.as_ref().filter(|(known, _)| *known == version);
        let known = known.and_then(|(_, frame)| frame.upgrade());
        let frame = known.unwrap_or_else(|| {
            let frame = Arc::new(encode(&ToProxy::Table(Table {
                format: FORMAT,
                version,
                table: table.clone(),
            })));
            *last = Some((version, Arc::downgrade(&frame)));
            frame
        });
        Bytes::from_owner(Sent(frame))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use domain::names::ObjectKey;

    use super::*;

    #[test]
    fn a_frame_is_shared_while_somebody_sends_it_and_is_that_of_its_version() {
        let table = Arc::new(RouteTable {
            client_validation: Vec::new(),
            gateway: ObjectKey::new("infra", "web"),
            listeners: Vec::new(),
            upstreams: BTreeMap::new(),
        });
        let version = |counter| Version { term: 1, counter };
        let encoded = Encoded::default();
        let first = encoded.of(version(1), &table);
        let again = encoded.of(version(1), &table);
        assert_eq!(first.as_ptr(), again.as_ptr());
        let next = encoded.of(version(2), &table);
        assert_ne!(first, next);
        drop((first, again, next));
        let kept = encoded
            .0
            .lock()
            .as_ref()
            .and_then(|(_, frame)| frame.upgrade());
        assert_eq!(kept, None);
    }
}
