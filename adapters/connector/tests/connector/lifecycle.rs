//! Connections come, go and come back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use adapter_connector::{Connector, ConnectorOptions, EdgeRoots, StartError};
use domain::secret::ConnectorToken;

use crate::edge::{Edge, Refuse};
use crate::rig::{ACCOUNT, Echo, Rig, SECRET, body, get, options, token, within};

#[tokio::test(flavor = "multi_thread")]
async fn four_connections_register_each_at_an_address_of_its_own() {
    let rig = Rig::start(4).await;

    let live = rig.registered(4).await;

    let addresses: Vec<_> = live.iter().map(|c| c.address).collect();
    assert_eq!(addresses, rig.edge.addresses);
    let status = rig.connector.status().borrow().clone();
    assert_eq!(status.problems(), Vec::<String>::new());
    for (index, connection) in (0..).zip(live) {
        let said = connection.said();
        assert_eq!(said.index, index);
        assert_eq!(said.account, ACCOUNT);
        assert_eq!(said.secret, SECRET);
        assert_eq!(said.connector, status.connector_id.as_bytes());
        assert!(said.version.starts_with("cfgw/"));
        assert_eq!(said.previous_attempts, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_connection_is_replaced_at_once_and_the_others_stay() {
    let rig = Rig::start(4).await;
    let before = rig.registered(4).await;

    before[2].kill();

    let limit = Duration::from_secs(10);
    within(limit, "the edge has noticed", || {
        before[2].is_gone().then_some(())
    })
    .await;
    let after = rig.registered(4).await;
    for index in [0, 1, 3] {
        assert!(Arc::ptr_eq(&before[index], &after[index]), "{index}");
    }
    assert!(!Arc::ptr_eq(&before[2], &after[2]));
    assert_eq!(before[2].address, after[2].address);
    let answer = after[2].send(get("/")).await.unwrap();
    assert_eq!(answer.status(), 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_stands_still_is_replaced() {
    let rig = Rig::start(2).await;
    let before = rig.registered(2).await;
    let began = Instant::now();

    before[1].wedge();

    let limit = Duration::from_secs(10);
    let replaced = || {
        let live = rig.edge.registered();
        live.iter()
            .any(|c| c.said().index == 1 && !Arc::ptr_eq(c, &before[1]))
            .then_some(())
    };
    within(limit, "it is replaced", replaced).await;
    // Two seconds of silence, and time for a busy machine.
    assert!(began.elapsed() < Duration::from_secs(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_or_unauthorized_connection_is_tried_at_another_address() {
    for cause in ["EDUPCONN", "Unauthorized: Tunnel not found"] {
        let edge = Edge::start(2).await;
        edge.refuse(Refuse {
            cause,
            retry_after: Duration::ZERO,
            should_retry: false,
        });
        let rig = Rig::at(edge, 1);

        let live = rig.registered(1).await;

        assert_eq!(rig.edge.refused(), [(rig.edge.addresses[0], 0)]);
        assert_eq!(live[0].address, rig.edge.addresses[1], "{cause}");
        assert_eq!(live[0].said().previous_attempts, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_and_the_edges_word_on_the_next_attempt_kept() {
    let edge = Edge::start(1).await;
    edge.refuse(Refuse {
        cause: "Overloaded",
        retry_after: Duration::from_secs(2),
        should_retry: true,
    });
    let rig = Rig::at(edge, 1);
    let status = rig.connector.status();
    let limit = Duration::from_secs(10);
    let told = within(limit, "the problem is told", || {
        Some(status.borrow().problems()).filter(|problems| !problems.is_empty())
    })
    .await;
    let began = Instant::now();
    assert_eq!(told, ["the edge refused the connection: Overloaded"]);

    rig.registered(1).await;

    assert!(began.elapsed() > Duration::from_millis(1500));
    assert!(status.borrow().problems().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_share_addresses_only_where_there_are_too_few() {
    let edge = Edge::start(2).await;
    let rig = Rig::at(edge, 4);

    let live = rig.registered(4).await;

    let used: BTreeSet<_> = live.iter().map(|c| c.address).collect();
    assert_eq!(used.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_address_is_passed_over() {
    let mut edge = Edge::start(2).await;
    let dead = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    edge.addresses.insert(0, dead);
    let rig = Rig::at(edge, 2);

    let live = rig.registered(2).await;

    let used: BTreeSet<_> = live.iter().map(|c| c.address).collect();
    assert_eq!(used, rig.edge.addresses[1..].iter().copied().collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_nobody_vouches_for_gets_no_token() {
    let edge = Edge::start(1).await;
    let stranger = Edge::start(1).await;
    let options = ConnectorOptions {
        roots: EdgeRoots::Only(stranger.ca_pem),
        ..options(&edge, 1)
    };
    let handler = Arc::new(Echo::default());
    let connector = Connector::start(&token(), options, handler).unwrap();
    let status = connector.status();
    let told = within(Duration::from_secs(10), "the problem is told", || {
        status.borrow().problems().pop()
    })
    .await;
    assert!(told.contains("TLS"), "{told}");
    assert!(edge.registered().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_unregisters_and_finishes_what_is_in_flight() {
    let rig = Rig::start(2).await;
    let live = rig.registered(2).await;
    let in_flight: Vec<_> = live
        .iter()
        .cloned()
        .map(|c| tokio::spawn(async move { body(c.send(get("/wait")).await.unwrap()).await }))
        .collect();
    let limit = Duration::from_secs(10);
    let waiting = || (rig.handler.waiting.load(Ordering::SeqCst) == 2).then_some(());
    within(limit, "both are with the handler", waiting).await;

    let status = rig.connector.status();
    let leaving = tokio::spawn(async move {
        rig.connector.shutdown().await;
        rig.connector.shutdown().await;
    });
    let unregistered = || live.iter().all(|c| c.is_unregistered()).then_some(());
    within(limit, "both are unregistered", unregistered).await;
    assert!(!leaving.is_finished());
    rig.handler.go_on.add_permits(2);

    for answer in in_flight {
        assert_eq!(answer.await.unwrap(), "waited");
    }
    tokio::time::timeout(limit, leaving).await.unwrap().unwrap();
    assert_eq!(status.borrow().registered(), 0);
    within(limit, "both are closed", || {
        live.iter().all(|c| c.is_gone()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_waits_no_longer_than_the_grace_period() {
    let edge = Edge::start(1).await;
    let handler = Arc::new(Echo::default());
    let options = ConnectorOptions {
        grace: Duration::from_millis(300),
        ..options(&edge, 1)
    };
    let connector = Connector::start(&token(), options, Arc::clone(&handler)).unwrap();
    let limit = Duration::from_secs(10);
    let connection = within(limit, "it is registered", || edge.registered().pop()).await;
    let request = tokio::spawn(async move { connection.send(get("/wait")).await });
    let waiting = || (handler.waiting.load(Ordering::SeqCst) == 1).then_some(());
    within(limit, "the handler has it", waiting).await;

    tokio::time::timeout(limit, connector.shutdown())
        .await
        .unwrap();

    assert!(request.await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_connector_closes_its_connections() {
    let rig = Rig::start(2).await;
    let live = rig.registered(2).await;
    drop(rig.connector);
    let gone = || live.iter().all(|c| c.is_gone()).then_some(());
    within(Duration::from_secs(10), "both are gone", gone).await;
}

#[tokio::test]
async fn options_that_cannot_be_used_are_named() {
    let edge = Edge::start(1).await;
    let handler = Arc::new(Echo::default());
    let start = |token: &ConnectorToken, options| {
        Connector::start(token, options, Arc::clone(&handler)).unwrap_err()
    };
    let not_a_token = start(&ConnectorToken::new("hush!"), options(&edge, 1));
    assert!(matches!(not_a_token, StartError::Token(_)));
    assert!(!not_a_token.to_string().contains("hush"));
    let no_roots = ConnectorOptions {
        roots: EdgeRoots::Only(Vec::new()),
        ..options(&edge, 1)
    };
    assert!(matches!(start(&token(), no_roots), StartError::NoRoots));
    let no_name = ConnectorOptions {
        server_name: "not a name".to_owned(),
        ..options(&edge, 1)
    };
    assert!(matches!(
        start(&token(), no_name),
        StartError::ServerName(_)
    ));
}
