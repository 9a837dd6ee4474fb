//! The API for people, asked by a program of theirs.

use std::time::Duration;

use domain::broker::{Code, Refusal};
use http_body_util::{BodyExt, Limited};
use reqwest::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use reqwest::{Certificate, Method, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::problem::{self, Meaning, Problem};
use crate::wire::LARGEST_ANSWER;
use crate::wire::people::ListDocument;

/// How long one request may take. A token is tried at Cloudflare meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks a broker as somebody who is signed in, or to sign in.
pub struct PeopleClient {
    http: reqwest::Client,
    base: Url,
    token: Option<SecretString>,
}

/// Why something was not done, or not told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeopleError {
    #[error("the broker's address must be `https://host:port`, or `http://` on this machine: {0}")]
    Address(String),
    #[error("the certificate authorities cannot be read: {0}; a PEM file is expected")]
    Roots(String),
    #[error("the broker does not answer: {0}")]
    NoAnswer(String),
    #[error("the answer is not that of a broker of this version: {0}")]
    Unknown(String),
    #[error("{0}")]
    Decided(Refusal),
    #[error("{title}: {detail}")]
    Refused { title: String, detail: String },
}

impl PeopleError {
    /// Whether signing in again would help.
    pub fn is_over(&self) -> bool {
        self.code() == Some(Code::SessionOver)
    }

    fn code(&self) -> Option<Code> {
        match self {
            Self::Decided(refusal) => Some(refusal.code),
            _ => None,
        }
    }
}

/// What was answered.
struct Answer {
    /// Of an item, to say later which one was read.
    tag: Option<HeaderValue>,
    body: Vec<u8>,
}

impl PeopleClient {
    /// For a broker at an address. `roots` are PEM texts of authorities besides those of the system.
    pub fn new(
        base: &str,
        roots: &[Vec<u8>],
        token: Option<SecretString>,
    ) -> Result<Self, PeopleError> {
        let address = |_| PeopleError::Address(base.to_owned());
        let url: Url = base.parse().map_err(address)?;
        let is_here = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
        let may = url.scheme() == "https" || (url.scheme() == "http" && is_here);
        if !may || url.path() != "/" || url.query().is_some() || !url.username().is_empty() {
            return Err(PeopleError::Address(base.to_owned()));
        }
        let mut http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(redirect::Policy::none());
        for pem in roots {
            let found = Certificate::from_pem_bundle(pem);
            let found = found.map_err(|error| PeopleError::Roots(error.to_string()))?;
            http = http.tls_certs_merge(found);
        }
        let http = http.build();
        Ok(Self {
            http: http.map_err(|error| PeopleError::Roots(error.to_string()))?,
            base: url,
            token,
        })
    }

    /// What is at a path below `/admin/v1/`.
    pub async fn get<D: DeserializeOwned>(&self, path: &str) -> Result<D, PeopleError> {
        let answer = self.ask(Method::GET, path, None, None).await?;
        read(&answer.body)
    }

    /// A whole list, however many parts it has.
    pub async fn list<D: DeserializeOwned>(&self, path: &str) -> Result<Vec<D>, PeopleError> {
        let (mut all, mut part) = (Vec::new(), path.to_owned());
        loop {
            let found: ListDocument<D> = self.get(&part).await?;
            all.extend(found.items);
            match found.next {
                Some(next) => part = format!("{path}?cursor={next}"),
                None => return Ok(all),
            }
        }
    }

    /// Sends a document, and reads the one that comes back.
    pub async fn post<D: DeserializeOwned>(
        &self,
        path: &str,
        document: Option<&impl Serialize>,
    ) -> Result<D, PeopleError> {
        let body = document.map(written);
        read(&self.ask(Method::POST, path, body, None).await?.body)
    }

