//! What happens in a history, and what there is in the end.

use std::collections::BTreeSet;
use std::sync::Arc;

use adapter_broker_store::SqlStore;
use domain::broker::audit::End;
use domain::broker::held::Wanted;
use domain::broker::ports::{Audit as _, Intents as _, WorkQueue as _};

use super::brokers::Broker;
use super::clusters::{self, Stating};
use super::harness::{Harness, Planted};
use super::random::Random;
use super::rules::Rule;

/// Things that happen before faults stop.
const LENGTH: usize = 500;

/// Times in which all that waits for another attempt had one: the longest wait is five minutes.
const ROUNDS: usize = 60;

/// What came of a history.
pub(crate) struct Ran {
    pub(crate) steps: u64,
    pub(crate) failure: Option<(Rule, String)>,
    pub(crate) log: Vec<String>,
}

pub(crate) fn run(seed: u64, planted: Option<Planted>) -> Ran {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("sqlite:{}", folder.path().join("broker.db").display());
        let store = SqlStore::open(&address, None).await.unwrap();
        let harness = Harness::new(Random::new(seed), store, planted);
        let mut history = History::begin(&harness).await;
        history.go_through().await;
        if harness.state().failure.is_none() {
            history.end().await;
        }
        let mut state = harness.state();
        Ran {
            steps: state.steps,
            failure: state.failure.clone(),
            log: std::mem::take(&mut state.log),
        }
    })
}

struct History {
    harness: Arc<Harness>,
    brokers: Vec<Broker>,
    stating: Stating,
}

impl History {
    async fn begin(harness: &Arc<Harness>) -> Self {
        clusters::enrol(&harness.store, harness.now()).await;
        let mut brokers = vec![
            Broker::start("first", harness),
            Broker::start("second", harness),
        ];
        for broker in &mut brokers {
            while broker.ask().await.is_err() {}
        }
        Self {
            harness: harness.clone(),
            brokers,
            stating: Stating::new(harness.clone()),
        }
    }

    async fn go_through(&mut self) {
        for _ in 0..LENGTH {
            self.happen().await;
            self.stating.check().await;
            self.check();
            if self.harness.state().failure.is_some() {
                return;
            }
        }
        self.check_audit().await;
    }

    async fn happen(&mut self) {
        let (what, which, amount) = {
            let random = &mut self.harness.state().random;
            (random.below(100), random.below(2), random.below(1000))
        };
        let amount = i64::try_from(amount).unwrap();
        match what {
            0..15 => self.pass_time(1_000 + amount * 7).await,
            15..27 => self.stating.state_something().await,
            27..33 if !self.brokers[which].stands_still() => {
                // As long as the other one waits, and longer.
                self.brokers[which].stand_still(20_000 + amount * 150, amount % 2 == 0);
            }
            33..35 => self.brokers[which].set_clock(amount % 600 - 300),
            35..37 => self.brokers[which].crash().await,
            37..39 => {
                let now = self.harness.now();
                self.harness.store.look_again(now, now).await.unwrap();
            }
            _ if !self.brokers[which].stands_still() => self.brokers[which].step().await,
            _ => {}
        }
    }

    async fn pass_time(&mut self, milliseconds: i64) {
        self.harness.state().now += milliseconds;
        for broker in &mut self.brokers {
            broker.pass_time(milliseconds);
            // What goes on after it stood still may do something else first.
            let is_prompt = self.harness.state().random.chance(70);
            if !broker.stands_still() && is_prompt {
                broker.keep().await;
            }
        }
    }

    /// What holds at Cloudflare at each step.
    fn check(&self) {
        let cloudflare = &self.harness.cloudflare;
        let tunnels = cloudflare.tunnels();
        let names: BTreeSet<_> = tunnels.iter().map(|tunnel| &tunnel.name).collect();
        let records = cloudflare.records();
        let records = records.iter().filter(|record| record.data.kind == "CNAME");
        let records: Vec<_> = records.map(|record| &record.data.name).collect();
        let hostnames: BTreeSet<_> = records.iter().collect();
        let is_one = names.len() == tunnels.len() && hostnames.len() == records.len();
        self.harness
            .require(Rule::OneOfEach, is_one, || format!("{names:?} {records:?}"));
        for tunnel in tunnels {
            let asked = self.harness.state().retired.get(&tunnel.id).copied();
            let (asked, replaced) = (asked.unwrap_or(0), cloudflare.replaced_tokens(tunnel.id));
            self.harness
                .require(Rule::ReplacesTokensOnce, replaced <= asked, || {
                    format!("{} was replaced {replaced} times of {asked}", tunnel.name)
                });
        }
    }

