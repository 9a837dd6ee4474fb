//! An API server of the tests: lists, watches, gets, creates, replaces, merges and applies any kind of object in
//! memory, with versions and conflicts as the real one has them.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Plural, namespace (empty for none) and name.
type Key = (String, String, String);

#[derive(Clone)]
pub(crate) struct ApiServer {
    inner: Arc<Mutex<Inner>>,
    /// Number of entries in the journal.
    journal: watch::Sender<usize>,
    url: String,
    /// Connections that were ever accepted.
    connections: Arc<AtomicUsize>,
}

/// Counts connections.
struct Counting(TcpListener, Arc<AtomicUsize>);

impl axum::serve::Listener for Counting {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let accepted = axum::serve::Listener::accept(&mut self.0).await;
        self.1.fetch_add(1, SeqCst);
        accepted
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

#[derive(Default)]
struct Inner {
    version: u64,
    objects: BTreeMap<Key, Value>,
    journal: Vec<(u64, Key, &'static str, Value)>,
    /// Watches from before this version get 410.
    oldest: u64,
    absent: BTreeSet<String>,
    /// Plural and code of the answer to every call about it.
    refused: BTreeMap<String, u16>,
    /// Plural and text of the answer to every watch of it.
    spoiled: BTreeMap<String, String>,
    /// `METHOD path`, watches excepted.
    calls: Vec<String>,
    /// Ends of paths, and the text that is answered there.
    said: Vec<(String, String)>,
    /// Happens before the next write of this plural.
    meddle: Option<(String, Value)>,
    /// What a TokenReview answers, and whether whoever calls may do what an access review asks.
    review: Value,
}

impl ApiServer {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let server = Self {
            inner: Arc::default(),
            journal: watch::Sender::new(0),
            url,
            connections: Arc::default(),
        };
        let router = Router::new().fallback(answer).with_state(server.clone());
        let listener = Counting(listener, server.connections.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    pub(crate) fn client(&self) -> Client {
        let config = Config::new(self.url.parse().expect("a URL"));
        let clients = adapter_kubernetes::connect_to(&config);
        clients.expect("a client").calls
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test panics in here")
    }

    /// Somebody writes an object.
    pub(crate) fn put(&self, plural: &str, object: Value) {
        self.change(|inner| inner.store(plural, object));
    }

    pub(crate) fn delete(&self, plural: &str, namespace: &str, name: &str) {
        let key = (plural.to_owned(), namespace.to_owned(), name.to_owned());
        self.change(|inner| {
            inner.version += 1;
            if let Some(object) = inner.objects.remove(&key) {
                inner.journal.push((inner.version, key, "DELETED", object));
            }
        });
    }

    pub(crate) fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = (plural.to_owned(), namespace.to_owned(), name.to_owned());
        self.lock().objects.get(&key).cloned()
    }

    pub(crate) fn all(&self, plural: &str) -> Vec<Value> {
        let inner = self.lock();
        let of_kind = inner.objects.iter().filter(|(key, _)| key.0 == plural);
        of_kind.map(|(_, object)| object.clone()).collect()
    }

    pub(crate) fn set_absent(&self, plural: &str, absent: bool) {
        let mut inner = self.lock();
        match absent {
            true => inner.absent.insert(plural.to_owned()),
            false => inner.absent.remove(plural),
        };
    }

    /// Every call about a kind is answered with this code; watches end.
    pub(crate) fn refuse(&self, plural: &str, code: u16) {
        self.change(|inner| {
            inner.refused.insert(plural.to_owned(), code);
        });
    }

    pub(crate) fn mend(&self) {
        let mut inner = self.lock();
        inner.refused.clear();
        inner.spoiled.clear();
    }

    /// Every watch of a kind begins well, says this and ends.
    pub(crate) fn spoil_watches(&self, plural: &str, text: &str) {
        self.change(|inner| {
            inner.spoiled.insert(plural.to_owned(), text.to_owned());
        });
    }

    /// Forgets what happened before now: watches that go on from there get 410.
    pub(crate) fn compact(&self) {
        self.change(|inner| inner.oldest = inner.version + 1);
    }

