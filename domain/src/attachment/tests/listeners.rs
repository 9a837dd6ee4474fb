use super::fixtures::*;
use crate::attachment::ListenerResolution;
use crate::certificate::TlsPair;
use crate::gateway::{AllowedKind, FieldErrorKind, Gateway, Listener, Protocol, RouteKind};
use crate::snapshot::Reading;
use crate::status::Reason;

fn resolve_one(listener: Listener) -> ListenerResolution {
    let resolution = resolved(&cluster().with(gateway(EDGE).listening(listener)));
    resolution.gateway(EDGE).listeners[0].clone()
}

#[test]
fn a_listener_is_refused_for_what_the_edge_cannot_do() {
    let table: Vec<(&str, Listener, Expected)> = vec![
        ("HTTPS without tls", https("web"), None),
        ("HTTPS on another port", https("web").on(8443), None),
        ("HTTP", http("web"), None),
        ("HTTP on another port", http("web").on(8090), None),
        (
            "HTTPS with a certificate",
            https("web").certificate(object("", "Secret", "shop/cert")),
            None,
        ),
        (
            "TLS passthrough",
            https("web").passing_tls_through(),
            Some((
                Reason::UnsupportedValue,
                &[
                    "Gateway shop/edge",
                    "spec.listeners[0].tls.mode",
                    "Terminate",
                ],
            )),
        ),
        (
            "tls on HTTP",
            http("web").certificate(object("", "Secret", "shop/cert")),
            Some((Reason::Invalid, &["spec.listeners[0].tls", "remove it"])),
        ),
        (
            "another protocol",
            listener("web", Protocol::Other("TCP".into()), 80),
            Some((
                Reason::UnsupportedProtocol,
                &["spec.listeners[0].protocol", "TCP", "use HTTPS or HTTP"],
            )),
        ),
        (
            "a malformed hostname",
            https("web").flawed("spec.listeners[0].hostname", FieldErrorKind::Invalid),
            Some((
                Reason::Invalid,
                &["Gateway shop/edge", "spec.listeners[0].hostname"],
            )),
        ),
        (
            "a hostname below a reserved name",
            https("web").named("*.certificates.invalid"),
            Some((
                Reason::UnsupportedValue,
                &[
                    "spec.listeners[0].hostname",
                    "Invalid value: *.certificates.invalid",
                    "reserved",
                    "use a hostname of a zone",
                ],
            )),
        ),
        (
            "a field that is not served",
            https("web").flawed("spec.listeners[0].tls.options", FieldErrorKind::Unsupported),
            Some((Reason::UnsupportedValue, &["spec.listeners[0].tls.options"])),
        ),
    ];
    for (given, listener, expected) in table {
        let listener = resolve_one(listener);
        let refusal = listener.refusal.map(|r| (r.reason, r.message));
        assert_verdict(given, refusal, expected);
    }
}

