//! What a broker holds for one Gateway: what was stated last, and what came of it.

use std::collections::{BTreeMap, BTreeSet};

use super::certificates::SealedPair;
use super::names::AccountName;
use super::notice::Notice;
use super::refusal::{Code, Refusal};
use super::settle::Settled;
use crate::certificate::Fingerprint;
use crate::edge::{Changes, EdgeIntent, EdgeStatus, HostnameOutcome, Policy};
use crate::error::{PortError, PortErrorKind};
use crate::names::{Hostname, ObjectKey, Timestamp};
use crate::secret::TokenHash;

/// When something was stated, in the order of the cluster that stated it: a controller that becomes the leader begins a
/// term, and counts its statements. Whatever comes late, or from one that was deposed, has an earlier place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Place {
    pub term: u64,
    pub sequence: u64,
}

/// What is to be true for a Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    Present(Box<EdgeIntent>),
    /// It has its tunnel and no record: its cluster has not been heard of for long.
    Tunnel,
    /// It has nothing at Cloudflare.
    Gone,
}

/// What is to be done once, beside that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Errands {
    /// The tokens that together have this hash are to be replaced.
    pub retire: Option<TokenHash>,
    /// All connections of the tunnels are to be closed.
    pub close: bool,
    /// The tokens are to be replaced whichever they are, and all connections are to be closed.
    pub shut_out: bool,
    /// The tokens of single tunnels that are replaced for either. They are noted before the first one is, so that another attempt replaces none
    /// a second time.
    pub noted: BTreeSet<TokenHash>,
}

/// One Gateway of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub gateway: ObjectKey,
    pub wanted: Wanted,
    pub errands: Errands,
    /// Counts up with every change of the two above. It is the entity tag of the statement.
    pub version: u64,
    pub place: Place,
    /// Where its tunnels are or are to be, once that was decided: one in each.
    pub accounts: BTreeSet<AccountName>,
    /// Where something of it may be left from before.
    pub former: BTreeSet<AccountName>,
    /// Hostnames that it may have records of. Each is claimed for its cluster.
    pub names: BTreeSet<Hostname>,
    /// What wanted certificates are for, of those whose chain was sent.
    pub proven: BTreeMap<Fingerprint, BTreeSet<Hostname>>,
    /// Those whose chain and key are kept, sealed.
    pub pairs: BTreeSet<Fingerprint>,
    /// How many pieces of work came to an end. Whoever states something that was tried in vain before waits for the next one.
    pub passes: u64,
    pub done: Option<Done>,
}

/// What came of the last piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// Of the statement that it was for.
    pub version: u64,
    pub outcome: Result<EdgeStatus, PortError>,
    pub at: Timestamp,
}

impl Done {
    /// Whether nothing is to be done as long as nothing changes here. What stands in the way at Cloudflare may go without a
    /// word, so each statement looks again whether it has.
    fn is_complete(&self) -> bool {
        use HostnameOutcome::{Applied, NotManaged, NotPermitted};
        let is_final = |outcome: &HostnameOutcome| {
            matches!(outcome, Applied | NotManaged | NotPermitted { .. })
        };
        self.outcome.as_ref().is_ok_and(|status| {
            status.failures.is_empty()
                && status.held_back.is_none()
                && status.hostnames.values().all(is_final)
        })
    }
}

impl Done {
    /// What is so, without what was done to make it so.
    fn lasting(&self) -> Option<EdgeStatus> {
        let mut status = self.outcome.clone().ok()?;
        status.changes = Changes::default();
        status.repaired.clear();
        Some(status)
    }
}

/// What a cluster says of one of its Gateways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// This is to be true.
    Intent(Box<EdgeIntent>),
    /// Nothing of it is to be left.
    Remove,
    Retire(TokenHash),
    CloseConnections,
    /// These are chains and keys that were asked for.
    Pairs(Vec<SealedPair>),
}

