//! Tokens, permissions, routes and limits.

use standin::ACCOUNT_ID;
use standin::cloud::Permission::{DnsEdit, DnsRead, TunnelEdit, TunnelRead, ZoneRead};
use standin::cloud::{ApiToken, RateLimit, TokenStatus};

use crate::client::{Site, ZONE};

const UNKNOWN: &str = "Bearer 0123456789012345678901234567890123456789";

#[tokio::test]
async fn a_call_without_a_token_that_works_is_refused() {
    let site = Site::start().await;
    let all = || ApiToken::all_powerful(ACCOUNT_ID, "disabled");
    site.cloud()
        .add_token(all().in_state(TokenStatus::Disabled));
    let user = "/user/tokens/verify";
    let zones = "/zones";
    let tunnels = &site.tunnels("");
    for (authorization, path, refusal) in [
        ("", zones, (400, 9_106)),
        ("", user, (400, 1_001)),
        ("Token abc", zones, (400, 6_003)),
        ("Bearer abc", user, (400, 6_003)),
        (UNKNOWN, user, (401, 1_000)),
        (UNKNOWN, zones, (403, 9_109)),
        (UNKNOWN, tunnels, (401, 10_000)),
        ("Bearer disabled", zones, (403, 9_109)),
        ("Bearer disabled", tunnels, (401, 10_000)),
    ] {
        let answer = site
            .call_as(authorization, "GET", path, None)
            .await
            .unwrap();
        assert_eq!(answer.refusal(), refusal, "{authorization:?} {path}");
    }
    let malformed = site
        .call_as("Bearer abc", "GET", zones, None)
        .await
        .unwrap();
    assert_eq!(malformed.body["errors"][0]["error_chain"][0]["code"], 6_111);
}

#[tokio::test]
async fn verifying_a_token_tells_its_state() {
    let site = Site::start().await;
    let token = |value: &str| ApiToken::all_powerful(ACCOUNT_ID, value);
    let cloud = site.cloud();
    cloud.add_token(token("off").in_state(TokenStatus::Disabled));
    cloud.add_token(token("old").in_state(TokenStatus::Expired));
    cloud.add_token(token("of-account").of_the_account());
    let user = "/user/tokens/verify".to_owned();
    let account = format!("/accounts/{ACCOUNT_ID}/tokens/verify");
    for (token, path, status) in [
        ("full-rights", &user, Some("active")),
        ("off", &user, Some("disabled")),
        ("old", &user, Some("expired")),
        ("of-account", &user, None),
        ("of-account", &account, Some("active")),
        ("full-rights", &account, None),
    ] {
        let bearer = format!("Bearer {token}");
        let answer = site.call_as(&bearer, "GET", path, None).await.unwrap();
        match status {
            Some(status) => assert_eq!(answer.result()["status"], status, "{token}"),
            None => assert_eq!(answer.refusal(), (401, 1_000), "{token} {path}"),
        }
        let says_active = answer.body["messages"][0]["code"] == 10_000;
        assert_eq!(says_active, status == Some("active"), "{token}");
    }
}

#[tokio::test]
async fn a_token_does_only_what_it_may() {
    let site = Site::start().await;
    let (tunnels, records) = (site.tunnels(""), site.records(""));
    let zone = format!("/zones/{}", site.zone);
    let table = [
        (vec![TunnelRead], "GET", &tunnels, None),
        (vec![TunnelEdit], "GET", &tunnels, None),
        (vec![TunnelRead], "POST", &tunnels, Some((403, 10_000))),
        (vec![DnsEdit], "GET", &tunnels, Some((403, 10_000))),
        (vec![DnsRead], "GET", &records, None),
        (vec![DnsEdit], "GET", &records, None),
        (vec![DnsRead], "POST", &records, Some((403, 10_000))),
        (vec![ZoneRead], "GET", &records, Some((403, 10_000))),
        (vec![ZoneRead], "GET", &zone, None),
        (vec![DnsEdit], "GET", &zone, Some((403, 9_109))),
    ];
    for (n, (permissions, method, path, refusal)) in table.into_iter().enumerate() {
        let value = format!("token-{n}");
        let token = ApiToken::all_powerful(ACCOUNT_ID, value.as_str());
        site.cloud().add_token(token.allowed(permissions.clone()));
        let bearer = format!("Bearer {value}");
        let answer = site.call_as(&bearer, method, path, None).await.unwrap();
        match refusal {
            Some(refusal) => {
                assert_eq!(answer.refusal(), refusal, "{permissions:?} {method} {path}");
            }
            None => assert_eq!(answer.status, 200, "{permissions:?} {method} {path}"),
        }
    }
}

