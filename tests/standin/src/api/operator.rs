//! `/standin`: what the stand-in knows, and its switches. Cloudflare has nothing like it.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, Redirect};
use axum::routing::{get, post, put};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    Call, Cloud, ConnectionRecord, Fault, ListLag, RateLimit, Tunnel, WithoutZoneRead,
};

/// Calls shown on the page for people.
const CALLS_SHOWN: usize = 50;

/// The page and what is below it. The page's links are relative, so its path ends with a slash.
pub(super) fn routes() -> Router<Cloud> {
    Router::new()
        .route("/standin", get(async || Redirect::permanent("/standin/")))
        .route("/standin/", get(page))
        .route("/standin/state", get(state))
        .route("/standin/calls", get(calls).delete(forget_calls))
        .route(
            "/standin/faults",
            get(faults).post(inject).delete(clear_faults),
        )
        .route("/standin/connections", post(pretend_connections))
        .route("/standin/list-lag", put(set_list_lag))
        .route("/standin/rate-limit", put(set_rate_limit))
        .route("/standin/without-zone-read", put(set_without_zone_read))
}

async fn calls(State(cloud): State<Cloud>) -> Json<Vec<Call>> {
    Json(cloud.calls())
}

async fn forget_calls(State(cloud): State<Cloud>) -> StatusCode {
    cloud.forget_calls();
    StatusCode::NO_CONTENT
}

async fn faults(State(cloud): State<Cloud>) -> Json<Vec<Fault>> {
    Json(cloud.faults())
}

async fn inject(State(cloud): State<Cloud>, Json(fault): Json<Fault>) -> StatusCode {
    cloud.inject(fault);
    StatusCode::NO_CONTENT
}

async fn clear_faults(State(cloud): State<Cloud>) -> StatusCode {
    cloud.clear_faults();
    StatusCode::NO_CONTENT
}

/// A connector that is only claimed to be there.
#[derive(Deserialize)]
struct PretendedConnector {
    tunnel: Uuid,
    connector: Uuid,
    /// How many connections it holds.
    count: u8,
}

/// Books connections that no connector holds, so that what the API says about connections can be
/// looked at without one. No request goes through them.
async fn pretend_connections(
    State(cloud): State<Cloud>,
    Json(pretended): Json<PretendedConnector>,
) -> StatusCode {
    for index in 0..pretended.count {
        cloud.connected(ConnectionRecord {
            connection: Uuid::new_v4(),
            tunnel: pretended.tunnel,
            connector: pretended.connector,
            index,
            colo: "sim01".to_owned(),
            client_version: "pretended".to_owned(),
            arch: "linux_amd64".to_owned(),
            features: Vec::new(),
            origin_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            opened_at: Timestamp::now(),
        });
    }
    StatusCode::NO_CONTENT
}

async fn set_list_lag(State(cloud): State<Cloud>, Json(lag): Json<ListLag>) -> StatusCode {
    cloud.set_list_lag(lag);
    StatusCode::NO_CONTENT
}

async fn set_rate_limit(State(cloud): State<Cloud>, Json(limit): Json<RateLimit>) -> StatusCode {
    cloud.set_rate_limit(limit);
    StatusCode::NO_CONTENT
}

async fn set_without_zone_read(
    State(cloud): State<Cloud>,
    Json(shown): Json<WithoutZoneRead>,
) -> StatusCode {
    cloud.set_without_zone_read(shown);
    StatusCode::NO_CONTENT
}

/// Everything but secrets.
async fn state(State(cloud): State<Cloud>) -> Json<Value> {
    let zones: Vec<Value> = cloud
        .zones()
        .iter()
        .map(|zone| {
            let records: Vec<Value> = zone
                .records
                .iter()
                .map(|record| {
                    json!({
                        "id": record.id, "type": record.kind.as_str(), "name": record.name,
                        "content": record.content, "proxied": record.proxied, "ttl": record.ttl,
                        "comment": record.comment, "tags": record.tags,
                        "created_on": record.created_on, "modified_on": record.modified_on,
                    })
                })
                .collect();
            json!({
                "id": zone.id, "name": zone.name, "account": zone.account,
                "status": zone.status, "paused": zone.paused, "kind": zone.kind, "records": records,
            })
        })
        .collect();
    let tunnels: Vec<Value> = cloud.tunnels().iter().map(|t| tunnel(&cloud, t)).collect();
    Json(json!({
        "zones": zones,
        "tunnels": tunnels,
        "edge_events": cloud.edge_events(),
    }))
}