    /// Somebody writes this object just before the next write to its kind arrives.
    pub(crate) fn meddle(&self, plural: &str, object: Value) {
        self.lock().meddle = Some((plural.to_owned(), object));
    }

    /// Every path with this end is answered with this text.
    #[allow(
        dead_code,
        reason = "the tests of cfgwctl, which have this server too, call it"
    )]
    pub(crate) fn say(&self, end: &str, text: &str) {
        self.lock().said.push((end.to_owned(), text.to_owned()));
    }

    pub(crate) fn review(&self, status: Value) {
        self.lock().review = status;
    }

    /// Calls since the last time, watches excepted.
    pub(crate) fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().calls)
    }

    fn change<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.lock();
        let result = act(&mut inner);
        let length = inner.journal.len();
        drop(inner);
        // Also where nothing was added: a watch looks again whether it may go on.
        self.journal.send_replace(length);
        result
    }
}

impl Inner {
    fn store(&mut self, plural: &str, mut object: Value) -> Value {
        self.version += 1;
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or("").to_owned();
        let key = (plural.to_owned(), text("namespace"), text("name"));
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = format!("uid-{}", key.2).into();
        }
        let event = match self.objects.insert(key.clone(), object.clone()) {
            Some(_) => "MODIFIED",
            None => "ADDED",
        };
        self.journal
            .push((self.version, key, event, object.clone()));
        object
    }
}

/// A request, taken apart.
struct Asked {
    method: String,
    plural: String,
    namespace: String,
    name: Option<String>,
    subresource: Option<String>,
    metadata_only: bool,
    /// A JSON merge patch (RFC 7386).
    merges: bool,
    query: BTreeMap<String, String>,
}

fn asked(request: &Request) -> Asked {
    let mut parts = request
        .uri()
        .path()
        .split('/')
        .filter(|part| !part.is_empty());
    let skipped = if parts.next() == Some("api") { 1 } else { 2 };
    let mut parts = parts.skip(skipped).map(str::to_owned).peekable();
    let mut namespace = String::new();
    let mut plural = parts.next().unwrap_or_default();
    let mut name = parts.next();
    if plural == "namespaces"
        && let Some(next) = parts.next()
    {
        namespace = name.take().unwrap_or_default();
        plural = next;
        name = parts.next();
    }
    let query = request.uri().query().unwrap_or("").split('&');
    let query = query.filter_map(|pair| pair.split_once('='));
    Asked {
        method: request.method().to_string(),
        plural,
        namespace,
        name,
        subresource: parts.next(),
        metadata_only: request.headers().get("accept").is_some_and(|accept| {
            let accept = accept.to_str().expect("text");
            accept.contains("as=PartialObjectMetadata")
        }),
        merges: request
            .headers()
            .get("content-type")
            .is_some_and(|sent| sent == "application/merge-patch+json"),
        query: query
            .map(|(name, value)| (name.to_owned(), value.replace("%3D", "=")))
            .collect(),
    }
}

fn refusal(code: u16, message: &str) -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message,
        "reason": match code {
            404 => "NotFound",
            409 => "Conflict",
            _ => "Refused",
        },
    });
    let code = axum::http::StatusCode::from_u16(code).expect("a code");
    (code, status.to_string()).into_response()
}

async fn answer(State(server): State<ApiServer>, request: Request) -> Response {
    let asked = asked(&request);
    let is_watch = asked
        .query
        .get("watch")
        .is_some_and(|value| value != "false");
    let path = request.uri().path().to_owned();
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await;
    let body: Value = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default();
    if let Some(code) = server.lock().refused.get(&asked.plural) {
        return refusal(*code, "as this test wants it");
    }
    if server.lock().absent.contains(&asked.plural) {
        return refusal(404, "the server could not find the requested resource");
    }
    if is_watch {
        return watch(server, asked);
    }
    server.lock().calls.push(format!("{} {path}", asked.method));
    if asked.plural.is_empty() {
        return of_itself(&server.lock(), &path);
    }
    let said = {
        let inner = server.lock();
        let said = inner.said.iter().find(|(end, _)| path.ends_with(end));
        said.map(|(_, text)| text.clone())
    };
    if let Some(text) = said {
        return text.into_response();
    }
    if let ("DELETE", Some(name)) = (asked.method.as_str(), &asked.name) {
        return remove(&server, &asked, name);
    }
    server.change(|inner| match (asked.method.as_str(), &asked.name) {
        ("GET", None) => list(inner, &asked),
        ("GET", Some(_)) => match inner.objects.get(&key(&asked)) {
            Some(object) => asked.shown(object).into_response(),
            None => refusal(404, "not found"),
        },
        _ => write(inner, &asked, body),
    })
}

