//! [`CloudflareApi`]: the Cloudflare API v4 for one account, call by call.

use domain::edge::objects::{DnsRecord, IngressDocument, IngressRule, RecordBatch, RecordData};
use domain::ports::{BATCH_LIMIT, CloudflareApi, PortErrorKind};
use domain::{RecordId, TunnelId, ZoneId};

use super::cloudflare::{Cloudflare, Lacking, StandIn, Write, ZONE, api_of, in_memory_cloudflare};
use super::hostname;

contract! {
    rules [
        a_new_tunnel_is_remotely_configured_and_listed,
        tunnels_are_listed_by_the_start_of_their_names,
        a_tunnel_name_that_is_taken_is_a_conflict,
        a_deleted_tunnel_is_gone_and_its_name_free,
        a_tunnel_with_connections_cannot_be_deleted,
        a_tunnel_that_is_not_there_is_not_found,
        a_token_stays_the_same_until_the_secret_is_replaced,
        a_tunnel_that_is_adopted_has_another_name_and_secret_or_neither,
        no_ingress_document_is_there_until_one_is_put,
        putting_a_document_takes_a_local_tunnel_over,
        only_zones_of_the_account_are_listed,
        a_zone_is_looked_up_by_its_very_name,
        records_come_back_as_they_were_written,
        a_record_is_replaced_whole_and_keeps_its_id,
        a_name_that_a_batch_frees_can_be_taken_in_the_same_batch,
        a_taken_name_is_a_conflict_and_nothing_of_the_batch_is_done,
        a_record_that_is_not_there_is_not_found_and_nothing_of_the_batch_is_done,
        a_cname_stands_alone_among_addresses_but_not_beside_texts,
        a_batch_takes_as_many_operations_as_the_limit_says_and_no_more,
        an_empty_batch_changes_nothing,
        a_zone_that_cannot_be_seen_is_refused,
        a_good_token_is_verified,
        a_token_that_is_not_accepted_opens_nothing,
        a_token_without_dns_permission_reads_zones_and_no_records,
        a_token_without_tunnel_permission_still_serves_dns,
        too_many_requests_say_when_to_come_back,
        a_cloudflare_that_fails_is_unavailable_until_it_is_back,
        an_answer_that_is_lost_leaves_the_change_done,
    ]
    adapter_over_stand_in => StandIn::start().await,
    in_memory => in_memory_cloudflare(),
}

fn record(name: &str, kind: &str, content: &str) -> RecordData {
    RecordData {
        name: format!("{name}.{ZONE}"),
        kind: kind.to_owned(),
        content: content.to_owned(),
        proxied: kind == "CNAME",
        ttl: 1,
        comment: format!("of {name}"),
    }
}

fn cname(name: &str) -> RecordData {
    record(name, "CNAME", "target.example.net")
}

fn posting(posts: impl IntoIterator<Item = RecordData>) -> RecordBatch {
    RecordBatch {
        posts: posts.into_iter().collect(),
        ..RecordBatch::default()
    }
}

async fn records(api: &dyn CloudflareApi, zone: &ZoneId) -> Vec<DnsRecord> {
    let mut records = api.records(zone).await.unwrap();
    records.sort_by(|a, b| a.data.name.cmp(&b.data.name));
    records
}

async fn data(api: &dyn CloudflareApi, zone: &ZoneId) -> Vec<RecordData> {
    let records = records(api, zone).await;
    records.into_iter().map(|record| record.data).collect()
}

async fn kind_of(
    change: impl Future<Output = Result<(), domain::ports::PortError>>,
) -> PortErrorKind {
    change.await.unwrap_err().kind
}

async fn a_new_tunnel_is_remotely_configured_and_listed(cloudflare: impl Cloudflare) {
    let api = api_of(&cloudflare);
    let made = api.create_tunnel("cfgw-one").await.unwrap();
    assert_eq!(made.name, "cfgw-one");
    assert!(made.remotely_configured);
    let id = made.id;
    assert_eq!(api.tunnels("").await.unwrap(), [made]);
    assert!(api.connectors(id).await.unwrap().is_empty());
}

