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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lock_that_nobody_has_is_forgotten() {
        let locks = KeyedLocks::default();
        let held = locks.lock(&0).await;
        for key in 1..9 {
            drop(locks.lock(&key).await);
        }
        let kept: Vec<i32> = locks.0.lock().unwrap().keys().copied().collect();
        assert_eq!(kept, [0, 8]);
        drop(held);
    }
}