/// What a statement changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stated {
    /// It is true already.
    Unchanged,
    /// There is work to do.
    Changed,
    /// It was stated before and tried in vain, and is tried again when it is time.
    Waiting,
}

impl Held {
    /// A Gateway of which nothing was stated yet.
    pub fn new(gateway: ObjectKey) -> Self {
        Self {
            gateway,
            wanted: Wanted::Gone,
            errands: Errands::default(),
            version: 0,
            place: Place::default(),
            accounts: BTreeSet::new(),
            former: BTreeSet::new(),
            names: BTreeSet::new(),
            proven: BTreeMap::new(),
            pairs: BTreeSet::new(),
            passes: 0,
            done: None,
        }
    }

    /// Takes a statement, unless it comes too late. `if_match` is the version that its sender saw.
    pub fn state(
        &mut self,
        statement: Statement,
        place: Place,
        if_match: Option<u64>,
    ) -> Result<Stated, Refusal> {
        if place < self.place {
            return Err(self.late(place));
        }
        if if_match.is_some_and(|seen| seen != self.version) {
            return Err(Refusal::new(
                Code::EtagMismatch,
                format!(
                    "version {} was stated meanwhile; read it and decide again",
                    self.version
                ),
            ));
        }
        self.place = place;
        let changes = match statement {
            Statement::Intent(intent) => {
                let wanted = Wanted::Present(intent);
                let changes = self.wanted != wanted;
                self.wanted = wanted;
                self.forget_unwanted();
                changes
            }
            Statement::Remove => {
                let changes = self.wanted != Wanted::Gone;
                self.wanted = Wanted::Gone;
                self.errands = Errands::default();
                self.forget_unwanted();
                changes
            }
            Statement::Retire(hash) => {
                let changes = self.errands.retire != Some(hash);
                self.errands.retire = Some(hash);
                if changes && !self.errands.shut_out {
                    self.errands.noted.clear();
                }
                changes
            }
            Statement::CloseConnections => !std::mem::replace(&mut self.errands.close, true),
            Statement::Pairs(pairs) => self.take_pairs(&pairs),
        };
        if changes {
            self.version += 1;
        }
        Ok(match changes {
            false if self.is_settled() => Stated::Unchanged,
            false if self.has_failed() => Stated::Waiting,
            _ => Stated::Changed,
        })
    }

    /// Whether what is wanted was tried, and something failed.
    fn has_failed(&self) -> bool {
        let done = self.done.as_ref();
        let done = done.filter(|done| done.version == self.version);
        done.is_some_and(|done| {
            let status = done.outcome.as_ref();
            status.map_or(true, |status| !status.failures.is_empty())
        })
    }

    /// It gets these names, in these accounts. That is written down before anything is made there, so that nothing is looked for
    /// in the wrong account and no name is given to somebody else.
    pub fn place(&mut self, settled: &Settled) {
        self.names.extend(settled.permitted());
        if settled.parts.is_empty() {
            return;
        }
        let now = settled.parts.keys().cloned().collect();
        let before = std::mem::replace(&mut self.accounts, now);
        self.former.extend(before);
        self.former.retain(|former| !self.accounts.contains(former));
    }

    /// All accounts in which something of it may be.
    pub fn everywhere(&self) -> BTreeSet<&AccountName> {
        self.accounts.iter().chain(&self.former).collect()
    }

    /// A piece of work for the statement of this version came to an end; `permitted` are the names that it was for. What
    /// was stated meanwhile is still to be done.
    pub fn finish(
        &mut self,
        version: u64,
        permitted: &BTreeSet<Hostname>,
        outcome: Result<EdgeStatus, PortError>,
        at: Timestamp,
    ) {
        if let Ok(status) = &outcome
            && status.failures.is_empty()
            && status.held_back.is_none()
            && self.takes_all_away()
        {
            self.former.clear();
            self.names.clone_from(permitted);
        }
        // Where there is no tunnel, there is nothing to replace or to close.
        let is_over = |error: &PortError| error.kind == PortErrorKind::NotFound;
        if version == self.version && outcome.as_ref().err().is_none_or(is_over) {
            self.errands = Errands::default();
        }
        if version == self.version {
            self.forget_done(&outcome);
        }
        self.passes += 1;
        self.done = Some(Done {
            version,
            outcome,
            at,
        });
    }

