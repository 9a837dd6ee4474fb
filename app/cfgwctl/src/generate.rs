//! `generate route` and `expose`: a route that brings a hostname to a Service.

use domain::gateway::GATEWAY_GROUP;
use domain::{Hostname, ObjectKey};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::objects::{Gateway, Service};

/// Names that a message lists.
const LISTED: usize = 8;

/// The route that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The Service; the route has its name and namespace.
    pub service: ObjectKey,
    pub port: u16,
    pub hostname: Hostname,
    pub gateway: ObjectKey,
}

impl Wanted {
    /// The HTTPRoute.
    pub fn route(&self) -> Value {
        let ObjectKey { namespace, name } = &self.service;
        let mut parent = json!({ "name": self.gateway.name });
        if self.gateway.namespace != *namespace {
            parent["namespace"] = self.gateway.namespace.clone().into();
        }
        json!({
            "apiVersion": format!("{GATEWAY_GROUP}/v1"),
            "kind": "HTTPRoute",
            "metadata": { "name": name, "namespace": namespace },
            "spec": {
                "parentRefs": [parent],
                "hostnames": [self.hostname.as_str()],
                "rules": [{ "backendRefs": [{ "name": name, "port": self.port }] }],
            },
        })
    }
}

/// A Gateway as it is written on the command line: `NAME` or `NAMESPACE/NAME`.
pub fn gateway_named(text: &str, namespace: &str) -> ObjectKey {
    match text.split_once('/') {
        Some((namespace, name)) => ObjectKey::new(namespace, name),
        None => ObjectKey::new(namespace, text),
    }
}

/// The Gateway where none is named: the only one of the namespace, or else of the cluster.
///
/// # Errors
/// There is none, or more than one.
pub fn only_gateway(gateways: &[Gateway], namespace: &str) -> Result<ObjectKey, Failure> {
    let keys = || gateways.iter().map(|gateway| gateway.metadata.key());
    let near: Vec<ObjectKey> = keys().filter(|key| key.namespace == namespace).collect();
    let meant = match near.is_empty() {
        true => keys().collect(),
        false => near,
    };
    match meant.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::new(
            "there is no Gateway of cloudflare-gateway-controller",
            "make one: docs/examples/kubernetes/minimal.yaml",
        )),
        several => Err(Failure::usage(
            format!("there are {} Gateways: {}", several.len(), listed(several)),
            "name one with --gateway",
        )),
    }
}

/// The port where none is named: the only one of the Service.
///
/// # Errors
/// The Service has none, or more than one.
pub fn only_port(service: &ObjectKey, found: &Service) -> Result<u16, Failure> {
    let ports: Vec<u16> = found.spec.ports.iter().map(|port| port.port).collect();
    match ports.as_slice() {
        [one] => Ok(*one),
        [] => Err(Failure::new(
            format!("Service {service}: spec.ports: Required value: it has no port"),
            "add one",
        )),
        several => Err(Failure::usage(
            format!("Service {service}: it has the ports {}", listed(several)),
            "name one with --port",
        )),
    }
}

fn listed<T: ToString>(items: &[T]) -> String {
    let shown: Vec<String> = items.iter().take(LISTED).map(ToString::to_string).collect();
    match items.len().saturating_sub(LISTED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::as_yaml;

    fn gateways(keys: &[(&str, &str)]) -> Vec<Gateway> {
        let gateway = |(namespace, name): &(&str, &str)| {
            let metadata = json!({ "namespace": namespace, "name": name });
            serde_json::from_value(json!({ "metadata": metadata })).expect("a Gateway")
        };
        keys.iter().map(gateway).collect()
    }

    #[test]
    fn a_route_names_the_namespace_of_its_gateway_where_that_is_another() {
        let wanted = Wanted {
            service: ObjectKey::new("shop", "cart"),
            port: 80,
            hostname: Hostname::parse("cart.example.com").expect("a hostname"),
            gateway: ObjectKey::new("infra", "web"),
        };
        assert_eq!(
            as_yaml(&wanted.route()),
            "apiVersion: gateway.networking.k8s.io/v1\n\
             kind: HTTPRoute\n\
             metadata:\n  name: cart\n  namespace: shop\n\
             spec:\n  hostnames:\n  - cart.example.com\n  parentRefs:\n  - name: web\n    namespace: infra\n  rules:\n  - backendRefs:\n    - name: cart\n      port: 80\n"
        );
        let near = Wanted {
            gateway: ObjectKey::new("shop", "web"),
            ..wanted
        };
        assert_eq!(
            near.route()["spec"]["parentRefs"],
            json!([{ "name": "web" }])
        );
    }

    #[test]
    fn the_only_gateway_is_meant_and_a_near_one_before_those_of_others() {
        let web = ("shop", "web");
        let (far, other) = (("infra", "web"), ("infra", "other"));
        for (given, known, expected) in [
            (
                "none",
                vec![],
                Err(
                    "error: there is no Gateway of cloudflare-gateway-controller; make one: docs/examples/kubernetes/minimal.yaml",
                ),
            ),
            ("one", vec![far], Ok("infra/web")),
            ("a near one", vec![far, web], Ok("shop/web")),
            (
                "two",
                vec![far, other],
                Err("error: there are 2 Gateways: infra/web, infra/other; name one with --gateway"),
            ),
        ] {
            let found = only_gateway(&gateways(&known), "shop");
            let found = found
                .map(|key| key.to_string())
                .map_err(|it| it.to_string());
            assert_eq!(
                found,
                expected.map(str::to_owned).map_err(str::to_owned),
                "{given}"
            );
        }
    }
}
