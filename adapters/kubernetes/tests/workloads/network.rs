//! What the network is to hold proxies to.

use adapter_kubernetes::workloads::NetworkRules;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::*;

/// Who or what a proxy speaks with: its address, and of a pod also namespace and label `app.kubernetes.io/name`.
struct Peer(&'static str, Option<(&'static str, &'static str)>);

async fn policy(rules: &NetworkRules) -> NetworkPolicy {
    let stage = Stage::with_network(Some(rules.clone())).await;
    stage.run().await;
    let object = stage.object("networkpolicies", "gateway-web");
    serde_json::from_value(object).expect("a NetworkPolicy")
}

fn is_port(port: &NetworkPolicyPort, number: i32, protocol: &str) -> bool {
    port.port == Some(IntOrString::Int(number)) && port.protocol.as_deref() == Some(protocol)
}

/// Whether a peer is meant, as Kubernetes says: a block of addresses, or pods by namespace and label.
fn is_peer(peer: &NetworkPolicyPeer, Peer(address, pod): &Peer) -> bool {
    if let Some(block) = &peer.ip_block {
        let network = block.cidr.trim_end_matches("/32");
        let is_any = block.cidr == "0.0.0.0/0" || (block.cidr == "::/0" && address.contains(':'));
        let is_range = block.cidr == "192.0.2.0/24" && address.starts_with("192.0.2.");
        return pod.is_none() && (is_any || is_range || network == *address);
    }
    let Some((namespace, name)) = pod else {
        return false;
    };
    let selects = |labels: Option<&BTreeMap<String, String>>, key: &str, value: &str| {
        labels.is_none_or(|labels| {
            labels
                .iter()
                .all(|(k, v)| (k.as_str(), v.as_str()) == (key, value))
        })
    };
    let namespaces = peer.namespace_selector.as_ref().expect("namespaces");
    let pods = peer.pod_selector.as_ref();
    let pods = pods.and_then(|pods| pods.match_labels.as_ref());
    selects(
        namespaces.match_labels.as_ref(),
        "kubernetes.io/metadata.name",
        namespace,
    ) && selects(pods, "app.kubernetes.io/name", name)
}

fn may_go(policy: &NetworkPolicy, peer: &Peer, number: i32, protocol: &str) -> bool {
    let spec = policy.spec.as_ref().expect("a spec");
    let mut rules = spec.egress.iter().flatten();
    rules.any(|rule| {
        let to = rule.to.as_ref();
        let ports = rule.ports.as_ref();
        to.is_none_or(|to| to.iter().any(|one| is_peer(one, peer)))
            && ports.is_none_or(|ports| ports.iter().any(|port| is_port(port, number, protocol)))
    })
}

#[tokio::test]
async fn proxies_reach_what_the_table_of_the_docs_has_and_nothing_else() {
    let edge = Peer("198.41.192.7", None);
    let table = [
        (&edge, 7844, "TCP", true),
        (&edge, 7844, "UDP", true),
        (&edge, 443, "TCP", false),
        (&Peer("2606:4700:a0::1", None), 7844, "UDP", true),
        (&Peer("1.1.1.1", None), 853, "TCP", true),
        (&Peer("1.0.0.1", None), 853, "TCP", false),
        (&Peer("10.96.0.10", None), 53, "UDP", true),
        (
            &Peer("10.244.0.2", Some(("kube-system", "coredns"))),
            53,
            "TCP",
            true,
        ),
        (
            &Peer("10.244.0.3", Some(("cfgw-system", "cfgw-controller"))),
            8443,
            "TCP",
            true,
        ),
        (
            &Peer("10.244.0.4", Some(("shop", "web"))),
            8080,
            "TCP",
            true,
        ),
        // The API server, a metadata service, the internet.
        (&Peer("10.10.0.2", None), 6443, "TCP", false),
        (&Peer("169.254.169.254", None), 80, "TCP", false),
        (&Peer("203.0.113.1", None), 443, "TCP", false),
        (&Peer("192.0.2.9", None), 8080, "TCP", false),
    ];
    let discovered = policy(&NetworkRules::default()).await;
    for (peer, number, protocol, expected) in table {
        let may = may_go(&discovered, peer, number, protocol);
        assert_eq!(may, expected, "{} {number}/{protocol}", peer.0);
    }
    let given = policy(&NetworkRules {
        edge: vec!["198.41.192.7:7000".parse().unwrap()],
        endpoint_ranges: vec!["192.0.2.0/24".to_owned()],
        cluster_ranges: Vec::new(),
    })
    .await;
    for (peer, number, expected) in [
        (&edge, 7000, true),
        (&edge, 7844, false),
        (&Peer("198.41.200.1", None), 7000, false),
        (&Peer("1.1.1.1", None), 853, false),
        (&Peer("192.0.2.9", None), 8080, true),
    ] {
        let may = may_go(&given, peer, number, "TCP");
        assert_eq!(may, expected, "{} {number}", peer.0);
    }
}

#[tokio::test]
async fn proxies_are_reached_for_probes_and_metrics_only() {
    let policy = policy(&NetworkRules::default()).await;
    let spec = policy.spec.expect("a spec");
    let both = ["Ingress", "Egress"].map(str::to_owned);
    assert_eq!(spec.policy_types, Some(both.into()));
    let [rule] = &spec.ingress.expect("rules")[..] else {
        panic!("one rule");
    };
    let [port] = &rule.ports.as_ref().expect("ports")[..] else {
        panic!("one port");
    };
    assert!(is_port(port, 8081, "TCP") && rule.from.is_none());
    let selector = spec.pod_selector.expect("a selector").match_labels;
    let deployment = Stage::set().await;
    deployment.run().await;
    let template = &deployment.object("deployments", "gateway-web")["spec"]["template"];
    let labels = &template["metadata"]["labels"];
    for (label, value) in selector.expect("labels") {
        assert_eq!(labels[&label], value, "it selects the pods");
    }
}

#[tokio::test]
async fn a_policy_that_is_not_wanted_any_more_goes_and_whoever_may_not_look_made_none() {
    let stage = Stage::set().await;
    let mut ours = serde_json::to_value(policy(&NetworkRules::default()).await).unwrap();
    ours["metadata"].as_object_mut().unwrap().remove("uid");
    stage.server.put("networkpolicies", ours.clone());
    stage.run().await;
    assert_eq!(stage.server.names("networkpolicies"), [""; 0]);

    let mut theirs = ours.clone();
    theirs["metadata"]["ownerReferences"] = json!([]);
    stage.server.put("networkpolicies", theirs);
    stage.run().await;
    assert_eq!(
        stage.server.names("networkpolicies").len(),
        1,
        "of somebody else"
    );

    stage.server.put("networkpolicies", ours);

    stage
        .server
        .refuse("networkpolicies", Some(axum::http::StatusCode::FORBIDDEN));
    stage.ensure(&named(&["a"])).await.unwrap();
    stage.workloads.stop(&web()).await.unwrap();
}
