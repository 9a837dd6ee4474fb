//! Several installations of one name in one account.

use super::*;
use crate::testing::instance_of;

const APP: &str = "app.example.com";

/// A new process of an instance over the same Cloudflare.
fn process(cloudflare: &FakeCloudflare, instance: u8) -> DirectEdge {
    DirectEdge::new(
        Arc::new(cloudflare.clone()),
        Arc::new(StaticCredentials::for_all("acme")),
        Arc::new(FixedEntropy::default()),
        instance_of("home", instance),
    )
}

async fn states(edge: &DirectEdge, intent: &EdgeIntent) -> EdgeStatus {
    let status = edge.reconcile(intent).await.unwrap();
    assert_eq!(status.failures, []);
    status
}

fn held_by(status: &EdgeStatus) -> HostnameOutcome {
    HostnameOutcome::Namesake {
        tunnel: tunnel_name(status.namesakes.first().expect("a namesake"), &key("gw")),
    }
}

#[tokio::test]
async fn each_instance_has_its_own_tunnel_and_the_name_stays_with_the_first() {
    let intents = [intent("gw", &[APP]), intent("gw", &[])];
    for connected in [false, true] {
        for remembering in [false, true] {
            let cloudflare = FakeCloudflare::with_zones(&["example.com"]);
            let first = process(&cloudflare, 1);
            let mut second = process(&cloudflare, 2);
            if remembering {
                // It has listed the tunnels and the zone before the first one makes anything.
                second = second.remembering();
                states(&second, &intents[1]).await;
            }
            let there = states(&first, &intents[0]).await;
            if connected {
                cloudflare.connect(there.tunnels[0].id, "a proxy");
            }
            let record = cloudflare.records();

            let came = states(&second, &intents[0]).await;
            let came = match remembering {
                false => came,
                true => {
                    second.begin_resync();
                    states(&second, &intents[0]).await
                }
            };
            assert_ne!(came.tunnels, there.tunnels);
            assert_eq!(came.hostnames[&host(APP)], held_by(&came));
            assert_eq!(came.namesakes, [instance_of("home", 1)].into());
            assert_eq!(cloudflare.records(), record);

            let again = states(&first, &intents[0]).await;
            assert_eq!(again.hostnames[&host(APP)], HostnameOutcome::Applied);
            assert_eq!(again.namesakes, [instance_of("home", 2)].into());
            assert_eq!(
                (cloudflare.records(), cloudflare.tunnels().len()),
                (record, 2)
            );
        }
    }
}

#[tokio::test]
async fn what_is_a_namesakes_is_not_owned_not_removed_and_not_swept() {
    let cloudflare = FakeCloudflare::with_zones(&["example.com"]);
    let (first, second) = (process(&cloudflare, 1), process(&cloudflare, 2));
    let there = states(&first, &intent("gw", &[APP])).await;
    let record = cloudflare.records();
    for used in [false, true] {
        if used {
            cloudflare.connect(there.tunnels[0].id, "a proxy");
            cloudflare.disconnect_all(there.tunnels[0].id);
        }
        assert_eq!(second.owned().await, Ok(BTreeSet::new()));
        assert_eq!(second.sweep(&BTreeSet::new()).await, Ok(BTreeSet::new()));
        second.remove(&key("gw")).await.unwrap();
        assert_eq!(cloudflare.records(), record, "used before: {used}");
        assert_eq!(cloudflare.tunnels().len(), 1, "used before: {used}");
    }
}

#[tokio::test]
async fn a_rebuilt_cluster_takes_its_names_over_in_place() {
    for gone in [false, true] {
        let cloudflare = FakeCloudflare::with_zones(&["example.com"]);
        let former = process(&cloudflare, 1);
        let there = states(&former, &intent("gw", &[APP])).await;
        let old = there.tunnels[0].id;
        cloudflare.connect(old, "a proxy");
        cloudflare.disconnect_all(old);
        if gone {
            cloudflare.remove_tunnel(old);
        }
        let before = cloudflare.records_named(APP)[0].id.clone();

        let rebuilt = process(&cloudflare, 2);
        let status = states(&rebuilt, &intent("gw", &[APP])).await;
        assert_eq!(status.hostnames[&host(APP)], HostnameOutcome::Applied);
        assert_eq!(status.namesakes, BTreeSet::new());
        let record = &cloudflare.records_named(APP)[0];
        assert_eq!(record.data.content, status.tunnels[0].address);
        assert_eq!(record.id, before, "it never stopped to resolve");

        // The former one was only cut off, and comes back.
        cloudflare.connect(status.tunnels[0].id, "a proxy");
        let back = states(&former, &intent("gw", &[APP])).await;
        assert_eq!(back.hostnames[&host(APP)], held_by(&back));
        assert_eq!(back.namesakes, [instance_of("home", 2)].into());
    }
}

