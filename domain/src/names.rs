//! Names and identifiers, parsed once. A value of one of these types is well formed.

mod allowed;

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

pub use allowed::{AllowedHostnames, HostnamePatterns};

/// Why a text is not the name it should be. The message names the problem and the remedy, not the field:
/// whoever read the text knows the field.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is not a valid {what}: {problem}")]
pub struct MalformedName {
    /// What the text should have been, e.g. `hostname`.
    pub what: &'static str,
    /// The text as it was given.
    pub text: String,
    /// What is wrong, and what would be right.
    pub problem: &'static str,
}

/// An exact hostname (`app.example.com`) or a wildcard (`*.example.com`), in lower case.
///
/// Rules: Gateway API `Hostname` (RFC 1123 without a port or an address; a wildcard label only as the
/// whole first label). A wildcard covers one or more labels, never the apex.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "String", into = "String")
)]
pub struct Hostname(Arc<str>);

impl Hostname {
    /// Parses a hostname; upper case is folded.
    pub fn parse(text: &str) -> Result<Self, MalformedName> {
        let malformed = |problem| MalformedName {
            what: "hostname",
            text: text.to_owned(),
            problem,
        };
        let lower = text.to_ascii_lowercase();
        let rest = lower.strip_prefix("*.").unwrap_or(&lower);
        if rest.is_empty() || lower.len() > 253 {
            return Err(malformed("it must have 1 to 253 characters"));
        }
        if rest.contains('*') {
            return Err(malformed(
                "`*` may only be the whole first label, as in *.example.com",
            ));
        }
        if rest.contains(':') || rest.parse::<std::net::Ipv4Addr>().is_ok() {
            return Err(malformed(
                "ports and addresses are not allowed, only a DNS name",
            ));
        }
        if !rest.split('.').all(is_label) {
            return Err(malformed(
                "each label takes a-z, 0-9 and inner `-`, 1 to 63 characters",
            ));
        }
        Ok(Self(lower.into()))
    }

    /// The text, `*.` included for a wildcard.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `example.com` for `*.example.com`, `None` for an exact name.
    pub fn wildcard_suffix(&self) -> Option<&str> {
        self.0.strip_prefix("*.")
    }

    /// Whether this is a wildcard.
    pub fn is_wildcard(&self) -> bool {
        self.wildcard_suffix().is_some()
    }

    /// Whether an exact host (lower case, without port) is covered.
    pub fn covers_host(&self, host: &str) -> bool {
        match self.wildcard_suffix() {
            None => *self.0 == *host,
            Some(suffix) => is_subdomain(host, suffix),
        }
    }

    /// The more specific of two hostnames where they overlap, `None` where they do not
    /// (Gateway API, `HTTPRoute.spec.hostnames`).
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let covers =
            |wide: &Self, narrow: &Self| match (wide.wildcard_suffix(), narrow.wildcard_suffix()) {
                (Some(w), Some(n)) => w == n || is_subdomain(n, w),
                _ => wide.covers_host(&narrow.0),
            };
        if covers(self, other) {
            Some(other.clone())
        } else if covers(other, self) {
            Some(self.clone())
        } else {
            None
        }
    }

    /// Orders by how specific a name is: exact before wildcard, then more characters.
    pub fn specificity(&self) -> (bool, usize) {
        (!self.is_wildcard(), self.0.len())
    }

    /// The reserved name that this one is or lies below: nothing can be published there. `.invalid` and
    /// `.localhost` mean something else to every resolver (RFC 6761), and what lies below `cfargotunnel.com` are the
    /// addresses of tunnels. `.test` and `.example` are reserved for people to use, so they are not among these.
    pub fn reserved(&self) -> Option<&'static str> {
        let mut reserved = RESERVED.into_iter();
        reserved.find(|name| self.is_within(name))
    }

    /// Whether the name is the zone's apex, below it, or a wildcard directly or further below it.
    pub fn is_within(&self, zone: &str) -> bool {
        let name = self.wildcard_suffix().unwrap_or(&self.0);
        name == zone || is_subdomain(name, zone)
    }
}

/// See [`Hostname::reserved`].
const RESERVED: [&str; 3] = ["cfargotunnel.com", "invalid", "localhost"];

fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
        && bytes[0] != b'-'
        && bytes[bytes.len() - 1] != b'-'
}

/// Whether a text is a label (RFC 1123): 1 to 63 of a-z, 0-9 and inner `-`.
pub fn is_dns_label(text: &str) -> bool {
    is_label(text) && !text.contains('_')
}

/// Whether an object of Kubernetes can have this name (RFC 1123 subdomain, whose labels may have more than 63
/// characters), which makes it one plain component of a path.
pub fn is_object_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_label = |label: &str| {
        label.bytes().all(|b| inner(b) || b == b'-')
            && label.bytes().next().is_some_and(inner)
            && label.bytes().last().is_some_and(inner)
    };
    (1..=253).contains(&name.len()) && name.split('.').all(is_label)
}

