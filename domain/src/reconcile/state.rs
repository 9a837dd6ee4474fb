//! What the passes remember, and the decisions that follow from it alone.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Queue;
use super::promises::Written;
use super::status_pass::Conclusions;
use crate::attachment::{GatewayResolution, Spared};
use crate::edge::claims::{self, Claimant, Grant};
use crate::edge::{DnsIntent, EdgeError, EdgeIntent, EdgeStatus, HostnameOutcome, Policy};
use crate::gateway::DnsPolicy;
use crate::names::{Hostname, ObjectKey, ObjectRef, Timestamp, TunnelId};
use crate::report::GatewayFacts;
use crate::route_table::RouteTable;
use crate::snapshot::ClusterSnapshot;
use crate::status::Reason;
use crate::workload::{WorkloadSpec, WorkloadStatus};

/// Resyncs until a removal, or a sweep, waits no longer for a name to be taken over. They come by the clock, however
/// often the cluster changes, so between this number and one less of their intervals pass.
const RESYNCS_TO_WAIT: u32 = 2;

#[derive(Default)]
pub(super) struct State {
    /// Objects that the source was last asked to read.
    pub(super) followed: Option<BTreeSet<ObjectRef>>,
    /// What the last route pass concluded; `None` before the first.
    pub(super) view: Option<Arc<View>>,
    /// Tables that the data plane serves.
    pub(super) published: BTreeMap<ObjectKey, Arc<RouteTable>>,
    /// Gateways whose last table the data plane did not take.
    pub(super) unpublished: BTreeSet<ObjectKey>,
    /// Gateways that may have something at the edge, and those that it did not let in.
    pub(super) at_edge: BTreeMap<ObjectKey, AtEdge>,
    /// Gateways found at the edge or among the proxies that nobody wants any more.
    pub(super) leftovers: BTreeSet<ObjectKey>,
    /// Gateways that were removed while their object still stands, so that they are not removed twice.
    pub(super) removed: BTreeSet<ObjectKey>,
    /// Gateways to be compared with the edge though nothing changed here.
    pub(super) to_compare: BTreeSet<ObjectKey>,
    /// Last attempts, of Gateways for which they failed.
    pub(super) failed: BTreeMap<ObjectKey, Attempt>,
    /// Resyncs that have begun.
    pub(super) resyncs: u32,
    /// Removals that wait until other Gateways have taken names over: how many resyncs had begun before.
    pub(super) removal_waits: BTreeMap<ObjectKey, u32>,
    /// What the last route pass concluded, until its statuses are written.
    pub(super) unwritten: Option<Arc<Conclusions>>,
    /// Statuses as they were written last.
    pub(super) written: Written,
    /// The term in which every intent was stated; another term may follow another instance's changes.
    pub(super) stated_in: Option<u64>,
    /// Queues of which an edge pass of this term came to its end.
    pub(super) passed: BTreeSet<Queue>,
    /// The term in which all places were seen where Gateways leave something.
    pub(super) saw_all_in: Option<u64>,
    /// Whether leftovers are to be looked for.
    pub(super) search_due: bool,
    /// Set where they were, and records that nothing leads to are still to be removed: how many resyncs had begun
    /// before.
    pub(super) sweep_due: Option<u32>,
}

/// What a route pass concluded from one snapshot.
#[derive(PartialEq)]
pub(super) struct View {
    /// Gateways of our classes. Nothing else is kept: routes are many, and no edge pass asks for them.
    pub(super) gateways: Arc<BTreeMap<ObjectKey, GatewayResolution>>,
    /// Gateways that lose nothing, because not all is known that may be theirs.
    pub(super) spared: Spared,
    /// What routes ask of Gateways that were never read.
    pub(super) unread_claims: BTreeMap<ObjectKey, BTreeMap<Hostname, Timestamp>>,
    /// Gateways whose class does not exist. Whose they are is not known: a class that is replaced, or handed from one
    /// tool to another, is gone for a moment.
    pub(super) classless: BTreeSet<ObjectKey>,
}

