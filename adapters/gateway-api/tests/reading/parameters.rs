use super::*;
use std::time::Duration;

use domain::gateway::{
    Adoption, AllowedKeys, DnsPolicy, DnsSelection, DriftPolicy, GatewayParameters,
    HorizontalAutoscaling, KeyPattern, ProxySettings, RotationParameters, RoutingType,
};
use domain::rotation::Schedule;
use domain::{AllowedHostnames, Hostname};

pub(crate) fn parameters(spec: &str) -> GatewayParameters {
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
      affinity:
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
          - topologyKey: kubernetes.io/hostname
            labelSelector: {matchLabels: {app: web}}
    autoscaling:
      enabled: true
      minAllowed: {cpu: 10m}
      maxAllowed: {memory: 1Gi}
      controlledResources: [cpu, memory]
      controlledValues: RequestsOnly
      horizontal: {maxReplicas: 9, targetInFlightRequests: 200}
    token: {rotation: {schedule: {cron: '0 18 * * 4'}}}
    patches:
    - {op: add, path: /spec/x, value: {a: [1]}}
    - {op: move, from: /spec/x, path: /spec/y}
    - {op: remove, path: /spec/y}
    tolerations: [{key: dedicated, operator: Exists, effect: NoSchedule}]
    topologySpreadConstraints: []
    priorityClassName: high
    imagePullSecrets: [{name: registry}]
    podLabels: {team: shop}
    podAnnotations: {example.com/note: hello there}
    logLevel: debug
    protocol: quic
    gracePeriod: 1m30s
    limits: {maxInFlightRequests: 5, connectTimeout: 500ms, answerTimeout: 1m, bodyIdleTimeout: 2m, upgradeIdleTimeout: 3m}
    resources:
      requests: {cpu: 100m, memory: 128Mi}
      limits: {cpu: 1, memory: 512Mi}
";

#[test]
fn requests_go_to_endpoints_or_to_cluster_ips() {
    for (written, expected, faults) in [
        ("{}", None, vec![]),
        (
            "{routingType: Endpoint}",
            Some(RoutingType::Endpoint),
            vec![],
        ),
        ("{routingType: Service}", Some(RoutingType::Service), vec![]),
        (
            "{routingType: Mesh}",
            Some(RoutingType::Endpoint),
            vec!["invalid spec.routingType"],
        ),
    ] {
        let read = parameters(&format!("  {written}\n"));
        assert_eq!(read.routing_type, expected, "{written}");
        assert_eq!(summary(&read.field_errors), faults, "{written}");
    }
}

#[test]
fn every_field_is_read() {
    let read = parameters(FULL);
    assert_eq!(read.key, ObjectKey::new("apps", "p"));
    let secret = reference("", "Secret", "apps", "cf");
    assert_eq!(read.credentials, Some(secret));
    let zones = ["example.com", "other.com"].map(|name| Hostname::parse(name).unwrap());
    assert_eq!(read.dns, Some(DnsPolicy::Below(zones.to_vec())));
    let [east, b] = read.replicas.as_deref().unwrap() else {
        panic!("{:?}", read.replicas);
    };
    assert_eq!(
        (&*east.name, east.zone.as_deref()),
        ("us-east-1a", Some("us-east-1a"))
    );
    assert_eq!(b.node_selector["disk"], "fast");
    let affinity = b.affinity.as_ref().unwrap().as_str();
    assert_eq!(
        affinity,
        r#"{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"labelSelector":{"matchLabels":{"app":"web"}},"topologyKey":"kubernetes.io/hostname"}]}}"#
    );
    let resources = read.resources.unwrap();
    assert_eq!(resources.requests["memory"], "128Mi");
    assert_eq!(resources.limits["cpu"], "1");
    assert_eq!(read.min_ready_seconds, Some(10));
    let schedule = Schedule::parse("0 18 * * 4", None).unwrap();
    assert_eq!(read.rotation.schedule, Some(schedule));
    assert!(read.field_errors.is_empty(), "{:?}", read.field_errors);
    let tunnel = *read.tunnel;
    let autoscaling = tunnel.autoscaling.unwrap();
    let vertical = autoscaling.vertical.unwrap();
    assert_eq!(vertical.min_allowed.unwrap()["cpu"], "10m");
    assert_eq!(vertical.max_allowed.unwrap()["memory"], "1Gi");
    assert_eq!(vertical.controlled_resources.unwrap(), ["cpu", "memory"]);
    assert_eq!(vertical.controlled_values.unwrap(), "RequestsOnly");
    let horizontal = HorizontalAutoscaling {
        min_replicas: 2,
        max_replicas: 9,
        target_in_flight: 200,
    };
    assert_eq!(autoscaling.horizontal, Some(horizontal));
    let patches = tunnel.patches.unwrap();
    let patches: Vec<&str> = patches.iter().map(|patch| patch.json.as_str()).collect();
    assert_eq!(
        patches,
        [
            r#"{"op":"add","path":"/spec/x","value":{"a":[1]}}"#,
            r#"{"from":"/spec/x","op":"move","path":"/spec/y"}"#,
            r#"{"op":"remove","path":"/spec/y"}"#,
        ]
    );
    let pods = tunnel.pods;
    let tolerations = r#"[{"effect":"NoSchedule","key":"dedicated","operator":"Exists"}]"#;
    assert_eq!(pods.tolerations.unwrap().as_str(), tolerations);
    assert_eq!(pods.topology_spread.unwrap().as_str(), "[]");
    assert_eq!(pods.priority_class.unwrap(), "high");
    assert_eq!(pods.image_pull_secrets.unwrap(), ["registry"]);
    assert_eq!(pods.labels.unwrap()["team"], "shop");
    assert_eq!(pods.annotations.unwrap()["example.com/note"], "hello there");
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let settings = ProxySettings {
        log_level: Some("debug".into()),
        protocol: Some("quic".into()),
        grace_period: seconds(90),
        max_in_flight: Some(5),
        connect_timeout: Some(Duration::from_millis(500)),
        answer_timeout: seconds(60),
        body_idle_timeout: seconds(120),
        upgrade_idle_timeout: seconds(180),
    };
    assert_eq!(tunnel.settings, settings);
}

fn host(name: &str) -> Hostname {
    Hostname::parse(name).expect("a hostname of this test")
}

fn selected(zones: &[&str], include: &[&str], exclude: &[&str]) -> Option<DnsPolicy> {
    Some(DnsPolicy::Selected(Box::new(DnsSelection {
        zones: zones.iter().copied().map(host).collect(),
        include: include.iter().copied().map(host).collect(),
        exclude: exclude.iter().copied().map(host).collect(),
    })))
}

#[test]
fn how_records_are_treated_is_read_or_refused_by_field() {
    let id = "0123456789abcdef0123456789ABCDEF";
    let read = parameters(&format!(
        "  dns: {{driftPolicy: Pause, zoneIDs: [{{name: a.com, id: {id}}}], adopt: [{{hostname: x.a.com}}, {{hostname: '*.a.com', confirm: c0de}}]}}"
    ));
    assert_eq!(summary(&read.field_errors), Vec::<String>::new());
    let records = read.records;
    assert_eq!(records.drift, Some(DriftPolicy::Pause));
    let ids = records.zone_ids.unwrap();
    assert_eq!(ids[&host("a.com")].as_str(), id.to_lowercase());
    let adopt = records.adopt.unwrap();
    assert_eq!(adopt[&host("x.a.com")], Adoption::DryRun);
    let confirmed = Adoption::Confirmed("c0de".to_owned());
    assert_eq!(adopt[&host("*.a.com")], confirmed);
    let long = "c".repeat(65);
    for (dns, field_errors) in [
        (
            "driftPolicy: repair".to_owned(),
            vec!["invalid spec.dns.driftPolicy"],
        ),
        (
            format!("zoneIDs: [{{name: '*.a.com', id: {id}}}, {{name: b.com, id: short}}]"),
            vec![
                "invalid spec.dns.zoneIDs[0].name",
                "invalid spec.dns.zoneIDs[1].id",
            ],
        ),
        (
            format!("zoneIDs: [{{name: a.com, id: {id}}}, {{name: a.com, id: {id}}}]"),
            vec!["invalid spec.dns.zoneIDs[1].name"],
        ),
        (
            format!(
                "adopt: [{{hostname: a.com}}, {{hostname: a.com}}, {{hostname: b.com, confirm: {long}}}]"
            ),
            vec![
                "invalid spec.dns.adopt[1].hostname",
                "invalid spec.dns.adopt[2].confirm",
            ],
        ),
    ] {
        let read = parameters(&format!("  dns: {{{dns}}}"));
        assert_eq!(summary(&read.field_errors), field_errors, "{dns}");
    }
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
            Some(DnsPolicy::Below(vec![host("a.com")])),
            vec!["invalid spec.dns.zones[1].name"],
        ),
        ("  dns: {driftPolicy: Report}", None, vec![]),
        (
            "  dns: {zones: [{name: a.com}], include: [b.com], exclude: ['*.c.a.com']}",
            selected(&["a.com"], &["b.com"], &["*.c.a.com"]),
            vec![],
        ),
        (
            "  dns: {exclude: [b.com, 'a.*.com']}",
            selected(&[], &[], &["b.com"]),
            vec!["invalid spec.dns.exclude[1]"],
        ),
        (
            "  dns: {zones: [], include: [b.com]}",
            None,
            vec!["invalid spec.dns"],
        ),
        (
            "  dns: {enabled: false, exclude: [b.com]}",
            None,
            vec!["invalid spec.dns"],
        ),
    ];
    for (spec, dns, field_errors) in table {
        let read = parameters(spec);
        assert_eq!(read.dns, dns, "{spec}");
        assert_eq!(summary(&read.field_errors), field_errors, "{spec}");
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
            vec![],
        ),
        (
            "replicas: [{name: a, affinity: {nodeAffinity: {maybe: {}}}}]",
            vec!["unsupported spec.tunnel.replicas[0].affinity.nodeAffinity.maybe"],
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
        (
            "minReadySeconds: 86401",
            vec!["invalid spec.tunnel.minReadySeconds"],
        ),
        ("autoscaling: {enabled: false}", vec![]),
        (
            "autoscaling: {controlledValues: Both}",
            vec![
                "invalid spec.tunnel.autoscaling.controlledValues",
                "invalid spec.tunnel.autoscaling.enabled",
            ],
        ),
        (
            "autoscaling: {horizontal: {maxReplicas: 26, targetInFlightRequests: 0}}",
            vec![
                "invalid spec.tunnel.autoscaling.horizontal.maxReplicas",
                "invalid spec.tunnel.autoscaling.horizontal.targetInFlightRequests",
            ],
        ),
        (
            "autoscaling: {horizontal: {minReplicas: 3, maxReplicas: 2, targetInFlightRequests: 9}}",
            vec!["invalid spec.tunnel.autoscaling.horizontal.minReplicas"],
        ),
        (
            "patches: [{op: change, path: /a}]",
            vec!["invalid spec.tunnel.patches[0].op"],
        ),
        (
            "patches: [{op: test, path: /a}, {op: copy, path: /a}]",
            vec![
                "invalid spec.tunnel.patches[0].value",
                "invalid spec.tunnel.patches[1].from",
            ],
        ),
        (
            "patches: [{op: remove, path: spec}, {op: remove, path: /~2}]",
            vec![
                "invalid spec.tunnel.patches[0].path",
                "invalid spec.tunnel.patches[1].path",
            ],
        ),
        (
            "tolerations: [{keys: a}]",
            vec!["unsupported spec.tunnel.tolerations[0].keys"],
        ),
        (
            "priorityClassName: High",
            vec!["invalid spec.tunnel.priorityClassName"],
        ),
        (
            "imagePullSecrets: [{}]",
            vec!["invalid spec.tunnel.imagePullSecrets[0].name"],
        ),
        (
            "podLabels: {'a b': c}, podAnnotations: {'a/b/c': d}",
            vec![
                "invalid spec.tunnel.podAnnotations",
                "invalid spec.tunnel.podLabels",
            ],
        ),
        (
            "podLabels: {app.kubernetes.io/name: other}",
            vec!["unsupported spec.tunnel.podLabels"],
        ),
        ("logLevel: loud", vec!["invalid spec.tunnel.logLevel"]),
        ("protocol: http3", vec!["invalid spec.tunnel.protocol"]),
        ("gracePeriod: 2h", vec!["invalid spec.tunnel.gracePeriod"]),
        ("gracePeriod: soon", vec!["invalid spec.tunnel.gracePeriod"]),
        (
            "limits: {maxInFlightRequests: 0, connectTimeout: 0s}",
            vec![
                "invalid spec.tunnel.limits.connectTimeout",
                "invalid spec.tunnel.limits.maxInFlightRequests",
            ],
        ),
        (
            "replicaCount: 3",
            vec!["unsupported spec.tunnel.replicaCount"],
        ),
    ];
    for (tunnel, field_errors) in table {
        let read = parameters(&format!("  tunnel: {{{tunnel}}}"));
        assert_eq!(summary(&read.field_errors), field_errors, "{tunnel}");
    }
}

