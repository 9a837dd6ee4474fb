//! A client against a controller that follows a script.

use std::convert::Infallible;

use domain::names::Timestamp;
use domain::testing::FakeDataPlane;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::authority::Authority;
use crate::frames::{FrameBody, FrameReader};
use crate::wire::{FORMAT, LARGEST_REPORT, RefusalReason, ToController};

const GATEWAY: &str = r#"{"namespace":"infra","name":"web"}"#;

fn gateway() -> Value {
    serde_json::from_str(GATEWAY).unwrap()
}

fn version(counter: u64) -> Value {
    json!({"term": 1, "counter": counter})
}

fn welcome() -> Value {
    json!({"welcome": {"protocol": 1, "gateway": gateway()}})
}

/// A whole table without anything in it.
fn table(format: u32, counter: u64) -> Value {
    let table = json!({"gateway": gateway(), "listeners": [], "upstreams": []});
    json!({"table": {"format": format, "version": version(counter), "table": table}})
}

fn delta(format: u32, counter: u64, base: u64, changes: &Value) -> Value {
    let base = version(base);
    json!({"delta": {"format": format, "version": version(counter), "base": base, "changes": changes}})
}

/// A controller that says all of this to whoever has said hello, and tells what it hears.
async fn controller(tls: TlsAcceptor, says: Vec<Value>) -> (String, mpsc::Receiver<ToController>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (heard, hears) = mpsc::channel(64);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let stream = tls.accept(stream).await.unwrap();
            let (heard, says) = (heard.clone(), says.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (sender, body) = FrameBody::channel();
                let (heard, says) = (heard.clone(), says.clone());
                tokio::spawn(async move {
                    let mut reader = FrameReader::new(request.into_body(), LARGEST_REPORT);
                    let mut said = false;
                    while let Ok(Some(json)) = reader.next().await {
                        let frame = serde_json::from_slice(&json).unwrap();
                        drop(heard.send(frame).await);
                        for frame in says.iter().filter(|_| !said) {
                            sender.send(frame).await;
                        }
                        said = true;
                    }
                });
                async { Ok::<_, Infallible>(Response::new(body)) }
            });
            let connection = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, hears)
}

struct Bench {
    folder: TempDir,
    tls: TlsAcceptor,
}

impl Bench {
    fn new() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = Timestamp(i64::try_from(since.unwrap().as_secs()).unwrap());
        let authority = Authority::new(now);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.crt"), authority.bundle()).unwrap();
        std::fs::write(folder.path().join("token"), "web").unwrap();
        let tls = authority.issue(now).tls_config().unwrap();
        Self {
            folder,
            tls: tls.into(),
        }
    }

    fn client(&self, address: String) -> TableClient {
        let folder = self.folder.path();
        let options = ClientOptions {
            address,
            token_file: folder.join("token"),
            ca_file: folder.join("ca.crt"),
            state_dir: folder.to_owned(),
            replica: "a".to_owned(),
        };
        TableClient::start(options, Arc::new(FakeDataPlane::default()))
    }

    /// What a proxy answers to these frames, after hello, and what it holds then.
    async fn answers(&self, says: Vec<Value>, count: usize) -> (Vec<ToController>, TableClient) {
        let (address, mut hears) = controller(self.tls.clone(), says).await;
        let client = self.client(address);
        let mut heard = Vec::new();
        while heard.len() <= count {
            let next = tokio::time::timeout(Duration::from_secs(20), hears.recv());
            match next.await.unwrap().unwrap() {
                ToController::Heartbeat => {}
                frame => heard.push(frame),
            }
        }
        assert!(matches!(heard.remove(0), ToController::Hello(_)));
        (heard, client)
    }
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_with_words_and_the_last_table_stays() {
    let nothing = json!({"listeners": [], "upstreams": [], "removed": []});
    let unknown = json!({"removed": [{"service": gateway(), "port": 80, "protocol": "http1"}],
        "listeners": [], "upstreams": []});
    for (given, reason, words) in [
        (
            table(9, 6),
            RefusalReason::UnknownFormat,
            "written in format 9",
        ),
        (
            json!({"table": {"format": 7, "version": version(6), "routes": {}}}),
            RefusalReason::UnknownFormat,
            &format!("reads format {FORMAT} only"),
        ),
        (
            json!({"table": {"format": FORMAT, "version": version(6), "table": 0}}),
            RefusalReason::Unusable,
            "cannot be read",
        ),
        (
            delta(9, 6, 5, &nothing),
            RefusalReason::UnknownFormat,
            "format 9",
        ),
        (
            delta(FORMAT, 6, 4, &nothing),
            RefusalReason::BaseMismatch,
            "does not hold version 1.4",
        ),
        (
            delta(FORMAT, 6, 5, &unknown),
            RefusalReason::BaseMismatch,
            "does not have",
        ),
        (table(FORMAT, 4), RefusalReason::Older, "holds version 1.5"),
        (
            json!({"withdraw": {"version": version(4)}}),
            RefusalReason::Older,
            "newer than 1.4",
        ),
    ] {
        let bench = Bench::new();
        let says = vec![welcome(), table(FORMAT, 5), given.clone()];
        let (heard, client) = bench.answers(says, 2).await;
        let held = Version {
            term: 1,
            counter: 5,
        };
        assert_eq!(heard[0], ToController::Acknowledge(held));
        let ToController::Refuse(refuse) = &heard[1] else {
            panic!("{given}: {heard:?}");
        };
        assert_eq!(refuse.reason, reason, "{given}");
        assert!(
            refuse.message.contains(words),
            "{given}: {}",
            refuse.message
        );
        assert_eq!(client.version(), Some(held), "{given}");
        assert!(client.has_table(), "{given}");
    }
}

#[tokio::test]
async fn a_controller_of_another_protocol_is_left() {
    let bench = Bench::new();
    let welcome = json!({"welcome": {"protocol": 2, "gateway": gateway()}});
    for says in [
        vec![welcome],
        vec![json!({"denied": {"message": "run one release"}})],
        vec![json!({"unheard_of": {}})],
    ] {
        let (address, mut hears) = controller(bench.tls.clone(), says).await;
        let client = bench.client(address);
        for _ in 0..2 {
            let hello = hears.recv().await.unwrap();
            assert!(matches!(hello, ToController::Hello(_)), "it comes again");
        }
        assert!(!client.connected() && client.gateway().is_none());
    }
}

#[test]
fn pauses_differ_and_stay_between_half_and_all() {
    let pauses: Vec<Duration> = (0..64).map(|_| jittered(FIRST_PAUSE)).collect();
    assert!(
        pauses
            .iter()
            .all(|p| *p >= FIRST_PAUSE / 2 && *p <= FIRST_PAUSE)
    );
    assert!(pauses.iter().any(|p| *p != pauses[0]));
}
