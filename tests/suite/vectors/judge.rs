//! What all vectors are made with: a genuine cloudflared, visitors, and an origin that answers again what
//! was recorded.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapter_connector::{Connector, RequestBody, RequestHandler};
use bytes::Bytes;
use domain::route_table::Arrival;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use tempfile::TempDir;
use tests::client::{Answer, Client};
use tests::recorder::http2::{Fields, fields, header_map};
use tokio::process::{Child, Command};

use super::{HOST, Site};

/// A genuine cloudflared with one connection; killed when dropped.
pub(super) struct Judge {
    child: Child,
    _folder: TempDir,
}

impl Judge {
    /// Lets it join the site's tunnel through a relay, and waits until it is configured. Nothing where there
    /// is no cloudflared, which is said.
    pub(super) async fn start(site: &Site, relay: SocketAddr, protocol: &str) -> Option<Self> {
        let Some(program) = program() else {
            println!("NOT RUN: no genuine cloudflared; set CLOUDFLARED to its path");
            return None;
        };
        let folder = TempDir::new().expect("a folder");
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, site.standin.ca_pem()).expect("a file");
        let child = Command::new(program)
            .args(["tunnel", "--edge", &relay.to_string(), "--cacert"])
            .arg(&ca)
            .args(["--protocol", protocol, "--no-autoupdate", "--no-prechecks"])
            .args(["--metrics", "127.0.0.1:0", "run"])
            .env("TUNNEL_TOKEN", site.tunnel.token())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("cloudflared starts");
        site.confirmed().await;
        Some(Self {
            child,
            _folder: folder,
        })
    }

    /// Lets it leave in its own way.
    pub(super) async fn stop(mut self) {
        let id = self.child.id().expect("it runs").to_string();
        let kill = Command::new("kill").args(["-TERM", &id]).status();
        kill.await.expect("kill runs");
        self.child.wait().await.expect("it ends");
    }
}

/// Where a genuine cloudflared is, if there is one.
fn program() -> Option<PathBuf> {
    let named = std::env::var_os("CLOUDFLARED").map(PathBuf::from);
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&folders).map(|folder| folder.join("cloudflared"));
    named.or_else(|| found.find(|file| file.is_file()))
}

/// Requests of visitors in the vectors, in this order: method, path, body.
pub(super) const VISITS: [(&str, &str, &str); 5] = [
    ("GET", "/cookies?a=b%20c", ""),
    ("POST", "/echo", "what was posted"),
    ("GET", "/status/404", ""),
    ("GET", "/status/204", ""),
    ("HEAD", "/bytes/1000", ""),
];

/// Makes one of [`VISITS`].
pub(super) async fn visit(client: &Client, (method, path, body): (&str, &str, &str)) -> Answer {
    let method: Method = method.parse().expect("a method");
    let mut request = client
        .http()
        .request(method, format!("https://{HOST}{path}"));
    if !body.is_empty() {
        request = request.body(body.to_owned());
    }
    client.send(request).await.expect("an answer")
}

/// What came back for a request, whatever it was written in: status, header fields by their lower-case
/// names in order, body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) status: u16,
    pub(super) headers: Fields,
    pub(super) body: String,
}

impl Outcome {
    pub(super) fn new(status: u16, headers: Fields, body: String) -> Self {
        let lower = |(name, value): (String, String)| (name.to_ascii_lowercase(), value);
        let mut headers: Fields = headers.into_iter().map(lower).collect();
        headers.sort();
        Self {
            status,
            headers,
            body,
        }
    }

    /// A visitor has got this.
    pub(super) fn reached(&self, visitor: &Answer) {
        assert_eq!(visitor.status, self.status);
        assert_eq!(visitor.body, self.body);
        let cookies = |headers: &Fields| -> Fields {
            let all = headers.iter().filter(|(name, _)| name == "set-cookie");
            all.cloned().collect()
        };
        let got = cookies(&fields(&visitor.headers));
        assert_eq!(got, cookies(&self.headers));
    }
}

/// Behind our connector: answers in turn what the recorded origin answered.
pub(super) struct Origin {
    answers: Mutex<VecDeque<Outcome>>,
    seen: Mutex<Vec<(String, String, String)>>,
}

impl Origin {
    /// No request will come.
    pub(super) fn silent() -> Arc<Self> {
        Self::answering(Vec::new())
    }

    pub(super) fn answering(answers: Vec<Outcome>) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.into()),
            seen: Mutex::default(),
        })
    }

    /// Exactly [`VISITS`] have come.
    pub(super) fn saw_the_visits(&self) {
        let seen = self.seen.lock().expect("lock").clone();
        let expected = VISITS.map(|(method, path, body)| (method.into(), path.into(), body.into()));
        assert_eq!(seen, expected);
    }
}

impl RequestHandler for Origin {
    type Body = Full<Bytes>;

    async fn handle(&self, _: Arrival, request: Request<RequestBody>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let target = head.uri.path_and_query().expect("a path").to_string();
        let body = String::from_utf8_lossy(&body).into_owned();
        let seen = (head.method.to_string(), target, body);
        self.seen.lock().expect("lock").push(seen);
        let mut answers = self.answers.lock().expect("lock");
        let outcome = answers.pop_front().expect("no more than was recorded");
        let mut answer = Response::new(Full::from(outcome.body));
        *answer.status_mut() = outcome.status.try_into().expect("a status");
        *answer.headers_mut() = header_map(&outcome.headers);
        answer
    }
}

/// Waits until our connector is registered.
pub(super) async fn registered(connector: &Connector) {
    let mut status = connector.status();
    let registered = status.wait_for(|status| status.registered() == 1);
    tokio::time::timeout(Duration::from_secs(5), registered)
        .await
        .expect("registered")
        .expect("it runs");
}
