//! Certificates on their way to zones, and what is left of them.

use super::*;
use crate::certificate::Fingerprint;
use crate::edge::certificates::{CertificateIntent, CertificateOutcome};
use crate::secret::CertificatePair;

/// Every Secret holds the chain of this text.
struct Pairs(Mutex<&'static str>);

#[async_trait]
impl Certificates for Pairs {
    async fn pair(&self, _: &ObjectKey) -> Result<CertificatePair, EdgeError> {
        let chain = *self.0.lock().unwrap();
        Ok(CertificatePair {
            chain: chain.to_owned(),
            key: "key".to_owned().into(),
            fingerprint: Fingerprint::of(chain.as_bytes()),
        })
    }
}

fn holding(cloudflare: FakeCloudflare, chain: &'static str) -> Bench {
    let bench = over(cloudflare);
    let edge = bench
        .edge
        .with_certificates(Arc::new(Pairs(Mutex::new(chain))));
    Bench { edge, ..bench }
}

fn showing(chain: Option<&str>) -> EdgeIntent {
    let wanted = chain.map(|chain| CertificateIntent {
        secret: key("cert"),
        fingerprint: Fingerprint::of(chain.as_bytes()),
        names: [host("*.example.com")].into(),
        listeners: [None].into(),
    });
    EdgeIntent {
        certificates: Some(wanted.into_iter().collect()),
        ..intent("gw", &["app.example.com"])
    }
}

fn shown(bench: &Bench) -> Vec<Fingerprint> {
    let zone = ZoneId::new("zone-example.com");
    bench.cloudflare.certificates(&zone).into_values().collect()
}

fn uploaded() -> CertificateOutcome {
    CertificateOutcome::Uploaded {
        zones: vec!["example.com".to_owned()],
    }
}

#[tokio::test]
async fn a_certificate_follows_its_secret_over_restarts_and_goes_with_its_gateway() {
    let cloudflare = FakeCloudflare::with_zones(&["example.com", "example.org"]);
    let zone = ZoneId::new("zone-example.com");
    cloudflare.add_certificate(&zone, "theirs", b"theirs");
    let theirs = Fingerprint::of(b"theirs");
    let sorted = |mut fingerprints: Vec<Fingerprint>| {
        fingerprints.sort();
        fingerprints
    };
    for chain in ["first", "second"] {
        let bench = holding(cloudflare.clone(), chain);
        for round in ["made", "kept"] {
            let status = bench.reconcile(&showing(Some(chain))).await;
            assert_eq!(
                status.certificates[&key("cert")],
                uploaded(),
                "{chain} {round}"
            );
            assert!(status.failures.is_empty(), "{:?}", status.failures);
            let own = Fingerprint::of(chain.as_bytes());
            let expected = sorted(vec![theirs.clone(), own]);
            assert_eq!(sorted(shown(&bench)), expected, "{chain} {round}");
        }
    }
    let bench = holding(cloudflare.clone(), "second");
    bench.reconcile(&showing(None)).await;
    assert_eq!(
        shown(&bench),
        std::slice::from_ref(&theirs),
        "no longer wanted"
    );

    bench.reconcile(&showing(Some("second"))).await;
    assert_eq!(shown(&bench).len(), 2);
    over(cloudflare).edge.forget(&key("gw")).await.unwrap();
    assert_eq!(shown(&bench), [theirs]);
}

#[tokio::test]
async fn what_was_uploaded_stays_while_the_secret_is_unread_or_records_change() {
    let bench = holding(FakeCloudflare::with_zones(&["example.com"]), "chain");
    bench.reconcile(&showing(Some("chain"))).await;
    let unread = EdgeIntent {
        certificates: None,
        ..intent("gw", &["app.example.com", "web.example.com"])
    };
    bench.reconcile(&unread).await;
    assert_eq!(shown(&bench).len(), 1);
    bench.reconcile(&showing(None)).await;
    assert!(
        shown(&bench).is_empty(),
        "the note outlived the new document"
    );
}

#[tokio::test]
async fn a_refused_upload_is_told_and_costs_nothing_else() {
    let bench = holding(FakeCloudflare::with_zones(&["example.com"]), "chain");
    let refusal = EdgeError::new(EdgeErrorKind::Forbidden, "not in this plan");
    bench
        .cloudflare
        .fail_every(ApiCall::UploadCertificate, None, refusal);
    let status = bench.reconcile(&showing(Some("chain"))).await;
    let outcome = &status.certificates[&key("cert")];
    let CertificateOutcome::Failed { message } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(message.contains("example.com") && message.contains("not in this plan"));
    assert!(status.failures.is_empty(), "no use in trying again soon");
    assert_eq!(
        status.hostnames[&host("app.example.com")],
        HostnameOutcome::Applied
    );
}

#[tokio::test]
async fn an_edge_without_a_way_to_the_secret_says_so() {
    let bench = bench(&["example.com"]);
    let status = bench.reconcile(&showing(Some("chain"))).await;
    let outcome = &status.certificates[&key("cert")];
    assert_eq!(*outcome, CertificateOutcome::NotAvailable);
}
