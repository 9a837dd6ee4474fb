//! What is signed of an audit, what is cut out of it, and what is seen of whatever is done to it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use adapter_broker::audit::{
    Evidence, Keeper, KeeperError, Keeping, Verified, VerifyError, verify,
};
use adapter_broker::seal::Envelopes;
use adapter_broker::seal::written::WrittenKeys;
use adapter_broker::wire::audit::{CheckpointDocument, CheckpointsDocument, SigningKeyDocument};
use adapter_broker_store::SqlStore;
use domain::Timestamp;
use domain::broker::audit::checkpoint::Fault;
use domain::broker::audit::retention::Retention;
use domain::broker::audit::{Broken, End, Entry, Link};
use domain::broker::ports::{Audit, Checkpoints};
use domain::ports::{Clock, Entropy};
use secrecy::SecretString;
use sqlx::AnyPool;

use super::event;

/// Each secret is another one.
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn secret(&self) -> [u8; 32] {
        let mut secret = [0; 32];
        let count = self.0.fetch_add(1, Ordering::Relaxed);
        secret[..8].copy_from_slice(&count.to_be_bytes());
        secret
    }
}

struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

/// Brokers, with a store of theirs.
struct Rig {
    store: Arc<SqlStore>,
    seal: Arc<Envelopes>,
    clock: Arc<Hands>,
    folder: tempfile::TempDir,
}

