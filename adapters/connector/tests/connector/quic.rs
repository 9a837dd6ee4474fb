//! Connections and requests over QUIC.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use adapter_connector::{Connector, ConnectorOptions, TransportChoice, TransportKind};
use tunnel_schema::quic_metadata_protocol_capnp::ConnectionType;

use crate::edge::Edge;
use crate::quic_edge::{Answered, Link};
use crate::rig::{ACCOUNT, Echo, LINES, SECRET, options, token, within};

const LIMIT: Duration = Duration::from_secs(10);

pub(crate) struct Rig {
    pub(crate) edge: Edge,
    pub(crate) connector: Connector,
    pub(crate) handler: Arc<Echo>,
}

impl Rig {
    pub(crate) async fn start(connections: u8) -> Self {
        let (edge, _) = Edge::over_quic(usize::from(connections)).await;
        let options = ConnectorOptions {
            transport: TransportChoice::Quic,
            silence: Duration::from_secs(3),
            ..options(&edge, connections)
        };
        let handler = Arc::new(Echo::default());
        let connector = Connector::start(&token(), options, Arc::clone(&handler)).unwrap();
        let rig = Self {
            edge,
            connector,
            handler,
        };
        rig.registered(usize::from(connections)).await;
        rig
    }

    async fn registered(&self, connections: usize) -> Vec<Arc<Link>> {
        within(Duration::from_secs(20), "connections registered", || {
            let live = self.edge.links();
            let known = self.connector.status().borrow().registered();
            (live.len() == connections && known == connections).then_some(live)
        })
        .await
    }

