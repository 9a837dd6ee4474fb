//! What of a Gateway and its parameters an entry of `spec.tenants` keeps from the pods.

use super::fixtures::*;
use super::tenants::{refusal, restricted, shared_gateway, tenant};
use crate::gateway::{
    AllowedKeys, GatewayParameters, Json, KeyPattern, OWN_GROUP, PARAMETERS_KIND, PatchOperation,
    PodParameters, ProxySettings, Replica, Tenant, TunnelParameters,
};
use crate::report::{GatewayFacts, report};
use crate::status::{ConditionType, Truth};
use crate::workload::Replicas;

#[test]
fn labels_annotations_and_nodes_that_are_not_permitted_are_left_out_and_told() {
    let listed = |pattern: &str| AllowedKeys::Listed(vec![KeyPattern::parse(pattern).unwrap()]);
    let strict = Tenant {
        labels: listed("team.example.com/*"),
        annotations: AllowedKeys::Listed(vec![]),
        may_select_nodes: false,
        ..tenant(Some("shop"))
    };
    let mut edge = shared_gateway().parameters(object(OWN_GROUP, PARAMETERS_KIND, "shop/p"));
    let text = |text: &str| text.to_owned();
    edge.infrastructure.labels = [
        (text("team.example.com/cost"), text("7")),
        (text("istio-injection"), text("enabled")),
    ]
    .into();
    edge.infrastructure.annotations = [(text("eks.amazonaws.com/role-arn"), text("admin"))].into();
    let replica = Replica {
        name: text("a"),
        node_selector: [(text("node-role"), text("control-plane"))].into(),
        affinity: Some(Json::new("{}")),
        ..Replica::default()
    };
    let mut own = GatewayParameters {
        replicas: Some(vec![replica]),
        ..parameters()
    };
    let operation = PatchOperation {
        op: text("remove"),
        path: text("/spec"),
        json: Json::new("{}"),
    };
    own.tunnel.patches = Some(vec![operation]);
    own.tunnel.pods.tolerations = Some(Json::new("[]"));
    own.tunnel.pods.priority_class = Some(text("system-node-critical"));
    own.tunnel.pods.labels = Some([(text("istio-injection"), text("enabled"))].into());
    own.tunnel.settings.protocol = Some(text("quic"));
    let cluster = restricted(vec![strict]).with(edge).with(own);
    let resolution = resolved(&cluster);
    let workload = &resolution.gateway(EDGE).parameters.workload;
    let labels: Vec<&String> = workload.infrastructure.labels.keys().collect();
    assert_eq!(labels, ["team.example.com/cost"]);
    assert!(workload.infrastructure.annotations.is_empty());
    let Replicas::Named(replicas) = &workload.replicas else {
        panic!("{workload:?}");
    };
    assert!(replicas[0].node_selector.is_empty() && replicas[0].affinity.is_none());
    let tunnel = TunnelParameters {
        pods: PodParameters {
            labels: Some([].into()),
            ..PodParameters::default()
        },
        settings: ProxySettings {
            protocol: Some(text("quic")),
            ..ProxySettings::default()
        },
        ..TunnelParameters::default()
    };
    assert_eq!(
        *workload.tunnel, tunnel,
        "what the operator does not keep back"
    );

    assert_eq!(refusal(&resolution, EDGE), None, "nothing else breaks");
    let updates = report(&resolution, &facts(GatewayFacts::default()));
    let conditions = parts_of(updates, "Gateway").remove(0).conditions;
    let told = condition(&conditions, ConditionType::Parameters);
    assert_eq!(told.truth, Truth::False);
    for word in [
        "spec.infrastructure.labels: Forbidden: istio-injection",
        "spec.infrastructure.annotations: Forbidden: eks.amazonaws.com/role-arn",
        "spec.tunnel.replicas[0].nodeSelector",
        "spec.tunnel.replicas[0].affinity",
        "spec.tunnel.tolerations",
        "spec.tunnel.priorityClassName",
        "spec.tunnel.patches",
        "spec.tunnel.podLabels: Forbidden: istio-injection",
    ] {
        assert!(told.message.contains(word), "{word}: {}", told.message);
    }
}
