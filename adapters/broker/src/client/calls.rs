//! One request to the broker and its answer.

use std::error::Error as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::InstanceId;
use domain::broker::Code;
use domain::broker::held::Place;
use domain::edge::EdgeStatus;
use domain::ports::{Clock, Entropy, PortError, PortErrorKind};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderValue};
use reqwest::{Certificate, Method, Response, StatusCode, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use super::addresses::Addresses;
use super::attesting::Attesting;
use super::{ClientError, ClientSettings};
use crate::identity::key::ClusterKey;
use crate::identity::proof;
use crate::outage::{self, Outage};
use crate::problem::{self, ApiError, Meaning, Problem};
use crate::wire::{
    EnrolledDocument, EnrolmentDocument, LARGEST_ANSWER, Malformed, PendingDocument,
    SessionDocument, SessionRequest, StatusDocument,
};

/// What is asked.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// Segments of the path after `/v1`.
    pub(super) path: Vec<String>,
    pub(super) query: Option<String>,
    pub(super) body: Option<Vec<u8>>,
    /// Of what states something.
    pub(super) place: Option<Place>,
}

impl Ask {
    pub(super) fn new(method: Method, path: &[&str]) -> Self {
        Self {
            method,
            path: path.iter().map(|segment| (*segment).to_owned()).collect(),
            query: None,
            body: None,
            place: None,
        }
    }

    pub(super) fn with(self, document: &impl Serialize) -> Self {
        let body = serde_json::to_vec(document).expect("a document of texts can be written");
        Self {
            body: Some(body),
            ..self
        }
    }
}

/// What came of a statement.
#[derive(Debug)]
pub(super) enum Answered {
    /// With the version of the statement, where the broker told it.
    Done(Box<EdgeStatus>, Option<u64>),
    Pending(PendingDocument),
    /// It was not taken: another controller leads.
    OtherTerm,
}

/// Why a request brought no document.
enum Failed {
    /// It is not known whether the broker got it, or what it did.
    NoAnswer(String),
    /// The broker says why.
    Told(Meaning),
}

/// A document, with its version where it has one; or the one that says that there will be one.
enum Whole {
    Done(Vec<u8>, Option<u64>),
    Accepted(Vec<u8>),
}

/// The way to the broker.
pub(super) struct Calls {
    http: reqwest::Client,
    addresses: Addresses,
    key: ClusterKey,
    code: Option<SecretString>,
    instance: InstanceId,
    attesting: Attesting,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    session: Mutex<Option<Session>>,
    outage: Outage,
    /// How long the broker may wait until something is done (RFC 7240), so that its answer comes in time.
    patience: Duration,
}

impl std::fmt::Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Calls")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// A session, as long as it is not to be renewed.
struct Session {
    token: SecretString,
    renewed_by: Instant,
}

