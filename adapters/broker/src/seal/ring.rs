//! Keys of several kinds at once, so that secrets can go from one to another.

use std::sync::Arc;

use async_trait::async_trait;
use domain::broker::ports::{KeyWrap, Wrapped};
use domain::ports::PortError;
use secrecy::SecretSlice;

use super::written::not_there;

/// Keys that wrap, and others that only unwrap what they wrapped.
pub struct KeyRing {
    wraps: Arc<dyn KeyWrap>,
    others: Vec<Arc<dyn KeyWrap>>,
}

impl KeyRing {
    /// Keys of which these wrap.
    pub fn new(wraps: Arc<dyn KeyWrap>, others: Vec<Arc<dyn KeyWrap>>) -> Self {
        Self { wraps, others }
    }
}

#[async_trait]
impl KeyWrap for KeyRing {
    async fn current(&self) -> Result<String, PortError> {
        self.wraps.current().await
    }

    fn has(&self, key: &str) -> bool {
        self.wraps.has(key) || self.others.iter().any(|keys| keys.has(key))
    }

    async fn wrap(&self, data_key: &SecretSlice<u8>) -> Result<Wrapped, PortError> {
        self.wraps.wrap(data_key).await
    }

    async fn unwrap(&self, wrapped: &Wrapped) -> Result<SecretSlice<u8>, PortError> {
        let key = &wrapped.key;
        let mut all = [&self.wraps].into_iter().chain(&self.others);
        let keys = all.find(|keys| keys.has(key));
        keys.ok_or_else(|| not_there(key))?.unwrap(wrapped).await
    }
}
