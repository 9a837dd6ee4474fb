//! For how long clusters have not been heard of, and which of them have expired.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::cluster::{Cluster, Standing};
use super::names::ClusterName;
use crate::names::Timestamp;

/// Of fewer clusters than this, all may expire at once.
pub const MANY: usize = 4;

/// For how long silence means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    pub stale: Duration,
    pub expired: Duration,
}

impl Default for Patience {
    /// Fifteen minutes and seven days. A quiet cluster opens a session every ten minutes.
    fn default() -> Self {
        Self {
            stale: Duration::from_secs(15 * 60),
            expired: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// Whether a cluster is heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Contact {
    Live,
    /// It is shown and told, nothing else.
    Stale,
    /// [`WhenExpired`](super::cluster::WhenExpired) says what follows.
    Expired,
}

impl Contact {
    /// Each once.
    pub const ALL: [Self; 3] = [Self::Live, Self::Stale, Self::Expired];

    /// As people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Stale => "stale",
            Self::Expired => "expired",
        }
    }

    /// Reads what [`Contact::as_str`] gives.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|contact| contact.as_str() == text)
    }

    /// Of a cluster that was last heard of at that time. One whose connectors hold connections is there, whatever its
    /// controller does, and does not expire. `None` for connectors that could not be looked for: they may be there.
    pub fn of(
        last: Timestamp,
        now: Timestamp,
        patience: Patience,
        is_connected: Option<bool>,
    ) -> Self {
        let silent = silence(last, now);
        if silent < patience.stale {
            Self::Live
        } else if silent < patience.expired || is_connected != Some(false) {
            Self::Stale
        } else {
            Self::Expired
        }
    }
}

fn silence(last: Timestamp, now: Timestamp) -> Duration {
    let seconds = now.0.saturating_sub(last.0);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// One look of a broker at its clusters. Those that are served and were heard of once are looked at: whoever turned
/// another one away decided what becomes of it.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub now: Timestamp,
    /// Since when this broker runs.
    pub began: Timestamp,
    pub patience: Patience,
}

/// What came of a look.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Looked {
    /// Clusters whose contact is another one than was found before.
    pub news: BTreeMap<ClusterName, Contact>,
    /// Those that would have expired, if they were not so many at once.
    pub held_back: BTreeSet<ClusterName>,
}

impl Look {
    /// Clusters that have expired unless one of their connectors is connected, which is to be looked for.
    pub fn silent<'c>(&self, clusters: &'c [Cluster]) -> Vec<&'c Cluster> {
        let seen = clusters.iter().filter_map(looked_at);
        let silent = seen.filter(|(cluster, last)| {
            let found = Contact::of(*last, self.now, self.patience, Some(false));
            self.has_heard_long_enough()
                && found == Contact::Expired
                && cluster.contact != Contact::Expired
        });
        silent.map(|(cluster, _)| cluster).collect()
    }

    /// What is news. `connected` says of silent clusters whether a connector is connected, as far as that is known.
    ///
    /// Where more than half of at least [`MANY`] clusters would expire at once, the broker itself was cut off more
    /// likely than they: none does.
    pub fn judge(&self, clusters: &[Cluster], connected: &BTreeMap<ClusterName, bool>) -> Looked {
        let mut looked = Looked::default();
        let (mut present, mut expiring) = (0, BTreeSet::new());
        for (cluster, last) in clusters.iter().filter_map(looked_at) {
            let has_expired = cluster.contact == Contact::Expired;
            let is_connected = match has_expired {
                true => Some(false),
                false => connected.get(&cluster.name).copied(),
            };
            let contact = Contact::of(last, self.now, self.patience, is_connected);
            present += usize::from(!has_expired);
            if contact == Contact::Expired && !has_expired {
                expiring.insert(cluster.name.clone());
            }
            if contact != cluster.contact {
                looked.news.insert(cluster.name.clone(), contact);
            }
        }
        if present >= MANY && expiring.len() * 2 > present {
            looked.news.retain(|name, _| !expiring.contains(name));
            looked.held_back = expiring;
        }
        looked
    }

    /// A broker that was away has heard of nobody, whoever was there.
    fn has_heard_long_enough(&self) -> bool {
        silence(self.began, self.now) >= self.patience.stale
    }
}

fn looked_at(cluster: &Cluster) -> Option<(&Cluster, Timestamp)> {
    let is_served = matches!(cluster.standing, Standing::Admitted(_));
    cluster
        .last_contact
        .filter(|_| is_served)
        .map(|last| (cluster, last))
}

#[cfg(test)]
mod tests {
    use super::super::cluster::{Identity, Thumbprint, WhenExpired};
    use super::super::names::TenantName;
    use super::*;
    use crate::names::InstanceId;

    const PATIENCE: Patience = Patience {
        stale: Duration::from_secs(10),
        expired: Duration::from_secs(100),
    };

    const NOW: Timestamp = Timestamp(1000);

    /// A look of a broker that runs for so many seconds.
    fn look(runs_for: i64) -> Look {
        Look {
            now: NOW,
            began: Timestamp(NOW.0 - runs_for),
            patience: PATIENCE,
        }
    }

