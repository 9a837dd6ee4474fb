//! `/zones/{zone}/dns_records`, one record at a time.

use serde_json::{Value, json};
use standin::cloud::Plan;

use crate::client::Site;

fn cname(name: &str) -> Value {
    json!({"type": "CNAME", "name": name, "content": "target.org", "proxied": true})
}

#[tokio::test]
async fn a_record_is_kept_in_normal_form() {
    let site = Site::start().await;
    let record = site
        .record(json!({
            "type": "cname", "name": "App", "content": "Target.ORG.", "proxied": true,
            "ttl": 3600, "comment": "mine",
        }))
        .await;
    for (field, value) in [
        ("type", json!("CNAME")),
        ("name", json!("app.example.com")),
        ("content", json!("target.org")),
        ("ttl", json!(1)),
        ("proxied", json!(true)),
        ("proxiable", json!(true)),
        ("comment", json!("mine")),
        ("tags", json!([])),
        ("settings", json!({})),
        ("meta", json!({})),
    ] {
        assert_eq!(record[field], value, "{field}");
    }
    for time in ["created_on", "modified_on", "comment_modified_on"] {
        assert!(record[time].is_string(), "{time}");
    }
    let id = record["id"].as_str().unwrap();
    let read = site.get(&site.records(&format!("/{id}"))).await;
    assert_eq!(*read.result(), record);
}

#[tokio::test]
async fn put_replaces_and_patch_keeps_what_is_not_given() {
    let site = Site::start().await;
    let mut body = cname("app");
    body["comment"] = json!("mine");
    let record = site.record(body).await;
    let path = site.records(&format!("/{}", record["id"].as_str().unwrap()));

    let patch = json!({"content": "other.org"});
    let patched = site.call("PATCH", &path, Some(patch)).await;
    assert_eq!(patched.result()["content"], "other.org");
    assert_eq!(patched.result()["comment"], "mine");
    assert_eq!(
        patched.result()["comment_modified_on"],
        record["comment_modified_on"]
    );
    assert_eq!(patched.result()["created_on"], record["created_on"]);

    let without = site
        .call("PATCH", &path, Some(json!({"comment": null})))
        .await;
    assert_eq!(without.result()["comment"], Value::Null);

    let put = json!({"type": "A", "name": "app", "content": "192.0.2.1"});
    let put = site.call("PUT", &path, Some(put)).await;
    let (id, kind) = (&put.result()["id"], &put.result()["type"]);
    assert_eq!((id, kind), (&record["id"], &json!("A")));
    assert_eq!(put.result()["proxied"], false);

    let deleted = site.call("DELETE", &path, None).await;
    assert_eq!(*deleted.result(), json!({"id": record["id"]}));
    assert_eq!(site.get(&path).await.refusal(), (404, 81_044));
    let again = site.call("DELETE", &path, None).await;
    assert_eq!(again.refusal(), (404, 81_044));
}

#[tokio::test]
async fn a_record_that_breaks_a_rule_is_refused() {
    let site = Site::start().await;
    site.record(cname("taken")).await;
    site.record(json!({"type": "A", "name": "addr", "content": "192.0.2.1"}))
        .await;
    let a = |content: &str| json!({"type": "A", "name": "addr", "content": content});
    let with = |field: &str, value: Value| {
        let mut body = cname("new");
        body[field] = value;
        body
    };
    for (body, code) in [
        (
            json!({"type": "CNAME", "name": "taken", "content": "b.org"}),
            81_053,
        ),
        (
            json!({"type": "CNAME", "name": "addr", "content": "b.org"}),
            81_053,
        ),
        (
            json!({"type": "A", "name": "taken", "content": "192.0.2.9"}),
            81_054,
        ),
        (cname("taken"), 81_058),
        (a("192.0.2.1"), 81_058),
        (
            json!({"type": "A", "name": "addr", "content": "192.0.2.1", "ttl": 300}),
            81_057,
        ),
        (with("tags", json!(["a:b"])), 9_300),
        (with("comment", json!("c".repeat(101))), 9_313),
        (with("ttl", json!("soon")), 9_207),
        (with("proxied", json!("yes")), 9_207),
        (with("name", json!(1)), 9_207),
        (with("name", json!("a b")), 9_000),
        (with("type", json!("BOGUS")), 1_004),
        (with("content", Value::Null), 1_004),
        (with("content", json!("new.example.com")), 9_039),
        (json!({"type": "A", "name": "bad", "content": "x"}), 9_005),
        (
            json!({"type": "AAAA", "name": "bad", "content": "x"}),
            9_006,
        ),
        (
            json!({"type": "TXT", "name": "bad", "content": "x", "proxied": true}),
            9_004,
        ),
        (
            json!({"type": "A", "name": "bad", "content": "192.0.2.1", "ttl": 5}),
            9_021,
        ),
    ] {
        let answer = site.post(&site.records(""), body.clone()).await;
        assert_eq!(answer.refusal(), (400, code), "{body}");
    }
    assert_eq!(site.cloud().records(&site.zone).len(), 2);
}

