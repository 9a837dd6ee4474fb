//! What each call sends, and what it makes of a good answer.

use adapter_cloudflare::call::{CallKind, CallOutcome, CallReport};
use domain::edge::objects::{Connector, DnsRecord, RecordBatch, Tunnel, TunnelHealth, Zone};
use domain::names::RecordId;
use domain::ports::{BATCH_LIMIT, PortErrorKind};
use serde_json::{Value, json};
use wiremock::matchers::{any, method, path};
use wiremock::{Mock, MockServer};

use crate::support::*;

/// A server that answers everything with this result.
async fn answering(result: &Value) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(yes(result))
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn every_call_is_one_request_of_the_documented_form() {
    for call in every_call() {
        let server = answering(&call.result).await;
        let (api, log) = logged(&settings(base_url(&server)));
        (call.make)(api.as_ref())
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", call.name));

        let requests = server.received_requests().await.unwrap();
        let [request] = requests.as_slice() else {
            panic!("{}: {} requests", call.name, requests.len());
        };
        assert_eq!(request.method.as_str(), call.method, "{}", call.name);
        assert_eq!(
            request.url.path(),
            format!("/client/v4{}", call.path),
            "{}",
            call.name
        );
        let mut query: Vec<_> = request.url.query_pairs().into_owned().collect();
        let mut expected: Vec<_> = call
            .query
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        query.sort();
        expected.sort();
        assert_eq!(query, expected, "{}", call.name);
        let body = (!request.body.is_empty()).then(|| request.body_json::<Value>().unwrap());
        assert_eq!(body, call.body, "{}", call.name);
        assert_eq!(
            request.headers["authorization"],
            format!("Bearer {CANARY}"),
            "{}",
            call.name
        );
        assert!(
            request.headers["user-agent"]
                .to_str()
                .unwrap()
                .starts_with("cfgw/")
        );

        let kind = if call.method == "GET" {
            CallKind::Read
        } else {
            CallKind::Write
        };
        let reported = CallReport {
            name: call.name,
            kind,
            outcome: CallOutcome::Succeeded,
            pause: None,
        };
        assert_eq!(log.take(), [reported]);
    }
}

#[tokio::test]
async fn tunnels_come_with_id_name_and_where_their_document_is() {
    let server = answering(&json!([
        { "id": TUNNEL, "name": "cfgw-default-a", "config_src": "cloudflare", "deleted_at": null, "status": "down" },
        { "id": "11111111-1111-1111-1111-111111111111", "name": "CFGW-other", "remote_config": false, "status": "inactive" },
        { "id": "22222222-2222-2222-2222-222222222222", "name": "somebody-else" },
    ]))
    .await;
    let found = api(&server).tunnels("cfgw-").await.unwrap();
    let tunnel = |id: &str, name: &str, remotely_configured, health| Tunnel {
        id: id.parse().unwrap(),
        name: name.to_owned(),
        remotely_configured,
        health,
    };
    let expected = [
        tunnel(TUNNEL, "cfgw-default-a", true, TunnelHealth::Down),
        tunnel(
            "11111111-1111-1111-1111-111111111111",
            "CFGW-other",
            false,
            TunnelHealth::Inactive,
        ),
    ];
    assert_eq!(found, expected);
    let all = api(&server).tunnels("").await.unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!(all[2].health, TunnelHealth::Unknown);
}

#[tokio::test]
async fn connections_that_are_only_remembered_do_not_count() {
    let gone = json!({ "is_pending_reconnect": true });
    let live = json!({ "is_pending_reconnect": false, "colo_name": "fra01" });
    for (result, expected) in [
        (json!([]), vec![]),
        (Value::Null, vec![]),
        (
            json!([{ "id": "c1", "conns": [live, gone, live] }]),
            vec![("c1", 2)],
        ),
        (
            json!([{ "id": "c1", "conns": [gone] }, { "id": "c2", "conns": null }]),
            vec![("c1", 0), ("c2", 0)],
        ),
    ] {
        let server = answering(&result).await;
        let found = api(&server).connectors(tunnel_id()).await.unwrap();
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(id, connections)| Connector {
                id: id.to_owned(),
                connections,
            })
            .collect();
        assert_eq!(found, expected, "{result}");
    }
}

#[tokio::test]
async fn an_ingress_document_comes_back_as_it_was_put() {
    let server = MockServer::start().await;
    api(&server)
        .configure(tunnel_id(), &document())
        .await
        .unwrap_err();
    let put: Value = server.received_requests().await.unwrap()[0]
        .body_json()
        .unwrap();
    let server = answering(&put).await;
    assert_eq!(
        api(&server).configuration(tunnel_id()).await.unwrap(),
        Some(document())
    );
}

#[tokio::test]
async fn a_tunnel_that_was_never_configured_has_no_document() {
    for result in [
        json!({ "tunnel_id": TUNNEL, "version": 0, "config": null }),
        json!({}),
        Value::Null,
    ] {
        let server = answering(&result).await;
        assert_eq!(
            api(&server).configuration(tunnel_id()).await.unwrap(),
            None,
            "{result}"
        );
    }
}

#[tokio::test]
async fn the_connector_token_is_the_text_of_the_result() {
    let server = answering(&json!("eyJhIjoi")).await;
    assert_eq!(
        api(&server)
            .tunnel_token(tunnel_id())
            .await
            .unwrap()
            .expose(),
        "eyJhIjoi"
    );
}

