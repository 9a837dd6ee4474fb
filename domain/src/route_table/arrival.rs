//! How a request came to the proxy.

use std::net::{IpAddr, Ipv6Addr};

/// What is known of a request from the way it came, not from what a client wrote into it. The Gateway is
/// not part of it: a connector serves one tunnel, hence one Gateway, and so does the engine behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Scheme that the client used towards the edge; the edge always overwrites `X-Forwarded-Proto`.
    pub scheme: Scheme,
    /// Host that the client asked for: lower case, without port or trailing dot.
    pub host: String,
    /// Port that the client came to: from the authority where Cloudflare serves that port, else the scheme's
    /// own. Any other port in an authority is no place where a request can come in, only what a client wrote,
    /// and that takes no part in matching (HTTPRouteSpec.hostnames).
    pub port: u16,
    /// Address of the client as the edge gives it (`CF-Connecting-IP`).
    pub client: Option<IpAddr>,
    /// Server name of the client's TLS handshake with the edge, lower case. Cloudflare's edge does not tell it.
    pub server_name: Option<String>,
    /// Whether `Client-Cert` and `Client-Cert-Chain` (RFC 9440) are the edge's own words. Else a visitor wrote them.
    pub hands_certificates: bool,
}

impl Arrival {
    /// Reads an authority (`host`, `host:port`, `[v6]:port`). `None` where it is not one.
    pub fn new(scheme: Scheme, authority: &str, client: Option<IpAddr>) -> Option<Self> {
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                (host, port.parse().ok().filter(|p| *p != 0)?)
            }
            _ => (authority, scheme.default_port()),
        };
        let port = match scheme.ports().contains(&port) {
            true => port,
            false => scheme.default_port(),
        };
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        is_host(&host).then_some(Self {
            scheme,
            host,
            port,
            client,
            server_name: None,
            hands_certificates: false,
        })
    }

    /// With what an edge tells besides that tells more than Cloudflare's: the port that the client came to, and the server
    /// name of its TLS handshake.
    #[must_use]
    pub fn told(mut self, port: Option<u16>, server_name: Option<&str>) -> Self {
        self.port = port.filter(|port| *port > 0).unwrap_or(self.port);
        self.server_name = server_name.map(str::to_ascii_lowercase);
        self
    }
}

/// Mark of an answer to a client whose connection is not to go on: it showed no certificate that is taken. Cloudflare's edge
/// closes no connection for it, the client gets the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionRefused;

/// Whether a text can be a host: a DNS name in ASCII, or an address (RFC 3986 §3.2.2). What else that
/// grammar allows names no host that a tunnel serves.
fn is_host(text: &str) -> bool {
    match text.strip_prefix('[') {
        Some(address) => address
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        // No label is empty: of the one dot that may end a name nothing is left here.
        None => text.split('.').all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        }),
    }
}

/// Scheme that a client used towards the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    /// As written in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Ports on which Cloudflare takes requests of this scheme for proxied names (Cloudflare documentation,
    /// "Network ports").
    pub fn ports(self) -> &'static [u16] {
        match self {
            Self::Http => &[80, 8080, 8880, 2052, 2082, 2086, 2095],
            Self::Https => &[443, 2053, 2083, 2087, 2096, 8443],
        }
    }

    /// 80 or 443.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_scheme_is_spelled_as_in_a_uri() {
        let spelled = [Scheme::Http, Scheme::Https].map(Scheme::as_str);
        assert_eq!(spelled, ["http", "https"]);
    }

    #[test]
    fn an_authority_is_a_host_with_or_without_a_port_and_nothing_else() {
        for (given, then) in [
            ("App.example.com", Some(("app.example.com", 443))),
            ("app.example.com.:8443", Some(("app.example.com", 8443))),
            ("_dmarc.example.com", Some(("_dmarc.example.com", 443))),
            ("192.0.2.1:2053", Some(("192.0.2.1", 2053))),
            ("[2001:db8::1]", Some(("[2001:db8::1]", 443))),
            ("[2001:db8::1]:2096", Some(("[2001:db8::1]", 2096))),
            // Nobody comes in by these.
            ("app.example.com:1234", Some(("app.example.com", 443))),
            ("app.example.com:80", Some(("app.example.com", 443))),
            ("", None),
            (".", None),
            ("..", None),
            ("app..example.com", None),
            (".example.com", None),
            ("app.example.com..", None),
            (":443", None),
            ("app.example.com:0", None),
            ("app.example.com:", None),
            ("app.example.com:65536", None),
            ("app.example.com:80:80", None),
            ("user@app.example.com", None),
            ("app.example.com/x", None),
            ("app.example.com\\x", None),
            ("app.example.com?x", None),
            ("app.example.com#x", None),
            ("app.example.com,other.example.com", None),
            ("app.example.com other", None),
            ("app%2eexample.com", None),
            ("[2001:db8::1", None),
            ("[x]", None),
        ] {
            let found = Arrival::new(Scheme::Https, given, None);
            let found = found.as_ref().map(|a| (a.host.as_str(), a.port));
            assert_eq!(found, then, "{given}");
        }
    }

    proptest! {
        #[test]
        fn what_was_read_reads_the_same_again(authority in "[a-zA-Z0-9.:@/\\[\\] -]{0,24}") {
            if let Some(first) = Arrival::new(Scheme::Http, &authority, None) {
                let written = format!("{}:{}", first.host, first.port);
                prop_assert_eq!(Arrival::new(Scheme::Http, &written, None), Some(first));
            }
        }
    }
}
