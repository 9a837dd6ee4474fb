//! [`DataPlane`]: hands route tables to proxies.

use std::collections::BTreeMap;
use std::sync::Arc;

use adapter_proxy::{Engines, Limits, Memory, Metrics};
use async_trait::async_trait;
use domain::ObjectKey;
use domain::endpoint_policy::EndpointPolicy;
use domain::gateway::Protocol;
use domain::ports::DataPlane;
use domain::route_table::{RouteTable, TableListener};
use domain::testing::FakeDataPlane;

use super::gateway;
use super::table_stream::Streamed;

contract! {
    rules [
        a_published_table_is_served,
        a_later_table_replaces_the_earlier_one,
        the_same_table_may_be_published_again,
        a_gateway_that_was_withdrawn_serves_nothing,
        a_gateway_comes_back_after_it_was_withdrawn,
        withdrawing_what_is_not_served_is_fine,
        gateways_do_not_disturb_each_other,
    ]
    engines => Engines::new(
            Limits::default(),
            EndpointPolicy::Standalone,
            Memory::unlimited(),
            Metrics::default(),
        ),
    table_stream => Streamed::start().await,
    in_memory => FakeDataPlane::default(),
}

#[async_trait]
trait Rig: DataPlane {
    /// What a request for this Gateway is routed by, once all proxies have heard of it.
    async fn served(&self, gateway: &ObjectKey) -> Option<Arc<RouteTable>>;
}

#[async_trait]
impl Rig for Engines {
    async fn served(&self, gateway: &ObjectKey) -> Option<Arc<RouteTable>> {
        self.get(gateway).table()
    }
}

#[async_trait]
impl Rig for Streamed {
    async fn served(&self, gateway: &ObjectKey) -> Option<Arc<RouteTable>> {
        self.once_delivered(gateway).await
    }
}

#[async_trait]
impl Rig for FakeDataPlane {
    async fn served(&self, gateway: &ObjectKey) -> Option<Arc<RouteTable>> {
        self.table(gateway)
    }
}

/// A table with one listener on this port.
fn table(gateway: &ObjectKey, port: u16) -> Arc<RouteTable> {
    Arc::new(RouteTable {
        client_validation: Vec::new(),
        gateway: gateway.clone(),
        listeners: vec![TableListener {
            name: "only".to_owned(),
            port,
            protocol: Protocol::Https,
            hostname: None,
            filters: Vec::new(),
            routes: Vec::new(),
        }],
        upstreams: BTreeMap::new(),
    })
}

async fn a_published_table_is_served(rig: impl Rig) {
    let web = gateway("web");
    assert_eq!(rig.served(&web).await, None);
    assert_eq!(rig.publish(table(&web, 443)).await, Ok(()));
    assert_eq!(rig.served(&web).await, Some(table(&web, 443)));
}

async fn a_later_table_replaces_the_earlier_one(rig: impl Rig) {
    let web = gateway("web");
    assert_eq!(rig.publish(table(&web, 443)).await, Ok(()));
    assert_eq!(rig.publish(table(&web, 8443)).await, Ok(()));
    assert_eq!(rig.served(&web).await, Some(table(&web, 8443)));
}

async fn the_same_table_may_be_published_again(rig: impl Rig) {
    let web = gateway("web");
    assert_eq!(rig.publish(table(&web, 443)).await, Ok(()));
    assert_eq!(rig.publish(table(&web, 443)).await, Ok(()));
    assert_eq!(rig.served(&web).await, Some(table(&web, 443)));
}

async fn a_gateway_that_was_withdrawn_serves_nothing(rig: impl Rig) {
    let web = gateway("web");
    assert_eq!(rig.publish(table(&web, 443)).await, Ok(()));
    assert_eq!(rig.withdraw(&web).await, Ok(()));
    assert_eq!(rig.served(&web).await, None);
}

async fn a_gateway_comes_back_after_it_was_withdrawn(rig: impl Rig) {
    let web = gateway("web");
    assert_eq!(rig.publish(table(&web, 443)).await, Ok(()));
    assert_eq!(rig.withdraw(&web).await, Ok(()));
    assert_eq!(rig.publish(table(&web, 8443)).await, Ok(()));
    assert_eq!(rig.served(&web).await, Some(table(&web, 8443)));
}

async fn withdrawing_what_is_not_served_is_fine(rig: impl Rig) {
    let web = gateway("web");
    assert_eq!(rig.withdraw(&web).await, Ok(()));
    assert_eq!(rig.publish(table(&web, 443)).await, Ok(()));
    assert_eq!(rig.withdraw(&web).await, Ok(()));
    assert_eq!(rig.withdraw(&web).await, Ok(()));
    assert_eq!(rig.served(&web).await, None);
}

async fn gateways_do_not_disturb_each_other(rig: impl Rig) {
    let (one, other) = (gateway("one"), gateway("other"));
    assert_eq!(rig.publish(table(&one, 443)).await, Ok(()));
    assert_eq!(rig.publish(table(&other, 8443)).await, Ok(()));
    assert_eq!(rig.withdraw(&one).await, Ok(()));
    assert_eq!(rig.served(&one).await, None);
    assert_eq!(rig.served(&other).await, Some(table(&other, 8443)));
}
