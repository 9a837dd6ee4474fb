//! What visitors get of what endpoints answer.

use std::net::SocketAddr;
use std::time::Duration;

use adapter_connector::TransportChoice;
use domain::route_table::UpstreamProtocol::{H2c, Http1};
use futures_util::future::join_all;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tests::client::Client;
use tests::world::within;
use tokio::time::timeout;

use super::TRANSPORTS;
use super::endpoint::{Said, answering, saying};
use super::nginx::{self, NGINX};
use super::rows::{Answer, Row, rows};
use super::table::connector;
use super::visitor::{Seen, ask, is_right};
use crate::vectors::Site;
use tests::routing::Rule;

const HOST: &str = "app.example.com";
const PATIENCE: Duration = Duration::from_secs(20);

async fn endpoint(answer: Answer) -> SocketAddr {
    match answer {
        Answer::Http1(bytes, closes) => answering(bytes, closes).await,
        Answer::H2c(words) => saying(words).await,
    }
}

fn rule(index: usize, row: &Row, at: SocketAddr) -> Rule {
    let protocol = match row.answer {
        Answer::Http1(..) => Http1,
        Answer::H2c(_) => H2c,
    };
    Rule::new(format!("/{index}"), protocol, &[at])
}

/// A visitor of the rules behind a connector, once they are served.
pub(super) async fn visited(
    transport: TransportChoice,
    rules: &[Rule],
) -> (Client, impl Sized + use<>) {
    let site = Site::start().await;
    let edge = site.standin.edge().tunnel_addresses();
    let ca = site.standin.ca_pem().to_owned();
    let running = connector(transport, edge, &ca, site.tunnel.token(), rules);
    let mut status = running.status();
    let registered = status.wait_for(|status| status.registered() == 1);
    timeout(PATIENCE, registered).await.unwrap().unwrap();
    let client = site.client();
    // The edge may register the connection a moment later. No rule has this path.
    within(PATIENCE, "the edge knows the connector", || async {
        let seen = visit(&client, "GET", "/nowhere").await;
        (seen.status == 404).then_some(())
    })
    .await;
    (client, (site, running))
}

pub(super) async fn visit(client: &Client, method: &str, path: &str) -> Seen {
    visit_with(client, method, path, &[]).await
}

/// The same with these headers.
pub(super) async fn visit_with(
    client: &Client,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
) -> Seen {
    let mut stream = client.connect(HOST, "http/1.1").await.unwrap();
    let seen = timeout(PATIENCE, ask(&mut stream, method, path, fields)).await;
    seen.unwrap_or_else(|_| panic!("no end of the answer to {path}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_reaches_a_visitor_as_the_specification_wants_over_both_transports() {
    let rows = rows();
    let mut rules = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        rules.push(rule(index, row, endpoint(row.answer.clone()).await));
    }
    let mut wrong = Vec::new();
    for transport in TRANSPORTS {
        let (client, _running) = visited(transport, &rules).await;
        for (index, row) in rows.iter().enumerate() {
            let seen = visit(&client, row.method, &format!("/{index}")).await;
            if !is_right(seen.told(), row.then) {
                wrong.push(format!(
                    "{} ({}) over {transport:?}, {:?}: {:?} and not {:?}",
                    row.given,
                    row.source,
                    rules[index].protocol,
                    seen.told(),
                    row.then
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_answers_alike_but_for_the_rows_that_say_otherwise() {
    let mut rows = rows();
    rows.retain(|row| matches!(row.answer, Answer::Http1(..)));
    let mut locations = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let at = endpoint(row.answer.clone()).await;
        locations.push((format!("/{index}"), vec![at]));
    }
    // The longest prefix counts, and `/1` is one of `/10`.
    for (prefix, _) in &mut locations {
        *prefix = format!("= {prefix}");
    }
    let Some(nginx) = nginx::before(&locations).await else {
        return;
    };
    let nginx = &nginx;
    let asked = rows.iter().enumerate().map(|(index, row)| async move {
        let path = format!("/{index}");
        let mut stream = nginx.connect().await;
        let seen = timeout(PATIENCE, ask(&mut stream, row.method, &path, &[])).await;
        seen.expect("an end of the answer").told()
    });
    let mut wrong = Vec::new();
    for (row, told) in rows.iter().zip(join_all(asked).await) {
        let differs = NGINX.iter().find(|(given, ..)| *given == row.given);
        let (expected, why) = differs.map_or((row.then, ""), |(_, then, why)| (*then, *why));
        let given = format!("{} ({})", row.given, row.source);
        println!("nginx: {given}: {told:?}; here {:?} {why}", row.then);
        if !is_right(told, expected) {
            wrong.push(format!("{}: {told:?} and not {expected:?}", row.given));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// QUIC has no place for them.
#[tokio::test(flavor = "multi_thread")]
async fn trailers_of_an_answer_reach_a_visitor_but_those_that_none_may_send() {
    let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let words = vec![
        Said::Head(vec![field(":status", "200")]),
        Said::Data(b"ok".to_vec()),
        Said::Head(vec![
            field("grpc-status", "0"),
            field("set-cookie", "a=b"),
            field("cf-cloudflared-response-meta", "x"),
            field("content-length", "9"),
        ]),
    ];
    let rules = [Rule::new("/trailers", H2c, &[saying(words).await])];
    let (client, _running) = visited(TransportChoice::Http2, &rules).await;
    let io = client.connect(HOST, "h2").await.unwrap();
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await;
    let (mut sender, connection) = handshake.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get(format!("https://{HOST}/trailers"))
        .header("te", "trailers")
        .body(Empty::<Bytes>::new());
    let answer = sender.send_request(request.unwrap()).await.unwrap();
    let whole = timeout(PATIENCE, answer.into_body().collect()).await;
    let whole = whole.unwrap().unwrap();
    let trailers = whole.trailers().cloned().unwrap_or_default();
    let names: Vec<_> = trailers.keys().map(http::HeaderName::as_str).collect();
    assert_eq!(names, ["grpc-status"]);
    assert_eq!(whole.to_bytes(), "ok");
}
