//! What the operating system gives: entropy, the time, and leadership for a process that is alone.

use std::time::{SystemTime, UNIX_EPOCH};

use domain::Timestamp;
use domain::ports::{Clock, Entropy, Journal, Leadership};
use rustls::crypto::SecureRandom;

/// Random bytes from the cryptography provider.
#[derive(Debug)]
pub struct SystemEntropy {
    source: &'static dyn SecureRandom,
}

impl Default for SystemEntropy {
    fn default() -> Self {
        Self {
            source: rustls::crypto::aws_lc_rs::default_provider().secure_random,
        }
    }
}

impl Entropy for SystemEntropy {
    fn secret(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.source
            .fill(&mut bytes)
            .expect("the operating system has entropy once it has booted");
        bytes
    }
}

/// The system's clock.
#[derive(Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = since_epoch.unwrap_or_default().as_secs();
        Timestamp(i64::try_from(seconds).unwrap_or(i64::MAX))
    }
}

/// The log, as the journal of what is done at the edge.
#[derive(Debug, Default)]
pub struct LogJournal {
    /// For which cluster, where several are served.
    pub cluster: Option<String>,
}

impl Journal for LogJournal {
    fn note(&self, line: &str) {
        tracing::info!(cluster = self.cluster, "at Cloudflare: {line}");
    }
}

/// Leads always: there is no other instance, or a second one does no harm because every pass is
/// idempotent.
#[derive(Debug)]
pub struct AlwaysLeader;

impl Leadership for AlwaysLeader {
    fn term(&self) -> Option<u64> {
        Some(1)
    }
}
