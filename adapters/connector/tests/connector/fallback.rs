//! QUIC in the place of HTTP/2, while TCP to the edge fails.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use adapter_connector::{
    Connector, ConnectorOptions, EdgeAddresses, TransportChoice, TransportKind,
};
use tokio::net::{TcpListener, TcpSocket};

use crate::edge::Edge;
use crate::rig::{Echo, get, options, token, within};

const LIMIT: Duration = Duration::from_secs(30);

fn start(edge: &Edge, trailers_needed: bool) -> (Connector, ConnectorOptions) {
    let options = ConnectorOptions {
        transport: TransportChoice::Auto { trailers_needed },
        silence: Duration::from_secs(3),
        probe_interval: Duration::from_millis(500),
        ..options(edge, 2)
    };
    let handler = Arc::new(Echo::default());
    let connector = Connector::start(&token(), options.clone(), handler).unwrap();
    (connector, options)
}

async fn registered_over(connector: &Connector, transport: TransportKind) {
    let status = connector.status();
    within(LIMIT, "both are registered", || {
        (status.borrow().registered_over(transport) == 2).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quic_is_used_while_tcp_is_refused_and_http2_again_when_it_is_not() {
    let (edge, refusing) = Edge::over_quic(2).await;
    let (connector, options) = start(&edge, false);

    registered_over(&connector, TransportKind::Quic).await;

    let metrics = &options.metrics;
    assert_eq!(metrics.registered_over(TransportKind::Quic), 2);
    assert_eq!(edge.links()[0].send("GET", "/", "").await.status, "201");
    let over_quic = edge.links();

    for tcp in refusing {
        edge.listen(tcp.listen(16).unwrap());
    }

    registered_over(&connector, TransportKind::Http2).await;
    assert_eq!(metrics.registered_over(TransportKind::Quic), 0);
    assert_eq!(metrics.registered_over(TransportKind::Http2), 2);
    assert!(over_quic.iter().all(|link| link.is_unregistered()));
    let answer = edge.registered()[0].send(get("/")).await.unwrap();
    assert_eq!(answer.status(), 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_was_away_altogether_is_found_again_soon() {
    let (quic, refusing) = Edge::over_quic(2).await;
    // The same names and ports, but nobody there who could prove to be them over QUIC.
    let edge = Edge::silent();
    let options = ConnectorOptions {
        transport: TransportChoice::Auto {
            trailers_needed: false,
        },
        edge: EdgeAddresses::Given(quic.addresses.clone()),
        probe_interval: Duration::from_secs(600),
        ..options(&edge, 2)
    };
    let connector = Connector::start(&token(), options, Arc::new(Echo::default())).unwrap();
    let status = connector.status();
    within(LIMIT, "QUIC is tried", || {
        let problems = status.borrow().problems();
        problems.iter().any(|p| p.contains("QUIC")).then_some(())
    })
    .await;

    for tcp in refusing {
        edge.listen(tcp.listen(16).unwrap());
    }

    registered_over(&connector, TransportKind::Http2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quic_is_not_used_where_trailers_are_needed_and_the_status_says_so() {
    let (edge, _refusing) = Edge::over_quic(2).await;
    let (connector, _) = start(&edge, true);
    let status = connector.status();
    within(LIMIT, "the status says so", || {
        let problems = status.borrow().problems();
        problems
            .iter()
            .any(|p| p.contains("trailers"))
            .then_some(())
    })
    .await;
    assert!(edge.links().is_empty());

    connector.set_trailers_needed(false);

    registered_over(&connector, TransportKind::Quic).await;
    assert!(!status.borrow().quic_withheld);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_ipv4_does_not_get_through_connections_are_made_over_ipv6_at_once() {
    for transport in [
        TransportChoice::Http2,
        TransportChoice::Auto {
            trailers_needed: false,
        },
    ] {
        let mut edge = Edge::silent();
        // As many as the edge has; these refuse connections.
        let refusing: Vec<_> = (0..20).map(|_| TcpSocket::new_v4().unwrap()).collect();
        for tcp in &refusing {
            tcp.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
            edge.addresses.push(tcp.local_addr().unwrap());
        }
        for _ in 0..20 {
            let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await else {
                return eprintln!("not tried: this machine has no IPv6");
            };
            edge.addresses.push(listener.local_addr().unwrap());
            edge.listen(listener);
        }
        let options = ConnectorOptions {
            transport,
            ..options(&edge, 4)
        };
        let connector = Connector::start(&token(), options, Arc::new(Echo::default())).unwrap();
        let status = connector.status();
        let registered = || (status.borrow().registered() == 4).then_some(());
        within(Duration::from_secs(5), "all are registered", registered).await;
        let before = edge.connections();

        for connection in edge.registered() {
            connection.kill();
        }

        let again = || {
            let live = edge.registered();
            (live.len() == 4 && edge.connections() >= before + 4).then_some(live)
        };
        let live = within(Duration::from_secs(5), "all are there again", again).await;
        assert!(live.iter().all(|c| c.address.is_ipv6()));
    }
}
