//! One Gateway at the edge: how far it is, as a small state machine. Passes report what happened; what is to be done next
//! follows from it.
//!
//! ```text
//!            finalizer_added        begin           answered, proxy_runs      settle
//! not begun ───────────────▶ begun ──────▶ unsettled ─────────────────▶ … ──────────▶ settled
//!                                             ▲  a new intent, disown, a new term        │
//!                                             └──────────────────────────────────────────┘
//! any ──begin_removal──▶ unsettled, without intent and proxy ──finalizer_removed──▶ not begun
//! ```
//!
//! A new term keeps the claims (`asked`, the intent) and counts nothing else: another instance may have worked meanwhile.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::Queue;
use super::rotation::Rotation;
use crate::attachment::GatewayResolution;
use crate::edge::claims::Claimant;
use crate::edge::{EdgeIntent, EdgeStatus, Holdings, HostnameOutcome, Policy};
use crate::error::{PortError, PortErrorKind};
use crate::gateway::{DeletionPolicy, DnsPolicy, Reconciling, SHORTEST_INTERVAL};
use crate::names::{Hostname, ObjectKey, Timestamp, TunnelId};
use crate::rotation::Request;
use crate::secret::TokenHash;
use crate::workload::WorkloadSpec;

/// A Gateway that was stated at the edge, or is about to be.
pub(super) struct GatewayState {
    /// Where it is worked on, also when it is gone.
    pub(super) queue: Queue,
    /// What it asked for when it was last stated.
    claim: Claim,
    /// Names that may have a record of it; `None` until a reconcile went through.
    records: Option<BTreeSet<Hostname>>,
    intent: Option<EdgeIntent>,
    /// The edition of the credentials that it was stated with.
    credentials: Option<u64>,
    /// Whether that intent is true and the proxy runs; if not, it is stated again at the next pass.
    settled: bool,
    /// Whether its object has the finalizer, as far as is known.
    finalizer: bool,
    proxy: ProxyState,
    /// How far the rotation of its token is, once that was read in this term.
    pub(super) rotation: Option<Rotation>,
    /// The token that its proxy was given last.
    pub(super) token: Option<TokenHash>,
    /// What becomes of what it has when it goes, as its object said last.
    pub(super) deletion: DeletionPolicy,
    /// When it was compared with the edge last.
    compared: Option<Timestamp>,
    /// The comparison that somebody asked for, once it is due.
    request: Option<Request>,
    /// The last one that was made.
    handled: Option<Request>,
    /// To the last call.
    answer: Option<Result<EdgeStatus, PortError>>,
    /// The last answer to an intent that was wholly made true.
    last_known: Option<EdgeStatus>,
}

#[derive(Default)]
struct Claim {
    created: Timestamp,
    /// Names, with their ages.
    asked: BTreeMap<Hostname, Timestamp>,
    dns: DnsPolicy,
    /// Whether it is of this term. Since an earlier one another instance may have given the Gateway more names.
    is_current: bool,
}

/// Its proxy, as far as is known.
enum ProxyState {
    /// Not made to run, and why that failed when it was last tried.
    NotRun(Option<String>),
    Runs(Proxy),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    pub(super) tunnels: Vec<TunnelId>,
    pub(super) spec: WorkloadSpec,
    /// Whether nothing is left to do for it.
    pub(super) finished: bool,
}

/// What happened to it.
impl GatewayState {
    pub(super) fn in_queue(queue: Queue) -> Self {
        Self {
            queue,
            claim: Claim::default(),
            records: None,
            intent: None,
            credentials: None,
            settled: false,
            finalizer: false,
            proxy: ProxyState::NotRun(None),
            rotation: None,
            token: None,
            deletion: DeletionPolicy::default(),
            compared: None,
            request: None,
            handled: None,
            answer: None,
            last_known: None,
        }
    }

    pub(super) fn begin_term(&mut self) {
        self.records = None;
        self.claim.is_current = false;
        self.finalizer = false;
        self.rotation = None;
        self.disown();
    }

    /// The edge says that its tunnel is not there, or that the proxy's token is another's.
    pub(super) fn disown(&mut self) {
        self.settled = false;
        self.drop_proxy();
    }

    pub(super) fn finalizer_added(&mut self) {
        self.finalizer = true;
    }

    pub(super) fn finalizer_removed(&mut self) {
        self.finalizer = false;
    }

