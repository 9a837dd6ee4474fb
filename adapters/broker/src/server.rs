//! The HTTP API over one edge for each cluster.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/instances/{instance}/gateways` | [`OwnedDocument`] |
//! | `PUT /v1/instances/{instance}/gateways` with a [`LiveDocument`] | [`SweptDocument`] |
//! | `PUT /v1/instances/{instance}/gateways/{namespace}/{name}/intent` with an [`IntentDocument`] | [`StatusDocument`] |
//! | `GET /v1/instances/{instance}/gateways/{namespace}/{name}/token` | [`TokenDocument`] |
//! | `PUT /v1/instances/{instance}/gateways/{namespace}/{name}/token` with a [`RetiredDocument`] | [`RetiredDocument`] |
//! | `DELETE /v1/instances/{instance}/gateways/{namespace}/{name}/connections` | [`RemovedDocument`] |
//! | `DELETE /v1/instances/{instance}/gateways/{namespace}/{name}` | [`RemovedDocument`] |
//!
//! `{instance}` is the [`InstanceId`] of the asking cluster: clusters that were given one token are told apart by it, and
//! each finds nothing but its own.
//!
//! All else is a [`Problem`]. The token is checked first, so that an answer without one says nothing; a
//! refused request reaches no edge.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use adapter_listener::{Client, Known};
use axum::body::{Body, HttpBody};
use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, put};
use axum::{Json, Router};
use domain::edge::{KeyedLock, KeyedLocks};
use domain::ports::{Clock, Edge, PortError, PortErrorKind};
use domain::{InstanceId, ObjectKey};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use tokio::sync::{
    OwnedRwLockReadGuard, OwnedRwLockWriteGuard, OwnedSemaphorePermit, RwLock, Semaphore,
};

use crate::auth::{Cluster, authenticate};
use crate::limits::Places;
use crate::problem::{self, ApiError, Problem};
use crate::wire::{
    GatewayDocument, IntentDocument, LARGEST_INTENT, LiveDocument, OwnedDocument, RemovedDocument,
    RetiredDocument, StatusDocument, SweptDocument, TokenDocument, gateway_key,
};

/// How long a document may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests of one cluster that are under way at a time, those included whose client has gone.
pub const REQUESTS_OF_CLUSTER: usize = 16;

/// When a cluster with too many requests should ask again.
const AGAIN: Duration = Duration::from_secs(1);

/// What every request is served with.
struct Broker {
    clusters: Vec<Arc<Served>>,
    clock: Arc<dyn Clock>,
}

/// A cluster with the work that is under way for it.
struct Served {
    cluster: Cluster,
    locks: GatewayLocks,
    /// [`REQUESTS_OF_CLUSTER`].
    requests: Arc<Semaphore>,
    places: Arc<Places>,
}

#[derive(Clone)]
struct Asked {
    by: Arc<Served>,
    /// Kept until all work for the request is done.
    counted: Arc<OwnedSemaphorePermit>,
    _known: Arc<Option<Known>>,
}

impl Asked {
    fn edge(&self, instance: InstanceId) -> Arc<dyn Edge> {
        self.by.cluster.edges.of(instance)
    }
}

/// One piece of work at a time for each Gateway; others wait. A sweep is work on all of them.
#[derive(Default)]
struct GatewayLocks {
    of_gateways: KeyedLocks<ObjectKey>,
    of_all: Arc<RwLock<()>>,
}

/// The right to work on one Gateway, for as long as it is kept.
struct GatewayLock {
    _of_gateway: KeyedLock,
    _no_sweep: OwnedRwLockReadGuard<()>,
}

impl GatewayLocks {
    async fn lock(&self, gateway: &ObjectKey) -> GatewayLock {
        GatewayLock {
            _of_gateway: self.of_gateways.lock(gateway).await,
            _no_sweep: self.of_all.clone().read_owned().await,
        }
    }

    async fn lock_all(&self) -> OwnedRwLockWriteGuard<()> {
        self.of_all.clone().write_owned().await
    }
}

/// The API for these clusters. Each must have a name, a token and an edge of its own.
pub fn router(clusters: Vec<Cluster>, clock: Arc<dyn Clock>) -> Router {
    let served = clusters.into_iter().map(|cluster| {
        Arc::new(Served {
            places: Arc::new(Places::new(&cluster.limits)),
            cluster,
            locks: GatewayLocks::default(),
            requests: Arc::new(Semaphore::new(REQUESTS_OF_CLUSTER)),
        })
    });
    let broker = Arc::new(Broker {
        clusters: served.collect(),
        clock,
    });
    Router::new()
        .route("/v1/instances/{instance}/gateways", get(owned).put(sweep))
        .route(
            "/v1/instances/{instance}/gateways/{namespace}/{name}",
            delete(remove),
        )
        .route(
            "/v1/instances/{instance}/gateways/{namespace}/{name}/intent",
            put(reconcile),
        )
        .route(
            "/v1/instances/{instance}/gateways/{namespace}/{name}/token",
            get(token).put(retire),
        )
        .route(
            "/v1/instances/{instance}/gateways/{namespace}/{name}/connections",
            delete(close),
        )
        .fallback(no_such_path)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(broker, admit))
}

