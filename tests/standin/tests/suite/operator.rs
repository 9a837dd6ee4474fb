//! The pages under `/standin`.

use serde_json::{Value, json};

use crate::client::{Site, TOKEN};

async fn fetch(site: &Site, path: &str) -> String {
    let url = format!("{}{path}", site.standin.operator_url());
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn every_call_is_in_the_log_without_secrets() {
    let site = Site::start().await;
    site.tunnel("one").await;
    site.get("/zones?name=example.com").await;
    site.call_as("Bearer nobody", "GET", "/zones", None)
        .await
        .unwrap();
    let text = fetch(&site, "calls").await;
    assert!(!text.contains(TOKEN), "{text}");
    let calls: Vec<Value> = serde_json::from_str(&text).unwrap();
    let shown: Vec<Value> = calls
        .iter()
        .map(|c| {
            json!([
                c["n"],
                c["method"],
                c["path"],
                c["query"],
                c["status"],
                c["write"]
            ])
        })
        .collect();
    assert_eq!(
        shown,
        [
            json!([1, "POST", site.tunnels(""), "", 200, true]),
            json!([2, "GET", "/zones", "name=example.com", 200, false]),
            json!([3, "GET", "/zones", "", 400, false]),
        ]
    );
    assert!(calls[0]["token"].is_string());
    assert!(calls[2]["token"].is_null());
    assert_eq!(site.cloud().writes().len(), 1);
    site.cloud().forget_calls();
    assert!(site.cloud().calls().is_empty());
}

#[tokio::test]
async fn state_and_page_show_tunnels_and_records_without_secrets() {
    let site = Site::start().await;
    let id = site.tunnel("one").await;
    let content = format!("{id}.cfargotunnel.com");
    let body = json!({
        "type": "CNAME", "name": "app", "content": content, "proxied": true,
        "comment": "<b>mark</b>",
    });
    site.record(body).await;
    let secret = site.cloud().tunnels()[0].secret.to_base64();
    let state: Value = serde_json::from_str(&fetch(&site, "state").await).unwrap();
    assert_eq!(state["tunnels"][0]["address"], "127.64.0.1");
    assert_eq!(state["zones"][0]["records"][0]["name"], "app.example.com");
    let page = fetch(&site, "").await;
    assert!(
        page.contains("app.example.com") && page.contains("&lt;b&gt;mark"),
        "{page}"
    );
    for text in [state.to_string(), page] {
        assert!(!text.contains(&secret) && !text.contains(TOKEN));
    }
}

#[tokio::test]
async fn faults_are_set_and_cleared_over_http() {
    let site = Site::start().await;
    let http = reqwest::Client::new();
    let url = |path: &str| format!("{}{path}", site.standin.operator_url());
    let fault = json!({"on": {"path": "/zones"}, "effect": {"rate_limited": {"retry_after": 1}}});
    let set = http.post(url("faults")).json(&fault).send().await.unwrap();
    assert_eq!(set.status(), 204);
    assert_eq!(site.get("/zones").await.refusal(), (429, 971));
    let listed: Value = serde_json::from_str(&fetch(&site, "faults").await).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    http.delete(url("faults")).send().await.unwrap();
    assert!(site.cloud().faults().is_empty());

    let lag = http.put(url("list-lag")).json(&json!({"reads": 1}));
    assert_eq!(lag.send().await.unwrap().status(), 204);
    let limit = json!({"calls": 0, "window_milliseconds": 1000});
    let limit = http.put(url("rate-limit")).json(&limit);
    assert_eq!(limit.send().await.unwrap().status(), 204);
    assert_eq!(site.get("/zones").await.refusal(), (429, 971));
}

#[tokio::test]
async fn connections_can_be_pretended_without_a_connector() {
    let site = Site::start().await;
    let tunnel = site.tunnel("one").await;
    let connector = uuid::Uuid::new_v4();
    let answer = reqwest::Client::new()
        .post(format!("{}connections", site.standin.operator_url()))
        .json(&json!({ "tunnel": tunnel, "connector": connector, "count": 4 }))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 204);
    let listed = site
        .get(&site.tunnels(&format!("/{tunnel}/connections")))
        .await;
    assert_eq!(listed.result()[0]["id"], connector.to_string());
    assert_eq!(listed.result()[0]["conns"].as_array().unwrap().len(), 4);
    let shown = site.get(&site.tunnels(&format!("/{tunnel}"))).await;
    assert_eq!(shown.result()["status"], "healthy");
}
