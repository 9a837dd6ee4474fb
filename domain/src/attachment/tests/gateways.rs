use super::fixtures::*;
use crate::gateway::{FieldErrorKind, Gateway, OWN_GROUP, PARAMETERS_KIND, Protocol};
use crate::names::Timestamp;
use crate::snapshot::{ClusterSnapshot, Reading};
use crate::status::Reason;

fn refusal(cluster: &ClusterSnapshot) -> Option<(Reason, String)> {
    let refusal = resolved(cluster).gateway(EDGE).refusal.clone();
    refusal.map(|refusal| (refusal.reason, refusal.message))
}

fn good() -> Gateway {
    gateway(EDGE).listening(https("web"))
}

#[test]
fn a_gateway_is_accepted_unless_its_class_or_a_field_of_its_own_forbids() {
    let refused_class = empty_cluster()
        .with(class().credentials(object("", "Secret", "infra/cf")))
        .secret_reading("infra/cf", Reading::Absent);
    let tcp = || listener("tcp", Protocol::Other("TCP".into()), 9000);
    let table: Vec<(&str, ClusterSnapshot, Expected)> = vec![
        ("HTTPS without tls", cluster().with(good()), None),
        (
            "a class that is not accepted",
            refused_class.with(good()),
            Some((
                Reason::InvalidParameters,
                &[
                    "shop/edge",
                    "spec.gatewayClassName",
                    "cloudflare",
                    "infra/cf",
                ],
            )),
        ),
        (
            "addresses",
            cluster().with(
                good()
                    .flawed("spec.tls.frontend", FieldErrorKind::Unsupported)
                    .flawed("spec.addresses[0]", FieldErrorKind::Unsupported),
            ),
            Some((
                Reason::UnsupportedAddress,
                &["shop/edge", "spec.addresses[0]", "spec.tls.frontend"],
            )),
        ),
        (
            "another field that is not served",
            cluster().with(good().flawed("spec.tls.frontend", FieldErrorKind::Unsupported)),
            Some((Reason::Invalid, &["shop/edge", "spec.tls.frontend"])),
        ),
        (
            "parameters of our kind",
            cluster()
                .with(good().parameters(object(OWN_GROUP, PARAMETERS_KIND, "shop/p")))
                .with(parameters()),
            None,
        ),
        (
            "parameters of another kind",
            cluster().with(good().parameters(object("", "ConfigMap", "shop/p"))),
            Some((
                Reason::InvalidParameters,
                &[
                    "spec.infrastructure.parametersRef",
                    "ConfigMap",
                    PARAMETERS_KIND,
                ],
            )),
        ),
        (
            "parameters that the border cannot read",
            cluster().with(good().flawed(
                "spec.infrastructure.parametersRef",
                FieldErrorKind::Unsupported,
            )),
            Some((
                Reason::InvalidParameters,
                &["spec.infrastructure.parametersRef"],
            )),
        ),
        (
            "no listener",
            cluster().with(gateway(EDGE)),
            Some((Reason::ListenersNotValid, &["spec.listeners is empty"])),
        ),
        (
            "no good listener",
            cluster().with(gateway(EDGE).listening(tcp())),
            Some((Reason::ListenersNotValid, &["tcp (UnsupportedProtocol)"])),
        ),
        (
            "a good listener beside a bad one",
            cluster().with(good().listening(tcp())),
            None,
        ),
    ];
    for (given, cluster, expected) in table {
        assert_verdict(given, refusal(&cluster), expected);
    }
}

#[test]
fn a_gateway_is_served_while_it_is_accepted_stays_and_has_a_listener_that_serves() {
    let unresolved = https("web").certificate(object("", "Secret", "infra/cert"));
    let table = [
        ("as it should be", good(), true),
        ("deleting", good().deleting(), false),
        ("no listener", gateway(EDGE), false),
        (
            "a certificate that is not permitted",
            gateway(EDGE).listening(unresolved),
            false,
        ),
        (
            "a refused field",
            good().flawed("spec.addresses", FieldErrorKind::Unsupported),
            false,
        ),
    ];
    for (given, gateway, served) in table {
        let resolution = resolved(&cluster().with(gateway));
        assert_eq!(resolution.gateway(EDGE).is_served(), served, "{given}");
    }
}

#[test]
fn hostnames_come_from_accepted_routes_on_serving_listeners_with_the_oldest_age() {
    let edge = gateway(EDGE)
        .listening(https("open"))
        .listening(https("wild").named("*.example.com"))
        .listening(https("broken").named("broken.org").passing_tls_through());
    let resolution = resolved(
        &cluster()
            .with(edge)
            .with(
                http_route("shop/old")
                    .to(EDGE)
                    .named("app.example.com")
                    .born(10),
            )
            .with(
                http_route("shop/new")
                    .to(EDGE)
                    .named("app.example.com")
                    .born(20),
            )
            .with(http_route("shop/wild").to_section(EDGE, "wild").born(30))
            .with(http_route("shop/nameless").to_section(EDGE, "open").born(1))
            .with(http_route("shop/lost").to_section(EDGE, "broken").born(2))
            .with(
                http_route("shop/bad")
                    .to(EDGE)
                    .named("bad.example.com")
                    .flawed("spec.rules[0].retry", FieldErrorKind::Unsupported),
            ),
    );
    let hostnames: Vec<_> = resolution
        .gateway(EDGE)
        .hostnames
        .clone()
        .into_iter()
        .collect();
    assert_eq!(
        hostnames,
        [
            (host("*.example.com"), Timestamp(30)),
            (host("app.example.com"), Timestamp(10)),
        ]
    );
}

#[test]
fn a_gateway_that_is_not_served_keeps_its_names_and_has_an_empty_table() {
    let refused = good().flawed("spec.addresses", FieldErrorKind::Unsupported);
    let without_certificate =
        gateway(EDGE).listening(https("web").certificate(object("", "ConfigMap", "shop/none")));
    for edge in [refused, without_certificate] {
        let resolution = resolved(
            &cluster().with(edge).with(
                http_route("shop/store")
                    .to(EDGE)
                    .named("app.example.com")
                    .born(7),
            ),
        );
        let edge = resolution.gateway(EDGE);
        let names: Vec<_> = edge.hostnames.iter().collect();
        assert_eq!(names, [(&host("app.example.com"), &Timestamp(7))]);
        assert!(edge.table.listeners.is_empty() && !edge.is_served());
        let listener = &edge.listeners[0].listener.name;
        assert_eq!(attached_routes(&resolution, listener), 1);
        assert!(resolution.parents("shop/store")[0].hostnames.is_empty());
    }
}
