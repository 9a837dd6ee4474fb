//! The documents of version 1. Every field is required and an unknown one is refused, so that neither side
//! acts on half of what the other meant. There is no field for credentials, and no answer but [`TokenDocument`] holds a
//! secret.

use std::collections::{BTreeMap, BTreeSet};

use domain::edge::tunnel::{DashboardPaths, RULE_LIMIT};
use domain::edge::{
    Changes, DnsIntent, EdgeIntent, EdgeStatus, HostnameOutcome, IngressOutcome, Policy,
    TunnelStatus,
};
use domain::names::{MalformedName, is_dns_label, is_object_name};
use domain::secret::{ConnectorToken, TokenHash};
use domain::{Hostname, Installation, InstallationName, InstanceId, ObjectKey, TunnelId};
use serde::{Deserialize, Serialize};

use crate::problem::FailureDocument;
use crate::wire_dns::{DnsDocument, HeldBackDocument, RecordsDocument, ZoneDocument};

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayDocument {
    pub namespace: String,
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

/// Body of `PUT …/intent`: an [`EdgeIntent`] whose Gateway stands in the path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntentDocument {
    hostnames: Vec<String>,
    /// By hostname; at most [`RULE_LIMIT`] in all.
    paths: BTreeMap<String, BTreeSet<String>>,
    lost_to: Vec<LostDocument>,
    dns: DnsDocument,
    records: RecordsDocument,
    policy: PolicyDocument,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PolicyDocument {
    Sync,
    KeepRecords,
    UpsertOnly,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LostDocument {
    hostname: String,
    to: GatewayDocument,
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

pub(crate) fn hostname(text: &str) -> Result<Hostname, Malformed> {
    Hostname::parse(text).map_err(Malformed::from)
}

/// Answer to `PUT …/intent`: an [`EdgeStatus`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusDocument {
    tunnels: Vec<TunnelDocument>,
    hostnames: BTreeMap<String, OutcomeDocument>,
    ingress: IngressDocument,
    failures: Vec<FailureDocument>,
    unwanted_kept: Option<BTreeSet<String>>,
    namesakes: Vec<InstallationDocument>,
    zones: Vec<ZoneDocument>,
    repaired: BTreeMap<String, String>,
    held_back: Option<HeldBackDocument>,
    changes: ChangesDocument,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangesDocument {
    listed: Vec<String>,
    more: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InstallationDocument {
    name: String,
    instance: String,
}

impl InstallationDocument {
    fn of(installation: &Installation) -> Self {
        Self {
            name: installation.name.to_string(),
            instance: installation.instance.to_string(),
        }
    }

    fn read(&self) -> Result<Installation, MalformedName> {
        Ok(Installation {
            name: InstallationName::parse(&self.name)?,
            instance: InstanceId::parse(&self.instance)?,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TunnelDocument {
    id: String,
    name: String,
    address: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum OutcomeDocument {
    Applied,
    Conflict { found: String },
    Adoptable { found: String, code: String },
    Drifted { difference: String },
    Paused { because: String },
    Namesake { tunnel: String },
    Claimed { by: GatewayDocument },
    NoZone,
    Forbidden { message: String },
    NotManaged,
    NotPermitted { message: String },
    Refused { message: String },
    Unknown { message: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum IngressDocument {
    Complete,
    WithoutPaths,
    CatchAll { hostnames: usize },
    Unknown { message: String },
}

impl StatusDocument {
    /// The form of a status, without what a cluster may not learn: a record in the way is described without
    /// the tunnel it leads to, which may be another cluster's.
    pub fn of(status: EdgeStatus) -> Self {
        let hostnames = status.hostnames.into_iter();
        Self {
            tunnels: status
                .tunnels
                .into_iter()
                .map(|tunnel| TunnelDocument {
                    id: tunnel.id.to_string(),
                    name: tunnel.name,
                    address: tunnel.address,
                })
                .collect(),
            hostnames: hostnames
                .map(|(hostname, outcome)| (hostname.to_string(), OutcomeDocument::of(outcome)))
                .collect(),
            ingress: match status.ingress {
                IngressOutcome::Complete => IngressDocument::Complete,
                IngressOutcome::WithoutPaths => IngressDocument::WithoutPaths,
                IngressOutcome::CatchAll { hostnames } => IngressDocument::CatchAll { hostnames },
                IngressOutcome::Unknown { message } => IngressDocument::Unknown { message },
            },
            failures: status.failures.iter().map(FailureDocument::of).collect(),
            unwanted_kept: status
                .unwanted_kept
                .map(|unwanted_kept| unwanted_kept.iter().map(ToString::to_string).collect()),
            namesakes: status
                .namesakes
                .iter()
                .map(InstallationDocument::of)
                .collect(),
            zones: status.zones.iter().map(ZoneDocument::of).collect(),
            repaired: status
                .repaired
                .into_iter()
                .map(|(hostname, was)| (hostname.to_string(), was))
                .collect(),
            held_back: status.held_back.as_ref().map(HeldBackDocument::of),
            changes: ChangesDocument {
                listed: status.changes.listed,
                more: status.changes.more,
            },
        }
    }

    /// The status that the document holds.
    pub fn read(self) -> Result<EdgeStatus, Malformed> {
        let tunnels = self.tunnels.into_iter().map(|tunnel| {
            Ok(TunnelStatus {
                id: tunnel.id.parse::<TunnelId>().map_err(Malformed::from)?,
                name: tunnel.name,
                address: tunnel.address,
            })
        });
        let failures = self.failures.into_iter().map(FailureDocument::read);
        let hostnames = self.hostnames.into_iter();
        let hostnames = hostnames.map(|(text, outcome)| Ok((hostname(&text)?, outcome.read()?)));
        let repaired = self.repaired.into_iter();
        let repaired = repaired.map(|(text, was)| Ok((hostname(&text)?, was)));
        Ok(EdgeStatus {
            tunnels: tunnels.collect::<Result<_, Malformed>>()?,
            hostnames: hostnames.collect::<Result<_, Malformed>>()?,
            ingress: match self.ingress {
                IngressDocument::Complete => IngressOutcome::Complete,
                IngressDocument::WithoutPaths => IngressOutcome::WithoutPaths,
                IngressDocument::CatchAll { hostnames } => IngressOutcome::CatchAll { hostnames },
                IngressDocument::Unknown { message } => IngressOutcome::Unknown { message },
            },
            unwanted_kept: match self.unwanted_kept {
                None => None,
                Some(unwanted_kept) => Some(
                    unwanted_kept
                        .iter()
                        .map(|name| hostname(name))
                        .collect::<Result<_, _>>()?,
                ),
            },
            namesakes: self
                .namesakes
                .iter()
                .map(InstallationDocument::read)
                .collect::<Result<_, _>>()?,
            zones: self.zones.into_iter().map(ZoneDocument::read).collect(),
            repaired: repaired.collect::<Result<_, Malformed>>()?,
            held_back: self.held_back.map(HeldBackDocument::read).transpose()?,
            changes: Changes {
                listed: self.changes.listed,
                more: self.changes.more,
            },
            certificates: BTreeMap::new(),
            failures: failures.collect(),
        })
    }
}

impl OutcomeDocument {
    fn of(outcome: HostnameOutcome) -> Self {
        match outcome {
            HostnameOutcome::Applied => Self::Applied,
            HostnameOutcome::Conflict { found } => Self::Conflict {
                found: without_tunnel(&found),
            },
            HostnameOutcome::Adoptable { found, code } => Self::Adoptable {
                found: without_tunnel(&found),
                code,
            },
            HostnameOutcome::Drifted { difference } => Self::Drifted { difference },
            HostnameOutcome::Paused { because } => Self::Paused {
                because: because.to_string(),
            },
            HostnameOutcome::Namesake { tunnel } => Self::Namesake { tunnel },
            HostnameOutcome::Claimed { by } => Self::Claimed {
                by: GatewayDocument::of(&by),
            },
            HostnameOutcome::NoZone => Self::NoZone,
            HostnameOutcome::Forbidden { message } => Self::Forbidden { message },
            HostnameOutcome::NotManaged => Self::NotManaged,
            HostnameOutcome::NotPermitted { message } => Self::NotPermitted { message },
            HostnameOutcome::Refused { message } => Self::Refused { message },
            HostnameOutcome::Unknown { message } => Self::Unknown { message },
        }
    }

    fn read(self) -> Result<HostnameOutcome, Malformed> {
        Ok(match self {
            Self::Applied => HostnameOutcome::Applied,
            Self::Conflict { found } => HostnameOutcome::Conflict { found },
            Self::Adoptable { found, code } => HostnameOutcome::Adoptable { found, code },
            Self::Drifted { difference } => HostnameOutcome::Drifted { difference },
            Self::Paused { because } => HostnameOutcome::Paused {
                because: hostname(&because)?,
            },
            Self::Namesake { tunnel } => HostnameOutcome::Namesake { tunnel },
            Self::Claimed { by } => HostnameOutcome::Claimed { by: by.read()? },
            Self::NoZone => HostnameOutcome::NoZone,
            Self::Forbidden { message } => HostnameOutcome::Forbidden { message },
            Self::NotManaged => HostnameOutcome::NotManaged,
            Self::NotPermitted { message } => HostnameOutcome::NotPermitted { message },
            Self::Refused { message } => HostnameOutcome::Refused { message },
            Self::Unknown { message } => HostnameOutcome::Unknown { message },
        })
    }
}

/// What a cluster may learn of a record in its way: all, but not which tunnel it leads to.
fn without_tunnel(found: &str) -> String {
    match found.split_once(" record ") {
        Some((kind, content)) if content.ends_with(".cfargotunnel.com") => format!("{kind} record"),
        _ => found.to_owned(),
    }
}

/// Answer to `GET …/gateways`: the Gateways of the asking cluster that hold anything at the edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweptDocument {
    /// In the asking cluster's own zones, so that it may know them.
    pub swept: BTreeSet<String>,
}

/// Answer to `DELETE`: which Gateway has nothing left. It is there so that an empty answer of something
/// that is no broker is not taken for a removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemovedDocument {
    pub removed: GatewayDocument,
}

/// Answer to `GET …/token`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenDocument {
    token: String,
}

impl std::fmt::Debug for TokenDocument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenDocument(…)")
    }
}

impl TokenDocument {
    /// The document of a token. It holds the secret.
    pub fn of(token: &ConnectorToken) -> Self {
        Self {
            token: token.expose().to_owned(),
        }
    }

    /// The token that the document holds.
    pub fn read(self) -> Result<ConnectorToken, Malformed> {
        if self.token.is_empty() {
            return Err(Malformed("the token is empty".to_owned()));
        }
        Ok(ConnectorToken::new(self.token))
    }
}

/// Body of `PUT …/token`, and the answer to it, which is there so that an empty answer of something that is no broker is
/// not taken for a replaced token: the token with this hash is not in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetiredDocument {
    /// SHA-256 of the token, in hexadecimal digits.
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
    use domain::ports::{PortError, PortErrorKind};

    #[test]
    fn every_outcome_of_a_hostname_is_read_as_it_was_written() {
        let message = || "quota".to_owned();
        let outcomes = [
            HostnameOutcome::Applied,
            HostnameOutcome::Conflict {
                found: "A record 192.0.2.1".to_owned(),
            },
            HostnameOutcome::Adoptable {
                found: message(),
                code: message(),
            },
            HostnameOutcome::Drifted {
                difference: message(),
            },
            HostnameOutcome::Paused {
                because: hostname("a.example.com").unwrap(),
            },
            HostnameOutcome::Namesake { tunnel: message() },
            HostnameOutcome::Claimed {
                by: ObjectKey::new("default", "one"),
            },
            HostnameOutcome::NoZone,
            HostnameOutcome::Forbidden { message: message() },
            HostnameOutcome::Refused { message: message() },
            HostnameOutcome::NotPermitted { message: message() },
            HostnameOutcome::NotManaged,
            HostnameOutcome::Unknown { message: message() },
        ];
        let name = |index: usize| hostname(&format!("n{index}.example.com")).unwrap();
        let outcomes = outcomes.into_iter().enumerate();
        let status = EdgeStatus {
            hostnames: outcomes
                .map(|(index, outcome)| (name(index), outcome))
                .collect(),
            failures: vec![PortError::new(PortErrorKind::Invalid, "quota")],
            repaired: [(name(0), message())].into(),
            changes: Changes {
                listed: vec![message()],
                more: 2,
            },
            ..EdgeStatus::default()
        };
        let written = serde_json::to_string(&StatusDocument::of(status.clone())).unwrap();
        let document: StatusDocument = serde_json::from_str(&written).unwrap();
        assert_eq!(document.read(), Ok(status));
    }

    #[test]
    fn a_policy_and_what_it_kept_are_read_as_they_were_written() {
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
        let name = hostname("a.example.com").unwrap();
        for kept in [None, Some(BTreeSet::new()), Some(BTreeSet::from([name]))] {
            let status = EdgeStatus {
                unwanted_kept: kept,
                ..EdgeStatus::default()
            };
            let written = serde_json::to_string(&StatusDocument::of(status.clone())).unwrap();
            let document: StatusDocument = serde_json::from_str(&written).unwrap();
            assert_eq!(document.read(), Ok(status));
        }
    }
}
