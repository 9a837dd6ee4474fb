//! Keys that are elsewhere: in a token of SoftHSM, at a Vault.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod kinds;
mod softhsm;
mod token;
mod transit;
mod vault;

use std::sync::atomic::{AtomicU64, Ordering};

use domain::ports::Entropy;
use secrecy::SecretSlice;

/// Each secret is another one.
#[derive(Default)]
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn secret(&self) -> [u8; 32] {
        let mut secret = [7; 32];
        let count = self.0.fetch_add(1, Ordering::Relaxed);
        secret[..8].copy_from_slice(&count.to_be_bytes());
        secret
    }
}

fn data_key(byte: u8) -> SecretSlice<u8> {
    SecretSlice::from(vec![byte; 32])
}
