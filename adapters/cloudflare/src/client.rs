//! How a call is sent: budget, credentials, one try (two for a read whose connection broke), envelope.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use domain::ports::{PortError, PortErrorKind};
use domain::secret::CloudflareCredentials;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Response, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use crate::budget::{Admission, Budget, NotAdmitted};
use crate::call::{
    Call, CallHook, CallKind, CallOutcome, CallReport, Permission, RayHook, WriteGuard,
};
use crate::envelope::{self, Answer, Envelope};
use crate::error::Failure;
use crate::listing::{Identified, Listing, Progress};
use crate::settings::{ClientError, ClientSettings, parse_base_url, parse_roots};

/// No answer of the API comes near it.
const LARGEST_BODY: usize = 64 << 20;

/// Connections to the API, shared by the clients of all accounts.
#[derive(Clone)]
pub(crate) struct Transport {
    http: reqwest::Client,
    base: Url,
}

impl Transport {
    /// reqwest brings its own rustls provider (aws-lc-rs), so none is installed for the process.
    pub(crate) fn new(settings: &ClientSettings) -> Result<Self, ClientError> {
        let base = parse_base_url(&settings.base_url)?;
        let mut http = reqwest::Client::builder()
            .user_agent(&settings.user_agent)
            .timeout(settings.request_timeout)
            .connect_timeout(settings.connect_timeout)
            .tls_certs_merge(parse_roots(&settings.extra_roots)?)
            // The token is for the base URL alone.
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
        Ok(Self { http, base })
    }

    fn url(&self, call: &Call, page: Option<u64>) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("the base URL is http or https")
            .pop_if_empty()
            .extend(&call.path);
        let page = page.map(|page| ("page", page.to_string()));
        if page.is_some() || !call.query.is_empty() {
            url.query_pairs_mut()
                .extend_pairs(call.query.iter().cloned())
                .extend_pairs(page);
        }
        url
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("base", &self.base.as_str())
            .finish_non_exhaustive()
    }
}

/// The API for one account, with one token.
pub(crate) struct AccountClient {
    transport: Transport,
    credentials: CloudflareCredentials,
    budget: Arc<Budget>,
    /// Called for every request, and for every one that was sent.
    hooks: [Option<CallHook>; 2],
    on_ray: Option<RayHook>,
    may_write: Option<WriteGuard>,
}

impl AccountClient {
    pub(crate) fn new(
        transport: Transport,
        credentials: CloudflareCredentials,
        budget: Arc<Budget>,
        hooks: [Option<CallHook>; 2],
        on_ray: Option<RayHook>,
        may_write: Option<WriteGuard>,
    ) -> Self {
        Self {
            transport,
            credentials,
            budget,
            hooks,
            on_ray,
            may_write,
        }
    }

    pub(crate) fn account(&self) -> &str {
        self.credentials.account.as_str()
    }

    fn token(&self) -> &SecretString {
        &self.credentials.token
    }

    /// Sends a call whose result, if there is any, does not matter.
    pub(crate) async fn command(&self, call: Call) -> Result<(), PortError> {
        let answer = self.send::<serde::de::IgnoredAny>(&call, None).await;
        answer
            .map(|_| ())
            .map_err(|failure| self.explain(failure, &call))
    }

