//! A server to talk to, and every call there is.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapter_cloudflare::call::CallReport;
use adapter_cloudflare::{ClientSettings, CloudflareClient};
use domain::certificate::Fingerprint;
use domain::edge::objects::{IngressDocument, IngressRule, RecordBatch, RecordData};
use domain::names::RecordId;
use domain::ports::{CloudflareAccounts, CloudflareApi, PortError, PortErrorKind};
use domain::secret::{CertificatePair, CloudflareCredentials};
use domain::{AccountId, CertificateId, Hostname, TunnelId, ZoneId};
use serde_json::{Value, json};
use wiremock::{MockServer, ResponseTemplate};

pub(crate) const ACCOUNT: &str = "023e105f4ecef8ad9ca31a8372d0c353";
pub(crate) const TUNNEL: &str = "c1744f8b-faa1-48a4-9e5c-02ac921467fa";
pub(crate) const ZONE: &str = "9a7806061c88ada191ed06f989cc3dac";
/// Must never be seen in anything that is printed.
pub(crate) const CANARY: &str = "canary-of-the-api-token";

pub(crate) const CERTIFICATE: &str = "2458ce5a-0c35-4c7f-82c7-8e9487d3ff60";

pub(crate) fn certificate_id() -> CertificateId {
    CertificateId::new(CERTIFICATE)
}

pub(crate) fn pair() -> CertificatePair {
    CertificatePair {
        chain: "the chain".to_owned(),
        key: "the key".to_owned().into(),
        fingerprint: Fingerprint::of(b"the chain"),
    }
}

/// The body that carries [`pair`].
fn uploaded() -> Value {
    json!({
        "certificate": "the chain",
        "private_key": "the key",
        "bundle_method": "ubiquitous",
    })
}

pub(crate) fn credentials() -> CloudflareCredentials {
    CloudflareCredentials {
        account: AccountId::new(ACCOUNT),
        token: CANARY.to_owned().into(),
    }
}

pub(crate) fn settings(base_url: impl Into<String>) -> ClientSettings {
    ClientSettings {
        base_url: base_url.into(),
        requests_per_window: 10_000,
        ..ClientSettings::default()
    }
}

pub(crate) fn client(base_url: impl Into<String>) -> CloudflareClient {
    CloudflareClient::new(&settings(base_url)).unwrap()
}

/// The API as `server` serves it below `/client/v4`.
pub(crate) fn api(server: &MockServer) -> Arc<dyn CloudflareApi> {
    client(base_url(server)).open(&credentials())
}

pub(crate) fn base_url(server: &MockServer) -> String {
    format!("{}/client/v4", server.uri())
}

/// The API with a log of its calls.
pub(crate) fn logged(settings: &ClientSettings) -> (Arc<dyn CloudflareApi>, CallLog) {
    let log = CallLog::default();
    let client = CloudflareClient::new(settings)
        .unwrap()
        .on_call(log.writer());
    (client.open(&credentials()), log)
}

#[derive(Clone, Default)]
pub(crate) struct CallLog(Arc<Mutex<Vec<CallReport>>>);

impl CallLog {
    pub(crate) fn writer(&self) -> impl Fn(&CallReport) + Send + Sync + use<> {
        let log = self.clone();
        move |report| log.0.lock().unwrap().push(*report)
    }

    pub(crate) fn take(&self) -> Vec<CallReport> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

pub(crate) fn yes(result: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({
        "success": true, "errors": [], "messages": [], "result": result,
        "result_info": list_info(result),
    }))
}

fn list_info(result: &Value) -> Value {
    match result.as_array() {
        Some(items) => json!({
            "page": 1, "per_page": 50, "count": items.len(), "total_count": items.len(),
        }),
        None => Value::Null,
    }
}

pub(crate) fn no(status: u16, code: i64, message: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({
        "success": false, "errors": [{ "code": code, "message": message }],
        "messages": [], "result": null,
    }))
}

pub(crate) fn tunnel_id() -> TunnelId {
    TUNNEL.parse().unwrap()
}

pub(crate) fn zone_id() -> ZoneId {
    ZoneId::new(ZONE)
}

pub(crate) fn cname(name: &str) -> RecordData {
    RecordData {
        name: name.to_owned(),
        kind: "CNAME".to_owned(),
        content: tunnel_id().address(),
        proxied: true,
        ttl: 1,
        comment: "a mark".to_owned(),
    }
}