/// An object with finalizers is only marked.
fn remove(server: &ApiServer, asked: &Asked, name: &str) -> Response {
    let Some(mut object) = server.get(&asked.plural, &asked.namespace, name) else {
        return refusal(404, "not found");
    };
    let finalizers = object["metadata"]["finalizers"].as_array();
    match finalizers.is_some_and(|finalizers| !finalizers.is_empty()) {
        true => {
            object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            server.put(&asked.plural, object.clone());
        }
        false => server.delete(&asked.plural, &asked.namespace, name),
    }
    text(&object).into_response()
}

/// What it tells of itself: its version, or the kinds that it has, in whichever group these are asked for.
fn of_itself(inner: &Inner, path: &str) -> Response {
    if path == "/version" {
        return json!({ "gitVersion": "v1.36.2" })
            .to_string()
            .into_response();
    }
    let plurals: BTreeSet<&String> = inner.objects.keys().map(|key| &key.0).collect();
    let resources = plurals.iter().map(|plural| json!({ "name": plural }));
    json!({ "resources": resources.collect::<Vec<_>>() })
        .to_string()
        .into_response()
}

fn key(asked: &Asked) -> Key {
    let name = asked.name.clone().unwrap_or_default();
    (asked.plural.clone(), asked.namespace.clone(), name)
}

/// What stands for a value that is nested so deep: no `Value` can hold it.
pub(crate) fn nested(levels: usize) -> Value {
    format!("@nested {levels}@").into()
}

/// The text of an object, with what is nested in it.
fn text(object: &Value) -> String {
    let text = object.to_string();
    let mut parts = text.split("\"@nested ");
    let mut written = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (levels, rest) = part.split_once("@\"").expect("an end");
        let levels: usize = levels.parse().expect("a number");
        written.push_str(&"[".repeat(levels));
        written.push_str(&"]".repeat(levels));
        written.push_str(rest);
    }
    written
}

impl Asked {
    /// The object as it is answered.
    fn part(&self, object: &Value) -> Value {
        match self.metadata_only {
            true => json!({
                "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                "metadata": object["metadata"],
            }),
            false => object.clone(),
        }
    }

    fn shown(&self, object: &Value) -> String {
        text(&self.part(object))
    }

    fn concerns(&self, key: &Key) -> bool {
        let selector = self.query.get("fieldSelector");
        let name = selector.and_then(|selector| selector.strip_prefix("metadata.name="));
        key.0 == self.plural
            && (self.namespace.is_empty() || key.1 == self.namespace)
            && name.is_none_or(|name| key.2 == name)
    }
}

fn list(inner: &Inner, asked: &Asked) -> Response {
    let items = inner.objects.iter().filter(|(key, _)| asked.concerns(key));
    let items = items.map(|(_, object)| {
        let mut item = asked.part(object);
        // As the real one: items do not carry their kind.
        let fields = item.as_object_mut().expect("an object");
        fields.remove("kind");
        fields.remove("apiVersion");
        item
    });
    let list = json!({
        "kind": "List", "apiVersion": "v1",
        "metadata": { "resourceVersion": inner.version.to_string() },
        "items": items.collect::<Vec<_>>(),
    });
    text(&list).into_response()
}

