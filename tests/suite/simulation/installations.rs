//! Which clusters a history may have, and whose a record or a tunnel at Cloudflare is.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use domain::edge::objects::{RecordData, Tunnel};
use domain::edge::ownership::{self, RecordMark};
use domain::testing::{installation, instance_of};
use domain::{Installation, ObjectKey};

use super::cluster_model::{GATEWAYS, key};

/// A cluster of a history: which installation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ClusterId {
    First,
    /// A second one with a name of its own.
    Stranger,
    /// A second one that was given the name of the first.
    Namesake,
}

pub(crate) const CLUSTERS: [ClusterId; 3] =
    [ClusterId::First, ClusterId::Stranger, ClusterId::Namesake];

static INSTALLATIONS: LazyLock<[Installation; 3]> = LazyLock::new(|| {
    let namesake = instance_of("home", 3);
    [installation("home"), instance_of("away", 3), namesake]
});

/// Installations that no cluster of a history is: one of another name, and another instance of the first.
pub(crate) static ELSEWHERE: LazyLock<[Installation; 2]> =
    LazyLock::new(|| [installation("home-2"), instance_of("home", 2)]);

/// What each ownership mark of a cluster of a history stands for.
static MARKS: LazyLock<BTreeMap<String, Owner>> = LazyLock::new(|| {
    let owners = CLUSTERS.iter().flat_map(|cluster| {
        let of_cluster = |name: &&str| Owner {
            cluster: *cluster,
            gateway: key(name),
        };
        GATEWAYS.iter().map(of_cluster).collect::<Vec<_>>()
    });
    owners
        .map(|owner| (owner.mark().to_string(), owner))
        .collect()
});

/// Comments of foreign records: none, the marks of installations elsewhere, and one that only begins with a mark of
/// the first cluster.
pub(crate) static FOREIGN_COMMENTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let gateway = key(GATEWAYS[0]);
    let elsewhere = ELSEWHERE.iter();
    let elsewhere = elsewhere.map(|other| RecordMark::of(other, &gateway).to_string());
    let own = RecordMark::of(ClusterId::First.installation(), &gateway);
    let mut comments: Vec<String> = elsewhere.collect();
    comments.extend([String::new(), format!("{own}0")]);
    comments
});

impl ClusterId {
    pub(crate) fn installation(self) -> &'static Installation {
        let place = CLUSTERS.iter().position(|cluster| *cluster == self);
        &INSTALLATIONS[place.unwrap()]
    }

    /// Whether two clusters were given one name.
    pub(crate) fn is_namesake_of(self, other: Self) -> bool {
        self != other && self.installation().name == other.installation().name
    }
}

/// The Gateway of a cluster that a record or a tunnel is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner {
    pub(crate) cluster: ClusterId,
    pub(crate) gateway: ObjectKey,
}

impl Owner {
    pub(crate) fn mark(&self) -> RecordMark {
        RecordMark::of(self.cluster.installation(), &self.gateway)
    }

    /// Whose a record is, as its mark says; `None` for a foreign one.
    pub(crate) fn of_record(record: &RecordData) -> Option<&'static Self> {
        MARKS
            .get(&record.comment)
            .filter(|_| record.kind == "CNAME")
    }

    /// Whose a tunnel is, as its name says; `None` for a foreign one.
    pub(crate) fn of_tunnel(name: &str) -> Option<Self> {
        CLUSTERS.iter().find_map(|cluster| {
            let gateway = ownership::gateway_of_tunnel(cluster.installation(), name)?;
            Some(Self {
                cluster: *cluster,
                gateway,
            })
        })
    }
}

/// The tunnel that a record leads to, if it is there.
pub(crate) fn led_to<'t>(record: &RecordData, tunnels: &'t [Tunnel]) -> Option<&'t Tunnel> {
    let mut tunnels = tunnels.iter();
    tunnels.find(|tunnel| tunnel.id.address() == record.content)
}