pub(crate) fn document() -> IngressDocument {
    let rule = |hostname: &str| IngressRule {
        hostname: Hostname::parse(hostname).unwrap(),
        path: None,
        service: "http://my-gateway.default".to_owned(),
    };
    IngressDocument {
        rules: vec![rule("app.example.com"), rule("*.example.com")],
        catch_all: "http_status:404".to_owned(),
    }
}

pub(crate) fn batch() -> RecordBatch {
    RecordBatch {
        deletes: vec![RecordId::new("r1")],
        puts: vec![(RecordId::new("r2"), cname("b.example.com"))],
        posts: vec![cname("c.example.com")],
    }
}

type Outcome<'a> = Pin<Box<dyn Future<Output = Result<(), PortError>> + 'a>>;

/// One call: how it is made, what goes out, and an answer that satisfies it.
pub(crate) struct EveryCall {
    pub(crate) name: &'static str,
    pub(crate) method: &'static str,
    /// Below the base path.
    pub(crate) path: String,
    pub(crate) query: Vec<(&'static str, &'static str)>,
    pub(crate) body: Option<Value>,
    pub(crate) result: Value,
    pub(crate) make: fn(&dyn CloudflareApi) -> Outcome<'_>,
}

macro_rules! make {
    ($api:ident, $call:expr) => {
        |$api| Box::pin(async move { $call.await.map(drop) })
    };
}

/// Every method of the port.
pub(crate) fn every_call() -> Vec<EveryCall> {
    let mut calls = tunnel_calls();
    calls.extend(zone_calls());
    calls
}

