//! `/zones`.

use axum::Extension;
use axum::extract::{Path, Query, State};
use serde_json::{Value, json};

use super::caller::{Caller, unauthorized_for_resource};
use super::envelope::{Answer, Page, Params, Reply};
use crate::cloud::{Account, Cloud, Permission, Plan, Zone};

/// `GET /zones`: what the token can see. At most 50 to a page.
pub(super) async fn list(
    State(cloud): State<Cloud>,
    Extension(caller): Extension<Caller>,
    Query(params): Query<Params>,
) -> Answer {
    if !caller.0.may(Permission::ZoneRead) {
        return Err(unauthorized_for_resource());
    }
    let page = Page::read(&params, 20, 50)?;
    let wanted = |key: &str, value: &str| {
        let filter = params.get(key).map(String::as_str);
        filter.is_none_or(|wanted| wanted.eq_ignore_ascii_case(value))
    };
    let mut zones = cloud.zones();
    zones.retain(|zone| {
        caller.sees(zone)
            && wanted("name", &zone.name)
            && wanted("account.id", &zone.account)
            && wanted("status", zone.status.as_str())
    });
    zones.sort_by(|a, b| a.name.cmp(&b.name));
    if params.get("direction").is_some_and(|d| d == "desc") {
        zones.reverse();
    }
    Ok(Reply::page(&zones, page, |zone| {
        show(zone, cloud.account(&zone.account).as_ref())
    }))
}

/// `GET /zones/{zone}`.
pub(super) async fn get(
    State(cloud): State<Cloud>,
    Extension(caller): Extension<Caller>,
    Path(zone): Path<String>,
) -> Answer {
    let zone = caller.on_zone(&cloud, &zone, Permission::ZoneRead)?;
    let account = cloud.account(&zone.account);
    Ok(Reply::one(show(&zone, account.as_ref())))
}

fn show(zone: &Zone, account: Option<&Account>) -> Value {
    let account_name = account.map_or("", |a| a.name.as_str());
    let (plan, price) = match account.map(|a| a.plan) {
        Some(Plan::Paid) => ("Pro Website", 20),
        _ => ("Free Website", 0),
    };
    json!({
        "id": zone.id,
        "name": zone.name,
        "status": zone.status.as_str(),
        "paused": false,
        "type": "full",
        "development_mode": 0,
        "name_servers": [format!("ns1.{}", zone.name), format!("ns2.{}", zone.name)],
        "original_name_servers": null,
        "original_registrar": null,
        "original_dnshost": null,
        "created_on": zone.created_on,
        "modified_on": zone.created_on,
        "activated_on": zone.created_on,
        "meta": {
            "step": 2, "custom_certificate_quota": 0, "page_rule_quota": 3,
            "phishing_detected": false,
        },
        "owner": { "id": null, "type": "user", "email": null },
        "account": { "id": zone.account, "name": account_name },
        "tenant": { "id": null, "name": null },
        "tenant_unit": { "id": null },
        "permissions": ["#zone:read", "#dns_records:read"],
        "plan": {
            "id": "0feeeeeeeeeeeeeeeeeeeeeeeeeeeeee", "name": plan, "price": price,
            "currency": "USD", "frequency": "", "is_subscribed": false, "can_subscribe": false,
            "legacy_id": if price == 0 { "free" } else { "pro" },
            "legacy_discount": false, "externally_managed": false,
        },
    })
}
