//! Two installations of one name with one Cloudflare, each of which has an edge of its own.

use std::collections::BTreeSet;

use domain::edge::HostnameOutcome;
use domain::edge::ownership::tunnel_name;
use domain::testing::{installation, instance_of};

use super::rig::{APP, Behind, Rig, SHOP, over_nothing};
use super::{address, applied, intent, leading, stated};
use crate::contract::cloudflare::{Cloudflare, StandIn, in_memory_cloudflare};
use crate::contract::{gateway, hostname};

async fn a_name_stays_with_the_one_that_has_it<C: Cloudflare>(rig: Behind<C>) {
    let theirs = rig.namesake().await;
    let there = applied(&*theirs, &intent("one", &[APP])).await;
    for connected in [false, true] {
        if connected {
            rig.connect(&there);
        }
        let ours = stated(rig.edge(), &intent("one", &[APP, SHOP])).await;
        let tunnel = tunnel_name(&instance_of("home", 2), &gateway("one"));
        let held = HostnameOutcome::Namesake { tunnel };
        assert_eq!(ours.hostnames[&hostname(APP)], held);
        assert_eq!(ours.hostnames[&hostname(SHOP)], HostnameOutcome::Applied);
        assert_eq!(ours.namesakes, BTreeSet::from([instance_of("home", 2)]));
        let mut names = leading(&[APP], &address(&there));
        names.extend(leading(&[SHOP], &address(&ours)));
        assert_eq!(rig.names().await, names);

        let again = applied(&*theirs, &intent("one", &[APP])).await;
        assert_eq!(again.tunnels, there.tunnels);
        assert_eq!(again.namesakes, BTreeSet::from([installation("home")]));
        let nobody = BTreeSet::new();
        assert_eq!(theirs.sweep(&nobody).await, Ok(BTreeSet::new()));
        assert_eq!(rig.names().await, names);
    }
    rig.edge().remove(&gateway("one")).await.unwrap();
    assert_eq!(rig.names().await, leading(&[APP], &address(&there)));
    assert_eq!(theirs.owned().await, Ok(BTreeSet::from([gateway("one")])));
}

async fn what_a_former_instance_left_is_taken_over<C: Cloudflare>(rig: Behind<C>) {
    let former = rig.namesake().await;
    let there = applied(&*former, &intent("one", &[APP])).await;
    rig.come_and_go(&there);
    let rebuilt = applied(rig.edge(), &intent("one", &[APP])).await;
    assert_eq!(rebuilt.namesakes, BTreeSet::new());
    assert_eq!(rebuilt.tunnels[0].id, there.tunnels[0].id, "it stays");
    assert_eq!(rig.names().await, leading(&[APP], &address(&rebuilt)));
}

#[tokio::test]
async fn the_direct_edge_tells_two_of_one_name_apart() {
    a_name_stays_with_the_one_that_has_it(Behind::new(in_memory_cloudflare(), over_nothing).await)
        .await;
    a_name_stays_with_the_one_that_has_it(Behind::new(StandIn::start().await, over_nothing).await)
        .await;
    what_a_former_instance_left_is_taken_over(
        Behind::new(in_memory_cloudflare(), over_nothing).await,
    )
    .await;
    what_a_former_instance_left_is_taken_over(
        Behind::new(StandIn::start().await, over_nothing).await,
    )
    .await;
}
