//! What a token can do that has two permissions, as the stand-in refuses the rest in each way that is reported of Cloudflare.

use domain::ZoneId;
use domain::edge::objects::ZoneState;
use domain::edge::{HostnameOutcome, ZoneStatus};
use domain::testing;
use standin::cloud::Permission::{DnsEdit, TunnelEdit, ZoneRead};
use standin::cloud::{Permission, WithoutZoneRead, ZoneKind, ZoneStatus as Status};

use super::rig::{Rig, host, key, token, told};

const NAMES: [&str; 3] = ["app.example.com", "example.com", "*.sub.example.com"];

async fn start(permissions: &[Permission], shown: WithoutZoneRead) -> Rig {
    let token = token().allowed(permissions.iter().copied());
    let rig = Rig::start(token, &["example.com", "example.org"]).await;
    rig.cloud.set_without_zone_read(shown);
    rig
}

#[tokio::test]
async fn tunnel_edit_and_dns_edit_suffice_however_zones_are_refused() {
    for (shown, with_ids, works) in [
        (WithoutZoneRead::ByName, false, true),
        (WithoutZoneRead::ByName, true, true),
        (WithoutZoneRead::Refused, true, true),
        (WithoutZoneRead::Empty, true, true),
        (WithoutZoneRead::Refused, false, false),
        (WithoutZoneRead::Empty, false, false),
    ] {
        let case = format!("{shown:?} {with_ids}");
        let rig = start(&[TunnelEdit, DnsEdit], shown).await;
        let mut wanted = testing::intent(key(), &NAMES);
        if with_ids {
            let id = ZoneId::new(&rig.zones["example.com"]);
            wanted.dns.records.zone_ids = [(host("example.com"), id)].into();
        }
        let status = rig.reconcile(&wanted).await;
        for name in NAMES {
            let (word, message) = told(&status, name);
            match (works, shown) {
                (true, _) => assert_eq!(word, "right", "{case} {name}: {message}"),
                (false, WithoutZoneRead::Empty) => {
                    assert_eq!(status.hostnames[&host(name)], HostnameOutcome::NoZone);
                }
                (false, _) => {
                    assert!(message.starts_with("Forbidden"), "{case}: {message}");
                    assert!(message.contains("spec.dns.zoneIDs"), "{case}: {message}");
                }
            }
        }
        assert_eq!(
            status.failures.is_empty(),
            works || shown == WithoutZoneRead::Empty
        );
        rig.edge.remove(&key()).await.unwrap();
        assert_eq!(
            rig.cloud.records(&rig.zones["example.com"]).len(),
            0,
            "{case}"
        );
    }
}

#[tokio::test]
async fn each_state_of_a_zone_is_read() {
    for (status, paused, kind, state) in [
        (Status::Active, false, ZoneKind::Full, ZoneState::Active),
        (Status::Pending, false, ZoneKind::Full, ZoneState::Pending),
        (Status::Moved, false, ZoneKind::Full, ZoneState::Pending),
        (Status::Active, true, ZoneKind::Full, ZoneState::Paused),
        (Status::Active, false, ZoneKind::Partial, ZoneState::Partial),
    ] {
        let permissions = [TunnelEdit, DnsEdit, ZoneRead];
        let rig = start(&permissions, WithoutZoneRead::Refused).await;
        let zone = &rig.zones["example.com"];
        rig.cloud.set_zone_state(zone, status, paused, kind);
        let wanted = testing::intent(key(), &["app.example.com"]);
        let found = rig.reconcile(&wanted).await.zones;
        let name = "example.com".to_owned();
        assert_eq!(
            Vec::from_iter(found),
            [ZoneStatus { name, state }],
            "{status:?} {paused}"
        );
        assert!(rig.record_id("app.example.com").is_some());
    }
}
