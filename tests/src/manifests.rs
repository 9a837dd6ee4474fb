//! Manifests by intention, as texts.

use std::net::SocketAddr;

/// Secret, GatewayClass `cloudflare` and a Gateway `default/my-gateway` with one HTTPS listener.
pub fn gateway(token: &str, account: &str) -> String {
    format!(
        "{}---\n{}---\n{}",
        secret("cloudflare-creds", token, account),
        class(),
        gateway_named("my-gateway")
    )
}

/// A Secret with Cloudflare credentials in `default`.
pub fn secret(name: &str, token: &str, account: &str) -> String {
    format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: {name}, namespace: default}}
stringData:
  CLOUDFLARE_API_TOKEN: \"{token}\"
  CLOUDFLARE_ACCOUNT_ID: \"{account}\"
"
    )
}

/// GatewayClass `cloudflare` with its credentials in Secret `default/cloudflare-creds`.
pub fn class() -> String {
    "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: cloudflare}
spec:
  controllerName: cloudflare-gateway-controller.io/controller
  parametersRef: {group: \"\", kind: Secret, name: cloudflare-creds, namespace: default}
"
    .to_owned()
}

/// GatewayClass `cloudflare` that names no credentials, as behind a broker.
pub fn class_without_parameters() -> String {
    let text = class();
    let lines = text.lines().filter(|line| !line.contains("parametersRef"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// A Gateway in `default` with one HTTPS listener.
pub fn gateway_named(name: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: default}}
spec:
  gatewayClassName: cloudflare
  listeners:
    - {{name: https, protocol: HTTPS, port: 443}}
"
    )
}

/// An HTTPRoute in `default` on `my-gateway`, with all of a hostname's traffic to one Service.
pub fn route(name: &str, hostname: &str, service: &str) -> String {
    route_with(
        name,
        "my-gateway",
        &[hostname],
        &format!("    - backendRefs: [{{name: {service}, port: 80}}]\n"),
    )
}

/// An HTTPRoute in `default` with rules as YAML, indented by four.
pub fn route_with(name: &str, gateway: &str, hostnames: &[&str], rules: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: default}}
spec:
  parentRefs: [{{name: {gateway}}}]
  hostnames: {hostnames:?}
  rules:
{rules}"
    )
}

/// A Service in `default` with port 80, and an EndpointSlice for each endpoint.
pub fn service(name: &str, endpoints: &[SocketAddr]) -> String {
    service_speaking(name, endpoints, "http")
}

/// The same, with an `appProtocol`.
pub fn service_speaking(name: &str, endpoints: &[SocketAddr], protocol: &str) -> String {
    let mut text = format!(
        "apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: default}}
spec:
  ports:
    - {{name: http, port: 80, appProtocol: {protocol}}}
"
    );
    for (n, endpoint) in endpoints.iter().enumerate() {
        text += &slice(name, n, *endpoint, "{}");
    }
    text
}

/// The EndpointSlice number `n` of a Service, with one endpoint in this condition.
pub fn slice(service: &str, n: usize, endpoint: SocketAddr, conditions: &str) -> String {
    format!(
        "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {service}-{n}
  namespace: default
  labels: {{kubernetes.io/service-name: {service}}}
addressType: IPv4
ports: [{{name: http, port: {port}}}]
endpoints: [{{addresses: [\"{ip}\"], conditions: {conditions}}}]
",
        port = endpoint.port(),
        ip = endpoint.ip(),
    )
}
