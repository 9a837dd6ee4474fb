//! Choice among connections, and what happens when they die, freeze or leave.

use std::sync::atomic::Ordering;
use std::time::Duration;

use uuid::Uuid;

use super::visitor::{get, http1, post, request, status, text};
use super::{World, soon, until};
use crate::edge::body::full;
use crate::edge::{Phase, Pings, Transport};

over_both_transports! {
    requests_are_spread_over_all_connections_of_all_connectors,
    a_killed_connection_costs_no_repeatable_request,
    a_request_that_must_not_be_repeated_fails_with_its_connection,
    a_connection_that_unregisters_finishes_its_requests_and_is_then_closed,
    a_dead_connector_is_noticed,
    an_edge_that_was_away_comes_back_at_the_same_addresses,
}

async fn requests_are_spread_over_all_connections_of_all_connectors(world: World) {
    let mut connections = Vec::new();
    for connector in [Uuid::new_v4(), Uuid::new_v4()] {
        for index in 0..2 {
            connections.push(world.connect_as(connector, index).await);
        }
    }

    for _ in 0..40 {
        assert_eq!(status(&get(&world.edge, "/", "").await), 200);
    }

    for connection in &connections {
        let share = connection.origin.requests.load(Ordering::Relaxed);
        assert!((5..=20).contains(&share), "{share} of 40");
    }
}

async fn a_killed_connection_costs_no_repeatable_request(world: World) {
    let connector = Uuid::new_v4();
    let mut first = world.connect_as(connector, 0).await;
    let mut visitor = http1(&world.edge).await;
    let held = tokio::spawn(async move { visitor.send_request(request("/held")).await });
    until("the request is held", async || {
        first.origin.requests.load(Ordering::Relaxed) == 1
    })
    .await;
    let second = world.connect_as(connector, 1).await;
    second.origin.release.notify_one();

    let id = world.edge.connections()[0].id;
    assert!(world.edge.kill(id));

    let response = soon("an answer", held).await.unwrap().unwrap();
    assert_eq!(text(response).await, "released");
    assert_eq!(second.origin.requests.load(Ordering::Relaxed), 1);
    assert!(!first.closed().await);
    for _ in 0..10 {
        assert_eq!(status(&get(&world.edge, "/", "").await), 200);
    }
    until("the dead one is forgotten", async || {
        world.find(id).is_none()
    })
    .await;
    assert_eq!(world.cloud.connections(world.tunnel).len(), 1);
    assert!(!world.edge.kill(id));
}

async fn a_request_that_must_not_be_repeated_fails_with_its_connection(world: World) {
    let connector = Uuid::new_v4();
    let first = world.connect_as(connector, 0).await;
    let mut visitor = http1(&world.edge).await;
    let with_body = post(request("/held")).map(|_| full("data"));
    let held = tokio::spawn(async move { visitor.send_request(with_body).await });
    until("the request is held", async || {
        first.origin.requests.load(Ordering::Relaxed) == 1
    })
    .await;
    let second = world.connect_as(connector, 1).await;

    world.edge.kill(world.edge.connections()[0].id);

    let response = soon("an answer", held).await.unwrap().unwrap();
    assert_eq!(response.status(), 502);
    assert_eq!(second.origin.requests.load(Ordering::Relaxed), 0);
}

/// Both ends of a QUIC connection keep the shorter idle time of the two (RFC 9000, section 10.1), so
/// unlike with HTTP/2 the connector gives it up by itself.
#[tokio::test]
async fn a_wedged_quic_connection_goes_silent_and_can_be_replaced() {
    let mut world = World::with(|options| {
        options.pings = Pings {
            interval: Duration::from_secs(1),
            answer_within: Duration::from_secs(2),
        };
    })
    .await;
    world.transport = Transport::Quic;
    let connector = Uuid::new_v4();
    let mut wedged = world.connect_as(connector, 0).await;
    let _second = world.connect_as(connector, 1).await;
    let id = world.edge.connections()[0].id;

    assert!(world.edge.wedge(id));

    assert_eq!(world.find(id).unwrap().phase, Phase::Wedged);
    for _ in 0..10 {
        assert_eq!(status(&get(&world.edge, "/", "").await), 200);
    }
    assert_eq!(wedged.origin.requests.load(Ordering::Relaxed), 0);
    assert!(!wedged.is_closed());
    assert!(!wedged.closed().await, "nobody has said goodbye");
    until("the edge gives it up", async || world.find(id).is_none()).await;
    world.connect_as(connector, 0).await;
}

#[tokio::test]
async fn a_wedged_connection_stays_open_and_silent_and_gets_no_requests() {
    let world = World::with(|options| {
        options.pings = Pings {
            interval: Duration::from_millis(100),
            answer_within: Duration::from_millis(200),
        };
    })
    .await;
    let connector = Uuid::new_v4();
    let mut wedged = world.connect_as(connector, 0).await;
    let _second = world.connect_as(connector, 1).await;
    let id = world.edge.connections()[0].id;

    assert!(world.edge.wedge(id));

    assert_eq!(world.find(id).unwrap().phase, Phase::Wedged);
    for _ in 0..10 {
        assert_eq!(status(&get(&world.edge, "/", "").await), 200);
    }
    assert_eq!(wedged.origin.requests.load(Ordering::Relaxed), 0);
    // The edge's own pings give it up, but the connector's side sees nothing of that.
    until("the edge gives it up", async || world.find(id).is_none()).await;
    assert!(!wedged.is_closed());

    // The same index can register anew in the meantime.
    world.connect_as(connector, 0).await;

    world.edge.leave().await;
    wedged.closed().await;
}

async fn a_connection_that_unregisters_finishes_its_requests_and_is_then_closed(world: World) {
    let mut leaving = world.connect().await;
    let mut visitor = http1(&world.edge).await;
    let held = tokio::spawn(async move { visitor.send_request(request("/held")).await });
    until("the request is held", async || {
        leaving.origin.requests.load(Ordering::Relaxed) == 1
    })
    .await;

    leaving.unregister().await;

    assert_eq!(world.edge.connections()[0].phase, Phase::Draining);
    assert_eq!(status(&get(&world.edge, "/", "").await), 530);
    assert!(!leaving.is_closed());
    leaving.origin.release.notify_one();
    let response = soon("an answer", held).await.unwrap().unwrap();
    assert_eq!(text(response).await, "released");
    assert!(leaving.closed().await);
    until("it is forgotten", async || {
        world.edge.connections().is_empty()
    })
    .await;
}

async fn a_dead_connector_is_noticed(world: World) {
    let connection = world.connect().await;
    connection.die();
    until("it is forgotten", async || {
        world.edge.connections().is_empty()
    })
    .await;
    assert_eq!(status(&get(&world.edge, "/", "").await), 530);
}

async fn an_edge_that_was_away_comes_back_at_the_same_addresses(world: World) {
    let mut connection = world.connect().await;
    let addresses = world.edge.tunnel_addresses();
    assert_eq!(addresses.len(), 4);
    assert!(addresses.iter().all(|a| a.port() == addresses[0].port()));
    assert_eq!(world.edge.regions().map(|region| region.len()), [2, 2]);

    world.edge.leave().await;

    connection.closed().await;
    assert!(world.edge.connections().is_empty());
    assert!(world.cloud.connections(world.tunnel).is_empty());
    for address in addresses.iter().chain([&world.edge.public_http()]) {
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
    }

    world.edge.come_back().await.unwrap();

    let _again = world.connect().await;
    assert_eq!(status(&get(&world.edge, "/", "").await), 200);
}
