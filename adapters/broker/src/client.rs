//! The `Edge` of a cluster that has no Cloudflare credentials: intents go to the broker.
//!
//! Whatever is not an answer of the broker in full (no connection, no answer in time, half a document,
//! another server's page) is [`PortErrorKind::BrokerUnavailable`]: nothing is known then, so nothing is
//! taken for done and nothing for gone.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::edge::certificates::CertificateOutcome;
use domain::edge::{EdgeIntent, EdgeStatus, Partial};
use domain::ports::{Edge, PortError, PortErrorKind};
use domain::secret::{ConnectorToken, TokenHash};
use domain::{InstanceId, ObjectKey};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Certificate, Method, Response, StatusCode, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use crate::outage::{self, Outage};
use crate::problem::{self, ApiError, Meaning, Problem};
use crate::wire::{
    GatewayDocument, IntentDocument, LARGEST_ANSWER, LARGEST_INTENT, LiveDocument, Malformed,
    OwnedDocument, RemovedDocument, RetiredDocument, StatusDocument, SweptDocument, TokenDocument,
};

/// What a client is built from.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// The broker's base URL. Plain `http` only to this machine.
    pub base_url: String,
    pub token: SecretString,
    /// Which of the clusters that show this token it is.
    pub instance: InstanceId,
    /// Certificates (PEM, any number) that are trusted besides the system's; empty for none.
    pub extra_roots: Vec<u8>,
    /// Limit for one request, its whole answer included. The broker asks Cloudflare meanwhile.
    pub request_timeout: Duration,
    pub connect_timeout: Duration,
}

/// Why no client can be built from the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The URL cannot be used; it is not repeated, as it may hold a password.
    #[error("the broker's URL cannot be used: {0}")]
    BaseUrl(&'static str),
    #[error("the cluster's token has characters that no token has")]
    Token,
    #[error("the broker's root certificates cannot be read: {0}; a PEM file is expected")]
    ExtraRoots(String),
    #[error("the HTTPS client cannot be set up: {0}")]
    Setup(String),
}

/// [`Edge`] through a broker.
#[derive(Debug)]
pub struct BrokerEdge {
    http: reqwest::Client,
    base: Url,
    instance: InstanceId,
    authorization: HeaderValue,
    outage: Outage,
}

/// Why a request brought no document.
enum Failed {
    /// It is not known whether the broker got it, or what it did.
    NoAnswer(String),
    /// The broker says why.
    Told(Meaning),
}

