//! ListenerSets: who may add listeners to a Gateway, which of two conflicting ones is kept, and which routes they take.

use super::fixtures::*;
use super::tenants::{class_parameters, restricted, tenant, with_parameters};
use crate::attachment::{
    GatewayDefaults, ListenerSetResolution, Resolution, Retained, resolve, retained,
};
use crate::gateway::{
    AllowedNamespaces, CONTROLLER_NAME, FieldErrorKind, GATEWAY_GROUP, Gateway, GatewayParameters,
    LISTENER_SET_KIND, LabelSelector, Listener, ListenerSet, ParentRef, Protocol, SelectorRule,
    Tenant,
};
use crate::names::{AllowedHostnames, ObjectRef};
use crate::snapshot::{ClusterSnapshot, ObjectKind, Reading, UnreadableObject};
use crate::status::Reason;

/// Gateway `shop/edge` with listener `web` for `*.shop.org`, which lets these ListenerSets in.
fn edge(allowed: AllowedNamespaces) -> Gateway {
    gateway(EDGE)
        .listening(https("web").named("*.shop.org"))
        .admitting(allowed)
}

fn open() -> ClusterSnapshot {
    cluster().with(edge(AllowedNamespaces::All))
}

fn team(name: &str) -> AllowedNamespaces {
    let rule = SelectorRule::In("team".to_owned(), vec![name.to_owned()]);
    AllowedNamespaces::Selector(LabelSelector { rules: vec![rule] })
}

fn found<'r>(resolution: &'r Resolution, set: &str) -> &'r ListenerSetResolution {
    let mut sets = resolution.gateway(EDGE).listener_sets.iter();
    sets.find(|found| found.set.key == key(set)).expect("a set")
}

fn refusal(resolution: &Resolution, set: &str) -> Option<(Reason, String)> {
    let refusal = found(resolution, set).refusal.clone();
    refusal.map(|refusal| (refusal.reason, refusal.message))
}

/// For each listener of a set, why it is refused.
fn reasons(resolution: &Resolution, set: &str) -> Vec<Option<Reason>> {
    let set = key(set);
    let listeners = resolution.gateway(EDGE).listeners_of(&set);
    listeners
        .map(|listener| listener.refusal.as_ref().map(|refusal| refusal.reason))
        .collect()
}

fn set_ref(name: &str) -> ParentRef {
    ParentRef {
        target: object(GATEWAY_GROUP, LISTENER_SET_KIND, name),
        ..parent(name)
    }
}

#[test]
fn a_gateway_lets_in_the_listener_sets_of_the_namespaces_that_it_allows() {
    let set = || listener_set("apps/own").adding(https("app").named("app.org"));
    let with = |allowed| {
        let cluster = cluster().with(edge(allowed)).with(set());
        cluster.with(namespace("apps", &[("team", "apps")]))
    };
    let mut unread = with(team("apps"));
    unread.namespaces = Reading::Unknown("timeout".to_owned());
    let not_allowed = |words: Words| Some((Reason::NotAllowed, words));
    let table: Vec<(&str, ClusterSnapshot, Expected)> = vec![
        ("All", with(AllowedNamespaces::All), None),
        (
            "None",
            with(AllowedNamespaces::None),
            not_allowed(&[
                "ListenerSet apps/own: spec.parentRef: Gateway shop/edge: Forbidden",
                "spec.allowedListeners.namespaces.from",
            ]),
        ),
        (
            "Same, from another namespace",
            with(AllowedNamespaces::Same),
            not_allowed(&["namespace shop only"]),
        ),
        ("a selector that selects it", with(team("apps")), None),
        (
            "a selector that does not",
            with(team("other")),
            not_allowed(&["does not select namespace apps"]),
        ),
        (
            "a selector, and no such namespace",
            cluster().with(edge(team("apps"))).with(set()),
            not_allowed(&["there is no Namespace apps"]),
        ),
        (
            "a selector, and labels that are not known",
            unread,
            Some((Reason::Pending, &["unknown: Namespaces could not be read"])),
        ),
        (
            "a field that is not served",
            open().with(ListenerSet {
                field_errors: vec![field_error("spec.shape", FieldErrorKind::Unsupported)],
                ..set()
            }),
            Some((Reason::Invalid, &["ListenerSet apps/own: spec.shape"])),
        ),
        (
            "no listener",
            open().with(listener_set("apps/own")),
            Some((Reason::ListenersNotValid, &["spec.listeners is empty"])),
        ),
    ];
    for (given, cluster, expected) in table {
        let resolution = resolved(&cluster);
        assert_verdict(given, refusal(&resolution, "apps/own"), expected);
        let serves = resolution.gateway(EDGE).table.listeners.len() == 2;
        assert_eq!(serves, expected.is_none(), "{given}");
        assert_eq!(resolution.gateway(EDGE).refusal, None, "{given}");
    }
    let same = listener_set("shop/own").adding(https("app").named("app.org"));
    let cluster = cluster().with(edge(AllowedNamespaces::Same)).with(same);
    assert_eq!(refusal(&resolved(&cluster), "shop/own"), None, "Same");
}

