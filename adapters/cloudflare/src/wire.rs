//! JSON of the objects, as far as we use it. Fields: developers.cloudflare.com/api. Types that may hold
//! a secret have no `Debug`.

use domain::TunnelId;
use domain::edge::objects::{
    Connector, CustomCertificate, DnsRecord, IngressDocument, IngressRule, RecordBatch, RecordData,
    Tunnel, TunnelHealth, Zone, ZoneState,
};
use domain::names::{CertificateId, Hostname, RecordId, ZoneId};
use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::listing::Identified;

/// `config_src` of tunnels whose ingress document is kept at Cloudflare.
pub(crate) const REMOTE: &str = "cloudflare";

#[derive(Serialize)]
pub(crate) struct NewTunnel<'a> {
    pub(crate) name: &'a str,
    pub(crate) config_src: &'static str,
}

#[derive(Serialize)]
pub(crate) struct ChangedTunnel<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<&'a str>,
    /// Standard base64 of at least 32 bytes.
    pub(crate) tunnel_secret: &'a str,
}

/// `type` is left to Cloudflare: it serves by SNI where the client sends one.
#[derive(Serialize)]
pub(crate) struct NewCertificate<'a> {
    pub(crate) certificate: &'a str,
    pub(crate) private_key: &'a str,
    pub(crate) bundle_method: &'static str,
}

/// What matters of the answer to an upload.
#[derive(Deserialize)]
pub(crate) struct WireCertificateId {
    pub(crate) id: String,
}

#[derive(Deserialize)]
pub(crate) struct WireCertificate {
    id: String,
    #[serde(default)]
    hosts: Option<Vec<String>>,
}

impl From<WireCertificate> for CustomCertificate {
    fn from(certificate: WireCertificate) -> Self {
        Self {
            id: CertificateId::new(certificate.id),
            hosts: certificate.hosts.unwrap_or_default(),
        }
    }
}

impl Identified for WireCertificate {
    fn id(&self) -> &str {
        &self.id
    }
}

#[derive(Deserialize)]
pub(crate) struct WireTunnel {
    id: String,
    name: String,
    /// The older way to say it, which answers still carry.
    #[serde(default)]
    remote_config: Option<bool>,
    #[serde(default)]
    config_src: Option<String>,
    #[serde(default)]
    status: Option<String>,
}

impl WireTunnel {
    /// `None` where the id is no UUID.
    pub(crate) fn into_domain(self) -> Option<Tunnel> {
        let id: TunnelId = self.id.parse().ok()?;
        let remotely_configured = match self.config_src {
            Some(source) => source == REMOTE,
            None => self.remote_config.unwrap_or(false),
        };
        Some(Tunnel {
            id,
            name: self.name,
            remotely_configured,
            health: health(self.status.as_deref()),
        })
    }
}

fn health(status: Option<&str>) -> TunnelHealth {
    match status {
        Some("inactive") => TunnelHealth::Inactive,
        Some("degraded") => TunnelHealth::Degraded,
        Some("healthy") => TunnelHealth::Healthy,
        Some("down") => TunnelHealth::Down,
        _ => TunnelHealth::Unknown,
    }
}

impl Identified for WireTunnel {
    fn id(&self) -> &str {
        &self.id
    }
}

#[derive(Deserialize)]
pub(crate) struct WireConnector {
    id: String,
    #[serde(default)]
    conns: Option<Vec<WireConnection>>,
}

#[derive(Deserialize)]
struct WireConnection {
    /// Cloudflare remembers a connection for some minutes after it is gone; such a one carries nothing.
    #[serde(default)]
    is_pending_reconnect: bool,
}

