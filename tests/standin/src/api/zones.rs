//! `/zones`.

use axum::Extension;
use axum::extract::{Path, Query, State};
use serde_json::{Value, json};

use super::caller::{Caller, unauthorized_for_resource};
use super::envelope::{Answer, ApiError, Page, Params, Reply};
use crate::cloud::{Account, Cloud, Permission, Plan, WithoutZoneRead, Zone};

/// `GET /zones`: what the token can see. At most 50 to a page.
pub(super) async fn list(
    State(cloud): State<Cloud>,
    Extension(caller): Extension<Caller>,
    Query(params): Query<Params>,
) -> Answer {
    let shown = shown(&caller, &cloud, &params)?;
    let page = Page::read(&params, 20, 50)?;
    let wanted = |key: &str, value: &str| {
        let filter = params.get(key).map(String::as_str);
        filter.is_none_or(|wanted| wanted.eq_ignore_ascii_case(value))
    };
    let name = params.get("name").map(|filter| NameFilter::read(filter));
    let mut zones = cloud.zones();
    zones.retain(|zone| {
        shown
            && caller.sees(zone)
            && name.as_ref().is_none_or(|name| name.holds(&zone.name))
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

/// Whether zones are shown to a caller that asks for them, or how the API refuses.
fn shown(caller: &Caller, cloud: &Cloud, params: &Params) -> Result<bool, ApiError> {
    if caller.0.may(Permission::ZoneRead) {
        return Ok(true);
    }
    let exact = params.get("name").is_some_and(|name| !name.contains(':'));
    match cloud.without_zone_read() {
        _ if !caller.0.may(Permission::DnsRead) => Err(unauthorized_for_resource()),
        WithoutZoneRead::ByName if exact => Ok(true),
        WithoutZoneRead::Empty => Ok(false),
        WithoutZoneRead::Refused | WithoutZoneRead::ByName => Err(unauthorized_for_resource()),
    }
}

/// A condition on a zone's name, like `starts_with:shop`. Cloudflare API documentation: "List Zones".
struct NameFilter<'a> {
    holds: fn(&str, &str) -> bool,
    minds_case: bool,
    text: &'a str,
}

impl<'a> NameFilter<'a> {
    /// No domain has a colon, so what has none is a name.
    fn read(filter: &'a str) -> Self {
        let (operator, text) = filter.split_once(':').unwrap_or(("equal", filter));
        let (kind, minds_case) = match operator.strip_suffix("_case_sensitive") {
            Some(kind) => (kind, true),
            None => (operator, false),
        };
        let holds: fn(&str, &str) -> bool = match kind {
            "equal" => |name, text| name == text,
            "not_equal" => |name, text| name != text,
            "starts_with" => |name, text| name.starts_with(text),
            "ends_with" => |name, text| name.ends_with(text),
            "contains" => |name, text| name.contains(text),
            _ => |_, _| false,
        };
        Self {
            holds,
            minds_case,
            text,
        }
    }

    fn holds(&self, name: &str) -> bool {
        match self.minds_case {
            true => (self.holds)(name, self.text),
            false => {
                let (name, text) = (name.to_ascii_lowercase(), self.text.to_ascii_lowercase());
                (self.holds)(&name, &text)
            }
        }
    }
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
        "paused": zone.paused,
        "type": zone.kind.as_str(),
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