impl Calls {
    pub(super) fn new(
        settings: &ClientSettings,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, ClientError> {
        let bases = settings.base_urls.iter().map(|text| parse_base_url(text));
        let bases: Vec<Url> = bases.collect::<Result<_, _>>()?;
        if bases.is_empty() {
            return Err(ClientError::BaseUrl("there is none"));
        }
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("cfgw/", env!("CARGO_PKG_VERSION")))
            .timeout(settings.request_timeout)
            .connect_timeout(settings.connect_timeout)
            .tls_certs_merge(parse_roots(&settings.extra_roots)?)
            // What a redirect leads to is no broker.
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never());
        // HTTPS_PROXY and NO_PROXY count, and the proxy is told the host alone. Plain HTTP is for this machine: a proxy would
        // see tokens of tunnels.
        if bases.iter().any(|base| base.scheme() == "http") {
            http = http.no_proxy();
        }
        let http = http
            .build()
            .map_err(|error| ClientError::Setup(error.to_string()))?;
        Ok(Self {
            http,
            addresses: Addresses::new(bases),
            key: settings.key.clone(),
            code: settings.code.clone(),
            instance: settings.instance,
            attesting: Attesting::new(settings.attestor.clone(), settings.key.thumbprint().clone()),
            clock,
            entropy,
            session: Mutex::default(),
            outage: Outage::default(),
            patience: settings.request_timeout / 2,
        })
    }

    /// Asks for a document.
    pub(super) async fn document<D: DeserializeOwned>(&self, ask: Ask) -> Result<D, PortError> {
        let asked = Instant::now();
        let answer = self.exchange(&ask).await.and_then(|whole| match whole {
            Whole::Done(body, _) => parsed(&body),
            Whole::Accepted(_) => Err(Failed::NoAnswer("it answered 202".to_owned())),
        });
        self.in_words(asked, answer)
    }

    /// States something, or asks what came of it.
    pub(super) async fn statement(&self, ask: Ask) -> Result<Answered, PortError> {
        let asked = Instant::now();
        let answer = self.exchange(&ask).await;
        if let Err(Failed::Told(Meaning::Decided(refusal))) = &answer
            && refusal.code == Code::StaleTerm
        {
            return Ok(Answered::OtherTerm);
        }
        let answer = answer.and_then(|whole| match whole {
            Whole::Accepted(body) => Ok(Answered::Pending(parsed(&body)?)),
            Whole::Done(body, version) => {
                let status = parsed::<StatusDocument>(&body)?.read().map_err(wrong)?;
                Ok(Answered::Done(Box::new(status), version))
            }
        });
        self.in_words(asked, answer)
    }

    /// What a document says, if it can be.
    pub(super) fn read<T>(&self, read: Result<T, Malformed>) -> Result<T, PortError> {
        let now = Instant::now();
        self.in_words(now, read.map_err(wrong))
    }

    fn in_words<T>(&self, asked: Instant, answer: Result<T, Failed>) -> Result<T, PortError> {
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

    /// One request within a session. A session that the broker does not know any more is opened again, once.
    async fn exchange(&self, ask: &Ask) -> Result<Whole, Failed> {
        let token = self.session(None).await?;
        let answer = self.send(ask, Some(&token)).await;
        match answer {
            Err(Failed::Told(Meaning::Decided(refusal))) if refusal.code == Code::SessionOver => {
                let token = self.session(Some(&token)).await?;
                self.send(ask, Some(&token)).await
            }
            other => other,
        }
    }

    /// The token of the session; another one than `over`, if that is given.
    async fn session(&self, over: Option<&SecretString>) -> Result<SecretString, Failed> {
        let mut session = self.session.lock().await;
        let is_over = |token: &SecretString| {
            over.is_some_and(|over| over.expose_secret() == token.expose_secret())
        };
        if let Some(Session { token, renewed_by }) = &*session
            && Instant::now() < *renewed_by
            && !is_over(token)
        {
            return Ok(token.clone());
        }
        *session = None;
        let opened = match self.open_session().await {
            // Nobody knows the key: the code is for that.
            Err(Failed::Told(Meaning::Decided(refusal)))
                if refusal.code == Code::Forbidden && self.code.is_some() =>
            {
                self.enrol().await?;
                self.open_session().await?
            }
            other => other?,
        };
        let token = SecretString::from(opened.token);
        let half = Duration::from_secs(opened.expires_in) / 2;
        *session = Some(Session {
            token: token.clone(),
            renewed_by: Instant::now() + half,
        });
        Ok(token)
    }

    async fn open_session(&self) -> Result<SessionDocument, Failed> {
        let request = SessionRequest {
            instance: self.instance.to_string(),
            attestation: self.attesting.shown().await,
        };
        let ask = Ask::new(Method::POST, &["sessions"]).with(&request);
        let opened = self.parsed(&ask).await?;
        self.attesting.told(&opened);
        Ok(opened)
    }

    async fn enrol(&self) -> Result<(), Failed> {
        let code = self.code.as_ref().map(ExposeSecret::expose_secret);
        let document = EnrolmentDocument {
            code: code.unwrap_or_default().trim().to_owned(),
            instance: self.instance.to_string(),
            attestation: self.attesting.shown_with_keys().await,
        };
        let ask = Ask::new(Method::POST, &["enrolments"]).with(&document);
        let enrolled: EnrolledDocument = self.parsed(&ask).await?;
        let EnrolledDocument {
            cluster,
            key,
            attested,
        } = enrolled;
        tracing::info!(
            cluster,
            key,
            attested = attested.unwrap_or_else(|| "no".to_owned()),
            "the code was redeemed; the broker has to accept this key"
        );
        Ok(())
    }

    async fn parsed<D: DeserializeOwned>(&self, ask: &Ask) -> Result<D, Failed> {
        match self.send(ask, None).await? {
            Whole::Done(body, _) => parsed(&body),
            Whole::Accepted(_) => Err(Failed::NoAnswer("it answered 202".to_owned())),
        }
    }

    /// Sends a request to the address that answered last, and to the next where that does not. Each can be sent twice.
    async fn send(&self, ask: &Ask, token: Option<&SecretString>) -> Result<Whole, Failed> {
        let mut failures = Vec::new();
        for at in self.addresses.order(Instant::now()) {
            let base = self.addresses.url(at);
            let why = match self.send_to(base, ask, token).await {
                Err(Failed::NoAnswer(why)) => why,
                // Another broker may reach the store.
                Err(Failed::Told(Meaning::Refused(ApiError::StoreUnavailable, why))) => why,
                answer => {
                    self.addresses.answered(at);
                    return answer;
                }
            };
            self.addresses.failed(at, Instant::now());
            failures.push(match self.addresses.only() {
                Some(_) => why,
                None => format!("{base}: {why}"),
            });
        }
        Err(Failed::NoAnswer(failures.join("; ")))
    }

    async fn send_to(
        &self,
        base: &Url,
        ask: &Ask,
        token: Option<&SecretString>,
    ) -> Result<Whole, Failed> {
        let mut url = base.clone();
        url.path_segments_mut()
            .expect("the base URL is http or https")
            .pop_if_empty()
            .push("v1")
            .extend(&ask.path);
        let proof = self.prove(&ask.method, &url, token);
        url.set_query(ask.query.as_deref());
        let mut request = self
            .http
            .request(ask.method.clone(), url)
            .header(proof::HEADER, proof)
            .header("prefer", format!("wait={}", self.patience.as_secs()))
            .header(ACCEPT, "application/json");
        if let Some(token) = token {
            let mut value = HeaderValue::try_from(format!("DPoP {}", token.expose_secret()))
                .map_err(|_| Failed::NoAnswer("its token is none".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if let Some(Place { term, sequence }) = ask.place {
            request = request.header("statement-place", format!("{term}.{sequence}"));
        }
        if let Some(body) = &ask.body {
            request = request
                .header(CONTENT_TYPE, "application/json")
                .body(body.clone());
        }
        let response = request.send().await;
        answer(response.map_err(|error| Failed::NoAnswer(in_words(error)))?).await
    }

    fn prove(&self, method: &Method, url: &Url, token: Option<&SecretString>) -> String {
        let request = proof::Request {
            method: method.as_str(),
            url: url.as_str(),
            token: token.map(ExposeSecret::expose_secret),
        };
        let id = URL_SAFE_NO_PAD.encode(self.entropy.secret());
        self.key.prove(request, id, self.clock.now())
    }

    fn told(&self, meaning: Meaning) -> PortError {
        let (kind, detail) = match meaning {
            Meaning::Edge(error) => return error,
            Meaning::Refused(error, detail) => (kind_of_refusal(error), detail),
            Meaning::Decided(refusal) => (kind_of_code(refusal.code), refusal.detail),
        };
        let base = self.addresses.last();
        PortError::new(kind, format!("the broker {base} refused: {detail}"))
    }

    fn unavailable(&self, why: &str, age: Duration) -> PortError {
        let age = outage::in_words(age);
        let message = match self.addresses.only() {
            Some(base) => {
                format!("the broker {base} has not answered for {age} (BrokerUnavailable): {why}")
            }
            None => format!(
                "the broker has not answered for {age} at any of its addresses (BrokerUnavailable): {why}"
            ),
        };
        PortError::new(PortErrorKind::BrokerUnavailable, message)
    }
}

fn kind_of_refusal(error: ApiError) -> PortErrorKind {
    match error {
        ApiError::MissingToken | ApiError::ProofRefused => PortErrorKind::Unauthenticated,
        ApiError::TooSlow | ApiError::TooManyRequests => PortErrorKind::Unavailable,
        _ => PortErrorKind::Invalid,
    }
}

fn kind_of_code(code: Code) -> PortErrorKind {
    match code {
        Code::Forbidden
        | Code::CodeInvalid
        | Code::NotAccepted
        | Code::AttestationRequired
        | Code::AttestationRefused
        | Code::ClusterRevoked
        | Code::IdentityConflict
        | Code::SessionOver
        | Code::Tombstoned => PortErrorKind::Unauthenticated,
        Code::StaleTerm | Code::StaleStatement | Code::EtagMismatch => PortErrorKind::Conflict,
        Code::NotFound => PortErrorKind::NotFound,
        Code::TooManyGateways => PortErrorKind::TooManyGateways,
        _ => PortErrorKind::Invalid,
    }
}

async fn answer(response: Response) -> Result<Whole, Failed> {
    let status = response.status();
    let media_type = media_type(&response);
    let version = version(&response);
    let body = whole_body(response).await.map_err(Failed::NoAnswer)?;
    if media_type == "application/json" {
        match status {
            StatusCode::OK | StatusCode::CREATED => return Ok(Whole::Done(body, version)),
            StatusCode::ACCEPTED => return Ok(Whole::Accepted(body)),
            _ => {}
        }
    }
    let problem = (media_type == problem::MEDIA_TYPE)
        .then(|| serde_json::from_slice::<Problem>(&body).ok())
        .flatten();
    Err(match problem.and_then(Problem::meaning) {
        Some(meaning) => Failed::Told(meaning),
        None => Failed::NoAnswer(format!("it answered {}", status.as_u16())),
    })
}

/// A message of serde_json may repeat a value, and a value may be a token.
fn parsed<D: DeserializeOwned>(body: &[u8]) -> Result<D, Failed> {
    serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        Failed::NoAnswer(format!(
            "its answer is not a document of this API ({place})"
        ))
    })
}

#[allow(clippy::needless_pass_by_value)]
fn wrong(error: Malformed) -> Failed {
    Failed::NoAnswer(format!("its answer is wrong: {error}"))
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

/// `ETag: "17"`.
fn version(response: &Response) -> Option<u64> {
    let text = response.headers().get(ETAG)?.to_str().ok()?;
    text.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
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
