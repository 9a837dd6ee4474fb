//! What becomes of each field of each object that we make when somebody changes it by hand, under each policy, and of
//! what is somebody else's beside it.

use std::collections::BTreeMap;

use domain::certificate::Fingerprint;
use domain::edge::certificates::{CertificateIntent, CertificateOutcome};
use domain::edge::{EdgeIntent, EdgeStatus};
use domain::gateway::DriftPolicy::{self, Pause, Repair, Report};
use domain::secret::CertificatePair;
use domain::testing;
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use standin::cloud::{RecordBatch, RecordKind, RecordPatch, TunnelChange};

use super::rig::{ACCOUNT, Rig, fields, host, key, token, told};

const APP: &str = "app.example.com";

/// Records that are somebody else's.
const FOREIGN: [(&str, &str, &str); 4] = [
    ("CNAME", "www.example.com", "elsewhere.example.net"),
    ("A", "mail.example.com", "192.0.2.1"),
    ("TXT", APP, "\"beside ours\""),
    ("TXT", "example.com", "\"v=spf1 -all\""),
];

fn intent(drift: DriftPolicy) -> EdgeIntent {
    let mut intent = testing::intent(key(), &[APP]);
    intent.dns.records.drift = drift;
    intent
}

async fn start() -> Rig {
    let rig = Rig::start(token(), &["example.com"]).await;
    let posts = FOREIGN.map(|(kind, name, content)| fields(kind, name, content, "by hand"));
    rig.change(RecordBatch {
        posts: posts.to_vec(),
        ..RecordBatch::default()
    });
    let other = standin::cloud::NewTunnel {
        name: "somebody's".to_owned(),
        config_src: standin::cloud::ConfigSource::Local,
        secret: None,
    };
    rig.cloud.create_tunnel(ACCOUNT, other).unwrap();
    rig
}

/// Everything that is somebody else's, with every field.
fn foreign(rig: &Rig) -> String {
    let records = rig.cloud.records(&rig.zones["example.com"]);
    let theirs = records.iter().filter(|record| {
        let mut foreign = FOREIGN.iter();
        foreign.any(|(kind, name, _)| record.name == *name && record.kind.as_str() == *kind)
    });
    let theirs: Vec<_> = theirs.collect();
    let tunnels = rig.cloud.tunnels().into_iter();
    let tunnels = tunnels.filter(|tunnel| tunnel.name == "somebody's");
    let tunnels: Vec<_> = tunnels
        .map(|one| (one.id, one.config_src.as_str()))
        .collect();
    format!("{theirs:?} {tunnels:?}")
}

/// Our record, every field but the time of its last change.
fn ours(rig: &Rig) -> Option<(String, &'static str, String, bool, u32, Option<String>)> {
    let records = rig.cloud.records(&rig.zones["example.com"]);
    let mut named = records.iter().filter(|record| record.name == APP);
    let found = named.find(|record| record.kind != RecordKind::Txt)?;
    let kind = found.kind.as_str();
    let (content, comment) = (found.content.clone(), found.comment.clone());
    Some((
        found.id.clone(),
        kind,
        content,
        found.proxied,
        found.ttl,
        comment,
    ))
}

fn own_id(rig: &Rig) -> String {
    ours(rig).expect("our record is there").0
}

fn patch(rig: &Rig, patch: RecordPatch) {
    rig.change(RecordBatch {
        patches: vec![(own_id(rig), patch)],
        ..RecordBatch::default()
    });
}

fn remove(rig: &Rig) {
    rig.change(RecordBatch {
        deletes: vec![own_id(rig)],
        ..RecordBatch::default()
    });
}

/// A change by hand, and what is told of it under Repair, and under Report and Pause.
type Row = (&'static str, fn(&Rig), [&'static str; 2], &'static str);

