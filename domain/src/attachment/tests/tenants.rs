//! What the operator lets each namespace have: the parameters that a class names.

use super::fixtures::*;
use crate::attachment::{Resolution, all_credentials_references, credentials_reference};
use crate::gateway::{
    AllowedKeys, AllowedNamespaces, CONTROLLER_NAME, DnsPolicy, FieldErrorKind, Gateway,
    GatewayParameters, LabelSelector, OWN_GROUP, PARAMETERS_KIND, Route, SelectorRule, Tenant,
};
use crate::names::{AllowedHostnames, ObjectKey, ObjectRef, Timestamp};
use crate::report::{GatewayFacts, report};
use crate::snapshot::{ClusterSnapshot, Reading};
use crate::status::{Condition, ConditionType, Reason, Truth};

fn of_class() -> ObjectRef {
    object(OWN_GROUP, PARAMETERS_KIND, "infra/p")
}

pub(super) fn class_parameters() -> GatewayParameters {
    GatewayParameters {
        key: key("infra/p"),
        ..parameters()
    }
}

/// An entry for the namespaces with `team: <team>`, or for all.
pub(super) fn tenant(team: Option<&str>) -> Tenant {
    let rule = |team: &str| SelectorRule::In("team".to_owned(), vec![team.to_owned()]);
    Tenant {
        namespaces: LabelSelector {
            rules: team.map(rule).into_iter().collect(),
        },
        hostnames: AllowedHostnames::Any,
        may_upload_certificates: false,
        max_gateways: None,
        labels: AllowedKeys::Any,
        annotations: AllowedKeys::Any,
        may_select_nodes: true,
        may_patch: false,
    }
}

fn having(team: &str, hostnames: &[&str]) -> Tenant {
    Tenant {
        hostnames: AllowedHostnames::listed(hostnames.iter().map(|name| host(name))),
        ..tenant(Some(team))
    }
}

/// A class whose parameters have these entries; namespaces `shop` and `evil` with a label each, and `bare` without.
pub(super) fn restricted(tenants: Vec<Tenant>) -> ClusterSnapshot {
    with_parameters(GatewayParameters {
        tenants: Some(tenants),
        ..class_parameters()
    })
}

pub(super) fn with_parameters(parameters: GatewayParameters) -> ClusterSnapshot {
    empty_cluster()
        .with(class().credentials(of_class()))
        .with(parameters)
        .with(namespace("shop", &[("team", "shop")]))
        .with(namespace("evil", &[("team", "evil")]))
        .with(namespace("bare", &[]))
}

fn shop_and_evil() -> Vec<Tenant> {
    vec![
        having("shop", &["shop.example.com", "*.shop.example.com"]),
        having("evil", &["*.evil.example.com"]),
    ]
}

fn asking(route: &str, hostnames: &[&str]) -> Route {
    let route = http_route(route).to(EDGE);
    hostnames
        .iter()
        .fold(route, |route, name| route.named(name))
}

pub(super) fn refusal(resolution: &Resolution, gateway: &str) -> Option<(Reason, String)> {
    let refusal = resolution.gateway(gateway).refusal.clone();
    refusal.map(|refusal| (refusal.reason, refusal.message))
}

fn conditions_of_the_route(resolution: &Resolution) -> Vec<Condition> {
    let updates = report(resolution, &facts(GatewayFacts::default()));
    parts_of(updates, "HTTPRoute").remove(0).conditions
}

/// Gateway `shop/edge` with a listener that takes routes of all namespaces.
pub(super) fn shared_gateway() -> Gateway {
    gateway(EDGE).listening(https("web").open_to(AllowedNamespaces::All))
}

#[test]
fn a_class_takes_credentials_and_defaults_from_the_parameters_that_it_names() {
    let secret = object("", "Secret", "infra/cf");
    let parameters = GatewayParameters {
        credentials: Some(secret.clone()),
        dns: Some(DnsPolicy::Off),
        min_ready_seconds: Some(7),
        ..class_parameters()
    };
    let own = object(OWN_GROUP, PARAMETERS_KIND, "shop/p");
    let own_parameters = GatewayParameters {
        dns: Some(DnsPolicy::All),
        ..super::fixtures::parameters()
    };
    let cluster = with_parameters(parameters)
        .with(shared_gateway())
        .with(gateway("shop/own").listening(https("web")).parameters(own))
        .with(own_parameters);
    let resolution = resolved(&cluster);
    assert_eq!(resolution.referenced_secrets(), [secret.clone()].into());
    assert_eq!(
        credentials_reference(&cluster, &key(EDGE)),
        Ok(secret.clone())
    );
    let all = all_credentials_references(&cluster, CONTROLLER_NAME);
    assert_eq!(all, [secret].into());

    let of = |gateway: &str| resolution.gateway(gateway).parameters.clone();
    assert_eq!(of(EDGE).dns, DnsPolicy::Off, "of the class");
    assert_eq!(of("shop/own").dns, DnsPolicy::All, "of the Gateway");
    assert_eq!(of("shop/own").workload.min_ready_seconds, 7);
    assert_eq!(of(EDGE).named, None);
}

