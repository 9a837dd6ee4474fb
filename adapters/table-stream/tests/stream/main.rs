//! Servers and clients over loopback TLS.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod authority;
mod following;
mod format;
mod identity;
mod leadership;
mod raw;
mod restart;
mod rig;
mod slow;
mod strangers;
mod upgrade;