async fn tunnels_are_listed_by_the_start_of_their_names(cloudflare: impl Cloudflare) {
    let api = api_of(&cloudflare);
    for name in ["cfgw-one", "cfgw-one-more", "other-cfgw-one"] {
        api.create_tunnel(name).await.unwrap();
    }
    for (prefix, wanted) in [
        ("cfgw-one", vec!["cfgw-one", "cfgw-one-more"]),
        ("other", vec!["other-cfgw-one"]),
        ("none", vec![]),
    ] {
        let tunnels = api.tunnels(prefix).await.unwrap();
        let mut names: Vec<_> = tunnels.iter().map(|tunnel| tunnel.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, wanted, "{prefix}");
    }
}

async fn a_tunnel_name_that_is_taken_is_a_conflict(cloudflare: impl Cloudflare) {
    let api = api_of(&cloudflare);
    let first = api.create_tunnel("cfgw-one").await.unwrap();
    let refused = api.create_tunnel("cfgw-one").await.unwrap_err();
    assert_eq!(refused.kind, PortErrorKind::Conflict);
    assert_eq!(api.tunnels("").await.unwrap(), [first]);
}

async fn a_deleted_tunnel_is_gone_and_its_name_free(cloudflare: impl Cloudflare) {
    let api = api_of(&cloudflare);
    let first = api.create_tunnel("cfgw-one").await.unwrap();
    assert_eq!(api.delete_tunnel(first.id).await, Ok(()));
    assert!(api.tunnels("").await.unwrap().is_empty());
    let second = api.create_tunnel("cfgw-one").await.unwrap();
    assert_ne!(second.id, first.id);
    let again = kind_of(api.delete_tunnel(first.id)).await;
    assert_eq!(again, PortErrorKind::NotFound);
    assert_eq!(api.tunnels("").await.unwrap(), [second]);
}

async fn a_tunnel_with_connections_cannot_be_deleted(cloudflare: impl Cloudflare) {
    let api = api_of(&cloudflare);
    let tunnel = api.create_tunnel("cfgw-one").await.unwrap().id;
    cloudflare.connect(tunnel);
    let connectors = api.connectors(tunnel).await.unwrap();
    let connections: Vec<_> = connectors.iter().map(|c| c.connections).collect();
    assert_eq!(connections, [4]);
    let refused = kind_of(api.delete_tunnel(tunnel)).await;
    assert_eq!(refused, PortErrorKind::Conflict);

    assert_eq!(api.disconnect(tunnel).await, Ok(()));
    assert!(api.connectors(tunnel).await.unwrap().is_empty());
    assert_eq!(api.disconnect(tunnel).await, Ok(()), "again");
    assert_eq!(api.delete_tunnel(tunnel).await, Ok(()));
}

async fn a_tunnel_that_is_not_there_is_not_found(cloudflare: impl Cloudflare) {
    let api = api_of(&cloudflare);
    let none = TunnelId::from_bytes([7; 16]);
    let document = IngressDocument {
        catch_all: "http_status:404".to_owned(),
        ..IngressDocument::default()
    };
    for (call, kind) in [
        ("delete", api.delete_tunnel(none).await.unwrap_err().kind),
        ("connectors", api.connectors(none).await.unwrap_err().kind),
        ("disconnect", api.disconnect(none).await.unwrap_err().kind),
        ("token", api.tunnel_token(none).await.unwrap_err().kind),
        (
            "secret",
            kind_of(api.set_tunnel_secret(none, [1; 32])).await,
        ),
        (
            "adopt",
            kind_of(api.adopt_tunnel(none, "cfgw-one", [1; 32])).await,
        ),
        (
            "configuration",
            api.configuration(none).await.unwrap_err().kind,
        ),
        ("configure", kind_of(api.configure(none, &document)).await),
    ] {
        assert_eq!(kind, PortErrorKind::NotFound, "{call}");
    }
}