#[test]
fn a_class_whose_parameters_cannot_be_used_is_refused_and_so_are_its_gateways() {
    let secret = Some(object("", "Secret", "infra/cf"));
    let flawed = |field, kind| GatewayParameters {
        field_errors: vec![field_error(field, kind)],
        ..class_parameters()
    };
    let missing = empty_cluster().with(class().credentials(of_class()));
    let unread = ClusterSnapshot {
        parameters: Reading::Unknown("timeout".into()),
        ..missing.clone()
    };
    let unknown_kind = ClusterSnapshot {
        parameters: Reading::Absent,
        ..missing.clone()
    };
    let mut in_part = missing.clone();
    in_part.unreadable.nameless = Some("a.yaml is malformed".into());
    let of_another_namespace = missing.clone().with(parameters());
    let without_secret = with_parameters(GatewayParameters {
        credentials: secret,
        ..class_parameters()
    })
    .secret_reading("infra/cf", Reading::Absent);
    let invalid = |words: Words| Some((Reason::InvalidParameters, words));
    let table: Vec<(&str, ClusterSnapshot, Expected)> = vec![
        ("usable", with_parameters(class_parameters()), None),
        (
            "missing",
            missing,
            invalid(&["spec.parametersRef", "infra/p does not exist", "create it"]),
        ),
        (
            "in another namespace",
            of_another_namespace,
            invalid(&["infra/p does not exist"]),
        ),
        ("without a CRD", unknown_kind, invalid(&["install its CRD"])),
        (
            "not read",
            unread,
            Some((Reason::Pending, &["infra/p", "timeout"])),
        ),
        (
            "in what was not read",
            in_part,
            Some((Reason::Pending, &["a.yaml"])),
        ),
        (
            "with a wrong field",
            with_parameters(flawed(
                "spec.tenants[0].hostnames[0]",
                FieldErrorKind::Invalid,
            )),
            invalid(&["infra/p", "spec.tenants[0].hostnames[0]"]),
        ),
        (
            "with an unknown field in an entry, which may have been a limit",
            with_parameters(flawed(
                "spec.tenants[0].hostname",
                FieldErrorKind::Unsupported,
            )),
            invalid(&["spec.tenants[0].hostname"]),
        ),
        (
            "with a field that has no effect",
            with_parameters(flawed("spec.tunnel.patches", FieldErrorKind::Unsupported)),
            None,
        ),
        (
            "with a Secret that is missing",
            without_secret,
            invalid(&["spec.secretRef", "Secret infra/cf does not exist"]),
        ),
    ];
    for (given, cluster, expected) in table {
        let resolution = resolved(&cluster.with(shared_gateway()));
        let class = resolution.classes["cloudflare"].refusal.clone();
        let class = class.map(|refusal| (refusal.reason, refusal.message));
        assert_verdict(given, class, expected);
        let of_gateway = refusal(&resolution, EDGE).map(|(reason, _)| reason);
        let reason = expected.map(|(reason, _)| reason);
        assert_eq!(of_gateway, reason, "{given}");
    }
}

