//! How the proxies of a Gateway are to run.

use std::collections::BTreeSet;

use crate::gateway::{
    Autoscaling, FieldError, GatewayParameters, Infrastructure, Replica, Resources,
    TunnelParameters,
};
use crate::secret::TokenHash;

/// Replicas of a Gateway whose parameters name none: one may go while the other serves.
pub const DEFAULT_REPLICAS: u32 = 2;

/// What the pods of a Gateway's proxies look like, as far as users decide it. The same value asks for the
/// same pods.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkloadSpec {
    /// The Gateway's class; empty where it is not known.
    pub class: String,
    /// How many, and where.
    pub replicas: Replicas,
    /// CPU and memory of each.
    pub resources: Resources,
    /// Seconds for which a new replica must have been ready before the next old one is replaced.
    pub min_ready_seconds: u32,
    /// Labels and annotations of every object that is made for the Gateway. They never replace those by which
    /// the objects are found.
    pub infrastructure: Infrastructure,
    /// How they scale, where their pods may be, and how they behave.
    pub tunnel: Box<TunnelParameters>,
    /// Ports of hosts outside of the cluster that they send requests to.
    pub outside_ports: BTreeSet<u16>,
}

/// How many replicas, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replicas {
    /// So many alike, spread over nodes and zones by the cluster.
    Alike(u32),
    /// One for each name, with its own place.
    Named(Vec<Replica>),
}

impl Default for Replicas {
    fn default() -> Self {
        Self::Alike(DEFAULT_REPLICAS)
    }
}

impl Replicas {
    /// How many there should be.
    pub fn count(&self) -> usize {
        match self {
            Self::Alike(count) => *count as usize,
            Self::Named(replicas) => replicas.len(),
        }
    }
}

impl WorkloadSpec {
    /// Fields of `spec.tunnel` that say something, each of which needs pods to have an effect.
    pub fn fields_of_pods(&self) -> Vec<&'static str> {
        let TunnelParameters {
            autoscaling,
            pods,
            settings,
            ..
        } = &*self.tunnel;
        let scales = |it: &Autoscaling| it.vertical.is_some() || it.horizontal.is_some();
        [
            ("replicas", matches!(self.replicas, Replicas::Named(_))),
            ("resources", self.resources != Resources::default()),
            ("minReadySeconds", self.min_ready_seconds > 0),
            ("autoscaling", autoscaling.as_ref().is_some_and(scales)),
            ("patches", self.has_patches()),
            ("tolerations", pods.tolerations.is_some()),
            ("topologySpreadConstraints", pods.topology_spread.is_some()),
            ("priorityClassName", pods.priority_class.is_some()),
            ("imagePullSecrets", pods.image_pull_secrets.is_some()),
            ("podLabels", pods.labels.is_some()),
            ("podAnnotations", pods.annotations.is_some()),
            ("logLevel", settings.log_level.is_some()),
            ("protocol", settings.protocol.is_some()),
            ("gracePeriod", settings.grace_period.is_some()),
            ("limits", settings.has_limits()),
        ]
        .into_iter()
        .filter_map(|(field, is_said)| is_said.then_some(field))
        .collect()
    }

    /// Whether users change the Deployments by operations of their own.
    pub fn has_patches(&self) -> bool {
        let patches = self.tunnel.patches.as_ref();
        patches.is_some_and(|patches| !patches.is_empty())
    }

    /// Whether something is asked for of which only the cluster can tell if it has its effect.
    pub fn needs_the_cluster(&self) -> bool {
        let scales = |it: &Autoscaling| it.vertical.is_some() || it.horizontal.is_some();
        self.tunnel.autoscaling.as_ref().is_some_and(scales) || self.has_patches()
    }

    /// What a Gateway asks for: what its own parameters say, else those of its class, else the defaults.
    pub fn of(
        infrastructure: Infrastructure,
        own: Option<&GatewayParameters>,
        of_class: Option<&GatewayParameters>,
    ) -> Self {
        let layers = || own.into_iter().chain(of_class);
        let named = layers().find_map(|p| p.replicas.clone());
        let resources = layers().find_map(|p| p.resources.clone());
        Self {
            class: String::new(),
            replicas: named.map_or_else(Replicas::default, Replicas::Named),
            resources: resources.unwrap_or_default(),
            min_ready_seconds: layers()
                .find_map(|p| p.min_ready_seconds)
                .unwrap_or_default(),
            infrastructure,
            tunnel: layers()
                .map(|parameters| parameters.tunnel.clone())
                .reduce(|own, of_class| Box::new(own.or(*of_class)))
                .unwrap_or_default(),
            outside_ports: BTreeSet::new(),
        }
    }
}

/// An object in the cluster that was made for a Gateway, in its namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ManagedObject {
    /// E.g. `apps/v1`.
    pub api_version: String,
    pub kind: String,
    pub name: String,
}

/// Connections of one replica to the edge.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct EdgeConnections {
    /// The tokens that they were opened with: one, and a second while the replica takes another.
    pub tokens: BTreeSet<TokenHash>,
    /// How many go over HTTP/2.
    pub http2: u32,
    /// How many go over QUIC.
    pub quic: u32,
}

/// A replica that is connected to the edge.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectedReplica {
    /// The replica's name: that of its pod.
    pub name: String,
    /// How many of its connections go over HTTP/2.
    pub http2: u32,
    /// How many of its connections go over QUIC.
    pub quic: u32,
}

impl ConnectedReplica {
    /// `None` where there is no connection.
    pub fn of(name: &str, connections: &EdgeConnections) -> Option<Self> {
        let EdgeConnections { http2, quic, .. } = *connections;
        (http2 > 0 || quic > 0).then(|| Self {
            name: name.to_owned(),
            http2,
            quic,
        })
    }
}

