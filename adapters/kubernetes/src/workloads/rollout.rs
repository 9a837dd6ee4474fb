//! Replicas take a new token one after another.

use std::collections::{BTreeMap, BTreeSet};

use domain::ObjectKey;
use domain::rotation::{Rollout, rollout};
use domain::secret::ConnectorToken;
use domain::workload::{Replicas, WorkloadSpec};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use super::error::WorkloadError;
use super::names::{self, ALIKE};
use super::{Deployments, blueprint};

impl Deployments {
    /// Which replicas take this token later than now.
    pub(super) async fn rollout(
        &self,
        gateway: &ObjectKey,
        spec: &WorkloadSpec,
        token: &ConnectorToken,
    ) -> Rollout {
        self.view.listed().await;
        let held = self
            .view
            .held_tokens(gateway, &(self.options.connections)(gateway));
        let replicas: Vec<_> = match &spec.replicas {
            Replicas::Alike(_) => vec![ALIKE.to_owned()],
            Replicas::Named(replicas) => replicas.iter().map(|r| r.name.clone()).collect(),
        };
        rollout(&replicas, &held, token.hash())
    }

    /// The tokens of these replicas as they stand in the Gateway's Secret.
    pub(super) async fn kept_tokens(
        &self,
        gateway: &ObjectKey,
        replicas: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, ByteString>, WorkloadError> {
        if replicas.is_empty() {
            return Ok(BTreeMap::new());
        }
        let name = names::object_name(&gateway.name);
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &gateway.namespace);
        let found = api.get_opt(&name).await.map_err(|error| {
            WorkloadError::api(
                "reading",
                &format!("Secret {}/{name}", gateway.namespace),
                &error,
            )
        })?;
        let mut data = found.and_then(|found| found.data).unwrap_or_default();
        let kept = replicas.iter();
        let kept =
            kept.filter_map(|name| Some((name.clone(), data.remove(&blueprint::token_key(name))?)));
        Ok(kept.collect())
    }
}
