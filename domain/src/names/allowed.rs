//! Which hostnames a cluster or a namespace may have.

use std::collections::BTreeSet;
use std::fmt;

use super::Hostname;

/// The hostnames that an operator permits. A list allows the exact names in it; an entry such as
/// `*.example.com` allows the wildcard itself and every name below it, exact or wildcard, but not
/// `example.com`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AllowedHostnames {
    #[default]
    Any,
    /// Those of a list. An empty list allows none.
    Listed(HostnamePatterns),
}

impl AllowedHostnames {
    /// Those of a list.
    pub fn listed(patterns: impl IntoIterator<Item = Hostname>) -> Self {
        Self::Listed(patterns.into_iter().collect())
    }

    /// Whether a hostname is permitted.
    pub fn allows(&self, hostname: &Hostname) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(patterns) => patterns.allow(hostname),
        }
    }

    /// Whether nothing is forbidden, so that a route may take requests for every name.
    pub fn allows_every_name(&self) -> bool {
        matches!(self, Self::Any)
    }
}

/// A list of exact names and of wildcards.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostnamePatterns(BTreeSet<Hostname>);

impl FromIterator<Hostname> for HostnamePatterns {
    fn from_iter<I: IntoIterator<Item = Hostname>>(patterns: I) -> Self {
        Self(patterns.into_iter().collect())
    }
}

impl HostnamePatterns {
    /// Whether there is no pattern, so that no hostname is in the list.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each pattern once, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Hostname> {
        self.0.iter()
    }

    /// Whether a hostname is in the list: itself, or below a wildcard of it.
    pub fn allow(&self, hostname: &Hostname) -> bool {
        // Looks up the name and each wildcard above it, so that a long list costs no more than a short one.
        self.0.contains(hostname)
            || parents(hostname).any(|parent| self.0.contains(format!("*.{parent}").as_str()))
    }
}

impl fmt::Display for HostnamePatterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 16;
        if self.0.is_empty() {
            return f.write_str("no hostname");
        }
        let shown: Vec<&str> = self.0.iter().take(SHOWN).map(Hostname::as_str).collect();
        f.write_str(&shown.join(", "))?;
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// The domains above a name: for `a.b.example.com` and for `*.b.example.com` these are `b.example.com`,
/// `example.com` and `com`.
fn parents(hostname: &Hostname) -> impl Iterator<Item = &str> {
    let above = |name: &str| name.find('.').map(|dot| dot + 1);
    let name = hostname.as_str();
    let starts = std::iter::successors(above(name), move |start| {
        above(&name[*start..]).map(|further| start + further)
    });
    starts.map(move |start| &name[start..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Hostname {
        Hostname::parse(text).unwrap()
    }

    #[test]
    fn a_list_allows_its_names_and_what_is_below_its_wildcards() {
        let table = [
            (
                "the exact name",
                "shop.example.com",
                "shop.example.com",
                true,
            ),
            (
                "another exact name",
                "shop.example.com",
                "login.example.com",
                false,
            ),
            (
                "a name below an exact one",
                "shop.example.com",
                "a.shop.example.com",
                false,
            ),
            (
                "the wildcard below an exact name",
                "shop.example.com",
                "*.shop.example.com",
                false,
            ),
            (
                "the wildcard above an exact name",
                "shop.example.com",
                "*.example.com",
                false,
            ),
            (
                "the wildcard itself",
                "*.example.com",
                "*.example.com",
                true,
            ),
            (
                "a name below the wildcard",
                "*.example.com",
                "shop.example.com",
                true,
            ),
            (
                "a name further below",
                "*.example.com",
                "a.b.example.com",
                true,
            ),
            (
                "a wildcard inside the wildcard",
                "*.example.com",
                "*.shop.example.com",
                true,
            ),
            (
                "the apex of the wildcard",
                "*.example.com",
                "example.com",
                false,
            ),
            (
                "a wildcard above the wildcard",
                "*.shop.example.com",
                "*.example.com",
                false,
            ),
            (
                "a name beside the wildcard",
                "*.shop.example.com",
                "login.example.com",
                false,
            ),
            (
                "a domain that only ends alike",
                "*.example.com",
                "evilexample.com",
                false,
            ),
            (
                "a name below a domain that only ends alike",
                "*.example.com",
                "a.evilexample.com",
                false,
            ),
            (
                "a pattern in upper case",
                "*.Example.COM",
                "shop.example.com",
                true,
            ),
            (
                "a name in upper case",
                "shop.example.com",
                "SHOP.example.com",
                true,
            ),
            ("a single label", "intranet", "intranet", true),
            ("another single label", "intranet", "login", false),
            (
                "every name below a single label",
                "*.com",
                "shop.example.com",
                true,
            ),
            (
                "punycode",
                "*.xn--bcher-kva.example",
                "a.xn--bcher-kva.example",
                true,
            ),
            (
                "punycode of another name",
                "xn--bcher-kva.example",
                "bucher.example",
                false,
            ),
        ];
        for (given, pattern, hostname, allowed) in table {
            let list = AllowedHostnames::listed([host("other.example.org"), host(pattern)]);
            assert_eq!(list.allows(&host(hostname)), allowed, "{given}");
        }
    }

    #[test]
    fn an_empty_list_allows_nothing_and_no_list_everything() {
        let name = host("shop.example.com");
        assert!(!AllowedHostnames::listed([]).allows(&name));
        assert!(AllowedHostnames::Any.allows(&name));
        assert!(AllowedHostnames::Any.allows_every_name());
        assert!(!AllowedHostnames::listed([host("*.com")]).allows_every_name());
    }

    #[test]
    fn what_is_no_hostname_is_no_pattern() {
        for text in [
            "*",
            "",
            "shop.example.com.",
            "*.*.example.com",
            "a.*.example.com",
            "bücher.example",
        ] {
            assert!(Hostname::parse(text).is_err(), "{text}");
        }
    }
}