    pub(crate) fn link(&self) -> Arc<Link> {
        self.edge.links().pop().expect("a connection")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn four_connections_register_and_are_told_to_be_over_quic() {
    let rig = Rig::start(4).await;
    let live = rig.registered(4).await;
    let addresses: Vec<_> = live.iter().map(|link| link.address).collect();
    assert_eq!(addresses, rig.edge.addresses);
    for (index, link) in (0..).zip(live) {
        let said = link.said();
        assert_eq!((said.index, said.account.as_str()), (index, ACCOUNT));
        assert_eq!(said.secret, SECRET);
    }
    let status = rig.connector.status().borrow().clone();
    assert_eq!(status.registered_over(TransportKind::Quic), 4);
    assert_eq!(status.problems(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_reaches_the_handler_and_its_answer_the_edge() {
    let rig = Rig::start(1).await;
    let body = "hello ".repeat(100_000);
    let answer = rig.link().send("POST", "/echo?a=b", &body).await;
    assert_eq!((answer.error.as_str(), answer.status.as_str()), ("", "201"));
    assert_eq!(answer.header("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(answer.header("seen-host"), ["app.example.com"]);
    let connector = rig.connector.status().borrow().connector_id.to_string();
    assert_eq!(answer.header("seen-connector"), [connector]);
    for part in ["Http,", "\"app.example.com\"", "192.0.2.7"] {
        assert!(answer.header("seen-arrival")[0].contains(part), "{part}");
    }
    assert!(answer.body().await.unwrap() == body);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_has_as_many_header_lines_as_it_likes() {
    let rig = Rig::start(1).await;
    let answer = rig.link().send("GET", "/many-lines", "").await;
    assert_eq!(answer.headers.len(), LINES);
    assert_eq!(answer.body().await.unwrap(), "many");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_counts_only_where_the_headers_announce_it() {
    let rig = Rig::start(1).await;
    for (headers, then) in [
        (&[][..], ""),
        (&[("Content-Length", "0")], ""),
        (&[("Content-Length", "4")], "body"),
        (&[("Transfer-Encoding", "chunked")], "body"),
    ] {
        let link = rig.link();
        let kind = ConnectionType::Http;
        let (mut send, recv) = link.request(kind, "POST", "/", headers).await;
        // Where the body is not read the edge may be told to stop.
        if send.write_all(b"body").await.is_ok() {
            let _ = send.finish();
        }
        let answer = Answered::read(recv).await;
        assert_eq!(answer.body().await.unwrap(), then, "{headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_edge_is_not_told_to_stop_what_it_has_sent_to_its_last_byte() {
    let rig = Rig::start(1).await;
    for (sent, headers) in [
        ("", &[][..]),
        ("body", &[("Content-Length", "4")]),
        ("body", &[("Transfer-Encoding", "chunked")]),
    ] {
        let link = rig.link();
        let kind = ConnectionType::Http;
        let (mut send, recv) = link.request(kind, "POST", "/", headers).await;
        send.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = Answered::read(recv).await;
        let mut echoed = 0;
        while echoed < sent.len() {
            echoed += answer.next().await.unwrap().unwrap().len();
        }
        // The answer is there, the end of the request is not.
        tokio::time::sleep(Duration::from_millis(100)).await;

        send.finish().unwrap();

        let stopped = tokio::time::timeout(LIMIT, send.stopped()).await;
        assert_eq!(stopped.unwrap().unwrap(), None, "{headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_never_ends_is_over_soon_after_its_answer() {
    let rig = Rig::start(1).await;
    let headers = [("Content-Length", "4")];
    let kind = ConnectionType::Http;
    let (mut send, recv) = rig.link().request(kind, "POST", "/", &headers).await;
    send.write_all(b"body").await.unwrap();
    let answer = Answered::read(recv).await;
    assert_eq!(answer.body().await.unwrap(), "body");

    let stopped = tokio::time::timeout(LIMIT, send.stopped()).await;

    assert_eq!(stopped.unwrap().unwrap(), Some(0_u32.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_accepted_with_101_and_is_two_byte_streams() {
    let rig = Rig::start(1).await;
    let link = rig.link();
    let kind = ConnectionType::Websocket;
    let (mut send, recv) = link.request(kind, "GET", "/socket", &[]).await;
    let mut answer = Answered::read(recv).await;
    assert_eq!(answer.status, "101");
    assert_eq!(answer.header("upgraded-to"), ["websocket"]);
    for message in [&b"one"[..], b"two"] {
        send.write_all(message).await.unwrap();
        assert_eq!(answer.next().await.unwrap().unwrap(), message);
    }
    send.finish().unwrap();
    assert_eq!(answer.next().await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_configuration_is_acknowledged_with_the_newest_version() {
    let rig = Rig::start(1).await;
    for (version, json, then, error) in [
        (0, "{}", 0, ""),
        (5, "{}", 5, ""),
        (3, "{}", 5, ""),
        (6, "nonsense", 5, "the configuration is not JSON"),
    ] {
        let then = (then, error.to_owned());
        assert_eq!(rig.link().push(version, json).await, then);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_with_one_request_harms_no_other() {
    let rig = Rig::start(1).await;
    let link = rig.link();

    let panicked = link.send("GET", "/panic", "").await;
    assert_eq!(panicked.status, "502");
    assert!(!panicked.error.is_empty());

    let kind = ConnectionType::Tcp;
    let (_send, recv) = link.request(kind, "", "", &[]).await;
    let tcp = Answered::read(recv).await;
    assert_eq!(tcp.error, "TCP streams are not served");

    let headers = [("a:b", "c")];
    let kind = ConnectionType::Http;
    let (_send, recv) = link.request(kind, "GET", "/", &headers).await;
    let malformed = Answered::read(recv).await;
    assert_eq!(malformed.error, "the request has a malformed header");
    assert_eq!(malformed.status, "400");

    let (_send, mut recv) = link.open(b"GET / HTTP/1.1\r\n").await;
    assert!(matches!(
        recv.read_to_end(100).await,
        Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(_)))
    ));

    let (_send, mut recv) = link.request(kind, "GET", "/broken", &[]).await;
    assert!(
        recv.read_to_end(10_000).await.is_err(),
        "the answer is reset"
    );

    assert_eq!(link.send("GET", "/", "").await.status, "201");
    assert!(link.is_registered());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_the_client_gives_up_is_given_up_by_the_handler() {
    let rig = Rig::start(1).await;
    let kind = ConnectionType::Http;
    let (mut send, mut recv) = rig.link().request(kind, "GET", "/wait", &[]).await;
    let waiting = || (rig.handler.waiting.load(Ordering::SeqCst) == 1).then_some(());
    within(LIMIT, "the handler has it", waiting).await;

    send.reset(0_u32.into()).unwrap();
    recv.stop(0_u32.into()).unwrap();

    let given_up = || (rig.handler.given_up.load(Ordering::SeqCst) == 1).then_some(());
    within(LIMIT, "the handler is dropped", given_up).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_connection_is_replaced_at_once_and_the_others_stay() {
    let rig = Rig::start(2).await;
    let before = rig.registered(2).await;
    before[1].kill();
    let after = rig.registered(2).await;
    assert!(Arc::ptr_eq(&before[0], &after[0]));
    assert!(!Arc::ptr_eq(&before[1], &after[1]));
    assert_eq!(after[1].send("GET", "/", "").await.status, "201");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silently_dropped_connection_is_replaced_within_ten_seconds() {
    let rig = Rig::start(2).await;
    let before = rig.registered(2).await;
    let began = Instant::now();

    before[1].lose();

    within(LIMIT, "it is replaced", || {
        let live = rig.edge.links();
        let other = |link: &Arc<Link>| link.said().index == 1 && !Arc::ptr_eq(link, &before[1]);
        live.iter().any(other).then_some(())
    })
    .await;
    assert!(
        began.elapsed() > Duration::from_secs(1),
        "it was lost first"
    );
    assert!(before[0].is_registered());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_unregisters_and_finishes_what_is_in_flight() {
    let rig = Rig::start(2).await;
    let live = rig.registered(2).await;
    let in_flight: Vec<_> = live
        .iter()
        .cloned()
        .map(|link| tokio::spawn(async move { link.send("GET", "/wait", "").await.body().await }))
        .collect();
    let waiting = || (rig.handler.waiting.load(Ordering::SeqCst) == 2).then_some(());
    within(LIMIT, "both are with the handler", waiting).await;

    let leaving = tokio::spawn(async move { rig.connector.shutdown().await });
    let unregistered = || live.iter().all(|link| link.is_unregistered()).then_some(());
    within(LIMIT, "both are unregistered", unregistered).await;
    assert!(!leaving.is_finished());
    rig.handler.go_on.add_permits(2);

    for answer in in_flight {
        assert_eq!(answer.await.unwrap().unwrap(), "waited");
    }
    tokio::time::timeout(LIMIT, leaving).await.unwrap().unwrap();
    let gone = || live.iter().all(|link| link.is_gone()).then_some(());
    within(LIMIT, "both are closed", gone).await;
}
