//! The Deployment that the controller runs in, as the owner of what goes with it.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::Api;
use kube::{Client, Resource};

use crate::failure::{is_answered, told};

/// What goes with this Deployment names it so: Kubernetes deletes such an object once the Deployment is gone. `None`
/// where there is no such Deployment, or it may not be read: then nothing goes with it.
///
/// # Errors
/// The API server does not answer.
pub async fn deployment_as_owner(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Option<OwnerReference>, String> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let found = match api.get_metadata_opt(name).await {
        Ok(found) => found,
        Err(error) if is_answered(&error) => {
            let why = told(&error);
            tracing::warn!(
                namespace,
                name,
                why,
                "Lease and authority stay when the Deployment goes, because it cannot be read"
            );
            None
        }
        Err(error) => return Err(told(&error)),
    };
    let uid = found.and_then(|found| found.metadata.uid);
    Ok(uid.map(|uid| OwnerReference {
        api_version: Deployment::api_version(&()).into_owned(),
        kind: Deployment::kind(&()).into_owned(),
        name: name.to_owned(),
        uid,
        ..OwnerReference::default()
    }))
}

/// The owners of an object with this one among them; an earlier one of the same kind and name is gone.
pub(crate) fn with_owner(
    owners: Option<Vec<OwnerReference>>,
    owner: &OwnerReference,
) -> Vec<OwnerReference> {
    let mut owners = owners.unwrap_or_default();
    owners.retain(|other| (&other.kind, &other.name) != (&owner.kind, &owner.name));
    owners.push(owner.clone());
    owners
}
