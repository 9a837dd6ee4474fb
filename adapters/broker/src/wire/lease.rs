//! What cluster and broker compare again and again.

use domain::broker::lease::{Compared, Listed};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{GatewayDocument, Malformed, gateway_key};
use crate::openapi::texts::{ControllerVersion, Namespace, ObjectName};

/// Body of `PUT /v1/lease`: what the controller that leads has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaseRequest {
    /// Its term.
    pub term: u64,
    /// Its version, for people.
    #[schema(value_type = ControllerVersion)]
    pub controller: String,
    /// Every Gateway of the cluster, as far as it knows them.
    gateways: Vec<VersionDocument>,
}

/// A Gateway with the version of what was stated of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct VersionDocument {
    #[schema(value_type = Namespace)]
    namespace: String,
    #[schema(value_type = ObjectName)]
    name: String,
    /// `null` where nothing was stated, or that is not known.
    version: Option<u64>,
}

fn versions(listed: &Listed) -> Vec<VersionDocument> {
    let one = |(gateway, version): (&domain::ObjectKey, &Option<u64>)| VersionDocument {
        namespace: gateway.namespace.clone(),
        name: gateway.name.clone(),
        version: *version,
    };
    listed.iter().map(one).collect()
}

fn read(documents: Vec<VersionDocument>) -> Result<Listed, Malformed> {
    let mut listed = Listed::new();
    for document in documents {
        let gateway = gateway_key(&document.namespace, &document.name)?;
        if listed.insert(gateway.clone(), document.version).is_some() {
            return Err(Malformed(format!("Gateway {gateway} is there twice")));
        }
    }
    Ok(listed)
}

impl LeaseRequest {
    /// The document of what a controller of this program has.
    pub fn of(term: u64, listed: &Listed) -> Self {
        Self {
            term,
            controller: env!("CARGO_PKG_VERSION").to_owned(),
            gateways: versions(listed),
        }
    }

    /// What the controller has.
    pub fn read(self) -> Result<Listed, Malformed> {
        let version = &self.controller;
        let is_plain = version.bytes().all(|byte| byte.is_ascii_graphic());
        if version.is_empty() || version.len() > 64 || !is_plain {
            let problem = "controller: must be 1 to 64 visible letters of ASCII";
            return Err(Malformed(problem.to_owned()));
        }
        read(self.gateways)
    }
}

/// Answer to it: what the broker has otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaseDocument {
    /// The newest term of the cluster. An earlier one than asked with: the store is one from before.
    pub term: u64,
    /// Gateways of which the broker has another version, with that: state them again.
    differing: Vec<VersionDocument>,
    /// Gateways that the broker has and the request does not name. They stay until they are removed by name.
    unlisted: Vec<GatewayDocument>,
}

impl LeaseDocument {
    /// The document of what was found.
    pub fn of(term: u64, compared: &Compared) -> Self {
        let unlisted = compared.unlisted.iter();
        Self {
            term,
            differing: versions(&compared.differing),
            unlisted: unlisted.map(GatewayDocument::of).collect(),
        }
    }

    /// What was found.
    pub fn read(self) -> Result<Compared, Malformed> {
        let unlisted = self.unlisted.into_iter().map(GatewayDocument::read);
        Ok(Compared {
            differing: read(self.differing)?,
            unlisted: unlisted.collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use domain::ObjectKey;

    use super::*;

    #[test]
    fn what_a_controller_has_is_read_as_it_was_written_and_each_gateway_stands_once() {
        let listed = [("one", Some(7)), ("two", None)];
        let listed = listed.map(|(name, version)| (ObjectKey::new("default", name), version));
        let listed = Listed::from(listed);
        let request = LeaseRequest::of(3, &listed);
        assert_eq!(request.clone().read(), Ok(listed));
        let mut twice = request.clone();
        twice.gateways.push(request.gateways[0].clone());
        assert!(twice.read().is_err());
        for controller in ["", "a b", "é", &"1".repeat(65)] {
            let controller = controller.to_owned();
            let other = LeaseRequest {
                controller,
                ..request.clone()
            };
            assert!(other.read().is_err());
        }
    }
}
