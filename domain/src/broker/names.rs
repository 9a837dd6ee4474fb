//! Names of what a broker keeps. They are what people type and what its API has in paths, so each is a DNS label.

use std::fmt;

use crate::names::{InstallationName, MalformedName, is_dns_label};

/// A cluster's name is the installation name in its tunnels and marks, so it is unique over all tenants.
pub type ClusterName = InstallationName;

macro_rules! label {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[cfg_attr(
            feature = "serde",
            derive(serde::Serialize, serde::Deserialize),
            serde(try_from = "String", into = "String")
        )]
        pub struct $name(String);

        impl $name {
            /// Parses a DNS label: 1 to 63 of a-z, 0-9 and inner `-`.
            pub fn parse(text: &str) -> Result<Self, MalformedName> {
                if is_dns_label(text) {
                    return Ok(Self(text.to_owned()));
                }
                Err(MalformedName {
                    what: $what,
                    text: text.to_owned(),
                    problem: "use 1 to 63 of a-z, 0-9 and inner `-`",
                })
            }

            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = MalformedName;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

label! {
    /// A customer: owns accounts and clusters.
    TenantName, "tenant name"
}
label! {
    /// A Cloudflare account with its credentials, by the name that its tenant gave it.
    AccountName, "account name"
}
label! {
    /// A grant, unique in its tenant.
    GrantName, "grant name"
}
label! {
    /// Somebody who signs in.
    PersonName, "name of a person"
}
label! {
    /// Who vouches for people who sign in, by the name that whoever runs the broker gave it.
    ProviderName, "name of an identity provider"
}
