//! An API server of a test: objects in memory, server-side apply by one manager, label selectors, watches. It
//! checks no schema.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::watch;

/// Resource, namespace, name.
type Key = (String, String, String);

#[derive(Clone)]
pub(crate) struct ApiServer(Arc<Inner>);

struct Inner {
    state: Mutex<Cluster>,
    /// How many events there are.
    events: watch::Sender<usize>,
}

#[derive(Default)]
struct Cluster {
    objects: BTreeMap<Key, Value>,
    applied: BTreeMap<Key, Value>,
    events: Vec<(Key, &'static str, Value)>,
    writes: Vec<String>,
    made: u64,
    /// Resources whose objects cannot be written or listed, with the answer instead.
    refused: BTreeMap<&'static str, StatusCode>,
}

impl ApiServer {
    /// Serves on a free port of this machine until the test ends.
    pub(crate) async fn start() -> (Self, kube::Client) {
        let server = Self(Arc::new(Inner {
            state: Mutex::default(),
            events: watch::Sender::new(0),
        }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port");
        let uri = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let config = kube::Config::new(uri.parse().expect("a URI"));
        (server, kube::Client::try_from(config).expect("a client"))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Cluster) -> T) -> T {
        let mut cluster = self.0.state.lock().expect("a lock");
        let done = act(&mut cluster);
        self.0.events.send_replace(cluster.events.len());
        done
    }

    /// Puts an object there as somebody else does, or in place of what is there.
    pub(crate) fn put(&self, resource: &str, mut object: Value) {
        self.with(|cluster| {
            let key = key_of(resource, &object);
            let known = cluster.objects.get(&key);
            if let Some(uid) = known.map(|known| known["metadata"]["uid"].clone()) {
                object["metadata"]["uid"] = uid;
            }
            cluster.store(key, object);
        });
    }

    /// Changes an object in namespace `shop` as somebody else does.
    pub(crate) fn change(&self, resource: &str, name: &str, change: impl Fn(&mut Value)) {
        let key = key(resource, name);
        assert_eq!(self.change_each(resource, |known| *known == key, change), 1);
    }

    /// Changes objects of a resource as somebody else does. How many there are.
    pub(crate) fn change_each(
        &self,
        resource: &str,
        is_one: impl Fn(&Key) -> bool,
        change: impl Fn(&mut Value),
    ) -> usize {
        self.with(|cluster| {
            let keys = cluster.objects.keys();
            let keys: Vec<Key> = keys
                .filter(|key| key.0 == resource && is_one(key))
                .cloned()
                .collect();
            for key in &keys {
                let mut object = cluster.objects[key].clone();
                change(&mut object);
                if cluster.objects[key] != object {
                    cluster.store(key.clone(), object);
                }
            }
            keys.len()
        })
    }

    pub(crate) fn remove(&self, resource: &str, name: &str) {
        self.with(|cluster| cluster.remove(&key(resource, name)));
    }

    /// Answers every write and list of a resource so, or again as usual.
    pub(crate) fn refuse(&self, resource: &'static str, answer: Option<StatusCode>) {
        self.with(|cluster| match answer {
            Some(answer) => cluster.refused.insert(resource, answer),
            None => cluster.refused.remove(resource),
        });
    }

    /// An object in namespace `shop`.
    pub(crate) fn get(&self, resource: &str, name: &str) -> Option<Value> {
        self.with(|cluster| cluster.objects.get(&key(resource, name)).cloned())
    }

    /// Every object of a resource.
    pub(crate) fn all(&self, resource: &str) -> Vec<Value> {
        self.with(|cluster| {
            let objects = cluster.objects.iter();
            let objects = objects.filter(|(key, _)| key.0 == resource);
            objects.map(|(_, object)| object.clone()).collect()
        })
    }

    /// The names of every object of a resource.
    pub(crate) fn names(&self, resource: &str) -> Vec<String> {
        let objects = self.all(resource);
        let names = objects.iter().map(|object| key_of(resource, object).2);
        names.collect()
    }

    /// Writes since the last call, as `VERB resource/name`.
    pub(crate) fn writes(&self) -> Vec<String> {
        self.with(|cluster| std::mem::take(&mut cluster.writes))
    }
}

fn key(resource: &str, name: &str) -> Key {
    (resource.to_owned(), "shop".to_owned(), name.to_owned())
}

fn key_of(resource: &str, object: &Value) -> Key {
    let text = |field: &str| {
        object["metadata"][field]
            .as_str()
            .expect("a text")
            .to_owned()
    };
    (resource.to_owned(), text("namespace"), text("name"))
}

impl Cluster {
    fn store(&mut self, key: Key, mut object: Value) {
        self.made += 1;
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = json!(self.made.to_string());
        if metadata["uid"].is_null() {
            metadata["uid"] = json!(format!("uid-{}", self.made));
        }
        let kind = match self.objects.insert(key.clone(), object.clone()) {
            Some(_) => "MODIFIED",
            None => "ADDED",
        };
        self.events.push((key, kind, object));
    }

