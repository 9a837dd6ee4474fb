//! `/zones/{zone}/dns_records`.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::caller::{Caller, is_object_id};
use super::dns_record_filter::RecordFilter;
use super::envelope::{Answer, ApiError, Fields, Page, Params, Reply, read_body};
use crate::cloud::{
    Cloud, DnsRecord, Permission, RecordBatch, RecordFields, RecordKind, RecordPatch, RecordRefusal,
};

impl From<RecordRefusal> for ApiError {
    fn from(refusal: RecordRefusal) -> Self {
        let status = match refusal {
            RecordRefusal::NotFound => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, refusal.code(), refusal.to_string())
    }
}

/// `GET …/dns_records`: filtered, sorted, at most 5,000 to a page.
pub(super) async fn list(
    State(cloud): State<Cloud>,
    Extension(caller): Extension<Caller>,
    Path(zone): Path<String>,
    Query(params): Query<Params>,
) -> Answer {
    caller.on_zone(&cloud, &zone, Permission::DnsRead)?;
    let page = Page::read(&params, 100, 5_000)?;
    let filter = RecordFilter::read(&params)?;
    let records = filter.apply(cloud.list_records(&zone));
    Ok(Reply::page(&records, page, |record| show(record)))
}

/// `GET …/dns_records/{record}`.
pub(super) async fn get(
    State(cloud): State<Cloud>,
    Extension(caller): Extension<Caller>,
    Path((zone, record)): Path<(String, String)>,
) -> Answer {
    caller.on_zone(&cloud, &zone, Permission::DnsRead)?;
    require_id(&zone, &record)?;
    let record = cloud
        .record(&zone, &record)
        .ok_or(RecordRefusal::NotFound)?;
    Ok(Reply::one(show(&record)))
}

/// `POST …/dns_records`.
pub(super) async fn create(
    State(cloud): State<Cloud>,
    Extension(caller): Extension<Caller>,
    Path(zone): Path<String>,
    body: Bytes,
) -> Answer {
    caller.on_zone(&cloud, &zone, Permission::DnsEdit)?;
    let batch = RecordBatch {
        posts: vec![whole_record(&read_body(&body)?)?],
        ..RecordBatch::default()
    };
    let done = cloud.change_records(&zone, batch)?;
    Ok(Reply::one(show_all(&done.posts)[0].take()))
}

