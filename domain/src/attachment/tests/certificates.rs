//! Which certificates the edge should show, and what is told of them.

use super::fixtures::*;
use crate::attachment::{GatewayDefaults, GatewayResolution, resolve};
use crate::certificate::TlsPair;
use crate::edge::certificates::CertificateOutcome;
use crate::gateway::{CONTROLLER_NAME, GatewayParameters, Listener, OWN_GROUP, PARAMETERS_KIND};
use crate::report::report;
use crate::snapshot::{ClusterSnapshot, Reading};
use crate::status::{ConditionType, Reason, Truth};

fn with_certificate(name: &str) -> Listener {
    https(name).certificate(object("", "Secret", "shop/cert"))
}

fn uploading() -> GatewayDefaults {
    GatewayDefaults {
        upload_certificates: true,
        ..GatewayDefaults::default()
    }
}

fn found(snapshot: &ClusterSnapshot, defaults: &GatewayDefaults) -> GatewayResolution {
    let resolution = resolve(snapshot, CONTROLLER_NAME, defaults);
    resolution.gateways[&key(EDGE)].clone()
}

#[test]
fn certificates_are_uploaded_where_the_parameters_or_else_the_default_say_so() {
    let plain = || gateway(EDGE).listening(with_certificate("web"));
    let saying = |upload| {
        let target = object(OWN_GROUP, PARAMETERS_KIND, "shop/p");
        let parameters = GatewayParameters {
            upload_certificates: upload,
            ..parameters()
        };
        cluster().with(plain().parameters(target)).with(parameters)
    };
    let table = [
        ("default off", cluster().with(plain()), false, false),
        ("default on", cluster().with(plain()), true, true),
        ("parameters silent", saying(None), true, true),
        ("parameters off", saying(Some(false)), true, false),
    ];
    for (given, snapshot, default, uploaded) in table {
        let snapshot = snapshot.certificate("shop/cert", &["*.example.com"]);
        let defaults = GatewayDefaults {
            upload_certificates: default,
            ..GatewayDefaults::default()
        };
        let certificates = found(&snapshot, &defaults).certificates;
        let named = certificates.is_some_and(|wanted| !wanted.is_empty());
        assert_eq!(named, uploaded, "{given}");
    }
}

#[test]
fn a_certificate_is_wanted_for_a_serving_listener_and_unknown_while_unread() {
    let snapshot = || cluster().with(gateway(EDGE).listening(with_certificate("web")));
    let usable = snapshot().certificate("shop/cert", &["*.example.com"]);
    let wanted = found(&usable, &uploading()).certificates.unwrap();
    let secrets: Vec<_> = wanted.iter().map(|one| one.secret.clone()).collect();
    assert_eq!(secrets, [key("shop/cert")]);

    let malformed = snapshot().tls("shop/cert", TlsPair::Malformed("no PEM".into()));
    let malformed = found(&malformed, &uploading());
    assert_eq!(malformed.certificates, Some([].into()));
    assert!(!malformed.listeners[0].is_served());

    let unread = snapshot().secret_reading("shop/cert", Reading::Unknown("timeout".into()));
    assert_eq!(found(&unread, &uploading()).certificates, None);
}

#[test]
fn a_certificate_may_be_shown_for_the_hostnames_of_the_routes_on_its_listener() {
    let wildcard = "*.example.com";
    type Case<'a> = (&'a str, Option<&'a str>, &'a [&'a str], &'a [&'a str]);
    let table: [Case<'_>; 6] = [
        ("no route", None, &[], &[]),
        (
            "an exact name",
            None,
            &["app.example.com"],
            &["app.example.com"],
        ),
        (
            "a wildcard on a listener without a hostname",
            None,
            &[wildcard],
            &[],
        ),
        (
            "a wildcard on its listener",
            Some(wildcard),
            &[wildcard],
            &[wildcard],
        ),
        (
            "an exact name on a wildcard's listener",
            Some(wildcard),
            &["app.example.com"],
            &["app.example.com"],
        ),
        (
            "a wildcard on the listener of an exact name",
            Some("app.example.com"),
            &[wildcard],
            &["app.example.com"],
        ),
    ];
    for (given, listener, route, expected) in table {
        let listening = match listener {
            Some(hostname) => with_certificate("web").named(hostname),
            None => with_certificate("web"),
        };
        let mut snapshot = cluster()
            .with(gateway(EDGE).listening(listening))
            .certificate("shop/cert", &[wildcard]);
        if !route.is_empty() {
            let asking = http_route("shop/r").to(EDGE);
            let asking = route.iter().fold(asking, |route, name| route.named(name));
            snapshot = snapshot.with(asking);
        }
        let wanted = found(&snapshot, &uploading()).certificates.unwrap();
        let hosts = &wanted.first().expect("a certificate").hosts;
        let expected: Vec<_> = expected.iter().map(|name| host(name)).collect();
        assert!(hosts.iter().eq(expected.iter()), "{given}: {hosts:?}");
    }
}

#[test]
fn a_failed_upload_is_a_condition_of_its_own() {
    let snapshot = cluster()
        .with(gateway(EDGE).listening(with_certificate("web")))
        .certificate("shop/cert", &["*.example.com"]);
    let resolution = resolve(&snapshot, CONTROLLER_NAME, &uploading());
    let zones = vec!["example.com".to_owned()];
    let message = "not in this plan".to_owned();
    let cases = [
        (
            CertificateOutcome::Uploaded { zones },
            Truth::True,
            Reason::Applied,
        ),
        (CertificateOutcome::NoZone, Truth::False, Reason::NoZone),
        (
            CertificateOutcome::WithoutRecord {
                names: [host("login.example.com")].into(),
            },
            Truth::False,
            Reason::HostnameNotPermitted,
        ),
        (
            CertificateOutcome::Failed { message },
            Truth::False,
            Reason::UploadFailed,
        ),
        (
            CertificateOutcome::WithoutKey {
                message: "not sent yet".to_owned(),
            },
            Truth::False,
            Reason::UploadFailed,
        ),
        (
            CertificateOutcome::NotPermitted {
                message: "not granted".to_owned(),
            },
            Truth::False,
            Reason::NotAvailable,
        ),
        (
            CertificateOutcome::NotAvailable,
            Truth::False,
            Reason::NotAvailable,
        ),
    ];
    for (outcome, truth, reason) in cases {
        let mut known = serving(&[]);
        let Some(Ok(status)) = &mut known.edge else {
            panic!("an answer");
        };
        status.certificates = [(key("shop/cert"), outcome)].into();
        let updates = report(&resolution, &facts(known));
        let conditions = &parts_of(updates, "Gateway")[0].conditions;
        let told = verdict(conditions, ConditionType::Certificates);
        assert_eq!(told, (truth, reason));
        let programmed = verdict(conditions, ConditionType::Programmed);
        assert_eq!(programmed.0, Truth::True, "{reason:?}");
    }
}