/// What an intent was stated with.
#[derive(PartialEq)]
pub(super) struct Attempt {
    pub(super) intent: EdgeIntent,
    pub(super) credentials: Option<u64>,
    pub(super) published: bool,
}

/// A Gateway that was stated at the edge, or is about to be.
pub(super) struct AtEdge {
    /// Where it is worked on, also when it is gone.
    pub(super) queue: Queue,
    pub(super) created: Timestamp,
    /// Names asked for when it was last seen, with their ages.
    pub(super) asked: BTreeMap<Hostname, Timestamp>,
    pub(super) dns: DnsPolicy,
    /// Names that may have a record of it; `None` until a reconcile went through.
    pub(super) records: Option<BTreeSet<Hostname>>,
    /// The intent last stated.
    pub(super) intent: Option<EdgeIntent>,
    /// The edition of the credentials that it was stated with.
    pub(super) credentials: Option<u64>,
    /// Whether that intent is true and the proxy runs; if not, it is stated again at the next pass.
    pub(super) settled: bool,
    /// Whether its object has the finalizer, as far as is known.
    pub(super) finalizer: bool,
    /// What its proxy was last made to run for.
    pub(super) proxy: Option<Proxy>,
    /// Why its proxy could not be made to run when that was last tried.
    pub(super) not_run: Option<String>,
    pub(super) answer: Option<Result<EdgeStatus, EdgeError>>,
    pub(super) last_known: Option<EdgeStatus>,
}

/// A proxy that was made to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    pub(super) tunnel: TunnelId,
    pub(super) spec: WorkloadSpec,
    /// Whether nothing is left to do for it.
    pub(super) finished: bool,
}

/// What becomes of a Gateway at the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its intent is made true.
    Serve,
    /// What it has stays as it is: it cannot be served for now (its credentials, a certificate or parameters
    /// are missing, it asks for an address), its class does not exist, or it is spared and the view does not
    /// show it.
    Keep,
    /// It is removed: it is being deleted, is no longer ours or there, has no valid listener left, or its class
    /// permits nothing to its namespace. The last two are edits like any other, and what nobody can reach should
    /// not resolve.
    Remove,
}

impl View {
    pub(super) fn fate(&self, gateway: &ObjectKey) -> Fate {
        let is_spared = self.spared.contains(gateway);
        match self.gateways.get(gateway) {
            Some(found) if found.gateway.deleting => Fate::Remove,
            Some(found) if found.is_served() => Fate::Serve,
            Some(found) if !is_spared && may_have_nothing(found) => Fate::Remove,
            None if !is_spared && !self.classless.contains(gateway) => Fate::Remove,
            Some(_) | None => Fate::Keep,
        }
    }
}

fn may_have_nothing(found: &GatewayResolution) -> bool {
    let refusal = found.refusal.as_ref();
    refusal.is_some_and(|refusal| {
        matches!(
            refusal.reason,
            Reason::ListenersNotValid | Reason::NamespaceNotPermitted
        )
    })
}

/// Gateways that name a class that does not exist, those that are being deleted excepted.
pub(super) fn classless(snapshot: &ClusterSnapshot) -> BTreeSet<ObjectKey> {
    let classes = snapshot.classes.items().iter();
    let classes: BTreeSet<&str> = classes.map(|class| class.name.as_str()).collect();
    let gateways = snapshot.gateways.items().iter();
    gateways
        .filter(|gateway| !gateway.deleting && !classes.contains(gateway.class.as_str()))
        .map(|gateway| gateway.key.clone())
        .collect()
}

/// The claim of a Gateway of which only that much is known.
fn unread_claimant<'a>(
    key: &ObjectKey,
    hostnames: &'a BTreeMap<Hostname, Timestamp>,
) -> Claimant<'a> {
    Claimant {
        gateway: key.clone(),
        created: Timestamp::default(),
        hostnames: Cow::Borrowed(hostnames),
        dns: DnsPolicy::All,
        without_zone: BTreeSet::new(),
        records: None,
    }
}

