//! `spec.tunnel` of CloudflareGatewayParameters, beyond replicas and resources: how the proxies of a Gateway scale,
//! where their pods may be, and how they behave.

use std::collections::BTreeMap;
use std::time::Duration;

/// Connectors that Cloudflare takes for one tunnel, each replica being one
/// (developers.cloudflare.com/cloudflare-one/account-limits).
pub const MOST_CONNECTORS: u32 = 25;

/// JSON that is handed through to Kubernetes. Its shape was checked where it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json(String);

impl Json {
    /// Keeps a JSON text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is absent is taken from the parameters of the GatewayClass, and else from the defaults.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TunnelParameters {
    pub autoscaling: Option<Autoscaling>,
    /// RFC 6902 operations on each Deployment, in their order.
    pub patches: Option<Vec<PatchOperation>>,
    pub pods: PodParameters,
    pub settings: ProxySettings,
}

impl TunnelParameters {
    /// These, and what they do not say from others.
    pub fn or(self, others: Self) -> Self {
        Self {
            autoscaling: self.autoscaling.or(others.autoscaling),
            patches: self.patches.or(others.patches),
            pods: self.pods.or(others.pods),
            settings: self.settings.or(others.settings),
        }
    }
}

/// `spec.tunnel.autoscaling`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Autoscaling {
    /// A VerticalPodAutoscaler for each Deployment; `enabled` is true.
    pub vertical: Option<VerticalAutoscaling>,
    /// A HorizontalPodAutoscaler for the one Deployment of replicas without names.
    pub horizontal: Option<HorizontalAutoscaling>,
}

/// The policy of a VerticalPodAutoscaler for the proxy's container. What is absent is left to its own defaults.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerticalAutoscaling {
    /// Kubernetes quantities by the name of the resource.
    pub min_allowed: Option<BTreeMap<String, String>>,
    /// Alike.
    pub max_allowed: Option<BTreeMap<String, String>>,
    /// `cpu`, `memory`.
    pub controlled_resources: Option<Vec<String>>,
    /// `RequestsAndLimits` or `RequestsOnly`.
    pub controlled_values: Option<String>,
}

/// How many replicas there are, by the requests that each has in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HorizontalAutoscaling {
    pub min_replicas: u32,
    /// At least `min_replicas`, at most [`MOST_CONNECTORS`].
    pub max_replicas: u32,
    /// Requests in flight that each replica should have on average.
    pub target_in_flight: u32,
}

/// An operation of RFC 6902 as it was written, with its fields that a message repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchOperation {
    /// `add`, `remove`, `replace`, `move`, `copy` or `test`.
    pub op: String,
    /// JSON pointer.
    pub path: String,
    /// The whole operation.
    pub json: Json,
}

/// What decides where pods run and what others know of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodParameters {
    /// List of `core/v1 Toleration`.
    pub tolerations: Option<Json>,
    /// List of `core/v1 TopologySpreadConstraint`; replaces the default.
    pub topology_spread: Option<Json>,
    /// Name of a PriorityClass.
    pub priority_class: Option<String>,
    /// Names of Secrets of the Gateway's namespace, besides those of the controller.
    pub image_pull_secrets: Option<Vec<String>>,
    pub labels: Option<BTreeMap<String, String>>,
    pub annotations: Option<BTreeMap<String, String>>,
}

impl PodParameters {
    fn or(self, others: Self) -> Self {
        Self {
            tolerations: self.tolerations.or(others.tolerations),
            topology_spread: self.topology_spread.or(others.topology_spread),
            priority_class: self.priority_class.or(others.priority_class),
            image_pull_secrets: self.image_pull_secrets.or(others.image_pull_secrets),
            labels: self.labels.or(others.labels),
            annotations: self.annotations.or(others.annotations),
        }
    }
}

/// What a Gateway sets for its own proxies, in place of the controller's settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProxySettings {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub log_level: Option<String>,
    /// `auto`, `http2` or `quic`.
    pub protocol: Option<String>,
    /// How long requests in flight may go on after the order to stop.
    pub grace_period: Option<Duration>,
    /// Requests at a time, in each proxy.
    pub max_in_flight: Option<u32>,
    pub connect_timeout: Option<Duration>,
    /// How long an endpoint may be silent before its answer begins.
    pub answer_timeout: Option<Duration>,
    /// How long a body may make no progress.
    pub body_idle_timeout: Option<Duration>,
    /// How long an upgraded connection may be silent.
    pub upgrade_idle_timeout: Option<Duration>,
}

impl ProxySettings {
    /// Whether anything of `spec.tunnel.limits` is set.
    pub fn has_limits(&self) -> bool {
        self.max_in_flight.is_some()
            || [
                self.connect_timeout,
                self.answer_timeout,
                self.body_idle_timeout,
                self.upgrade_idle_timeout,
            ]
            .iter()
            .any(Option::is_some)
    }

    fn or(self, others: Self) -> Self {
        Self {
            log_level: self.log_level.or(others.log_level),
            protocol: self.protocol.or(others.protocol),
            grace_period: self.grace_period.or(others.grace_period),
            max_in_flight: self.max_in_flight.or(others.max_in_flight),
            connect_timeout: self.connect_timeout.or(others.connect_timeout),
            answer_timeout: self.answer_timeout.or(others.answer_timeout),
            body_idle_timeout: self.body_idle_timeout.or(others.body_idle_timeout),
            upgrade_idle_timeout: self.upgrade_idle_timeout.or(others.upgrade_idle_timeout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_kept_as_it_was_written() {
        assert_eq!(Json::new("{ \"a\": 1 }").as_str(), "{ \"a\": 1 }");
    }
}