fn tunnel_calls() -> Vec<EveryCall> {
    let tunnels = format!("/accounts/{ACCOUNT}/cfd_tunnel");
    let tunnel = format!("{tunnels}/{TUNNEL}");
    let of = |rest: &str| format!("{tunnel}/{rest}");
    let found = json!({ "id": TUNNEL, "name": "cfgw-default-a", "remote_config": true });
    let call = |name, method, path: &str, result: &Value, make| EveryCall {
        name,
        method,
        path: path.to_owned(),
        query: Vec::new(),
        body: None,
        result: result.clone(),
        make,
    };
    let configuration = json!({ "config": { "ingress": [
        { "hostname": "app.example.com", "service": "http://my-gateway.default" },
        { "hostname": "*.example.com", "service": "http://my-gateway.default" },
        { "service": "http_status:404" },
    ]}});
    vec![
        EveryCall {
            query: vec![
                ("is_deleted", "false"),
                ("include_prefix", "cfgw-"),
                ("per_page", "1000"),
                ("page", "1"),
            ],
            ..call(
                "list tunnels",
                "GET",
                &tunnels,
                &json!([found]),
                make!(api, api.tunnels("cfgw-")),
            )
        },
        EveryCall {
            body: Some(json!({ "name": "cfgw-default-a", "config_src": "cloudflare" })),
            ..call(
                "create tunnel",
                "POST",
                &tunnels,
                &found,
                make!(api, api.create_tunnel("cfgw-default-a")),
            )
        },
        call(
            "delete tunnel",
            "DELETE",
            &tunnel,
            &found,
            make!(api, api.delete_tunnel(tunnel_id())),
        ),
        call(
            "list connections",
            "GET",
            &of("connections"),
            &json!([]),
            make!(api, api.connectors(tunnel_id())),
        ),
        call(
            "close connections",
            "DELETE",
            &of("connections"),
            &json!({}),
            make!(api, api.disconnect(tunnel_id())),
        ),
        call(
            "get connector token",
            "GET",
            &of("token"),
            &json!("ZXlK"),
            make!(api, api.tunnel_token(tunnel_id())),
        ),
        EveryCall {
            body: Some(json!({ "tunnel_secret": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=" })),
            ..call(
                "replace tunnel secret",
                "PATCH",
                &tunnel,
                &found,
                make!(api, api.set_tunnel_secret(tunnel_id(), [7; 32])),
            )
        },
        EveryCall {
            body: Some(json!({
                "name": "cfgw-default-b",
                "tunnel_secret": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
            })),
            ..call(
                "adopt tunnel",
                "PATCH",
                &tunnel,
                &found,
                make!(
                    api,
                    api.adopt_tunnel(tunnel_id(), "cfgw-default-b", [7; 32])
                ),
            )
        },
        call(
            "get ingress rules",
            "GET",
            &of("configurations"),
            &configuration,
            make!(api, api.configuration(tunnel_id())),
        ),
        EveryCall {
            body: Some(configuration.clone()),
            ..call(
                "put ingress rules",
                "PUT",
                &of("configurations"),
                &configuration,
                make!(api, api.configure(tunnel_id(), &document())),
            )
        },
    ]
}

fn zone_calls() -> Vec<EveryCall> {
    let records = format!("/zones/{ZONE}/dns_records");
    let certificates = format!("/zones/{ZONE}/custom_certificates");
    let written = |name: &str, id: Option<&str>| {
        let mut record = json!({
            "name": name, "type": "CNAME", "content": format!("{TUNNEL}.cfargotunnel.com"),
            "proxied": true, "ttl": 1, "comment": "a mark",
        });
        if let Some(id) = id {
            record["id"] = json!(id);
        }
        record
    };
    vec![
        EveryCall {
            name: "list zones",
            method: "GET",
            path: "/zones".to_owned(),
            query: vec![("account.id", ACCOUNT), ("per_page", "50"), ("page", "1")],
            body: None,
            result: json!([{ "id": ZONE, "name": "example.com" }]),
            make: make!(api, api.zones()),
        },
        EveryCall {
            name: "look up zone",
            method: "GET",
            path: "/zones".to_owned(),
            query: vec![
                ("account.id", ACCOUNT),
                ("name", "example.com"),
                ("page", "1"),
            ],
            body: None,
            result: json!([{ "id": ZONE, "name": "example.com" }]),
            make: make!(api, api.zone_named("example.com")),
        },
        EveryCall {
            name: "list DNS records",
            method: "GET",
            path: records.clone(),
            query: vec![("per_page", "1000"), ("page", "1")],
            body: None,
            result: json!([{ "id": "r1", "name": "a.example.com", "type": "A", "content": "192.0.2.1" }]),
            make: make!(api, api.records(&zone_id())),
        },
        EveryCall {
            name: "change DNS records",
            method: "POST",
            path: format!("{records}/batch"),
            query: Vec::new(),
            body: Some(json!({
                "deletes": [{ "id": "r1" }],
                "puts": [written("b.example.com", Some("r2"))],
                "posts": [written("c.example.com", None)],
            })),
            result: json!({ "deletes": [], "puts": [], "posts": [] }),
            make: make!(api, api.change_records(&zone_id(), &batch())),
        },
        EveryCall {
            name: "list custom certificates",
            method: "GET",
            path: certificates.clone(),
            query: vec![("page", "1"), ("per_page", "50")],
            body: None,
            result: json!([]),
            make: make!(api, api.custom_certificates(&zone_id())),
        },
        EveryCall {
            name: "upload custom certificate",
            method: "POST",
            path: certificates.clone(),
            query: Vec::new(),
            body: Some(uploaded()),
            result: json!({ "id": CERTIFICATE }),
            make: make!(api, api.upload_certificate(&zone_id(), &pair())),
        },
        EveryCall {
            name: "replace custom certificate",
            method: "PATCH",
            path: format!("{certificates}/{CERTIFICATE}"),
            query: Vec::new(),
            body: Some(uploaded()),
            result: json!({ "id": "another" }),
            make: make!(
                api,
                api.replace_certificate(&zone_id(), &certificate_id(), &pair())
            ),
        },
        EveryCall {
            name: "delete custom certificate",
            method: "DELETE",
            path: format!("{certificates}/{CERTIFICATE}"),
            query: Vec::new(),
            body: None,
            result: json!({ "id": CERTIFICATE }),
            make: make!(api, api.delete_certificate(&zone_id(), &certificate_id())),
        },
        EveryCall {
            name: "verify API token",
            method: "GET",
            path: "/user/tokens/verify".to_owned(),
            query: Vec::new(),
            body: None,
            result: json!({ "id": "t", "status": "active" }),
            make: make!(api, api.verify_token()),
        },
    ]
}

/// Fails with the error where a call went well or failed otherwise.
#[track_caller]
pub(crate) fn expect_kind<T>(
    outcome: Result<T, PortError>,
    kind: PortErrorKind,
    context: &str,
) -> PortError {
    let Err(error) = outcome else {
        panic!("{context}: {kind:?} was expected, and it went well");
    };
    assert_eq!(error.kind, kind, "{context}: {error}");
    error
}

/// A time that no request to this machine takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);