#[test]
fn listeners_that_cannot_be_told_apart_are_all_refused() {
    let hostname = Some(Reason::HostnameConflict);
    let protocol = Some(Reason::ProtocolConflict);
    let other = |name| listener(name, Protocol::Other("TCP".into()), 443);
    type Case = (&'static str, Vec<Listener>, Vec<Option<Reason>>);
    let table: Vec<Case> = vec![
        (
            "different ports",
            vec![https("a"), https("b").on(8443)],
            vec![None, None],
        ),
        (
            "different hostnames",
            vec![
                https("a").named("a.org"),
                https("b").named("*.a.org"),
                https("c"),
            ],
            vec![None, None, None],
        ),
        (
            "the same hostname",
            vec![
                https("a").named("a.org"),
                https("b").named("a.org"),
                https("c"),
            ],
            vec![hostname, hostname, None],
        ),
        (
            "no hostname twice",
            vec![https("a"), https("b")],
            vec![hostname, hostname],
        ),
        (
            "HTTP and HTTPS on one port, hostnames apart",
            vec![
                https("a").named("a.org"),
                http("b").on(443).named("b.org"),
                http("c"),
            ],
            vec![protocol, protocol, None],
        ),
        (
            "a protocol that is not served takes nothing from others",
            vec![https("a"), other("b")],
            vec![None, None],
        ),
        (
            "a reserved hostname takes nothing from others",
            vec![
                https("a").named("a.localhost"),
                https("b").named("a.localhost"),
            ],
            vec![None, None],
        ),
        (
            "a malformed hostname takes nothing from others",
            vec![
                https("a"),
                https("b").flawed("spec.listeners[1].hostname", FieldErrorKind::Invalid),
            ],
            vec![None, None],
        ),
    ];
    for (given, listeners, expected) in table {
        let edge: Gateway = listeners
            .into_iter()
            .fold(gateway(EDGE), Gateway::listening);
        let resolution = resolved(&cluster().with(edge));
        let listeners = &resolution.gateway(EDGE).listeners;
        let conflicts: Vec<_> = listeners
            .iter()
            .map(|l| l.conflict.as_ref().map(|c| c.reason))
            .collect();
        assert_eq!(conflicts, expected, "{given}");
        for listener in listeners.iter().filter(|l| l.conflict.is_some()) {
            assert_eq!(listener.refusal, listener.conflict, "{given}");
        }
    }
}

#[test]
fn a_conflict_names_the_other_listener_and_the_remedy() {
    let edge = gateway(EDGE).listening(https("a")).listening(https("b"));
    let resolution = resolved(&cluster().with(edge));
    let conflict = resolution
        .listener("b")
        .conflict
        .clone()
        .expect("a conflict");
    for word in [
        "shop/edge",
        "spec.listeners[1].hostname",
        "443",
        "those of a;",
        "change",
    ] {
        assert!(
            conflict.message.contains(word),
            "{word} in {}",
            conflict.message
        );
    }
}

#[test]
fn kinds_that_are_not_served_are_named_and_the_others_taken() {
    let http = || AllowedKind::Route(RouteKind::Http);
    let unknown = || AllowedKind::Other("example.com/FooRoute".to_owned());
    let invalid: Expected = Some((
        Reason::InvalidRouteKinds,
        &[
            "spec.listeners[0].allowedRoutes.kinds",
            "example.com/FooRoute",
        ],
    ));
    let table = [
        (
            "nothing written",
            https("web"),
            vec![RouteKind::Http, RouteKind::Grpc],
            None,
        ),
        (
            "one kind, twice",
            https("web").taking(http()).taking(http()),
            vec![RouteKind::Http],
            None,
        ),
        (
            "a kind that is not served beside one that is",
            https("web").taking(unknown()).taking(http()),
            vec![RouteKind::Http],
            invalid,
        ),
        (
            "only a kind that is not served",
            https("web").taking(unknown()),
            vec![],
            invalid,
        ),
        (
            "a protocol that is not served",
            listener("web", Protocol::Other("UDP".into()), 53).taking(http()),
            vec![],
            None,
        ),
    ];
    for (given, listener, kinds, expected) in table {
        let listener = resolve_one(listener);
        assert_eq!(listener.supported_kinds, kinds, "{given}");
        let unresolved = listener.unresolved.map(|r| (r.reason, r.message));
        assert_verdict(given, unresolved, expected);
    }
}

#[test]
fn a_certificate_must_be_a_secret_that_is_there_and_may_be_referred_to() {
    let own = || https("web").certificate(object("", "Secret", "shop/cert"));
    let foreign = || https("web").certificate(object("", "Secret", "infra/cert"));
    let from_us = ("Gateway", "shop");
    let with = |listener| cluster().with(gateway(EDGE).listening(listener));
    let not_permitted: Expected = Some((
        Reason::RefNotPermitted,
        &[
            "spec.listeners[0].tls.certificateRefs[0]",
            "Secret infra/cert",
            "ReferenceGrant in namespace infra from Gateway in namespace shop",
        ],
    ));
    let invalid = |words: Words| Some((Reason::InvalidCertificateRef, words));
    let table: Vec<(&str, _, Expected)> = vec![
        ("there", with(own()).certificate("shop/cert", &[]), None),
        (
            "there without its key",
            with(own()).secret("shop/cert", &["tls.crt"]),
            invalid(&["certificateRefs[0]", "Secret shop/cert", "tls.key"]),
        ),
        (
            "malformed",
            with(own()).tls("shop/cert", TlsPair::Malformed("tls.crt is no PEM".into())),
            invalid(&[
                "certificateRefs[0]",
                "Secret shop/cert",
                "tls.crt is no PEM",
            ]),
        ),
        ("not read yet", with(own()), None),
        (
            "could not be read",
            with(own()).secret_reading("shop/cert", Reading::Unknown("timeout".into())),
            None,
        ),
        (
            "not there",
            with(own()).secret_reading("shop/cert", Reading::Absent),
            invalid(&["certificateRefs[0]", "Secret shop/cert does not exist"]),
        ),
        (
            "another kind",
            with(https("web").certificate(object("", "ConfigMap", "shop/cert"))),
            invalid(&["ConfigMap", "name a Secret"]),
        ),
        (
            "another group",
            with(https("web").certificate(object("example.com", "Secret", "shop/cert"))),
            invalid(&["example.com/Secret"]),
        ),
        (
            "another namespace without a grant",
            with(foreign()),
            not_permitted,
        ),
        (
            "ReferenceGrant is not installed",
            {
                let mut cluster = with(foreign());
                cluster.grants = Reading::Absent;
                cluster
            },
            not_permitted,
        ),
        (
            "a grant for all Secrets",
            with(foreign()).with(grant("infra", from_us, ("Secret", None))),
            None,
        ),
        (
            "a grant for this Secret",
            with(foreign()).with(grant("infra", from_us, ("Secret", Some("cert")))),
            None,
        ),
        (
            "a grant for another Secret",
            with(foreign()).with(grant("infra", from_us, ("Secret", Some("other")))),
            not_permitted,
        ),
        (
            "a grant for another kind of referrer",
            with(foreign()).with(grant("infra", ("ListenerSet", "shop"), ("Secret", None))),
            not_permitted,
        ),
        (
            "several problems: the one that hides most comes first",
            with(foreign().certificate(object("", "ConfigMap", "shop/cert"))),
            Some((
                Reason::RefNotPermitted,
                &["certificateRefs[0]", "certificateRefs[1]", "ConfigMap"],
            )),
        ),
    ];
    for (given, cluster, expected) in table {
        let resolution = resolved(&cluster);
        let listener = resolution.listener("web");
        assert!(listener.refusal.is_none(), "{given}");
        assert_eq!(listener.is_served(), expected.is_none(), "{given}");
        let unresolved = listener.unresolved.clone();
        assert_verdict(given, unresolved.map(|r| (r.reason, r.message)), expected);
    }
}

#[test]
fn routes_are_counted_once_per_listener_also_where_it_cannot_serve() {
    let edge = gateway(EDGE)
        .listening(https("web").certificate(object("", "Secret", "infra/cert")))
        .listening(http("plain").named("*.example.com"))
        .listening(http("twin").named("*.example.com"));
    let resolution = resolved(
        &cluster()
            .with(edge)
            .with(http_route("shop/all").to(EDGE).to_section(EDGE, "web"))
            .with(http_route("shop/other").to(EDGE).named("other.org"))
            .with(
                grpc_route("shop/grpc")
                    .to_section(EDGE, "plain")
                    .named("nowhere.org"),
            ),
    );
    for (listener, count) in [("web", 2), ("plain", 1), ("twin", 1)] {
        assert_eq!(
            resolution.listener(listener).attached_routes,
            count,
            "{listener}"
        );
    }
}