#[test]
fn every_list_and_map_of_the_tunnel_has_a_limit_and_is_told_of_by_it() {
    let many = |count: usize, item: &str| {
        let items = (0..count).map(|i| item.replace("{i}", &i.to_string()));
        items.collect::<Vec<_>>().join(", ")
    };
    let long = "x".repeat(70_000);
    let table = [
        (
            format!("replicas: [{}]", many(26, "{name: a{i}}")),
            "spec.tunnel.replicas: Too many: 26: must have at most 25 items, because Cloudflare takes 25 connectors for a tunnel",
        ),
        (
            format!(
                "replicas: [{{name: a, nodeSelector: {{{}}}}}]",
                many(33, "k{i}: v")
            ),
            "spec.tunnel.replicas[0].nodeSelector: Too many: 33",
        ),
        (
            format!("resources: {{limits: {{{}}}}}", many(17, "r{i}: 1")),
            "spec.tunnel.resources.limits: Too many: 17",
        ),
        (
            format!(
                "autoscaling: {{enabled: true, controlledResources: [{}]}}",
                many(9, "r{i}")
            ),
            "spec.tunnel.autoscaling.controlledResources: Too many: 9",
        ),
        (
            format!("patches: [{}]", many(129, "{op: remove, path: /a}")),
            "spec.tunnel.patches: Too many: 129",
        ),
        (
            format!("patches: [{{op: add, path: /a, value: {long}}}]"),
            "spec.tunnel.patches: Too long",
        ),
        (
            format!("patches: [{{op: remove, path: /{}}}]", &long[..1024]),
            "spec.tunnel.patches[0].path: Invalid value",
        ),
        (
            format!("tolerations: [{}]", many(65, "{operator: Exists}")),
            "spec.tunnel.tolerations: Too many: 65",
        ),
        (
            format!("topologySpreadConstraints: [{}]", many(17, "{maxSkew: 1}")),
            "spec.tunnel.topologySpreadConstraints: Too many: 17",
        ),
        (
            format!("imagePullSecrets: [{}]", many(17, "{name: a}")),
            "spec.tunnel.imagePullSecrets: Too many: 17",
        ),
        (
            format!("podLabels: {{{}}}", many(65, "k{i}: v")),
            "spec.tunnel.podLabels: Too many: 65",
        ),
    ];
    for (tunnel, words) in table {
        let read = parameters(&format!("  tunnel: {{{tunnel}}}"));
        let told: Vec<String> = read.field_errors.iter().map(ToString::to_string).collect();
        assert!(
            told.len() == 1 && told[0].contains(words),
            "{words}: {told:?}"
        );
    }
}

