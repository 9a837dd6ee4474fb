//! What cluster and broker compare again and again.

use domain::broker::lease::{Compared, Listed};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::{GatewayDocument, Malformed, gateway_key};
use crate::openapi::texts::{ControllerVersion, Namespace, Number, ObjectName};

/// Body of `PUT /v1/lease`: what the controller that leads has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaseRequest {
    /// Its term.
    #[serde(deserialize_with = "number")]
    #[schema(value_type = Number)]
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
    #[serde(default, deserialize_with = "number_or_null")]
    #[schema(value_type = Option<Number>)]
    version: Option<u64>,
}

/// A whole number of JSON, which may be written `1.0`.
fn whole(written: &serde_json::Number) -> Option<u64> {
    /// Up to here each whole number has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let float = written.as_f64();
    let float = float.filter(|float| float.fract() == 0.0 && (0.0..EXACT).contains(float));
    written.as_u64().or(float.map(|float| float as u64))
}

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    number_or_null(from)?.ok_or_else(|| D::Error::custom("must be a number"))
}

fn number_or_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let written = Option::<serde_json::Number>::deserialize(from)?;
    let read = |written| {
        whole(&written).ok_or_else(|| {
            D::Error::custom("must be a whole number from 0 to 18446744073709551615")
        })
    };
    written.map(read).transpose()
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

    #[test]
    fn a_number_is_whole_however_it_is_written() {
        for (written, expected) in [
            ("0", Some(0)),
            ("17", Some(17)),
            ("17.0", Some(17)),
            ("1e2", Some(100)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("1.5", None),
            ("-1", None),
            ("null", None),
            ("1e300", None),
        ] {
            let text = format!(r#"{{"term":{written},"controller":"1","gateways":[]}}"#);
            let read = serde_json::from_str::<LeaseRequest>(&text);
            assert_eq!(read.ok().map(|read| read.term), expected, "{written}");
        }
    }
}
