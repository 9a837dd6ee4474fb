//! Clusters of one account share its calls of Cloudflare. Time is counted here, not waited for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapter_broker_store::SqlStore;
use async_trait::async_trait;
use domain::broker::audit::Event;
use domain::broker::budget::{Budget, Spent};
use domain::broker::held::{Place, Statement};
use domain::broker::pass;
use domain::broker::ports::{AccountEdges, Clusters, Intents, StoreError, WorkQueue};
use domain::broker::work::{Holder, Taken};
use domain::broker::{AccountName, ClusterName};
use domain::edge::direct::DirectEdge;
use domain::ports::{Edge, PortError, PortErrorKind};
use domain::testing::{FakeCloudflare, FixedEntropy, StaticCredentials, intent};
use domain::{AccountId, Installation, InstanceId, ObjectKey, Timestamp};
use tests::broker::{Enrolled, enrol, furnish};

/// Pieces of work under way at a time, as one broker has them.
const WORKERS: usize = 8;

/// How long a piece of work takes, in seconds: eight calls.
const WORK: i64 = 2;

/// How long all of it goes on, in seconds.
const END: i64 = 480;

/// One account at a Cloudflare that refuses every call for five minutes where there were more than 1,200 in five minutes.
struct OneAccount {
    cloudflare: FakeCloudflare,
    edges: Mutex<BTreeMap<ClusterName, Arc<dyn Edge>>>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    now: i64,
    /// Which cluster is at work.
    at_work: Option<ClusterName>,
    /// Calls, by when they were made.
    calls: BTreeMap<i64, u64>,
    counted: u64,
    refuses_until: i64,
    account: Option<AccountName>,
}

