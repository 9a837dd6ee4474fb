//! What the schema of CloudflareGatewayParameters refuses, as the API server says it.

use tests::installation;

/// `spec` in YAML's flow form, and words of the refusal; `None` where it is accepted.
fn table() -> Vec<(String, Option<&'static str>)> {
    let names: Vec<String> = (0..26)
        .map(|number| format!("{{name: r{number}}}"))
        .collect();
    let replicas =
        |count: usize| format!("{{tunnel: {{replicas: [{}]}}}}", names[..count].join(", "));
    let rows = [
        ("{}", None),
        ("{dns: {zones: []}}", None),
        ("{sharedHostnames: Maybe}", Some("spec.sharedHostnames")),
        ("{dashboardRules: All}", Some("spec.dashboardRules")),
        ("{routingType: Mesh}", Some("spec.routingType")),
        (
            "{externalHosts: [{hostnames: ['']}]}",
            Some("spec.externalHosts[0].hostnames[0]"),
        ),
        ("{deletionPolicy: Keep}", Some("spec.deletionPolicy")),
        ("{dns: {driftPolicy: Ignore}}", Some("spec.dns.driftPolicy")),
        (
            "{dns: {enabled: true, zones: []}}",
            Some("enabled contradicts zones"),
        ),
        (
            "{dns: {enabled: false, include: [a.example.com]}}",
            Some("include and exclude contradict enabled"),
        ),
        (
            "{dns: {zones: [{name: a.com}, {name: a.com}]}}",
            Some("Duplicate value"),
        ),
        (
            "{dns: {zoneIDs: [{name: a.com, id: x}]}}",
            Some("spec.dns.zoneIDs[0].id"),
        ),
        (
            "{tunnel: {replicas: [{name: a, zone: b, affinity: {}}]}}",
            Some("zone and affinity are mutually exclusive"),
        ),
        ("{tenants: []}", Some("spec.tenants")),
        (
            "{tenants: [{namespaceSelector: {matchExpressions: [{key: a, operator: In}]}}]}",
            Some("In and NotIn need values"),
        ),
    ];
    let rows = rows.map(|(spec, refused)| (spec.to_owned(), refused));
    let limits = [(replicas(25), None), (replicas(26), Some("25 connectors"))];
    rows.into_iter().chain(limits).collect()
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn the_schema_refuses_by_field_or_rule_what_cannot_be() {
    let product = installation::quiet().await;
    let namespace = product.cluster.namespace("schema").await;
    for (spec, refused) in table() {
        let manifest = format!(
            "{{apiVersion: cloudflare-gateway-controller.io/v1, kind: CloudflareGatewayParameters, metadata: {{name: p}}, spec: {spec}}}"
        );
        let answer = namespace.try_apply(&manifest).await;
        match (refused, answer) {
            (None, answer) => assert_eq!(answer.err(), None, "{spec}"),
            (Some(words), Err(told)) => assert!(told.contains(words), "{spec}: {told}"),
            (Some(_), Ok(_)) => panic!("{spec} is accepted"),
        }
    }
}
