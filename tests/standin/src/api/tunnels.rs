//! `/accounts/{account}/cfd_tunnel`.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::caller::Caller;
use super::envelope::{Answer, ApiError, Fields, Page, Params, Reply, read_body};
use crate::cloud::{
    Cloud, ConfigSource, NewTunnel, Permission, Tunnel, TunnelChange, TunnelRefusal, TunnelSecret,
};

/// Connections that a healthy connector keeps.
const HEALTHY: usize = 4;

impl From<TunnelRefusal> for ApiError {
    fn from(refusal: TunnelRefusal) -> Self {
        let (status, code) = match refusal {
            TunnelRefusal::NotFound => (StatusCode::NOT_FOUND, 1_003),
            TunnelRefusal::NameTaken => (StatusCode::CONFLICT, 1_013),
            TunnelRefusal::ActiveConnections => (StatusCode::BAD_REQUEST, 1_022),
            TunnelRefusal::Configuration(_) => (StatusCode::BAD_REQUEST, 1_056),
        };
        Self::new(status, code, refusal.to_string())
    }
}

/// Account and tunnel of a path, with the permission checked.
pub(super) fn tunnel_in_path(
    caller: &Caller,
    path: &(String, String),
    needed: Permission,
) -> Result<Uuid, ApiError> {
    let (account, tunnel) = path;
    caller.on_account(account, needed)?;
    let invalid = || ApiError::no_route(&format!("/accounts/{account}/cfd_tunnel/{tunnel}"));
    Uuid::try_parse(tunnel).map_err(|_| invalid())
}

/// `GET …/cfd_tunnel`: all tunnels, deleted ones too unless asked otherwise. At most 1,000 to a page.
pub(super) async fn list(
    State(cloud): State<Cloud>,
    Extension(caller): Extension<Caller>,
    Path(account): Path<String>,
    Query(params): Query<Params>,
) -> Answer {
    caller.on_account(&account, Permission::TunnelRead)?;
    let page = Page::read(&params, 20, 1_000)?;
    let given = |key: &str| params.get(key).filter(|text| !text.is_empty());
    let deleted = match given("is_deleted").map(String::as_str) {
        None => None,
        Some(text) => Some(
            text.parse::<bool>()
                .map_err(|_| ApiError::bad_request(1_001, "is_deleted must be true or false"))?,
        ),
    };
    let existed_at = match given("existed_at").map(|text| text.parse::<Timestamp>()) {
        None => None,
        Some(Ok(time)) => Some(time),
        Some(Err(_)) => {
            return Err(ApiError::bad_request(1_001, "existed_at must be a time"));
        }
    };
    let mut tunnels = cloud.list_tunnels(&account);
    tunnels.retain(|tunnel| {
        deleted.is_none_or(|wanted| tunnel.deleted_at.is_some() == wanted)
            && given("name").is_none_or(|name| tunnel.name == *name)
            && given("uuid").is_none_or(|id| tunnel.id.to_string().eq_ignore_ascii_case(id))
            && given("include_prefix").is_none_or(|prefix| tunnel.name.starts_with(prefix))
            && given("exclude_prefix").is_none_or(|prefix| !tunnel.name.starts_with(prefix))
            && given("status").is_none_or(|status| status_of(&cloud, tunnel) == status)
            && existed_at.is_none_or(|time| existed(tunnel, time))
    });
    Ok(Reply::page(&tunnels, page, |tunnel| show(&cloud, tunnel)))
}

/// Whether it was created, and not deleted, before that time.
fn existed(tunnel: &Tunnel, time: Timestamp) -> bool {
    tunnel.created_at < time && tunnel.deleted_at.is_none_or(|deleted| deleted >= time)
}

/// `POST …/cfd_tunnel`. The answer holds the secret, as Cloudflare's does.
pub(super) async fn create(
    State(cloud): State<Cloud>,
    Extension(caller): Extension<Caller>,
    Path(account): Path<String>,
    body: Bytes,
) -> Answer {
    caller.on_account(&account, Permission::TunnelEdit)?;
    let body = read_body(&body)?;
    let fields = Fields::of(&body)?;
    let name = name_of(&fields)?;
    let config_src = match fields.text("config_src")?.as_deref() {
        None | Some("local") => ConfigSource::Local,
        Some("cloudflare") => ConfigSource::Cloudflare,
        Some(_) => return Err(ApiError::bad_request(1_001, "config_src is not valid")),
    };
    let new = NewTunnel {
        name: name.ok_or_else(|| ApiError::bad_request(1_002, "tunnel name is required"))?,
        config_src,
        secret: secret_of(&fields)?,
    };
    let tunnel = cloud.create_tunnel(&account, new)?;
    let mut shown = show(&cloud, &tunnel);
    shown["token"] = json!(tunnel.token());
    shown["credentials_file"] = json!({
        "AccountTag": tunnel.account,
        "TunnelID": tunnel.id,
        "TunnelName": tunnel.name,
        "TunnelSecret": tunnel.secret.to_base64(),
    });
    Ok(Reply::one(shown))
}