impl BrokerEdge {
    /// A client; no request is made yet.
    pub fn new(settings: &ClientSettings) -> Result<Self, ClientError> {
        let base = parse_base_url(&settings.base_url)?;
        let bearer = format!("Bearer {}", settings.token.expose_secret());
        let mut authorization = HeaderValue::try_from(bearer).map_err(|_| ClientError::Token)?;
        authorization.set_sensitive(true);
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("cfgw/", env!("CARGO_PKG_VERSION")))
            .timeout(settings.request_timeout)
            .connect_timeout(settings.connect_timeout)
            .tls_certs_merge(parse_roots(&settings.extra_roots)?)
            // The token is for the broker alone, and what a redirect leads to is no broker.
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never());
        // HTTPS_PROXY and NO_PROXY count, and the proxy is told the host alone. Plain HTTP is for this machine: a proxy would
        // see the token.
        if base.scheme() == "http" {
            http = http.no_proxy();
        }
        let http = http
            .build()
            .map_err(|error| ClientError::Setup(error.to_string()))?;
        Ok(Self {
            http,
            base,
            instance: settings.instance,
            authorization,
            outage: Outage::default(),
        })
    }

    fn url(&self, rest: &[&str]) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("the base URL is http or https")
            .pop_if_empty()
            .extend(["v1", "instances", &self.instance.to_string(), "gateways"])
            .extend(rest);
        url
    }

    /// Asks the broker and reads its answer.
    async fn ask<D: DeserializeOwned, T>(
        &self,
        method: Method,
        rest: &[&str],
        body: Option<Vec<u8>>,
        read: impl FnOnce(D) -> Result<T, Malformed>,
    ) -> Result<T, PortError> {
        let asked = Instant::now();
        let answer = self.exchange(method, rest, body).await;
        let answer = answer.and_then(|document| {
            read(document)
                .map_err(|error| Failed::NoAnswer(format!("its answer is wrong: {error}")))
        });
        match answer {
            Ok(answer) => {
                self.outage.over();
                Ok(answer)
            }
            Err(Failed::Told(meaning)) => {
                self.outage.over();
                Err(self.told(meaning))
            }
            Err(Failed::NoAnswer(why)) => {
                let age = self.outage.goes_on(asked, Instant::now());
                Err(self.unavailable(&why, age))
            }
        }
    }

    /// Has something of a Gateway removed. The answer names the Gateway.
    async fn ask_removal(&self, path: &[&str], gateway: &ObjectKey) -> Result<(), PortError> {
        let wanted = GatewayDocument::of(gateway);
        let read = |document: RemovedDocument| match document.removed == wanted {
            true => Ok(()),
            false => Err(Malformed("it names another Gateway".to_owned())),
        };
        self.ask(Method::DELETE, path, None, read).await
    }

    async fn exchange<D: DeserializeOwned>(
        &self,
        method: Method,
        rest: &[&str],
        body: Option<Vec<u8>>,
    ) -> Result<D, Failed> {
        let mut request = self
            .http
            .request(method, self.url(rest))
            .header(AUTHORIZATION, self.authorization.clone())
            .header(ACCEPT, "application/json");
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let response = request
            .send()
            .await
            .map_err(|error| Failed::NoAnswer(in_words(error)))?;
        let status = response.status();
        let media_type = media_type(&response);
        let body = whole_body(response).await.map_err(Failed::NoAnswer)?;
        if status == StatusCode::OK && media_type == "application/json" {
            // A message of serde_json may repeat a value, and a value may be a token.
            return serde_json::from_slice(&body).map_err(|error| {
                let place = format!("line {}, column {}", error.line(), error.column());
                Failed::NoAnswer(format!(
                    "its answer is not a document of this API ({place})"
                ))
            });
        }
        let problem = (media_type == problem::MEDIA_TYPE)
            .then(|| serde_json::from_slice::<Problem>(&body).ok())
            .flatten();
        Err(match problem.and_then(Problem::meaning) {
            Some(meaning) => Failed::Told(meaning),
            None => Failed::NoAnswer(format!("it answered {}", status.as_u16())),
        })
    }

    fn told(&self, meaning: Meaning) -> PortError {
        match meaning {
            Meaning::Edge(error) => error,
            Meaning::Refused(error, detail) => {
                let kind = match error {
                    ApiError::MissingToken | ApiError::UnknownToken | ApiError::ExpiredToken => {
                        PortErrorKind::Unauthenticated
                    }
                    ApiError::TooSlow | ApiError::TooManyRequests => PortErrorKind::Unavailable,
                    _ => PortErrorKind::Invalid,
                };
                let message = format!("the broker {} refused: {detail}", self.base);
                PortError::new(kind, message)
            }
        }
    }

    fn unavailable(&self, why: &str, age: Duration) -> PortError {
        let message = format!(
            "the broker {} has not answered for {} (BrokerUnavailable): {why}",
            self.base,
            outage::in_words(age)
        );
        PortError::new(PortErrorKind::BrokerUnavailable, message)
    }
}

#[async_trait]
impl Edge for BrokerEdge {
    async fn reconcile(&self, intent: &EdgeIntent) -> Result<EdgeStatus, PortError> {
        let gateway = &intent.gateway;
        let body = serde_json::to_vec(&IntentDocument::of(intent))
            .expect("a document of texts can be written");
        if body.len() > LARGEST_INTENT {
            let message = format!(
                "Gateway {gateway} has more hostnames than the broker takes in one intent; spread them over several Gateways"
            );
            return Err(PortError::new(PortErrorKind::Invalid, message));
        }
        let path = [&*gateway.namespace, &*gateway.name, "intent"];
        let mut status = self
            .ask(Method::PUT, &path, Some(body), StatusDocument::read)
            .await?;
        // Keys stay in the cluster: an intent for the broker has no certificates.
        let wanted = intent.certificates.iter().flatten();
        status.certificates = wanted
            .map(|one| (one.secret.clone(), CertificateOutcome::NotAvailable))
            .collect();
        Ok(status)
    }

