//! What a Gateway has, whether it is let in, and the end of its connections.

use super::*;
use crate::edge::Holdings;

#[tokio::test]
async fn what_a_gateway_has_is_read_in_every_zone_that_may_be_read() {
    let bench = bench(&["example.com", "example.org", "closed.example"]);
    let names = ["a.example.com", "b.example.org"];
    let tunnel = bench.reconcile(&intent("gw", &names)).await.tunnels[0].id;
    bench.reconcile(&intent("other", &["c.example.com"])).await;
    let closed = ZoneId::new("zone-closed.example");
    for (kind, is_told) in [
        (PortErrorKind::Forbidden, true),
        (PortErrorKind::Unavailable, false),
    ] {
        bench.edge.begin_resync();
        bench
            .cloudflare
            .fail_every(ApiCall::Records, Some(&closed), error(kind));
        let expected = Holdings {
            tunnels: [tunnel].into(),
            records: names.map(str::to_owned).into(),
        };
        let expected = is_told.then_some(expected).ok_or_else(|| error(kind));
        let found = bench.edge.holdings(&key("gw")).await;
        assert_eq!(found, expected, "{kind:?}");
        bench.cloudflare.heal();
    }
}

#[tokio::test]
async fn a_gateway_is_admitted_with_a_token_that_works() {
    let bench = bench(&["example.com"]);
    assert_eq!(bench.edge.admit(&key("gw")).await, Ok(()));
    bench.cloudflare.revoke("token of acme");
    bench.edge.begin_resync();
    let refused = bench.edge.admit(&key("gw")).await.unwrap_err();
    assert_eq!(refused.kind, PortErrorKind::Unauthenticated);
}

#[tokio::test]
async fn the_connections_of_one_tunnel_are_closed() {
    let bench = bench(&["example.com"]);
    bench.reconcile(&intent("gw", &[])).await;
    bench.edge.close_connections(&key("gw")).await.unwrap();
    assert_eq!(bench.cloudflare.calls()[&ApiCall::Disconnect], 1);
}

#[tokio::test]
async fn a_connector_is_found_by_the_tunnel_that_it_is_connected_to() {
    let bench = bench(&["example.com"]);
    assert_eq!(bench.edge.has_connectors().await, Ok(false));
    let tunnel = bench.reconcile(&intent("gw", &[])).await.tunnels[0].id;
    assert_eq!(bench.edge.has_connectors().await, Ok(false));
    bench.cloudflare.connect(tunnel, "one");
    assert_eq!(bench.edge.has_connectors().await, Ok(true));
    bench
        .cloudflare
        .fail_every(ApiCall::Tunnels, None, error(PortErrorKind::Unavailable));
    let unknown = bench.edge.has_connectors().await.unwrap_err();
    assert_eq!(unknown.kind, PortErrorKind::Unavailable);
}
