use crate::attachment::tests::fixtures::*;
use crate::attachment::{GatewayDefaults, resolve};
use crate::capabilities::Feature;
use crate::edge::HostnameOutcome;
use crate::error::PortErrorKind;
use crate::gateway::{
    CONTROLLER_NAME, FeatureUse, FieldErrorKind, Filter, HeaderMatch, HeaderModifier, PathMatch,
    Route, TextMatch, UnderscoredHeaders,
};
use crate::report::{GatewayFacts, report};
use crate::snapshot::ClusterSnapshot;
use crate::status::{Condition, ConditionType, Part, Reason, StatusPart, Truth};

fn parents(cluster: &ClusterSnapshot, known: GatewayFacts) -> Vec<StatusPart> {
    let mut updates = report(&resolved(cluster), &facts(known)).into_iter();
    let status = updates.find(|update| update.object.key == key("shop/store"));
    status.expect("a status of the route").parts
}

fn conditions(cluster: &ClusterSnapshot, known: GatewayFacts) -> Vec<Condition> {
    parents(cluster, known)[0].conditions.clone()
}

fn with_route() -> ClusterSnapshot {
    shop().with(http_route("shop/store").to(EDGE).named("app.example.com"))
}

/// And with two rules, one of which cannot be served.
fn with_two_hostnames() -> ClusterSnapshot {
    let route = http_route("shop/store")
        .to(EDGE)
        .named("app.example.com")
        .named("b.example.com")
        .rule(rule(PathMatch::Prefix("/pay".to_owned())))
        .flawed("spec.rules[1].retry", FieldErrorKind::Unsupported);
    shop().with(route)
}

#[test]
fn accepted_and_resolved_refs_repeat_what_was_resolved() {
    let route = || http_route("shop/store");
    let using = |feature| Route {
        uses: vec![FeatureUse {
            field: "spec.rules[0]".to_owned(),
            feature,
        }],
        ..route().to(EDGE)
    };
    let cases = [
        (
            using(Feature::HTTPRouteMethodMatching),
            (Truth::True, Reason::Accepted),
            (Truth::True, Reason::ResolvedRefs),
        ),
        (
            using(Feature::ExtensionRef),
            (Truth::False, Reason::UnsupportedValue),
            (Truth::True, Reason::ResolvedRefs),
        ),
        (
            route().to(EDGE).backend("shop/store", 80),
            (Truth::True, Reason::Accepted),
            (Truth::True, Reason::ResolvedRefs),
        ),
        (
            route().to_section(EDGE, "none").backend("shop/none", 80),
            (Truth::False, Reason::NoMatchingParent),
            (Truth::False, Reason::BackendNotFound),
        ),
        (
            route()
                .to(EDGE)
                .flawed("spec.rules[0].retry", FieldErrorKind::Unsupported),
            (Truth::False, Reason::UnsupportedValue),
            (Truth::True, Reason::ResolvedRefs),
        ),
    ];
    for (route, accepted, resolved) in cases {
        let conditions = conditions(&shop().with(route), serving(&[]));
        assert_eq!(verdict(&conditions, ConditionType::Accepted), accepted);
        assert_eq!(verdict(&conditions, ConditionType::ResolvedRefs), resolved);
        let has_dns = conditions.iter().any(|c| c.kind == ConditionType::Dns);
        assert_eq!(has_dns, accepted.0 == Truth::True);
        assert!(conditions.iter().all(|c| c.generation == 7));
    }
}

#[test]
fn a_route_whose_listeners_cannot_serve_is_accepted_and_told_so() {
    let locked = https("web").certificate(object("", "Secret", "infra/cert"));
    let cluster = cluster()
        .with(gateway(EDGE).listening(locked))
        .with(http_route("shop/store").to(EDGE).named("app.example.com"));
    let conditions = conditions(&cluster, serving(&[]));
    let accepted = condition(&conditions, ConditionType::Accepted);
    assert_eq!(accepted.truth, Truth::True);
    assert!(
        accepted.message.contains("none of them serves"),
        "{}",
        accepted.message
    );
    let dns = verdict(&conditions, ConditionType::Dns);
    assert_eq!(dns, (Truth::Unknown, Reason::Pending));
}

#[test]
fn a_route_without_a_parent_of_ours_gets_an_empty_status() {
    let cluster = shop().with(http_route("shop/store").to("shop/none"));
    assert_eq!(parents(&cluster, serving(&[])), []);
}

