//! Servers and clients over loopback TLS.

mod authority;
mod following;
mod format;
mod identity;
mod leadership;
mod restart;
mod rig;
mod slow;