fn is_subdomain(host: &str, suffix: &str) -> bool {
    host.strip_suffix(suffix)
        .is_some_and(|labels| labels.len() > 1 && labels.ends_with('.'))
}

/// A hostname has the order of its text, so that sets of hostnames can be asked for a text.
impl Borrow<str> for Hostname {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Hostname {
    type Err = MalformedName;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Hostname {
    type Error = MalformedName;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Hostname> for String {
    fn from(hostname: Hostname) -> Self {
        hostname.0.as_ref().to_owned()
    }
}

/// Namespace and name of an object whose kind is known from where the key stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ObjectKey {
    /// Never empty: an object without one is read as being in `default`.
    pub namespace: String,
    /// Object name, unique in kind and namespace.
    pub name: String,
}

impl ObjectKey {
    /// A key from its two parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => f.write_str(&self.name),
            namespace => write!(f, "{namespace}/{}", self.name),
        }
    }
}

/// A reference to an object of any kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind, e.g. `Service`.
    pub kind: String,
    /// Where, and what it is called.
    pub key: ObjectKey,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.key)
    }
}

/// Id of a Cloudflare tunnel: a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TunnelId([u8; 16]);

impl TunnelId {
    /// From the 16 bytes of the UUID.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes of the UUID, as the tunnel protocol sends them.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Target of the CNAME records of this tunnel: `<id>.cfargotunnel.com`.
    pub fn address(&self) -> String {
        format!("{self}.cfargotunnel.com")
    }
}

impl fmt::Display for TunnelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_uuid(&self.0, f)
    }
}

fn write_uuid(bytes: &[u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            f.write_str("-")?;
        }
        write!(f, "{byte:02x}")?;
    }
    Ok(())
}

impl FromStr for TunnelId {
    type Err = MalformedName;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || MalformedName {
            what: "tunnel id",
            text: text.to_owned(),
            problem: "a UUID with 32 hexadecimal digits is expected",
        };
        let digits: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
        if digits.len() != 32 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(malformed());
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let text = std::str::from_utf8(pair).map_err(|_| malformed())?;
            *byte = u8::from_str_radix(text, 16).map_err(|_| malformed())?;
        }
        Ok(Self(bytes))
    }
}

macro_rules! opaque_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Takes the id as the API gave it.
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// The id as the API wants it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

opaque_id! {
    /// Id of a custom certificate in a zone.
    CertificateId
}

opaque_id! {
    AccountId
}
opaque_id! {
    ZoneId
}
opaque_id! {
    /// Id of a DNS record at Cloudflare.
    RecordId
}

/// Name of one installation of this software (one per cluster). Part of every tunnel name and of every
/// ownership mark: two installations in one account should differ, a rebuilt cluster keeps its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "String", into = "String")
)]
pub struct InstallationName(String);