#[test]
fn each_parent_ref_has_an_entry_that_repeats_it() {
    let route = http_route("shop/store").to_section(EDGE, "web").to(EDGE);
    let written = route.parents.iter().cloned().map(Part::Parent);
    let written: Vec<_> = written.collect();
    let reported = parents(&shop().with(route), serving(&[]));
    let reported: Vec<_> = reported.into_iter().map(|entry| entry.part).collect();
    assert_eq!(reported, written);
}

#[test]
fn dns_says_what_became_of_the_hostname_and_what_to_do() {
    let away = |kind| GatewayFacts {
        edge: Some(Err(edge_error(kind))),
        ..serving(&[])
    };
    let outcome = |outcome| serving(&[("app.example.com", outcome)]);
    let message = || "zone example.com needs DNS Write".to_owned();
    let found = || "A record 192.0.2.1".to_owned();
    let no = |reason| (Truth::False, reason);
    let unknown = |reason| (Truth::Unknown, reason);
    let cases: Vec<(&str, GatewayFacts, (Truth, Reason), Words)> = vec![
        (
            "applied",
            outcome(HostnameOutcome::Applied),
            (Truth::True, Reason::Applied),
            &["shop/edge"],
        ),
        (
            "a foreign record",
            outcome(HostnameOutcome::Conflict { found: found() }),
            no(Reason::RecordConflict),
            &[
                "A record 192.0.2.1",
                "name app.example.com in spec.dns.adopt",
            ],
        ),
        (
            "claimed",
            outcome(HostnameOutcome::Claimed {
                by: key("apps/other"),
            }),
            no(Reason::ClaimedByOther),
            &["Gateway apps/other", "use another hostname"],
        ),
        (
            "no zone",
            outcome(HostnameOutcome::NoZone),
            no(Reason::NoZone),
            &["no zone", "add the zone"],
        ),
        (
            "forbidden",
            outcome(HostnameOutcome::Forbidden { message: message() }),
            no(Reason::Forbidden),
            &["zone example.com needs DNS Write", "permission"],
        ),
        (
            "not managed",
            outcome(HostnameOutcome::NotManaged),
            unknown(Reason::NotManaged),
            &["point it to"],
        ),
        (
            "not known",
            outcome(HostnameOutcome::Unknown { message: message() }),
            unknown(Reason::EdgeUnavailable),
            &["zone example.com needs DNS Write"],
        ),
        (
            "not asked for yet",
            serving(&[]),
            unknown(Reason::Pending),
            &[],
        ),
        (
            "never asked",
            GatewayFacts::default(),
            unknown(Reason::Pending),
            &[],
        ),
        (
            "edge away",
            away(PortErrorKind::Unavailable),
            unknown(Reason::EdgeUnavailable),
            &["the edge says so"],
        ),
        (
            "broker away",
            away(PortErrorKind::BrokerUnavailable),
            unknown(Reason::BrokerUnavailable),
            &["the edge says so"],
        ),
        (
            "no credentials",
            away(PortErrorKind::Credentials),
            unknown(Reason::InvalidParameters),
            &["the edge says so"],
        ),
    ];
    for (given, known, expected, words) in cases {
        let conditions = conditions(&with_route(), known);
        let dns = condition(&conditions, ConditionType::Dns);
        assert_eq!((dns.truth, dns.reason), expected, "{given}: {dns:?}");
        for word in words.iter().chain(&["app.example.com"]) {
            assert!(dns.message.contains(word), "{given}: {}", dns.message);
        }
    }
}

#[test]
fn a_route_without_any_hostname_is_reachable_by_address_only() {
    let conditions = conditions(
        &shop().with(http_route("shop/store").to(EDGE)),
        serving(&[]),
    );
    let dns = condition(&conditions, ConditionType::Dns);
    assert_eq!((dns.truth, dns.reason), (Truth::False, Reason::NoHostname));
    assert!(
        dns.message.contains("set spec.hostnames"),
        "{}",
        dns.message
    );
}

#[test]
fn what_was_applied_stays_so_while_the_edge_does_not_answer() {
    let applied = || {
        Some(edge_status(&[(
            "app.example.com",
            HostnameOutcome::Applied,
        )]))
    };
    let failed = HostnameOutcome::Unknown {
        message: "zones could not be listed".to_owned(),
    };
    let away = GatewayFacts {
        edge: Some(Err(edge_error(PortErrorKind::Unavailable))),
        last_known: applied(),
        ..serving(&[])
    };
    let partly = GatewayFacts {
        last_known: applied(),
        ..serving(&[("app.example.com", failed)])
    };
    let restarted = GatewayFacts {
        edge: None,
        last_known: applied(),
        ..serving(&[])
    };
    let cases = [
        (away, "the edge says so"),
        (partly, "zones could not be listed"),
        (restarted, "not been asked again"),
    ];
    for (known, why) in cases {
        let conditions = conditions(&with_route(), known);
        let dns = condition(&conditions, ConditionType::Dns);
        assert_eq!((dns.truth, dns.reason), (Truth::True, Reason::Applied));
        for word in ["last known", why] {
            assert!(dns.message.contains(word), "{}", dns.message);
        }
    }
}

