//! How autoscalers come and go. A cluster may lack their kinds; everything else goes on without them.

use std::collections::BTreeSet;

use domain::ObjectKey;
use domain::gateway::{FieldError, FieldErrorKind};
use domain::ports::PortErrorKind;
use kube::ResourceExt;
use kube::api::ListParams;

use super::apply::{apply, delete, is_of};
use super::blueprint::Owner;
use super::error::WorkloadError;
use super::objects::{Desired, Kind};
use super::{Deployments, names};
use crate::failure::is_refused;

/// The kinds of autoscalers, and the fields that ask for them.
const KINDS: [(Kind, &str); 2] = [
    (Kind::VerticalPodAutoscaler, "spec.tunnel.autoscaling"),
    (
        Kind::HorizontalPodAutoscaler,
        "spec.tunnel.autoscaling.horizontal",
    ),
];

impl Deployments {
    /// Applies these autoscalers and removes all others of the Gateway. What the cluster does not let be is told.
    pub(super) async fn autoscale(
        &self,
        owner: &Owner,
        wanted: Vec<Desired>,
    ) -> Result<Vec<FieldError>, WorkloadError> {
        let namespace = &owner.gateway.namespace;
        let mut told: Vec<FieldError> = Vec::new();
        let mut kept = BTreeSet::new();
        for desired in wanted {
            let kind = desired.kind;
            kept.insert((kind, desired.name.clone()));
            let (_, field) = KINDS[usize::from(kind == Kind::HorizontalPodAutoscaler)];
            if told.iter().any(|told| told.field == field) {
                // The same would be said of it.
                continue;
            }
            match apply(&self.api(kind, namespace), owner, desired).await {
                Err(error) if error.is_refusal() => told.push(refused(kind, field, &error)),
                applied => applied?,
            }
        }
        self.remove_autoscalers(&owner.gateway, &kept).await?;
        Ok(told)
    }

    /// Removes the autoscalers of a Gateway but for those that are kept.
    pub(super) async fn remove_autoscalers(
        &self,
        gateway: &ObjectKey,
        kept: &BTreeSet<(Kind, String)>,
    ) -> Result<(), WorkloadError> {
        for (kind, name) in self.autoscalers_of(gateway).await? {
            let api = self.api(kind, &gateway.namespace);
            if !kept.contains(&(kind, name.clone())) {
                delete(&api, gateway, kind, &name).await?;
            }
        }
        Ok(())
    }

    /// Those that were made for a Gateway.
    pub(super) async fn autoscalers_of(
        &self,
        gateway: &ObjectKey,
    ) -> Result<Vec<(Kind, String)>, WorkloadError> {
        let selected = ListParams::default().labels(&names::selector_of(&gateway.name));
        let mut all = Vec::new();
        for (kind, _) in KINDS {
            let api = self.api(kind, &gateway.namespace);
            let found = match api.list_metadata(&selected).await {
                // Where the kind is not there, or never could be written, there is none.
                Err(error) if is_refused(&error) => continue,
                found => found.map_err(|error| {
                    WorkloadError::api("listing", &format!("autoscalers of {gateway}"), &error)
                })?,
            };
            let found = found.items.iter();
            let ours = found.filter(|object| is_of(&object.metadata, gateway));
            all.extend(ours.map(|object| (kind, object.name_any())));
        }
        Ok(all)
    }
}

fn refused(kind: Kind, field: &str, error: &WorkloadError) -> FieldError {
    let kind = kind.resource().kind;
    let is_unknown = matches!(
        error,
        WorkloadError::Api(error) if error.kind == PortErrorKind::NotFound
    );
    let message = match is_unknown {
        true => format!(
            "the cluster does not serve {kind}, so nothing is scaled; install it, or remove the field"
        ),
        false => format!("{kind} is refused, so nothing is scaled: {error}"),
    };
    FieldError {
        field: field.to_owned(),
        kind: FieldErrorKind::Unsupported,
        message,
    }
}
