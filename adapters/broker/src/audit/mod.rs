//! The audit on the way out of the store: what is signed of it, what is cut, and whether all of it is true.
//!
//! - [`key`]: the key that signs, and those that are trusted.
//! - [`keeper`]: signs in time, and cuts what need not be kept.
//! - [`files`]: what was cut, as files.
//! - [`verify`](mod@verify): goes through files and store.

pub mod files;
pub mod keeper;
pub mod key;
pub mod verify;

pub use keeper::{Keeper, KeeperError, Keeping};
pub use verify::{Evidence, Verified, VerifyError, verify};
