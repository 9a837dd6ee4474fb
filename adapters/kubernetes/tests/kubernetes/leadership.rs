//! Leases.

use std::sync::Arc;
use std::time::Duration;

use adapter_kubernetes::{Lease, LeaseOptions, OwnerReference};
use domain::ports::Leadership;
use tokio_util::sync::CancellationToken;

use crate::server::ApiServer;
use crate::until;

fn competitor(server: &ApiServer, identity: &str) -> (Arc<Lease>, CancellationToken) {
    competitor_of(server, identity, None)
}

fn competitor_of(
    server: &ApiServer,
    identity: &str,
    owner: Option<OwnerReference>,
) -> (Arc<Lease>, CancellationToken) {
    let stop = CancellationToken::new();
    let options = LeaseOptions {
        namespace: "default".to_owned(),
        name: "controller".to_owned(),
        identity: identity.to_owned(),
        address: format!("{identity}.example:8443"),
        owner,
        duration: Duration::from_secs(3),
        renew: Duration::from_millis(500),
    };
    (Lease::start(server.client(), options, stop.clone()), stop)
}

#[tokio::test]
async fn one_leads_and_the_other_knows_where_it_is() {
    let server = ApiServer::start().await;
    let (first, _first_stop) = competitor(&server, "first");
    until("the first leads", async || first.term().is_some()).await;
    let (second, _second_stop) = competitor(&server, "second");
    let address = Some("first.example:8443".to_owned());
    until("the second knows", async || {
        second.leader_address() == address
    })
    .await;
    assert_eq!(first.leader_address(), address);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(second.term(), None, "the first renews");
    assert!(first.term().is_some());
}

#[tokio::test]
async fn a_lease_that_is_given_up_is_taken_at_once_in_a_higher_term() {
    let server = ApiServer::start().await;
    let (first, first_stop) = competitor(&server, "first");
    until("the first leads", async || first.term().is_some()).await;
    let earlier = first.term();
    let (second, _second_stop) = competitor(&server, "second");
    until("the second follows", async || {
        second.leader_address().is_some()
    })
    .await;
    first_stop.cancel();
    second.changed().await;
    until("the second leads", async || second.term().is_some()).await;
    assert_eq!(first.term(), None);
    assert!(second.term() > earlier);
}

#[tokio::test]
async fn a_leader_that_cannot_renew_stops_before_another_begins() {
    let server = ApiServer::start().await;
    let (first, _first_stop) = competitor(&server, "first");
    until("the first leads", async || first.term().is_some()).await;
    server.refuse("leases", 500);
    until("it leads no longer", async || first.term().is_none()).await;
    let (second, _second_stop) = competitor(&server, "second");
    assert_eq!(second.term(), None);
    server.mend();
    until("one leads again", async || {
        let leading = [first.term(), second.term()];
        assert!(leading.iter().flatten().count() < 2, "{leading:?}");
        leading.iter().flatten().count() == 1
    })
    .await;
}

#[tokio::test]
async fn a_lease_goes_with_the_deployment_of_whoever_took_it_last() {
    let server = ApiServer::start().await;
    let of = |uid: &str| OwnerReference {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        name: "cfgw".to_owned(),
        uid: uid.to_owned(),
        ..OwnerReference::default()
    };
    for uid in ["first", "second"] {
        let (lease, stop) = competitor_of(&server, uid, Some(of(uid)));
        until("it leads", async || lease.term().is_some()).await;
        stop.cancel();
        lease.released().await;
        let found = server
            .get("leases", "default", "controller")
            .expect("the Lease");
        let owners = &found["metadata"]["ownerReferences"];
        assert_eq!(owners.as_array().map(Vec::len), Some(1), "{owners}");
        assert_eq!(owners[0]["uid"], uid);
    }
}
