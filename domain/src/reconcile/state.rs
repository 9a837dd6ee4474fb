//! What the passes remember, and the decisions that follow from it alone.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::gateway_state::GatewayState;
use super::promises::WrittenStatuses;
use super::rotation::needs_rotation;
use super::status_pass::Conclusions;
use super::term::{Search, Term};
use super::view::{Fate, View};
use crate::attachment::{GatewayResolution, Retained};
use crate::edge::claims::{self, Claimant, Grant};
use crate::edge::{DnsIntent, EdgeIntent, EdgeStatus, HostnameOutcome, Policy};
use crate::error::PortError;
use crate::gateway::{DeletionPolicy, DnsPolicy};
use crate::names::{Hostname, ObjectKey, ObjectRef, Timestamp};
use crate::report::GatewayFacts;
use crate::route_table::RouteTable;
use crate::workload::WorkloadStatus;

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
    pub(super) at_edge: BTreeMap<ObjectKey, GatewayState>,
    /// Gateways found at the edge or among the proxies that are not wanted any more.
    pub(super) leftovers: BTreeSet<ObjectKey>,
    /// Gateways that were removed while their object still stands, so that they are not removed twice.
    pub(super) removed: BTreeSet<ObjectKey>,
    /// Gateways to be compared with the edge though nothing changed here.
    pub(super) to_compare: BTreeSet<ObjectKey>,
    /// Gateways that were suspended when the cluster was read last: a pass under way may have begun with an earlier view.
    pub(super) suspended: BTreeSet<ObjectKey>,
    /// Gateways of which all stays when they go, and those that are gone and left it, as far as was read.
    pub(super) orphans: BTreeSet<ObjectKey>,
    /// Gateways for which the last write of that is not known to have been done or not.
    pub(super) orphans_unsure: BTreeSet<ObjectKey>,
    /// Why a Gateway that is to be removed still has something.
    pub(super) removal_failures: BTreeMap<ObjectKey, PortError>,
    /// Last attempts, of Gateways for which they failed.
    pub(super) failed: BTreeMap<ObjectKey, Attempt>,
    pub(super) resyncs: u32,
    /// Removals that wait until other Gateways have taken names over: how many resyncs had begun before.
    pub(super) removal_waits: BTreeMap<ObjectKey, u32>,
    /// What the last route pass concluded, until its statuses are written.
    pub(super) unwritten: Option<Arc<Conclusions>>,
    pub(super) written: WrittenStatuses,
    /// What was done in the term of leadership that the last edge pass was in.
    pub(super) term: Term,
}