    async fn owned(&self) -> Result<BTreeSet<ObjectKey>, Partial<BTreeSet<ObjectKey>>> {
        let owned = self.ask(Method::GET, &[], None, OwnedDocument::read);
        Ok(owned.await?)
    }

    async fn connector_token(&self, gateway: &ObjectKey) -> Result<ConnectorToken, PortError> {
        let path = [&*gateway.namespace, &*gateway.name, "token"];
        self.ask(Method::GET, &path, None, TokenDocument::read)
            .await
    }

    async fn retire_token(&self, gateway: &ObjectKey, retired: TokenHash) -> Result<(), PortError> {
        let path = [&*gateway.namespace, &*gateway.name, "token"];
        let wanted = RetiredDocument::of(retired);
        let body = serde_json::to_vec(&wanted).expect("a document of texts can be written");
        let read = |document: RetiredDocument| match document == wanted {
            true => Ok(()),
            false => Err(Malformed("it names another token".to_owned())),
        };
        self.ask(Method::PUT, &path, Some(body), read).await
    }

    async fn close_connections(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        let path = [&*gateway.namespace, &*gateway.name, "connections"];
        self.ask_removal(&path, gateway).await
    }

    async fn remove(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        let path = [&*gateway.namespace, &*gateway.name];
        self.ask_removal(&path, gateway).await
    }

    async fn sweep(&self, live: &BTreeSet<ObjectKey>) -> Result<BTreeSet<String>, PortError> {
        let body = serde_json::to_vec(&LiveDocument::of(live))
            .expect("a document of texts can be written");
        if body.len() > LARGEST_INTENT {
            let message = "there are more Gateways than the broker takes in one list, so records \
                           of Gateways that are gone are not looked for";
            return Err(PortError::new(PortErrorKind::Invalid, message));
        }
        let read = |document: SweptDocument| Ok(document.swept);
        self.ask(Method::PUT, &[], Some(body), read).await
    }
}

/// The innermost cause, without the URL, which the message names anyway.
fn in_words(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match error.source() {
        Some(_) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn media_type(response: &Response) -> String {
    let value = response.headers().get(CONTENT_TYPE);
    let text = value.and_then(|value| value.to_str().ok());
    let essence = text.and_then(|text| text.split(';').next());
    essence.unwrap_or_default().trim().to_ascii_lowercase()
}

async fn whole_body(mut response: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > LARGEST_ANSWER => {
                return Err("its answer is too large".to_owned());
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) => return Err(format!("its answer broke off: {}", in_words(error))),
        }
    }
}

/// The bearer token and connector tokens pass, so plain HTTP must stay on this machine.
fn parse_base_url(text: &str) -> Result<Url, ClientError> {
    let url = Url::parse(text).map_err(|_| ClientError::BaseUrl("it is not a URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        let problem = "it holds a user name or password; the token comes from a file";
        return Err(ClientError::BaseUrl(problem));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(ClientError::BaseUrl("it has a query or fragment"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_this_machine(&url) => Ok(url),
        _ => Err(ClientError::BaseUrl(
            "use https; plain http would show tokens to the network",
        )),
    }
}

fn is_this_machine(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    })
}

fn parse_roots(pem: &[u8]) -> Result<Vec<Certificate>, ClientError> {
    if pem.is_empty() {
        return Ok(Vec::new());
    }
    let roots = Certificate::from_pem_bundle(pem)
        .map_err(|error| ClientError::ExtraRoots(error.to_string()))?;
    if roots.is_empty() {
        let problem = "no certificate in it".to_owned();
        return Err(ClientError::ExtraRoots(problem));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_reached_by_https_or_on_this_machine() {
        for (text, accepted) in [
            ("https://broker.example.com", true),
            ("https://broker.example.com:8443/behind/a/path/", true),
            ("http://127.0.0.1:9000", true),
            ("http://[::1]:9000/", true),
            ("http://localhost:9000", true),
            ("http://broker.example.com", false),
            ("http://127.0.0.1.example.com", false),
            ("https://user:canary@broker.example.com", false),
            ("https://broker.example.com?a=b", false),
            ("ftp://127.0.0.1", false),
            ("broker", false),
        ] {
            let parsed = parse_base_url(text);
            assert_eq!(parsed.is_ok(), accepted, "{text}: {parsed:?}");
            assert!(!format!("{parsed:?}").contains("canary"), "{text}");
        }
    }
}