/// What a Gateway that gets this much is to have. One that is not served for now has no certificates to ask for, and
/// nothing is taken away from it.
fn intent(view: &View, claimant: &Claimant<'_>, grant: Grant) -> EdgeIntent {
    let gateway = &claimant.gateway;
    let served = view.gateways.get(gateway);
    let served = served.filter(|_| view.fate(gateway) == Fate::Serve);
    let all_read = served.is_some() && !view.spared.contains(gateway);
    EdgeIntent {
        gateway: gateway.clone(),
        hostnames: grant.hostnames,
        policy: Policy::of(all_read, claimant.records.is_some()),
        dns: DnsIntent {
            managed: claimant.dns.clone(),
            lost_to: grant.lost_to,
        },
        certificates: served.and_then(|found| found.certificates.clone()),
    }
}

impl State {
    /// Intents of the Gateways that are `wanted`, of those that are served or kept. The claims of all count, and to
    /// grant them means to go through every name once: not to be called for one Gateway after another.
    pub(super) fn intents(
        &self,
        view: &View,
        wanted: impl Fn(&ObjectKey) -> bool,
    ) -> BTreeMap<ObjectKey, EdgeIntent> {
        let served = view
            .gateways
            .iter()
            .filter(|(key, _)| view.fate(key) == Fate::Serve)
            .map(|(key, found)| self.claimant(key, found, !view.spared.contains(key)));
        let was_stated = |key: &ObjectKey| self.at_edge.get(key).is_some_and(AtEdge::was_stated);
        let kept = self
            .at_edge
            .iter()
            .filter(|(key, at_edge)| view.fate(key) == Fate::Keep && at_edge.was_stated())
            .map(|(key, at_edge)| at_edge.claimant(key));
        let kept_since_before = view
            .gateways
            .iter()
            .filter(|(key, _)| view.fate(key) == Fate::Keep && !was_stated(key))
            .filter(|(key, _)| self.may_have_something(view, key))
            .map(|(key, found)| self.claimant(key, found, false));
        let unread = view
            .unread_claims
            .iter()
            .filter(|(key, _)| !was_stated(key) && self.may_have_something(view, key))
            .map(|(key, hostnames)| unread_claimant(key, hostnames));
        let claimants: Vec<_> = served
            .chain(kept)
            .chain(kept_since_before)
            .chain(unread)
            .collect();
        let mut grants = claims::grant(&claimants, wanted);
        let intents = claimants.iter().filter_map(|claimant| {
            let grant = grants.remove(&claimant.gateway)?;
            Some((claimant.gateway.clone(), intent(view, claimant, grant)))
        });
        intents.collect()
    }

    /// Whether a Gateway that was not stated by this process may have something at the edge all the same. Where
    /// all are spared no record changes hands, so then it counts only if something was found.
    fn may_have_something(&self, view: &View, gateway: &ObjectKey) -> bool {
        self.was_begun(gateway)
            || self.leftovers.contains(gateway)
            || (view.spared != Spared::All && self.saw_all_in != self.stated_in)
    }

    /// Whether this process has begun to make something at the edge for a Gateway.
    pub(super) fn was_begun(&self, gateway: &ObjectKey) -> bool {
        self.at_edge.get(gateway).is_some_and(AtEdge::was_begun)
    }