/// `PUT …/dns_records/{record}`: replaces it.
pub(super) async fn replace(
    State(cloud): State<Cloud>,
    Extension(caller): Extension<Caller>,
    Path((zone, record)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    caller.on_zone(&cloud, &zone, Permission::DnsEdit)?;
    require_id(&zone, &record)?;
    let batch = RecordBatch {
        puts: vec![(record, whole_record(&read_body(&body)?)?)],
        ..RecordBatch::default()
    };
    let done = cloud.change_records(&zone, batch)?;
    Ok(Reply::one(show_all(&done.puts)[0].take()))
}

/// `PATCH …/dns_records/{record}`: changes the fields that are given.
pub(super) async fn edit(
    State(cloud): State<Cloud>,
    Extension(caller): Extension<Caller>,
    Path((zone, record)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    caller.on_zone(&cloud, &zone, Permission::DnsEdit)?;
    require_id(&zone, &record)?;
    let batch = RecordBatch {
        patches: vec![(record, patch(&read_body(&body)?)?)],
        ..RecordBatch::default()
    };
    let done = cloud.change_records(&zone, batch)?;
    Ok(Reply::one(show_all(&done.patches)[0].take()))
}

/// `DELETE …/dns_records/{record}`.
pub(super) async fn delete(
    State(cloud): State<Cloud>,
    Extension(caller): Extension<Caller>,
    Path((zone, record)): Path<(String, String)>,
) -> Answer {
    caller.on_zone(&cloud, &zone, Permission::DnsEdit)?;
    require_id(&zone, &record)?;
    let batch = RecordBatch {
        deletes: vec![record.clone()],
        ..RecordBatch::default()
    };
    cloud.change_records(&zone, batch)?;
    Ok(Reply::one(json!({ "id": record })))
}

/// `POST …/dns_records/batch`: deletes, patches, puts and posts, all or nothing.
pub(super) async fn batch(
    State(cloud): State<Cloud>,
    Extension(caller): Extension<Caller>,
    Path(zone): Path<String>,
    body: Bytes,
) -> Answer {
    caller.on_zone(&cloud, &zone, Permission::DnsEdit)?;
    let body = read_body(&body)?;
    let fields = Fields::of(&body)?;
    let batch = RecordBatch {
        deletes: each(&fields, "deletes", id_in_body)?,
        patches: each(&fields, "patches", |item| {
            Ok((id_in_body(item)?, patch(item)?))
        })?,
        puts: each(&fields, "puts", |item| {
            Ok((id_in_body(item)?, whole_record(item)?))
        })?,
        posts: each(&fields, "posts", whole_record)?,
    };
    let done = cloud.change_records(&zone, batch)?;
    let deleted: Vec<Value> = done.deletes.iter().map(|record| show(record)).collect();
    Ok(Reply::one(json!({
        "deletes": deleted,
        "patches": show_all(&done.patches),
        "puts": show_all(&done.puts),
        "posts": show_all(&done.posts),
    })))
}

fn require_id(zone: &str, record: &str) -> Result<(), ApiError> {
    if is_object_id(record) {
        Ok(())
    } else {
        let path = format!("/zones/{zone}/dns_records/{record}");
        Err(ApiError::no_route(&path))
    }
}

fn id_in_body(item: &Value) -> Result<String, ApiError> {
    let id = Fields::of(item)?.text("id")?;
    id.ok_or_else(|| invalid("id is required"))
}

fn each<T>(
    fields: &Fields<'_>,
    key: &str,
    read: impl Fn(&Value) -> Result<T, ApiError>,
) -> Result<Vec<T>, ApiError> {
    match fields.get(key) {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(read).collect(),
        Some(_) => Err(ApiError::bad_body()),
    }
}

fn invalid(why: &str) -> ApiError {
    ApiError::bad_request(1_004, "DNS Validation Error").because(1_004, why)
}

/// A record with everything that it needs.
fn whole_record(body: &Value) -> Result<RecordFields, ApiError> {
    let given = patch(body)?;
    Ok(RecordFields {
        kind: given.kind.ok_or_else(|| invalid("type is required"))?,
        name: given.name.ok_or_else(|| invalid("name is required"))?,
        content: given
            .content
            .ok_or_else(|| invalid("content is required"))?,
        priority: given.priority,
        proxied: given.proxied.unwrap_or(false),
        ttl: given.ttl.unwrap_or(1),
        comment: given.comment.flatten(),
        tags: given.tags.unwrap_or_default(),
    })
}

/// The fields that are given.
fn patch(body: &Value) -> Result<RecordPatch, ApiError> {
    let fields = Fields::of(body)?;
    let kind = match fields.text("type")? {
        None => None,
        Some(text) => {
            let kind = RecordKind::parse(&text);
            Some(kind.ok_or_else(|| invalid("type is not a known record type"))?)
        }
    };
    let small = |key| -> Result<Option<u64>, ApiError> { fields.number(key) };
    let ttl = small("ttl")?.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    let priority = match small("priority")?.map(u16::try_from).transpose() {
        Ok(priority) => priority,
        Err(_) => return Err(invalid("priority is out of range")),
    };
    Ok(RecordPatch {
        kind,
        name: fields.text("name")?,
        content: fields.text("content")?,
        priority,
        proxied: fields.flag("proxied")?,
        ttl,
        comment: match fields.has("comment") {
            true => Some(fields.text("comment")?),
            false => None,
        },
        tags: fields.texts("tags")?,
    })
}

fn show_all(records: &[DnsRecord]) -> Value {
    records.iter().map(show).collect()
}

/// A record as the API shows it. Absent times and priorities are left out.
fn show(record: &DnsRecord) -> Value {
    let mut shown = json!({
        "id": record.id,
        "name": record.name,
        "type": record.kind.as_str(),
        "content": record.content,
        "proxiable": record.kind.proxiable(),
        "proxied": record.proxied,
        "ttl": record.ttl,
        "settings": {},
        "meta": {},
        "comment": record.comment,
        "tags": record.tags,
        "created_on": record.created_on,
        "modified_on": record.modified_on,
    });
    if let Some(time) = record.comment_modified_on {
        shown["comment_modified_on"] = json!(time);
    }
    if let Some(time) = record.tags_modified_on {
        shown["tags_modified_on"] = json!(time);
    }
    if let Some(priority) = record.priority {
        shown["priority"] = json!(priority);
    }
    shown
}