#[tokio::test]
async fn a_paid_plan_takes_tags_and_longer_comments() {
    let site = Site::with_plan(Plan::Paid).await;
    let mut body = cname("app");
    body["tags"] = json!(["team:edge"]);
    body["comment"] = json!("c".repeat(500));
    let record = site.record(body).await;
    assert_eq!(record["tags"], json!(["team:edge"]));
    assert!(record["tags_modified_on"].is_string());
}

#[tokio::test]
async fn a_full_zone_takes_no_more() {
    let site = Site::start().await;
    site.cloud().set_record_quota(&site.zone, 1);
    site.record(cname("one")).await;
    let answer = site.post(&site.records(""), cname("two")).await;
    assert_eq!(answer.refusal(), (400, 81_045));
}

#[tokio::test]
async fn records_are_filtered_sorted_and_paged() {
    let site = Site::start().await;
    for (name, kind, content, comment) in [
        ("a", "CNAME", "one.org", "team edge"),
        ("b", "CNAME", "two.org", "team mail"),
        ("c", "A", "192.0.2.1", ""),
        ("d", "TXT", "one.org", ""),
    ] {
        let proxied = kind == "CNAME";
        site.record(json!({
            "type": kind, "name": name, "content": content, "comment": comment,
            "proxied": proxied,
        }))
        .await;
    }
    for (query, names) in [
        ("?order=name", "abcd"),
        ("?order=name&direction=desc", "dcba"),
        ("", "cabd"),
        ("?type=CNAME", "ab"),
        ("?type=TXT&content=one.org", "d"),
        ("?name=a.example.com", "a"),
        ("?name.exact=A.example.com", "a"),
        ("?name.startswith=b.", "b"),
        ("?name.endswith=.example.com&order=name", "abcd"),
        ("?name.contains=xample&type=A", "c"),
        ("?content.contains=org&order=name", "abd"),
        ("?comment.contains=TEAM", "ab"),
        ("?comment.exact=team%20edge", "a"),
        ("?comment.present=", "ab"),
        ("?comment.absent=&order=name", "cd"),
        ("?proxied=true", "ab"),
        ("?proxied=false", "cd"),
        ("?search=one.org&order=name", "ad"),
        ("?match=any&name=a.example.com&type=TXT&order=name", "ad"),
        ("?per_page=3&order=name", "abc"),
        ("?per_page=3&page=2&order=name", "d"),
        ("?per_page=9000&order=name", "abcd"),
    ] {
        let answer = site.get(&site.records(query)).await;
        let listed = answer.result().as_array().unwrap();
        let listed: String = listed
            .iter()
            .map(|r| r["name"].as_str().unwrap().chars().next().unwrap())
            .collect();
        assert_eq!(listed, names, "{query}");
    }
    let info = site.get(&site.records("?per_page=9000")).await.body["result_info"].clone();
    assert_eq!(info["per_page"], 5_000);
    for query in ["?order=colour", "?type=BOGUS", "?per_page=0"] {
        let answer = site.get(&site.records(query)).await;
        assert_eq!(answer.refusal(), (400, 1_001), "{query}");
    }
}
