//! Keys that wrap a broker's data keys and never leave where they are, each kind a
//! [`KeyWrap`](domain::broker::ports::KeyWrap).
//!
//! - [`pkcs11`]: an AES key in a token, over a module of PKCS#11.
//! - [`vault`]: a key of HashiCorp Vault's transit engine.
//!
//! Errors that go further say what a tenant may know. What the module or the service said is logged.

pub mod pkcs11;
pub mod vault;

pub use pkcs11::{Pkcs11Keys, Pkcs11Settings};
pub use vault::{VaultError, VaultKeys, VaultSettings};

use domain::ports::{PortError, PortErrorKind};

/// Nothing is known of the data key; another attempt may help.
fn away(whose: &str) -> PortError {
    PortError::unavailable(format!(
        "the broker's keys cannot be used now ({whose} does not serve them); the log says why"
    ))
}

/// Another attempt does not help.
fn refused(what: &str) -> PortError {
    PortError::new(PortErrorKind::Credentials, what)
}