#[test]
fn a_route_gets_the_hostnames_that_its_namespace_may_have() {
    type Case<'a> = (
        &'a str,
        &'a str,
        &'a [&'a str],
        &'a [&'a str],
        Option<Reason>,
    );
    let login = "login.example.com";
    let not_permitted = Some(Reason::HostnameNotPermitted);
    let table: [Case<'_>; 10] = [
        (
            "its own",
            "shop/r",
            &["shop.example.com"],
            &["shop.example.com"],
            None,
        ),
        (
            "below its own",
            "shop/r",
            &["a.shop.example.com"],
            &["a.shop.example.com"],
            None,
        ),
        (
            "its wildcard",
            "shop/r",
            &["*.shop.example.com"],
            &["*.shop.example.com"],
            None,
        ),
        (
            "another's",
            "shop/r",
            &["a.evil.example.com"],
            &[],
            not_permitted,
        ),
        ("nobody's", "evil/r", &[login], &[], not_permitted),
        (
            "a wildcard over all",
            "evil/r",
            &["*.example.com"],
            &[],
            not_permitted,
        ),
        (
            "the apex of its own",
            "evil/r",
            &["evil.example.com"],
            &[],
            not_permitted,
        ),
        ("every hostname", "evil/r", &[], &[], not_permitted),
        (
            "its own and another's",
            "evil/r",
            &["a.evil.example.com", login],
            &["a.evil.example.com"],
            None,
        ),
        (
            "in a namespace that no entry selects",
            "bare/r",
            &["shop.example.com"],
            &[],
            Some(Reason::NamespaceNotPermitted),
        ),
    ];
    for (given, route, asked, had, expected) in table {
        let cluster = restricted(shop_and_evil())
            .with(shared_gateway())
            .with(asking(route, asked));
        let resolution = resolved(&cluster);
        let parent = &resolution.parents(route)[0];
        let refused = parent.refusal.as_ref().map(|refusal| refusal.reason);
        assert_eq!(refused, expected, "{given}: {:?}", parent.refusal);
        let had: Vec<_> = had.iter().map(|name| host(name)).collect();
        assert_eq!(parent.hostnames, had, "{given}");
        let claimed = resolution.gateway(EDGE).hostnames.keys();
        assert!(claimed.eq(had.iter()), "{given}: no claim for others");
        let listener = &resolution.gateway(EDGE).table.listeners[0];
        let in_the_table = format!("{listener:?}").contains("login.example.com");
        assert!(!in_the_table, "{given}: no rule for others");
    }
}

#[test]
fn a_route_that_gets_a_part_is_accepted_and_told_what_is_left_out() {
    let cluster = restricted(shop_and_evil())
        .with(shared_gateway())
        .with(asking(
            "evil/r",
            &["a.evil.example.com", "login.example.com"],
        ));
    let conditions = conditions_of_the_route(&resolved(&cluster));
    let accepted = verdict(&conditions, ConditionType::Accepted);
    assert_eq!(accepted, (Truth::True, Reason::Accepted));
    let partly = condition(&conditions, ConditionType::Dns);
    let told = (partly.truth, partly.reason);
    assert_eq!(told, (Truth::False, Reason::HostnameNotPermitted));
    for word in [
        "spec.hostnames",
        "login.example.com",
        "permits *.evil.example.com",
        "spec.tenants[1].hostnames",
        "infra/p",
    ] {
        assert!(partly.message.contains(word), "{word}: {}", partly.message);
    }
    let whole = restricted(shop_and_evil())
        .with(shared_gateway())
        .with(asking("evil/r", &["a.evil.example.com"]));
    let conditions = conditions_of_the_route(&resolved(&whole));
    let dns = condition(&conditions, ConditionType::Dns);
    assert_ne!(dns.reason, Reason::HostnameNotPermitted);
}

#[test]
fn a_name_that_a_route_may_not_have_keeps_nobody_from_it() {
    let of_evil = asking("evil/r", &["shop.example.com"]).born(1);
    let of_evil = Route {
        kind: crate::gateway::RouteKind::Grpc,
        ..of_evil
    };
    let cluster = restricted(shop_and_evil())
        .with(shared_gateway())
        .with(of_evil)
        .with(asking("shop/r", &["shop.example.com"]).born(2));
    let resolution = resolved(&cluster);
    assert_eq!(resolution.refused("shop/r"), None);
    let claims = &resolution.gateway(EDGE).hostnames;
    assert_eq!(claims[&host("shop.example.com")], Timestamp(2));
}

#[test]
fn the_first_entry_that_selects_a_namespace_counts() {
    let everybody = tenant(None);
    let table = [
        (
            "its entry first",
            vec![having("shop", &[]), everybody.clone()],
            false,
        ),
        (
            "that of everybody first",
            vec![everybody, having("shop", &[])],
            true,
        ),
    ];
    for (given, tenants, accepted) in table {
        let cluster = restricted(tenants)
            .with(shared_gateway())
            .with(asking("shop/r", &["shop.example.com"]));
        let refused = resolved(&cluster).refused("shop/r");
        assert_eq!(refused.is_none(), accepted, "{given}: {refused:?}");
    }
}