#[test]
fn of_conflicting_listeners_that_of_the_gateway_is_kept_and_then_that_of_the_oldest_set() {
    let hostname = Some(Reason::HostnameConflict);
    let protocol = Some(Reason::ProtocolConflict);
    let tcp = |port| listener("tcp", Protocol::Other("TCP".into()), port);
    let of = |listeners: Vec<Listener>| {
        let set = listener_set("apps/own").made(7);
        listeners.into_iter().fold(set, ListenerSet::adding)
    };
    let other = |name: &str, second: i64| {
        let set = listener_set(name).made(second);
        set.adding(https("other").named("app.org"))
    };
    let app = || vec![https("app").named("app.org")];
    type Case = (&'static str, ClusterSnapshot, Vec<Option<Reason>>);
    let table: Vec<Case> = vec![
        (
            "the hostname of the Gateway's listener, and another",
            open().with(of(vec![
                https("same").named("*.shop.org"),
                https("app").named("app.org"),
            ])),
            vec![hostname, None],
        ),
        (
            "another port",
            open().with(of(vec![https("same").named("*.shop.org").on(8443)])),
            vec![None],
        ),
        (
            "another protocol",
            open().with(of(vec![http("plain").named("app.org").on(443)])),
            vec![protocol],
        ),
        (
            "another protocol and the hostname of another listener",
            open().with(of(vec![http("plain").named("*.shop.org").on(443)])),
            vec![Some(Reason::ListenerConflict)],
        ),
        (
            "a protocol that is not served, on a port that is taken and on one that is not",
            open().with(of(vec![tcp(443), tcp(9000)])),
            vec![protocol, Some(Reason::UnsupportedProtocol)],
        ),
        (
            "an older set",
            open().with(of(app())).with(other("zoo/old", 6)),
            vec![hostname],
        ),
        (
            "a younger set",
            open().with(of(app())).with(other("aaa/young", 8)),
            vec![None],
        ),
        (
            "a set as old, before it by name",
            open().with(of(app())).with(other("aaa/twin", 7)),
            vec![hostname],
        ),
        (
            "a set as old, after it by name",
            open().with(of(app())).with(other("zoo/twin", 7)),
            vec![None],
        ),
        (
            "an older set that is not let in",
            cluster()
                .with(edge(team("apps")))
                .with(namespace("apps", &[("team", "apps")]))
                .with(namespace("zoo", &[]))
                .with(of(app()))
                .with(other("zoo/old", 6)),
            vec![None],
        ),
        (
            "an older listener that is refused itself",
            open().with(of(app())).with(
                listener_set("zoo/old")
                    .made(6)
                    .adding(https("other").named("app.org").passing_tls_through()),
            ),
            vec![None],
        ),
        (
            "two of one set, which has no winner",
            open().with(of(vec![
                https("a").named("app.org"),
                https("b").named("app.org"),
                https("c").named("c.org"),
            ])),
            vec![hostname, hostname, None],
        ),
        (
            "a listener of the Gateway that has lost to another of the Gateway",
            cluster()
                .with(
                    edge(AllowedNamespaces::All)
                        .listening(https("a").named("app.org"))
                        .listening(https("b").named("app.org")),
                )
                .with(of(app())),
            vec![hostname],
        ),
    ];
    for (given, cluster, expected) in table {
        let resolution = resolved(&cluster);
        assert_eq!(reasons(&resolution, "apps/own"), expected, "{given}");
        let serves = expected.contains(&None);
        let refusal = refusal(&resolution, "apps/own").map(|(reason, _)| reason);
        let expected = (!serves).then_some(Reason::ListenersNotValid);
        assert_eq!(refusal, expected, "{given}");
        assert!(resolution.listener("web").conflict.is_none(), "{given}");
        for listener in resolution.gateway(EDGE).listeners_of(&key("apps/own")) {
            let message = listener.conflict.as_ref().map_or("", |it| &it.message);
            assert!(!message.contains("zoo/"), "{given}: {message}");
        }
    }
}

#[test]
fn a_namespace_adds_64_listeners_to_a_gateway_and_takes_no_room_from_others() {
    let many = |name: &str, second, range: std::ops::Range<u16>| {
        let set = listener_set(name).made(second);
        range.fold(set, |set, number| {
            set.adding(https(&format!("l{number}")).named(&format!("a{number}.org")))
        })
    };
    let cluster = open()
        .with(many("apps/old", 1, 0..60))
        .with(many("apps/new", 2, 60..70))
        .with(many("zoo/own", 3, 70..72));
    let resolution = resolved(&cluster);
    let over = Some(Reason::TooManyListeners);
    let refused = reasons(&resolution, "apps/new");
    assert_eq!(refused[..4], [None; 4]);
    assert_eq!(refused[4..], [over; 6]);
    assert_eq!(reasons(&resolution, "apps/old"), [None; 60]);
    assert_eq!(reasons(&resolution, "zoo/own"), [None; 2]);
    let listeners = &resolution.gateway(EDGE).listeners;
    let last = listeners.iter().find_map(|it| it.refusal.as_ref());
    let message = &last.expect("one is refused").message;
    for words in [
        "ListenerSet apps/new: spec.listeners[4] (listener l64): Too many",
        "one namespace may add 64 listeners",
    ] {
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn a_listener_of_a_set_has_the_hostnames_that_the_class_gives_to_its_namespace() {
    let having = |team: &str, hostnames: &[&str]| Tenant {
        hostnames: AllowedHostnames::listed(hostnames.iter().map(|name| host(name))),
        ..tenant(Some(team))
    };
    let cluster = restricted(vec![
        having("shop", &["*.shop.org"]),
        having("evil", &["*.evil.org"]),
    ]);
    let cluster = cluster.with(edge(AllowedNamespaces::All));
    let evil = listener_set("evil/own")
        .adding(https("own").named("*.evil.org"))
        .adding(https("foreign").named("pay.shop.org"))
        .adding(https("every"));
    let bare = listener_set("bare/own").adding(https("own").named("b.evil.org"));
    let resolution = resolved(&cluster.with(evil).with(bare));
    let forbidden = Some(Reason::HostnameNotPermitted);
    assert_eq!(
        reasons(&resolution, "evil/own"),
        [None, forbidden, forbidden]
    );
    let nothing: Expected = Some((Reason::NamespaceNotPermitted, &["ListenerSet bare/own"]));
    assert_verdict("no entry", refusal(&resolution, "bare/own"), nothing);
    assert_eq!(reasons(&resolution, "bare/own"), []);
}

#[test]
fn a_route_attaches_to_the_listeners_of_the_parent_that_it_names_and_to_no_other() {
    let cluster = || {
        let set = listener_set("apps/own")
            .adding(https("app").named("app.org"))
            .adding(https("alt").named("alt.org").on(8443));
        open().with(set).with(listener_set("apps/none"))
    };
    let section = |parent: ParentRef, name: &str| ParentRef {
        section: Some(name.to_owned()),
        ..parent
    };
    let own = || set_ref("apps/own");
    let port = ParentRef {
        port: Some(8443),
        ..own()
    };
    let no_parent = |words: Words| Some((Reason::NoMatchingParent, words));
    let table: Vec<(&str, &str, ParentRef, &[&str], Expected)> = vec![
        (
            "the set",
            "apps/r",
            own(),
            &["apps/own/app", "apps/own/alt"],
            None,
        ),
        (
            "a listener of the set",
            "apps/r",
            section(own(), "alt"),
            &["apps/own/alt"],
            None,
        ),
        ("a port of the set", "apps/r", port, &["apps/own/alt"], None),
        ("the Gateway", "shop/r", parent(EDGE), &["web"], None),
        (
            "a listener of the set by way of the Gateway",
            "shop/r",
            section(parent(EDGE), "app"),
            &[],
            no_parent(&[
                "Gateway shop/edge: no listener has sectionName app",
                "[web:443]",
            ]),
        ),
        (
            "a listener of the Gateway by way of the set",
            "apps/r",
            section(own(), "web"),
            &[],
            no_parent(&["ListenerSet apps/own: no listener", "[app:443, alt:8443]"]),
        ),
        (
            "the set, from the Gateway's namespace",
            "shop/r",
            own(),
            &[],
            Some((
                Reason::NotAllowedByListeners,
                &[
                    "ListenerSet apps/own",
                    "takes routes of namespace apps only",
                ],
            )),
        ),
        (
            "a set without listeners",
            "apps/r",
            set_ref("apps/none"),
            &[],
            no_parent(&["ListenerSet apps/none", "there is no listener"]),
        ),
    ];
    for (given, route, parent, listeners, expected) in table {
        let route = http_route(route).through(parent);
        let name = route.key.to_string();
        let resolution = resolved(&cluster().with(route));
        assert_eq!(resolution.parents(&name)[0].gateway, key(EDGE), "{given}");
        assert_eq!(resolution.parents(&name)[0].listeners, listeners, "{given}");
        assert_verdict(given, resolution.refused(&name), expected);
    }
    for gone in [
        set_ref("apps/gone"),
        ParentRef {
            target: object("example.com", LISTENER_SET_KIND, "apps/own"),
            ..own()
        },
    ] {
        let route = http_route("apps/r").through(gone);
        let resolution = resolved(&cluster().with(route));
        assert_eq!(resolution.parents("apps/r"), [], "no Gateway of ours");
    }
}

#[test]
fn a_route_of_a_set_that_is_not_let_in_is_refused_at_that_parent_alone() {
    let set = listener_set("shop/own").adding(https("app").named("app.org"));
    let route = http_route("shop/r").to(EDGE).through(set_ref("shop/own"));
    let cluster = cluster().with(edge(AllowedNamespaces::None)).with(set);
    let resolution = resolved(&cluster.with(route));
    let [gateway, set] = resolution.parents("shop/r") else {
        panic!("{:?}", resolution.parents("shop/r"));
    };
    assert_eq!(
        (&gateway.refusal, &gateway.listeners[..]),
        (&None, &["web".to_owned()][..])
    );
    let refusal = set.refusal.clone().map(|it| (it.reason, it.message));
    let words: Words = &["ListenerSet shop/own: it adds no listener to Gateway shop/edge"];
    assert_verdict("the set", refusal, Some((Reason::NoMatchingParent, words)));
}

#[test]
fn what_a_set_adds_is_in_the_table_of_the_gateway_and_among_its_hostnames() {
    let set = listener_set("apps/own").adding(https("web").named("*.app.org"));
    let cluster = open()
        .with(set)
        .with(http_route("shop/all").to(EDGE).named("a.shop.org"))
        .with(
            http_route("apps/r")
                .through(set_ref("apps/own"))
                .named("x.app.org"),
        )
        .with(
            http_route("apps/not")
                .through(set_ref("apps/own"))
                .named("y.shop.org"),
        );
    let resolution = resolved(&cluster);
    let gateway = resolution.gateway(EDGE);
    let table: Vec<(&str, usize)> = gateway
        .table
        .listeners
        .iter()
        .map(|listener| (listener.name.as_str(), listener.routes.len()))
        .collect();
    assert_eq!(table, [("web", 1), ("apps/own/web", 1)]);
    let hostnames: Vec<String> = gateway.hostnames.keys().map(ToString::to_string).collect();
    assert_eq!(hostnames, ["a.shop.org", "x.app.org"]);
    assert_eq!(gateway.own_listeners().len(), 1);
}

#[test]
fn a_certificate_of_a_set_needs_a_grant_for_sets_of_its_namespace() {
    let foreign = object("", "Secret", "infra/cert");
    let own = object("", "Secret", "apps/cert");
    let with = |certificate: ObjectRef| {
        let listener = https("app").named("app.org").certificate(certificate);
        let set = listener_set("apps/own").adding(listener);
        open()
            .with(set)
            .certificate("infra/cert", &["app.org"])
            .certificate("apps/cert", &["app.org"])
    };
    let grants = |kind, namespace| grant("infra", (kind, namespace), ("Secret", None));
    let not_permitted: Expected = Some((
        Reason::RefNotPermitted,
        &[
            "ListenerSet apps/own",
            "from ListenerSet in namespace apps to Secret",
        ],
    ));
    let table: Vec<(&str, ClusterSnapshot, Expected)> = vec![
        ("its own namespace", with(own), None),
        ("no grant", with(foreign.clone()), not_permitted),
        (
            "a grant for Gateways",
            with(foreign.clone())
                .with(grants("Gateway", "shop"))
                .with(grants("Gateway", "apps")),
            not_permitted,
        ),
        (
            "a grant for ListenerSets of the Gateway's namespace",
            with(foreign.clone()).with(grants(LISTENER_SET_KIND, "shop")),
            not_permitted,
        ),
        (
            "a grant for ListenerSets",
            with(foreign.clone()).with(grants(LISTENER_SET_KIND, "apps")),
            None,
        ),
    ];
    for (given, cluster, expected) in table {
        let resolution = resolved(&cluster);
        let unresolved = resolution.listener("app").unresolved.clone();
        assert_verdict(given, unresolved.map(|r| (r.reason, r.message)), expected);
        let refusal = refusal(&resolution, "apps/own").map(|(reason, _)| reason);
        let not_valid = expected.map(|_| Reason::ListenersNotValid);
        assert_eq!(refusal, not_valid, "{given}");
    }
}

#[test]
fn a_set_has_certificates_uploaded_where_its_own_namespace_may() {
    let upload = GatewayDefaults {
        upload_certificates: true,
        ..GatewayDefaults::default()
    };
    let may = |team: &str, may_upload_certificates| Tenant {
        may_upload_certificates,
        ..tenant(Some(team))
    };
    let tenants = |of_set| Some(vec![may("shop", true), may("evil", of_set)]);
    for (given, tenants, uploaded) in [
        ("nobody is restricted", None, true),
        ("it may", tenants(true), true),
        ("it may not", tenants(false), false),
    ] {
        let certificate = object("", "Secret", "evil/cert");
        let listener = https("app").named("app.org").certificate(certificate);
        let cluster = with_parameters(GatewayParameters {
            tenants,
            ..class_parameters()
        });
        let cluster = cluster
            .with(edge(AllowedNamespaces::All))
            .with(listener_set("evil/own").adding(listener))
            .with(http_route("evil/r").through(set_ref("evil/own")))
            .certificate("evil/cert", &["app.org"]);
        let resolution = resolve(&cluster, CONTROLLER_NAME, &upload);
        let wanted = resolution.gateway(EDGE).certificates.clone();
        let wanted = wanted.expect("known");
        assert_eq!(!wanted.is_empty(), uploaded, "{given}");
        assert!(wanted.iter().all(|it| !it.any_name), "{given}");
    }
}

fn unreadable(mut cluster: ClusterSnapshot, parents: Option<ObjectRef>) -> ClusterSnapshot {
    let found = UnreadableObject {
        why: "spec.listeners: cannot be read".to_owned(),
        parents: parents.map(|parent| [parent].into()),
    };
    let set = object(GATEWAY_GROUP, LISTENER_SET_KIND, "apps/own");
    cluster.unreadable.objects.insert(set, found);
    cluster
}

#[test]
fn a_set_that_could_not_be_read_takes_nothing_from_the_gateways_that_may_be_its() {
    let gateways = || {
        cluster()
            .with(edge(AllowedNamespaces::None))
            .with(gateway("apps/same").admitting(AllowedNamespaces::Same))
            .with(gateway("infra/all").admitting(AllowedNamespaces::All))
            .with(gateway("infra/same").admitting(AllowedNamespaces::Same))
    };
    let earlier = listener_set("apps/own");
    let named = object(GATEWAY_GROUP, "Gateway", "infra/same");
    let set = |name: &str| object(GATEWAY_GROUP, LISTENER_SET_KIND, name);
    let mut of_route = gateways().with(listener_set("apps/other"));
    let found = UnreadableObject {
        why: String::new(),
        parents: Some([set("apps/other")].into()),
    };
    let route = object(GATEWAY_GROUP, "HTTPRoute", "apps/r");
    of_route.unreadable.objects.insert(route, found);
    let mut absent = gateways();
    absent.listener_sets = Reading::Absent;
    let table: Vec<(&str, ClusterSnapshot, &[&str])> = vec![
        (
            "all that take sets of its namespace",
            unreadable(gateways(), None),
            &["apps/same", "infra/all"],
        ),
        (
            "the one that it names",
            unreadable(gateways(), Some(named)),
            &["infra/same"],
        ),
        (
            "the one that it named earlier too",
            unreadable(gateways().with(earlier), None),
            &["apps/same", "infra/all", EDGE],
        ),
        ("an unreadable route of a set", of_route, &[EDGE]),
        (
            "no such kind: it may have been there",
            absent,
            &["apps/same", "infra/all", "infra/same"],
        ),
    ];
    for (given, cluster, expected) in table {
        let expected = expected.iter().map(|name| key(name)).collect();
        assert_eq!(retained(&cluster), Retained::Only(expected), "{given}");
    }
    let mut unread = gateways();
    unread.listener_sets = Reading::Unknown("timeout".to_owned());
    assert_eq!(retained(&unread), Retained::All);
    let missing = resolved(&unread).unread;
    assert_eq!(
        missing.into_keys().collect::<Vec<_>>(),
        [ObjectKind::ListenerSet]
    );
}
