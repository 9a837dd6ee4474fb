//! Data keys that were unwrapped, so that each is asked for once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use domain::broker::ports::Wrapped;
use parking_lot::Mutex;
use secrecy::SecretSlice;
use sha2::{Digest as _, Sha256};

/// Data keys that are kept in memory, at most. Beyond it the one that was put in first is wiped.
pub const KEPT_DATA_KEYS: usize = 10_000;

type Name = [u8; 32];

/// Data keys by the hash of what they were unwrapped from. They are wiped when they go.
#[derive(Default)]
pub(super) struct DataKeys(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    keys: HashMap<Name, Arc<SecretSlice<u8>>>,
    order: VecDeque<Name>,
}

impl DataKeys {
    pub(super) fn find(&self, wrapped: &Wrapped) -> Option<Arc<SecretSlice<u8>>> {
        self.0.lock().keys.get(&name(wrapped)).cloned()
    }

    pub(super) fn keep(&self, wrapped: &Wrapped, key: SecretSlice<u8>) -> Arc<SecretSlice<u8>> {
        let (name, key) = (name(wrapped), Arc::new(key));
        let mut kept = self.0.lock();
        if kept.keys.insert(name, key.clone()).is_none() {
            kept.order.push_back(name);
        }
        if kept.order.len() > KEPT_DATA_KEYS
            && let Some(first) = kept.order.pop_front()
        {
            kept.keys.remove(&first);
        }
        key
    }
}

fn name(wrapped: &Wrapped) -> Name {
    let mut hash = Sha256::new();
    hash.update((wrapped.key.len() as u64).to_be_bytes());
    hash.update(&wrapped.key);
    hash.update(&wrapped.bytes);
    hash.finalize().into()
}
