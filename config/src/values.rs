//! What a single setting may be. Each type is read from text (so that file, environment and flags read
//! alike); a value of such a type is valid.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use jiff::fmt::friendly::{Spacing, SpanParser, SpanPrinter};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use url::{Host, Url};

/// The text is not what the setting may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a value of this setting")]
pub struct Unfit;

/// A setting that is written as text.
trait TextSetting: FromStr<Err = Unfit> + fmt::Display {
    /// Completes "is not …", with an example.
    const EXPECTED: &'static str;
    /// Whether a number without quotes does too.
    const TAKES_NUMBERS: bool = false;
    /// Whether `true` and `false` without quotes do too.
    const TAKES_BOOLEANS: bool = false;
    /// Whether a list does too; as text its items stand between commas.
    const TAKES_LISTS: bool = false;
    /// Whether a wrong value may hold a secret, so that no error repeats it.
    const MAY_HOLD_SECRET: bool = false;
}

struct TextVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: TextSetting> Visitor<'de> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.trim().parse().map_err(|Unfit| {
            if T::MAY_HOLD_SECRET {
                E::custom(format_args!("it is not {}", T::EXPECTED))
            } else {
                E::custom(format_args!("{text:?} is not {}", T::EXPECTED))
            }
        })
    }

    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<T, E> {
        if T::TAKES_BOOLEANS {
            return self.visit_str(&truth.to_string());
        }
        Err(E::invalid_type(de::Unexpected::Bool(truth), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        if T::TAKES_NUMBERS {
            return self.visit_str(&number.to_string());
        }
        Err(E::invalid_type(de::Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_type(de::Unexpected::Signed(number), &self)),
        }
    }

    fn visit_u128<E: de::Error>(self, number: u128) -> Result<T, E> {
        self.visit_u64(u64::try_from(number).unwrap_or(u64::MAX))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<T, A::Error> {
        if !T::TAKES_LISTS {
            return Err(de::Error::invalid_type(de::Unexpected::Seq, &self));
        }
        let mut texts: Vec<String> = Vec::new();
        while let Some(text) = items.next_element()? {
            texts.push(text);
        }
        self.visit_str(&texts.join(","))
    }
}

/// Reads and writes each type as its text.
macro_rules! written {
    ($($type:ty),+ $(,)?) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(TextVisitor(std::marker::PhantomData))
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )+};
}

/// A text setting that holds what was written, or the form of it that `$read` gives.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $expected:expr, $read:expr $(, $option:ident)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// The text as it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TextSetting for $name {
            const EXPECTED: &'static str = $expected;
            $( const $option: bool = true; )?
        }

        impl FromStr for $name {
            type Err = Unfit;

            fn from_str(text: &str) -> Result<Self, Unfit> {
                let read: fn(&str) -> Option<String> = $read;
                read(text).map(Self).ok_or(Unfit)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// The text, where it is a value.
fn kept(text: &str, is_value: bool) -> Option<String> {
    is_value.then(|| text.to_owned())
}

mod broker;
mod cluster;
mod memory;
mod words;

pub use broker::{BrokerUrls, KeyLabel, StoreAddress, VariableName};
pub use cluster::{AddressRanges, HostPort, Image, Names, ObjectName, Switch};
pub use memory::MemoryLimit;
pub use words::{Backend, KeyKind, LogFormat, RoleName, TransportChoice, UnderscoredHeaders};

written!(
    StoreAddress,
    KeyKind,
    KeyLabel,
    VariableName,
    AuditEntries,
    BrokerUrls,
    AddressRanges,
    Backend,
    HostPort,
    Image,
    Names,
    ObjectName,
    RoleName,
    Switch,
    Period,
    Label,
    BaseUrl,
    ServerName,
    Address,
    EdgeAddresses,
    NameServers,
    LogFilter,
    LogFormat,
    TransportChoice,
    UnderscoredHeaders,
    Connections,
    RequestBudget,
    InFlight,
    MemoryLimit,
);

/// A length of time above zero, written with units: `30s`, `1h30m`, `250ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(Duration);

impl Period {
    /// This many seconds; used for defaults, which are above zero.
    pub(crate) const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The length of time.
    pub fn get(self) -> Duration {
        self.0
    }
}

impl TextSetting for Period {
    const EXPECTED: &'static str = "a length of time above zero with units h, m, s or ms from long to short, such as 30s or 1h30m";
}

impl FromStr for Period {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        let read = SpanParser::new().parse_unsigned_duration(text);
        let period = read.ok().filter(|period| !period.is_zero());
        period.map(Self).ok_or(Unfit)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printer = SpanPrinter::new().spacing(Spacing::None);
        f.write_str(&printer.unsigned_duration_to_string(&self.0))
    }
}

text! {
    /// A DNS label (RFC 1123): 1 to 63 of a-z, 0-9 and inner `-`.
    Label,
    "1 to 63 of a-z, 0-9 and inner `-`, such as production",
    |text| kept(text, is_label(text) && text.len() <= 63)
}

/// Whether a text is of a-z, 0-9 and inner `-`.
fn is_label(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && !text.starts_with('-') && !text.ends_with('-') && text.bytes().all(fits)
}

text! {
    /// Base URL of an API that gets a token: `https`, or `http` to this machine.
    BaseUrl,
    "an https URL without user, query and fragment (http only to this machine), such as https://api.cloudflare.com/client/v4",
    |text| kept(text, Url::parse(text).is_ok_and(|url| is_base(&url, text))),
    MAY_HOLD_SECRET
}

fn is_base(url: &Url, text: &str) -> bool {
    let is_encrypted = match url.scheme() {
        "https" => true,
        "http" => match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        },
        _ => false,
    };
    let has_user = !url.username().is_empty() || url.password().is_some();
    // The parser passes over slashes and blanks that are too many, and takes `\` for a slash.
    let is_plain = !text.contains(":///") && !text.contains(['\\', ' ', '\t', '\n', '\r']);
    is_encrypted && is_plain && !has_user && url.query().is_none() && url.fragment().is_none()
}

