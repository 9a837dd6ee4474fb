//! Clients that nobody knows, and replicas that make things up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use adapter_table_stream::wire::{Holding, ToController, ToProxy};
use adapter_table_stream::{LISTENER_LIMITS, Leader, Version};
use async_trait::async_trait;
use domain::names::ObjectKey;
use domain::ports::{Delivery, PortError, ProxyIdentities};
use secrecy::SecretString;
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;

use crate::raw::{Client, DEADLINE, connect, handshake, heard, hello, told};
use crate::rig::{Cluster, Tokens, eventually, table, web};

#[tokio::test]
async fn connections_without_a_request_are_closed_while_a_proxy_is_served() {
    let cluster = Cluster::new();
    let limits = adapter_listener::Limits {
        connections: 64,
        strangers: 16,
        first_request: Duration::from_millis(700),
        idle: Duration::from_millis(700),
        ..LISTENER_LIMITS
    };
    let leader = Leader::Here { term: 1 };
    let controller = cluster
        .instance_with(leader, limits, cluster.tokens.clone())
        .await;
    let first = table(1, "first");
    controller.publish(&first).await;
    let proxy = cluster.proxy("a", controller.address);
    proxy.will_serve(&first).await;
    let version = proxy.client.version();

    let mut flood = JoinSet::new();
    for count in 0..60 {
        let mut stream = connect([127, 0, 1, 1 + count % 3], controller.address).await;
        flood.spawn(async move { drop(stream.read_to_end(&mut Vec::new()).await) });
    }
    let stream = connect([127, 0, 2, 1], controller.address).await;
    let mut shaken = handshake(&cluster, stream).await;
    flood.spawn(async move { drop(shaken.read_to_end(&mut Vec::new()).await) });
    let other = cluster.proxy("b", controller.address);
    other.will_serve(&first).await;
    let closed = tokio::time::timeout(DEADLINE, flood.join_all()).await;
    closed.expect("each connection is closed in time");

    assert_eq!(proxy.client.version(), version);
    let second = table(2, "second");
    controller.publish(&second).await;
    proxy.will_serve(&second).await;
    assert_eq!(proxy.sink.published(), 2, "its stream was never broken");
}

/// The cluster's word on tokens, which takes a moment and is counted.
#[derive(Default)]
struct Counted {
    tokens: Arc<Tokens>,
    asked: AtomicUsize,
    now: AtomicUsize,
    peak: AtomicUsize,
}

#[async_trait]
impl ProxyIdentities for Counted {
    async fn gateway_of(&self, token: &SecretString) -> Result<Option<ObjectKey>, PortError> {
        self.asked.fetch_add(1, SeqCst);
        let now = self.now.fetch_add(1, SeqCst) + 1;
        self.peak.fetch_max(now, SeqCst);
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.now.fetch_sub(1, SeqCst);
        self.tokens.gateway_of(token).await
    }
}

#[tokio::test]
async fn a_thousand_invented_tokens_cost_few_questions_and_no_proxy_its_table() {
    let cluster = Cluster::new();
    let counted = Arc::new(Counted {
        tokens: cluster.tokens.clone(),
        ..Counted::default()
    });
    let leader = Leader::Here { term: 1 };
    let controller = cluster
        .instance_with(leader, LISTENER_LIMITS, counted.clone())
        .await;
    let first = table(1, "first");
    controller.publish(&first).await;
    let peers = 10;
    let mut flood = JoinSet::new();
    for peer in 0..peers {
        let client = Client::new(&cluster, [127, 0, 1, 1 + peer], controller.address).await;
        for lane in 0..4 {
            let mut client = client.clone();
            flood.spawn(async move {
                for count in 0..25 {
                    let token = format!("invented-{peer}-{lane}-{count}");
                    let answer = client.ask(&token, &[]).await;
                    let (status, text) = told(answer).await;
                    let is_plain = match status {
                        403 => text == r#"{"message":"the token was not accepted"}"#,
                        503 => text == r#"{"message":"try again later"}"#,
                        _ => false,
                    };
                    assert!(is_plain, "{status} {text}");
                }
            });
        }
    }
    let proxy = cluster.proxy("a", controller.address);
    proxy.will_serve(&first).await;
    flood.join_all().await;
    let (peak, asked) = (counted.peak.load(SeqCst), counted.asked.load(SeqCst));
    assert!(peak <= 8, "{peak} at a time");
    assert!(asked <= usize::from(peers) * 30 + 2, "{asked} in all");
}