    async fn check_audit(&self) {
        let entries = self.harness.store.after(0, 100_000).await.unwrap();
        let verified = entries.iter().try_fold(End::default(), End::verify);
        let end = self.harness.store.end().await.unwrap();
        let is_whole = verified.as_ref().is_ok_and(|verified| *verified == end);
        self.harness.require(Rule::ChainVerifies, is_whole, || {
            "the audit is no whole chain".to_owned()
        });
    }

    /// Nothing fails any more.
    async fn end(&mut self) {
        self.harness.log("faults stop".to_owned());
        self.harness.state().fails = false;
        for broker in &mut self.brokers {
            broker.go_on();
            broker.ask().await.unwrap();
        }
        self.settle_down().await;
        // What was refused because another cluster had it is free by now, or is not.
        for _ in 0..2 {
            self.look_again().await;
        }
        self.harness.cloudflare.forget_calls();
        self.check_end().await;
        self.look_again().await;
        let writes = self.harness.cloudflare.writes();
        self.harness
            .require(Rule::ConvergesAndStays, writes == 0, || {
                format!("{writes} writes where nothing changed")
            });
        self.stating.check().await;
        self.check();
        self.check_audit().await;
    }

    async fn look_again(&mut self) {
        let now = self.harness.now();
        self.harness.store.look_again(now, now).await.unwrap();
        self.settle_down().await;
    }

    async fn settle_down(&mut self) {
        for round in 0..ROUNDS {
            self.harness.state().now += 10_000;
            for broker in &mut self.brokers {
                broker.pass_time(10_000);
                broker.keep().await;
                broker.drain().await;
            }
            if round > 1 && self.is_settled().await {
                return;
            }
        }
    }

    async fn is_settled(&self) -> bool {
        for (cluster, gateway) in clusters::all() {
            let held = self.harness.store.held(&cluster, &gateway).await.unwrap();
            if held.is_some_and(|held| !held.is_settled()) {
                return false;
            }
        }
        true
    }

    async fn check_end(&self) {
        let mut expected = BTreeSet::new();
        let mut tunnels = 0;
        let mut has = BTreeSet::new();
        for key in clusters::all() {
            let held = self.harness.store.held(&key.0, &key.1).await.unwrap();
            let Wanted::Present(_) = self.stating.wanted(&key) else {
                self.require_converged(held.is_none(), format!("{key:?} is left: {held:?}"));
                continue;
            };
            let held = held.unwrap();
            let is_settled = held.is_settled();
            self.require_converged(is_settled, format!("{key:?} is not settled: {held:?}"));
            tunnels += 1;
            let Some(tunnel) = clusters::tunnel(&self.harness, &key) else {
                self.require_converged(false, format!("{key:?} has no tunnel"));
                continue;
            };
            for name in held.names {
                expected.insert((name.to_string(), tunnel.address()));
                has.insert(name);
            }
        }
        for key in clusters::all() {
            if let Wanted::Present(intent) = self.stating.wanted(&key) {
                let is_had = intent.hostnames.iter().all(|name| has.contains(name));
                self.require_converged(is_had, format!("{intent:?} and {has:?}"));
            }
        }
        let records = self.harness.cloudflare.records().into_iter();
        let records = records.filter(|record| record.data.kind == "CNAME");
        let records = records.map(|record| (record.data.name, record.data.content));
        let records: BTreeSet<_> = records.collect();
        let what = format!("records are {records:?} and not {expected:?}");
        self.require_converged(records == expected, what);
        let found = self.harness.cloudflare.tunnels().len();
        self.require_converged(found == tunnels, format!("{found} tunnels of {tunnels}"));
    }

    fn require_converged(&self, holds: bool, what: String) {
        self.harness
            .require(Rule::ConvergesAndStays, holds, || what);
    }
}