text! {
    /// A DNS name that a server proves by its certificate.
    ServerName,
    "a DNS name in lower case, such as h2.cftunnel.com",
    |text| kept(text, text.len() <= 253 && text.split('.').all(|label| label.parse::<Label>().is_ok()))
}

/// An IP address with a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(SocketAddr);

impl Address {
    /// The address.
    pub fn get(self) -> SocketAddr {
        self.0
    }
}

impl TextSetting for Address {
    const EXPECTED: &'static str =
        "an IP address with a port, such as 127.0.0.1:8081 or [::1]:8081";
}

impl FromStr for Address {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        text.parse().map(Self).map_err(|_| Unfit)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Addresses that are either found by the program or given as a list.
macro_rules! addresses {
    ($(#[$doc:meta])* $name:ident, $found:ident = $word:literal, $(#[$found_doc:meta])* $example:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $(#[$found_doc])*
            $found,
            /// These, of which there is at least one.
            Given(Vec<SocketAddr>),
        }

        impl TextSetting for $name {
            const EXPECTED: &'static str =
                concat!("`", $word, "` or a list of IP addresses with ports, such as ", $example);
            const TAKES_LISTS: bool = true;
        }

        impl FromStr for $name {
            type Err = Unfit;

            fn from_str(text: &str) -> Result<Self, Unfit> {
                if text == $word {
                    return Ok(Self::$found);
                }
                let items = text.split(',').map(|item| item.trim().parse());
                items.collect::<Result<_, _>>().map(Self::Given).map_err(|_| Unfit)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    Self::$found => f.write_str($word),
                    Self::Given(addresses) => {
                        let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                        f.write_str(&texts.join(","))
                    }
                }
            }
        }
    };
}

addresses! {
    /// Where the tunnel connects to.
    EdgeAddresses, Discover = "discover",
    /// The addresses that Cloudflare publishes in DNS.
    "198.41.192.7:7844"
}

addresses! {
    /// Who is asked for the edge's addresses.
    NameServers, System = "system",
    /// The name servers of the machine.
    "1.1.1.1:53"
}

text! {
    /// Which log lines are written, as `tracing` directives.
    LogFilter,
    "a level or directives, such as info or info,hyper=warn",
    |text| kept(text, !text.is_empty())
}

/// A whole number within limits.
macro_rules! number {
    ($(#[$meta:meta])* $name:ident, $least:literal..=$most:literal, $expected:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name(u32);

        impl $name {
            /// For defaults, which are within the limits.
            pub(crate) const fn new(number: u32) -> Self {
                assert!($least <= number && number <= $most);
                Self(number)
            }

            /// The number, which is within the limits.
            pub fn get(self) -> u32 {
                self.0
            }
        }

        impl TextSetting for $name {
            const EXPECTED: &'static str = $expected;
            const TAKES_NUMBERS: bool = true;
        }

        impl FromStr for $name {
            type Err = Unfit;

            fn from_str(text: &str) -> Result<Self, Unfit> {
                let number = text.parse().map_err(|_| Unfit)?;
                if ($least..=$most).contains(&number) { Ok(Self(number)) } else { Err(Unfit) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// Connections of one connector to the edge: 1 to 8.
    Connections,
    1..=8,
    "a number from 1 to 8, such as 4"
);
number!(
    /// Requests to the Cloudflare API in five minutes: 10 to 1,200, which is what Cloudflare allows
    /// (developers.cloudflare.com/fundamentals/api/reference/limits).
    RequestBudget,
    10..=1200,
    "a number from 10 to 1200, such as 600"
);
number!(
    /// Requests at a time: 1 to 1,000,000.
    InFlight,
    1..=1_000_000,
    "a number from 1 to 1000000, such as 20000"
);

number!(
    /// Entries of an audit: 10 to 100,000,000.
    AuditEntries,
    10..=100_000_000,
    "a number from 10 to 100000000, such as 1000000"
);

#[cfg(test)]
mod tests;