impl Rig {
    fn new(store: SqlStore) -> Self {
        Self {
            store: Arc::new(store),
            seal: Arc::new(envelopes(
                "one MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
                0,
            )),
            clock: Arc::new(Hands(AtomicI64::new(0))),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A broker; each has other secrets than those of the others.
    fn keeper(&self, number: u64) -> Keeper {
        let keeping = Keeping {
            entries: 100,
            every: Duration::from_secs(3600),
            retention: Retention {
                keep: Duration::from_secs(100 * 3600),
                most: 2_000,
            },
            folder: Some(self.folder.path().to_owned()),
        };
        let entropy = Arc::new(Counting((number << 32).into()));
        let (seal, clock) = (self.seal.clone(), self.clock.clone());
        Keeper::new(self.store.clone(), seal, entropy, clock, keeping)
    }

    async fn add(&self, entries: usize) {
        for _ in 0..entries {
            self.store.append(event("test")).await.unwrap();
        }
    }

    fn wait(&self, hours: i64) {
        self.clock.0.fetch_add(hours * 3600, Ordering::Relaxed);
    }

    async fn verify(
        &self,
        files: bool,
        kept: Option<CheckpointsDocument>,
    ) -> Result<Verified, VerifyError> {
        let files = files.then(|| self.folder.path().to_owned());
        verify(&*self.store, &*self.seal, &Evidence { files, kept }).await
    }

    /// What an auditor gets.
    async fn kept(&self) -> CheckpointsDocument {
        let keys = self.store.signing_keys().await.unwrap();
        let items = self.store.checkpoints(0, 1000).await.unwrap();
        CheckpointsDocument {
            keys: keys.iter().map(SigningKeyDocument::of).collect(),
            items: items.iter().map(CheckpointDocument::of).collect(),
            next: None,
        }
    }

    async fn entries(&self) -> Vec<Entry> {
        self.store.after(0, 100_000).await.unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let read = std::fs::read_dir(self.folder.path()).unwrap();
        let mut files: Vec<_> = read.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

fn envelopes(key: &str, number: u64) -> Envelopes {
    let keys = WrittenKeys::parse(&SecretString::from(key)).unwrap();
    Envelopes::new(Arc::new(keys), Arc::new(Counting((number << 48).into())))
}

fn names(files: &[PathBuf]) -> Vec<&str> {
    let names = files.iter().filter_map(|file| file.file_name()?.to_str());
    names.collect()
}

pub(crate) async fn the_audit_is_signed_in_time_and_only_what_follows_from_the_last(
    store: SqlStore,
    address: String,
) {
    let rig = Rig::new(store);
    let (one, two) = (rig.keeper(1), rig.keeper(2));
    let signed = || async {
        let checkpoints = rig.store.checkpoints(0, 1000).await.unwrap();
        let sequences = checkpoints.iter().map(|it| it.statement.end.sequence);
        sequences.collect::<Vec<_>>()
    };
    one.look().await.unwrap();
    assert!(signed().await.is_empty(), "there is nothing to sign");
    rig.add(1).await;
    for keeper in [&one, &two] {
        keeper.look().await.unwrap();
    }
    // The second is the entry of the key that was made.
    assert_eq!(signed().await, [2]);
    rig.add(98).await;
    two.look().await.unwrap();
    assert_eq!(signed().await, [2], "it is not yet time");
    rig.add(2).await;
    two.look().await.unwrap();
    rig.wait(1);
    one.look().await.unwrap();
    assert_eq!(signed().await, [2, 102], "there is nothing new");
    rig.add(1).await;
    one.look().await.unwrap();
    assert_eq!(signed().await, [2, 102, 103]);
    let found = rig.verify(false, None).await.unwrap();
    let last = found.signed.unwrap().statement;
    assert_eq!((found.first, found.end, last.end), (1, last.end, found.end));

    let newer = one.replace_key().await.unwrap();
    assert_ne!(newer.statement.key, last.key);
    rig.add(1).await;
    two.sign().await.unwrap();
    let found = rig.verify(false, None).await.unwrap();
    assert_eq!(found.signed.unwrap().statement.key, newer.statement.key);

    // What is changed after the last checkpoint is not signed by anybody.
    rig.add(3).await;
    let raw = raw(&address).await;
    let last = rig.store.end().await.unwrap().sequence;
    let change = format!(
        "UPDATE audit SET actor = 'eve' WHERE sequence = {}",
        last - 1
    );
    run(&raw, &change).await;
    let refused = two.sign().await.unwrap_err();
    let broken = Fault::Broken(Broken { sequence: last - 1 });
    assert!(
        matches!(&refused, KeeperError::Fault(fault) if *fault == broken),
        "{refused}"
    );
}

async fn raw(address: &str) -> AnyPool {
    AnyPool::connect(address).await.unwrap()
}

/// Does what a thief would who has the database alone.
async fn run(raw: &AnyPool, statements: &str) {
    for statement in statements.split(';') {
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        sqlx::query(statement).execute(raw).await.unwrap();
    }
}

const TABLES: [&str; 4] = ["audit", "audit_checkpoints", "signing_keys", "secrets"];

/// A chain as long as the true one, of other events, in its place.
async fn replace(raw: &AnyPool, entries: usize) -> End {
    run(raw, "DELETE FROM audit").await;
    let mut end = End::default();
    for _ in 0..entries {
        let entry = end.follow(event("eve"));
        end = end.verify(&entry).unwrap();
        let Entry {
            sequence,
            event,
            link,
        } = entry;
        sqlx::query(
            "INSERT INTO audit (sequence, at, actor, source, action, object, result, detail, ray, link)
             VALUES ($1, $2, $3, '', $4, '', $5, '', '', $6)",
        )
        .bind(i64::try_from(sequence).unwrap())
        .bind(event.at.0)
        .bind(event.actor)
        .bind(event.action)
        .bind(event.result)
        .bind(link.0.to_vec())
        .execute(raw)
        .await
        .unwrap();
    }
    end
}

pub(crate) async fn whatever_is_done_to_the_audit_in_the_store_is_seen(
    store: SqlStore,
    address: String,
) {
    let rig = Rig::new(store);
    let keeper = rig.keeper(1);
    for _ in 0..3 {
        rig.add(4).await;
        keeper.sign().await.unwrap();
    }
    rig.add(2).await;
    let (kept, length) = (rig.kept().await, rig.entries().await.len());
    let checkpoints = rig.store.checkpoints(0, 10).await.unwrap();
    let signed = checkpoints.last().unwrap().statement.end.sequence;
    let last = length as u64;
    assert_eq!((signed, last), (13, 15));
    let raw = raw(&address).await;
    for table in TABLES {
        let save = format!("CREATE TABLE saved_{table} AS SELECT * FROM {table}");
        run(&raw, &save).await;
    }
    let broken = |sequence| Some(Fault::Broken(Broken { sequence }));
    let cut_off = |last| Some(Fault::CutOff { signed, last });
    // What is done, what is seen of it, and what is seen with what an auditor kept.
    let cases: [(&str, Option<Fault>, Option<Fault>); 10] = [
        (
            "UPDATE audit SET detail = 'other' WHERE sequence = 3",
            broken(3),
            broken(3),
        ),
        (
            "UPDATE audit SET at = at + 1 WHERE sequence = 15",
            broken(15),
            broken(15),
        ),
        ("DELETE FROM audit WHERE sequence = 3", broken(3), broken(3)),
        (
            "UPDATE audit SET sequence = 99 WHERE sequence = 3;
             UPDATE audit SET sequence = 3 WHERE sequence = 4;
             UPDATE audit SET sequence = 4 WHERE sequence = 99",
            broken(3),
            broken(3),
        ),
        (
            "DELETE FROM audit WHERE sequence > 12",
            cut_off(12),
            cut_off(12),
        ),
        (
            "DELETE FROM audit WHERE sequence > 11; DELETE FROM audit_checkpoints WHERE sequence > 11",
            None,
            cut_off(11),
        ),
        (
            "DELETE FROM audit WHERE sequence <= 5",
            Some(Fault::CutWithoutCheckpoint(6)),
            Some(Fault::CutWithoutCheckpoint(6)),
        ),
        (
            "DELETE FROM audit WHERE sequence <= 5; UPDATE audit_checkpoints SET mark = 'cut' WHERE sequence = 5",
            Some(Fault::Signature(5)),
            Some(Fault::Signature(5)),
        ),
        (
            "UPDATE audit_checkpoints SET sequence = 14 WHERE sequence = 13",
            Some(Fault::Signature(14)),
            Some(Fault::Signature(14)),
        ),
        (
            "DELETE FROM audit_checkpoints",
            Some(Fault::NoCheckpoint),
            Some(Fault::NoCheckpoint),
        ),
    ];
    for (done, alone, with_kept) in cases {
        run(&raw, done).await;
        assert_eq!(fault(rig.verify(false, None).await), alone, "{done}");
        assert_eq!(
            fault(rig.verify(false, Some(kept.clone())).await),
            with_kept,
            "{done}"
        );
        put_back(&raw).await;
    }
    assert_eq!(fault(rig.verify(false, Some(kept.clone())).await), None);

    let end = replace(&raw, length).await;
    assert_eq!(
        fault(rig.verify(false, None).await),
        Some(Fault::Replaced(5))
    );
    // Signed by a key of the thief's, who has not the key that seals.
    let thief = Rig {
        store: rig.store.clone(),
        seal: Arc::new(envelopes(
            "one AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            1,
        )),
        clock: rig.clock.clone(),
        folder: tempfile::tempdir().unwrap(),
    };
    for table in ["audit_checkpoints", "signing_keys"] {
        let empty = format!("DELETE FROM {table}");
        run(&raw, &empty).await;
    }
    thief.keeper(9).sign().await.unwrap();
    assert_eq!(thief.entries().await.len() as u64, end.sequence + 1);
    let refused = rig.verify(false, None).await;
    assert!(
        matches!(refused, Err(VerifyError::Keeper(KeeperError::Key(_)))),
        "{refused:?}"
    );
}

async fn put_back(raw: &AnyPool) {
    for table in TABLES {
        for done in [
            format!("DELETE FROM {table}"),
            format!("INSERT INTO {table} SELECT * FROM saved_{table}"),
        ] {
            run(raw, &done).await;
        }
    }
}

fn fault(found: Result<Verified, VerifyError>) -> Option<Fault> {
    match found {
        Ok(_) => None,
        Err(VerifyError::Store { fault, .. } | VerifyError::File { fault, .. }) => Some(fault),
        Err(other) => panic!("{other}"),
    }
}

pub(crate) async fn what_is_cut_is_exported_first_and_verified_with_the_rest(
    store: SqlStore,
    address: String,
) {
    let rig = Rig::new(store);
    let (one, two) = (rig.keeper(1), rig.keeper(2));
    // Entries are not made one by one here, as there are many.
    let raw = raw(&address).await;
    replace(&raw, 1_200).await;
    one.look().await.unwrap();
    let kept = rig.kept().await;
    assert!(rig.files().is_empty(), "nothing is old or too much");
    rig.wait(101);
    rig.add(5).await;
    let (first, second) = tokio::join!(one.look(), two.look());
    first.unwrap();
    second.unwrap();
    let whole = "audit-000000000001-000000001201.jsonl";
    assert_eq!(names(&rig.files()), [whole]);
    let entries = rig.entries().await;
    assert_eq!(entries[0].sequence, 1_202);
    let cuts = entries
        .iter()
        .filter(|entry| entry.event.action == "audit.cut");
    assert_eq!(cuts.count(), 1, "two brokers, and one cut");
    let found = rig.verify(true, Some(kept.clone())).await.unwrap();
    assert_eq!((found.first, found.files), (1, 1));
    let alone = rig.verify(false, Some(kept.clone())).await.unwrap();
    assert_eq!(alone.first, 1_202);
    // It goes on in the same way.
    rig.add(1_100).await;
    one.look().await.unwrap();
    rig.wait(101);
    two.look().await.unwrap();
    let files = rig.files();
    assert_eq!(names(&files).len(), 2, "{files:?}");
    let found = rig.verify(true, Some(kept.clone())).await.unwrap();
    assert_eq!((found.first, found.files), (1, 2));

    let texts: Vec<String> = files
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    let lines = |of: usize| {
        texts[of]
            .lines()
            .map(|line| format!("{line}\n"))
            .collect::<Vec<_>>()
    };
    let changed = texts[0].replacen("person ada", "person eve", 1);
    let mut swapped = lines(0);
    swapped.swap(3, 4);
    let mut missing = lines(0);
    missing.remove(3);
    let mut shorter = lines(0);
    let length = shorter.len();
    shorter.remove(length - 2);
    let broken = |sequence| Some(Fault::Broken(Broken { sequence }));
    for (case, text, expected) in [
        ("changed", changed, broken(1)),
        ("swapped", swapped.concat(), broken(3)),
        ("missing", missing.concat(), broken(3)),
        (
            "shorter",
            shorter.concat(),
            Some(Fault::CutOff {
                signed: 1_201,
                last: 1_200,
            }),
        ),
        (
            "cut signed anew",
            texts[0].replacen("\"signature\":\"", "\"signature\":\"AAAA", 1),
            Some(Fault::Signature(1_201)),
        ),
        ("the other's", texts[1].clone(), None),
    ] {
        std::fs::write(&files[0], text).unwrap();
        let found = rig.verify(true, None).await;
        match expected {
            Some(expected) => assert_eq!(fault(found), Some(expected), "{case}"),
            None => assert!(found.unwrap().first > 1, "{case}"),
        }
    }
    std::fs::write(&files[0], &texts[0]).unwrap();
    std::fs::remove_file(&files[1]).unwrap();
    let found = rig.verify(true, None).await;
    assert!(
        matches!(found, Err(VerifyError::Missing { from: 1_202, .. })),
        "{found:?}"
    );
    std::fs::write(&files[1], &texts[1][..texts[1].len() / 2]).unwrap();
    let found = rig.verify(true, None).await;
    assert!(
        matches!(found, Err(VerifyError::Unreadable(_))),
        "{found:?}"
    );
    std::fs::write(&files[1], &texts[1]).unwrap();
    // The file holds, and is not of this chain.
    let mut other = kept;
    other.items[0].hash = Link::default().to_string();
    let found = rig.verify(true, Some(other)).await;
    assert!(matches!(found, Err(VerifyError::Kept)), "{found:?}");

    // Where nothing can be written, nothing is cut.
    let before = rig.entries().await.len();
    rig.add(1_100).await;
    one.look().await.unwrap();
    rig.wait(101);
    let gone = rig.folder.path().to_owned();
    std::fs::remove_dir_all(&gone).unwrap();
    let refused = one.look().await.unwrap_err();
    assert!(matches!(refused, KeeperError::File(_)), "{refused}");
    assert!(rig.entries().await.len() > before + 1_000);
}
