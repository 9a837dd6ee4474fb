//! Certificates on their way to zones, and what is left of them.

use super::*;
use crate::certificate::Fingerprint;
use crate::edge::certificates::{CertificateIntent, CertificateOutcome};
use crate::edge::objects::IngressRule;
use crate::gateway::DriftPolicy;
use crate::secret::CertificatePair;

/// Every Secret holds the chain of this text.
struct Pairs(Mutex<&'static str>);

#[async_trait]
impl Certificates for Pairs {
    async fn pair(&self, _: &ObjectKey) -> Result<CertificatePair, PortError> {
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
        names: [host("app.example.com")].into(),
        hosts: [host("app.example.com")].into(),
        any_name: false,
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
    over(cloudflare).edge.remove(&key("gw")).await.unwrap();
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
async fn a_certificate_for_a_name_that_is_not_the_gateways_is_shown_to_nobody() {
    let app = "app.example.com";
    let login = "login.example.com";
    let for_both = |hosts: &[&str]| {
        let intended = showing(Some("chain"));
        let wanted = intended.certificates.iter().flatten();
        let wanted = wanted.map(|one| CertificateIntent {
            names: [host(app), host(login)].into(),
            hosts: hosts.iter().map(|name| host(name)).collect(),
            ..one.clone()
        });
        EdgeIntent {
            certificates: Some(wanted.collect()),
            ..intent("gw", &[app, login])
        }
    };
    for (given, hosts) in [
        ("no listener of its takes the name", &[app][..]),
        ("somebody else has the record", &[app, login]),
    ] {
        let cloudflare = FakeCloudflare::with_zones(&["example.com"]);
        if hosts.contains(&login) {
            let zone = ZoneId::new("zone-example.com");
            cloudflare.add_record(&zone, foreign(login));
        }
        let bench = holding(cloudflare, "chain");
        let status = bench.reconcile(&for_both(hosts)).await;
        let names = [host(login)].into();
        assert_eq!(
            status.certificates[&key("cert")],
            CertificateOutcome::WithoutRecord { names },
            "{given}"
        );
        assert!(shown(&bench).is_empty(), "{given}");
    }
}

#[tokio::test]
async fn a_certificate_stays_while_it_is_not_known_whose_its_name_is() {
    let bench = holding(FakeCloudflare::with_zones(&["example.com"]), "chain");
    bench.reconcile(&showing(Some("chain"))).await;
    let failure = error(PortErrorKind::Unavailable);
    bench.cloudflare.fail_every(ApiCall::Records, None, failure);
    bench.edge.begin_resync();
    let status = bench.reconcile(&showing(Some("chain"))).await;
    let outcome = &status.hostnames[&host("app.example.com")];
    assert!(
        matches!(outcome, HostnameOutcome::Unknown { .. }),
        "{outcome:?}"
    );
    assert_eq!(shown(&bench), [Fingerprint::of(b"chain")]);
    bench.cloudflare.heal();
    let status = bench.reconcile(&showing(Some("chain"))).await;
    assert_eq!(status.certificates[&key("cert")], uploaded());
}

#[tokio::test]
async fn a_refused_upload_is_told_and_costs_nothing_else() {
    let bench = holding(FakeCloudflare::with_zones(&["example.com"]), "chain");
    let refusal = PortError::new(PortErrorKind::Forbidden, "not in this plan");
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

/// A Gateway that is served, and whose certificate is still to come.
async fn before_upload() -> Bench {
    let bench = holding(FakeCloudflare::with_zones(&["example.com"]), "chain");
    bench.reconcile(&showing(None)).await;
    bench.cloudflare.forget_calls();
    bench
}

/// One certificate is there, and known for ours by whoever comes next.
async fn is_shown_and_ours(bench: &Bench, chain: &'static str, given: &str) {
    let next = holding(bench.cloudflare.clone(), chain);
    let status = next.reconcile(&showing(Some(chain))).await;
    assert_eq!(status.certificates[&key("cert")], uploaded(), "{given}");
    assert_eq!(shown(bench), [Fingerprint::of(chain.as_bytes())], "{given}");
    next.edge.remove(&key("gw")).await.unwrap();
    assert!(shown(bench).is_empty(), "{given}");
}

#[tokio::test]
async fn an_upload_that_could_not_be_noted_is_taken_back() {
    let wanted = showing(Some("chain"));
    for kind in [
        PortErrorKind::RateLimited,
        PortErrorKind::Forbidden,
        PortErrorKind::Unavailable,
    ] {
        let bench = before_upload().await;
        let given = format!("{kind:?}");
        bench
            .cloudflare
            .fail_every(ApiCall::Configure, None, error(kind));
        for _ in 0..3 {
            let status = bench.reconcile(&wanted).await;
            assert_ne!(status.certificates[&key("cert")], uploaded(), "{given}");
            assert_eq!(status.failures.is_empty(), !kind.is_transient(), "{given}");
            assert!(shown(&bench).is_empty(), "{given}");
        }
        bench.cloudflare.heal();
        let status = bench.reconcile(&wanted).await;
        assert_eq!(status.certificates[&key("cert")], uploaded(), "{given}");
        is_shown_and_ours(&bench, "chain", &given).await;
    }
}

#[tokio::test]
async fn an_upload_that_could_be_neither_noted_nor_taken_back_is_not_repeated() {
    let wanted = showing(Some("chain"));
    for then in ["noted later", "removed"] {
        let bench = before_upload().await;
        for call in [ApiCall::Configure, ApiCall::DeleteCertificate] {
            let refusal = error(PortErrorKind::RateLimited);
            bench.cloudflare.fail_every(call, None, refusal);
        }
        for _ in 0..3 {
            let status = bench.reconcile(&wanted).await;
            assert!(!status.failures.is_empty(), "{then}");
            assert_eq!(shown(&bench).len(), 1, "{then}");
        }
        assert_eq!(bench.cloudflare.calls()[&ApiCall::UploadCertificate], 1);
        bench.cloudflare.heal();
        if then == "removed" {
            bench.edge.remove(&key("gw")).await.unwrap();
            assert!(shown(&bench).is_empty());
            continue;
        }
        let status = bench.reconcile(&wanted).await;
        assert_eq!(status.certificates[&key("cert")], uploaded());
        assert_eq!(bench.cloudflare.calls()[&ApiCall::UploadCertificate], 1);
        is_shown_and_ours(&bench, "chain", then).await;
    }
}

#[tokio::test]
async fn a_certificate_that_took_anothers_place_serves_on_until_it_is_noted() {
    let first = before_upload().await;
    first.reconcile(&showing(Some("chain"))).await;
    let bench = holding(first.cloudflare, "new");
    let refusal = error(PortErrorKind::RateLimited);
    bench
        .cloudflare
        .fail_every(ApiCall::Configure, None, refusal);
    for _ in 0..3 {
        let status = bench.reconcile(&showing(Some("new"))).await;
        assert!(!status.failures.is_empty());
        assert_eq!(shown(&bench), [Fingerprint::of(b"new")]);
    }
    bench.cloudflare.heal();
    bench.reconcile(&showing(Some("new"))).await;
    is_shown_and_ours(&bench, "new", "replaced").await;
}

#[tokio::test]
async fn a_failure_at_any_call_of_an_upload_heals_to_one_certificate() {
    for moment in [Moment::Before, Moment::After] {
        for nth in 0..9 {
            let bench = before_upload().await;
            bench.cloudflare.fail_nth(nth, moment, lost());
            for _ in 0..3 {
                let _ = bench.edge.reconcile(&showing(Some("chain"))).await;
            }
            let uploads = bench.cloudflare.calls()[&ApiCall::UploadCertificate];
            // An upload whose answer is lost has no id that anybody knows.
            let unknown = usize::from(moment == Moment::After && uploads == 2);
            let given = format!("{moment:?} call {nth}");
            assert!(shown(&bench).len() <= 1 + unknown, "{given}");
            bench.edge.remove(&key("gw")).await.unwrap();
            assert!(shown(&bench).len() <= unknown, "{given}");
        }
    }
}

#[tokio::test]
async fn a_document_that_is_missing_is_no_trouble_of_certificates_where_there_are_none() {
    let bench = holding(FakeCloudflare::with_zones(&["example.com"]), "chain");
    let refused = lost();
    bench
        .cloudflare
        .fail_every(ApiCall::Configure, None, refused.clone());
    let status = bench.reconcile(&showing(None)).await;
    assert_eq!(status.failures, [refused]);
}

#[tokio::test]
async fn nothing_is_uploaded_while_the_tunnel_has_no_document() {
    let bench = holding(FakeCloudflare::with_zones(&["example.com"]), "chain");
    // The tunnel is made, its document is refused.
    bench
        .cloudflare
        .fail_nth(4, Moment::Before, error(PortErrorKind::RateLimited));
    let status = bench.reconcile(&showing(Some("chain"))).await;
    let tunnel = status.tunnels[0].id;
    let calls = bench.cloudflare.calls();
    assert_eq!(calls[&ApiCall::Configure], 1, "{calls:?}");
    assert_eq!(bench.cloudflare.configuration(tunnel), None);
    assert!(shown(&bench).is_empty());
    assert!(!status.failures.is_empty());
    let outcome = &status.certificates[&key("cert")];
    assert!(
        matches!(outcome, CertificateOutcome::Failed { .. }),
        "{outcome:?}"
    );
    let status = bench.reconcile(&showing(Some("chain"))).await;
    assert_eq!(status.certificates[&key("cert")], uploaded());
    let document = bench.cloudflare.configuration(tunnel).unwrap();
    assert!(!document.catch_all.is_empty());
}

#[tokio::test]
async fn a_hostname_written_like_a_note_removes_nothing() {
    let cloudflare = FakeCloudflare::with_zones(&["example.com"]);
    let zone = ZoneId::new("zone-example.com");
    cloudflare.add_certificate(&zone, "theirs", b"theirs");
    let theirs = Fingerprint::of(b"theirs");
    let tag = "0123456789abcdef0123456789abcdef";
    for hostname in [
        format!("{theirs}.theirs.zone-example.com.certificates.invalid"),
        format!("{theirs}.{tag}.theirs.zone-example.com.certificates.invalid"),
    ] {
        // As one that somebody else put there: attachment and broker let no such name through.
        let bench = holding(cloudflare.clone(), "chain");
        let status = bench.reconcile(&showing(None)).await;
        let tunnel = status.tunnels[0].id;
        let mut document = cloudflare.configuration(tunnel).unwrap();
        for service in ["http_status:404", "http://gw.default"] {
            document.rules.push(IngressRule {
                hostname: host(&hostname),
                path: None,
                service: service.to_owned(),
            });
            cloudflare.put_configuration(tunnel, document.clone());
            for wanted in [None, Some("chain"), None] {
                bench.reconcile(&showing(wanted)).await;
                assert!(shown(&bench).contains(&theirs), "{hostname}, {wanted:?}");
            }
        }
        for edge in [
            holding(cloudflare.clone(), "chain"),
            over(cloudflare.clone()),
        ] {
            edge.edge.remove(&key("gw")).await.unwrap();
            assert_eq!(shown(&bench), std::slice::from_ref(&theirs), "{hostname}");
        }
    }
}

#[tokio::test]
async fn what_was_noted_with_a_former_token_is_still_ours_and_is_noted_anew() {
    for token in ["second", "third"] {
        let bench = holding(FakeCloudflare::with_zones(&["example.com"]), "chain");
        bench.reconcile(&showing(Some("chain"))).await;
        bench.credentials.set_token(None, "acme", "second");
        if token == "third" {
            // Nothing can be noted while the second is in use.
            let refusal = error(PortErrorKind::Forbidden);
            let cloudflare = &bench.cloudflare;
            cloudflare.fail_every(ApiCall::Configure, None, refusal);
            bench.reconcile(&showing(Some("chain"))).await;
            cloudflare.heal();
            bench.credentials.set_token(None, "acme", "third");
        }
        bench.reconcile(&showing(Some("chain"))).await;
        assert_eq!(shown(&bench).len(), 1, "{token}: not uploaded again");

        let next = holding(bench.cloudflare.clone(), "chain");
        next.credentials.set_token(None, "acme", token);
        next.edge.remove(&key("gw")).await.unwrap();
        assert!(
            shown(&bench).is_empty(),
            "{token}: known by the next process"
        );
    }
}

#[tokio::test]
async fn a_certificate_stays_while_the_record_of_its_name_has_drifted() {
    for policy in [DriftPolicy::Report, DriftPolicy::Pause] {
        let bench = holding(FakeCloudflare::with_zones(&["example.com"]), "chain");
        let mut wanted = showing(Some("chain"));
        wanted.dns.records.drift = policy;
        bench.reconcile(&wanted).await;
        let app = bench.record("app.example.com").id;
        bench
            .cloudflare
            .edit_record(&app, |data| data.proxied = false);
        bench.reconcile(&wanted).await;
        assert_eq!(shown(&bench), [Fingerprint::of(b"chain")], "{policy:?}");
    }
}