/// Finds out who asks and refuses what no path or method takes, before anything else looks at the request.
async fn admit(State(broker): State<Arc<Broker>>, mut request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let clusters = broker.clusters.iter().map(|served| &served.cluster);
    let asking = authenticate(clusters, request.headers(), broker.clock.now());
    let admitted = asking.and_then(|place| {
        refuse_form(request.method(), request.uri(), request.body())?;
        let known = request.extensions().get().map(Client::known);
        counted(&broker.clusters[place], known)
    });
    let (cluster, response) = match admitted {
        Err(problem) => (None, problem.into_response()),
        Ok(asked) => {
            let name = asked.by.cluster.name.to_string();
            request.extensions_mut().insert(asked);
            (Some(name), next.run(request).await)
        }
    };
    let status = response.status().as_u16();
    tracing::debug!(cluster, %method, path, status, "answered");
    uncached(response)
}

/// One request more of this cluster, if it may have one.
fn counted(served: &Arc<Served>, known: Option<Known>) -> Result<Asked, Problem> {
    let counted = served.requests.clone().try_acquire_owned().map_err(|_| {
        let detail = format!(
            "{REQUESTS_OF_CLUSTER} requests of this cluster are under way, which is the most that is taken at a time; try again later"
        );
        Problem {
            retry_after_ms: u64::try_from(AGAIN.as_millis()).ok(),
            ..Problem::refused(ApiError::TooManyRequests, detail)
        }
    })?;
    Ok(Asked {
        by: served.clone(),
        counted: Arc::new(counted),
        _known: Arc::new(known),
    })
}

fn refuse_form(method: &Method, uri: &Uri, body: &Body) -> Result<(), Problem> {
    if uri.path().contains('%') || uri.query().is_some() {
        let detail = "names need no encoding and no path takes a query";
        return Err(Problem::refused(ApiError::NoSuchPath, detail));
    }
    // The router would answer HEAD as it answers GET.
    if ![Method::GET, Method::PUT, Method::POST, Method::DELETE].contains(method) {
        return Err(not_a_method(method));
    }
    if method != Method::PUT && !body.is_end_stream() {
        let detail = format!("{method} takes no body here");
        return Err(Problem::refused(ApiError::UnsupportedBody, detail));
    }
    Ok(())
}

/// Answers may hold a connector token.
fn uncached(mut response: Response) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}

async fn no_such_path() -> Problem {
    Problem::refused(
        ApiError::NoSuchPath,
        "see the paths under /v1/instances/{instance}/gateways, where {instance} is the cluster's instance id",
    )
}

async fn method_not_allowed(method: Method) -> Problem {
    not_a_method(&method)
}

fn not_a_method(method: &Method) -> Problem {
    let detail = format!("this path does not take {method}");
    Problem::refused(ApiError::MethodNotAllowed, detail)
}

async fn owned(
    Extension(asked): Extension<Asked>,
    Path(instance): Path<String>,
) -> Result<Json<OwnedDocument>, Problem> {
    let edge = asked.edge(instance_of(&instance)?);
    // The broker has one account: there is nothing that was found beside a failure.
    let gateways = edge.owned().await;
    let gateways = gateways.map_err(|partial| failed(partial.error))?;
    Ok(Json(OwnedDocument::of(&gateways)))
}