#[tokio::test]
async fn zone_and_record_names_are_in_lower_case() {
    let server = MockServer::start().await;
    let zones = json!([{ "id": ZONE, "name": "Example.COM", "status": "active" }]);
    Mock::given(path("/client/v4/zones"))
        .respond_with(yes(&zones))
        .mount(&server)
        .await;
    let records = json!([
        { "id": "r1", "name": "*.APP.example.com", "type": "CNAME", "content": "Target.example.net",
          "proxied": true, "ttl": 1, "comment": "a mark" },
        { "id": "r2", "name": "_dmarc.example.com", "type": "TXT", "content": "v=DMARC1",
          "ttl": 300, "comment": null, "tags": [] },
        { "id": "r3", "name": "example.com", "type": "LOC" },
    ]);
    let list = format!("/client/v4/zones/{ZONE}/dns_records");
    Mock::given(path(list))
        .respond_with(yes(&records))
        .mount(&server)
        .await;

    let api = api(&server);
    let zone = Zone::active(zone_id(), "example.com");
    let named = api.zone_named("example.com").await.unwrap();
    assert_eq!(named.as_ref(), Some(&zone));
    assert_eq!(api.zone_named("example.org").await.unwrap(), None);
    assert_eq!(api.zones().await.unwrap(), [zone]);
    let found = api.records(&zone_id()).await.unwrap();
    let fields = |r: &DnsRecord| {
        let d = &r.data;
        format!(
            "{} {} {} {} {} {} {:?}",
            r.id, d.name, d.kind, d.content, d.proxied, d.ttl, d.comment
        )
    };
    assert_eq!(
        found.iter().map(fields).collect::<Vec<_>>(),
        [
            "r1 *.app.example.com CNAME Target.example.net true 1 \"a mark\"",
            "r2 _dmarc.example.com TXT v=DMARC1 false 300 \"\"",
            "r3 example.com LOC  false 1 \"\"",
        ]
    );
}

#[tokio::test]
async fn a_batch_is_sent_whole_or_not_at_all() {
    let batch = |len: usize| RecordBatch {
        deletes: (0..len).map(|i| RecordId::new(format!("r{i}"))).collect(),
        ..RecordBatch::default()
    };
    for (len, requests, accepted) in [
        (0, 0, true),
        (BATCH_LIMIT, 1, true),
        (BATCH_LIMIT + 1, 0, false),
    ] {
        let server = answering(&json!({})).await;
        let outcome = api(&server).change_records(&zone_id(), &batch(len)).await;
        if accepted {
            outcome.unwrap();
        } else {
            expect_kind(outcome, PortErrorKind::Invalid, "a batch over the limit");
        }
        let sent = server.received_requests().await.unwrap();
        assert_eq!(sent.len(), requests, "{len}");
        for request in sent {
            let body: Value = request.body_json().unwrap();
            assert_eq!(
                body.as_object().unwrap().keys().collect::<Vec<_>>(),
                ["deletes"]
            );
        }
    }
}

#[tokio::test]
async fn ids_cannot_lead_to_another_path() {
    let server = answering(&json!([])).await;
    let zone = domain::ZoneId::new("../user/tokens?x=y#");
    api(&server).records(&zone).await.unwrap();
    let request = &server.received_requests().await.unwrap()[0];
    assert_eq!(
        request.url.path(),
        "/client/v4/zones/..%2Fuser%2Ftokens%3Fx=y%23/dns_records"
    );
}

#[tokio::test]
async fn a_token_is_verified_where_it_is_known() {
    let account = format!("/client/v4/accounts/{ACCOUNT}/tokens/verify");
    let status = |word: &str| yes(&json!({ "id": "t", "status": word }));
    let unknown = || no(401, 1000, "Invalid API Token");
    for (user, of_account, expected, words) in [
        (status("active"), unknown(), None, ""),
        (unknown(), status("active"), None, ""),
        (
            status("expired"),
            unknown(),
            Some(PortErrorKind::Unauthenticated),
            "the API token is expired",
        ),
        (
            unknown(),
            status("disabled"),
            Some(PortErrorKind::Unauthenticated),
            "1000 Invalid API Token",
        ),
        (
            unknown(),
            unknown(),
            Some(PortErrorKind::Unauthenticated),
            "1000 Invalid API Token",
        ),
        (
            unknown(),
            no(404, 7003, "no route"),
            Some(PortErrorKind::Unauthenticated),
            "1000 Invalid API Token",
        ),
        (
            unknown(),
            no(500, 1, "broken"),
            Some(PortErrorKind::Unavailable),
            "500: 1 broken",
        ),
        (
            no(500, 1, "broken"),
            status("active"),
            Some(PortErrorKind::Unavailable),
            "500: 1 broken",
        ),
    ] {
        let server = MockServer::start().await;
        let get = || Mock::given(method("GET"));
        get()
            .and(path("/client/v4/user/tokens/verify"))
            .respond_with(user)
            .mount(&server)
            .await;
        get()
            .and(path(account.clone()))
            .respond_with(of_account)
            .mount(&server)
            .await;
        let outcome = api(&server).verify_token().await;
        match expected {
            None => outcome.unwrap(),
            Some(kind) => {
                let error = expect_kind(outcome, kind, words);
                assert!(error.message.contains(words), "{error}");
            }
        }
    }
}
