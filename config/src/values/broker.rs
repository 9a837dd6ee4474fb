//! Values of the broker's settings and of a cluster that uses one.

use std::fmt;
use std::str::FromStr;

use super::{ServerName, Unfit, Written};

/// What stands between this program and Cloudflare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Nothing: credentials come from Secrets.
    Direct,
    /// A broker, which holds the credentials.
    Broker,
}

impl Written for Backend {
    const EXPECTED: &'static str = "`direct` or `broker`";
}

impl FromStr for Backend {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        match text {
            "direct" => Ok(Self::Direct),
            "broker" => Ok(Self::Broker),
            _ => Err(Unfit),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Broker => "broker",
        })
    }
}

/// Hexadecimal digits, this many and no others.
fn hexadecimal(text: &str, digits: usize) -> Result<String, Unfit> {
    if text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(Unfit)
    }
}

/// Id of a Cloudflare account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountTag(String);

impl AccountTag {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Written for AccountTag {
    const EXPECTED: &'static str = "an account id of 32 hexadecimal digits";
    // Somebody may put the token here.
    const MAY_HOLD_SECRET: bool = true;
}

impl FromStr for AccountTag {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        hexadecimal(text, 32).map(Self)
    }
}

impl fmt::Display for AccountTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// SHA-256 of a token, in hexadecimal digits, as `sha256sum` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sha256Hash(String);

impl Sha256Hash {
    /// The digits, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Written for Sha256Hash {
    const EXPECTED: &'static str = "a SHA-256 hash of 64 hexadecimal digits, such as `printf %s \"$token\" | sha256sum` prints";
    // Somebody may put the token itself here.
    const MAY_HOLD_SECRET: bool = true;
}

impl FromStr for Sha256Hash {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        hexadecimal(text, 64).map(Self)
    }
}

impl fmt::Display for Sha256Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A hostname, or a wildcard that stands for itself and for every name below it; in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostnamePattern(String);

impl HostnamePattern {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Written for HostnamePattern {
    const EXPECTED: &'static str =
        "a hostname such as app.example.com, or *.example.com for every name below example.com";
}

impl FromStr for HostnamePattern {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        let text = text.to_ascii_lowercase();
        let name = text.strip_prefix("*.").unwrap_or(&text);
        name.parse::<ServerName>()?;
        match text.len() <= 253 {
            true => Ok(Self(text)),
            false => Err(Unfit),
        }
    }
}

impl fmt::Display for HostnamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A moment, written as RFC 3339 has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(jiff::Timestamp);

impl Moment {
    /// Whole seconds since the Unix epoch.
    pub fn unix_seconds(self) -> i64 {
        self.0.as_second()
    }
}

impl Written for Moment {
    const EXPECTED: &'static str = "a moment with its offset, such as 2027-01-31T12:00:00Z";
}

impl FromStr for Moment {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        text.parse().map(Self).map_err(|_| Unfit)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