    /// Sends a call and reads its result; `None` where the result is `null` or left out.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        call: &Call,
    ) -> Result<Option<T>, PortError> {
        let answer = self.send(call, None).await;
        answer
            .map(|answer| answer.result)
            .map_err(|failure| self.explain(failure, call))
    }

    /// Like [`ask`](Self::ask) where the API promises a result.
    pub(crate) async fn fetch<T: DeserializeOwned>(&self, call: &Call) -> Result<T, PortError> {
        self.ask(call)
            .await?
            .ok_or_else(|| self.unreadable(call, "it has no result"))
    }

    /// Reads all pages of a list.
    pub(crate) async fn list<T: DeserializeOwned + Identified>(
        &self,
        call: &Call,
    ) -> Result<Vec<T>, PortError> {
        let mut listing = Listing::new();
        loop {
            let page = self.send(call, Some(listing.next_page())).await;
            let progress = page.and_then(|page| listing.add(page).map_err(Failure::Incomplete));
            match progress {
                Ok(Progress::More) => {}
                Ok(Progress::Complete) => return Ok(listing.into_items()),
                Err(failure) => return Err(self.explain(failure, call)),
            }
        }
    }

    /// The error for a yes that has not the form it should have. The reason must not quote it.
    pub(crate) fn unreadable(&self, call: &Call, reason: &str) -> PortError {
        let failure = Failure::Unreadable {
            status: 200,
            reason: reason.to_owned(),
        };
        self.explain(failure, call)
    }

    pub(crate) fn explain(&self, failure: Failure, call: &Call) -> PortError {
        failure.describe(call, self.token())
    }

    /// A read is sent once more when its connection breaks; a write never is, because the first one may
    /// have taken effect.
    async fn send<T: DeserializeOwned>(
        &self,
        call: &Call,
        page: Option<u64>,
    ) -> Result<Answer<T>, Failure> {
        match self.attempt(call, page).await {
            Err(Failure::Connection(reason)) if call.kind() == CallKind::Read => {
                tracing::debug!(
                    call = call.name,
                    reason,
                    "connection broke, sending once more"
                );
                self.attempt(call, page).await
            }
            outcome => outcome,
        }
    }

    async fn attempt<T: DeserializeOwned>(
        &self,
        call: &Call,
        page: Option<u64>,
    ) -> Result<Answer<T>, Failure> {
        let outcome = match self.budget.admit().await {
            Ok(admission) => {
                if admission == Admission::FirstWait {
                    self.tell_of_waits();
                }
                let mut ray = None;
                let outcome = self.exchange(call, page, &mut ray).await;
                self.tell_ray(call, outcome.is_err(), ray.as_deref());
                self.learn_of_token(call, outcome.as_ref().err());
                outcome
            }
            Err(NotAdmitted::Exhausted(wait)) => Err(Failure::Withheld(wait)),
            Err(NotAdmitted::TokenRefused(wait)) => Err(Failure::TokenRefused(wait)),
        };
        self.report(call, outcome.as_ref().err());
        outcome
    }

    /// Whether the token is accepted at all, which only an answer of Cloudflare's shows.
    fn learn_of_token(&self, call: &Call, failure: Option<&Failure>) {
        match failure {
            None => self.budget.token_accepted(),
            // A token of an account is unknown where those of users are verified.
            Some(_) if call.permission == Permission::Own => {}
            Some(failure) if failure.kind(call.permission) == PortErrorKind::Unauthenticated => {
                self.budget.token_refused();
            }
            Some(_) => {}
        }
    }

    fn tell_ray(&self, call: &Call, has_failed: bool, ray: Option<&str>) {
        let counts = has_failed || call.kind() == CallKind::Write;
        if let (Some(hook), Some(ray), true) = (&self.on_ray, ray, counts) {
            hook(ray);
        }
    }

    fn tell_of_waits(&self) {
        tracing::warn!(
            account = self.account(),
            "calls to Cloudflare wait for their turn: there are more than cloudflare.request_budget allows"
        );
    }

    fn report(&self, call: &Call, failure: Option<&Failure>) {
        let outcome = match failure {
            None => CallOutcome::Succeeded,
            Some(failure) => failure.outcome(call.permission),
        };
        tracing::debug!(
            call = call.name,
            ?outcome,
            account = self.account(),
            "cloudflare call"
        );
        let report = CallReport {
            name: call.name,
            kind: call.kind(),
            outcome,
            pause: failure.and_then(Failure::pause),
        };
        let [on_call, meter] = &self.hooks;
        let meter = meter.as_ref().filter(|_| outcome != CallOutcome::Withheld);
        for hook in on_call.iter().chain(meter) {
            hook(&report);
        }
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        call: &Call,
        page: Option<u64>,
        ray: &mut Option<String>,
    ) -> Result<Answer<T>, Failure> {
        if let (CallKind::Write, Some(may_write)) = (call.kind(), self.may_write) {
            may_write().map_err(|error| Failure::Broken(error.kind, error.message))?;
        }
        let mut request = self
            .transport
            .http
            .request(call.method.clone(), self.transport.url(call, page))
            .header(AUTHORIZATION, self.authorization()?);
        if let Some(body) = &call.body {
            request = request
                .header(CONTENT_TYPE, "application/json")
                .body(body.clone());
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        *ray = ray_of(response.headers());
        let retry_after = retry_after(response.headers());
        let pause = (status == 429).then(|| self.budget.pause(retry_after));
        let body = read_body(response).await?;
        match envelope::open(&body) {
            Envelope::Yes(answer) if (200..300).contains(&status) => Ok(answer),
            Envelope::No(complaints) => Err(Failure::Refused {
                status,
                complaints,
                pause,
            }),
            // The status decides: an answer in another form is no success.
            _ if status >= 300 => Err(Failure::Refused {
                status,
                complaints: Vec::new(),
                pause,
            }),
            Envelope::Yes(_) => Err(Failure::Unreadable {
                status,
                reason: "it says yes to a request that is not finished".to_owned(),
            }),
            Envelope::Unreadable(reason) => Err(Failure::Unreadable { status, reason }),
        }
    }

    fn authorization(&self) -> Result<HeaderValue, Failure> {
        let text = SecretString::from(format!("Bearer {}", self.token().expose_secret()));
        let mut value =
            HeaderValue::from_str(text.expose_secret()).map_err(|_| Failure::UnusableToken)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// Cloudflare's id of a request, such as `9a1f3c2b4d5e6f70-FRA`.
fn ray_of(headers: &HeaderMap) -> Option<String> {
    let ray = headers.get("cf-ray")?.to_str().ok()?;
    let is_ray = ray.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    (is_ray && (1..=64).contains(&ray.len())).then(|| ray.to_owned())
}

/// Seconds only: Cloudflare sends no dates here.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

async fn read_body(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > LARGEST_BODY {
            return Err(Failure::Unreadable {
                status: response.status().as_u16(),
                reason: format!("it is larger than {LARGEST_BODY} bytes"),
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
