//! Who asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use adapter_listener::{Client, Known};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::Timestamp;
use domain::broker::ClusterName;
use domain::broker::cluster::Cluster;
use parking_lot::Mutex;
use secrecy::SecretString;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::{
    ClusterPlane, PLANS_AT_ONCE, PLANS_IN_A_SECOND, REQUESTS_AT_ONCE, REQUESTS_IN_A_SECOND,
    REQUESTS_OF_CLUSTER,
};
use crate::identity::{self, proof};
use crate::problem::{ApiError, Problem};
use crate::rate::{Left, Rate};

const REQUESTS: Rate = Rate {
    at_once: REQUESTS_AT_ONCE,
    in_a_second: REQUESTS_IN_A_SECOND,
};

const PLANS: Rate = Rate {
    at_once: PLANS_AT_ONCE,
    in_a_second: PLANS_IN_A_SECOND,
};

/// The cluster that a request is of.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) cluster: Arc<Cluster>,
    /// The address that it is asked from.
    pub(super) source: String,
    /// Kept until the request is answered.
    _counted: Arc<OwnedSemaphorePermit>,
    _known: Arc<Option<Known>>,
}

/// A proof that was verified, of whoever it is of. It is not remembered as used: strangers could use up all that is remembered,
/// and what it opens is worth nothing without the key.
pub(super) struct Stranger {
    pub(super) proof: proof::Proof,
    pub(super) source: String,
}

/// What each cluster asked lately.
#[derive(Default)]
pub(super) struct Requests(Mutex<BTreeMap<ClusterName, OfCluster>>);

struct OfCluster {
    under_way: Arc<Semaphore>,
    left: Left,
    plans: Left,
    used: proof::UsedProofs,
}

impl OfCluster {
    fn new(now: Instant) -> Self {
        Self {
            under_way: Arc::new(Semaphore::new(REQUESTS_OF_CLUSTER)),
            left: Left::all(REQUESTS, now),
            plans: Left::all(PLANS, now),
            used: proof::UsedProofs::default(),
        }
    }
}

impl Requests {
    /// One request more of a cluster, if it may ask so often and the proof is not used.
    fn counted(
        &self,
        cluster: &ClusterName,
        proof: &proof::Proof,
        now: Timestamp,
    ) -> Result<OwnedSemaphorePermit, Problem> {
        let mut all = self.0.lock();
        let began = Instant::now();
        let one = all
            .entry(cluster.clone())
            .or_insert_with(|| OfCluster::new(began));
        if !one.left.take(REQUESTS, began) {
            return Err(too_many());
        }
        one.used.take(proof, now).map_err(refused_proof)?;
        let permit = one.under_way.clone().try_acquire_owned();
        permit.map_err(|_| too_many())
    }
}

impl Requests {
    /// One plan more of a cluster that is asking.
    pub(super) fn plan(&self, cluster: &ClusterName) -> Result<(), Problem> {
        let mut all = self.0.lock();
        let now = Instant::now();
        let one = all
            .entry(cluster.clone())
            .or_insert_with(|| OfCluster::new(now));
        if one.plans.take(PLANS, now) {
            return Ok(());
        }
        let detail = format!(
            "a cluster may ask for {PLANS_AT_ONCE} plans at once, and for one in {} s after that",
            1.0 / PLANS_IN_A_SECOND
        );
        Err(Problem {
            retry_after_ms: Some(5000),
            ..Problem::refused(ApiError::TooManyRequests, detail)
        })
    }
}

fn too_many() -> Problem {
    let detail = format!(
        "a cluster may ask {REQUESTS_IN_A_SECOND} times in a second, and have {REQUESTS_OF_CLUSTER} requests under way; try again later"
    );
    Problem {
        retry_after_ms: Some(1000),
        ..Problem::refused(ApiError::TooManyRequests, detail)
    }
}

/// Finds out whose session a request is of.
pub(super) async fn admit(
    State(plane): State<Arc<ClusterPlane>>,
    mut request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let member = plane.member(&parts).await;
    request = Request::from_parts(parts, body);
    match member {
        Err(problem) => problem.into_response(),
        Ok(member) => {
            let (method, path) = (request.method().clone(), request.uri().path().to_owned());
            let cluster = member.cluster.clone();
            request.extensions_mut().insert(member);
            let response = next.run(request).await;
            let status = response.status().as_u16();
            tracing::debug!(cluster = %cluster.name, %method, path, status, "answered");
            response
        }
    }
}

impl ClusterPlane {
    async fn member(&self, parts: &Parts) -> Result<Member, Problem> {
        let token = session_token(&parts.headers)?;
        let now = self.clock.now();
        let digest = identity::digest(&SecretString::from(token));
        let (cluster, key) = self.store.session(&digest, now).await?;
        let proof = self.proof(parts, Some(token))?;
        if proof.key != key {
            let detail = "the proof is not of the key that the session was opened with";
            return Err(Problem::refused(ApiError::ProofRefused, detail));
        }
        let counted = self.requests.counted(&cluster.name, &proof, now)?;
        let known = parts.extensions.get().map(Client::known);
        Ok(Member {
            cluster: Arc::new(cluster),
            source: source(parts),
            _counted: Arc::new(counted),
            _known: Arc::new(known),
        })
    }

    /// The proof of a request.
    fn proof(&self, parts: &Parts, token: Option<&str>) -> Result<proof::Proof, Problem> {
        let shown = once(&parts.headers, &HeaderName::from_static(proof::HEADER));
        let shown = shown
            .ok_or(proof::ProofError::Missing)
            .map_err(refused_proof)?;
        let url = format!("https://{}{}", host(parts), parts.uri.path());
        let asked = proof::Request {
            method: parts.method.as_str(),
            url: &url,
            token,
        };
        proof::verify(shown, asked, self.clock.now()).map_err(refused_proof)
    }
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "it stands in map_err, which gives values"
)]
fn refused_proof(error: proof::ProofError) -> Problem {
    Problem::refused(ApiError::ProofRefused, error.to_string())
}

/// The one value of a header, if it has one.
pub(crate) fn once<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// `Authorization: DPoP …` (RFC 9449, section 7.1).
fn session_token(headers: &HeaderMap) -> Result<&str, Problem> {
    let value = once(headers, &header::AUTHORIZATION);
    let token = value.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        (scheme.eq_ignore_ascii_case("dpop") && !token.is_empty()).then_some(token)
    });
    token.ok_or_else(|| {
        let detail = "send the session's token once, as `Authorization: DPoP …`";
        Problem::refused(ApiError::MissingToken, detail)
    })
}

fn host(parts: &Parts) -> String {
    let authority = parts.uri.authority().map(ToString::to_string);
    let host = || once(&parts.headers, &header::HOST).map(str::to_owned);
    authority.or_else(host).unwrap_or_default().to_lowercase()
}

pub(crate) fn source(parts: &Parts) -> String {
    let client: Option<&Client> = parts.extensions.get();
    client.map_or_else(String::new, |client| client.peer().to_string())
}

impl FromRequestParts<Arc<ClusterPlane>> for Member {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        _: &Arc<ClusterPlane>,
    ) -> Result<Self, Self::Rejection> {
        let member = parts.extensions.get().cloned();
        Ok(member.expect("every path of members is behind `admit`"))
    }
}

impl FromRequestParts<Arc<ClusterPlane>> for Stranger {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        plane: &Arc<ClusterPlane>,
    ) -> Result<Self, Self::Rejection> {
        Ok(Self {
            proof: plane.proof(parts, None)?,
            source: source(parts),
        })
    }
}
