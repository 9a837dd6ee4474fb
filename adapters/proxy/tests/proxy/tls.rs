//! Endpoints over TLS: whose certificate is taken, which HTTP is spoken, and what is shared.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use adapter_proxy::Engine;
use domain::certificate::{CaBundle, Fingerprint};
use domain::gateway::SubjectName;
use domain::names::{Hostname, ObjectKey};
use domain::route_table::UpstreamProtocol::{self, H2c, Http1, Negotiated};
use domain::route_table::{ClientCertificate, RouteTable, Trust, UpstreamTls};
use domain::secret::CertificatePair;
use http::Request;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, SanType, date_time_ymd,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::endpoint::{Endpoint, bare};
use crate::rig::{Sketch, arrival, data, engine, fed, get, in_time, next_text, read, share};

const NAME: &str = "store.internal";
const URI: &str = "spiffe://cluster.local/ns/shop/sa/store";

/// A certificate authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn bundle(&self) -> CaBundle {
        CaBundle::from(self.0.pem())
    }

    /// A certificate for [`NAME`] and [`URI`].
    fn certify(&self, change: impl FnOnce(&mut CertificateParams)) -> (Certificate, KeyPair) {
        let mut params = CertificateParams::new([NAME.to_owned()]).unwrap();
        let uri = SanType::URI(URI.try_into().unwrap());
        params.subject_alt_names.push(uri);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }
}

