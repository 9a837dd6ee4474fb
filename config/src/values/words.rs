//! Settings that are one of a few words.

use std::fmt;
use std::str::FromStr;

use super::{TextSetting, Unfit};

/// An enum whose variants are written as words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $( $(#[$variant_doc:meta])* $variant:ident = $word:literal, )+) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $( $(#[$variant_doc])* $variant, )+
        }

        impl TextSetting for $name {
            const EXPECTED: &'static str = $expected;
        }

        impl FromStr for $name {
            type Err = Unfit;

            fn from_str(text: &str) -> Result<Self, Unfit> {
                match text {
                    $( $word => Ok(Self::$variant), )+
                    _ => Err(Unfit),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $( Self::$variant => $word, )+
                })
            }
        }
    };
}

words! {
    /// How log lines look.
    LogFormat,
    "`text` or `json`",
    Text = "text",
    /// One JSON object a line.
    Json = "json",
}

words! {
    /// What carries tunnel connections.
    TransportChoice,
    "`auto`, `http2` or `quic`",
    /// HTTP/2, and QUIC while TCP to the edge fails.
    Auto = "auto",
    Http2 = "http2",
    Quic = "quic",
}

words! {
    /// What becomes of a request's headers with underscores in their names.
    UnderscoredHeaders,
    "`drop` or `allow`",
    Drop = "drop",
    Allow = "allow",
}

words! {
    /// What stands between this program and Cloudflare.
    Backend,
    "`direct` or `broker`",
    /// Nothing: credentials come from Secrets.
    Direct = "direct",
    /// A broker, which holds the credentials.
    Broker = "broker",
}

words! {
    /// Where keys are that API tokens are sealed by.
    KeyKind,
    "`file`, `variable`, `pkcs11` or `vault`",
    File = "file",
    Variable = "variable",
    Pkcs11 = "pkcs11",
    Vault = "vault",
}

words! {
    /// What somebody may do at a broker.
    RoleName,
    "`viewer`, `operator`, `credential-admin` or `auditor`",
    Viewer = "viewer",
    Operator = "operator",
    CredentialAdmin = "credential-admin",
    Auditor = "auditor",
}
