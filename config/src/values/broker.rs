//! Values of the broker's settings.

use std::fmt;
use std::str::FromStr;

use super::{ServerName, TextSetting, Unfit};

/// Hexadecimal digits, this many and no others; in lower case.
fn hexadecimal(text: &str, digits: usize) -> Option<String> {
    let fits = text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
    fits.then(|| text.to_ascii_lowercase())
}

text! {
    /// Id of a Cloudflare account. A user may write the API token here by mistake.
    AccountTag,
    "an account id of 32 hexadecimal digits",
    |text| hexadecimal(text, 32),
    MAY_HOLD_SECRET
}

text! {
    /// SHA-256 of a token, in hexadecimal digits, as `sha256sum` prints it. A user may write the token here by mistake.
    Sha256Hash,
    "a SHA-256 hash of 64 hexadecimal digits, such as `printf %s \"$token\" | sha256sum` prints",
    |text| hexadecimal(text, 64),
    MAY_HOLD_SECRET
}

text! {
    /// A hostname, or a wildcard that stands for itself and for every name below it; in lower case.
    HostnamePattern,
    "a hostname such as app.example.com, or *.example.com for every name below example.com",
    |text| {
        let text = text.to_ascii_lowercase();
        let name = text.strip_prefix("*.").unwrap_or(&text);
        (text.len() <= 253 && name.parse::<ServerName>().is_ok()).then_some(text)
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

impl TextSetting for Moment {
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
