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

/// Our record, but for the times of its changes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ours {
    id: String,
    kind: &'static str,
    content: String,
    proxied: bool,
    ttl: u32,
    comment: String,
}

fn ours(rig: &Rig) -> Option<Ours> {
    let records = rig.cloud.records(&rig.zones["example.com"]);
    let mut named = records.iter().filter(|record| record.name == APP);
    let found = named.find(|record| record.kind != RecordKind::Txt)?;
    Some(Ours {
        id: found.id.clone(),
        kind: found.kind.as_str(),
        content: found.content.clone(),
        proxied: found.proxied,
        ttl: found.ttl,
        comment: found.comment.clone().unwrap_or_default(),
    })
}

fn own_id(rig: &Rig) -> String {
    ours(rig).expect("our record is there").id
}

fn own_comment(rig: &Rig) -> String {
    ours(rig).expect("our record is there").comment
}

fn patch(rig: &Rig, set: impl FnOnce(&mut RecordPatch)) {
    let mut patch = RecordPatch::default();
    set(&mut patch);
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
type Row = (&'static str, Edit, [&'static str; 2], &'static str);

type Edit = fn(&Rig);

const RECORD: [Row; 8] = [
    (
        "content",
        |rig| patch(rig, |it| it.content = Some("evil.example.net".to_owned())),
        ["repaired", "drifted"],
        "content is \"evil.example.net\", not the address of the Gateway's tunnel",
    ),
    (
        "proxied",
        |rig| patch(rig, |it| it.proxied = Some(false)),
        ["repaired", "drifted"],
        "proxied is false, not true",
    ),
    (
        "ttl, of a record that is not proxied",
        |rig| patch(rig, |it| (it.proxied, it.ttl) = (Some(false), Some(300))),
        ["repaired", "drifted"],
        "proxied is false, not true; ttl is 300, not 1 (automatic)",
    ),
    (
        "comment beside the mark",
        |rig| {
            let comment = format!("{} asks Bob", own_comment(rig));
            patch(rig, |it| it.comment = Some(Some(comment)));
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
        |rig| patch(rig, |it| it.comment = Some(Some("mine now".to_owned()))),
        ["conflict", "conflict"],
        "CNAME record",
    ),
    (
        "mark taken away",
        |rig| patch(rig, |it| it.comment = Some(None)),
        ["conflict", "conflict"],
        "CNAME record",
    ),
    (
        "type",
        |rig| {
            let comment = own_comment(rig);
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
                    let id = after.as_ref().map(|after| after.id.clone());
                    // One that was removed comes back with another id.
                    let id = id.unwrap_or_default();
                    let right = right.map(|right| Ours { id, ..right });
                    assert_eq!(after, right, "{case}");
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
    let rows: [(&str, Edit, bool); 3] = [
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
            let address = after.0.to_string();
            let leads_here = ours(&rig).is_some_and(|record| record.content.starts_with(&address));
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
