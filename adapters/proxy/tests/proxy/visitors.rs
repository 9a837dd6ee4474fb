//! Visitors who have to show a certificate, as the edge hands it on.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::certificate::CaBundle;
use domain::route_table::{
    Arrival, ClientValidation, ConnectionRefused, RouteTable, Scheme, UpstreamProtocol,
};
use http::{HeaderName, Request};
use http_body_util::Empty;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};

use crate::endpoint::Endpoint;
use crate::rig::{HOST, Sketch, app_behind, arrival, bare, engine, in_time, read};

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn authority() -> Issuer {
    Issuer::self_signed(authority_params(), KeyPair::generate().unwrap()).unwrap()
}

/// A client's certificate as `Client-Cert` has it.
fn client(issuer: &Issuer, change: impl FnOnce(&mut CertificateParams)) -> String {
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    sequence(params.signed_by(&key, issuer).unwrap().der())
}

fn sequence(der: &[u8]) -> String {
    format!(":{}:", STANDARD.encode(der))
}

fn bundle(issuer: &Issuer) -> CaBundle {
    CaBundle::from(issuer.pem())
}

/// A table whose port 443 asks visitors for a certificate of these.
fn asking(app: &Endpoint, authorities: Vec<CaBundle>) -> Arc<RouteTable> {
    let table = Sketch::simple(UpstreamProtocol::Http1, &[app.at]);
    let asked = ClientValidation {
        ports: [443].into(),
        authorities,
    };
    Arc::new(RouteTable {
        client_validation: vec![asked],
        ..Arc::unwrap_or_clone(table)
    })
}

/// How a visitor comes where the edge hands certificates on.
fn handed(scheme: Scheme) -> Arrival {
    let mut arrival = Arrival::new(scheme, HOST, None).unwrap();
    arrival.hands_certificates = true;
    arrival
}

fn showing(path: &str, headers: &[(&str, &str)]) -> Request<Empty<Bytes>> {
    let mut request = bare("GET", path);
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn only_a_certificate_of_a_known_authority_in_its_time_is_let_in() {
    let (ours, other) = (authority(), authority());
    let (app, engine) = (Endpoint::start("app").await, engine());
    engine.load(asking(&app, vec![bundle(&ours)]));
    let between =
        CertifiedIssuer::signed_by(authority_params(), KeyPair::generate().unwrap(), &ours)
            .unwrap();
    let chain = sequence(between.der());
    let below = client(&between, |_| {});
    let good = client(&ours, |_| {});
    let server = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    };
    let expired = client(&ours, |params| params.not_after = date_time_ymd(2001, 1, 1));
    let early = client(&ours, |params| {
        params.not_before = date_time_ymd(4000, 1, 1);
    });
    for (given, arrival, headers, status) in [
        (
            "good",
            handed(Scheme::Https),
            vec![("client-cert", &*good)],
            200,
        ),
        ("none", handed(Scheme::Https), vec![], 403),
        (
            "over HTTP nobody is asked",
            handed(Scheme::Http),
            vec![],
            200,
        ),
        (
            "written by the visitor",
            arrival(),
            vec![("client-cert", &*good)],
            403,
        ),
        (
            "another authority",
            handed(Scheme::Https),
            vec![("client-cert", &*client(&other, |_| {}))],
            403,
        ),
        (
            "expired",
            handed(Scheme::Https),
            vec![("client-cert", &*expired)],
            403,
        ),
        (
            "not yet valid",
            handed(Scheme::Https),
            vec![("client-cert", &*early)],
            403,
        ),
        (
            "for servers",
            handed(Scheme::Https),
            vec![("client-cert", &*client(&ours, server))],
            403,
        ),
        (
            "garbage",
            handed(Scheme::Https),
            vec![("client-cert", ":AQ==:")],
            403,
        ),
        (
            "by an authority between",
            handed(Scheme::Https),
            vec![("client-cert", &*below), ("client-cert-chain", &*chain)],
            200,
        ),
        (
            "without the one between",
            handed(Scheme::Https),
            vec![("client-cert", &*below)],
            403,
        ),
    ] {
        let response = in_time(engine.serve(arrival, showing("/", &headers))).await;
        assert_eq!(response.status(), status, "{given}");
        let refused = response.extensions().get::<ConnectionRefused>();
        assert_eq!(refused.is_some(), status == 403, "{given}");
    }
}

#[tokio::test]
async fn without_an_authority_nobody_is_let_in_and_a_new_one_counts_at_once() {
    let ours = authority();
    let (app, engine) = (Endpoint::start("app").await, engine());
    let good = client(&ours, |_| {});
    let malformed =
        CaBundle::from("-----BEGIN CERTIFICATE-----\nAQ==\n-----END CERTIFICATE-----\n".to_owned());
    for (given, authorities, status) in [
        ("none", vec![], 403),
        ("one", vec![bundle(&ours)], 200),
        (
            "one of two is malformed",
            vec![bundle(&ours), malformed],
            403,
        ),
        ("another", vec![bundle(&authority())], 403),
        ("the first again", vec![bundle(&ours)], 200),
    ] {
        engine.load(asking(&app, authorities));
        let request = showing("/", &[("client-cert", &good)]);
        let response = in_time(engine.serve(handed(Scheme::Https), request)).await;
        assert_eq!(response.status(), status, "{given}");
    }
}

#[tokio::test]
async fn an_endpoint_gets_the_certificate_from_the_edge_and_never_a_visitors_word() {
    let (app, engine) = app_behind(UpstreamProtocol::Http1).await;
    let written = [
        ("client-cert", ":AQ==:"),
        ("client-cert-chain", ":AQ==:"),
        ("client_cert", ":AQ==:"),
    ];
    for (given, arrival, expected) in [
        ("from the edge", handed(Scheme::Https), 2),
        ("from the visitor", arrival(), 0),
    ] {
        let response = in_time(engine.serve(arrival, showing("/echo", &written))).await;
        let (_, body) = read(response).await;
        assert_eq!(body.matches("client").count(), expected, "{given}: {body}");
    }
    drop(app);
}
