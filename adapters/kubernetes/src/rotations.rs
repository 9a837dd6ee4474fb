//! How far the rotations of tokens are, as an annotation of the Secret that holds the token.

use async_trait::async_trait;
use domain::ObjectKey;
use domain::ports::{PortError, PortErrorKind, RotationStore};
use domain::rotation::RotationState;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::failure::port_error;
use crate::workloads::{is_of, object_name};

/// The annotation: JSON.
pub const ROTATION_ANNOTATION: &str = "cloudflare-gateway-controller.io/token-rotation";

/// Who writes the annotation. The rest of the Secret is another's.
const FIELD_MANAGER: &str = "cloudflare-gateway-controller/rotation";

/// [`RotationStore`] in the Secrets of Gateways. With the Secret of a Gateway goes what is kept of it.
#[derive(Clone)]
pub struct Rotations {
    client: Client,
}

impl std::fmt::Debug for Rotations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rotations").finish_non_exhaustive()
    }
}

impl Rotations {
    /// Works through this client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    fn api(&self, gateway: &ObjectKey) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &gateway.namespace)
    }

    /// The Gateway's own Secret, if it is there.
    async fn secret(
        &self,
        gateway: &ObjectKey,
    ) -> Result<Option<PartialObjectMeta<Secret>>, PortError> {
        let name = object_name(&gateway.name);
        let found = self.api(gateway).get_metadata_opt(&name).await;
        let found = found.map_err(|error| port_error(doing(gateway), &error))?;
        Ok(found.filter(|found| is_of(&found.metadata, gateway)))
    }
}

fn doing(gateway: &ObjectKey) -> String {
    format!("the rotation of the token of Gateway {gateway}")
}

#[async_trait]
impl RotationStore for Rotations {
    async fn load(&self, gateway: &ObjectKey) -> Result<Option<RotationState>, PortError> {
        let found = self.secret(gateway).await?;
        let kept = found.and_then(|found| found.annotations().get(ROTATION_ANNOTATION).cloned());
        // What cannot be read is as good as lost.
        Ok(kept.and_then(|kept| serde_json::from_str(&kept).ok()))
    }

    async fn save(&self, gateway: &ObjectKey, state: &RotationState) -> Result<(), PortError> {
        let Some(found) = self.secret(gateway).await? else {
            let message = format!("{}: its Secret is not there yet", doing(gateway));
            return Err(PortError::new(PortErrorKind::NotFound, message));
        };
        let state = serde_json::to_string(state).expect("a state has only texts and numbers");
        let patch = json!({ "metadata": {
            // Another Secret of the name that came in between is refused.
            "uid": found.uid(),
            "annotations": { ROTATION_ANNOTATION: state },
        }});
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let (api, name) = (self.api(gateway), object_name(&gateway.name));
        let patch = Patch::Merge(&patch);
        match api.patch_metadata(&name, &params, &patch).await {
            Ok(_) => Ok(()),
            Err(error) => Err(port_error(doing(gateway), &error)),
        }
    }

    async fn forget(&self, _gateway: &ObjectKey) -> Result<(), PortError> {
        Ok(())
    }
}