/// Gateway `gw` of a former instance, whose tunnel nobody uses any more.
async fn former(cloudflare: &FakeCloudflare) -> TunnelId {
    let former = process(cloudflare, 1);
    let there = states(&former, &intent("gw", &[APP, "old.example.com"])).await;
    let tunnel = there.tunnels[0].id;
    cloudflare.connect(tunnel, "a proxy");
    cloudflare.disconnect_all(tunnel);
    cloudflare.list_connector(tunnel, "one that is leaving", 0);
    cloudflare.forget_calls();
    tunnel
}

#[tokio::test]
async fn a_rebuilt_cluster_adopts_its_tunnel_with_what_leads_to_it_whatever_fails() {
    for moment in [Moment::Before, Moment::After] {
        for kind in [PortErrorKind::Unavailable, PortErrorKind::Conflict] {
            for nth in 0..12 {
                let case = format!("{moment:?} call {nth}, {kind:?}");
                let cloudflare = FakeCloudflare::with_zones(&["example.com"]);
                let tunnel = former(&cloudflare).await;
                cloudflare.fail_nth(nth, moment, error(kind));
                let mut rebuilt = process(&cloudflare, 2);
                let mut healed = false;
                for round in 0..4 {
                    let answer = rebuilt.reconcile(&intent("gw", &[APP])).await;
                    healed = answer.is_ok_and(|status| status.failures.is_empty());
                    if round == 0 {
                        // The process died.
                        rebuilt = process(&cloudflare, 2);
                    }
                }
                assert!(healed, "{case}");
                let tunnels = cloudflare.tunnels();
                assert_eq!(tunnels.len(), 1, "{case}");
                let name = tunnel_name(&instance_of("home", 2), &key("gw"));
                assert_eq!((tunnels[0].id, &tunnels[0].name), (tunnel, &name), "{case}");
                let records = cloudflare.records();
                assert_eq!(records.len(), 1, "what is not wanted is gone: {case}");
                let mark = RecordMark::of(&instance_of("home", 2), &key("gw"));
                assert_eq!(records[0].data.comment, mark.to_string(), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn a_tunnel_that_somebody_uses_or_that_was_never_used_is_not_adopted() {
    for used in [false, true] {
        let cloudflare = FakeCloudflare::with_zones(&[]);
        let theirs = process(&cloudflare, 1);
        let there = states(&theirs, &intent("gw", &[])).await;
        if used {
            cloudflare.connect(there.tunnels[0].id, "a proxy");
        }
        let ours = states(&process(&cloudflare, 2), &intent("gw", &[])).await;
        assert_ne!(ours.tunnels, there.tunnels);
    }
}

#[tokio::test]
async fn a_former_tunnel_that_is_gone_is_not_adopted_and_one_that_cannot_be_asked_is_waited_for() {
    let (gone, unread) = (PortErrorKind::NotFound, PortErrorKind::Unavailable);
    for (call, kind, own) in [
        (ApiCall::AdoptTunnel, gone, Some(true)),
        (ApiCall::AdoptTunnel, unread, None),
        (ApiCall::Connectors, unread, None),
    ] {
        let cloudflare = FakeCloudflare::with_zones(&["example.com"]);
        let tunnel = former(&cloudflare).await;
        cloudflare.fail_every(call, None, error(kind));
        let ours = process(&cloudflare, 2).reconcile(&intent("gw", &[])).await;
        let made = ours.ok().map(|status| status.tunnels[0].id != tunnel);
        assert_eq!(made, own, "{call:?} {kind:?}");
    }
}

#[tokio::test]
async fn a_former_tunnel_that_is_used_again_by_now_is_not_adopted() {
    for (connections, is_adopted) in [(0, true), (4, false)] {
        let cloudflare = FakeCloudflare::with_zones(&["example.com"]);
        let tunnel = former(&cloudflare).await;
        cloudflare.list_connector(tunnel, "a proxy", connections);
        let ours = states(&process(&cloudflare, 2), &intent("gw", &[])).await;
        assert_eq!(ours.tunnels[0].id == tunnel, is_adopted, "{connections}");
    }
}

/// What somebody else does in the moment after a tunnel was adopted.
struct AfterAdoption(FakeCloudflare, fn(&FakeCloudflare, TunnelId));

impl CloudflareAccounts for AfterAdoption {
    fn open(&self, credentials: &CloudflareCredentials) -> Arc<dyn CloudflareApi> {
        let observer = Arc::new(Self(self.0.clone(), self.1));
        self.0.open_observed(credentials, observer)
    }
}

#[async_trait]
impl Observer for AfterAdoption {
    async fn before(&self, _: &Call<'_>) -> Option<(Moment, PortError)> {
        None
    }

    fn after(&self, call: &Call<'_>, _: Option<&PortError>) {
        if call.kind == ApiCall::AdoptTunnel {
            self.1(&self.0, call.tunnel.expect("the tunnel that is adopted"));
        }
    }
}

#[tokio::test]
async fn a_tunnel_that_is_not_ours_right_after_its_adoption_counts_as_taken() {
    let cases: [fn(&FakeCloudflare, TunnelId); 2] = [
        |cloudflare, adopted| cloudflare.remove_tunnel(adopted),
        |cloudflare, adopted| {
            cloudflare.remove_tunnel(adopted);
            let name = tunnel_name(&instance_of("home", 2), &key("gw"));
            cloudflare.add_tunnel("acme", &name, true);
        },
    ];
    for (case, then) in cases.into_iter().enumerate() {
        let cloudflare = FakeCloudflare::with_zones(&[]);
        let name = tunnel_name(&instance_of("home", 1), &key("gw"));
        let tunnel = cloudflare.add_tunnel("acme", &name, true);
        cloudflare.connect(tunnel, "a proxy");
        cloudflare.disconnect_all(tunnel);
        let ours = DirectEdge::new(
            Arc::new(AfterAdoption(cloudflare.clone(), then)),
            Arc::new(StaticCredentials::for_all("acme")),
            Arc::new(FixedEntropy::default()),
            instance_of("home", 2),
        );
        let refused = ours.reconcile(&intent("gw", &[])).await.unwrap_err();
        assert_eq!(refused.kind, PortErrorKind::Conflict, "case {case}");
    }
}

#[tokio::test]
async fn of_two_that_want_one_tunnel_one_gets_it_and_none_takes_it_back() {
    let cloudflare = FakeCloudflare::with_zones(&["example.com"]);
    let tunnel = former(&cloudflare).await;
    let (second, third) = (process(&cloudflare, 2), process(&cloudflare, 3));
    // Nobody is connected yet, so that each could take it for a former instance's.
    let taken = states(&second, &intent("gw", &[APP])).await;
    assert_eq!(taken.tunnels[0].id, tunnel);
    let taken = states(&third, &intent("gw", &[APP])).await;
    assert_eq!(taken.tunnels[0].id, tunnel);
    for _ in 0..2 {
        let made = states(&second, &intent("gw", &[APP])).await;
        assert_ne!(made.tunnels[0].id, tunnel);
        let kept = states(&third, &intent("gw", &[APP])).await;
        assert_eq!(kept.tunnels[0].id, tunnel);
    }
    assert_eq!(cloudflare.tunnels().len(), 2);
    assert_eq!(cloudflare.records_named(APP).len(), 1);
}

#[tokio::test]
async fn whether_a_namesake_is_there_is_asked_after_the_records_were_read() {
    let cloudflare = FakeCloudflare::with_zones(&["example.com"]);
    let theirs = process(&cloudflare, 1);
    let ours = process(&cloudflare, 2).remembering();
    states(&theirs, &intent("gw", &[APP])).await;
    let first = states(&ours, &intent("gw", &[APP])).await;
    assert_eq!(first.hostnames[&host(APP)], held_by(&first));
    // The namesake makes another tunnel, which memory does not show, and leads its record there.
    let old = cloudflare.records_named(APP)[0].data.content.clone();
    let tunnels = cloudflare.tunnels();
    let old = tunnels.iter().find(|tunnel| tunnel.id.address() == old);
    cloudflare.remove_tunnel(old.unwrap().id);
    states(&theirs, &intent("gw", &[APP])).await;
    let record = cloudflare.records();

    let second = states(&ours, &intent("gw", &[APP, "other.example.com"])).await;
    assert_eq!(second.hostnames[&host(APP)], held_by(&first));
    assert_eq!(cloudflare.records_named(APP), record);
}
