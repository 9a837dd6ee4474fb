//! What a client is built from.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::{Certificate, Url};

/// Where Cloudflare serves its API.
pub const DEFAULT_BASE_URL: &str = "https://api.cloudflare.com/client/v4";

/// What a [`CloudflareClient`](crate::CloudflareClient) is built from.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Base of all paths, e.g. [`DEFAULT_BASE_URL`]. Plain `http` only to this machine.
    pub base_url: String,
    /// Sent as `User-Agent`.
    pub user_agent: String,
    /// Limit for one request, its whole answer included.
    pub request_timeout: Duration,
    pub connect_timeout: Duration,
    /// Certificates (PEM, any number) that are trusted besides the system's; empty for none.
    pub extra_roots: Vec<u8>,
    /// Requests per account in any [`WINDOW`](crate::budget::WINDOW).
    pub requests_per_window: u32,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            base_url: DEFAULT_BASE_URL.to_owned(),
            user_agent: concat!("cfgw/", env!("CARGO_PKG_VERSION")).to_owned(),
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            extra_roots: Vec::new(),
            requests_per_window: crate::budget::DEFAULT_ALLOWANCE,
        }
    }
}

/// Why no client can be built from the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    #[error("the Cloudflare base URL {text:?} cannot be used: {problem}")]
    BaseUrl {
        text: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    #[error("the extra root certificates cannot be read: {0}; a PEM file is expected")]
    ExtraRoots(String),
    /// TLS or the HTTP client cannot be set up, e.g. because the system has no root certificates.
    #[error("the HTTPS client cannot be set up: {0}")]
    Setup(String),
}

/// Parses the base URL. The API token goes with every request, so plain HTTP must stay on this machine.
pub(crate) fn parse_base_url(text: &str) -> Result<Url, ClientError> {
    let refuse = |problem: &str| ClientError::BaseUrl {
        text: text.to_owned(),
        problem: problem.to_owned(),
    };
    let url = Url::parse(text).map_err(|error| refuse(&error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        // The text is left out: it holds a password.
        return Err(ClientError::BaseUrl {
            text: "…".to_owned(),
            problem: "it holds a user name or password; the API token comes from a Secret"
                .to_owned(),
        });
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("a query or fragment cannot be extended by a path"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_this_machine(&url) => Ok(url),
        "http" => Err(refuse(
            "plain http would show the API token to the network; use https",
        )),
        _ => Err(refuse("use https")),
    }
}

fn is_this_machine(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    })
}

/// Reads a PEM bundle; empty text is no certificate.
pub(crate) fn parse_roots(pem: &[u8]) -> Result<Vec<Certificate>, ClientError> {
    if pem.is_empty() {
        return Ok(Vec::new());
    }
    let roots = Certificate::from_pem_bundle(pem)
        .map_err(|error| ClientError::ExtraRoots(error.to_string()))?;
    if roots.is_empty() {
        return Err(ClientError::ExtraRoots("no certificate in it".to_owned()));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_https_or_stays_on_this_machine() {
        for (text, accepted) in [
            (DEFAULT_BASE_URL, true),
            ("https://cloudflare.test:8443", true),
            ("http://127.0.0.1:9000/client/v4", true),
            ("http://[::1]:9000/client/v4", true),
            ("http://localhost:9000/client/v4/", true),
            ("http://api.cloudflare.com/client/v4", false),
            ("http://127.0.0.1.example.com/client/v4", false),
            ("ftp://api.cloudflare.com", false),
            ("https://user:canary@api.cloudflare.com", false),
            ("https://api.cloudflare.com/client/v4?a=b", false),
            ("client/v4", false),
        ] {
            let parsed = parse_base_url(text);
            assert_eq!(parsed.is_ok(), accepted, "{text}: {parsed:?}");
            assert!(!format!("{parsed:?}").contains("canary"), "{text}");
        }
    }

    #[test]
    fn extra_roots_must_be_certificates() {
        assert_eq!(parse_roots(b"").unwrap().len(), 0);
        assert!(parse_roots(b"no certificate at all").is_err());
    }
}
