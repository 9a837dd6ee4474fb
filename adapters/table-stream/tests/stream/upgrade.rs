//! A controller of this version with proxies of an earlier one.

use std::sync::Arc;

use adapter_table_stream::Leader;
use adapter_table_stream::wire::{ToController, ToProxy};
use domain::capabilities::{Feature, FeatureSet};
use domain::gateway::{Filter, HeaderModifier};
use domain::ports::Delivery;
use domain::route_table::{RouteTable, TableRule, reduced};

use crate::raw::{Client, heard, hello};
use crate::rig::{Cluster, eventually, table};

/// A table with a feature.
fn with_feature() -> Arc<RouteTable> {
    let mut table = RouteTable::clone(&table(3, "first"));
    table.listeners[0].routes[1].rules.push(TableRule {
        matches: Vec::new(),
        filters: vec![Filter::ResponseHeaders(HeaderModifier::default())],
        policy: Default::default(),
        backends: Vec::new(),
    });
    Arc::new(table)
}

#[tokio::test]
async fn a_proxy_gets_a_table_in_its_own_features_and_the_status_names_what_it_lacks() {
    let feature = Feature::HTTPRouteResponseHeaderModification;
    let whole = with_feature();
    for (features, expected, delivery) in [
        (
            FeatureSet::of(&[feature]),
            Arc::clone(&whole),
            Delivery::Served,
        ),
        (
            FeatureSet::EMPTY,
            Arc::new(reduced(&whole, FeatureSet::EMPTY)),
            Delivery::Late(vec![format!("old (it does not serve {})", feature.name())]),
        ),
    ] {
        let cluster = Cluster::new();
        let controller = cluster.instance(Leader::Here { term: 1 }).await;
        controller.publish(&whole).await;
        let mut old = hello("old", None);
        (old.features, old.ready) = (features, true);
        let mut client = Client::new(&cluster, [127, 0, 0, 1], controller.address).await;
        let (mut answer, say) = client.open("web", &[ToController::Hello(old)]).await;
        let (version, table) = heard(&mut answer, |frame| match frame {
            ToProxy::Table(table) => Some((table.version, table.table)),
            _ => None,
        })
        .await;
        assert_eq!(table, expected);
        say(&ToController::Acknowledge(version));
        eventually("it is acknowledged", || controller.delivery() == delivery).await;
    }
}