    fn remove(&mut self, key: &Key) -> Option<Value> {
        self.applied.remove(key);
        let gone = self.objects.remove(key)?;
        self.events.push((key.clone(), "DELETED", gone.clone()));
        Some(gone)
    }

    fn apply(&mut self, key: &Key, mut body: Value, force: bool) -> Result<Value, String> {
        let known = self.objects.get(key).cloned();
        let uid = body["metadata"]
            .as_object_mut()
            .expect("an object")
            .remove("uid");
        if let (Some(uid), Some(known)) = (&uid, &known)
            && *uid != known["metadata"]["uid"]
        {
            return Err("the UID differs".to_owned());
        }
        if !force && known.is_some() && !self.applied.contains_key(key) {
            return Err("somebody else manages these fields".to_owned());
        }
        let mut object = known.unwrap_or_else(|| json!({"metadata": {}}));
        if let Some(before) = self.applied.get(key) {
            take_away(&mut object, before);
        }
        lay_over(&mut object, &body);
        self.applied.insert(key.clone(), body);
        self.store(key.clone(), object);
        Ok(self.objects[key].clone())
    }

    /// A merge patch, as whoever is not the manager of the object's shape writes.
    fn merge(&mut self, key: &Key, patch: &Value) -> Response {
        let Some(mut object) = self.objects.get(key).cloned() else {
            return found(None);
        };
        let uid = &patch["metadata"]["uid"];
        if !uid.is_null() && *uid != object["metadata"]["uid"] {
            return failure(StatusCode::CONFLICT, "Conflict", "the UID differs");
        }
        merge_into(&mut object, patch);
        self.store(key.clone(), object);
        found(self.objects.get(key).cloned())
    }
}

fn take_away(object: &mut Value, applied: &Value) {
    let (Value::Object(object), Value::Object(applied)) = (object, applied) else {
        return;
    };
    for (field, before) in applied {
        if let Some(inner) = object.get_mut(field).filter(|inner| inner.is_object()) {
            take_away(inner, before);
        } else {
            object.remove(field);
        }
    }
}

fn lay_over(object: &mut Value, applied: &Value) {
    match (object, applied) {
        (Value::Object(object), Value::Object(applied)) => {
            for (field, value) in applied {
                lay_over(object.entry(field.clone()).or_insert(json!({})), value);
            }
        }
        (object, applied) => *object = applied.clone(),
    }
}

/// JSON Merge Patch (RFC 7396).
fn merge_into(object: &mut Value, patch: &Value) {
    match (object, patch) {
        (Value::Object(object), Value::Object(patch)) => {
            for (field, value) in patch {
                if value.is_null() {
                    object.remove(field);
                } else {
                    merge_into(object.entry(field.clone()).or_insert(json!({})), value);
                }
            }
        }
        (object, patch) => *object = patch.clone(),
    }
}

/// Resource, namespace and name of a path.
fn parse(path: &str) -> (String, Option<String>, Option<String>) {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let rest = match parts[0] {
        "api" => &parts[2..],
        _ => &parts[3..],
    };
    match rest {
        ["namespaces", namespace, resource] => {
            ((*resource).to_owned(), Some((*namespace).to_owned()), None)
        }
        ["namespaces", namespace, resource, name] => (
            (*resource).to_owned(),
            Some((*namespace).to_owned()),
            Some((*name).to_owned()),
        ),
        [resource] => ((*resource).to_owned(), None, None),
        other => panic!("{other:?}"),
    }
}

async fn answer(
    State(server): State<ApiServer>,
    method: Method,
    uri: Uri,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (resource, namespace, name) = parse(uri.path());
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let selector = query.get("labelSelector").cloned().unwrap_or_default();
    let refused = server.with(|cluster| cluster.refused.get(resource.as_str()).copied());
    if let Some(code) = refused.filter(|_| name.is_none() || method != Method::GET) {
        return failure(code, "Refused", "it is refused");
    }
    let Some(name) = name else {
        let scope = Scope {
            resource,
            namespace,
            selector,
        };
        return match query.get("watch") {
            Some(_) => watching(server, scope, &query["resourceVersion"]),
            None => json_of(StatusCode::OK, &server.with(|cluster| scope.list(cluster))),
        };
    };
    let key = (
        resource.clone(),
        namespace.unwrap_or_default(),
        name.clone(),
    );
    server.with(|cluster| {
        if method != Method::GET {
            cluster.writes.push(format!("{method} {resource}/{name}"));
        }
        match method {
            Method::GET => found(cluster.objects.get(&key).cloned()),
            Method::PATCH => {
                let force = query.get("force").is_some_and(|force| force == "true");
                assert!(query.contains_key("fieldManager"), "a patch has a manager");
                if headers["content-type"] == "application/merge-patch+json" {
                    return cluster.merge(&key, &body);
                }
                match cluster.apply(&key, body, force) {
                    Ok(object) => json_of(StatusCode::OK, &object),
                    Err(message) => failure(StatusCode::CONFLICT, "Conflict", &message),
                }
            }
            Method::DELETE => {
                let wanted = &body["preconditions"]["uid"];
                let uid = cluster
                    .objects
                    .get(&key)
                    .map(|o| o["metadata"]["uid"].clone());
                if !wanted.is_null() && uid.is_some_and(|uid| uid != *wanted) {
                    return failure(StatusCode::CONFLICT, "Conflict", "the UID differs");
                }
                found(cluster.remove(&key))
            }
            other => panic!("{other}"),
        }
    })
}

struct Scope {
    resource: String,
    namespace: Option<String>,
    selector: String,
}

impl Scope {
    fn has(&self, key: &Key, object: &Value) -> bool {
        let mut wanted = self.selector.split(',').filter(|term| !term.is_empty());
        key.0 == self.resource
            && self
                .namespace
                .as_ref()
                .is_none_or(|namespace| *namespace == key.1)
            && wanted.all(|term| {
                let (label, value) = term.split_once('=').expect("a term");
                object["metadata"]["labels"][label] == *value
            })
    }