async fn a_token_stays_the_same_until_the_secret_is_replaced(cloudflare: impl Cloudflare) {
    let api = api_of(&cloudflare);
    let tunnel = api.create_tunnel("cfgw-one").await.unwrap().id;
    let other = api.create_tunnel("cfgw-other").await.unwrap().id;
    let first = api.tunnel_token(tunnel).await.unwrap();
    assert!(first.is_same(&api.tunnel_token(tunnel).await.unwrap()));
    let others = api.tunnel_token(other).await.unwrap();
    assert!(!first.is_same(&others));

    assert_eq!(api.set_tunnel_secret(tunnel, [9; 32]).await, Ok(()));
    let second = api.tunnel_token(tunnel).await.unwrap();
    assert!(!second.is_same(&first));
    assert!(others.is_same(&api.tunnel_token(other).await.unwrap()));
}

async fn a_tunnel_that_is_adopted_has_another_name_and_secret_or_neither(
    cloudflare: impl Cloudflare,
) {
    let api = api_of(&cloudflare);
    let tunnel = api.create_tunnel("cfgw-one").await.unwrap().id;
    api.create_tunnel("cfgw-other").await.unwrap();
    let before = api.tunnel_token(tunnel).await.unwrap();
    let taken = api.adopt_tunnel(tunnel, "cfgw-other", [9; 32]).await;
    assert_eq!(taken.unwrap_err().kind, PortErrorKind::Conflict);
    assert!(before.is_same(&api.tunnel_token(tunnel).await.unwrap()));

    api.adopt_tunnel(tunnel, "cfgw-two", [9; 32]).await.unwrap();
    assert!(!before.is_same(&api.tunnel_token(tunnel).await.unwrap()));
    let named = api.tunnels("cfgw-").await.unwrap().into_iter();
    let mut names: Vec<_> = named.map(|tunnel| (tunnel.name, tunnel.id)).collect();
    names.sort();
    assert_eq!(names.len(), 2);
    assert_eq!(names[1], ("cfgw-two".to_owned(), tunnel));
}

async fn no_ingress_document_is_there_until_one_is_put(cloudflare: impl Cloudflare) {
    let api = api_of(&cloudflare);
    let tunnel = api.create_tunnel("cfgw-one").await.unwrap().id;
    assert_eq!(api.configuration(tunnel).await, Ok(None));
    let rule = |name: &str| IngressRule {
        hostname: hostname(name),
        path: None,
        service: "http://web.default".to_owned(),
    };
    let first = IngressDocument {
        rules: vec![rule("app.example.com"), rule("*.example.com")],
        catch_all: "http_status:404".to_owned(),
    };
    let second = IngressDocument {
        rules: Vec::new(),
        catch_all: "http://web.default".to_owned(),
    };
    for document in [first, second] {
        assert_eq!(api.configure(tunnel, &document).await, Ok(()));
        assert_eq!(api.configuration(tunnel).await, Ok(Some(document)));
    }
}

async fn putting_a_document_takes_a_local_tunnel_over(cloudflare: impl Cloudflare) {
    let api = api_of(&cloudflare);
    let tunnel = cloudflare.add_local_tunnel("cfgw-one");
    let is_remote = || async { api.tunnels("").await.unwrap()[0].remotely_configured };
    assert!(!is_remote().await);
    let document = IngressDocument {
        rules: Vec::new(),
        catch_all: "http_status:404".to_owned(),
    };
    assert_eq!(api.configure(tunnel, &document).await, Ok(()));
    assert!(is_remote().await);
    assert_eq!(api.configuration(tunnel).await, Ok(Some(document)));
}

async fn only_zones_of_the_account_are_listed(cloudflare: impl Cloudflare) {
    cloudflare.add_zone_of_another_account("example.org");
    let zones = api_of(&cloudflare).zones().await.unwrap();
    let names: Vec<_> = zones.iter().map(|zone| zone.name.as_str()).collect();
    assert_eq!(names, [ZONE]);
    assert_eq!(zones[0].id, cloudflare.zone());
}

