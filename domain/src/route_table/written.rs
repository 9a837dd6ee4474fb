//! How tables are written and read where that needs a word.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serializer};

use super::{Upstream, UpstreamKey};

/// Reads a list that takes the room that it needs. A list of unknown length is read with room for four, and a table has
/// four lists of mostly one entry for each route.
pub(super) fn exact<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let mut list = Vec::deserialize(deserializer)?;
    list.shrink_to_fit();
    Ok(list)
}

/// Whether a part of a rule says nothing.
pub(super) fn is_default<T: Default + PartialEq>(part: &T) -> bool {
    *part == T::default()
}

/// Upstreams as a list of pairs: a key has parts, and JSON's keys are texts.
pub(super) fn serialize<S: Serializer>(
    upstreams: &BTreeMap<UpstreamKey, Upstream>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(upstreams)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<UpstreamKey, Upstream>, D::Error> {
    let pairs = Vec::<(UpstreamKey, Upstream)>::deserialize(deserializer)?;
    Ok(pairs.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;

    use crate::gateway::{BackendKind, EndpointHost, Protocol, RouteKind, RulePolicy, Timeouts};
    use crate::names::{Hostname, ObjectKey, Timestamp};
    use crate::route_table::{
        BackendTarget, RouteTable, TableBackend, TableListener, TableRoute, TableRule, Upstream,
        UpstreamEndpoint, UpstreamKey, UpstreamProtocol,
    };

    fn rule(policy: RulePolicy, target: BackendTarget) -> TableRule {
        TableRule {
            matches: Vec::new(),
            filters: Vec::new(),
            policy,
            backends: vec![TableBackend {
                weight: 1,
                target,
                filters: Vec::new(),
            }],
        }
    }

    #[test]
    fn a_table_is_read_as_it_was_written_and_a_policy_that_says_nothing_is_not_written() {
        let upstream = |name: &str| UpstreamKey {
            kind: BackendKind::Service,
            service: ObjectKey::new("shop", name),
            port: 80,
            protocol: UpstreamProtocol::Http1,
        };
        let endpoint = |port| UpstreamEndpoint {
            host: EndpointHost::Address("10.0.0.1".parse().unwrap()),
            port,
        };
        let timeouts = Timeouts {
            request: Some(Duration::from_secs(1)),
            backend_request: None,
        };
        let policy = RulePolicy {
            timeouts,
            ..RulePolicy::default()
        };
        let rules = vec![
            rule(policy, BackendTarget::Upstream(upstream("a"))),
            rule(RulePolicy::default(), BackendTarget::Invalid),
        ];
        let table = RouteTable {
            client_validation: Vec::new(),
            gateway: ObjectKey::new("shop", "edge"),
            listeners: vec![TableListener {
                name: "web".to_owned(),
                port: 443,
                protocol: Protocol::Https,
                hostname: None,
                filters: Vec::new(),
                routes: vec![TableRoute {
                    broader: None,
                    key: ObjectKey::new("shop", "store"),
                    kind: RouteKind::Http,
                    created: Timestamp(1),
                    hostnames: vec![Hostname::parse("app.example.com").unwrap()],
                    rules,
                }],
            }],
            upstreams: [("a", vec![endpoint(1), endpoint(2)]), ("b", Vec::new())]
                .map(|(name, endpoints)| {
                    let draining = Vec::new();
                    (
                        upstream(name),
                        Upstream {
                            endpoints,
                            draining,
                            tls: None,
                            retries: None,
                            outside: None,
                        },
                    )
                })
                .into(),
        };
        assert_eq!(upstream("a").to_string(), "Service shop/a:80");
        let import = UpstreamKey {
            kind: BackendKind::ServiceImport,
            ..upstream("a")
        };
        let written = serde_json::to_value(&import).unwrap();
        assert_eq!(written["kind"], "service_import");
        assert_eq!(import, serde_json::from_value(written).unwrap());
        let written = serde_json::to_value(&table).unwrap();
        let rules = &written["listeners"][0]["routes"][0]["rules"];
        assert_ne!(rules[0]["policy"], Value::Null);
        assert_eq!(rules[1]["policy"], Value::Null);
        assert_eq!(written["upstreams"][1][0]["service"]["name"], "b");
        assert_eq!(written["upstreams"][1][0]["kind"], Value::Null);
        assert_eq!(
            serde_json::from_value::<RouteTable>(written).unwrap(),
            table
        );
    }
}