    fn list(&self, cluster: &Cluster) -> Value {
        let objects = cluster.objects.iter();
        let items: Vec<&Value> = objects
            .filter(|(key, object)| self.has(key, object))
            .map(|(_, object)| object)
            .collect();
        let seen = cluster.events.len().to_string();
        json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": seen}, "items": items})
    }
}

/// Events from a position on, for as long as the test runs. A list tells its position as its version.
fn watching(server: ApiServer, scope: Scope, from: &str) -> Response {
    let from: usize = from.parse().unwrap_or(0);
    let seen = server.0.events.subscribe();
    let start = (server, scope, seen, from);
    let lines = stream::unfold(start, async |(server, scope, mut seen, mut at)| {
        loop {
            let next = server
                .0
                .state
                .lock()
                .expect("a lock")
                .events
                .get(at)
                .cloned();
            match next {
                Some((key, kind, object)) => {
                    at += 1;
                    if scope.has(&key, &object) {
                        let line = format!("{}\n", json!({"type": kind, "object": object}));
                        return Some((Ok::<_, Infallible>(line), (server, scope, seen, at)));
                    }
                }
                None => {
                    seen.wait_for(|count| *count > at).await.ok()?;
                }
            }
        }
    });
    Body::from_stream(lines).into_response()
}

fn found(object: Option<Value>) -> Response {
    match object {
        Some(object) => json_of(StatusCode::OK, &object),
        None => failure(StatusCode::NOT_FOUND, "NotFound", "it is not there"),
    }
}

fn failure(code: StatusCode, reason: &str, message: &str) -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code.as_u16(), "reason": reason, "message": message,
    });
    json_of(code, &status)
}

fn json_of(code: StatusCode, value: &Value) -> Response {
    let headers = [("content-type", "application/json")];
    (code, headers, value.to_string()).into_response()
}
