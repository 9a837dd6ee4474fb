//! What goes wrong on demand.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use standin::cloud::{CallMatch, Effect, Failure, Fault, ListLag, Stage};

use crate::client::{Site, TOKEN};

fn cname(name: &str) -> Value {
    json!({"type": "CNAME", "name": name, "content": "target.org", "proxied": true})
}

#[tokio::test]
async fn a_failed_call_has_changed_something_or_not_as_told() {
    let bearer = format!("Bearer {TOKEN}");
    for (stage, records) in [(Stage::BeforeCommit, 0), (Stage::AfterCommit, 1)] {
        for failure in [
            Failure::ServerError,
            Failure::CutConnection,
            Failure::Silence,
        ] {
            let site = Site::start().await;
            site.cloud().inject(Fault {
                on: CallMatch::next("POST", "/dns_records"),
                effect: Effect::Fail { stage, failure },
            });
            let path = site.records("");
            let call = site.call_as(&bearer, "POST", &path, Some(cname("app")));
            let patience = match failure {
                Failure::Silence => Duration::from_millis(500),
                _ => Duration::from_secs(30),
            };
            let seen = tokio::time::timeout(patience, call).await;
            match (failure, seen) {
                (Failure::ServerError, Ok(Ok(answer))) => assert_eq!(answer.status, 500),
                (Failure::CutConnection, Ok(Err(error))) => assert!(error.is_request(), "{error}"),
                (Failure::Silence, Err(_)) => {}
                (_, seen) => panic!("{failure:?} looked like {seen:?}"),
            }
            let there = site.cloud().records(&site.zone).len();
            assert_eq!(there, records, "{stage:?} {failure:?}");
            let status = site.cloud().calls()[0].status;
            assert_eq!(status.is_some(), failure == Failure::ServerError);
        }
    }
}

#[tokio::test]
async fn a_call_can_be_sent_away_with_retry_after() {
    let site = Site::start().await;
    site.cloud().inject(Fault {
        on: CallMatch::default(),
        effect: Effect::RateLimited { retry_after: 7 },
    });
    let answer = site.get("/zones").await;
    assert_eq!(answer.refusal(), (429, 971));
    assert_eq!(answer.retry_after.as_deref(), Some("7"));
    assert_eq!(site.get("/zones").await.status, 200);
}

#[tokio::test]
async fn a_list_can_miss_a_page_or_miscount() {
    let site = Site::start().await;
    site.record(cname("app")).await;
    for effect in [Effect::EmptyPage, Effect::TotalCount(999)] {
        let on = CallMatch::next("GET", "/dns_records");
        site.cloud().inject(Fault { on, effect });
    }
    let twice: Vec<_> = [
        site.get(&site.records("")).await,
        site.get(&site.records("")).await,
    ]
    .iter()
    .map(|answer| {
        let items = answer.result().as_array().unwrap().len();
        (items, answer.body["result_info"]["total_count"].clone())
    })
    .collect();
    // Both faults count the same calls; the one set first hits the first.
    assert_eq!(twice[0], (0, json!(1)));
    assert_eq!(twice[1], (1, json!(1)));
    site.cloud().clear_faults();
    site.cloud().inject(Fault {
        on: CallMatch::default(),
        effect: Effect::TotalCount(999),
    });
    let answer = site.get(&site.records("")).await;
    assert_eq!(answer.body["result_info"]["total_count"], 999);
    assert_eq!(answer.body["result_info"]["total_pages"], 10);
}

#[tokio::test]
async fn an_answer_can_be_slow() {
    let site = Site::start().await;
    site.cloud().inject(Fault {
        on: CallMatch::default(),
        effect: Effect::Slow { milliseconds: 300 },
    });
    let begun = Instant::now();
    assert_eq!(site.get("/zones").await.status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn lists_show_writes_late_while_single_reads_do_not() {
    let site = Site::start().await;
    site.cloud().set_list_lag(ListLag::Reads(2));
    let record = site.record(cname("app")).await;
    let id = record["id"].as_str().unwrap();
    assert_eq!(site.get(&site.records(&format!("/{id}"))).await.status, 200);
    let tunnel = site.tunnel("one").await;
    let one = site.tunnels(&format!("/{tunnel}"));
    assert_eq!(site.get(&one).await.status, 200);
    for path in [site.records(""), site.tunnels("")] {
        let mut counts = Vec::new();
        for _ in 0..3 {
            counts.push(site.get(&path).await.result().as_array().unwrap().len());
        }
        assert_eq!(counts, [0, 0, 1], "{path}");
    }
    site.cloud().set_list_lag(ListLag::Milliseconds(200));
    let begun = Instant::now();
    site.record(cname("late")).await;
    loop {
        let count = site
            .get(&site.records(""))
            .await
            .result()
            .as_array()
            .unwrap()
            .len();
        if count == 2 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "never visible");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(begun.elapsed() >= Duration::from_millis(200));
}
