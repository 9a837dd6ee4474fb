//! The finalizer that keeps a Gateway until nothing of it is left at the edge.

use std::collections::BTreeSet;

use adapter_gateway_api::Kind;
use async_trait::async_trait;
use domain::ObjectKey;
use domain::ports::{Finalizer, PortError, PortErrorKind};
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::failure::{is_absent, is_conflict, port_error};
use crate::kind::{Area, areas, resource};

/// The finalizer on Gateways.
pub const FINALIZER: &str = "cloudflare-gateway-controller.io/finalizer";

/// Attempts while others write the same object.
const ATTEMPTS: usize = 5;

/// Gateways in one page of a list.
const PAGE: u32 = 500;

/// Holds Gateways by [`FINALIZER`]. Other finalizers are left as they are.
#[derive(Clone)]
pub struct Finalizers {
    client: Client,
    gateways: ApiResource,
    areas: Vec<Area>,
}

impl std::fmt::Debug for Finalizers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Finalizers").finish_non_exhaustive()
    }
}

type Gateway = PartialObjectMeta<DynamicObject>;

impl Finalizers {
    /// Works through this client.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            gateways: resource(Kind::Gateway),
            areas: areas(None),
        }
    }

    /// Looks for Gateways in these namespaces only; `None` for all.
    #[must_use]
    pub fn in_namespaces(self, namespaces: Option<&BTreeSet<String>>) -> Self {
        Self {
            areas: areas(namespaces),
            ..self
        }
    }

    /// Adds those of an area that carry the finalizer.
    async fn held_in(&self, area: &Area, held: &mut BTreeSet<ObjectKey>) -> Result<(), PortError> {
        let (client, gateways) = (self.client.clone(), &self.gateways);
        let api: Api<DynamicObject> = match area {
            None => Api::all_with(client, gateways),
            Some(namespace) => Api::namespaced_with(client, namespace, gateways),
        };
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = match api.list_metadata(&params).await {
                Ok(page) => page,
                // No CRD, no Gateways.
                Err(error) if is_absent(&error) => return Ok(()),
                Err(error) => return Err(port_error("listing the Gateways that are held", &error)),
            };
            let ours = page.items.iter().filter(|gateway| is_held(gateway));
            held.extend(ours.map(|gateway| {
                ObjectKey::new(gateway.namespace().unwrap_or_default(), gateway.name_any())
            }));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                None => return Ok(()),
                Some(token) => params = params.continue_token(&token),
            }
        }
    }

    /// Changes the finalizers of a Gateway until what is there is what is wanted. `next` gives `None` where
    /// nothing is to be done.
    async fn change(
        &self,
        key: &ObjectKey,
        next: impl Fn(&Gateway) -> Result<Option<Vec<String>>, PortError>,
        if_gone: Result<(), PortError>,
    ) -> Result<(), PortError> {
        let doing = format!("the finalizer of Gateway {key}");
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &key.namespace, &self.gateways);
        for _ in 0..ATTEMPTS {
            let found = api.get_metadata_opt(&key.name).await;
            let Some(gateway) = found.map_err(|error| port_error(&doing, &error))? else {
                return if_gone;
            };
            let Some(finalizers) = next(&gateway)? else {
                return Ok(());
            };
            // With the version, so that no other finalizer is lost.
            let patch = json!({ "metadata": {
                "resourceVersion": gateway.resource_version(),
                "finalizers": finalizers,
            }});
            let params = PatchParams::default();
            match api
                .patch_metadata(&key.name, &params, &Patch::Merge(&patch))
                .await
            {
                Ok(_) => return Ok(()),
                Err(error) if is_absent(&error) => return if_gone,
                Err(error) if is_conflict(&error) => {}
                Err(error) => return Err(port_error(&doing, &error)),
            }
        }
        let message = format!("{doing}: others keep writing the object");
        Err(PortError::new(PortErrorKind::Conflict, message))
    }
}

#[async_trait]
impl Finalizer for Finalizers {
    async fn add(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        let with_ours = |found: &Gateway| {
            if is_held(found) {
                return Ok(None);
            }
            if found.metadata.deletion_timestamp.is_some() {
                let message =
                    format!("Gateway {gateway} is being deleted and cannot get the finalizer");
                return Err(PortError::new(PortErrorKind::Conflict, message));
            }
            let mut finalizers = found.finalizers().to_vec();
            finalizers.push(FINALIZER.to_owned());
            Ok(Some(finalizers))
        };
        let message = format!("Gateway {gateway} is gone and cannot get the finalizer");
        let gone = PortError::new(PortErrorKind::NotFound, message);
        self.change(gateway, with_ours, Err(gone)).await
    }

    async fn remove(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        let without_ours = |found: &Gateway| {
            let others = found.finalizers().iter().filter(|name| *name != FINALIZER);
            Ok(is_held(found).then(|| others.cloned().collect()))
        };
        self.change(gateway, without_ours, Ok(())).await
    }

    async fn gateways(&self) -> Result<BTreeSet<ObjectKey>, PortError> {
        let mut held = BTreeSet::new();
        for area in &self.areas {
            self.held_in(area, &mut held).await?;
        }
        Ok(held)
    }
}

fn is_held(gateway: &Gateway) -> bool {
    gateway.finalizers().iter().any(|name| name == FINALIZER)
}