    fn claimant<'a>(
        &'a self,
        key: &ObjectKey,
        found: &'a GatewayResolution,
        all_read: bool,
    ) -> Claimant<'a> {
        let at_edge = self.at_edge.get(key);
        let mut hostnames = Cow::Borrowed(&found.hostnames);
        if let (false, Some(at_edge)) = (all_read, at_edge) {
            for (hostname, age) in &at_edge.asked {
                let hostnames = hostnames.to_mut();
                hostnames.entry(hostname.clone()).or_insert(*age);
            }
        }
        Claimant {
            gateway: key.clone(),
            created: found.gateway.created,
            hostnames,
            dns: found.parameters.dns.clone(),
            without_zone: at_edge.map(AtEdge::without_zone).unwrap_or_default(),
            records: at_edge.and_then(AtEdge::known_records),
        }
    }

    /// Whether this term is a new one. Then another instance may have worked in between, so nothing that is
    /// remembered of the edge, the proxies and the finalizers counts any more, but for the claims that stand.
    pub(super) fn begin_term(&mut self, term: u64) -> bool {
        let is_new = self.stated_in.replace(term) != Some(term);
        if is_new {
            self.compare_all();
            self.passed.clear();
            self.failed.clear();
            self.removed.clear();
            for at_edge in self.at_edge.values_mut() {
                at_edge.records = None;
                at_edge.settled = false;
                at_edge.finalizer = false;
                at_edge.proxy = None;
            }
        }
        is_new
    }

    /// Counts nothing that is remembered of a Gateway's tunnel and its proxy: the edge says that it is not so.
    pub(super) fn disown(&mut self, gateway: &ObjectKey) {
        if let Some(at_edge) = self.at_edge.get_mut(gateway) {
            at_edge.settled = false;
            at_edge.proxy = None;
        }
        self.failed.remove(gateway);
    }

    /// It is time to see what others did at the edge.
    pub(super) fn begin_resync(&mut self) {
        self.resyncs += 1;
        self.compare_all();
    }

    fn compare_all(&mut self) {
        self.search_due = true;
        self.sweep_due = None;
        let view = self.view.iter();
        self.to_compare = view
            .flat_map(|view| view.gateways.keys())
            .cloned()
            .collect();
    }

    /// Whether records that nothing leads to may be removed now. A name that another Gateway is to have is taken over
    /// by then.
    pub(super) fn may_sweep(&self, view: &View) -> bool {
        self.sweep_due.is_some_and(|since| {
            self.resyncs >= since + RESYNCS_TO_WAIT || self.awaited(view).is_empty()
        })
    }

    /// Gateways that the first edge pass of their queue in the term has not come to yet, or whose proxy it has not
    /// seen to.
    pub(super) fn unasked(&self, view: &View, term: u64) -> BTreeSet<ObjectKey> {
        let has_passed = |key: &ObjectKey| {
            self.stated_in == Some(term) && self.passed.contains(&self.queue_of(view, key))
        };
        let served = view.gateways.keys();
        let served = served.filter(|key| view.fate(key) == Fate::Serve);
        let was_asked = |key: &ObjectKey| {
            let at_edge = self.at_edge.get(key);
            at_edge.is_some_and(|at_edge| match &at_edge.answer {
                None => false,
                Some(Ok(_)) => at_edge.proxy.is_some(),
                Some(Err(_)) => true,
            })
        };
        let unasked = served.filter(|key| !has_passed(key) && !was_asked(key));
        unasked.cloned().collect()
    }

    /// Counts a table as no longer served, before it is withdrawn: an edge pass that is under way must not
    /// lead names to it any more, and a Gateway that comes back must get it anew.
    pub(super) fn retract(&mut self, gateway: &ObjectKey) {
        self.published.remove(gateway);
        self.unpublished.insert(gateway.clone());
    }

    /// Remembers what a Gateway is about to be stated with, so that a pass that is cut short is known to be
    /// unfinished.
    pub(super) fn begin(&mut self, view: &View, intent: &EdgeIntent) {
        let key = &intent.gateway;
        let Some(found) = view.gateways.get(key) else {
            return;
        };
        let is_spared = view.spared.contains(key);
        let asked = self.claimant(key, found, !is_spared).hostnames;
        let asked = asked.into_owned();
        let at_edge = self.at_edge_of(view, key);
        at_edge.created = found.gateway.created;
        at_edge.asked = asked;
        at_edge.dns = found.parameters.dns.clone();
        at_edge.credentials = found.credentials;
        at_edge.settled = false;
        if let Some(records) = &mut at_edge.records {
            records.extend(intent.hostnames.iter().cloned());
        }
        at_edge.intent = Some(intent.clone());
        self.removed.remove(key);
    }

    /// What is remembered of a Gateway, which is worked on in its present queue from now on.
    pub(super) fn at_edge_of(&mut self, view: &View, gateway: &ObjectKey) -> &mut AtEdge {
        let queue = self.queue_of(view, gateway);
        let at_edge = self.at_edge.entry(gateway.clone());
        let at_edge = at_edge.or_insert_with(|| AtEdge::in_queue(queue.clone()));
        at_edge.queue = queue;
        at_edge
    }

    /// Names whose records were not made or taken over yet by the Gateways that are to have them, for a reason
    /// that may pass: one that is kept takes them over when it can be served again.
    pub(super) fn awaited(&self, view: &View) -> BTreeSet<Hostname> {
        let mut awaited = BTreeSet::new();
        let is_there = |gateway: &ObjectKey| view.fate(gateway) != Fate::Remove;
        for intent in self.intents(view, is_there).into_values() {
            let at_edge = self.at_edge.get(&intent.gateway);
            let is_kept = view.fate(&intent.gateway) == Fate::Keep;
            let may_get = |name: &Hostname| {
                at_edge.is_none_or(|at_edge| match is_kept {
                    true => !at_edge.is_known_to_have(name),
                    false => at_edge.is_undecided(&intent) || at_edge.may_still_get(name),
                })
            };
            let names = intent.hostnames.iter();
            let names = names.filter(|name| intent.dns.manages(name) && may_get(name));
            awaited.extend(names.cloned());
        }
        awaited
    }

    /// Whether a removal has to wait, because another Gateway may still take over one of the names: removing
    /// the record first would make the name vanish for a while. Where nobody knows which names it has (an
    /// earlier process made them), it may have any.
    ///
    /// That never goes on for good: a name may be kept from its new holder by anything (the Gateway cannot
    /// get the finalizer, its account is blocked), and a user who deletes a Gateway wants it gone.
    pub(super) fn waits(&mut self, gateway: &ObjectKey, awaited: &BTreeSet<Hostname>) -> bool {
        let at_edge = self.at_edge.get(gateway);
        let has_awaited =
            match at_edge.and_then(|at_edge| Some((at_edge, at_edge.records.as_ref()?))) {
                None => !awaited.is_empty(),
                Some((at_edge, records)) => {
                    let mut known = records.iter().chain(at_edge.asked.keys());
                    known.any(|name| awaited.contains(name))
                }
            };
        if !has_awaited {
            return false;
        }
        let since = *self
            .removal_waits
            .entry(gateway.clone())
            .or_insert(self.resyncs);
        self.resyncs < since + RESYNCS_TO_WAIT
    }

    /// Gateways whose proxies run otherwise than they should now, though nothing changes at the edge.
    pub(super) fn outdated_proxies(&self, view: &View) -> Vec<(ObjectKey, EdgeStatus)> {
        let served = view.gateways.iter();
        served
            .filter(|(key, _)| view.fate(key) == Fate::Serve)
            .filter_map(|(key, found)| {
                let at_edge = self.at_edge.get(key)?;
                let proxy = at_edge.proxy.as_ref()?;
                let is_outdated = !proxy.finished || proxy.spec != found.parameters.workload;
                let status = at_edge.last_known.clone().filter(|_| is_outdated)?;
                Some((key.clone(), status))
            })
            .collect()
    }

    /// What the statuses of a Gateway need from here, whose proxy is doing so.
    pub(super) fn facts(&self, gateway: &ObjectKey, mut workload: WorkloadStatus) -> GatewayFacts {
        let at_edge = self.at_edge.get(gateway);
        if let Some(why) = at_edge.and_then(|at_edge| at_edge.not_run.clone()) {
            workload.problems.insert(0, why);
        }
        GatewayFacts {
            workload,
            edge: at_edge.and_then(|at_edge| at_edge.answer.clone()),
            last_known: at_edge.and_then(|at_edge| at_edge.last_known.clone()),
        }
    }
}