const RECORD: [Row; 8] = [
    (
        "content",
        |rig| {
            patch(
                rig,
                RecordPatch {
                    content: Some("evil.example.net".to_owned()),
                    ..RecordPatch::default()
                },
            )
        },
        ["repaired", "drifted"],
        "content is \"evil.example.net\", not the address of the Gateway's tunnel",
    ),
    (
        "proxied",
        |rig| {
            patch(
                rig,
                RecordPatch {
                    proxied: Some(false),
                    ..RecordPatch::default()
                },
            )
        },
        ["repaired", "drifted"],
        "proxied is false, not true",
    ),
    (
        "ttl, of a record that is not proxied",
        |rig| {
            patch(
                rig,
                RecordPatch {
                    proxied: Some(false),
                    ttl: Some(300),
                    ..RecordPatch::default()
                },
            )
        },
        ["repaired", "drifted"],
        "proxied is false, not true; ttl is 300, not 1 (automatic)",
    ),
    (
        "comment beside the mark",
        |rig| {
            let comment = ours(rig).and_then(|record| record.5).unwrap();
            let comment = Some(Some(format!("{comment} asks Bob")));
            patch(
                rig,
                RecordPatch {
                    comment,
                    ..RecordPatch::default()
                },
            );
        },
        ["repaired", "drifted"],
        "asks Bob\", not the mark alone",
    ),
    (
        "the record is removed",
        remove,
        ["repaired", "drifted"],
        "the record is gone",
    ),
    (
        "mark",
        |rig| {
            patch(
                rig,
                RecordPatch {
                    comment: Some(Some("mine now".to_owned())),
                    ..RecordPatch::default()
                },
            )
        },
        ["conflict", "conflict"],
        "CNAME record",
    ),
    (
        "mark taken away",
        |rig| {
            patch(
                rig,
                RecordPatch {
                    comment: Some(None),
                    ..RecordPatch::default()
                },
            )
        },
        ["conflict", "conflict"],
        "CNAME record",
    ),
    (
        "type",
        |rig| {
            let comment = ours(rig).and_then(|record| record.5).unwrap();
            remove(rig);
            rig.change(RecordBatch {
                posts: vec![fields("A", APP, "192.0.2.9", &comment)],
                ..RecordBatch::default()
            });
        },
        ["conflict", "conflict"],
        "A record 192.0.2.9",
    ),
];

#[tokio::test]
async fn each_change_of_a_record_by_hand_is_put_right_or_left_and_told() {
    for (case, edit, words, message) in RECORD {
        for policy in [Repair, Report, Pause] {
            let rig = start().await;
            let wanted = intent(policy);
            rig.reconcile(&wanted).await;
            let (right, others) = (ours(&rig), foreign(&rig));
            edit(&rig);
            let edited = ours(&rig);
            let status = rig.reconcile(&wanted).await;
            let (word, is_told) = told(&status, APP);
            assert_eq!(
                word,
                words[usize::from(policy != Repair)],
                "{case} {policy:?}"
            );
            assert!(is_told.contains(message), "{case} {policy:?}: {is_told}");
            let after = ours(&rig);
            match word {
                "repaired" => {
                    // One that was removed comes back with another id.
                    let fields =
                        |record: Option<_>| record.map(|(_, a, b, c, d, e)| (a, b, c, d, e));
                    assert_eq!(fields(after), fields(right), "{case}");
                }
                _ => assert_eq!(after, edited, "{case} {policy:?}"),
            }
            assert_eq!(foreign(&rig), others, "{case} {policy:?}");
        }
    }
}

/// Our tunnel, as far as others can change it.
fn tunnel(rig: &Rig) -> (uuid::Uuid, String, Option<serde_json::Value>) {
    let tunnels = rig.cloud.tunnels().into_iter();
    let mut ours = tunnels.filter(|one| one.deleted_at.is_none() && one.name != "somebody's");
    let found = ours
        .find(|one| one.name != "renamed")
        .expect("our tunnel is there");
    let document = found
        .configuration
        .map(|configuration| configuration.document);
    (found.id, found.name, document)
}