async fn a_zone_is_looked_up_by_its_very_name(cloudflare: impl Cloudflare) {
    cloudflare.add_zone_of_another_account("example.org");
    let api = api_of(&cloudflare);
    for (name, found) in [
        (ZONE, Some(cloudflare.zone())),
        ("com", None),
        ("a.example.com", None),
        ("example.org", None),
    ] {
        let zone = api.zone_named(name).await.unwrap();
        assert_eq!(zone.map(|zone| zone.id), found, "{name}");
    }
}

async fn records_come_back_as_they_were_written(cloudflare: impl Cloudflare) {
    let (api, zone) = (api_of(&cloudflare), cloudflare.zone());
    let unproxied = RecordData {
        proxied: false,
        ttl: 300,
        ..cname("c")
    };
    let without_comment = RecordData {
        comment: String::new(),
        ..cname("d")
    };
    let wildcard = cname("*");
    let written = vec![
        wildcard,
        record("a", "A", "192.0.2.1"),
        cname("b"),
        unproxied,
        without_comment,
    ];
    let batch = posting(written.clone());
    assert_eq!(api.change_records(&zone, &batch).await, Ok(()));
    assert_eq!(data(&*api, &zone).await, written);
}

async fn a_record_is_replaced_whole_and_keeps_its_id(cloudflare: impl Cloudflare) {
    let (api, zone) = (api_of(&cloudflare), cloudflare.zone());
    let id = cloudflare.add_record(record("app", "A", "192.0.2.1"));
    let other = cloudflare.add_record(cname("other"));
    let replaced = RecordData {
        comment: "in other words".to_owned(),
        ..cname("app")
    };
    let batch = RecordBatch {
        puts: vec![(id.clone(), replaced.clone())],
        ..RecordBatch::default()
    };
    assert_eq!(api.change_records(&zone, &batch).await, Ok(()));
    let expected = [
        DnsRecord { id, data: replaced },
        DnsRecord {
            id: other,
            data: cname("other"),
        },
    ];
    assert_eq!(records(&*api, &zone).await, expected);
}

async fn a_name_that_a_batch_frees_can_be_taken_in_the_same_batch(cloudflare: impl Cloudflare) {
    let (api, zone) = (api_of(&cloudflare), cloudflare.zone());
    let old = cloudflare.add_record(record("app", "A", "192.0.2.1"));
    let batch = RecordBatch {
        deletes: vec![old],
        ..posting([cname("app")])
    };
    assert_eq!(api.change_records(&zone, &batch).await, Ok(()));
    assert_eq!(data(&*api, &zone).await, [cname("app")]);
}

async fn a_taken_name_is_a_conflict_and_nothing_of_the_batch_is_done(cloudflare: impl Cloudflare) {
    let (api, zone) = (api_of(&cloudflare), cloudflare.zone());
    let gone = cloudflare.add_record(cname("a-gone"));
    let edited = cloudflare.add_record(cname("b-edited"));
    cloudflare.add_record(record("taken", "A", "192.0.2.1"));
    let before = records(&*api, &zone).await;
    let batch = RecordBatch {
        deletes: vec![gone],
        puts: vec![(edited, record("b-edited", "A", "192.0.2.2"))],
        posts: vec![cname("new"), cname("taken")],
    };
    let refused = kind_of(api.change_records(&zone, &batch)).await;
    assert_eq!(refused, PortErrorKind::Conflict);
    assert_eq!(records(&*api, &zone).await, before);
}

async fn a_record_that_is_not_there_is_not_found_and_nothing_of_the_batch_is_done(
    cloudflare: impl Cloudflare,
) {
    let (api, zone) = (api_of(&cloudflare), cloudflare.zone());
    let present = cloudflare.add_record(cname("app"));
    let before = records(&*api, &zone).await;
    let none = || RecordId::new("0".repeat(32));
    let deleting = RecordBatch {
        deletes: vec![present, none()],
        ..posting([cname("new")])
    };
    let replacing = RecordBatch {
        puts: vec![(none(), cname("none"))],
        ..posting([cname("new")])
    };
    for batch in [deleting, replacing] {
        let refused = kind_of(api.change_records(&zone, &batch)).await;
        assert_eq!(refused, PortErrorKind::NotFound, "{batch:?}");
        assert_eq!(records(&*api, &zone).await, before, "{batch:?}");
    }
}

