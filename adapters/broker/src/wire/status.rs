//! What a broker answers to an intent.

use std::collections::{BTreeMap, BTreeSet};

use domain::edge::{Changes, EdgeStatus, HostnameOutcome, IngressOutcome, TunnelStatus};
use domain::names::MalformedName;
use domain::{Installation, InstallationName, InstanceId, TunnelId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::certificates::ShownDocument;
use super::dns::{HeldBackDocument, ZoneDocument};
use super::{GatewayDocument, Malformed, hostname};
use crate::problem::FailureDocument;

/// Answer to `PUT …/intent`: an `EdgeStatus`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
    certificates: Vec<ShownDocument>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangesDocument {
    listed: Vec<String>,
    more: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TunnelDocument {
    id: String,
    name: String,
    address: String,
    /// Hostnames that it serves.
    hostnames: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
                    hostnames: tunnel.hostnames.iter().map(ToString::to_string).collect(),
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
            certificates: status
                .certificates
                .into_iter()
                .map(|(secret, outcome)| ShownDocument::of(&secret, outcome))
                .collect(),
        }
    }

    /// The status that the document holds.
    pub fn read(self) -> Result<EdgeStatus, Malformed> {
        let tunnels = self.tunnels.into_iter().map(|tunnel| {
            Ok(TunnelStatus {
                id: tunnel.id.parse::<TunnelId>().map_err(Malformed::from)?,
                name: tunnel.name,
                address: tunnel.address,
                hostnames: tunnel
                    .hostnames
                    .iter()
                    .map(|text| hostname(text))
                    .collect::<Result<_, _>>()?,
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
            certificates: self
                .certificates
                .into_iter()
                .map(ShownDocument::read)
                .collect::<Result<_, _>>()?,
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

#[cfg(test)]
mod tests {
    use domain::ObjectKey;
    use domain::ports::{PortError, PortErrorKind};

    use super::*;

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
    fn what_an_intent_kept_is_read_as_it_was_written() {
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