    /// Puts a document in the place of the item that is there now, or where there is none. Refused where somebody else does so
    /// at the same time.
    pub async fn put(&self, path: &str, document: &impl Serialize) -> Result<(), PeopleError> {
        let condition = match self.ask(Method::GET, path, None, None).await {
            Ok(known) => known.tag.map(|tag| (IF_MATCH, tag)),
            Err(error) if error.code() == Some(Code::NotFound) => {
                Some((IF_NONE_MATCH, HeaderValue::from_static("*")))
            }
            Err(error) => return Err(error),
        };
        let body = Some(written(document));
        let answer = self.ask(Method::PUT, path, body, condition).await;
        answer.map(|_| ())
    }

    /// Puts a document that nobody can read.
    pub async fn put_secret(
        &self,
        path: &str,
        document: &impl Serialize,
    ) -> Result<(), PeopleError> {
        let body = Some(written(document));
        self.ask(Method::PUT, path, body, None).await.map(|_| ())
    }

    /// Removes the item that is at a path now.
    pub async fn remove(&self, path: &str) -> Result<(), PeopleError> {
        let known = self.ask(Method::GET, path, None, None).await?;
        let condition = known.tag.map(|tag| (IF_MATCH, tag));
        let answer = self.ask(Method::DELETE, path, None, condition).await;
        answer.map(|_| ())
    }

    /// Ends the session.
    pub async fn sign_out(&self) -> Result<(), PeopleError> {
        let answer = self.ask(Method::DELETE, "sessions/current", None, None);
        answer.await.map(|_| ())
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        condition: Option<(HeaderName, HeaderValue)>,
    ) -> Result<Answer, PeopleError> {
        let url = self.base.join(&format!("/admin/v1/{path}"));
        let url = url.map_err(|_| PeopleError::Address(path.to_owned()))?;
        let mut request = self.http.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        if let Some((name, value)) = condition {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let no_answer = |error: &reqwest::Error| PeopleError::NoAnswer(why(error));
        let answer = request.send().await.map_err(|error| no_answer(&error))?;
        let is_done = answer.status().is_success();
        let tag = answer.headers().get(ETAG).cloned();
        let body = Limited::new(reqwest::Body::from(answer), LARGEST_ANSWER);
        let body = body.collect().await;
        let body = body.map_err(|error| PeopleError::NoAnswer(error.to_string()))?;
        let body = body.to_bytes().to_vec();
        match is_done {
            true => Ok(Answer { tag, body }),
            false => Err(told(&body)),
        }
    }
}

fn written(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("a document of texts and numbers can be written")
}

fn read<D: DeserializeOwned>(body: &[u8]) -> Result<D, PeopleError> {
    serde_json::from_slice(body).map_err(|error| PeopleError::Unknown(error.to_string()))
}

fn told(body: &[u8]) -> PeopleError {
    let Ok(problem) = serde_json::from_slice::<Problem>(body) else {
        let media_type = problem::MEDIA_TYPE;
        return PeopleError::Unknown(format!("a refusal that is no {media_type}"));
    };
    let (title, detail) = (problem.title.clone(), problem.detail.clone());
    match problem.meaning() {
        Some(Meaning::Decided(refusal)) => PeopleError::Decided(refusal),
        _ => PeopleError::Refused { title, detail },
    }
}

/// An error with those under it, without the address, which is known.
pub(super) fn why(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut next: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = next {
        text = error.to_string();
        next = error.source();
    }
    match text.is_empty() {
        true => error.to_string(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_leaves_this_machine() {
        for (address, good) in [
            ("https://broker.example.com:8444", true),
            ("https://broker.example.com", true),
            ("http://127.0.0.1:8444", true),
            ("http://[::1]:8444", true),
            ("http://broker.example.com:8444", false),
            ("http://127.0.0.1.example.com", false),
            ("https://broker.example.com/path", false),
            ("https://name:secret@broker.example.com", false),
            ("broker.example.com", false),
        ] {
            let found = PeopleClient::new(address, &[], None).is_ok();
            assert_eq!(found, good, "{address}");
        }
    }
}
