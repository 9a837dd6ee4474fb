//! How a request came to the proxy.

use std::net::IpAddr;

/// What is known of a request from the way it came, not from what a client wrote into it. The Gateway is
/// not part of it: a connector serves one tunnel, hence one Gateway, and so does the engine behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Scheme that the client used towards the edge; the edge always overwrites `X-Forwarded-Proto`.
    pub scheme: Scheme,
    /// Host that the client asked for: lower case, without port or trailing dot.
    pub host: String,
    /// Port that the client asked for: from the authority, else the scheme's own.
    pub port: u16,
    /// Address of the client as the edge tells it (`CF-Connecting-IP`).
    pub client: Option<IpAddr>,
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
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        (!host.is_empty() && !host.contains(['@', '/', ' '])).then_some(Self {
            scheme,
            host,
            port,
            client,
        })
    }
}

/// Scheme that a client used towards the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `http`.
    Http,
    /// `https`.
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

    /// 80 or 443.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}
