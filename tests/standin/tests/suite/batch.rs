//! Many changes of records in one call.

use serde_json::{Value, json};
use standin::cloud::Plan;

use crate::client::{Answer, Site};

fn cname(name: &str) -> Value {
    json!({"type": "CNAME", "name": name, "content": "target.org", "proxied": true})
}

async fn batch(site: &Site, body: Value) -> Answer {
    site.post(&site.records("/batch"), body).await
}

fn names(site: &Site) -> Vec<String> {
    let records = site.cloud().records(&site.zone);
    let mut names: Vec<String> = records
        .iter()
        .map(|r| format!("{} {}", r.name.split('.').next().unwrap(), r.content))
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn deletes_come_before_patches_before_puts_before_posts() {
    let site = Site::start().await;
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.push(site.record(cname(name)).await["id"].clone());
    }
    // Each step needs the one before it: a goes, b becomes a, c becomes b, and c is made anew.
    let answer = batch(
        &site,
        json!({
            "posts": [cname("c")],
            "puts": [{"id": ids[2], "type": "CNAME", "name": "b", "content": "put.org"}],
            "patches": [{"id": ids[1], "name": "a", "content": "patched.org"}],
            "deletes": [{"id": ids[0]}],
        }),
    )
    .await;
    let result = answer.result();
    assert_eq!(result["deletes"][0]["name"], "a.example.com");
    assert_eq!(result["patches"][0]["name"], "a.example.com");
    assert_eq!(result["puts"][0]["id"], ids[2]);
    assert_eq!(result["posts"][0]["name"], "c.example.com");
    assert_eq!(names(&site), ["a patched.org", "b put.org", "c target.org"]);
}

#[tokio::test]
async fn a_batch_with_one_bad_operation_changes_nothing() {
    let site = Site::start().await;
    let kept = site.record(cname("kept")).await;
    let before = site.cloud().records(&site.zone);
    let unknown = "0".repeat(32);
    for (body, refusal) in [
        (
            json!({"deletes": [{"id": kept["id"]}], "posts": [cname("new"), cname("new")]}),
            (400, 81_058),
        ),
        (
            json!({"posts": [cname("new")], "deletes": [{"id": unknown}]}),
            (404, 81_044),
        ),
        (
            json!({"deletes": [{"id": kept["id"]}], "patches": [{"id": kept["id"], "ttl": 60}]}),
            (404, 81_044),
        ),
        (
            json!({"posts": [cname("new"), {"type": "A"}]}),
            (400, 1_004),
        ),
        (json!({"posts": {}}), (400, 9_207)),
        (json!({"deletes": [{}]}), (400, 1_004)),
    ] {
        assert_eq!(
            batch(&site, body.clone()).await.refusal(),
            refusal,
            "{body}"
        );
        assert_eq!(site.cloud().records(&site.zone), before, "{body}");
    }
}

#[tokio::test]
async fn a_batch_has_as_many_operations_as_the_plan_allows() {
    for (plan, limit) in [(Plan::Free, 200), (Plan::Paid, 3_500)] {
        let site = Site::with_plan(plan).await;
        let posts =
            |count: usize| -> Value { (0..count).map(|n| cname(&format!("n{n}"))).collect() };
        let refused = batch(&site, json!({"posts": posts(limit + 1)})).await;
        assert_eq!(refused.refusal(), (400, 1_004));
        assert!(site.cloud().records(&site.zone).is_empty());
        batch(&site, json!({"posts": posts(limit)})).await.result();
        assert_eq!(site.cloud().records(&site.zone).len(), limit);
    }
}