    /// What the cluster is to be told of a piece of work that came to this end, before that is taken. It waits for the first answer
    /// to what it stated; what comes later it would not see before it states something again. One that goes on to fail is no news:
    /// whoever hears of it tries again.
    pub fn notice(
        &self,
        version: u64,
        outcome: &Result<EdgeStatus, PortError>,
    ) -> Option<(Notice, String)> {
        let before = self.done.as_ref().filter(|done| done.version == version)?;
        let after = Done {
            version,
            outcome: outcome.clone(),
            at: before.at,
        };
        if let Ok(status) = outcome
            && !status.repaired.is_empty()
        {
            let names: Vec<&str> = status.repaired.keys().map(Hostname::as_str).collect();
            return Some((Notice::DriftRepaired(self.gateway.clone()), names.join(" ")));
        }
        let is_news = match (before.is_complete(), after.is_complete()) {
            (true, true) => before.lasting() != after.lasting(),
            (was, is) => was != is,
        };
        is_news.then(|| (Notice::OutcomeChanged(self.gateway.clone()), String::new()))
    }

    /// Whether nothing is left of what is not wanted once all is done.
    fn takes_all_away(&self) -> bool {
        match &self.wanted {
            Wanted::Gone | Wanted::Tunnel => true,
            Wanted::Present(intent) => intent.policy == Policy::Sync,
        }
    }

    /// Whether nothing is to be done.
    pub fn is_settled(&self) -> bool {
        let done = self.done.as_ref();
        self.errands == Errands::default()
            && done.is_some_and(|done| done.version == self.version && done.is_complete())
    }

    /// Whether nothing is wanted and nothing is left, so that it can be forgotten.
    pub fn is_gone(&self) -> bool {
        self.wanted == Wanted::Gone && self.is_settled()
    }