    /// An intent is about to be stated. `asked`: the names that it was made from.
    pub(super) fn begin(
        &mut self,
        found: &GatewayResolution,
        asked: BTreeMap<Hostname, Timestamp>,
        intent: &EdgeIntent,
    ) {
        self.claim = Claim {
            created: found.gateway.created,
            asked,
            dns: found.parameters.dns.clone(),
            is_current: true,
        };
        self.credentials = found.credentials;
        self.settled = false;
        if let Some(records) = &mut self.records {
            records.extend(intent.hostnames.iter().cloned());
        }
        self.intent = Some(intent.clone());
    }

    /// Whether a comparison is asked for that no note was taken of.
    fn is_requested(&self, reconciling: &Reconciling) -> bool {
        reconciling.request.is_some() && self.request != reconciling.request
    }

    /// The first statement is the comparison that was asked for before it.
    pub(super) fn take_first_request(&mut self, reconciling: &Reconciling) {
        if self.compared.is_none() {
            self.take_request(reconciling);
        }
    }

    /// Takes note of a comparison that is asked for. Whether that is news.
    pub(super) fn take_request(&mut self, reconciling: &Reconciling) -> bool {
        let is_new = self.is_requested(reconciling);
        if is_new {
            self.request.clone_from(&reconciling.request);
            self.rotation = None;
        }
        is_new
    }

    /// It is stated now; `compares`: after everything about it was forgotten.
    pub(super) fn compared(&mut self, now: Timestamp, compares: bool) {
        if compares || self.compared.is_none() {
            self.compared = Some(now);
        }
        self.handled.clone_from(&self.request);
    }

    /// Takes the edge's answer to the intent last stated.
    pub(super) fn answered(&mut self, answer: Result<EdgeStatus, PortError>) {
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
                    let held_back = status.held_back.iter().flat_map(|held| &held.names);
                    records.extend(held_back.cloned());
                    self.records = Some(records);
                }
            }
        }
        self.answer = Some(answer);
    }

    /// Its proxy, which is not known to run until [`GatewayState::proxy_runs`].
    pub(super) fn take_proxy(&mut self) -> Option<Proxy> {
        match std::mem::replace(&mut self.proxy, ProxyState::NotRun(None)) {
            ProxyState::Runs(proxy) => Some(proxy),
            not_run @ ProxyState::NotRun(_) => {
                self.proxy = not_run;
                None
            }
        }
    }

    pub(super) fn proxy_runs(&mut self, proxy: Proxy) {
        self.proxy = ProxyState::Runs(proxy);
    }

    pub(super) fn proxy_failed(&mut self, why: String) {
        self.proxy = ProxyState::NotRun(Some(why));
    }

    /// Whether all of the intent is true and the proxy runs.
    pub(super) fn settle(&mut self, settled: bool) {
        self.settled = settled;
    }

    /// Its proxy was stopped, and what it has at the edge is about to go. Whatever comes of it, a Gateway that comes back
    /// must be stated anew.
    pub(super) fn begin_removal(&mut self) {
        self.intent = None;
        self.disown();
    }

    fn drop_proxy(&mut self) {
        self.take_proxy();
    }
}

/// What follows from it.
impl GatewayState {
    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    pub(super) fn has_finalizer(&self) -> bool {
        self.finalizer
    }

    pub(super) fn asked(&self) -> &BTreeMap<Hostname, Timestamp> {
        &self.claim.asked
    }

    pub(super) fn records(&self) -> Option<&BTreeSet<Hostname>> {
        self.records.as_ref()
    }

    pub(super) fn answer(&self) -> Option<&Result<EdgeStatus, PortError>> {
        self.answer.as_ref()
    }

    pub(super) fn last_known(&self) -> Option<&EdgeStatus> {
        self.last_known.as_ref()
    }

    pub(super) fn proxy(&self) -> Option<&Proxy> {
        match &self.proxy {
            ProxyState::Runs(proxy) => Some(proxy),
            ProxyState::NotRun(_) => None,
        }
    }

    /// Why its proxy could not be made to run when that was last tried.
    pub(super) fn not_run(&self) -> Option<&str> {
        match &self.proxy {
            ProxyState::NotRun(why) => why.as_deref(),
            ProxyState::Runs(_) => None,
        }
    }

    /// Whether the edge has answered it, and its proxy was seen to where the answer was not an error.
    pub(super) fn was_asked(&self) -> bool {
        match &self.answer {
            None => false,
            Some(Ok(_)) => self.proxy().is_some(),
            Some(Err(_)) => true,
        }
    }

    /// Whether it was let in: its object has the finalizer from then on.
    pub(super) fn was_begun(&self) -> bool {
        self.finalizer || self.was_stated()
    }

    pub(super) fn was_stated(&self) -> bool {
        self.intent.is_some() || !self.claim.asked.is_empty()
    }