/// Each edge knows its own instance's marks alone, so a cluster sweeps nothing but its own.
async fn sweep(
    Extension(asked): Extension<Asked>,
    Path(instance): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SweptDocument>, Problem> {
    let edge = asked.edge(instance_of(&instance)?);
    let document: LiveDocument = read_document(&headers, body).await?;
    let live = document.read().map_err(malformed)?;
    let lock = asked.by.locks.lock_all().await;
    let swept = finished(
        (lock, asked.counted),
        async move { edge.sweep(&live).await },
    )
    .await?;
    Ok(Json(SweptDocument { swept }))
}

async fn reconcile(
    Extension(asked): Extension<Asked>,
    Path(names): Path<Names>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<StatusDocument>, Problem> {
    let (instance, gateway) = gateway_of(&names)?;
    let document: IntentDocument = read_document(&headers, body).await?;
    let mut intent = document.read(gateway.clone()).map_err(malformed)?;
    let withheld = asked.by.cluster.limits.withhold(&mut intent);
    let served = asked.by.clone();
    let work = async move {
        let edges = &*served.cluster.edges;
        served.places.reconcile(edges, instance, &intent).await
    };
    let mut status = locked(asked, gateway, work).await?;
    status.hostnames.extend(withheld);
    Ok(Json(StatusDocument::of(status)))
}

async fn token(
    Extension(asked): Extension<Asked>,
    Path(names): Path<Names>,
) -> Result<Json<TokenDocument>, Problem> {
    let (instance, gateway) = gateway_of(&names)?;
    let token = asked.edge(instance).connector_token(&gateway).await;
    Ok(Json(TokenDocument::of(&token.map_err(failed)?)))
}

async fn retire(
    Extension(asked): Extension<Asked>,
    Path(names): Path<Names>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<RetiredDocument>, Problem> {
    let (instance, gateway) = gateway_of(&names)?;
    let document: RetiredDocument = read_document(&headers, body).await?;
    let retired = document.read().map_err(malformed)?;
    let (edge, key) = (asked.edge(instance), gateway.clone());
    let work = async move { edge.retire_token(&key, retired).await };
    locked(asked, gateway, work).await?;
    Ok(Json(RetiredDocument::of(retired)))
}

async fn close(
    Extension(asked): Extension<Asked>,
    Path(names): Path<Names>,
) -> Result<Json<RemovedDocument>, Problem> {
    let (instance, gateway) = gateway_of(&names)?;
    let removed = GatewayDocument::of(&gateway);
    let (edge, key) = (asked.edge(instance), gateway.clone());
    let work = async move { edge.close_connections(&key).await };
    locked(asked, gateway, work).await?;
    Ok(Json(RemovedDocument { removed }))
}

async fn remove(
    Extension(asked): Extension<Asked>,
    Path(names): Path<Names>,
) -> Result<Json<RemovedDocument>, Problem> {
    let (instance, gateway) = gateway_of(&names)?;
    let removed = GatewayDocument::of(&gateway);
    let (served, edge, key) = (asked.by.clone(), asked.edge(instance), gateway.clone());
    let work = async move {
        edge.remove(&key).await?;
        served.places.free(instance, &key);
        Ok(())
    };
    locked(asked, gateway, work).await?;
    Ok(Json(RemovedDocument { removed }))
}

/// Instance, namespace and name, as they stand in a path.
type Names = (String, String, String);

fn gateway_of((instance, namespace, name): &Names) -> Result<(InstanceId, ObjectKey), Problem> {
    let instance = instance_of(instance)?;
    let gateway = gateway_key(namespace, name)
        .map_err(|error| Problem::refused(ApiError::NoSuchPath, error.to_string()))?;
    Ok((instance, gateway))
}

fn instance_of(text: &str) -> Result<InstanceId, Problem> {
    InstanceId::parse(text)
        .map_err(|error| Problem::refused(ApiError::NoSuchPath, error.to_string()))
}

/// Waits for the Gateway's lock, as long as the client does.
async fn locked<T: Send + 'static>(
    asked: Asked,
    gateway: ObjectKey,
    work: impl Future<Output = Result<T, PortError>> + Send + 'static,
) -> Result<T, Problem> {
    let lock = asked.by.locks.lock(&gateway).await;
    finished((lock, asked.counted), work).await
}

/// Work that was begun is finished even if the client has gone by then: its next request waits for it and
/// finds everything done. `kept` is let go of after it.
async fn finished<T: Send + 'static>(
    kept: impl Send + 'static,
    work: impl Future<Output = Result<T, PortError>> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::spawn(async move {
        let answer = work.await;
        drop(kept);
        answer
    });
    let answer = done.await.unwrap_or_else(|error| {
        tracing::error!(%error, "work for a cluster ended without an answer");
        let message = "the broker failed inside; its log says more";
        Err(PortError::new(PortErrorKind::BrokerUnavailable, message))
    });
    answer.map_err(failed)
}

async fn read_document<D: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<D, Problem> {
    let declared = headers.get(header::CONTENT_TYPE);
    let essence = declared.and_then(|value| value.to_str().ok()?.split(';').next());
    if !essence.is_some_and(|text| text.trim().eq_ignore_ascii_case("application/json")) {
        let detail = "declare the document as Content-Type: application/json";
        return Err(Problem::refused(ApiError::UnsupportedBody, detail));
    }
    let whole = Limited::new(body, LARGEST_INTENT).collect();
    let whole = match tokio::time::timeout(BODY_TIMEOUT, whole).await {
        Ok(whole) => whole,
        Err(_) => {
            let detail = format!("send it within {} s", BODY_TIMEOUT.as_secs());
            return Err(Problem::refused(ApiError::TooSlow, detail));
        }
    };
    let bytes = whole.map_err(|error| {
        if error.is::<LengthLimitError>() {
            let detail = format!("a document has {LARGEST_INTENT} bytes at most");
            Problem::refused(ApiError::TooLarge, detail)
        } else {
            Problem::refused(ApiError::MalformedDocument, "the document broke off")
        }
    })?;
    serde_json::from_slice(&bytes.to_bytes()).map_err(malformed)
}

fn malformed(error: impl std::fmt::Display) -> Problem {
    Problem::refused(ApiError::MalformedDocument, error.to_string())
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "it stands in map_err, which gives values"
)]
fn failed(error: PortError) -> Problem {
    Problem::failed(&error)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_GATEWAY);
        let retry_after = self.retry_after_ms.map(|ms| ms.div_ceil(1000));
        let mut response = (status, Json(&self)).into_response();
        let headers = response.headers_mut();
        let media_type = HeaderValue::from_static(problem::MEDIA_TYPE);
        headers.insert(header::CONTENT_TYPE, media_type);
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
