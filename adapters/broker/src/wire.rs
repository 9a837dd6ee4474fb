//! The documents of version 1. Every field is required and an unknown one is refused, so that neither side
//! acts on half of what the other meant. There is no field for credentials of Cloudflare, no answer but
//! [`TokenDocument`] and [`SessionDocument`] holds a secret, and no question but [`PairsDocument`].

pub mod audit;
mod certificates;
mod dns;
mod events;
mod lease;
pub mod oidc;
pub mod people;
mod plan;
mod session;
mod status;

use std::collections::{BTreeMap, BTreeSet};

use domain::edge::tunnel::{DashboardPaths, RULE_LIMIT};
use domain::edge::{DnsIntent, EdgeIntent, Policy};
use domain::names::{MalformedName, is_dns_label, is_object_name};
use domain::secret::{ConnectorToken, TokenHash};
use domain::{Hostname, ObjectKey};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, Object, ObjectBuilder, Type};

use crate::openapi::texts::{DnsName, Namespace, ObjectName, Sha256};
use certificates::CertificateDocument;
pub use certificates::PairsDocument;
use dns::{DnsDocument, RecordsDocument};
pub use events::EventsDocument;
pub use lease::{LeaseDocument, LeaseRequest};
pub use plan::{PlanDocument, PlanRequest};
pub use session::{
    AttestationDocument, EnrolledDocument, EnrolmentDocument, PendingDocument, SessionDocument,
    SessionRequest, TermDocument, TermRequest,
};
pub use status::StatusDocument;

/// Bytes of a request's document, at most. Cloudflare's limit of records in a zone is reached far earlier.
pub const LARGEST_INTENT: usize = 1 << 20;

/// Bytes of an answer, at most: an intent's hostnames with a message each.
pub const LARGEST_ANSWER: usize = 16 << 20;

/// What a document says that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

impl From<MalformedName> for Malformed {
    fn from(error: MalformedName) -> Self {
        Self(error.to_string())
    }
}

/// Namespace and name of a Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GatewayDocument {
    #[schema(value_type = Namespace)]
    pub namespace: String,
    #[schema(value_type = ObjectName)]
    pub name: String,
}

impl GatewayDocument {
    /// The document of a Gateway's key.
    pub fn of(key: &ObjectKey) -> Self {
        Self {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
        }
    }

    /// The key, if both parts are names as Kubernetes has them.
    pub fn read(self) -> Result<ObjectKey, Malformed> {
        gateway_key(&self.namespace, &self.name)
    }
}

/// Namespace and name of a Gateway. Such names need no encoding in a path, so an encoded path is never a right one.
pub(crate) fn gateway_key(namespace: &str, name: &str) -> Result<ObjectKey, Malformed> {
    if !is_dns_label(namespace) {
        let problem = "the namespace must have 1 to 63 of a-z, 0-9 and inner `-`";
        return Err(Malformed(problem.to_owned()));
    }
    if !is_object_name(name) {
        let problem = "the name must be labels of a-z, 0-9 and inner `-` with dots between them, 253 characters at most";
        return Err(Malformed(problem.to_owned()));
    }
    Ok(ObjectKey::new(namespace, name))
}

/// Body of `PUT …/intent`: an `EdgeIntent` whose Gateway stands in the path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IntentDocument {
    /// Those that are to lead to the Gateway.
    #[schema(value_type = BTreeSet<DnsName>)]
    hostnames: Vec<String>,
    /// Paths that the dashboard is to show, by hostname; at most 1,000 in all.
    #[schema(schema_with = paths)]
    paths: BTreeMap<String, BTreeSet<String>>,
    /// Hostnames that another Gateway of the cluster has.
    lost_to: Vec<LostDocument>,
    dns: DnsDocument,
    records: RecordsDocument,
    /// Certificates that are to be shown, at most 64; `null` where they are not known, and what is there stays.
    certificates: Option<Vec<CertificateDocument>>,
    policy: PolicyDocument,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum PolicyDocument {
    Sync,
    KeepRecords,
    UpsertOnly,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LostDocument {
    #[schema(value_type = DnsName)]
    hostname: String,
    to: GatewayDocument,
}

/// Regular expressions by hostname.
fn paths() -> Object {
    let text = ObjectBuilder::new().schema_type(Type::String);
    let mut paths = ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(
            "Paths that the dashboard shows, by hostname; at most 1,000 in all.",
        ))
        .additional_properties(Some(ArrayBuilder::new().items(text)))
        .build();
    if let RefOr::T(names) = <DnsName as utoipa::PartialSchema>::schema() {
        paths.property_names = Some(Box::new(names));
    }
    paths
}