/// Cloudflare documentation: DNS, "CNAME records and other records of the same name".
async fn a_cname_stands_alone_among_addresses_but_not_beside_texts(cloudflare: impl Cloudflare) {
    let (api, zone) = (api_of(&cloudflare), cloudflare.zone());
    let address = |last: u8| record("app", "A", &format!("192.0.2.{last}"));
    let text = record("app", "TXT", "\"a text\"");
    for (there, added, fits) in [
        (address(1), address(2), true),
        (address(1), text.clone(), true),
        (text.clone(), address(1), true),
        (text, cname("app"), true),
        (address(1), cname("app"), false),
        (cname("app"), address(1), false),
        (cname("app"), cname("app"), false),
    ] {
        let id = cloudflare.add_record(there.clone());
        let case = format!("{} beside {}", added.kind, there.kind);
        match api.change_records(&zone, &posting([added])).await {
            Ok(()) => assert!(fits, "{case}"),
            Err(refused) => {
                assert!(!fits, "{case}: {refused}");
                assert_eq!(refused.kind, PortErrorKind::Conflict, "{case}");
            }
        }
        let deletes = records(&*api, &zone).await;
        assert!(deletes.iter().any(|record| record.id == id), "{case}");
        let clearing = RecordBatch {
            deletes: deletes.into_iter().map(|record| record.id).collect(),
            ..RecordBatch::default()
        };
        assert_eq!(api.change_records(&zone, &clearing).await, Ok(()));
    }
}

async fn a_batch_takes_as_many_operations_as_the_limit_says_and_no_more(
    cloudflare: impl Cloudflare,
) {
    let (api, zone) = (api_of(&cloudflare), cloudflare.zone());
    let batch = |size: usize| posting((0..size).map(|n| cname(&format!("app-{n}"))));
    let refused = kind_of(api.change_records(&zone, &batch(BATCH_LIMIT + 1))).await;
    assert_eq!(refused, PortErrorKind::Invalid);
    assert!(records(&*api, &zone).await.is_empty());
    assert_eq!(api.change_records(&zone, &batch(BATCH_LIMIT)).await, Ok(()));
    assert_eq!(records(&*api, &zone).await.len(), BATCH_LIMIT);
}

async fn an_empty_batch_changes_nothing(cloudflare: impl Cloudflare) {
    let (api, zone) = (api_of(&cloudflare), cloudflare.zone());
    cloudflare.add_record(cname("app"));
    let before = records(&*api, &zone).await;
    let empty = RecordBatch::default();
    assert_eq!(api.change_records(&zone, &empty).await, Ok(()));
    assert_eq!(records(&*api, &zone).await, before);
}

async fn a_zone_that_cannot_be_seen_is_refused(cloudflare: impl Cloudflare) {
    let api = api_of(&cloudflare);
    let foreign = cloudflare.add_zone_of_another_account("example.org");
    for zone in [ZoneId::new("0".repeat(32)), foreign] {
        let refused = [
            api.records(&zone).await.unwrap_err().kind,
            kind_of(api.change_records(&zone, &posting([cname("app")]))).await,
        ];
        for kind in refused {
            // For a zone of another account Cloudflare answers as for one that does not exist.
            let expected = [PortErrorKind::NotFound, PortErrorKind::Forbidden];
            assert!(expected.contains(&kind), "{zone}: {kind:?}");
        }
    }
}

async fn a_good_token_is_verified(cloudflare: impl Cloudflare) {
    assert_eq!(api_of(&cloudflare).verify_token().await, Ok(()));
}