#[tokio::test]
async fn a_token_for_some_zones_neither_sees_nor_touches_others() {
    let site = Site::start().await;
    let mine = site.cloud().add_zone(ACCOUNT_ID, "mine.org");
    site.cloud()
        .add_zone("ffffffffffffffffffffffffffffffff", "foreign.org");
    let token = ApiToken::all_powerful(ACCOUNT_ID, "one-zone").only_zones([mine.clone()]);
    site.cloud().add_token(token);
    let seen = |names: &[&str], answer: &crate::client::Answer| {
        let listed = answer.result().as_array().unwrap();
        let listed: Vec<&str> = listed.iter().map(|z| z["name"].as_str().unwrap()).collect();
        assert_eq!(listed, names);
    };
    let listed = site.call_as("Bearer one-zone", "GET", "/zones", None).await;
    seen(&["mine.org"], &listed.unwrap());
    seen(&[ZONE, "mine.org"], &site.get("/zones").await);
    let own = format!("/zones/{mine}/dns_records");
    let answer = site
        .call_as("Bearer one-zone", "GET", &own, None)
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
    let other = site.records("");
    let answer = site
        .call_as("Bearer one-zone", "GET", &other, None)
        .await
        .unwrap();
    assert_eq!(answer.refusal(), (403, 10_000));
}

#[tokio::test]
async fn paths_methods_and_ids_that_are_not_there_are_refused() {
    let site = Site::start().await;
    let unknown = uuid::Uuid::new_v4();
    for (method, path, refusal) in [
        ("GET", "/nothing".to_owned(), (404, 7_003)),
        ("GET", "/zones/short".to_owned(), (404, 7_003)),
        ("GET", "/zones/short/dns_records".to_owned(), (404, 7_003)),
        ("GET", "/accounts/short/cfd_tunnel".to_owned(), (404, 7_003)),
        ("GET", site.tunnels("/not-a-uuid"), (404, 7_003)),
        ("GET", site.records("/not-an-id"), (404, 7_003)),
        ("GET", site.tunnels(&format!("/{unknown}")), (404, 1_003)),
        (
            "GET",
            site.records(&format!("/{}", unknown.simple())),
            (404, 81_044),
        ),
        ("GET", format!("/zones/{}", unknown.simple()), (403, 9_109)),
        (
            "GET",
            format!("/zones/{}/dns_records", unknown.simple()),
            (403, 10_000),
        ),
        ("PUT", site.tunnels(""), (405, 10_405)),
        ("DELETE", site.records("/batch"), (405, 10_405)),
    ] {
        let answer = site.call(method, &path, None).await;
        assert_eq!(answer.refusal(), refusal, "{method} {path}");
    }
    let second = &site.get("/nothing").await.body["errors"][1]["code"];
    assert_eq!(*second, 7_000);
}

#[tokio::test]
async fn a_token_over_its_rate_limit_is_told_when_to_come_back() {
    let site = Site::start().await;
    site.cloud().set_rate_limit(RateLimit {
        calls: 2,
        window_milliseconds: 60_000,
    });
    for refused in [false, false, true, true] {
        let answer = site.get("/zones").await;
        if refused {
            assert_eq!(answer.refusal(), (429, 971));
            let seconds: u64 = answer.retry_after.unwrap().parse().unwrap();
            assert!((1..=60).contains(&seconds), "{seconds}");
        } else {
            assert_eq!(answer.status, 200);
        }
    }
}