/// What an intent was stated with.
#[derive(PartialEq)]
pub(super) struct Attempt {
    pub(super) intent: EdgeIntent,
    pub(super) credentials: Option<u64>,
    pub(super) published: bool,
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
    let all_read = served.is_some() && !view.retained.contains(gateway);
    EdgeIntent {
        gateway: gateway.clone(),
        paths: served.map(|found| found.paths.clone()).unwrap_or_default(),
        hostnames: grant.hostnames,
        policy: Policy::of(all_read, claimant.records.is_some()),
        dns: DnsIntent {
            managed: claimant.dns.clone(),
            lost_to: grant.lost_to,
            records: served
                .map(|found| found.parameters.records.clone())
                .unwrap_or_default(),
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
            .map(|(key, found)| self.claimant(key, found, !view.retained.contains(key)));
        let was_stated =
            |key: &ObjectKey| self.at_edge.get(key).is_some_and(GatewayState::was_stated);
        let kept = self
            .at_edge
            .iter()
            .filter(|(key, at_edge)| view.fate(key).keeps() && at_edge.was_stated())
            .map(|(key, at_edge)| match view.fate(key) {
                Fate::Suspended => at_edge.undisputed_claimant(key, view.gateways.get(key)),
                _ => at_edge.claimant(key, view.gateways.get(key)),
            });
        let kept_since_before = view
            .gateways
            .iter()
            .filter(|(key, _)| view.fate(key).keeps() && !was_stated(key))
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
    /// all are retained no record changes hands, so then it counts only if something was found.
    fn may_have_something(&self, view: &View, gateway: &ObjectKey) -> bool {
        self.was_begun(gateway)
            || self.leftovers.contains(gateway)
            || (view.retained != Retained::All && !self.term.saw_all)
    }

    /// Whether this process has begun to make something at the edge for a Gateway.
    pub(super) fn was_begun(&self, gateway: &ObjectKey) -> bool {
        self.at_edge
            .get(gateway)
            .is_some_and(GatewayState::was_begun)
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
            for (hostname, age) in at_edge.asked() {
                let known = hostnames.to_mut().entry(hostname.clone());
                let known = known.or_insert(*age);
                *known = (*known).min(*age);
            }
        }
        Claimant {
            gateway: key.clone(),
            created: found.gateway.created,
            hostnames,
            dns: found.parameters.dns.clone(),
            without_zone: at_edge.map(GatewayState::without_zone).unwrap_or_default(),
            records: at_edge.and_then(GatewayState::known_records),
        }
    }

    /// Whether this term is a new one. Then another instance may have worked in between, so nothing that is
    /// remembered of the edge, the proxies and the finalizers counts any more, but for the claims that stand.
    pub(super) fn begin_term(&mut self, term: u64) -> bool {
        let is_new = self.term.number != Some(term);
        if is_new {
            self.term = Term::new(term);
            self.compare_all(false);
            self.failed.clear();
            self.removed.clear();
            self.at_edge.values_mut().for_each(GatewayState::begin_term);
        }
        is_new
    }

    /// Counts nothing that is remembered of a Gateway's tunnel and its proxy: the edge says that it is not so.
    pub(super) fn disown(&mut self, gateway: &ObjectKey) {
        if let Some(at_edge) = self.at_edge.get_mut(gateway) {
            at_edge.disown();
        }
        self.failed.remove(gateway);
    }

    /// A Gateway is stated again, though nothing changed here.
    pub(super) fn state_again(&mut self, gateway: &ObjectKey) {
        let view = self.view.as_ref();
        if view.is_some_and(|view| view.gateways.contains_key(gateway)) {
            self.to_compare.insert(gateway.clone());
            self.failed.remove(gateway);
        }
    }

    /// It is time to see what others did at the edge.
    pub(super) fn begin_resync(&mut self) {
        self.resyncs += 1;
        self.compare_all(true);
    }

    /// `keeps_own_time`: but those that have an interval of their own.
    fn compare_all(&mut self, keeps_own_time: bool) {
        self.term.search = Search::Due;
        let view = self.view.iter();
        let gateways = view.flat_map(|view| view.gateways.iter());
        let followed =
            gateways.filter(|(_, found)| !keeps_own_time || found.reconciling.interval.is_none());
        self.to_compare.extend(followed.map(|(key, _)| key.clone()));
    }

    /// Marks the Gateways that are to be compared now, because somebody asks for it or their own interval is over, and
    /// names them.
    pub(super) fn begin_comparisons(&mut self, view: &View, now: Timestamp) -> Vec<ObjectKey> {
        let mut begun = Vec::new();
        for (key, found) in &*view.gateways {
            let at_edge = self.at_edge.get_mut(key);
            let Some(at_edge) = at_edge.filter(|_| view.fate(key) == Fate::Serve) else {
                continue;
            };
            let is_due = at_edge.is_comparison_due(&found.reconciling, now);
            let is_requested = is_due && at_edge.take_request(&found.reconciling);
            if is_requested {
                // An attempt that failed is made again, too.
                self.failed.remove(key);
            }
            if is_requested || (is_due && !self.to_compare.contains(key)) {
                self.to_compare.insert(key.clone());
                begun.push(key.clone());
            }
        }
        begun
    }

    /// Takes note of Gateways as a new view shows them: what an object says counts also when it is gone, and what
    /// is suspended is looked at anew when it is not any more.
    pub(super) fn follow(&mut self, view: &View) {
        for (key, at_edge) in &mut self.at_edge {
            if let Some(policy) = view.deletion.get(key) {
                at_edge.deletion = *policy;
            }
            if view.fate(key) == Fate::Suspended {
                at_edge.disown();
            }
        }
    }

    /// Whether what a Gateway has stays when it goes. Where its object and its parameters do not tell, what was kept
    /// of it counts.
    pub(super) fn leaves_all(&self, view: &View, gateway: &ObjectKey) -> bool {
        if view.is_not_permitted(gateway) {
            return false;
        }
        let said = view.deletion.get(gateway).copied();
        let remembered = || Some(self.at_edge.get(gateway)?.deletion);
        let is_kept = || self.orphans.contains(gateway);
        said.is_some_and(|policy| policy == DeletionPolicy::Orphan)
            || (said.is_none() && (is_kept() || remembered() == Some(DeletionPolicy::Orphan)))
    }

    /// Whether records that nothing leads to may be removed now. A name that another Gateway is to have is taken over
    /// by then, or has been waited for as long as a removal waits.
    pub(super) fn may_sweep(&mut self, view: &View) -> bool {
        if self.term.search != Search::Searched {
            return false;
        }
        if self.awaited(view).is_empty() {
            self.term.sweep_waits = None;
            return true;
        }
        let since = *self.term.sweep_waits.get_or_insert(self.resyncs);
        self.resyncs >= since + RESYNCS_TO_WAIT
    }

    /// Gateways that the first edge pass of their queue in the term has not come to yet, or whose proxy it has not
    /// seen to.
    pub(super) fn unasked(&self, view: &View, term: u64) -> BTreeSet<ObjectKey> {
        let has_passed = |key: &ObjectKey| {
            self.term.number == Some(term) && self.term.passed.contains(&self.queue_of(view, key))
        };
        let served = view.gateways.keys();
        let served = served.filter(|key| view.fate(key) == Fate::Serve);
        let was_asked = |key: &ObjectKey| {
            let at_edge = self.at_edge.get(key);
            at_edge.is_some_and(GatewayState::was_asked)
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
        let is_retained = view.retained.contains(key);
        let asked = self.claimant(key, found, !is_retained).hostnames;
        let asked = asked.into_owned();
        let at_edge = self.at_edge_of(view, key);
        at_edge.take_first_request(&found.reconciling);
        at_edge.begin(found, asked, intent);
        self.removed.remove(key);
    }

    /// What is remembered of a Gateway, which is worked on in its present queue from now on.
    pub(super) fn at_edge_of(&mut self, view: &View, gateway: &ObjectKey) -> &mut GatewayState {
        let queue = self.queue_of(view, gateway);
        let at_edge = self.at_edge.entry(gateway.clone());
        let at_edge = at_edge.or_insert_with(|| GatewayState::in_queue(queue.clone()));
        at_edge.queue = queue;
        at_edge
    }

    /// After a write: names that lead to this Gateway by now lead to no other.
    pub(super) fn lead_away(&mut self, gateway: &ObjectKey, status: &EdgeStatus) {
        if status.changes.is_empty() {
            return;
        }
        let outcomes = status.hostnames.iter();
        let led = outcomes.filter(|(_, outcome)| **outcome == HostnameOutcome::Applied);
        let led: Vec<&Hostname> = led.map(|(name, _)| name).collect();
        let others = self.at_edge.iter_mut().filter(|(key, _)| *key != gateway);
        for (_, other) in others {
            other.lose(&led);
        }
    }

    /// Names whose records were not made or taken over yet by the Gateways that are to have them, for a reason
    /// that may pass: one that is kept takes them over when it can be served again.
    pub(super) fn awaited(&self, view: &View) -> BTreeSet<Hostname> {
        let mut awaited = BTreeSet::new();
        let is_there = |gateway: &ObjectKey| view.fate(gateway) != Fate::Remove;
        for intent in self.intents(view, is_there).into_values() {
            let at_edge = self.at_edge.get(&intent.gateway);
            let is_kept = view.fate(&intent.gateway).keeps();
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
    /// the record first would make the name vanish for a while. Where its names are not known (an
    /// earlier process made them), it may have any.
    ///
    /// That never goes on for good: a name may be kept from its new holder by anything (the Gateway cannot
    /// get the finalizer, its account is blocked), and a user who deletes a Gateway wants it gone.
    pub(super) fn waits(&mut self, gateway: &ObjectKey, awaited: &BTreeSet<Hostname>) -> bool {
        let at_edge = self.at_edge.get(gateway);
        let has_awaited = match at_edge.and_then(|at_edge| Some((at_edge, at_edge.records()?))) {
            None => !awaited.is_empty(),
            Some((at_edge, records)) => {
                let mut known = records.iter().chain(at_edge.asked().keys());
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

    /// Gateways whose proxies run otherwise than they should now, or whose token is to be replaced, though nothing else
    /// changes at the edge.
    pub(super) fn outdated_proxies(
        &self,
        view: &View,
        now: Timestamp,
    ) -> Vec<(ObjectKey, EdgeStatus)> {
        let served = view.gateways.iter();
        served
            .filter(|(key, _)| view.fate(key) == Fate::Serve)
            .filter_map(|(key, found)| {
                let at_edge = self.at_edge.get(key)?;
                let proxy = at_edge.proxy()?;
                let is_outdated = !proxy.finished
                    || proxy.spec != found.parameters.workload
                    || needs_rotation(at_edge, &found.parameters.rotation, now);
                let status = at_edge.last_known().filter(|_| is_outdated)?.clone();
                Some((key.clone(), status))
            })
            .collect()
    }

    /// What the statuses of a Gateway need from here, whose proxy is doing so.
    pub(super) fn facts(&self, gateway: &ObjectKey, mut workload: WorkloadStatus) -> GatewayFacts {
        let at_edge = self.at_edge.get(gateway);
        if let Some(why) = at_edge.and_then(GatewayState::not_run) {
            workload.problems.insert(0, why.to_owned());
        }
        GatewayFacts {
            workload,
            rotation: at_edge.and_then(GatewayState::rotation_facts),
            edge: at_edge.and_then(GatewayState::answer).cloned(),
            last_known: at_edge.and_then(GatewayState::last_known).cloned(),
            removal: self.removal_failures.get(gateway).cloned(),
            handled: at_edge.and_then(GatewayState::handled_request).cloned(),
        }
    }
}