    /// One that was last heard of so many seconds ago.
    fn cluster(name: &str, silent: i64) -> Cluster {
        let (name, tenant) = (ClusterName::parse(name), TenantName::parse("acme"));
        let mut cluster = Cluster::invited(name.unwrap(), tenant.unwrap(), WhenExpired::Keep);
        let key = Thumbprint::parse(&"a".repeat(43)).unwrap();
        let identity = Identity {
            key: key.clone(),
            instance: InstanceId::from_bytes([1; 16]),
        };
        cluster.ask(identity, None).unwrap();
        cluster.accept(&key, None).unwrap();
        cluster.hear(Timestamp(NOW.0 - silent));
        cluster
    }

    fn with_contact(contact: Contact, silent: i64) -> Cluster {
        let mut cluster = cluster("east", silent);
        cluster.contact = contact;
        cluster
    }

    fn turned_away(mut cluster: Cluster) -> Cluster {
        cluster.revoke().unwrap();
        cluster
    }

    #[test]
    fn silence_means_something_after_a_time_and_nothing_while_connectors_are_there() {
        for (silent, is_connected, contact) in [
            (0, Some(false), Contact::Live),
            (9, Some(false), Contact::Live),
            (-5, Some(false), Contact::Live),
            (10, Some(false), Contact::Stale),
            (99, Some(false), Contact::Stale),
            (100, Some(false), Contact::Expired),
            (100, Some(true), Contact::Stale),
            (100, None, Contact::Stale),
        ] {
            let last = Timestamp(NOW.0 - silent);
            let found = Contact::of(last, NOW, PATIENCE, is_connected);
            assert_eq!(found, contact, "{silent} {is_connected:?}");
            assert_eq!(Contact::parse(contact.as_str()), Some(contact));
        }
    }

    #[test]
    fn connectors_are_looked_for_of_served_clusters_that_are_silent_for_long() {
        let mut never_heard = cluster("east", 100);
        never_heard.last_contact = None;
        for (cluster, runs_for, is_silent) in [
            (cluster("east", 100), 10, true),
            (cluster("east", 100), 9, false),
            (cluster("east", 99), 1000, false),
            (with_contact(Contact::Stale, 100), 10, true),
            (with_contact(Contact::Expired, 100), 10, false),
            (turned_away(cluster("east", 100)), 10, false),
            (never_heard, 10, false),
        ] {
            let clusters = [cluster];
            let found = look(runs_for).silent(&clusters);
            assert_eq!(!found.is_empty(), is_silent, "{runs_for} {clusters:?}");
        }
    }

    #[test]
    fn what_was_found_before_is_no_news() {
        use Contact::{Expired, Live, Stale};
        for (before, silent, is_connected, news) in [
            (Live, 9, None, None),
            (Live, 10, None, Some(Stale)),
            (Stale, 10, None, None),
            (Stale, 100, None, None),
            (Stale, 100, Some(true), None),
            (Stale, 100, Some(false), Some(Expired)),
            (Live, 100, Some(false), Some(Expired)),
            // Its connectors are looked for no more: it is heard of when it comes back.
            (Expired, 100, None, None),
            // The settings were changed.
            (Expired, 99, None, Some(Stale)),
            (Stale, 9, None, Some(Live)),
        ] {
            let cluster = with_contact(before, silent);
            let known = is_connected.map(|is| (cluster.name.clone(), is));
            let known = known.into_iter().collect();
            let looked = look(1000).judge(&[cluster], &known);
            let found = looked.news.into_values().next();
            assert_eq!(found, news, "{before:?} {silent} {is_connected:?}");
        }
        let away = [turned_away(cluster("east", 100))];
        let looked = look(1000).judge(&away, &BTreeMap::new());
        assert_eq!(looked, Looked::default());
    }

    #[test]
    fn many_clusters_that_would_expire_at_once_do_not() {
        for (silent, expired_before, present, is_held) in [
            (1, 0, 0, false),
            (3, 0, 0, false),
            (2, 0, 2, false),
            (3, 0, 1, true),
            (4, 0, 0, true),
            (3, 0, 3, false),
            (4, 0, 3, true),
            // Those that expired before say nothing of today.
            (4, 9, 0, true),
            (3, 9, 0, false),
        ] {
            let of = |count: usize, sort: &'static str, silent| {
                (0..count).map(move |number| cluster(&format!("{sort}-{number}"), silent))
            };
            let mut clusters: Vec<Cluster> = of(silent, "silent", 100).collect();
            let connected = clusters.iter().map(|it| (it.name.clone(), false)).collect();
            clusters.extend(of(expired_before, "expired", 100).map(|mut cluster| {
                cluster.contact = Contact::Expired;
                cluster
            }));
            clusters.extend(of(present, "present", 0));
            let looked = look(1000).judge(&clusters, &connected);
            let row = format!("{silent} {expired_before} {present}");
            assert_eq!(!looked.held_back.is_empty(), is_held, "{row}");
            let expired = looked.news.len() + looked.held_back.len();
            assert_eq!(expired, silent, "{row}");
            assert!(looked.news.is_empty() || looked.held_back.is_empty());
        }
    }
}