#[test]
fn an_earlier_answer_that_knew_nothing_is_not_called_known() {
    let failed = |message: &str| HostnameOutcome::Unknown {
        message: message.to_owned(),
    };
    let known = GatewayFacts {
        last_known: Some(edge_status(&[("app.example.com", failed("earlier"))])),
        ..serving(&[("app.example.com", failed("now"))])
    };
    let conditions = conditions(&with_route(), known);
    let dns = condition(&conditions, ConditionType::Dns);
    let found = (dns.truth, dns.reason, dns.message.as_str());
    let expected = (
        Truth::Unknown,
        Reason::EdgeUnavailable,
        "app.example.com: now",
    );
    assert_eq!(found, expected);
}

#[test]
fn a_newer_answer_replaces_what_was_known() {
    let known = GatewayFacts {
        last_known: Some(edge_status(&[(
            "app.example.com",
            HostnameOutcome::Applied,
        )])),
        ..serving(&[("app.example.com", HostnameOutcome::NoZone)])
    };
    let dns = verdict(&conditions(&with_route(), known), ConditionType::Dns);
    assert_eq!(dns, (Truth::False, Reason::NoZone));
}

#[test]
fn of_several_hostnames_the_worst_decides_and_every_bad_one_is_named() {
    let found = "CNAME record other.example.net".to_owned();
    let known = serving(&[
        ("app.example.com", HostnameOutcome::Applied),
        ("b.example.com", HostnameOutcome::NoZone),
        ("c.example.com", HostnameOutcome::Conflict { found }),
    ]);
    let route = http_route("shop/store")
        .to(EDGE)
        .named("app.example.com")
        .named("b.example.com")
        .named("c.example.com");
    let conditions = conditions(&shop().with(route), known);
    let dns = condition(&conditions, ConditionType::Dns);
    assert_eq!(
        (dns.truth, dns.reason),
        (Truth::False, Reason::RecordConflict)
    );
    for word in ["b.example.com", "c.example.com", "1 of 3 hostnames"] {
        assert!(dns.message.contains(word), "{}", dns.message);
    }
    assert!(!dns.message.contains("app.example.com"), "{}", dns.message);
}

#[test]
fn a_message_lists_a_limited_number_of_hostnames() {
    let names: Vec<String> = (0..200).map(|i| format!("h{i}.example.com")).collect();
    let route = names
        .iter()
        .fold(http_route("shop/store").to(EDGE), |r, name| r.named(name));
    let outcomes: Vec<(&str, HostnameOutcome)> = names
        .iter()
        .map(|name| (name.as_str(), HostnameOutcome::NoZone))
        .collect();
    let conditions = conditions(&shop().with(route), serving(&outcomes));
    let dns = condition(&conditions, ConditionType::Dns);
    assert!(dns.message.contains("and 184 more"), "{}", dns.message);
    assert!(dns.message.len() < 32_768);
}

#[test]
fn a_route_is_refused_only_when_other_gateways_hold_every_hostname() {
    let claimed = || HostnameOutcome::Claimed {
        by: key("apps/other"),
    };
    let both = [("app.example.com", claimed()), ("b.example.com", claimed())];
    let one = [
        ("app.example.com", HostnameOutcome::Applied),
        ("b.example.com", claimed()),
    ];
    let known_earlier = GatewayFacts {
        edge: Some(Err(edge_error(PortErrorKind::Unavailable))),
        last_known: Some(edge_status(&both)),
        ..serving(&[])
    };
    let refused = (Truth::False, Reason::ClaimedByOther);
    let cases = [
        ("every hostname", serving(&both), refused),
        ("every hostname, as last known", known_earlier, refused),
        ("one of two", serving(&one), (Truth::True, Reason::Accepted)),
        (
            "nothing known",
            serving(&[]),
            (Truth::True, Reason::Accepted),
        ),
    ];
    for (given, known, expected) in cases {
        let conditions = conditions(&with_two_hostnames(), known);
        let accepted = condition(&conditions, ConditionType::Accepted);
        assert_eq!((accepted.truth, accepted.reason), expected, "{given}");
        let mut kinds = conditions.iter().map(|condition| condition.kind);
        let is_partial = kinds.any(|kind| kind == ConditionType::PartiallyInvalid);
        assert_eq!(is_partial, expected != refused, "{given}");
        if expected == refused {
            for word in ["app.example.com", "b.example.com", "Gateway apps/other"] {
                assert!(
                    accepted.message.contains(word),
                    "{given}: {}",
                    accepted.message
                );
            }
            let dns = verdict(&conditions, ConditionType::Dns);
            assert_eq!(dns, refused, "{given}");
        }
    }
}