/// `GET …/cfd_tunnel/{tunnel}`: deleted ones too.
pub(super) async fn get(
    State(cloud): State<Cloud>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<(String, String)>,
) -> Answer {
    let id = tunnel_in_path(&caller, &path, Permission::TunnelRead)?;
    let tunnel = cloud.tunnel(&path.0, id)?;
    Ok(Reply::one(show(&cloud, &tunnel)))
}

/// `PATCH …/cfd_tunnel/{tunnel}`: name and secret.
pub(super) async fn edit(
    State(cloud): State<Cloud>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let id = tunnel_in_path(&caller, &path, Permission::TunnelEdit)?;
    let body = read_body(&body)?;
    let fields = Fields::of(&body)?;
    let change = TunnelChange {
        name: name_of(&fields)?,
        secret: secret_of(&fields)?,
    };
    let tunnel = cloud.change_tunnel(&path.0, id, change)?;
    Ok(Reply::one(show(&cloud, &tunnel)))
}

/// `DELETE …/cfd_tunnel/{tunnel}`.
pub(super) async fn delete(
    State(cloud): State<Cloud>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<(String, String)>,
) -> Answer {
    let id = tunnel_in_path(&caller, &path, Permission::TunnelEdit)?;
    let tunnel = cloud.delete_tunnel(&path.0, id)?;
    Ok(Reply::one(show(&cloud, &tunnel)))
}

/// `GET …/cfd_tunnel/{tunnel}/token`. Reading it takes the right to edit.
pub(super) async fn token(
    State(cloud): State<Cloud>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<(String, String)>,
) -> Answer {
    let id = tunnel_in_path(&caller, &path, Permission::TunnelEdit)?;
    let tunnel = present(&cloud, &path.0, id)?;
    Ok(Reply::one(json!(tunnel.token())))
}

/// `GET …/cfd_tunnel/{tunnel}/configurations`.
pub(super) async fn get_configuration(
    State(cloud): State<Cloud>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<(String, String)>,
) -> Answer {
    let id = tunnel_in_path(&caller, &path, Permission::TunnelRead)?;
    let tunnel = present(&cloud, &path.0, id)?;
    Ok(Reply::one(show_configuration(&tunnel)))
}

/// `PUT …/cfd_tunnel/{tunnel}/configurations`: replaces the document.
pub(super) async fn put_configuration(
    State(cloud): State<Cloud>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let id = tunnel_in_path(&caller, &path, Permission::TunnelEdit)?;
    let body = read_body(&body)?;
    let document = Fields::of(&body)?.get("config").cloned();
    let missing = || ApiError::bad_request(1_056, "Bad Configuration: config is required");
    cloud.configure_tunnel(&path.0, id, document.ok_or_else(missing)?)?;
    let tunnel = present(&cloud, &path.0, id)?;
    Ok(Reply::one(show_configuration(&tunnel)))
}

fn present(cloud: &Cloud, account: &str, id: Uuid) -> Result<Tunnel, TunnelRefusal> {
    let tunnel = cloud.tunnel(account, id)?;
    match tunnel.deleted_at {
        None => Ok(tunnel),
        Some(_) => Err(TunnelRefusal::NotFound),
    }
}

fn name_of(fields: &Fields<'_>) -> Result<Option<String>, ApiError> {
    match fields.text("name")? {
        // The API's own schema knows no longest name.
        Some(name) if name.trim().is_empty() => {
            Err(ApiError::bad_request(1_002, "tunnel name is not valid"))
        }
        name => Ok(name),
    }
}

fn secret_of(fields: &Fields<'_>) -> Result<Option<TunnelSecret>, ApiError> {
    let read = |text: String| {
        let text_of_error = "tunnel_secret must be base64 of at least 32 bytes";
        TunnelSecret::from_base64(&text).ok_or_else(|| ApiError::bad_request(1_001, text_of_error))
    };
    fields.text("tunnel_secret")?.map(read).transpose()
}

fn status_of(cloud: &Cloud, tunnel: &Tunnel) -> &'static str {
    match cloud.connections(tunnel.id).len() {
        0 if tunnel.inactive_since.is_none() => "inactive",
        0 => "down",
        count if count < HEALTHY => "degraded",
        _ => "healthy",
    }
}

/// A tunnel as the API shows it: without secret, and with `connections` empty, because Cloudflare
/// retired that field in favour of the connections endpoint.
fn show(cloud: &Cloud, tunnel: &Tunnel) -> Value {
    json!({
        "id": tunnel.id,
        "account_tag": tunnel.account,
        "name": tunnel.name,
        "tun_type": "cfd_tunnel",
        "config_src": tunnel.config_src.as_str(),
        "remote_config": tunnel.config_src == ConfigSource::Cloudflare,
        "status": status_of(cloud, tunnel),
        "connections": [],
        "conns_active_at": tunnel.active_since,
        "conns_inactive_at": tunnel.inactive_since,
        "created_at": tunnel.created_at,
        "deleted_at": tunnel.deleted_at,
        "metadata": {},
    })
}

fn show_configuration(tunnel: &Tunnel) -> Value {
    let configuration = tunnel.configuration.as_ref();
    json!({
        "account_id": tunnel.account,
        "tunnel_id": tunnel.id,
        "version": configuration.map_or(0, |c| c.version),
        "config": configuration.map(|c| &c.document),
        "source": tunnel.config_src.as_str(),
        "created_at": tunnel.created_at,
    })
}