impl InstallationName {
    /// Parses a DNS label: 1 to 63 of a-z, 0-9 and inner `-`.
    pub fn parse(text: &str) -> Result<Self, MalformedName> {
        if is_dns_label(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(MalformedName {
                what: "installation name",
                text: text.to_owned(),
                problem: "use 1 to 63 of a-z, 0-9 and inner `-`",
            })
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstallationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for InstallationName {
    type Error = MalformedName;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<InstallationName> for String {
    fn from(name: InstallationName) -> Self {
        name.0
    }
}

/// Which of the installations of one name: a UUID that each has for itself. A cluster's is the uid of its namespace
/// `kube-system`; a standalone program's is random and kept in its state folder. A rebuilt cluster has another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId([u8; 16]);

impl InstanceId {
    /// From the 16 bytes of the UUID.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Parses a UUID in its canonical form: 32 lower-case hexadecimal digits in groups of 8, 4, 4, 4 and 12.
    pub fn parse(text: &str) -> Result<Self, MalformedName> {
        let id = text.parse().map(|TunnelId(bytes)| Self(bytes));
        match id {
            Ok(id) if id.to_string() == text => Ok(id),
            _ => Err(MalformedName {
                what: "instance id",
                text: text.to_owned(),
                problem: "a UUID of 32 lower-case hexadecimal digits with hyphens is expected",
            }),
        }
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_uuid(&self.0, f)
    }
}

/// One installation of this software: by which its tunnels and records at Cloudflare are known.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Installation {
    pub name: InstallationName,
    pub instance: InstanceId,
}

impl fmt::Display for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (instance {})", self.name, self.instance)
    }
}

/// A moment in whole seconds since the Unix epoch, as Kubernetes writes them. The domain compares
/// moments, it never asks for the present one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Timestamp(pub i64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_published_at_or_below_a_reserved_name() {
        for (hostname, reserved) in [
            ("invalid", Some("invalid")),
            ("a.b.certificates.invalid", Some("invalid")),
            ("*.Invalid", Some("invalid")),
            ("app.localhost", Some("localhost")),
            ("*.cfargotunnel.com", Some("cfargotunnel.com")),
            ("invalid.example.com", None),
            ("notinvalid", None),
            ("xcfargotunnel.com", None),
            ("*.com", None),
            ("app.example", None),
            ("app.test", None),
        ] {
            let parsed = Hostname::parse(hostname).unwrap();
            assert_eq!(parsed.reserved(), reserved, "{hostname}");
        }
    }

    #[test]
    fn a_hostname_has_labels_of_its_alphabet_and_at_most_253_characters() {
        let label = "a".repeat(63);
        let longest = format!("*.{label}.{label}.{label}.{}", &label[..59]);
        assert_eq!(longest.len(), 253);
        for good in ["a", "*.A-1.x_y.com", &longest] {
            let parsed = Hostname::parse(good).unwrap();
            assert_eq!(parsed.as_str(), good.to_ascii_lowercase());
        }
        for (bad, must) in [
            ("", "it must have 1 to 253 characters"),
            ("*.", "it must have 1 to 253 characters"),
            (&format!("{longest}a"), "it must have 1 to 253 characters"),
            ("a.*.com", "`*` may only be the whole first label"),
            ("a.com:80", "ports and addresses are not allowed"),
            ("192.0.2.1", "ports and addresses are not allowed"),
            ("-a.com", "each label takes a-z, 0-9 and inner `-`"),
            ("a-.com", "each label takes a-z, 0-9 and inner `-`"),
            ("a..com", "each label takes a-z, 0-9 and inner `-`"),
            ("a b.com", "each label takes a-z, 0-9 and inner `-`"),
            (
                &format!("{label}a.com"),
                "each label takes a-z, 0-9 and inner `-`",
            ),
        ] {
            let error = Hostname::parse(bad).unwrap_err();
            assert!(error.problem.starts_with(must), "{bad}: {error}");
        }
    }

    #[test]
    fn a_name_of_an_object_is_one_component_of_a_path() {
        let longest = "a".repeat(253);
        for good in ["a", "web-1", "v1.example.com", "0", &longest] {
            assert!(is_object_name(good), "{good}");
        }
        let too_long = "a".repeat(254);
        for bad in [
            "", ".", "..", "../x", "a/b", "a\\b", "A", "a..b", "-a", "a\0", ".a", "/etc", "a_b",
            &too_long,
        ] {
            assert!(!is_object_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn an_instance_id_is_a_uuid_in_its_canonical_form_and_nothing_else() {
        let text = "6ff42ae2-765d-4adf-8112-31c55c1551ef";
        assert_eq!(InstanceId::parse(text).unwrap().to_string(), text);
        for bad in [
            String::new(),
            text.to_uppercase(),
            text.replace('-', ""),
            format!("{text}\n"),
            text[1..].to_owned(),
            text.replace('6', "g"),
            text.replacen('-', "", 1) + "-",
        ] {
            assert!(InstanceId::parse(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn two_hostnames_overlap_in_the_more_specific_one() {
        for (one, other, both) in [
            ("a.example.com", "a.example.com", Some("a.example.com")),
            ("a.example.com", "b.example.com", None),
            ("*.example.com", "a.b.example.com", Some("a.b.example.com")),
            ("*.example.com", "example.com", None),
            ("*.example.com", "*.example.com", Some("*.example.com")),
            ("*.example.com", "*.b.example.com", Some("*.b.example.com")),
            ("*.example.com", "*.example.org", None),
        ] {
            let parse = |text: &str| Hostname::parse(text).unwrap();
            let both = both.map(parse);
            assert_eq!(
                parse(one).intersection(&parse(other)),
                both,
                "{one} {other}"
            );
            assert_eq!(
                parse(other).intersection(&parse(one)),
                both,
                "{one} {other}"
            );
        }
    }

    #[test]
    fn a_label_of_rfc_1123_has_no_underscore_and_no_outer_hyphen() {
        for (label, is_one) in [("a-1", true), ("a_1", false), ("-a", false), ("", false)] {
            assert_eq!(is_dns_label(label), is_one, "{label}");
        }
    }

    #[test]
    fn a_tunnel_id_has_32_hexadecimal_digits() {
        let text = "6ff42ae2-765d-4adf-8112-31c55c1551ef";
        let id: TunnelId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(text.replace('-', "").parse(), Ok(id));
        for bad in [&text[1..], &text.replace('6', "g"), &format!("{text}0")] {
            assert!(bad.parse::<TunnelId>().is_err(), "{bad}");
        }
    }
}
