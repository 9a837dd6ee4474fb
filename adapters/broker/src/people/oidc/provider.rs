//! What is asked of an identity provider, with a limit for everything that it may answer.

use std::net::IpAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use jsonwebtoken::jwk::Jwk;
use reqwest::{Certificate, RequestBuilder, StatusCode, Url, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::people::client::why;

/// How long one request may take, its whole answer included.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of one answer, at most. The largest that are known have less than a tenth.
pub const LARGEST_ANSWER: usize = 512 << 10;

/// Keys of one provider, at most.
pub const MOST_KEYS: usize = 100;

/// Why something could not be learned of a provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    #[error("the certificate authorities cannot be read: {0}; a PEM file is expected")]
    Roots(String),
    #[error("{0} is not https, which only a provider on this machine may do without")]
    Address(String),
    #[error("{url} does not answer: {why}")]
    NoAnswer { url: String, why: String },
    #[error("{url} answers {status}")]
    Refused { url: String, status: u16 },
    #[error("{url} does not answer with {expected}")]
    Malformed { url: String, expected: &'static str },
    #[error("{0} answers as another issuer; issuers are compared letter by letter")]
    OtherIssuer(String),
}

/// Asks one provider.
#[derive(Debug)]
pub struct ProviderClient {
    http: reqwest::Client,
    issuer: String,
}

/// What a provider says of itself (OpenID Connect Discovery 1.0, section 3), as far as it is used.
#[derive(Debug, Deserialize)]
pub(super) struct Discovery {
    issuer: String,
    jwks_uri: String,
    pub(super) token_endpoint: Option<String>,
    pub(super) device_authorization_endpoint: Option<String>,
}

/// RFC 7517, section 5. Keys of an unknown sort are passed over, so each is read by itself.
#[derive(Debug, Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

impl ProviderClient {
    /// For a provider. `roots` are PEM texts of authorities besides those of the system.
    pub fn new(issuer: &str, roots: &[Vec<u8>]) -> Result<Self, ProviderError> {
        let mut http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(redirect::Policy::none());
        for pem in roots {
            let found = Certificate::from_pem_bundle(pem);
            let found = found.map_err(|error| ProviderError::Roots(error.to_string()))?;
            http = http.tls_certs_merge(found);
        }
        let http = http.build();
        let client = Self {
            http: http.map_err(|error| ProviderError::Roots(error.to_string()))?,
            issuer: issuer.to_owned(),
        };
        client.address(issuer)?;
        Ok(client)
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// A page that somebody may be sent to.
    pub(super) fn page(&self, text: &str) -> Result<String, ProviderError> {
        self.address(text).map(String::from)
    }

    /// What the provider says of itself.
    pub(super) async fn discover(&self) -> Result<Discovery, ProviderError> {
        let base = self.issuer.trim_end_matches('/');
        let url = format!("{base}/.well-known/openid-configuration");
        let found: Discovery = self
            .get(&url, "a document of OpenID Connect Discovery")
            .await?;
        match found.issuer == self.issuer {
            true => Ok(found),
            false => Err(ProviderError::OtherIssuer(url)),
        }
    }

    /// The keys that it signs with now.
    pub(super) async fn keys(&self) -> Result<Vec<Jwk>, ProviderError> {
        let url = self.discover().await?.jwks_uri;
        let found: KeySet = self.get(&url, "a set of JSON Web Keys").await?;
        let keys = found.keys.into_iter().take(MOST_KEYS);
        Ok(keys
            .filter_map(|key| serde_json::from_value(key).ok())
            .collect())
    }

    async fn get<D: DeserializeOwned>(
        &self,
        url: &str,
        expected: &'static str,
    ) -> Result<D, ProviderError> {
        let (status, body) = self.ask(url, self.http.get(self.address(url)?)).await?;
        if !status.is_success() {
            let (url, status) = (url.to_owned(), status.as_u16());
            return Err(ProviderError::Refused { url, status });
        }
        read(url, &body, expected)
    }

    /// Sends a form, and gives the answer with whatever status it has.
    pub(super) async fn post(
        &self,
        url: &str,
        form: &[(&str, &str)],
    ) -> Result<(StatusCode, Vec<u8>), ProviderError> {
        self.ask(url, self.http.post(self.address(url)?).form(form))
            .await
    }

    async fn ask(
        &self,
        url: &str,
        request: RequestBuilder,
    ) -> Result<(StatusCode, Vec<u8>), ProviderError> {
        let no_answer = |why: String| ProviderError::NoAnswer {
            url: url.to_owned(),
            why,
        };
        let answer = request
            .send()
            .await
            .map_err(|error| no_answer(why(&error)))?;
        let status = answer.status();
        let body = Limited::new(reqwest::Body::from(answer), LARGEST_ANSWER);
        let body = body
            .collect()
            .await
            .map_err(|error| no_answer(error.to_string()))?;
        Ok((status, body.to_bytes().to_vec()))
    }

    /// An address of the provider. A provider elsewhere cannot have addresses of this machine asked without TLS.
    fn address(&self, text: &str) -> Result<Url, ProviderError> {
        let wrong = || ProviderError::Address(text.to_owned());
        let url: Url = text.parse().map_err(|_| wrong())?;
        let is_here = is_of_this_machine(&url) && self.issuer.starts_with("http://");
        let may = url.scheme() == "https" || (url.scheme() == "http" && is_here);
        match may && url.username().is_empty() && url.password().is_none() {
            true => Ok(url),
            false => Err(wrong()),
        }
    }
}

/// Reads a document of a provider.
pub(super) fn read<D: DeserializeOwned>(
    url: &str,
    body: &[u8],
    expected: &'static str,
) -> Result<D, ProviderError> {
    let url = url.to_owned();
    serde_json::from_slice(body).map_err(|_| ProviderError::Malformed { url, expected })
}

fn is_of_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or("");
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}
