use super::*;
use domain::gateway::{AllowedKeys, DnsPolicy, GatewayParameters, KeyPattern, Replica};
use domain::{AllowedHostnames, Hostname};

fn parameters(spec: &str) -> GatewayParameters {
    let yaml = format!(
        "apiVersion: cloudflare-gateway-controller.io/v1\nkind: CloudflareGatewayParameters\n\
         metadata: {{name: p, namespace: apps}}\nspec:\n{spec}"
    );
    match object(&yaml) {
        Object::Parameters(parameters) => parameters,
        other => panic!("{other:?}"),
    }
}

const FULL: &str = r"
  secretRef: {name: cf}
  dns:
    zones:
    - name: example.com
    - name: Other.com
  tunnel:
    minReadySeconds: 10
    replicas:
    - name: us-east-1a
      zone: us-east-1a
    - name: b
      nodeSelector: {disk: fast}
    autoscaling: {enabled: true, minAllowed: {cpu: 10m}}
    token: {rotation: {schedule: {cron: '0 18 * * 4'}}}
    patches: [{op: add, path: /spec/x, value: 1}]
    resources:
      requests: {cpu: 100m, memory: 128Mi}
      limits: {cpu: 1, memory: 512Mi}
";

#[test]
fn every_field_is_read_or_said_to_have_no_effect() {
    let read = parameters(FULL);
    assert_eq!(read.key, ObjectKey::new("apps", "p"));
    let secret = reference("", "Secret", "apps", "cf");
    assert_eq!(read.credentials, Some(secret));
    let zones = ["example.com", "other.com"].map(|name| Hostname::parse(name).unwrap());
    assert_eq!(read.dns, Some(DnsPolicy::Below(zones.to_vec())));
    let replicas = [
        Replica {
            name: "us-east-1a".into(),
            zone: Some("us-east-1a".into()),
            ..Replica::default()
        },
        Replica {
            name: "b".into(),
            node_selector: [("disk".to_owned(), "fast".to_owned())].into(),
            ..Replica::default()
        },
    ];
    assert_eq!(read.replicas.as_deref(), Some(&replicas[..]));
    let resources = read.resources.unwrap();
    assert_eq!(resources.requests["memory"], "128Mi");
    assert_eq!(resources.limits["cpu"], "1");
    assert_eq!(read.min_ready_seconds, Some(10));
    assert_eq!(
        summary(&read.defects),
        [
            "unsupported spec.tunnel.autoscaling",
            "unsupported spec.tunnel.patches",
            "unsupported spec.tunnel.token.rotation",
        ]
    );
}

#[test]
fn dns_is_on_off_or_restricted() {
    let table = [
        ("  secretRef: {name: cf}", None, vec![]),
        ("  dns: {zones: []}", Some(DnsPolicy::Off), vec![]),
        ("  dns: {enabled: false}", Some(DnsPolicy::Off), vec![]),
        ("  dns: {enabled: true}", Some(DnsPolicy::All), vec![]),
        (
            "  dns: {enabled: false, zones: [{name: example.com}]}",
            None,
            vec!["invalid spec.dns.enabled"],
        ),
        (
            "  dns: {enabled: true, zones: []}",
            None,
            vec!["invalid spec.dns.enabled"],
        ),
        (
            "  dns: {zones: [{name: '*.example.com'}]}",
            Some(DnsPolicy::Below(vec![])),
            vec!["invalid spec.dns.zones[0].name"],
        ),
        (
            "  dns: {zones: [{name: a.com}, {name: a.com}]}",
            Some(DnsPolicy::Below(vec![Hostname::parse("a.com").unwrap()])),
            vec!["invalid spec.dns.zones[1].name"],
        ),
    ];
    for (spec, dns, defects) in table {
        let read = parameters(spec);
        assert_eq!(read.dns, dns, "{spec}");
        assert_eq!(summary(&read.defects), defects, "{spec}");
    }
}

#[test]
fn what_is_wrong_in_the_tunnel_is_named() {
    let table = [
        (
            "replicas: [{name: A}]",
            vec!["invalid spec.tunnel.replicas[0].name"],
        ),
        (
            "replicas: [{name: a}, {name: a}]",
            vec!["invalid spec.tunnel.replicas[1].name"],
        ),
        (
            "replicas: [{name: a, zone: z, affinity: {}}]",
            vec!["invalid spec.tunnel.replicas[0].affinity"],
        ),
        (
            "replicas: [{name: a, affinity: {nodeAffinity: {}}}]",
            vec!["unsupported spec.tunnel.replicas[0].affinity"],
        ),
        ("replicas: []", vec![]),
        (
            "minReadySeconds: -1",
            vec!["invalid spec.tunnel.minReadySeconds"],
        ),
        (
            "resources: {limits: {memory: lots}}",
            vec!["invalid spec.tunnel.resources.limits.memory"],
        ),
        ("resources: {limits: {memory: 1e3, cpu: '.5'}}", vec![]),
        ("autoscaling: {enabled: false}", vec![]),
        ("token: {rotation: {enabled: false}}", vec![]),
        (
            "replicaCount: 3",
            vec!["unsupported spec.tunnel.replicaCount"],
        ),
    ];
    for (tunnel, defects) in table {
        let read = parameters(&format!("  tunnel: {{{tunnel}}}"));
        assert_eq!(summary(&read.defects), defects, "{tunnel}");
    }
}