impl IntentDocument {
    /// The document of an intent.
    pub fn of(intent: &EdgeIntent) -> Self {
        let lost_to = intent.dns.lost_to.iter();
        Self {
            hostnames: intent.hostnames.iter().map(ToString::to_string).collect(),
            paths: intent
                .paths
                .iter()
                .map(|(hostname, paths)| (hostname.to_string(), paths.clone()))
                .collect(),
            lost_to: lost_to
                .map(|(hostname, holder)| LostDocument {
                    hostname: hostname.to_string(),
                    to: GatewayDocument::of(holder),
                })
                .collect(),
            dns: DnsDocument::of(&intent.dns.managed),
            records: RecordsDocument::of(&intent.dns.records),
            certificates: intent.certificates.as_ref().map(|certificates| {
                let certificates = certificates.iter();
                certificates.map(CertificateDocument::of).collect()
            }),
            policy: match intent.policy {
                Policy::Sync => PolicyDocument::Sync,
                Policy::KeepRecords => PolicyDocument::KeepRecords,
                Policy::UpsertOnly => PolicyDocument::UpsertOnly,
            },
        }
    }

    /// The intent for a Gateway. Each hostname stands once, either wanted or lost to another Gateway.
    pub fn read(self, gateway: ObjectKey) -> Result<EdgeIntent, Malformed> {
        let twice = |hostname: &Hostname| Malformed(format!("{hostname} is there twice"));
        let mut hostnames = BTreeSet::new();
        for text in &self.hostnames {
            let hostname = published(text)?;
            if !hostnames.insert(hostname.clone()) {
                return Err(twice(&hostname));
            }
        }
        let mut lost_to = BTreeMap::new();
        for entry in self.lost_to {
            let hostname = published(&entry.hostname)?;
            if lost_to.insert(hostname.clone(), entry.to.read()?).is_some() {
                return Err(twice(&hostname));
            }
        }
        let paths = self.paths.into_iter();
        let paths = paths.map(|(text, paths)| Ok((published(&text)?, paths)));
        let paths: DashboardPaths = paths.collect::<Result<_, Malformed>>()?;
        if paths.values().map(BTreeSet::len).sum::<usize>() > RULE_LIMIT {
            return Err(Malformed(format!("there are more than {RULE_LIMIT} paths")));
        }
        Ok(EdgeIntent {
            hostnames,
            paths,
            policy: match self.policy {
                PolicyDocument::Sync => Policy::Sync,
                PolicyDocument::KeepRecords => Policy::KeepRecords,
                PolicyDocument::UpsertOnly => Policy::UpsertOnly,
            },
            dns: DnsIntent {
                managed: self.dns.read()?,
                lost_to,
                records: self.records.read()?,
            },
            certificates: self
                .certificates
                .map(CertificateDocument::read_all)
                .transpose()?,
            ..EdgeIntent::new(gateway)
        })
    }
}

/// A hostname that may be published. A controller asks for no other.
fn published(text: &str) -> Result<Hostname, Malformed> {
    let hostname = hostname(text)?;
    match hostname.reserved() {
        None => Ok(hostname),
        Some(name) => Err(Malformed(format!(
            "{hostname} must not be {name} or lie below it, because that name is reserved"
        ))),
    }
}

fn hostname(text: &str) -> Result<Hostname, Malformed> {
    Hostname::parse(text).map_err(Malformed::from)
}