impl OneAccount {
    fn new() -> Self {
        Self {
            cloudflare: FakeCloudflare::with_zones(&["example.com"]),
            edges: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    fn begin(&self, now: i64, cluster: &ClusterName) {
        let mut seen = self.seen.lock().unwrap();
        (seen.now, seen.at_work) = (now, Some(cluster.clone()));
    }
}

#[async_trait]
impl AccountEdges for OneAccount {
    async fn of(
        &self,
        cluster: &ClusterName,
        instance: InstanceId,
        account: &AccountName,
    ) -> Result<Arc<dyn Edge>, PortError> {
        let mut seen = self.seen.lock().unwrap();
        seen.account = Some(account.clone());
        let since = seen.now - 300;
        let calls: u64 = seen.calls.range(since..).map(|(_, calls)| calls).sum();
        if calls > 1200 {
            seen.refuses_until = seen.now + 300;
        }
        if seen.refuses_until > seen.now {
            return Err(PortError {
                retry_after: Some(Duration::from_secs(300)),
                ..PortError::new(PortErrorKind::RateLimited, "429")
            });
        }
        let made = || -> Arc<dyn Edge> {
            Arc::new(DirectEdge::new(
                Arc::new(self.cloudflare.clone()),
                Arc::new(StaticCredentials::for_all("acme")),
                Arc::new(FixedEntropy::default()),
                Installation {
                    name: cluster.clone(),
                    instance,
                },
            ))
        };
        let mut edges = self.edges.lock().unwrap();
        Ok(edges.entry(cluster.clone()).or_insert_with(made).clone())
    }

    async fn refused(&self, _: &AccountName) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn budget(&self) -> Budget {
        Budget::new(600)
    }

    fn spent(&self) -> Spent {
        let made = (self.cloudflare.reads() + self.cloudflare.writes()) as u64;
        let mut seen = self.seen.lock().unwrap();
        let calls = made - std::mem::replace(&mut seen.counted, made);
        let now = seen.now;
        *seen.calls.entry(now).or_default() += calls;
        let key = seen.account.clone().zip(seen.at_work.clone());
        Spent {
            budget: self.budget(),
            calls: key.map(|key| (key, calls)).into_iter().collect(),
            ..Spent::default()
        }
    }
}

/// Clusters of one tenant at one broker.
struct Scene {
    store: SqlStore,
    edges: OneAccount,
    clusters: Vec<ClusterName>,
    sequence: u64,
    under_way: Vec<(Taken, i64)>,
    _files: tempfile::TempDir,
}

impl Scene {
    async fn set(clusters: usize) -> Self {
        let files = tempfile::tempdir().unwrap();
        let address = format!("sqlite:{}", files.path().join("broker.db").display());
        let store = SqlStore::open(&address, None).await.unwrap();
        let mut names = Vec::new();
        for number in 0..clusters {
            let member = Enrolled {
                tenant: "acme",
                cluster: ClusterName::parse(&format!("c{number}")).unwrap(),
                instance: InstanceId::from_bytes([1; 16]),
            };
            enrol(&store, &member).await;
            if number == 0 {
                let zones = Some(["example.com".to_owned()].into());
                furnish(&store, &member, AccountId::new("acme"), zones).await;
            }
            let begun = store.begin_term(&member.cluster, Event::default());
            assert_eq!(begun.await, Ok(1));
            names.push(member.cluster);
        }
        Self {
            store,
            edges: OneAccount::new(),
            clusters: names,
            sequence: 0,
            under_way: Vec::new(),
            _files: files,
        }
    }

    /// A Gateway of a cluster is to have another name than before.
    async fn change(&mut self, number: usize, gateway: usize, now: i64) {
        self.sequence += 1;
        let (cluster, sequence) = (&self.clusters[number], self.sequence);
        let key = ObjectKey::new("default", format!("g{gateway}"));
        let name = format!("n{}.g{gateway}.{cluster}.example.com", now % 2);
        let wanted = Statement::Intent(Box::new(intent(key.clone(), &[&name])));
        let place = Place { term: 1, sequence };
        let stated = self
            .store
            .state(cluster, &key, wanted, place, None, Event::default());
        stated.await.unwrap();
    }

    /// Finishes what is over by now, and takes more. Which clusters had something done, whatever the noisy one stated meanwhile.
    async fn work(&mut self, now: i64) -> Vec<ClusterName> {
        let mut done = Vec::new();
        let under_way = std::mem::take(&mut self.under_way);
        for (taken, until) in under_way {
            if until > now {
                self.under_way.push((taken, until));
                continue;
            }
            self.edges.begin(now, &taken.cluster);
            let pass = pass::carry_out(
                &self.store,
                &self.edges,
                &taken,
                Timestamp(now),
                &String::new,
            );
            pass.await.unwrap();
            let held = self.store.held(&taken.cluster, &taken.gateway).await;
            let is_settled = held.unwrap().is_none_or(|held| held.is_settled());
            if is_settled || taken.cluster == self.clusters[9] {
                done.push(taken.cluster);
            }
        }
        while self.under_way.len() < WORKERS {
            let holder = Holder(format!("{now} {}", self.under_way.len()));
            let budget = self.edges.budget();
            let taken = self
                .store
                .take(holder, budget, Timestamp(now), Timestamp(now + 30))
                .await;
            let Some(taken) = taken.unwrap() else { break };
            self.under_way.push((taken, now + WORK));
        }
        done
    }
}

/// What came of some minutes.
struct Report {
    /// How long each change took of the clusters that make one in two minutes, in seconds, in order.
    waits: Vec<i64>,
    /// How often something was done for the noisy one.
    noisy: usize,
    /// The most calls in any five minutes.
    most_calls: u64,
}

/// Nine clusters, each of which changes something every two minutes, and one more that changes `noise` things in every second.
async fn some_minutes(noise: usize) -> Report {
    let mut scene = Scene::set(10).await;
    let (mut waits, mut noisy) = (Vec::new(), 0);
    let mut since: BTreeMap<ClusterName, i64> = BTreeMap::new();
    for now in 0..END {
        for gateway in 0..noise {
            scene.change(9, gateway, now).await;
        }
        let (quiet, begins) = (now % 120 / 13, now % 120 % 13 == 0);
        if quiet < 9 && begins && now < END - 120 {
            let quiet = usize::try_from(quiet).unwrap();
            scene.change(quiet, 0, now / 120).await;
            since.insert(scene.clusters[quiet].clone(), now);
        }
        for cluster in scene.work(now).await {
            match since.remove(&cluster) {
                Some(stated) => waits.push(now - stated),
                None => noisy += usize::from(cluster == scene.clusters[9]),
            }
        }
    }
    assert_eq!(since, BTreeMap::new(), "all is done");
    waits.sort_unstable();
    let calls = scene.edges.seen.lock().unwrap().calls.clone();
    let in_five_minutes = |from: &i64| -> u64 {
        let calls = calls.range(*from..from + 300);
        calls.map(|(_, calls)| calls).sum()
    };
    Report {
        waits,
        noisy,
        most_calls: calls.keys().map(in_five_minutes).max().unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_noisy_cluster_of_ten_slows_no_other_one() {
    let (quiet, noisy) = (some_minutes(0).await, some_minutes(3).await);
    let p99 = |report: &Report| report.waits[report.waits.len() * 99 / 100];
    assert_eq!(noisy.waits.len(), quiet.waits.len());
    assert!(noisy.waits.len() >= 27, "{}", noisy.waits.len());
    let (before, after) = (p99(&quiet), p99(&noisy));
    assert!(after * 10 <= before * 12, "{before} s, then {after} s");
    assert!(noisy.most_calls <= 650, "{}", noisy.most_calls);
    assert!(noisy.noisy >= 30, "it gets what the others leave");
}