fn matching_header(name: &str) -> Route {
    let mut route = http_route("shop/store").to(EDGE).named("app.example.com");
    route.rules[0].matches[0].headers.push(HeaderMatch {
        name: name.to_owned(),
        value: TextMatch::Exact("x".to_owned()),
    });
    route
}

fn with_modifier(modifier: HeaderModifier) -> Route {
    let route = http_route("shop/store").to(EDGE).named("app.example.com");
    route.filter(Filter::RequestHeaders(modifier))
}

#[test]
fn a_route_that_names_a_header_which_no_request_has_is_told_so() {
    use UnderscoredHeaders::{Allow, Drop};
    let pair = |name: &str| vec![(name.to_owned(), "x".to_owned())];
    let set = |name: &str| {
        with_modifier(HeaderModifier {
            set: pair(name),
            ..HeaderModifier::default()
        })
    };
    let remove = with_modifier(HeaderModifier {
        remove: vec!["x_user".to_owned()],
        ..HeaderModifier::default()
    });
    type Words<'a> = Option<&'a [&'a str]>;
    let never: Words<'_> = Some(&[
        "HTTPRoute shop/store: spec.rules[0].matches[0].headers: x_user: it is removed",
        "never holds; use x-user, or set requests.headers_with_underscores",
    ]);
    let modifier = |name: &str| HeaderModifier {
        set: pair(name),
        ..HeaderModifier::default()
    };
    let mut of_backend = http_route("shop/store")
        .to(EDGE)
        .named("app.example.com")
        .backend("shop/app", 80);
    of_backend.rules[0].backends[0].filters = vec![
        Filter::ResponseHeaders(modifier("x_answer")),
        Filter::RequestHeaders(modifier("x_user")),
    ];
    let of_answer = http_route("shop/store").to(EDGE).named("app.example.com");
    let of_answer = of_answer.filter(Filter::ResponseHeaders(modifier("x_user")));
    let rows: [(&str, Route, UnderscoredHeaders, Words<'_>); 11] = [
        (
            "a header of a backend's requests set",
            of_backend,
            Drop,
            Some(&[
                "shop/store: spec.rules[0].backendRefs[0].filters.requestHeaderModifier.set: x_user",
            ]),
        ),
        ("a header of an answer set", of_answer, Drop, None),
        (
            "a match with hyphens",
            matching_header("x-user"),
            Drop,
            None,
        ),
        ("a match", matching_header("x_user"), Drop, never),
        ("a match, allowed", matching_header("x_user"), Allow, None),
        (
            "a match of a reserved name, allowed",
            matching_header("x_forwarded_for"),
            Allow,
            Some(&["never holds; use x-forwarded-for"]),
        ),
        (
            "a match with a dot",
            matching_header("x.user"),
            Drop,
            Some(&["x.user", "use x-user"]),
        ),
        ("a header set, with hyphens", set("x-user"), Drop, None),
        (
            "a header set",
            set("x_user"),
            Drop,
            Some(&[
                "requestHeaderModifier.set: x_user",
                "only the value of the route",
            ]),
        ),
        ("a header set, allowed", set("x_user"), Allow, None),
        (
            "a header removed",
            remove,
            Drop,
            Some(&["requestHeaderModifier.remove: x_user", "none to remove"]),
        ),
    ];
    for (given, route, underscored_headers, expected) in rows {
        let defaults = GatewayDefaults {
            underscored_headers,
            ..GatewayDefaults::default()
        };
        let resolution = resolve(&shop().with(route), CONTROLLER_NAME, &defaults);
        let updates = report(&resolution, &facts(serving(&[])));
        let conditions = parts_of(updates, "HTTPRoute").remove(0).conditions;
        let accepted = condition(&conditions, ConditionType::Accepted);
        assert_eq!(accepted.truth, Truth::True, "{given}");
        let found = conditions.iter().find(|c| c.kind == ConditionType::Headers);
        let found = found.map(|c| (c.truth, c.reason, c.message.as_str()));
        match (found, expected) {
            (None, None) => {}
            (Some((Truth::False, Reason::UnsupportedValue, message)), Some(words)) => {
                for word in words {
                    assert!(message.contains(word), "{given}: {message}");
                }
            }
            other => panic!("{given}: {other:?}"),
        }
    }
}