#[tokio::test]
async fn the_tunnel_and_its_document_are_put_right_under_every_policy() {
    let rows: [(&str, fn(&Rig), bool); 3] = [
        (
            "ingress document",
            |rig| {
                let document = json!({ "ingress": [{ "service": "http_status:503" }] });
                let id = tunnel(rig).0;
                rig.cloud.configure_tunnel(ACCOUNT, id, document).unwrap();
            },
            true,
        ),
        (
            "the tunnel is removed",
            |rig| drop(rig.cloud.delete_tunnel(ACCOUNT, tunnel(rig).0).unwrap()),
            false,
        ),
        (
            "name",
            |rig| {
                let change = TunnelChange {
                    name: Some("renamed".to_owned()),
                    secret: None,
                };
                rig.cloud
                    .change_tunnel(ACCOUNT, tunnel(rig).0, change)
                    .unwrap();
            },
            false,
        ),
    ];
    for (case, edit, keeps_id) in rows {
        for policy in [Repair, Report, Pause] {
            let rig = start().await;
            rig.reconcile(&intent(policy)).await;
            let (before, others) = (tunnel(&rig), foreign(&rig));
            edit(&rig);
            let status = rig.reconcile(&intent(policy)).await;
            assert_eq!(status.failures, [], "{case} {policy:?}");
            let after = tunnel(&rig);
            assert_eq!(
                (after.0 == before.0, &after.1),
                (keeps_id, &before.1),
                "{case}"
            );
            assert_eq!(after.2, before.2, "{case} {policy:?}");
            assert_eq!(foreign(&rig), others, "{case} {policy:?}");
            let leads_here =
                ours(&rig).is_some_and(|record| record.2.starts_with(&after.0.to_string()));
            assert!(leads_here, "{case} {policy:?}");
        }
    }
}

fn certificate() -> (CertificatePair, CertificateIntent) {
    let pair = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![APP.to_owned()]).unwrap();
    let chain = params.self_signed(&pair).unwrap().pem();
    let fingerprint = Fingerprint::of(chain.as_bytes());
    let wanted = CertificateIntent {
        secret: domain::ObjectKey::new("default", "cert"),
        fingerprint: fingerprint.clone(),
        names: [host(APP)].into(),
        hosts: [host(APP)].into(),
        any_name: false,
    };
    let pair = CertificatePair {
        chain,
        key: pair.serialize_pem().into(),
        fingerprint,
    };
    (pair, wanted)
}

#[tokio::test]
async fn a_certificate_that_was_removed_by_hand_is_uploaded_again_under_every_policy() {
    for policy in [Repair, Report, Pause] {
        let (pair, wanted) = certificate();
        let rig = start().await.with_certificate(pair);
        let zone = rig.zones["example.com"].clone();
        let mut intent = intent(policy);
        intent.certificates = Some([wanted.clone()].into());
        let uploaded = |status: &EdgeStatus| {
            let zones = vec!["example.com".to_owned()];
            let expected = (
                wanted.secret.clone(),
                CertificateOutcome::Uploaded { zones },
            );
            assert_eq!(
                status.certificates,
                BTreeMap::from([expected]),
                "{policy:?}"
            );
        };
        uploaded(&rig.reconcile(&intent).await);
        let others = foreign(&rig);
        let ids = || -> Vec<String> {
            let all = rig.cloud.certificates(&zone).into_iter();
            all.map(|one| one.id).collect()
        };
        let before = ids();
        assert_eq!(before.len(), 1);
        rig.cloud.delete_certificate(&zone, &before[0]).unwrap();
        uploaded(&rig.reconcile(&intent).await);
        assert_eq!(ids().len(), 1, "{policy:?}");
        assert_ne!(ids(), before, "{policy:?}");
        assert_eq!(foreign(&rig), others, "{policy:?}");
    }
}