/// How the proxy of a Gateway is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkloadStatus {
    /// Replicas with the full route table and at least one connection to the edge.
    pub ready: u32,
    /// Why others are not ready, for the user; empty when all are.
    pub problems: Vec<String>,
    /// Why the cluster has given up waiting for replicas; empty while it has not.
    pub overdue: Vec<String>,
    /// Replicas that are connected, by name.
    pub connectors: Vec<ConnectedReplica>,
    /// What was made in the cluster. `None` as long as [`Workloads::ensure`](crate::ports::Workloads::ensure) was not
    /// called for the Gateway.
    pub objects: Option<Vec<ManagedObject>>,
    /// Told by [`Workloads::ensure`](crate::ports::Workloads::ensure): something is left to do that has to wait for replicas, so the call is
    /// to be repeated.
    pub unfinished: bool,
    /// Told by [`Workloads::ensure`](crate::ports::Workloads::ensure): every replica that has a connection to the edge holds it with the token
    /// of the call, and with no other.
    pub holds_token: bool,
    /// What of the parameters could not be carried out, or weakens the proxy, by its field. `None` as long as
    /// [`Workloads::ensure`](crate::ports::Workloads::ensure) was not called for the Gateway.
    pub parameters: Option<Vec<FieldError>>,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::gateway::{
        HorizontalAutoscaling, Json, PatchOperation, PodParameters, ProxySettings,
        VerticalAutoscaling,
    };

    fn tunnel(change: impl FnOnce(&mut TunnelParameters)) -> WorkloadSpec {
        let mut spec = WorkloadSpec::default();
        change(&mut spec.tunnel);
        spec
    }

    fn pods(pods: PodParameters) -> WorkloadSpec {
        tunnel(|tunnel| tunnel.pods = pods)
    }

    fn settings(settings: ProxySettings) -> WorkloadSpec {
        tunnel(|tunnel| tunnel.settings = settings)
    }

    fn scaling(autoscaling: Autoscaling) -> WorkloadSpec {
        tunnel(|tunnel| tunnel.autoscaling = Some(autoscaling))
    }

    fn patched(operations: &[&str]) -> WorkloadSpec {
        let operation = |path: &&str| PatchOperation {
            op: "remove".to_owned(),
            path: (*path).to_owned(),
            json: Json::new("{}"),
        };
        tunnel(|tunnel| tunnel.patches = Some(operations.iter().map(operation).collect()))
    }

    #[test]
    fn the_fields_of_pods_are_those_that_say_something() {
        let defaults = WorkloadSpec::default;
        let vertical = Some(VerticalAutoscaling::default());
        let horizontal = Some(HorizontalAutoscaling {
            min_replicas: 1,
            max_replicas: 2,
            target_in_flight: 100,
        });
        let json = || Some(Json::new("[]"));
        let second = Some(Duration::from_secs(1));
        let table: Vec<(WorkloadSpec, &[&str], bool)> = vec![
            (defaults(), &[], false),
            (
                WorkloadSpec {
                    replicas: Replicas::Named(Vec::new()),
                    ..defaults()
                },
                &["replicas"],
                false,
            ),
            (
                WorkloadSpec {
                    replicas: Replicas::Alike(7),
                    min_ready_seconds: 1,
                    ..defaults()
                },
                &["minReadySeconds"],
                false,
            ),
            (
                WorkloadSpec {
                    resources: Resources {
                        limits: [].into(),
                        ..Resources::default()
                    },
                    ..defaults()
                },
                &["resources"],
                false,
            ),
            (scaling(Autoscaling::default()), &[], false),
            (
                scaling(Autoscaling {
                    vertical,
                    horizontal: None,
                }),
                &["autoscaling"],
                true,
            ),
            (
                scaling(Autoscaling {
                    vertical: None,
                    horizontal,
                }),
                &["autoscaling"],
                true,
            ),
            (patched(&[]), &[], false),
            (patched(&["/spec/paused"]), &["patches"], true),
            (
                pods(PodParameters {
                    tolerations: json(),
                    topology_spread: json(),
                    priority_class: Some(String::new()),
                    image_pull_secrets: Some(Vec::new()),
                    labels: Some([].into()),
                    annotations: Some([].into()),
                }),
                &[
                    "tolerations",
                    "topologySpreadConstraints",
                    "priorityClassName",
                    "imagePullSecrets",
                    "podLabels",
                    "podAnnotations",
                ],
                false,
            ),
            (
                settings(ProxySettings {
                    log_level: Some("debug".to_owned()),
                    protocol: Some("quic".to_owned()),
                    grace_period: second,
                    ..ProxySettings::default()
                }),
                &["logLevel", "protocol", "gracePeriod"],
                false,
            ),
            (
                settings(ProxySettings {
                    max_in_flight: Some(1),
                    ..ProxySettings::default()
                }),
                &["limits"],
                false,
            ),
            (
                settings(ProxySettings {
                    upgrade_idle_timeout: second,
                    ..ProxySettings::default()
                }),
                &["limits"],
                false,
            ),
        ];
        for (spec, fields, needs_the_cluster) in table {
            assert_eq!(spec.fields_of_pods(), fields);
            assert_eq!(spec.needs_the_cluster(), needs_the_cluster, "{fields:?}");
        }
    }

    #[test]
    fn replicas_are_as_many_as_is_said_or_have_names() {
        assert_eq!(Replicas::Alike(3).count(), 3);
        assert_eq!(Replicas::Named(vec![Replica::default()]).count(), 1);
    }
}