#[tokio::test]
async fn a_stranger_is_told_nothing_of_the_api_server() {
    let cluster = Cluster::new();
    let controller = cluster.instance(Leader::Here { term: 1 }).await;
    let mut client = Client::new(&cluster, [127, 0, 0, 1], controller.address).await;
    for (token, then) in [
        ("unanswered", (503, r#"{"message":"try again later"}"#)),
        (
            "invented",
            (403, r#"{"message":"the token was not accepted"}"#),
        ),
    ] {
        let (status, text) = told(client.ask(token, &[]).await).await;
        assert_eq!((status, text.as_str()), then, "{token}");
    }
}

#[tokio::test]
async fn a_version_that_was_never_published_counts_for_nothing() {
    let cluster = Cluster::new();
    let controller = cluster.instance(Leader::Here { term: 7 }).await;
    let first = table(1, "first");
    controller.publish(&first).await;
    let proxy = cluster.proxy("honest", controller.address);
    proxy.client.set_ready(true);
    proxy.will_serve(&first).await;
    let published = proxy.client.version().unwrap();

    let mut client = Client::new(&cluster, [127, 0, 0, 1], controller.address).await;
    let mut streams = Vec::new();
    for (n, (term, counter)) in [
        (7, u64::MAX),
        (7, published.counter + 1),
        (u64::MAX, u64::MAX),
        (8, published.counter),
    ]
    .into_iter()
    .enumerate()
    {
        let version = Version { term, counter };
        let gateway = web();
        let held = Some(Holding { gateway, version });
        let said = [
            ToController::Hello(hello(&format!("hostile-{n}"), held)),
            ToController::Acknowledge(version),
            ToController::Ready(true),
        ];
        let mut answer = client.ask("web", &said).await;
        let told = heard(&mut answer, |frame| match frame {
            ToProxy::Table(table) => Some(table.version),
            _ => None,
        });
        assert_eq!(told.await, published, "the table comes whole: {version}");
        let replica = controller.replica(&format!("hostile-{n}")).unwrap();
        assert_eq!(replica.held, None, "{version}");
        streams.push(answer);
    }

    let second = table(2, "second");
    controller.publish(&second).await;
    proxy.will_serve(&second).await;
    assert_eq!(
        proxy.client.version().unwrap().counter,
        published.counter + 1
    );
    eventually("those that acknowledged nothing are named", || {
        let Delivery::Late(laggards) = controller.delivery() else {
            return false;
        };
        laggards == ["hostile-0", "hostile-1", "hostile-2", "hostile-3"]
    })
    .await;
}

#[tokio::test]
async fn the_streams_of_a_gateway_are_bounded_and_those_of_others_go_on() {
    let cluster = Cluster::new();
    let controller = cluster.instance(Leader::Here { term: 1 }).await;
    let other = ObjectKey::new("infra", "other");
    let tokens = &cluster.tokens.0;
    tokens.lock().unwrap().insert("other".to_owned(), other);
    let mut open = Vec::new();
    for _ in 0..32 {
        let mut client = Client::new(&cluster, [127, 0, 0, 1], controller.address).await;
        for _ in 0..8 {
            let answer = client.ask("web", &[]).await;
            assert_eq!(answer.status().as_u16(), 200);
            open.push(answer);
        }
    }
    let mut client = Client::new(&cluster, [127, 0, 0, 1], controller.address).await;
    let (status, text) = told(client.ask("web", &[]).await).await;
    assert_eq!(status, 503);
    assert!(text.contains("has 256 streams"), "{text}");
    let answer = client.ask("other", &[]).await;
    assert_eq!(answer.status().as_u16(), 200);
    drop(open);
}

#[tokio::test]
async fn a_frame_of_a_proxy_that_is_too_long_ends_the_stream() {
    let cluster = Cluster::new();
    let controller = cluster.instance(Leader::Here { term: 1 }).await;
    let mut client = Client::new(&cluster, [127, 0, 0, 1], controller.address).await;
    let long = ToController::Hello(hello(&"a".repeat(9000), None));
    let mut answer = client.ask("web", &[long]).await;
    let denial = heard(&mut answer, |frame| match frame {
        ToProxy::Denied(denial) => Some(denial.message),
        _ => None,
    });
    let denial = denial.await;
    assert!(denial.contains("longer than the 8192"), "{denial}");
}