impl AtEdge {
    fn in_queue(queue: Queue) -> Self {
        Self {
            queue,
            created: Timestamp::default(),
            asked: BTreeMap::new(),
            dns: DnsPolicy::default(),
            records: None,
            intent: None,
            credentials: None,
            settled: false,
            finalizer: false,
            proxy: None,
            not_run: None,
            answer: None,
            last_known: None,
        }
    }

    /// Whether it was let in: its object has the finalizer from then on.
    pub(super) fn was_begun(&self) -> bool {
        self.finalizer || self.was_stated()
    }

    fn was_stated(&self) -> bool {
        self.intent.is_some() || !self.asked.is_empty()
    }

    /// The claim that still stands of a Gateway that is kept as it is.
    fn claimant(&self, key: &ObjectKey) -> Claimant<'_> {
        Claimant {
            gateway: key.clone(),
            created: self.created,
            hostnames: Cow::Borrowed(&self.asked),
            dns: self.dns.clone(),
            without_zone: self.without_zone(),
            records: self.known_records(),
        }
    }

    fn known_records(&self) -> Option<Cow<'_, BTreeSet<Hostname>>> {
        self.records.as_ref().map(Cow::Borrowed)
    }

    fn without_zone(&self) -> BTreeSet<Hostname> {
        let known = match &self.answer {
            Some(Ok(status)) => Some(status),
            _ => self.last_known.as_ref(),
        };
        let outcomes = known.into_iter().flat_map(|status| &status.hostnames);
        outcomes
            .filter(|(_, outcome)| **outcome == HostnameOutcome::NoZone)
            .map(|(hostname, _)| hostname.clone())
            .collect()
    }

    /// Takes the edge's answer to the intent last stated.
    pub(super) fn answered(&mut self, answer: Result<EdgeStatus, EdgeError>) {
        if let Ok(status) = &answer {
            let all_done = status.failures.is_empty();
            if all_done {
                self.last_known = Some(status.clone());
            }
            if let Some(intent) = self.intent.as_ref()
                && intent.policy != Policy::UpsertOnly
            {
                let before = self.records.as_ref();
                let besides: Option<BTreeSet<Hostname>> = match before {
                    None => status.unwanted_kept.clone(),
                    // Yielded names that it had may still be its own: their holders take them over later.
                    Some(before) => all_done.then(|| {
                        let lost_to = intent.dns.lost_to.keys();
                        lost_to
                            .filter(|name| before.contains(*name))
                            .cloned()
                            .collect()
                    }),
                };
                if let Some(mut records) = besides {
                    records.extend(intent.hostnames.iter().cloned());
                    self.records = Some(records);
                }
            }
        }
        self.answer = Some(answer);
    }

    /// Whether the credentials are others than the intent was stated with: what they open may be, too. Those
    /// that cannot be read change nothing.
    pub(super) fn credentials_differ(&self, found: &GatewayResolution) -> bool {
        found.credentials.is_some() && self.credentials != found.credentials
    }

    /// Whether nothing is known of what this intent asks for, and asking again may tell.
    fn is_undecided(&self, intent: &EdgeIntent) -> bool {
        self.needs(intent)
            || match &self.answer {
                None => true,
                Some(Err(error)) => error.kind.is_transient(),
                Some(Ok(_)) => false,
            }
    }

    fn is_known_to_have(&self, name: &Hostname) -> bool {
        let records = self.records.as_ref();
        records.is_some_and(|records| records.contains(name))
    }

    /// Whether the last answer left open what becomes of a name.
    fn may_still_get(&self, name: &Hostname) -> bool {
        let Some(Ok(status)) = &self.answer else {
            return false;
        };
        let outcome = status.hostnames.get(name);
        matches!(outcome, Some(HostnameOutcome::Unknown { .. }))
    }

    fn has_kept_unwanted(&self) -> bool {
        let kept = self
            .answer
            .as_ref()
            .and_then(|answer| answer.as_ref().ok()?.unwanted_kept.as_ref());
        kept.is_some_and(|kept| !kept.is_empty())
    }

    /// Whether stating this intent could change anything.
    pub(super) fn needs(&self, intent: &EdgeIntent) -> bool {
        let EdgeIntent {
            gateway,
            hostnames,
            policy,
            dns,
            certificates,
        } = intent;
        !self.intent.as_ref().is_some_and(|stated| {
            stated.policy.covers(*policy, self.has_kept_unwanted())
                && *gateway == stated.gateway
                && *dns == stated.dns
                && *certificates == stated.certificates
                && *hostnames == stated.hostnames
        })
    }
}
