//! Services that ask to be exposed. Their conditions have no place in the object, so what was told last is remembered
//! here.

use std::collections::HashMap;

use adapter_gateway_api::status::status;
use domain::ObjectRef;
use domain::status::StatusUpdate;
use parking_lot::Mutex;
use serde_json::Value;

use super::events::Events;
use super::now;

/// What Events told of Services.
#[derive(Default)]
pub(super) struct ToldServices {
    last: Mutex<HashMap<ObjectRef, Told>>,
}

struct Told {
    uid: String,
    /// Conditions as JSON, as those of a route.
    status: Value,
}

impl ToldServices {
    /// Writes an Event for what flipped since the last call.
    pub(super) fn tell(&self, update: &StatusUpdate, uid: &str, events: &Events) {
        let mut last = self.last.lock();
        let earlier = last.get(&update.object).filter(|told| told.uid == uid);
        let earlier = earlier.map_or(&Value::Null, |told| &told.status);
        let status = status(update, earlier, &now());
        events.of_flips(&update.object, uid, earlier, &status);
        let told = Told {
            uid: uid.to_owned(),
            status,
        };
        last.insert(update.object.clone(), told);
    }

    /// Forgets those that are gone.
    pub(super) fn forget(&self, is_gone: impl Fn(&ObjectRef) -> bool) {
        self.last.lock().retain(|about, _| !is_gone(about));
    }
}
