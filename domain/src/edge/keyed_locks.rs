//! One piece of work at a time for each key.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::lock;

/// A lock for each key.
#[derive(Debug)]
pub struct KeyedLocks<K>(Mutex<BTreeMap<K, Arc<lock::Mutex<()>>>>);

/// The right to work on one key, until it is dropped.
pub type KeyedLock = lock::OwnedMutexGuard<()>;

impl<K> Default for KeyedLocks<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord + Clone> KeyedLocks<K> {
    /// Waits until no other work on the key is under way.
    pub async fn lock(&self, key: &K) -> KeyedLock {
        let lock = {
            let mut locks = self
                .0
                .lock()
                .expect("nothing panics while it holds this lock");
            // These are neither held nor waited for.
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            locks.entry(key.clone()).or_default().clone()
        };
        lock.lock_owned().await
    }
}
