//! `/accounts/{account}/cfd_tunnel`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use standin::ACCOUNT_ID;
use uuid::Uuid;

use crate::client::Site;

#[tokio::test]
async fn a_tunnel_is_made_read_renamed_and_deleted() {
    let site = Site::start().await;
    let body = json!({"name": "one", "config_src": "cloudflare"});
    let made = site.post(&site.tunnels(""), body).await;
    let tunnel = made.result();
    assert_eq!(tunnel["name"], "one");
    assert_eq!(tunnel["config_src"], "cloudflare");
    assert_eq!(tunnel["account_tag"], ACCOUNT_ID);
    assert_eq!(tunnel["status"], "inactive");
    assert_eq!(tunnel["deleted_at"], Value::Null);
    let path = site.tunnels(&format!("/{}", tunnel["id"].as_str().unwrap()));

    let renamed = site
        .call("PATCH", &path, Some(json!({"name": "two"})))
        .await;
    assert_eq!(renamed.result()["name"], "two");
    assert_eq!(site.get(&path).await.result()["name"], "two");

    let deleted = site.call("DELETE", &path, None).await;
    assert!(deleted.result()["deleted_at"].is_string());
    assert!(site.get(&path).await.result()["deleted_at"].is_string());
    let again = site.call("DELETE", &path, None).await;
    assert_eq!(again.refusal(), (404, 1_003));
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_refused() {
    let site = Site::start().await;
    let short = STANDARD.encode([1; 31]);
    for (body, refusal) in [
        (json!({}), (400, 1_002)),
        (json!({"name": ""}), (400, 1_002)),
        (json!({"name": 7}), (400, 9_207)),
        (json!([]), (400, 9_207)),
        (
            json!({"name": "x", "config_src": "elsewhere"}),
            (400, 1_001),
        ),
        (json!({"name": "x", "tunnel_secret": "?"}), (400, 1_001)),
        (json!({"name": "x", "tunnel_secret": short}), (400, 1_001)),
    ] {
        let answer = site.post(&site.tunnels(""), body.clone()).await;
        assert_eq!(answer.refusal(), refusal, "{body}");
    }
    assert!(site.cloud().tunnels().is_empty());
}

#[tokio::test]
async fn a_name_is_taken_until_its_tunnel_is_deleted() {
    let site = Site::start().await;
    let one = site.tunnel("one").await;
    let two = site.tunnel("two").await;
    let taken = site.post(&site.tunnels(""), json!({"name": "one"})).await;
    assert_eq!(taken.refusal(), (409, 1_013));
    let path = site.tunnels(&format!("/{two}"));
    let renamed = site
        .call("PATCH", &path, Some(json!({"name": "one"})))
        .await;
    assert_eq!(renamed.refusal(), (409, 1_013));
    site.call("DELETE", &site.tunnels(&format!("/{one}")), None)
        .await
        .result();
    site.tunnel("one").await;
}

#[tokio::test]
async fn tunnels_are_listed_in_pages_and_by_filter() {
    let site = Site::start().await;
    for name in ["app-a", "app-b", "app-old", "db-a"] {
        site.tunnel(name).await;
    }
    let first = site
        .cloud()
        .tunnels()
        .iter()
        .find(|t| t.name == "app-a")
        .unwrap()
        .id;
    let old = site
        .cloud()
        .tunnels()
        .iter()
        .find(|t| t.name == "app-old")
        .unwrap()
        .id;
    site.call("DELETE", &site.tunnels(&format!("/{old}")), None)
        .await
        .result();
    for (query, names) in [
        ("", vec!["app-a", "app-b", "app-old", "db-a"]),
        ("?is_deleted=false", vec!["app-a", "app-b", "db-a"]),
        ("?is_deleted=true", vec!["app-old"]),
        ("?name=app-a&is_deleted=false", vec!["app-a"]),
        ("?name=app", vec![]),
        (
            "?include_prefix=app-&is_deleted=false",
            vec!["app-a", "app-b"],
        ),
        ("?exclude_prefix=app-", vec!["db-a"]),
        (&format!("?uuid={first}"), vec!["app-a"]),
        ("?status=healthy", vec![]),
    ] {
        let answer = site.get(&site.tunnels(query)).await;
        let listed = answer.result().as_array().unwrap();
        let mut listed: Vec<&str> = listed.iter().map(|t| t["name"].as_str().unwrap()).collect();
        listed.sort_unstable();
        assert_eq!(listed, names, "{query}");
        assert_eq!(
            answer.body["result_info"]["total_count"],
            names.len(),
            "{query}"
        );
    }
    let mut seen = Vec::new();
    for page in 1..=3 {
        let answer = site
            .get(&site.tunnels(&format!("?per_page=2&page={page}")))
            .await;
        let listed = answer.result().as_array().unwrap().clone();
        seen.extend(
            listed
                .into_iter()
                .map(|t| t["name"].as_str().unwrap().to_owned()),
        );
    }
    assert_eq!(seen, ["db-a", "app-old", "app-b", "app-a"]);
    let nonsense = site.get(&site.tunnels("?is_deleted=perhaps")).await;
    assert_eq!(nonsense.refusal(), (400, 1_001));
}

#[tokio::test]
async fn the_token_opens_the_tunnel_until_the_secret_changes() {
    let site = Site::start().await;
    let id = site.tunnel("one").await;
    let uuid = Uuid::try_parse(&id).unwrap();
    let path = site.tunnels(&format!("/{id}"));
    let secret_in = |answer: &crate::client::Answer| {
        let token = STANDARD.decode(answer.result().as_str().unwrap()).unwrap();
        let token: Value = serde_json::from_slice(&token).unwrap();
        assert_eq!(token["a"], ACCOUNT_ID);
        assert_eq!(token["t"], id.as_str());
        STANDARD.decode(token["s"].as_str().unwrap()).unwrap()
    };
    let old = secret_in(&site.get(&format!("{path}/token")).await);
    assert_eq!(old.len(), 32);
    let opened = site.cloud().authenticate(ACCOUNT_ID, uuid, &old).unwrap();
    assert!(opened.remotely_managed);

    let new = [7; 32];
    let change = json!({"tunnel_secret": STANDARD.encode(new)});
    site.call("PATCH", &path, Some(change)).await.result();
    assert_eq!(secret_in(&site.get(&format!("{path}/token")).await), new);
    let table = [
        (ACCOUNT_ID, uuid, new.to_vec(), true),
        (ACCOUNT_ID, uuid, old, false),
        ("other", uuid, new.to_vec(), false),
        (ACCOUNT_ID, Uuid::new_v4(), new.to_vec(), false),
    ];
    for (account, tunnel, secret, accepted) in table {
        match site.cloud().authenticate(account, tunnel, &secret) {
            Ok(_) => assert!(accepted, "{account} {tunnel}"),
            Err(refusal) => {
                assert!(!accepted, "{refusal}");
                assert!(refusal.cause.starts_with("Unauthorized"), "{refusal}");
            }
        }
    }
}

#[tokio::test]
async fn a_configuration_is_checked_versioned_and_told_to_the_edge() {
    let site = Site::start().await;
    let id = site.tunnel("one").await;
    let uuid = Uuid::try_parse(&id).unwrap();
    let path = site.tunnels(&format!("/{id}/configurations"));
    let empty = site.get(&path).await;
    assert_eq!(empty.result()["version"], 0);
    assert_eq!(empty.result()["config"], Value::Null);

    let mut changes = site.cloud().watch();
    changes.mark_unchanged();
    let good = json!({"ingress": [
        {"hostname": "app.example.com", "service": "http://app:80"},
        {"service": "http_status:404"},
    ]});
    for version in 1..=2 {
        let put = site.call("PUT", &path, Some(json!({"config": good}))).await;
        assert_eq!(put.result()["version"], version);
        assert!(changes.has_changed().unwrap());
        let told = site.cloud().configuration(uuid).unwrap();
        assert_eq!((told.version, told.document), (version, good.clone()));
    }
    assert_eq!(site.get(&path).await.result()["config"], good);

    for bad in [
        json!({}),
        json!({"config": []}),
        json!({"config": {"ingress": [{"hostname": "a.com", "service": "http://a"}]}}),
        json!({"config": {"ingress": [{"service": "nonsense"}]}}),
    ] {
        let answer = site.call("PUT", &path, Some(bad.clone())).await;
        assert_eq!(answer.refusal(), (400, 1_056), "{bad}");
    }
    assert_eq!(site.cloud().configuration(uuid).unwrap().version, 2);
}

#[tokio::test]
async fn tunnels_are_listed_by_when_they_existed() {
    let site = Site::start().await;
    let kept = site.tunnel("kept").await;
    let gone = site.tunnel("gone").await;
    site.call("DELETE", &site.tunnels(&format!("/{gone}")), None)
        .await
        .result();
    for (time, expected) in [
        ("2001-01-01T00:00:00Z", vec![]),
        ("2999-01-01T00:00:00Z", vec![kept.as_str()]),
    ] {
        let answer = site
            .get(&site.tunnels(&format!("?existed_at={time}")))
            .await;
        let shown = answer.result().as_array().unwrap().clone();
        let ids: Vec<_> = shown.iter().map(|t| t["id"].as_str().unwrap()).collect();
        assert_eq!(ids, expected, "{time}");
    }
    let answer = site.get(&site.tunnels("?existed_at=yesterday")).await;
    assert_eq!(answer.refusal(), (400, 1_001));
}