    /// The claim that still stands of a Gateway that is kept as it is: what it asked for. An older route may ask for the
    /// same by now. Where that was in an earlier term, it may have all that it asks for now.
    pub(super) fn claimant<'a>(
        &'a self,
        key: &ObjectKey,
        found: Option<&'a GatewayResolution>,
    ) -> Claimant<'a> {
        let asked = &self.claim.asked;
        let mut hostnames = Cow::Borrowed(asked);
        for (hostname, age) in found.iter().flat_map(|found| &found.hostnames) {
            let counts = match asked.get(hostname) {
                Some(asked) => age < asked,
                None => !self.claim.is_current,
            };
            if counts {
                hostnames.to_mut().insert(hostname.clone(), *age);
            }
        }
        Claimant {
            gateway: key.clone(),
            created: self.claim.created,
            hostnames,
            dns: self.claim.dns.clone(),
            without_zone: self.without_zone(),
            records: self.known_records(),
        }
    }

    /// The claim of one that is suspended: nobody takes from it what it has, by whatever age.
    pub(super) fn undisputed_claimant<'a>(
        &'a self,
        key: &ObjectKey,
        found: Option<&'a GatewayResolution>,
    ) -> Claimant<'a> {
        let oldest = Timestamp(i64::MIN);
        let claimant = self.claimant(key, found);
        let mut hostnames = claimant.hostnames.into_owned();
        let asked = self.claim.asked.keys();
        let known = self.records.iter().flatten();
        hostnames.extend(asked.chain(known).map(|name| (name.clone(), oldest)));
        Claimant {
            created: oldest,
            hostnames: Cow::Owned(hostnames),
            ..claimant
        }
    }

    /// What it has at the edge, as far as answers told.
    pub(super) fn known_holdings(&self) -> Option<Holdings> {
        let status = self.last_known.as_ref()?;
        Some(Holdings {
            tunnels: status.tunnels.iter().map(|tunnel| tunnel.id).collect(),
            records: self
                .records
                .as_ref()?
                .iter()
                .map(ToString::to_string)
                .collect(),
        })
    }

    /// Whether it is to be compared now: its own interval is over, or somebody asks for it.
    pub(super) fn is_comparison_due(&self, reconciling: &Reconciling, now: Timestamp) -> bool {
        match self.next_comparison(reconciling) {
            Some(due) => due <= now,
            None => self.is_requested(reconciling),
        }
    }

    /// When that is.
    pub(super) fn next_comparison(&self, reconciling: &Reconciling) -> Option<Timestamp> {
        let wait = match self.is_requested(reconciling) {
            true => Some(SHORTEST_INTERVAL),
            false => reconciling.interval,
        };
        let seconds = i64::try_from(wait?.as_secs()).ok()?;
        Some(Timestamp(self.compared?.0.saturating_add(seconds)))
    }

    /// The last comparison that somebody asked for and that was made.
    pub(super) fn handled_request(&self) -> Option<&Request> {
        self.handled.as_ref()
    }

    pub(super) fn known_records(&self) -> Option<Cow<'_, BTreeSet<Hostname>>> {
        self.records.as_ref().map(Cow::Borrowed)
    }

    pub(super) fn without_zone(&self) -> BTreeSet<Hostname> {
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

    /// Whether the credentials are others than the intent was stated with: what they open may be, too. Those
    /// that cannot be read change nothing.
    pub(super) fn credentials_differ(&self, found: &GatewayResolution) -> bool {
        found.credentials.is_some() && self.credentials != found.credentials
    }

    /// Whether nothing is known of what this intent asks for, and asking again may tell. A Secret that is not there may come.
    pub(super) fn is_undecided(&self, intent: &EdgeIntent) -> bool {
        self.needs(intent)
            || match &self.answer {
                None => true,
                Some(Err(error)) => {
                    error.kind.is_transient() || error.kind == PortErrorKind::Credentials
                }
                Some(Ok(_)) => false,
            }
    }

    /// Another Gateway has these names by now.
    pub(super) fn lose(&mut self, names: &[&Hostname]) {
        if let Some(records) = &mut self.records {
            for name in names {
                records.remove(*name);
            }
        }
    }

    pub(super) fn is_known_to_have(&self, name: &Hostname) -> bool {
        let records = self.records.as_ref();
        records.is_some_and(|records| records.contains(name))
    }

    /// Whether the last answer left open what becomes of a name.
    pub(super) fn may_still_get(&self, name: &Hostname) -> bool {
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
            paths,
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
                && *paths == stated.paths
        })
    }
}
