//! `/zones`.

use standin::ACCOUNT_ID;

use crate::client::{Site, ZONE};

#[tokio::test]
async fn zones_are_listed_in_pages_and_by_filter() {
    let site = Site::start().await;
    for n in 0..59 {
        site.cloud()
            .add_zone(ACCOUNT_ID, &format!("zone{n:02}.org"));
    }
    for (query, shown, total, pages) in [
        ("", 20, 60, 3),
        ("?per_page=50", 50, 60, 2),
        ("?per_page=50&page=2", 10, 60, 2),
        ("?per_page=1000", 50, 60, 2),
        ("?page=9", 0, 60, 3),
        ("?name=example.com", 1, 1, 1),
        ("?name=nothing.org", 0, 0, 0),
        ("?status=pending", 0, 0, 0),
        (&format!("?account.id={ACCOUNT_ID}"), 20, 60, 3),
        ("?account.id=ffffffffffffffffffffffffffffffff", 0, 0, 0),
    ] {
        let answer = site.get(&format!("/zones{query}")).await;
        assert_eq!(answer.result().as_array().unwrap().len(), shown, "{query}");
        let info = &answer.body["result_info"];
        assert_eq!(info["count"], shown, "{query}");
        assert_eq!(info["total_count"], total, "{query}");
        assert_eq!(info["total_pages"], pages, "{query}");
    }
    for query in ["?page=0", "?page=x", "?per_page=-1"] {
        let answer = site.get(&format!("/zones{query}")).await;
        assert_eq!(answer.refusal(), (400, 1_001), "{query}");
    }
}

#[tokio::test]
async fn a_filter_on_the_name_of_zones_can_begin_with_an_operator() {
    let site = Site::start().await;
    for name in ["shop.org", "shop.net", "workshop.org"] {
        site.cloud().add_zone(ACCOUNT_ID, name);
    }
    for (filter, expected) in [
        ("equal:SHOP.org", vec!["shop.org"]),
        (
            "not_equal:example.com",
            vec!["shop.net", "shop.org", "workshop.org"],
        ),
        ("starts_with:Shop", vec!["shop.net", "shop.org"]),
        ("starts_with_case_sensitive:Shop", vec![]),
        ("ends_with:shop.org", vec!["shop.org", "workshop.org"]),
        ("ends_with_case_sensitive:.net", vec!["shop.net"]),
        ("contains:ksh", vec!["workshop.org"]),
        ("sounds_like:shop", vec![]),
    ] {
        let answer = site.get(&format!("/zones?name={filter}")).await;
        let shown = answer.result().as_array().unwrap().clone();
        let names: Vec<_> = shown.iter().map(|z| z["name"].as_str().unwrap()).collect();
        assert_eq!(names, expected, "{filter}");
    }
}

#[tokio::test]
async fn a_zone_tells_its_account_and_plan() {
    let site = Site::start().await;
    let answer = site.get(&format!("/zones/{}", site.zone)).await;
    let zone = answer.result();
    assert_eq!(zone["name"], ZONE);
    assert_eq!(zone["status"], "active");
    assert_eq!(zone["account"]["id"], ACCOUNT_ID);
    assert_eq!(zone["plan"]["legacy_id"], "free");
}