#[test]
fn without_labels_an_entry_selects_nothing_and_unread_labels_decide_nothing() {
    let mut unread = restricted(shop_and_evil()).with(shared_gateway());
    unread.namespaces = Reading::Unknown("timeout".into());
    let resolution = resolved(&unread);
    assert!(!resolution.is_complete(), "what is there stays");
    let pending = Some((Reason::Pending, &["shop", "timeout"][..]));
    assert_verdict("unread", refusal(&resolution, EDGE), pending);

    let mut in_part = restricted(shop_and_evil()).with(shared_gateway());
    in_part.namespaces = Reading::Known(vec![]);
    in_part.unreadable.nameless = Some("Namespace shop is malformed".into());
    let pending = Some((Reason::Pending, &["malformed"][..]));
    assert_verdict("in part", refusal(&resolved(&in_part), EDGE), pending);

    let mut gone = restricted(shop_and_evil()).with(shared_gateway());
    gone.namespaces = Reading::Known(vec![]);
    let nothing = Some((Reason::NamespaceNotPermitted, &["shop"][..]));
    assert_verdict(
        "no such Namespace",
        refusal(&resolved(&gone), EDGE),
        nothing,
    );
}

#[test]
fn a_listener_gets_a_hostname_that_the_gateways_namespace_may_have() {
    let table: [(&str, Option<&str>, bool); 4] = [
        ("its own", Some("*.shop.example.com"), true),
        ("another's", Some("login.example.com"), false),
        ("a wildcard over all", Some("*.example.com"), false),
        ("none", None, true),
    ];
    for (given, hostname, accepted) in table {
        let listener = match hostname {
            Some(hostname) => https("web").named(hostname),
            None => https("web"),
        };
        let cluster = restricted(shop_and_evil()).with(gateway(EDGE).listening(listener));
        let resolution = resolved(&cluster);
        let refused = resolution.listener("web").refusal.as_ref();
        let reason = refused.map(|refusal| refusal.reason);
        let expected = (!accepted).then_some(Reason::HostnameNotPermitted);
        assert_eq!(reason, expected, "{given}: {refused:?}");
    }
}

#[test]
fn a_gateway_of_a_namespace_that_no_entry_selects_is_refused() {
    let cluster = restricted(shop_and_evil()).with(gateway("bare/g").listening(https("web")));
    let expected = Some((
        Reason::NamespaceNotPermitted,
        &["Gateway bare/g", "spec.tenants", "infra/p", "ask whoever"][..],
    ));
    assert_verdict("bare", refusal(&resolved(&cluster), "bare/g"), expected);
}

#[test]
fn of_more_gateways_than_an_entry_permits_the_older_ones_are_served() {
    let limited = Tenant {
        max_gateways: Some(2),
        ..tenant(Some("shop"))
    };
    let born = |name: &str, second| Gateway {
        created: Timestamp(second),
        ..gateway(name).listening(https("web"))
    };
    let cluster = restricted(vec![limited, tenant(None)])
        .with(namespace("shop-2", &[("team", "shop")]))
        .with(born("shop/young", 9))
        .with(born("shop-2/old", 1))
        .with(born("shop/b", 5))
        .with(born("shop/a", 5))
        .with(born("shop/going", 0).deleting())
        .with(born("evil/another", 99));
    let resolution = resolved(&cluster);
    let refused: Vec<ObjectKey> = resolution
        .gateways
        .values()
        .filter(|gateway| gateway.refusal.is_some())
        .map(|gateway| gateway.gateway.key.clone())
        .collect();
    assert_eq!(refused, [key("shop/b"), key("shop/young")]);
    let expected = Some((
        Reason::TooManyGateways,
        &["spec.tenants[0].maxGateways", "permits 2"][..],
    ));
    assert_verdict("young", refusal(&resolution, "shop/young"), expected);
}

#[test]
fn tenants_in_the_parameters_of_a_gateway_restrict_nobody_and_are_told_of() {
    let own = GatewayParameters {
        tenants: Some(vec![having("shop", &[])]),
        ..parameters()
    };
    let named = shared_gateway().parameters(object(OWN_GROUP, PARAMETERS_KIND, "shop/p"));
    let cluster = cluster()
        .with(named)
        .with(own)
        .with(asking("shop/r", &["shop.example.com"]));
    let resolution = resolved(&cluster);
    assert_eq!(resolution.refused("shop/r"), None);
    let without_effect = &resolution.gateway(EDGE).parameters.without_effect;
    assert_eq!(without_effect[0].field, "spec.tenants");
}
