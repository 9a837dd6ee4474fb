//! Lists come whole or not at all.

use domain::ports::PortErrorKind as Kind;
use serde_json::{Value, json};
use wiremock::matchers::query_param;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::*;

fn record(id: u64) -> Value {
    json!({ "id": format!("r{id}"), "name": format!("n{id}.example.com"), "type": "A", "content": "192.0.2.1" })
}

fn page(number: u64, ids: std::ops::Range<u64>, total: u64) -> ResponseTemplate {
    let items: Vec<_> = ids.map(record).collect();
    ResponseTemplate::new(200).set_body_json(json!({
        "success": true,
        "result_info": { "page": number, "per_page": 3, "count": items.len(), "total_count": total },
        "result": items,
    }))
}

async fn serving(pages: Vec<ResponseTemplate>) -> MockServer {
    let server = MockServer::start().await;
    for (i, page) in pages.into_iter().enumerate() {
        let number = (i + 1).to_string();
        Mock::given(query_param("page", number))
            .respond_with(page)
            .mount(&server)
            .await;
    }
    server
}

#[tokio::test]
async fn all_pages_are_read_in_order_and_no_more() {
    for (pages, expected) in [
        (vec![page(1, 0..0, 0)], 0),
        (vec![page(1, 0..3, 3)], 3),
        (vec![page(1, 0..3, 5), page(2, 3..5, 5)], 5),
        (
            vec![page(1, 0..3, 9), page(2, 3..6, 9), page(3, 6..9, 9)],
            9,
        ),
    ] {
        let requests = pages.len();
        let server = serving(pages).await;
        let records = api(&server).records(&zone_id()).await.unwrap();
        let ids: Vec<_> = records.iter().map(|r| r.id.as_str().to_owned()).collect();
        let wanted: Vec<_> = (0..expected).map(|i| format!("r{i}")).collect();
        assert_eq!(ids, wanted);
        assert_eq!(server.received_requests().await.unwrap().len(), requests);
    }
}

#[tokio::test]
async fn pages_that_do_not_fit_together_are_an_error_and_no_shorter_list() {
    let cut =
        ResponseTemplate::new(200).set_body_json(json!({ "success": true, "result": [record(0)] }));
    for (what, pages, kind, words) in [
        (
            "a page that shrank",
            vec![page(1, 0..3, 6), page(2, 3..4, 6), page(3, 4..4, 6)],
            Kind::Unavailable,
            "page 3 is empty after 4 of 6",
        ),
        (
            "a list that shrank",
            vec![page(1, 0..3, 6), page(2, 3..5, 5)],
            Kind::Unavailable,
            "there were 6 items, then 5",
        ),
        (
            "a list that grew",
            vec![page(1, 0..3, 5), page(2, 3..6, 6)],
            Kind::Unavailable,
            "there were 5 items, then 6",
        ),
        (
            "an item that moved",
            vec![page(1, 0..3, 5), page(2, 2..4, 5)],
            Kind::Unavailable,
            "page 2 repeats r2",
        ),
        (
            "the same page again",
            vec![page(1, 0..3, 6), page(1, 0..3, 6)],
            Kind::Unavailable,
            "page 2 was asked for, page 1 came",
        ),
        (
            "no page information",
            vec![cut],
            Kind::Unavailable,
            "does not say how many",
        ),
        (
            "a page that fails",
            vec![page(1, 0..3, 6), no(500, 1, "broken")],
            Kind::Unavailable,
            "500: 1 broken",
        ),
        (
            "a page that is not there",
            vec![page(1, 0..3, 6)],
            Kind::NotFound,
            "404",
        ),
    ] {
        let server = serving(pages).await;
        let error = expect_kind(api(&server).records(&zone_id()).await, kind, what);
        assert!(error.message.contains(words), "{what}: {error}");
    }
}
