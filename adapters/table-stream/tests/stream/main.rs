//! Servers and clients over loopback TLS.

mod authority;
mod following;
mod identity;
mod leadership;
mod restart;
mod rig;
mod slow;