fn write(inner: &mut Inner, asked: &Asked, body: Value) -> Response {
    if asked.plural == "tokenreviews" {
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {},
            "spec": body["spec"], "status": inner.review,
        });
        return review.to_string().into_response();
    }
    if asked.plural == "selfsubjectaccessreviews" {
        let may = inner.review["authenticated"] != false;
        return json!({ "status": { "allowed": may } })
            .to_string()
            .into_response();
    }
    if inner
        .meddle
        .as_ref()
        .is_some_and(|(plural, _)| *plural == asked.plural)
    {
        let (plural, object) = inner.meddle.take().expect("just seen");
        inner.store(&plural, object);
    }
    let mut next = body;
    next["metadata"]["namespace"] = asked.namespace.clone().into();
    if asked.namespace.is_empty() {
        next["metadata"]
            .as_object_mut()
            .expect("metadata")
            .remove("namespace");
    }
    let mut key = key(asked);
    if asked.method == "POST" {
        next["metadata"]["name"]
            .as_str()
            .unwrap_or("")
            .clone_into(&mut key.2);
        return match inner.objects.contains_key(&key) {
            true => refusal(409, "it exists already"),
            false => text(&inner.store(&asked.plural, next)).into_response(),
        };
    }
    let Some(there) = inner.objects.get(&key).cloned() else {
        // An object that is applied as a whole is made.
        return match asked.method == "PATCH"
            && next["kind"].is_string()
            && asked.subresource.is_none()
        {
            true => text(&inner.store(&asked.plural, next)).into_response(),
            false => refusal(404, "not found"),
        };
    };
    let version = &next["metadata"]["resourceVersion"];
    if !version.is_null() && *version != there["metadata"]["resourceVersion"] {
        return refusal(409, "the object has been modified");
    }
    let mut stored = there;
    match (asked.method.as_str(), asked.subresource.as_deref()) {
        ("PATCH", Some("status")) => stored["status"] = next["status"].clone(),
        ("PATCH", _) if asked.merges => merge(&mut stored, &next),
        ("PATCH", _) => stored["metadata"]["finalizers"] = next["metadata"]["finalizers"].clone(),
        _ => stored = next,
    }
    let stored = inner.store(&asked.plural, stored);
    asked.shown(&stored).into_response()
}

/// Puts what a merge patch says into a value.
fn merge(value: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *value = patch.clone();
        return;
    };
    if !value.is_object() {
        *value = json!({});
    }
    for (name, patch) in fields {
        match patch {
            Value::Null => {
                value.as_object_mut().expect("an object").remove(name);
            }
            patch => merge(&mut value[name], patch),
        }
    }
}

fn watch(server: ApiServer, asked: Asked) -> Response {
    if let Some(spoiled) = server.lock().spoiled.get(&asked.plural) {
        return spoiled.clone().into_response();
    }
    let from: u64 = asked.query["resourceVersion"].parse().expect("a version");
    let at = {
        let inner = server.lock();
        inner.journal.iter().filter(|entry| entry.0 <= from).count()
    };
    let journal = server.journal.subscribe();
    let asked = Arc::new(asked);
    let events = stream::unfold((at, from, journal), move |(mut at, from, mut journal)| {
        let (server, asked) = (server.clone(), asked.clone());
        async move {
            loop {
                {
                    let inner = server.lock();
                    let spoiled = inner.spoiled.contains_key(&asked.plural);
                    if spoiled || inner.refused.contains_key(&asked.plural) {
                        return None;
                    }
                    if inner.oldest > from {
                        let status = json!({
                            "type": "ERROR",
                            "object": { "kind": "Status", "code": 410, "message": "too old" },
                        });
                        let end = (usize::MAX, u64::MAX, journal);
                        return Some((line(&status), end));
                    }
                    while let Some((_, key, kind, object)) = inner.journal.get(at) {
                        at += 1;
                        if asked.concerns(key) {
                            let event = json!({ "type": kind, "object": asked.part(object) });
                            return Some((line(&event), (at, from, journal)));
                        }
                    }
                }
                journal.changed().await.ok()?;
            }
        }
    });
    Response::new(Body::from_stream(events))
}

fn line(event: &Value) -> Result<Bytes, Infallible> {
    Ok(format!("{}\n", text(event)).into())
}
