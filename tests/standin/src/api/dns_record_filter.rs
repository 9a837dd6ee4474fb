//! Which records a list shows, and in which order.
//! Cloudflare API documentation: "List DNS Records".

use std::cmp::Ordering;
use std::sync::Arc;

use super::envelope::{ApiError, Params};
use crate::cloud::{DnsRecord, RecordKind};

/// How a text is compared, never minding case.
enum Compare {
    Exact,
    Contains,
    StartsWith,
    EndsWith,
    Present,
    Absent,
}

struct Condition {
    field: fn(&DnsRecord) -> Option<&str>,
    compare: Compare,
    value: String,
}

impl Condition {
    fn holds(&self, record: &DnsRecord) -> bool {
        let text = (self.field)(record).map(str::to_ascii_lowercase);
        let Some(text) = text else {
            return matches!(self.compare, Compare::Absent);
        };
        match self.compare {
            Compare::Exact => text == self.value,
            Compare::Contains => text.contains(&self.value),
            Compare::StartsWith => text.starts_with(&self.value),
            Compare::EndsWith => text.ends_with(&self.value),
            Compare::Present => true,
            Compare::Absent => false,
        }
    }
}

#[derive(Clone, Copy)]
enum Order {
    Kind,
    Name,
    Content,
    Ttl,
    Proxied,
}

/// The query of a list.
pub(super) struct RecordFilter {
    conditions: Vec<Condition>,
    any: bool,
    search: Option<String>,
    order: Order,
    descending: bool,
}

impl RecordFilter {
    /// Reads the parameters; those that are not known are passed over, as the API does.
    pub(super) fn read(params: &Params) -> Result<Self, ApiError> {
        let order = match params.get("order").map(String::as_str) {
            None | Some("type") => Order::Kind,
            Some("name") => Order::Name,
            Some("content") => Order::Content,
            Some("ttl") => Order::Ttl,
            Some("proxied") => Order::Proxied,
            Some(_) => return Err(ApiError::bad_request(1_001, "Invalid value for order")),
        };
        if let Some(kind) = params.get("type") {
            let unknown = || ApiError::bad_request(1_001, "Invalid value for type");
            RecordKind::parse(kind).ok_or_else(unknown)?;
        }
        Ok(Self {
            conditions: params.iter().filter_map(condition).collect(),
            any: params.get("match").is_some_and(|m| m == "any"),
            search: params.get("search").map(|text| text.to_ascii_lowercase()),
            order,
            descending: params.get("direction").is_some_and(|d| d == "desc"),
        })
    }

    /// The records that fit, in order.
    pub(super) fn apply(&self, mut records: Vec<Arc<DnsRecord>>) -> Vec<Arc<DnsRecord>> {
        records.retain(|record| self.fits(record));
        records.sort_by(|a, b| {
            let first = match self.descending {
                true => self.compare(b, a),
                false => self.compare(a, b),
            };
            // The same order on every page, whatever is sorted by.
            first
                .then_with(|| a.name.cmp(&b.name))
                .then_with(|| a.id.cmp(&b.id))
        });
        records
    }

    fn fits(&self, record: &DnsRecord) -> bool {
        let mut holds = self.conditions.iter().map(|c| c.holds(record));
        let fits = match self.any && !self.conditions.is_empty() {
            true => holds.any(|held| held),
            false => holds.all(|held| held),
        };
        let found = |text: &String| {
            let comment = record.comment.as_deref().unwrap_or_default();
            [record.name.as_str(), &record.content, comment]
                .iter()
                .any(|field| field.to_ascii_lowercase().contains(text))
        };
        fits && self.search.as_ref().is_none_or(found)
    }

    fn compare(&self, a: &DnsRecord, b: &DnsRecord) -> Ordering {
        match self.order {
            Order::Kind => a.kind.as_str().cmp(b.kind.as_str()),
            Order::Name => a.name.cmp(&b.name),
            Order::Content => a.content.cmp(&b.content),
            Order::Ttl => a.ttl.cmp(&b.ttl),
            Order::Proxied => a.proxied.cmp(&b.proxied),
        }
    }
}

fn condition((key, value): (&String, &String)) -> Option<Condition> {
    let (field, compare) = key.split_once('.').unwrap_or((key.as_str(), "exact"));
    let field: fn(&DnsRecord) -> Option<&str> = match field {
        "name" => |record| Some(&record.name),
        "content" => |record| Some(&record.content),
        "comment" => |record| record.comment.as_deref(),
        "type" => |record| Some(record.kind.as_str()),
        "proxied" => |record| Some(if record.proxied { "true" } else { "false" }),
        _ => return None,
    };
    let compare = match compare {
        "exact" => Compare::Exact,
        "contains" => Compare::Contains,
        "startswith" => Compare::StartsWith,
        "endswith" => Compare::EndsWith,
        "present" => Compare::Present,
        "absent" => Compare::Absent,
        _ => return None,
    };
    Some(Condition {
        field,
        compare,
        value: value.to_ascii_lowercase(),
    })
}