impl WireConnector {
    pub(crate) fn into_domain(self) -> Connector {
        let connections = self.conns.unwrap_or_default();
        let live = connections.iter().filter(|c| !c.is_pending_reconnect);
        Connector {
            id: self.id,
            connections: live.count(),
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct WireConfiguration {
    #[serde(default)]
    pub(crate) config: Option<WireIngress>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct WireIngress {
    #[serde(default)]
    ingress: Option<Vec<WireRule>>,
}

#[derive(Serialize, Deserialize)]
struct WireRule {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hostname: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    service: String,
}

impl From<&IngressDocument> for WireConfiguration {
    fn from(document: &IngressDocument) -> Self {
        let rules = document.rules.iter().map(|rule| WireRule {
            hostname: Some(rule.hostname.to_string()),
            path: rule.path.clone(),
            service: rule.service.clone(),
        });
        let catch_all = WireRule {
            hostname: None,
            path: None,
            service: document.catch_all.clone(),
        };
        let ingress = rules.chain([catch_all]).collect();
        Self {
            config: Some(WireIngress {
                ingress: Some(ingress),
            }),
        }
    }
}

impl WireConfiguration {
    /// `None` where there is no document, and where there is one that nothing of ours would have put:
    /// rules without a hostname, several catch-alls, malformed hostnames.
    pub(crate) fn into_domain(self) -> Option<IngressDocument> {
        let mut ingress = self.config?.ingress?;
        let last = ingress.pop().filter(WireRule::is_catch_all)?;
        let rules = ingress.into_iter().map(WireRule::into_domain);
        Some(IngressDocument {
            rules: rules.collect::<Option<_>>()?,
            catch_all: last.service,
        })
    }
}

impl WireRule {
    fn is_catch_all(&self) -> bool {
        let is_empty = |text: &Option<String>| text.as_deref().is_none_or(str::is_empty);
        is_empty(&self.hostname) && is_empty(&self.path)
    }

    fn into_domain(self) -> Option<IngressRule> {
        Some(IngressRule {
            hostname: Hostname::parse(self.hostname.as_deref()?).ok()?,
            path: self.path.filter(|path| !path.is_empty()),
            service: self.service,
        })
    }
}

#[derive(Deserialize)]
pub(crate) struct WireZone {
    id: String,
    name: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    paused: Option<bool>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

impl WireZone {
    /// What keeps its names from Cloudflare, the worst first. A word that is not known is taken for a zone that works.
    fn state(&self) -> ZoneState {
        match (self.status.as_deref(), self.kind.as_deref()) {
            (Some("initializing" | "pending" | "moved"), _) => ZoneState::Pending,
            _ if self.paused == Some(true) => ZoneState::Paused,
            (_, Some("partial")) => ZoneState::Partial,
            _ => ZoneState::Active,
        }
    }
}

/// A name in the form of DNS: lower case, and `xn--…` where it has letters beyond ASCII.
fn dns_name(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    let url = Url::parse(&format!("http://{name}/")).ok();
    let host = url.as_ref().and_then(Url::host_str);
    host.map_or_else(|| name.to_lowercase(), str::to_owned)
}

impl From<WireZone> for Zone {
    fn from(zone: WireZone) -> Self {
        Self {
            state: zone.state(),
            name: dns_name(&zone.name),
            id: ZoneId::new(zone.id),
        }
    }
}

impl Identified for WireZone {
    fn id(&self) -> &str {
        &self.id
    }
}

#[derive(Deserialize)]
pub(crate) struct WireRecord {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    proxied: Option<bool>,
    #[serde(default)]
    ttl: Option<u32>,
    #[serde(default)]
    comment: Option<String>,
}

/// `ttl` of a record that leaves it to Cloudflare.
const AUTOMATIC_TTL: u32 = 1;

impl From<WireRecord> for DnsRecord {
    fn from(record: WireRecord) -> Self {
        Self {
            id: RecordId::new(record.id),
            data: RecordData {
                name: dns_name(&record.name),
                kind: record.kind,
                content: record.content.unwrap_or_default(),
                proxied: record.proxied.unwrap_or(false),
                ttl: record.ttl.unwrap_or(AUTOMATIC_TTL),
                comment: record.comment.unwrap_or_default(),
            },
        }
    }
}

impl Identified for WireRecord {
    fn id(&self) -> &str {
        &self.id
    }
}

#[derive(Serialize)]
pub(crate) struct WireBatch<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deletes: Vec<WireRecordId<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    puts: Vec<WireRecordData<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    posts: Vec<WireRecordData<'a>>,
}

#[derive(Serialize)]
struct WireRecordId<'a> {
    id: &'a str,
}

#[derive(Serialize)]
struct WireRecordData<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    content: &'a str,
    proxied: bool,
    ttl: u32,
    comment: &'a str,
}

impl<'a> WireRecordData<'a> {
    fn new(id: Option<&'a RecordId>, data: &'a RecordData) -> Self {
        Self {
            id: id.map(RecordId::as_str),
            name: &data.name,
            kind: &data.kind,
            content: &data.content,
            proxied: data.proxied,
            ttl: data.ttl,
            comment: &data.comment,
        }
    }
}

impl<'a> From<&'a RecordBatch> for WireBatch<'a> {
    fn from(batch: &'a RecordBatch) -> Self {
        let id = |id: &'a RecordId| WireRecordId { id: id.as_str() };
        let put = |(id, data): &'a (RecordId, RecordData)| WireRecordData::new(Some(id), data);
        let post = |data: &'a RecordData| WireRecordData::new(None, data);
        Self {
            deletes: batch.deletes.iter().map(id).collect(),
            puts: batch.puts.iter().map(put).collect(),
            posts: batch.posts.iter().map(post).collect(),
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct WireTokenStatus {
    /// `active`, `disabled` or `expired`.
    pub(crate) status: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_has_its_state_and_its_name_in_the_form_of_dns() {
        for (json, name, state) in [
            (
                r#"{"id":"z","name":"Example.com"}"#,
                "example.com",
                ZoneState::Active,
            ),
            (
                r#"{"id":"z","name":"bücher.example","status":"active","paused":false,"type":"full"}"#,
                "xn--bcher-kva.example",
                ZoneState::Active,
            ),
            (
                r#"{"id":"z","name":"a.b","status":"pending","paused":true}"#,
                "a.b",
                ZoneState::Pending,
            ),
            (
                r#"{"id":"z","name":"a.b","status":"initializing"}"#,
                "a.b",
                ZoneState::Pending,
            ),
            (
                r#"{"id":"z","name":"a.b","status":"moved"}"#,
                "a.b",
                ZoneState::Pending,
            ),
            (
                r#"{"id":"z","name":"a.b","paused":true,"type":"partial"}"#,
                "a.b",
                ZoneState::Paused,
            ),
            (
                r#"{"id":"z","name":"a.b","status":"active","type":"partial"}"#,
                "a.b",
                ZoneState::Partial,
            ),
            (
                r#"{"id":"z","name":"a.b","status":"new word","type":"other"}"#,
                "a.b",
                ZoneState::Active,
            ),
        ] {
            let zone: WireZone = serde_json::from_str(json).unwrap();
            let zone = Zone::from(zone);
            assert_eq!((zone.name.as_str(), zone.state), (name, state), "{json}");
        }
        assert_eq!(dns_name("*.bücher.example"), "*.xn--bcher-kva.example");
    }

    #[test]
    fn only_documents_of_our_form_are_read_as_documents() {
        let a = r#"{"hostname":"a.example.com","service":"http://a","originRequest":{}}"#;
        let rest = r#"{"service":"http_status:404"}"#;
        for (json, expected) in [
            (r#"{"config":null}"#.to_owned(), None),
            ("{}".to_owned(), None),
            (r#"{"config":{}}"#.to_owned(), None),
            (r#"{"config":{"ingress":null}}"#.to_owned(), None),
            (r#"{"config":{"ingress":[]}}"#.to_owned(), None),
            (format!(r#"{{"config":{{"ingress":[{rest}]}}}}"#), Some(0)),
            (
                format!(
                    r#"{{"config":{{"ingress":[{a},{rest}],"warp-routing":{{"enabled":false}}}}}}"#
                ),
                Some(1),
            ),
            (
                format!(
                    r#"{{"config":{{"ingress":[{a},{{"hostname":"","path":"","service":"http_status:404"}}]}}}}"#
                ),
                Some(1),
            ),
            (format!(r#"{{"config":{{"ingress":[{a}]}}}}"#), None),
            (
                format!(r#"{{"config":{{"ingress":[{rest},{rest}]}}}}"#),
                None,
            ),
            (
                format!(
                    r#"{{"config":{{"ingress":[{{"hostname":"a.example.com","path":"/x","service":"s"}},{rest}]}}}}"#
                ),
                Some(1),
            ),
            (
                format!(r#"{{"config":{{"ingress":[{{"hostname":"*","service":"s"}},{rest}]}}}}"#),
                None,
            ),
        ] {
            let wire: WireConfiguration = serde_json::from_str(&json).unwrap();
            let rules = wire.into_domain().map(|document| document.rules.len());
            assert_eq!(rules, expected, "{json}");
        }
    }

    #[test]
    fn a_tunnel_says_in_two_ways_where_its_document_is() {
        for (fields, expected) in [
            ("", false),
            (r#","remote_config":true"#, true),
            (r#","remote_config":false"#, false),
            (r#","config_src":"cloudflare""#, true),
            (r#","config_src":"local","remote_config":true"#, false),
            (r#","config_src":null,"remote_config":true"#, true),
        ] {
            let json =
                format!(r#"{{"id":"c1744f8b-faa1-48a4-9e5c-02ac921467fa","name":"n"{fields}}}"#);
            let wire: WireTunnel = serde_json::from_str(&json).unwrap();
            assert_eq!(
                wire.into_domain().unwrap().remotely_configured,
                expected,
                "{json}"
            );
        }
    }
}
