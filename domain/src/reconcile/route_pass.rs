//! From a snapshot to route tables.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::status_pass::Conclusions;
use super::view::{Fate, View};
use super::{Problem, Reconciler};
use crate::attachment::Resolution;
use crate::names::ObjectKey;
use crate::route_table::RouteTable;

/// What a route pass did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoutePassReport {
    /// Gateways whose changed tables are served now.
    pub published: Vec<ObjectKey>,
    /// Gateways that serve no table any more.
    pub withdrawn: Vec<ObjectKey>,
    /// Whether other conclusions were drawn than by the pass before, so that the edge may have to change. A pass that
    /// runs for another reason may be the one that sees a change of the cluster.
    pub concluded_anew: bool,
    /// Why tables and the edge were left as they were: a kind of object could not be read.
    pub withheld: Option<String>,
    /// What failed; the next pass tries again.
    pub problems: Vec<Problem>,
}

impl RoutePassReport {
    /// Whether nothing is left to do.
    pub fn settled(&self) -> bool {
        self.withheld.is_none() && self.problems.is_empty()
    }
}

impl Reconciler {
    /// Publishes what changed, and leaves to the next status pass what is to be said of it. Where a kind that routes
    /// depend on could not be read, tables and the edge stay as they are: half a table would turn away requests
    /// that the whole one serves.
    pub async fn route_pass(&self) -> RoutePassReport {
        let snapshot = self.ports.cluster.snapshot().await;
        let mut resolution = (self.rules)(&snapshot, &self.controller, &self.defaults);
        self.share_published(&mut resolution);
        let view = Arc::new(View::of(&snapshot, &resolution));
        if !snapshot.gateways.is_unknown() {
            // At once, whatever else could not be read.
            let suspended = view.suspended.iter();
            let suspended = suspended.filter(|key| view.fate(key) == Fate::Suspended);
            self.state().suspended = suspended.cloned().collect();
        }
        drop(snapshot);
        let mut done = RoutePassReport {
            withheld: withheld(&resolution),
            ..RoutePassReport::default()
        };
        self.follow(&resolution);
        if done.withheld.is_none() {
            self.publish(&view, &mut done).await;
            self.withdraw_gone(&view, &mut done).await;
            let mut state = self.state();
            state.follow(&view);
            // Only now: an edge pass must not lead requests to a proxy that does not know them yet.
            let before = state.view.replace(view.clone());
            drop(state);
            done.concluded_anew = before.is_none_or(|before| *before != *view);
        }
        self.state().unwritten = Some(Arc::new(Conclusions {
            view,
            resolution,
            withheld: done.withheld.is_some(),
        }));
        done
    }

    /// Names the ConfigMaps and Secrets that the verdicts depend on.
    fn follow(&self, resolution: &Resolution) {
        let refs = resolution.referenced_objects();
        let mut state = self.state();
        if state.followed.as_ref() != Some(&refs) {
            state.followed = Some(refs.clone());
            drop(state);
            self.ports.cluster.follow(refs);
        }
    }

    /// Puts the published table in the place of an equal new one, so that memory holds it once.
    fn share_published(&self, resolution: &mut Resolution) {
        let state = self.state();
        for (key, found) in Arc::make_mut(&mut resolution.gateways) {
            if let Some(published) = state.published.get(key).filter(|p| **p == found.table) {
                found.table = published.clone();
            }
        }
    }

    async fn publish(&self, view: &View, done: &mut RoutePassReport) {
        for table in self.changed_tables(view) {
            let gateway = table.gateway.clone();
            match self.ports.data_plane.publish(table.clone()).await {
                Ok(()) => {
                    let mut state = self.state();
                    state.unpublished.remove(&gateway);
                    state.published.insert(gateway.clone(), table);
                    done.published.push(gateway);
                }
                Err(error) => {
                    self.state().unpublished.insert(gateway.clone());
                    let subject = format!("publishing the routes of Gateway {gateway}");
                    done.problems.push(Problem::new(subject, &error));
                }
            }
        }
    }

    fn changed_tables(&self, view: &View) -> Vec<Arc<RouteTable>> {
        let state = self.state();
        let served = view.gateways.iter();
        let served = served.filter(|(_, found)| !found.awaits_trust);
        served
            .filter(|(key, found)| match view.fate(key) {
                Fate::Serve => true,
                Fate::Suspended => found.is_served(),
                Fate::Keep | Fate::Remove => false,
            })
            .filter(|(key, found)| {
                state.published.get(*key) != Some(&found.table) || state.unpublished.contains(*key)
            })
            .map(|(_, found)| found.table.clone())
            .collect()
    }

    /// Withdraws tables of removed Gateways that have nothing at the edge. Those that have are served until
    /// the edge pass has moved or removed their names.
    async fn withdraw_gone(&self, view: &View, done: &mut RoutePassReport) {
        let served: BTreeSet<_> = {
            let state = self.state();
            // One that the data plane did not take may be served all the same: only its answer was lost.
            let served = state.published.keys().chain(&state.unpublished);
            served.cloned().collect()
        };
        for gateway in served {
            {
                let mut state = self.state();
                let stays = state.was_begun(&gateway) || state.orphans.contains(&gateway);
                if view.fate(&gateway) != Fate::Remove || stays {
                    continue;
                }
                state.retract(&gateway);
            }
            match self.ports.data_plane.withdraw(&gateway).await {
                Ok(()) => {
                    self.state().unpublished.remove(&gateway);
                    done.withdrawn.push(gateway);
                }
                Err(error) => {
                    let subject = format!("withdrawing the routes of Gateway {gateway}");
                    done.problems.push(Problem::new(subject, &error));
                }
            }
        }
    }
}

/// Why tables stay as they are: what the resolution misses, in a sentence.
fn withheld(resolution: &Resolution) -> Option<String> {
    let unread = resolution.unread.iter();
    let reasons: Vec<_> = unread
        .map(|(kind, why)| format!("{} could not be read: {why}", kind.plural()))
        .collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}