    fn late(&self, place: Place) -> Refusal {
        if place.term < self.place.term {
            let detail =
                "another controller of this cluster leads since; this one writes nothing any more";
            return Refusal::new(Code::StaleTerm, detail);
        }
        Refusal::new(
            Code::StaleStatement,
            format!(
                "statement {} came after statement {} of the same term",
                place.sequence, self.place.sequence
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::HeldBack;

    fn key() -> ObjectKey {
        ObjectKey::new("default", "one")
    }

    fn at(sequence: u64) -> Place {
        Place { term: 1, sequence }
    }

    fn intent(hostnames: &[&str]) -> Statement {
        let mut intent = EdgeIntent::new(key());
        intent.hostnames = hostnames
            .iter()
            .map(|name| Hostname::parse(name).unwrap())
            .collect();
        Statement::Intent(Box::new(intent))
    }

    fn settled() -> Held {
        let mut held = Held::new(key());
        held.state(intent(&["a.example.com"]), at(1), None).unwrap();
        held.finish(1, &BTreeSet::new(), Ok(EdgeStatus::default()), Timestamp(0));
        held
    }

    #[test]
    fn a_statement_that_is_true_is_no_work_and_every_other_one_is() {
        let hash = TokenHash::parse(&"0".repeat(64)).unwrap();
        for (statement, stated, version) in [
            (intent(&["a.example.com"]), Stated::Unchanged, 1),
            (intent(&["b.example.com"]), Stated::Changed, 2),
            (Statement::Remove, Stated::Changed, 2),
            (Statement::Retire(hash), Stated::Changed, 2),
            (Statement::CloseConnections, Stated::Changed, 2),
        ] {
            let mut held = settled();
            assert_eq!(held.state(statement.clone(), at(2), None), Ok(stated));
            assert_eq!(held.version, version, "{statement:?}");
            assert_eq!(held.is_settled(), stated == Stated::Unchanged);
            held.finish(
                version,
                &BTreeSet::new(),
                Ok(EdgeStatus::default()),
                Timestamp(1),
            );
            assert!(held.is_settled(), "{statement:?}");
        }
    }

    #[test]
    fn what_failed_or_was_stated_meanwhile_is_still_to_be_done() {
        let unavailable = || PortError::unavailable("no answer");
        let partly = EdgeStatus {
            failures: vec![PortError::new(PortErrorKind::Invalid, "quota")],
            ..EdgeStatus::default()
        };
        let name = Hostname::parse("b.example.com").unwrap();
        let in_the_way = EdgeStatus {
            hostnames: [(name, HostnameOutcome::NoZone)].into(),
            ..EdgeStatus::default()
        };
        for (version, outcome, stated) in [
            (2, Err(unavailable()), Stated::Waiting),
            (2, Ok(partly), Stated::Waiting),
            (2, Ok(in_the_way), Stated::Changed),
            (1, Ok(EdgeStatus::default()), Stated::Changed),
        ] {
            let mut held = settled();
            held.state(intent(&["b.example.com"]), at(2), None).unwrap();
            held.finish(version, &BTreeSet::new(), outcome.clone(), Timestamp(1));
            assert!(!held.is_settled(), "{version} {outcome:?}");
            let again = held.state(intent(&["b.example.com"]), at(3), None);
            assert_eq!((again, held.version), (Ok(stated), 2));
        }
    }

    #[test]
    fn a_statement_from_before_changes_nothing() {
        for (place, if_match, code) in [
            (at(0), None, Code::StaleStatement),
            (
                Place {
                    term: 0,
                    sequence: 9,
                },
                None,
                Code::StaleTerm,
            ),
            (at(2), Some(0), Code::EtagMismatch),
            (at(2), Some(2), Code::EtagMismatch),
        ] {
            let mut held = settled();
            let refused = held.state(Statement::Remove, place, if_match);
            assert_eq!(refused.map_err(|it| it.code), Err(code), "{place:?}");
            assert_eq!(held, settled());
        }
        for (place, if_match) in [
            (at(1), Some(1)),
            (
                Place {
                    term: 2,
                    sequence: 0,
                },
                None,
            ),
        ] {
            let taken = settled().state(Statement::Remove, place, if_match);
            assert_eq!(taken, Ok(Stated::Changed), "{place:?}");
        }
    }

    #[test]
    fn a_cluster_is_told_what_it_does_not_wait_for_and_no_failure_after_a_failure() {
        let name = || Hostname::parse("a.example.com").unwrap();
        let with = |outcome| EdgeStatus {
            hostnames: [(name(), outcome)].into(),
            ..EdgeStatus::default()
        };
        let fine = || Ok(with(HostnameOutcome::Applied));
        let refused = || {
            let message = "not granted".to_owned();
            Ok(with(HostnameOutcome::NotPermitted { message }))
        };
        let failed = |why: &str| Err(PortError::unavailable(why));
        let blocked = |found: &str| {
            let found = found.to_owned();
            Ok(with(HostnameOutcome::Conflict { found }))
        };
        let repaired = Ok(EdgeStatus {
            repaired: [(name(), "A record".to_owned())].into(),
            ..with(HostnameOutcome::Applied)
        });
        let mut wrote = with(HostnameOutcome::Applied);
        wrote.changes.listed.push("made a record".to_owned());
        for (before, after, kind) in [
            (fine(), fine(), None),
            (fine(), Ok(wrote), None),
            (fine(), refused(), Some("outcome_changed")),
            (refused(), fine(), Some("outcome_changed")),
            (failed("1"), fine(), Some("outcome_changed")),
            (fine(), failed("1"), Some("outcome_changed")),
            (failed("1"), failed("2"), None),
            (blocked("1"), blocked("2"), None),
            (fine(), repaired, Some("drift_repaired")),
        ] {
            let mut held = settled();
            held.finish(1, &BTreeSet::new(), before.clone(), Timestamp(0));
            let told = held.notice(1, &after).map(|(notice, _)| notice);
            let found = told.as_ref().map(Notice::kind);
            assert_eq!(found, kind, "{before:?} {after:?}");
            assert_eq!(held.notice(2, &after), None, "it waits for this one");
        }
    }

    fn settled_as(accounts: &[&str], names: &[&str]) -> Settled {
        let names = names.iter().map(|name| Hostname::parse(name).unwrap());
        let names: BTreeSet<_> = names.collect();
        let part = |name: &&str| (AccountName::parse(name).unwrap(), names.clone());
        Settled {
            parts: accounts.iter().map(part).collect(),
            ..Settled::default()
        }
    }

    #[test]
    fn an_account_is_looked_at_until_nothing_is_left_there() {
        let name = |text: &str| AccountName::parse(text).unwrap();
        let mut held = settled();
        held.place(&settled_as(&["one"], &[]));
        assert!(held.former.is_empty());
        held.place(&settled_as(&["two"], &[]));
        held.place(&settled_as(&["three", "four"], &[]));
        assert_eq!(held.former, [name("one"), name("two")].into());
        held.place(&settled_as(&["one"], &[]));
        assert_eq!(held.former, ["four", "three", "two"].map(name).into());
        held.place(&Settled::default());
        assert_eq!(held.accounts, [name("one")].into(), "nobody says where");
        let none = BTreeSet::new();
        held.finish(
            1,
            &none,
            Err(PortError::unavailable("no answer")),
            Timestamp(1),
        );
        assert_eq!(held.former.len(), 3);
        held.finish(1, &none, Ok(EdgeStatus::default()), Timestamp(1));
        assert_eq!(
            (held.accounts, held.former.len()),
            ([name("one")].into(), 0)
        );
    }

    #[test]
    fn a_name_is_kept_until_its_record_is_gone_for_sure() {
        let partly = EdgeStatus {
            failures: vec![PortError::new(PortErrorKind::Invalid, "quota")],
            ..EdgeStatus::default()
        };
        let held_back = EdgeStatus {
            held_back: Some(HeldBack {
                names: BTreeSet::new(),
                of: 9,
                code: "code".to_owned(),
            }),
            ..EdgeStatus::default()
        };
        let done = EdgeStatus::default();
        for (policy, outcome, is_kept) in [
            (Policy::Sync, Ok(done.clone()), false),
            (Policy::Sync, Ok(partly), true),
            (Policy::Sync, Ok(held_back), true),
            (Policy::Sync, Err(PortError::unavailable("no answer")), true),
            (Policy::KeepRecords, Ok(done.clone()), true),
            (Policy::UpsertOnly, Ok(done), true),
        ] {
            let mut held = settled();
            held.wanted = Wanted::Present(Box::new(EdgeIntent {
                policy,
                ..EdgeIntent::new(key())
            }));
            held.place(&settled_as(&["one"], &["a.example.com"]));
            let now = settled_as(&["one"], &["b.example.com"]);
            held.place(&now);
            held.finish(1, &now.permitted(), outcome.clone(), Timestamp(1));
            assert_eq!(
                held.names.len(),
                1 + usize::from(is_kept),
                "{policy:?} {outcome:?}"
            );
        }
    }

    #[test]
    fn a_gateway_is_forgotten_once_nothing_of_it_is_left() {
        let mut held = settled();
        assert!(!held.is_gone());
        held.state(Statement::Remove, at(2), None).unwrap();
        assert!(!held.is_gone(), "it is not removed yet");
        held.finish(
            2,
            &BTreeSet::new(),
            Err(PortError::unavailable("no answer")),
            Timestamp(1),
        );
        assert!(!held.is_gone(), "it may still have something");
        held.finish(2, &BTreeSet::new(), Ok(EdgeStatus::default()), Timestamp(2));
        assert!(held.is_gone());
    }
}