fn acceptor((certificate, key): (Certificate, KeyPair), alpn: &[&str]) -> TlsAcceptor {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

fn host(name: &str) -> Hostname {
    Hostname::parse(name).unwrap()
}

fn tls(bundles: &[CaBundle], hostname: &str, names: Vec<SubjectName>) -> UpstreamTls {
    UpstreamTls {
        trust: Trust::Bundles(bundles.to_vec()),
        hostname: host(hostname),
        names,
        client: None,
    }
}

fn table(app: &Endpoint, protocol: UpstreamProtocol, tls: &UpstreamTls) -> Arc<RouteTable> {
    Sketch::default()
        .rule("/", vec![], vec![share("app", 1)])
        .upstream("app", protocol, &[app.at])
        .over(tls)
        .table()
}

fn engine_for(app: &Endpoint, protocol: UpstreamProtocol, tls: &UpstreamTls) -> Arc<Engine> {
    let engine = engine();
    engine.load(table(app, protocol, tls));
    engine
}

#[tokio::test]
async fn a_certificate_is_taken_from_a_known_authority_in_its_time_and_for_the_name() {
    let (ours, other) = (Authority::new(), Authority::new());
    let right = ours.certify(|_| {});
    let right = Endpoint::start_with("app", Some(acceptor(right, &[]))).await;
    let expired = ours.certify(|params| params.not_after = date_time_ymd(2001, 1, 1));
    let expired = Endpoint::start_with("app", Some(acceptor(expired, &[]))).await;
    let early = ours.certify(|params| params.not_before = date_time_ymd(4000, 1, 1));
    let early = Endpoint::start_with("app", Some(acceptor(early, &[]))).await;
    let clear = Endpoint::start("app").await;
    let bundle = || [ours.bundle()];
    let named = |name: &str| vec![SubjectName::Hostname(host(name))];
    let uri = |uri: &str| vec![SubjectName::Uri(uri.to_owned())];
    let system = UpstreamTls {
        trust: Trust::System,
        hostname: host(NAME),
        names: vec![],
        client: None,
    };
    let both = [other.bundle(), ours.bundle()];
    for (given, app, tls, status) in [
        ("the right one", &right, tls(&bundle(), NAME, vec![]), 200),
        (
            "one of two authorities",
            &right,
            tls(&both, NAME, vec![]),
            200,
        ),
        (
            "another authority",
            &right,
            tls(&[other.bundle()], NAME, vec![]),
            502,
        ),
        ("the system's authorities", &right, system, 502),
        (
            "another name",
            &right,
            tls(&bundle(), "cart.internal", vec![]),
            502,
        ),
        (
            "a name below",
            &right,
            tls(&bundle(), "a.store.internal", vec![]),
            502,
        ),
        (
            "a DNS name that it has",
            &right,
            tls(&bundle(), "sni.internal", named(NAME)),
            200,
        ),
        (
            "a wildcard over it",
            &right,
            tls(&bundle(), "sni.internal", named("*.internal")),
            200,
        ),
        (
            "a URI that it has",
            &right,
            tls(&bundle(), "sni.internal", uri(URI)),
            200,
        ),
        (
            "a longer URI",
            &right,
            tls(&bundle(), NAME, uri(&format!("{URI}2"))),
            502,
        ),
        (
            "only another name",
            &right,
            tls(&bundle(), NAME, named("cart.internal")),
            502,
        ),
        (
            "one of several names",
            &right,
            tls(&bundle(), NAME, [uri("x:y"), uri(URI)].concat()),
            200,
        ),
        (
            "names, and another authority",
            &right,
            tls(&[other.bundle()], NAME, uri(URI)),
            502,
        ),
        (
            "an expired one",
            &expired,
            tls(&bundle(), NAME, vec![]),
            502,
        ),
        (
            "an expired one, by its names",
            &expired,
            tls(&bundle(), NAME, uri(URI)),
            502,
        ),
        (
            "one that is not valid yet",
            &early,
            tls(&bundle(), NAME, vec![]),
            502,
        ),
        ("no TLS at all", &clear, tls(&bundle(), NAME, vec![]), 502),
        ("no authority", &right, tls(&[], NAME, vec![]), 502),
    ] {
        let engine = engine_for(app, Http1, &tls);
        let (answered, _) = read(get(&engine, "/echo").await).await;
        assert_eq!(answered, status, "{given}");
    }
    assert_eq!(clear.seen.requests(), 0);
}

#[tokio::test]
async fn nothing_is_said_in_clear_text_and_the_name_that_is_asked_for_is_the_policys() {
    let (told, mut first_byte) = mpsc::unbounded_channel();
    let at = bare(move |mut stream| {
        let told = told.clone();
        async move {
            let byte = stream.read_u8().await.unwrap_or_default();
            let _ = told.send(byte);
        }
    })
    .await;
    let ours = Authority::new();
    let engine = engine();
    let tls = tls(
        &[ours.bundle()],
        "sni.internal",
        vec![SubjectName::Uri(URI.to_owned())],
    );
    let silent = Sketch::default()
        .rule("/", vec![], vec![share("app", 1)])
        .upstream("app", Http1, &[at])
        .over(&tls);
    engine.load(silent.table());
    assert_eq!(read(get(&engine, "/").await).await.0, 502);
    // A record of a handshake (RFC 8446 §5.1).
    assert_eq!(in_time(first_byte.recv()).await, Some(22));

    let app = Endpoint::start_with("app", Some(acceptor(ours.certify(|_| {}), &[]))).await;
    engine.load(table(&app, Http1, &tls));
    assert_eq!(read(get(&engine, "/").await).await.0, 200);
    assert_eq!(*app.seen.names.lock().unwrap(), ["sni.internal"]);
}

#[tokio::test]
async fn http_is_spoken_as_the_endpoint_chooses() {
    let ours = Authority::new();
    let tls = tls(&[ours.bundle()], NAME, vec![]);
    let (http1, http2) = ("GET /echo\n", "GET https://app.example/echo\n");
    for (protocol, offered, said) in [
        (Negotiated, &["h2", "http/1.1"][..], Some(http2)),
        (Negotiated, &["http/1.1"], Some(http1)),
        (Negotiated, &[], Some(http1)),
        (Negotiated, &["h2"], Some(http2)),
        (Http1, &["h2", "http/1.1"], Some(http1)),
        (Http1, &["h2"], None),
        (H2c, &["h2", "http/1.1"], Some(http2)),
        (H2c, &["http/1.1"], None),
        (H2c, &[], None),
    ] {
        let given = format!("{protocol:?}, {offered:?}");
        let acceptor = acceptor(ours.certify(|_| {}), offered);
        let app = Endpoint::start_with("app", Some(acceptor)).await;
        let engine = engine_for(&app, protocol, &tls);
        for _ in 0..3 {
            let (status, text) = read(get(&engine, "/echo").await).await;
            match said {
                Some(line) => assert!(status == 200 && text.starts_with(line), "{given}: {text}"),
                None => assert_eq!(status, 502, "{given}"),
            }
        }
        let accepted = if said.is_some() { 1 } else { 3 };
        assert_eq!(app.seen.accepted.load(SeqCst), accepted, "{given}");
    }
}

#[tokio::test]
async fn a_body_goes_up_and_an_upgrade_takes_http_1_where_the_endpoint_chooses() {
    let ours = Authority::new();
    let tls = tls(&[ours.bundle()], NAME, vec![]);
    for offered in [&["h2", "http/1.1"][..], &["http/1.1"]] {
        let acceptor = acceptor(ours.certify(|_| {}), offered);
        let app = Endpoint::start_with("app", Some(acceptor)).await;
        let engine = engine_for(&app, Negotiated, &tls);
        let (feed, body) = fed();
        tokio::spawn(async move {
            for _ in 0..16 {
                feed.send(data(vec![7; 64 << 10])).await.unwrap();
            }
        });
        let request = Request::post("/count").header("host", "app.example");
        let request = request.body(body).unwrap();
        let answer = in_time(engine.serve(arrival(), request)).await;
        assert_eq!(read(answer).await.1, (16 * (64 << 10)).to_string());

        let (feed, body) = fed();
        let request = Request::get("/upgrade")
            .header("host", "app.example")
            .header("connection", "Upgrade")
            .header("upgrade", "echo")
            .body(body)
            .unwrap();
        let answer = engine.serve(arrival(), request).await;
        assert_eq!(answer.status(), 101, "{offered:?}");
        let mut answer = answer.into_body();
        for word in ["one", "two"] {
            feed.send(data(word)).await.unwrap();
            assert_eq!(next_text(&mut answer).await.unwrap(), word);
        }
        drop(feed);
        assert_eq!(next_text(&mut answer).await.unwrap(), "total 6");
        assert_eq!(next_text(&mut answer).await, None);
    }
}

#[tokio::test]
async fn a_connection_carries_no_request_of_another_policy_and_an_edit_closes_no_other() {
    let (ours, other) = (Authority::new(), Authority::new());
    let start = async |name| {
        let acceptor = acceptor(ours.certify(|_| {}), &["h2", "http/1.1"]);
        Endpoint::start_with(name, Some(acceptor)).await
    };
    let (one, two) = (start("one").await, start("two").await);
    let tables = |trusted: &Authority| {
        let right = tls(&[ours.bundle()], NAME, vec![]);
        let edited = tls(&[trusted.bundle()], NAME, vec![]);
        let table = Sketch::default()
            .rule("/one", vec![], vec![share("one", 1)])
            .rule("/two", vec![], vec![share("two", 1)])
            .upstream("one", Negotiated, &[one.at])
            .upstream("two", Negotiated, &[two.at])
            .over(&right);
        let mut table = Arc::unwrap_or_clone(table.table());
        let edited = Arc::new(edited);
        for (key, upstream) in &mut table.upstreams {
            if key.service.name == "one" {
                upstream.tls = Some(Arc::clone(&edited));
            }
        }
        Arc::new(table)
    };
    let engine = engine();
    for (trusted, status) in [(&ours, 200), (&other, 502), (&ours, 200)] {
        engine.load(tables(trusted));
        assert_eq!(read(get(&engine, "/one").await).await.0, status);
        assert_eq!(read(get(&engine, "/two").await).await.0, 200);
    }
    assert_eq!(one.seen.accepted.load(SeqCst), 3);
    assert_eq!(two.seen.accepted.load(SeqCst), 1);
}

/// A certificate that an endpoint may want to see.
fn client_pair((certificate, key): (Certificate, KeyPair)) -> Arc<CertificatePair> {
    let chain = certificate.pem();
    Arc::new(CertificatePair {
        fingerprint: Fingerprint::of(chain.as_bytes()),
        chain,
        key: key.serialize_pem().into(),
    })
}

/// Takes clients with a certificate of this authority alone.
fn asking(ours: &Authority) -> TlsAcceptor {
    let (certificate, key) = ours.certify(|_| {});
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut roots = RootCertStore::empty();
    roots.add(ours.0.der().clone()).unwrap();
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn endpoints_are_shown_the_certificate_that_the_table_names_and_no_other() {
    let (ours, other) = (Authority::new(), Authority::new());
    let app = Endpoint::start_with("app", Some(asking(&ours))).await;
    let pair = |authority: &Authority| {
        client_pair(authority.certify(|params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }))
    };
    let (right, next, wrong) = (pair(&ours), pair(&ours), pair(&other));
    let showing = |pair: &CertificatePair| UpstreamTls {
        client: Some(ClientCertificate {
            secret: ObjectKey::new("infra", "client"),
            fingerprint: pair.fingerprint.clone(),
        }),
        ..tls(&[ours.bundle()], NAME, vec![])
    };
    let engine = engine();
    let status = async || read(get(&engine, "/").await).await.0;
    engine.load(table(&app, Http1, &tls(&[ours.bundle()], NAME, vec![])));
    assert_eq!(status().await, 502, "none is shown");
    engine.load(table(&app, Http1, &showing(&right)));
    assert_eq!(status().await, 500, "the key has not come");
    engine.show(Some(&right));
    assert_eq!(status().await, 200);
    // What is there stays until the table names the next one.
    engine.show(Some(&next));
    assert_eq!(status().await, 200);
    engine.load(table(&app, Http1, &showing(&next)));
    assert_eq!(status().await, 200);
    engine.show(Some(&wrong));
    engine.load(table(&app, Http1, &showing(&wrong)));
    assert_eq!(status().await, 502);
    assert_eq!(app.seen.requests(), 3);
}