/// Answer to `GET …/gateways`: the Gateways of the asking cluster that hold anything at the edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnedDocument {
    gateways: Vec<GatewayDocument>,
}

impl OwnedDocument {
    /// The document of these Gateways, in their order.
    pub fn of(gateways: &BTreeSet<ObjectKey>) -> Self {
        Self {
            gateways: gateways.iter().map(GatewayDocument::of).collect(),
        }
    }

    /// The Gateways that the document names.
    pub fn read(self) -> Result<BTreeSet<ObjectKey>, Malformed> {
        self.gateways
            .into_iter()
            .map(GatewayDocument::read)
            .collect()
    }
}

/// Body of `PUT …/gateways`: every Gateway of the asking cluster that may have something at the edge. What
/// is left of others is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LiveDocument {
    live: Vec<GatewayDocument>,
}

impl LiveDocument {
    /// The document of these Gateways, in their order.
    pub fn of(gateways: &BTreeSet<ObjectKey>) -> Self {
        Self {
            live: gateways.iter().map(GatewayDocument::of).collect(),
        }
    }

    /// The Gateways that the document names.
    pub fn read(self) -> Result<BTreeSet<ObjectKey>, Malformed> {
        self.live.into_iter().map(GatewayDocument::read).collect()
    }
}

/// Answer to `PUT …/gateways`: names of the records that were removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SweptDocument {
    /// In the asking cluster's own zones, so that it may know them.
    pub swept: BTreeSet<String>,
}

/// Answer to `GET …/token`.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenDocument {
    /// One for each tunnel of the Gateway.
    tokens: Vec<String>,
    /// Whether these are all.
    are_all: bool,
}

impl std::fmt::Debug for TokenDocument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenDocument(…)")
    }
}

impl TokenDocument {
    /// The document of a token. It holds the secret.
    pub fn of(token: &ConnectorToken) -> Self {
        let tokens = token.tunnels();
        Self {
            tokens: tokens.map(|token| token.expose().to_owned()).collect(),
            are_all: !token.is_partial(),
        }
    }

    /// The token that the document holds.
    pub fn read(self) -> Result<ConnectorToken, Malformed> {
        let is_one = |token: &String| ConnectorToken::new(token.as_str()).tunnels().count() == 1;
        if self.tokens.is_empty() || !self.tokens.iter().all(is_one) {
            return Err(Malformed("a token is empty or more than one".to_owned()));
        }
        let tokens: Vec<_> = self.tokens.into_iter().map(ConnectorToken::new).collect();
        Ok(ConnectorToken::of_tunnels(&tokens, !self.are_all))
    }
}

/// Body of `PUT …/token`: the token with this hash is to be replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetiredDocument {
    /// SHA-256 of the token, in hexadecimal digits.
    #[schema(value_type = Sha256)]
    retired: String,
}

impl RetiredDocument {
    /// The form of a hash.
    pub fn of(retired: TokenHash) -> Self {
        Self {
            retired: retired.to_string(),
        }
    }

    /// The hash.
    pub fn read(self) -> Result<TokenHash, Malformed> {
        TokenHash::parse(&self.retired)
            .ok_or_else(|| Malformed("retired: must be 64 hexadecimal digits".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read_as_it_was_written() {
        let gateway = ObjectKey::new("default", "one");
        for policy in [Policy::Sync, Policy::KeepRecords, Policy::UpsertOnly] {
            let intent = EdgeIntent {
                policy,
                paths: [(
                    hostname("a.example.com").unwrap(),
                    BTreeSet::from(["^/cart(/|$)".to_owned()]),
                )]
                .into(),
                ..EdgeIntent::new(gateway.clone())
            };
            let written = serde_json::to_string(&IntentDocument::of(&intent)).unwrap();
            let document: IntentDocument = serde_json::from_str(&written).unwrap();
            assert_eq!(document.read(gateway.clone()), Ok(intent));
        }
    }
}
