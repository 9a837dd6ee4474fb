//! CORS (Gateway API, `HTTPCORSFilter`): which scripts of other origins may read an answer.

/// What a CORS filter permits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Cors {
    /// Any of them suffices; none permits no origin.
    pub origins: Vec<OriginPattern>,
    /// Whether scripts may send what a browser knows of the user.
    pub credentials: bool,
    /// Methods beside GET, HEAD and POST, which are always permitted.
    pub methods: NameList,
    /// Names of headers that requests may have.
    pub headers: NameList,
    /// Names of headers of answers that scripts may read.
    pub exposed: NameList,
    /// Seconds for which a browser may remember the answer to a preflight request.
    pub max_age: u32,
}

/// Some names, or all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum NameList {
    All,
    /// In the order written.
    These(Vec<String>),
}

/// One of `cors.allowOrigins`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum OriginPattern {
    /// Every origin, `null` too.
    Any,
    At {
        /// `https`, else `http`.
        is_secure: bool,
        host: OriginHost,
        port: u16,
    },
}

/// The host of an origin.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum OriginHost {
    Any,
    /// This one, in lower case.
    Exact(String),
    /// One or more labels before this name, which is in lower case.
    Below(String),
}

/// A text that is no `scheme://host` or `scheme://host:port` with http or https.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MalformedOrigin;

impl Cors {
    /// Whether an `Origin` header of this value is permitted.
    pub fn permits(&self, origin: &str) -> bool {
        self.origins.contains(&OriginPattern::Any) || {
            let origin = parts(origin);
            origin.is_some_and(|origin| self.origins.iter().any(|it| it.takes(&origin)))
        }
    }

    /// Whether answers are for every origin in the same words.
    pub fn is_for_all_alike(&self) -> bool {
        !self.credentials && self.origins.contains(&OriginPattern::Any)
    }
}

impl OriginPattern {
    /// Reads one of `allowOrigins`. Where no port is written it is that of the scheme.
    pub fn parse(text: &str) -> Result<Self, MalformedOrigin> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (is_secure, host, port) = parts(text).ok_or(MalformedOrigin)?;
        let host = host.to_ascii_lowercase();
        Ok(Self::At {
            is_secure,
            host: match (host.as_str(), host.strip_prefix("*.")) {
                ("*", _) => OriginHost::Any,
                (_, Some(below)) if !below.contains('*') => OriginHost::Below(below.to_owned()),
                _ if host.contains('*') => return Err(MalformedOrigin),
                _ => OriginHost::Exact(host),
            },
            port,
        })
    }

    fn takes(&self, origin: &(bool, &str, u16)) -> bool {
        let Self::At {
            is_secure,
            host,
            port,
        } = self
        else {
            return true;
        };
        (*is_secure, *port) == (origin.0, origin.2) && host.takes(origin.1)
    }
}

impl OriginHost {
    fn takes(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => host.eq_ignore_ascii_case(name),
            Self::Below(name) => {
                let labels = host.len().checked_sub(name.len());
                let split = labels.and_then(|labels| host.split_at_checked(labels));
                split.is_some_and(|(labels, end)| {
                    end.eq_ignore_ascii_case(name) && labels.len() > 1 && labels.ends_with('.')
                })
            }
        }
    }
}

/// Whether it is https, host, and port of an origin (RFC 6454 §6.2).
fn parts(origin: &str) -> Option<(bool, &str, u16)> {
    let (scheme, rest) = origin.split_once("://")?;
    let is_secure = scheme.eq_ignore_ascii_case("https");
    if !is_secure && !scheme.eq_ignore_ascii_case("http") {
        return None;
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, number(port)?),
        _ => (rest, if is_secure { 443 } else { 80 }),
    };
    let is_host = !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ', '\\']);
    is_host.then_some((is_secure, host, port))
}

fn number(digits: &str) -> Option<u16> {
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let port = digits.parse().ok()?;
    (is_number && port > 0).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(patterns: &[&str], origin: &str) -> bool {
        let origins = patterns.iter();
        Cors {
            origins: origins
                .map(|it| OriginPattern::parse(it).unwrap())
                .collect(),
            credentials: true,
            methods: NameList::All,
            headers: NameList::All,
            exposed: NameList::All,
            max_age: 5,
        }
        .permits(origin)
    }

    #[test]
    fn an_origin_is_permitted_by_scheme_host_and_port() {
        for (pattern, origin, permitted) in [
            ("*", "https://a.example", true),
            ("*", "http://a.example:81", true),
            ("*", "null", true),
            ("https://a.example", "https://a.example", true),
            ("https://a.example", "https://A.Example:443", true),
            ("https://a.example:443", "https://a.example", true),
            ("http://a.example", "http://a.example:80", true),
            ("https://A.example", "https://a.example", true),
            ("https://a.example", "http://a.example", false),
            ("https://a.example", "https://a.example:8443", false),
            ("https://a.example:8443", "https://a.example:8443", true),
            ("https://a.example:8443", "https://a.example", false),
            ("https://a.example", "https://a.example.evil", false),
            ("https://a.example", "https://evil-a.example", false),
            ("https://a.example", "https://b.a.example", false),
            ("https://a.example", "null", false),
            ("https://a.example", "", false),
            ("https://*.example", "https://a.example", true),
            ("https://*.example", "https://b.a.example", true),
            ("https://*.example", "https://b.A.EXAMPLE", true),
            ("https://*.example", "https://example", false),
            ("https://*.example", "https://.example", false),
            ("https://*.example", "https://aexample", false),
            ("https://*.example", "https://a.example:8443", false),
            ("https://*.example", "https://a.example@evil.com", false),
            ("https://*.example", "https://evil.com/.example", false),
            ("https://*.example", "https://evil.com#.example", false),
            (
                "https://*.example",
                "https://\u{e9}\u{e9}\u{e9}\u{e9}",
                false,
            ),
            ("https://*.example:8443", "https://a.example:8443", true),
            ("https://*", "https://a.b.example", true),
            ("https://*", "https://a.example:8443", false),
            ("https://*", "https://[2001:db8::1]", true),
            ("http://*:8080", "http://192.0.2.1:8080", true),
        ] {
            assert_eq!(permits(&[pattern], origin), permitted, "{pattern} {origin}");
        }
        let several = ["https://a.example", "https://*.b.example"];
        assert!(permits(&several, "https://x.b.example"));
        assert!(!permits(&[], "https://a.example"));
    }

    #[test]
    fn what_is_no_origin_is_no_pattern() {
        for text in [
            "",
            "a.example",
            "ftp://a.example",
            "https://",
            "https://:443",
            "https://a.example/",
            "https://a.example:0",
            "https://a.example:65536",
            "https://a.example:+80",
            "https://a.example:",
            "https://a.*.example",
            "https://*.*.example",
            "https://**",
            "null",
        ] {
            assert_eq!(OriginPattern::parse(text), Err(MalformedOrigin), "{text}");
        }
    }
}