#[test]
fn labels_and_annotations_for_what_is_made_are_read() {
    let read = gateway(
        "  listeners: [{name: web, port: 80, protocol: HTTP}]
  infrastructure: {labels: {team: shop}, annotations: {note: hello}}",
    );
    assert_eq!(read.infrastructure.labels["team"], "shop");
    assert_eq!(read.infrastructure.annotations["note"], "hello");
    assert!(read.defects.is_empty(), "{:?}", read.defects);
}

#[test]
fn tenants_are_read_with_what_is_permitted_where_nothing_is_said() {
    let host = |text: &str| Hostname::parse(text).unwrap();
    let read = parameters(
        r"
  tenants:
  - namespaceSelector: {matchLabels: {team: shop}}
    hostnames: [shop.example.com, '*.Shop.example.com']
    certificates: {upload: Allowed}
    maxGateways: 5
    infrastructure: {labels: ['team.example.com/*'], annotations: [], nodeSelector: Denied}
  - {}
",
    );
    assert_eq!(summary(&read.defects), Vec::<String>::new());
    let tenants = read.tenants.unwrap();
    let [shop, everybody] = &tenants[..] else {
        panic!("{tenants:?}");
    };
    assert_eq!(shop.namespaces.rules.len(), 1);
    let names = [host("shop.example.com"), host("*.shop.example.com")];
    assert_eq!(shop.hostnames, AllowedHostnames::listed(names));
    assert!(shop.may_upload_certificates && !shop.may_select_nodes);
    assert_eq!(shop.max_gateways, Some(5));
    let keys = vec![KeyPattern::Prefix("team.example.com/".into())];
    assert_eq!(shop.labels, AllowedKeys::Listed(keys));
    assert_eq!(shop.annotations, AllowedKeys::Listed(vec![]));

    assert!(everybody.namespaces.rules.is_empty());
    assert_eq!(everybody.hostnames, AllowedHostnames::Any);
    assert!(!everybody.may_upload_certificates && everybody.may_select_nodes);
    assert_eq!(everybody.max_gateways, None);
    assert_eq!(everybody.annotations, AllowedKeys::Any);
}

#[test]
fn what_is_wrong_in_tenants_is_named() {
    let many = |count: usize, item: &str| vec![item; count].join(", ");
    let table = [
        ("[]".to_owned(), "invalid spec.tenants"),
        (format!("[{}]", many(65, "{}")), "invalid spec.tenants"),
        (
            format!("[{{hostnames: [{}]}}]", many(257, "a.example.com")),
            "invalid spec.tenants[0].hostnames",
        ),
        (
            format!("[{{infrastructure: {{labels: [{}]}}}}]", many(65, "team")),
            "invalid spec.tenants[0].infrastructure.labels",
        ),
        (
            "[{hostnames: ['*']}]".to_owned(),
            "invalid spec.tenants[0].hostnames[0]",
        ),
        (
            "[{hostnames: [shop.example.com.]}]".to_owned(),
            "invalid spec.tenants[0].hostnames[0]",
        ),
        (
            "[{certificates: {upload: maybe}}]".to_owned(),
            "invalid spec.tenants[0].certificates.upload",
        ),
        (
            "[{maxGateways: -1}]".to_owned(),
            "invalid spec.tenants[0].maxGateways",
        ),
        (
            "[{infrastructure: {annotations: ['*/role']}}]".to_owned(),
            "invalid spec.tenants[0].infrastructure.annotations[0]",
        ),
        (
            "[{namespaceSelector: {matchExpressions: [{key: team, operator: Like}]}}]".to_owned(),
            "invalid spec.tenants[0].namespaceSelector.matchExpressions[0].operator",
        ),
        (
            "[{hostname: [shop.example.com]}]".to_owned(),
            "unsupported spec.tenants[0].hostname",
        ),
    ];
    for (tenants, defect) in table {
        let read = parameters(&format!("  tenants: {tenants}"));
        assert_eq!(summary(&read.defects), [defect], "{tenants}");
    }
}