async fn a_token_that_is_not_accepted_opens_nothing(cloudflare: impl Cloudflare) {
    let (api, zone) = (api_of(&cloudflare), cloudflare.zone());
    cloudflare.restrict(Lacking::Everything);
    for (call, kind) in [
        ("verify", kind_of(api.verify_token()).await),
        ("tunnels", api.tunnels("").await.unwrap_err().kind),
        ("create", api.create_tunnel("one").await.unwrap_err().kind),
        ("zones", api.zones().await.unwrap_err().kind),
        ("records", api.records(&zone).await.unwrap_err().kind),
    ] {
        assert_eq!(kind, PortErrorKind::Unauthenticated, "{call}");
    }
}

async fn a_token_without_dns_permission_reads_zones_and_no_records(cloudflare: impl Cloudflare) {
    let (api, zone) = (api_of(&cloudflare), cloudflare.zone());
    cloudflare.restrict(Lacking::Dns);
    let refused = api.records(&zone).await.unwrap_err();
    assert_eq!(refused.kind, PortErrorKind::Forbidden);
    let refused = kind_of(api.change_records(&zone, &posting([cname("app")]))).await;
    assert_eq!(refused, PortErrorKind::Forbidden);
    assert_eq!(api.zones().await.unwrap().len(), 1);
    assert!(api.create_tunnel("cfgw-one").await.is_ok());
    assert_eq!(api.verify_token().await, Ok(()));
}

async fn a_token_without_tunnel_permission_still_serves_dns(cloudflare: impl Cloudflare) {
    let (api, zone) = (api_of(&cloudflare), cloudflare.zone());
    cloudflare.restrict(Lacking::Tunnels);
    let refused = api.tunnels("").await.unwrap_err();
    assert_eq!(refused.kind, PortErrorKind::Forbidden);
    let refused = api.create_tunnel("cfgw-one").await.unwrap_err();
    assert_eq!(refused.kind, PortErrorKind::Forbidden);
    let batch = posting([cname("app")]);
    assert_eq!(api.change_records(&zone, &batch).await, Ok(()));
    assert_eq!(data(&*api, &zone).await, [cname("app")]);
}

async fn too_many_requests_say_when_to_come_back(cloudflare: impl Cloudflare) {
    let api = api_of(&cloudflare);
    cloudflare.slow_down(90);
    let refused = api.tunnels("").await.unwrap_err();
    assert_eq!(refused.kind, PortErrorKind::RateLimited);
    let pause = refused.retry_after.expect("a time to come back").as_secs();
    assert!((60..=90).contains(&pause), "{pause}");
}

async fn a_cloudflare_that_fails_is_unavailable_until_it_is_back(cloudflare: impl Cloudflare) {
    let (api, zone) = (api_of(&cloudflare), cloudflare.zone());
    cloudflare.cut_off();
    for (call, kind) in [
        ("tunnels", api.tunnels("").await.unwrap_err().kind),
        ("create", api.create_tunnel("one").await.unwrap_err().kind),
        ("zones", api.zones().await.unwrap_err().kind),
        ("records", api.records(&zone).await.unwrap_err().kind),
        (
            "change",
            kind_of(api.change_records(&zone, &posting([cname("app")]))).await,
        ),
    ] {
        assert_eq!(kind, PortErrorKind::Unavailable, "{call}");
    }
    cloudflare.mend();
    assert!(api.tunnels("").await.unwrap().is_empty());
    assert!(records(&*api, &zone).await.is_empty());
}

async fn an_answer_that_is_lost_leaves_the_change_done(cloudflare: impl Cloudflare) {
    let (api, zone) = (api_of(&cloudflare), cloudflare.zone());
    cloudflare.lose_the_answer(Write::CreateTunnel);
    let lost = api.create_tunnel("cfgw-one").await.unwrap_err();
    assert_eq!(lost.kind, PortErrorKind::Unavailable);
    assert_eq!(api.tunnels("cfgw-one").await.unwrap().len(), 1);

    cloudflare.lose_the_answer(Write::ChangeRecords);
    let lost = kind_of(api.change_records(&zone, &posting([cname("app")]))).await;
    assert_eq!(lost, PortErrorKind::Unavailable);
    assert_eq!(data(&*api, &zone).await, [cname("app")]);
}