fn tunnel(cloud: &Cloud, tunnel: &Tunnel) -> Value {
    let connections: Vec<Value> = cloud
        .connections(tunnel.id)
        .iter()
        .map(|c| {
            json!({
                "id": c.connection, "connector": c.connector, "index": c.index, "colo": c.colo,
                "client_version": c.client_version, "arch": c.arch, "features": c.features,
                "origin_ip": c.origin_ip, "opened_at": c.opened_at,
            })
        })
        .collect();
    let configuration = tunnel.configuration.as_ref();
    json!({
        "id": tunnel.id, "account": tunnel.account, "name": tunnel.name,
        "config_src": tunnel.config_src.as_str(), "address": tunnel.address,
        "created_at": tunnel.created_at, "deleted_at": tunnel.deleted_at,
        "configuration": configuration.map(|c| json!({
            "version": c.version, "document": c.document,
        })),
        "connections": connections,
    })
}

/// The same for people.
async fn page(State(cloud): State<Cloud>) -> Html<String> {
    let mut page = String::from(concat!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Stand-in Cloudflare</title>",
        "<style>body{font:14px sans-serif;margin:2em}table{border-collapse:collapse}",
        "td,th{border:1px solid #ccc;padding:2px 8px;text-align:left}</style>",
        "<h1>Stand-in Cloudflare</h1><p>As JSON: <a href=\"state\">state</a>, ",
        "<a href=\"calls\">calls</a>, <a href=\"faults\">faults</a></p>",
    ));
    let tunnels = cloud.tunnels().into_iter().map(|tunnel| {
        let state = match tunnel.deleted_at {
            Some(time) => format!("deleted {time}"),
            None => format!("{} connections", cloud.connections(tunnel.id).len()),
        };
        [
            tunnel.name,
            tunnel.id.to_string(),
            tunnel.address.to_string(),
            state,
        ]
    });
    table(
        &mut page,
        "Tunnels",
        ["name", "id", "address", "state"],
        tunnels,
    );
    let records = cloud.zones().into_iter().flat_map(|zone| {
        let records: Vec<_> = zone.records.iter().cloned().collect();
        records.into_iter().map(|record| {
            let proxied = if record.proxied {
                "proxied"
            } else {
                "DNS only"
            };
            [
                record.name.clone(),
                format!("{} {}", record.kind.as_str(), record.content),
                proxied.to_owned(),
                record.comment.clone().unwrap_or_default(),
            ]
        })
    });
    table(
        &mut page,
        "Records",
        ["name", "data", "proxy", "comment"],
        records,
    );
    let calls = cloud
        .calls()
        .into_iter()
        .rev()
        .take(CALLS_SHOWN)
        .map(|call| {
            let status = call
                .status
                .map_or_else(|| "no answer".to_owned(), |s| s.to_string());
            let what = format!("{} {} {}", call.method, call.path, call.query);
            [call.n.to_string(), call.time.to_string(), what, status]
        });
    table(
        &mut page,
        "Last calls",
        ["n", "time", "call", "status"],
        calls,
    );
    Html(page)
}

fn table<const N: usize>(
    page: &mut String,
    title: &str,
    columns: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) {
    // Writing to a String cannot fail.
    let _ = write!(page, "<h2>{title}</h2><table><tr>");
    for column in columns {
        let _ = write!(page, "<th>{column}</th>");
    }
    for row in rows {
        page.push_str("<tr>");
        for cell in row {
            let _ = write!(page, "<td>{}</td>", escaped(&cell));
        }
    }
    page.push_str("</table>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