#[test]
fn a_schedule_is_read_also_where_it_is_switched_off() {
    let read = |enabled, schedule: Option<(&str, &str)>| RotationParameters {
        is_enabled: enabled,
        schedule: schedule.map(|(cron, zone)| Schedule::parse(cron, Some(zone)).unwrap()),
    };
    let refused = || read(Some(false), None);
    for (rotation, expected, field_errors) in [
        ("", read(None, None), &[][..]),
        ("rotation: {}", read(None, None), &[]),
        ("rotation: {enabled: true}", read(Some(true), None), &[]),
        ("rotation: {enabled: false}", read(Some(false), None), &[]),
        (
            "rotation: {enabled: false, schedule: {cron: '@daily'}}",
            read(Some(false), Some(("@daily", "UTC"))),
            &[],
        ),
        (
            "rotation: {schedule: {cron: '0 3 * * 7', timeZone: Europe/Berlin}}",
            read(None, Some(("0 3 * * 7", "Europe/Berlin"))),
            &[],
        ),
        (
            "rotation: {schedule: {cron: '0 0 31 2 *'}}",
            refused(),
            &["invalid spec.tunnel.token.rotation.schedule.cron"],
        ),
        (
            "rotation: {schedule: {timeZone: UTC}}",
            refused(),
            &["invalid spec.tunnel.token.rotation.schedule.cron"],
        ),
        (
            "rotation: {enabled: false, schedule: {cron: '@daily', timeZone: Mars}}",
            refused(),
            &["invalid spec.tunnel.token.rotation.schedule.timeZone"],
        ),
        (
            "rotation: {every: 1h}",
            read(None, None),
            &["unsupported spec.tunnel.token.rotation.every"],
        ),
    ] {
        let read = parameters(&format!("  tunnel: {{token: {{{rotation}}}}}"));
        assert_eq!(read.rotation, expected, "{rotation}");
        assert_eq!(summary(&read.field_errors), field_errors, "{rotation}");
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
    assert!(read.field_errors.is_empty(), "{:?}", read.field_errors);
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
    infrastructure: {labels: ['team.example.com/*'], annotations: [], nodeSelector: Denied, patches: Allowed}
  - {}
",
    );
    assert_eq!(summary(&read.field_errors), Vec::<String>::new());
    let tenants = read.tenants.unwrap();
    let [shop, everybody] = &tenants[..] else {
        panic!("{tenants:?}");
    };
    assert_eq!(shop.namespaces.rules.len(), 1);
    let names = [host("shop.example.com"), host("*.shop.example.com")];
    assert_eq!(shop.hostnames, AllowedHostnames::listed(names));
    assert!(shop.may_upload_certificates && !shop.may_select_nodes && shop.may_patch);
    assert_eq!(shop.max_gateways, Some(5));
    let keys = vec![KeyPattern::Prefix("team.example.com/".into())];
    assert_eq!(shop.labels, AllowedKeys::Listed(keys));
    assert_eq!(shop.annotations, AllowedKeys::Listed(vec![]));

    assert!(everybody.namespaces.rules.is_empty());
    assert_eq!(everybody.hostnames, AllowedHostnames::Any);
    assert!(!everybody.may_upload_certificates && everybody.may_select_nodes);
    assert!(!everybody.may_patch);
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
    for (tenants, field_error) in table {
        let read = parameters(&format!("  tenants: {tenants}"));
        assert_eq!(summary(&read.field_errors), [field_error], "{tenants}");
    }
}
