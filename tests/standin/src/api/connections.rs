//! `/accounts/{account}/cfd_tunnel/{tunnel}/connections`.

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::{Path, Query, State};
use serde_json::{Value, json};
use uuid::Uuid;

use super::caller::Caller;
use super::envelope::{Answer, ApiError, Params, Reply};
use super::tunnels::tunnel_in_path;
use crate::cloud::{Cloud, ConnectionRecord, Permission};

/// `GET …/connections`: grouped by connector.
pub(super) async fn list(
    State(cloud): State<Cloud>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<(String, String)>,
) -> Answer {
    let id = tunnel_in_path(&caller, &path, Permission::TunnelRead)?;
    cloud.tunnel(&path.0, id)?;
    let mut connectors: BTreeMap<Uuid, Vec<ConnectionRecord>> = BTreeMap::new();
    for connection in cloud.connections(id) {
        let of_connector = connectors.entry(connection.connector).or_default();
        of_connector.push(connection);
    }
    let version = cloud.configuration(id).map_or(0, |c| c.version);
    let shown = connectors.into_values().map(|mut connections| {
        connections.sort_by_key(|c| c.index);
        show_connector(&connections, version)
    });
    Ok(Reply::one(shown.collect()))
}

/// `DELETE …/connections`: of one connector (`client_id`) or of all.
pub(super) async fn clean_up(
    State(cloud): State<Cloud>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<(String, String)>,
    Query(params): Query<Params>,
) -> Answer {
    let id = tunnel_in_path(&caller, &path, Permission::TunnelEdit)?;
    let invalid = |_| ApiError::bad_request(1_001, "client_id is not valid");
    let connector = params.get("client_id").map(|text| Uuid::try_parse(text));
    let connector = connector.transpose().map_err(invalid)?;
    cloud.clean_up_connections(&path.0, id, connector)?;
    Ok(Reply::one(json!({})))
}

fn show_connector(connections: &[ConnectionRecord], config_version: i32) -> Value {
    let first = &connections[0];
    let run_at = connections.iter().map(|c| c.opened_at).min();
    let shown: Vec<Value> = connections.iter().map(show_connection).collect();
    json!({
        "id": first.connector,
        "arch": first.arch,
        "version": first.client_version,
        "features": first.features,
        "config_version": config_version,
        "run_at": run_at,
        "conns": shown,
    })
}

fn show_connection(connection: &ConnectionRecord) -> Value {
    json!({
        "id": connection.connection,
        "uuid": connection.connection,
        "client_id": connection.connector,
        "client_version": connection.client_version,
        "colo_name": connection.colo,
        "is_pending_reconnect": false,
        "opened_at": connection.opened_at,
        "origin_ip": connection.origin_ip,
    })
}
